//! The digest that identifies a policy by its content.
//!
//! Only how it is computed lives here: what is digested is said at
//! [`Policy::digest`](crate::Policy::digest), and the value itself is core's, because grants carry
//! it.

use std::io;

pub use countersign_core::grant::{ParseDigestError, PolicyDigest};
use sha2::{Digest, Sha256};

/// Digests what is written to it.
#[derive(Default)]
pub(crate) struct DigestWriter(Sha256);

impl DigestWriter {
    pub(crate) fn finish(self) -> PolicyDigest {
        PolicyDigest::from_bytes(self.0.finalize().into())
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
}
