//! Random ids of 64 bits, and the source of random bytes that makes them.
//!
//! [`define_id!`](crate::define_id) makes an id type for one kind of record, so that the id of a
//! request cannot be passed where the id of an emergency is meant. Randomness is injected through
//! [`RandomSource`].
//!
//! Invariant: an id is never made up when the random source fails; the call fails instead.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

/// A source of random bytes.
///
/// - `fill` fills the whole buffer or fails; after a failure the buffer must not be used.
/// - For [`OsRandom`] the bytes are fit for secrets; other implementations say what they are.
///
/// ```
/// use countersign_core::id::{RandomSource, SequenceRandom};
///
/// let source = SequenceRandom::starting_at(7);
/// assert_eq!(source.next_u64()?, 7);
/// assert_eq!(source.next_u64()?, 8);
/// # Ok::<(), countersign_core::id::RandomError>(())
/// ```
pub trait RandomSource: fmt::Debug + Send + Sync {
    /// Fills `buffer` with random bytes.
    ///
    /// # Errors
    /// [`RandomError`] if there are none to be had; try again later.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError>;

    /// Eight random bytes as an integer.
    ///
    /// # Errors
    /// As [`RandomSource::fill`].
    fn next_u64(&self) -> Result<u64, RandomError> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }
}

/// The random source failed; no bytes were taken. Try again, or look at the machine's entropy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no random bytes are to be had: {reason}")]
pub struct RandomError {
    /// What the source said.
    pub reason: String,
}

/// The operating system's random bytes.
///
/// ```
/// use countersign_core::id::{OsRandom, RandomSource};
///
/// let mut bytes = [0; 16];
/// OsRandom.fill(&mut bytes)?;
/// # Ok::<(), countersign_core::id::RandomError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRandom;

impl RandomSource for OsRandom {
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place where random bytes are taken"
    )]
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError> {
        getrandom::fill(buffer).map_err(|error| RandomError {
            reason: error.to_string(),
        })
    }
}

/// Not random at all: the integers from a start, big-endian. For tests and replays.
///
/// ```
/// use countersign_core::id::{RandomSource, SequenceRandom};
///
/// let mut bytes = [0; 9];
/// SequenceRandom::starting_at(1).fill(&mut bytes)?;
/// assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 0, 1, 0]);
/// # Ok::<(), countersign_core::id::RandomError>(())
/// ```
#[derive(Debug, Default)]
pub struct SequenceRandom {
    next: AtomicU64,
}

impl SequenceRandom {
    /// A sequence whose first integer is `first`.
    pub const fn starting_at(first: u64) -> Self {
        Self {
            next: AtomicU64::new(first),
        }
    }
}

impl RandomSource for SequenceRandom {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError> {
        for chunk in buffer.chunks_mut(8) {
            let bytes = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            for (to, from) in chunk.iter_mut().zip(bytes) {
                *to = from;
            }
        }
        Ok(())
    }
}

crate::define_id! {
    /// The name of one call of a caller's, minted before the first try, so that a repeat
    /// after a lost answer is known for a repeat: 64 random bits.
    ///
    /// ```
    /// use countersign_core::id::{IdempotencyKey, OsRandom};
    ///
    /// let key = IdempotencyKey::random(&OsRandom)?;
    /// assert_eq!(key.to_string().parse(), Ok(key));
    /// # Ok::<(), countersign_core::id::RandomError>(())
    /// ```
    IdempotencyKey
}

/// A text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not an id: write exactly 16 lowercase hexadecimal digits")]
pub struct ParseIdError {
    /// The text that was given (at most its first 64 characters, escaped).
    pub text: String,
}

/// The 64 bits that 16 lowercase hexadecimal digits stand for.
///
/// # Errors
/// [`ParseIdError`] for anything else: other lengths, upper case, signs, white space.
///
/// ```
/// use countersign_core::id::parse_hex;
///
/// assert_eq!(parse_hex("00000000000000ff")?, 255);
/// assert!(parse_hex("FF").is_err());
/// # Ok::<(), countersign_core::id::ParseIdError>(())
/// ```
pub fn parse_hex(text: &str) -> Result<u64, ParseIdError> {
    let strict = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    strict
        .then(|| u64::from_str_radix(text, 16).ok())
        .flatten()
        .ok_or_else(|| ParseIdError {
            text: text.chars().take(64).flat_map(char::escape_debug).collect(),
        })
}

