//! The digest that identifies a policy by its content.
//!
//! Only the value and its text form live here; what is digested is said at
//! [`Policy::digest`](crate::Policy::digest).

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// The SHA-256 of a policy's canonical JSON: the same for the same policy, whatever its layout.
///
/// Every decision carries it, so that a log says which policy decided. Shown, parsed and
/// serialised as 64 lowercase hexadecimal digits.
///
/// ```
/// use countersign_policy::PolicyDigest;
///
/// let digest = PolicyDigest::from_bytes([0xab; 32]);
/// assert_eq!(digest.to_string(), "ab".repeat(32));
/// assert_eq!(digest.to_string().parse(), Ok(digest));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyDigest([u8; 32]);

impl PolicyDigest {
    /// The digest with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolicyDigest({self})")
    }
}

/// A text that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a policy digest: write exactly 64 lowercase hexadecimal digits")]
pub struct ParseDigestError {
    /// The text that was given (at most its first 64 characters, escaped).
    pub text: String,
}

impl FromStr for PolicyDigest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let nibble = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let parse = || {
            let mut bytes = [0; 32];
            if text.len() != 2 * bytes.len() {
                return None;
            }
            for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                let &[high, low] = pair else { return None };
                *byte = nibble(high)? << 4 | nibble(low)?;
            }
            Some(Self(bytes))
        };
        parse().ok_or_else(|| ParseDigestError {
            text: text.chars().take(64).flat_map(char::escape_debug).collect(),
        })
    }
}

impl Serialize for PolicyDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PolicyDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Digests what is written to it.
#[derive(Default)]
pub(crate) struct DigestWriter(Sha256);

impl DigestWriter {
    pub(crate) fn finish(self) -> PolicyDigest {
        PolicyDigest(self.0.finalize().into())
    }
}

impl io::Write for DigestWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_digest_is_sha_256() {
        let mut writer = DigestWriter::default();
        writer.write_all(b"abc").unwrap();
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(writer.finish().to_string(), known);
    }

    #[test]
    fn digests_are_parsed_strictly() {
        let good = "0f".repeat(32);
        let digest: PolicyDigest = good.parse().unwrap();
        assert_eq!(digest.as_bytes(), &[0x0f; 32]);
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, format!("\"{good}\""));
        assert_eq!(serde_json::from_str::<PolicyDigest>(&json).unwrap(), digest);
        for bad in [
            String::new(),
            "0f".repeat(31),
            "0f".repeat(33),
            format!("{}0", "0f".repeat(31)),
            "0F".repeat(32),
            "0g".repeat(32),
            "é".repeat(32),
            format!("+{}", "0".repeat(63)),
        ] {
            let error = bad.parse::<PolicyDigest>().unwrap_err();
            assert!(error.to_string().contains("64 lowercase"), "{error}");
            assert!(serde_json::from_value::<PolicyDigest>(bad.into()).is_err());
        }
    }
}