/// Defines an id type: 64 random bits, `Copy`, shown as 16 lowercase hexadecimal digits, parsed
/// strictly, serialised as that text.
///
/// ```
/// countersign_core::define_id! {
///     /// The id of a parcel.
///     ParcelId
/// }
///
/// use countersign_core::id::OsRandom;
///
/// let id = ParcelId::random(&OsRandom)?;
/// assert_eq!(id.to_string().parse::<ParcelId>()?, id);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[macro_export]
macro_rules! define_id {
    ($(#[$documentation:meta])* $name:ident) => {
        $(#[$documentation])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// The smallest id.
            pub const MIN: Self = Self(0);

            /// The id that no other is greater than.
            pub const MAX: Self = Self(u64::MAX);

            /// Takes a new id from a random source.
            ///
            /// # Errors
            /// [`RandomError`]($crate::id::RandomError) if the source fails; there is no id then.
            pub fn random(
                source: &dyn $crate::id::RandomSource,
            ) -> ::core::result::Result<Self, $crate::id::RandomError> {
                source.next_u64().map(Self)
            }

            /// The id with these bits.
            pub const fn from_bits(bits: u64) -> Self {
                Self(bits)
            }

            /// The bits of the id.
            pub const fn to_bits(self) -> u64 {
                self.0
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                write!(f, concat!(stringify!($name), "({:016x})"), self.0)
            }
        }

        impl ::core::str::FromStr for $name {
            type Err = $crate::id::ParseIdError;

            fn from_str(text: &str) -> ::core::result::Result<Self, Self::Err> {
                $crate::id::parse_hex(text).map(Self)
            }
        }

        impl $crate::id::serde::Serialize for $name {
            fn serialize<S: $crate::id::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> $crate::id::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::id::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                let text = <::std::string::String as $crate::id::serde::Deserialize>::deserialize(
                    deserializer,
                )?;
                text.parse().map_err($crate::id::serde::de::Error::custom)
            }
        }
    };
}

#[doc(hidden)]
pub use serde;

#[cfg(test)]
mod tests {
    use super::*;

    crate::define_id! {
        /// An id of nothing.
        TestId
    }

    #[derive(Debug)]
    struct NoRandom;

    impl RandomSource for NoRandom {
        fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
            Err(RandomError {
                reason: "the well is dry".into(),
            })
        }
    }

    #[test]
    fn a_failing_source_gives_no_id_rather_than_one_of_all_zeros() {
        let error = TestId::random(&NoRandom).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no random bytes are to be had: the well is dry"
        );
    }

    #[test]
    fn ids_are_parsed_strictly() {
        let id = TestId::from_bits(0x0c49_5841_982c_3107);
        assert!(TestId::MIN < id && id < TestId::MAX);
        assert_eq!(id.to_string(), "0c495841982c3107");
        assert_eq!("0c495841982c3107".parse(), Ok(id));
        assert_eq!(id.to_bits(), 0x0c49_5841_982c_3107);
        assert_eq!("0000000000000000".parse(), Ok(TestId::MIN));
        assert_eq!("ffffffffffffffff".parse(), Ok(TestId::MAX));
        for bad in [
            "",
            "abc",
            "0C495841982C3107",
            "0123456789abcdeg",
            "0c495841982c310",
            "0c495841982c31070",
            "+c495841982c3107",
            " c495841982c3107",
            "０c495841982c31",
        ] {
            assert!(
                bad.parse::<TestId>().is_err(),
                "`{bad}` was taken for an id"
            );
            assert!(serde_json::from_value::<TestId>(bad.into()).is_err());
        }
    }

    #[test]
    fn the_operating_system_gives_different_ids() {
        let first = TestId::random(&OsRandom).unwrap();
        let second = TestId::random(&OsRandom).unwrap();
        assert_ne!(first, second);
    }
}
