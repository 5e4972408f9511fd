//! The ledger: every entry of a store in the order in which it was made, as a chain of digests.
//!
//! Each entry of a history has a digest over the one before it in the same record (before the
//! first, over what identifies the record) and its own fields. Each row of the ledger has the
//! digest of one entry, and a head over the head before and itself. So the last head covers every
//! entry of every record, those of deleted records included, and whoever has noted it elsewhere
//! can tell whether anything that came before was changed.
//!
//! What is digested is each field with its kind and length, after a name that says what is
//! digested: no two different things have the same encoding.
//!
//! The last row also has the last version that the store issued, which is why the ledger is never
//! shortened: a version is not issued twice, whatever is deleted.

use std::fmt;
use std::str::FromStr;

use countersign_core::time::Now;
use countersign_core::version::Version;
use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::sql::{self, clamped};

/// SHA-256 of something.
pub(crate) type Sum = [u8; 32];

/// Digests fields one after the other.
pub(crate) struct Canonical(Sha256);

impl Canonical {
    pub(crate) fn of(what: &str) -> Self {
        Self(Sha256::new()).text(what)
    }

    fn field(mut self, kind: u8, bytes: &[u8]) -> Self {
        self.0.update([kind]);
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    pub(crate) fn none(self) -> Self {
        self.field(0, &[])
    }

    pub(crate) fn integer(self, value: i64) -> Self {
        self.field(1, &value.to_be_bytes())
    }

    pub(crate) fn text(self, value: &str) -> Self {
        self.field(2, value.as_bytes())
    }

    pub(crate) fn sum(self, value: &Sum) -> Self {
        self.field(3, value)
    }

    pub(crate) fn text_if_any(self, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(value),
            None => self.none(),
        }
    }

    pub(crate) fn integer_if_any(self, value: Option<i64>) -> Self {
        match value {
            Some(value) => self.integer(value),
            None => self.none(),
        }
    }

    pub(crate) fn finish(self) -> Sum {
        self.0.finalize().into()
    }
}

/// One store's ledger.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// As it stands in a [`Head`] and before whatever is digested.
    pub(crate) store: &'static str,
    /// The statements of the store.
    pub(crate) statements: &'static [&'static str],
    /// Reads position, version, head, `at`, writer and last jump of the last row.
    pub(crate) tip: &'static str,
    /// Writes a row: position, version, action, record, id, digest, head, `at`, writer, last jump,
    /// and the rest of a correction.
    pub(crate) append: &'static str,
    /// Reads the corrections, oldest first: version, `at`, writer, record, latest and the corrected
    /// writer.
    pub(crate) corrected: &'static str,
    /// Counts accesses that had ended after ?1 and until ?2, are not marked so, and had begun by ?1;
    /// of a store whose records give access.
    pub(crate) in_force_again: Option<&'static str>,
}

/// The ledger of the store of this name, `LEDGER`, and its own statements, which are to be among the
/// store's `STATEMENTS`.
#[cfg(any(feature = "request", feature = "breakglass", feature = "policy"))]
macro_rules! ledger {
    ($store:literal, in_force_again: $in_force_again:expr) => {
        const TIP: &str = concat!(
            "SELECT position, version, head, at, writer, jumped_at FROM ",
            $store,
            "_ledger ORDER BY position DESC LIMIT 1"
        );
        const INSERT_LEDGER: &str = concat!(
            "INSERT INTO ",
            $store,
            "_ledger (position, version, action, record, id, digest, head, at, writer, jumped_at, ",
            "latest, corrected_writer, in_force_again) ",
            "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
        );
        const CORRECTED: &str = concat!(
            "SELECT version, at, writer, record, latest, corrected_writer FROM ",
            $store,
            "_ledger INDEXED BY ",
            $store,
            "_ledger_corrected WHERE action = 'corrected' AND version >= ?1 ORDER BY version"
        );
        pub(crate) const LEDGER: Ledger = Ledger {
            store: $store,
            statements: STATEMENTS,
            tip: TIP,
            append: INSERT_LEDGER,
            corrected: CORRECTED,
            in_force_again: $in_force_again,
        };
    };
}

#[cfg(any(feature = "request", feature = "breakglass", feature = "policy"))]
pub(crate) use ledger;

/// What a row of a ledger says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) version: Version,
    pub(crate) action: &'a str,
    /// The record, as a key that is never used again; of a correction, the `at` that was wrong.
    pub(crate) record: i64,
    /// The record's id.
    pub(crate) id: &'a str,
    pub(crate) digest: &'a Sum,
    pub(crate) written: Written,
}

/// When a row of a ledger was written, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) at: i64,
    pub(crate) writer: i64,
    pub(crate) jumped_at: Option<i64>,
}

impl Written {
    pub(crate) fn of(now: &Now) -> Self {
        Self {
            at: clamped(now.at()),
            writer: now.writer().to_bits() as i64,
            jumped_at: now.jumped_at().map(clamped),
        }
    }
}

/// The digest of a correction's row: over what only such a row has.
pub(crate) fn correction_digest(latest: i64, corrected_writer: i64, in_force_again: i64) -> Sum {
    Canonical::of("countersign correction 1")
        .integer(latest)
        .integer(corrected_writer)
        .integer(in_force_again)
        .finish()
}

/// The head of a store's ledger: how many rows it has, and a digest over all of them.
///
/// Note it where those who can write the file cannot: in a ticket, a log on another machine, on
/// paper. `verify` compares the file with it. As text it is one word.
///
/// ```
/// use countersign_sqlite::Head;
///
/// let text = format!("request-42-{}", "ab".repeat(32));
/// let head: Head = text.parse()?;
/// assert_eq!((head.store(), head.position()), ("request", 42));
/// assert_eq!(head.to_string(), text);
/// # Ok::<(), countersign_sqlite::ParseHeadError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Head {
    store: &'static str,
    position: u64,
    digest: Sum,
}

/// The stores that have heads.
const STORES: [&str; 3] = ["request", "emergency", "policy"];

impl Head {
    pub(crate) fn new(store: &'static str, position: i64, digest: Sum) -> Self {
        Self {
            store,
            position: u64::try_from(position).unwrap_or(0),
            digest,
        }
    }

    /// Of which store: `request`, `emergency` or `policy`.
    pub fn store(&self) -> &str {
        self.store
    }

    /// How many rows the ledger has.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The digest over all of them.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-", self.store, self.position)?;
        self.digest
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Head {
    type Err = ParseHeadError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (store, rest) = text.split_once('-')?;
            let (position, digits) = rest.split_once('-')?;
            let head = Self {
                store: STORES.into_iter().find(|known| *known == store)?,
                position: position.parse().ok()?,
                digest: sum_of(digits)?,
            };
            // In one spelling only.
            (head.to_string() == text).then_some(head)
        };
        parse().ok_or_else(|| ParseHeadError {
            text: text
                .chars()
                .take(128)
                .flat_map(char::escape_debug)
                .collect(),
        })
    }
}

fn sum_of(digits: &str) -> Option<Sum> {
    let mut sum = [0; 32];
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    for (number, byte) in sum.iter_mut().enumerate() {
        let pair = digits.get(2 * number..2 * number + 2)?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(sum)
}

/// A text that is no head. Pass what [`Head`] was shown as, unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a head: pass what a store has given, unchanged")]
pub struct ParseHeadError {
    /// The text that was given (at most its first 128 characters, escaped).
    pub text: String,
}

/// The end of a ledger.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tip {
    pub(crate) position: i64,
    pub(crate) version: Option<Version>,
    pub(crate) head: Sum,
    pub(crate) written: Option<Written>,
}

impl Tip {
    /// Of a ledger without rows.
    pub(crate) const START: Tip = Tip {
        position: 0,
        version: None,
        head: [0; 32],
        written: None,
    };

    pub(crate) fn read(connection: &Connection, ledger: &Ledger) -> Result<Self, rusqlite::Error> {
        let mut statement = sql::statement(connection, ledger.statements, ledger.tip)?;
        let tip = statement.query_row([], |row| {
            let written = Written {
                at: row.get(3)?,
                writer: row.get(4)?,
                jumped_at: row.get(5)?,
            };
            Ok(Self {
                position: row.get(0)?,
                version: Some(Version::from_nanos(row.get(1)?)),
                head: row.get(2)?,
                written: Some(written),
            })
        });
        Ok(tip.optional()?.unwrap_or(Self::START))
    }

    /// Goes on by one row; `head` is then the new head.
    pub(crate) fn advance(&mut self, store: &str, line: &Line<'_>) {
        self.position = self.position.saturating_add(1);
        self.version = Some(line.version);
        self.head = Canonical::of("countersign ledger 1")
            .text(store)
            .sum(&self.head)
            .integer(self.position)
            .integer(line.version.as_nanos())
            .text(line.action)
            .integer(line.record)
            .text(line.id)
            .sum(line.digest)
            .integer(line.written.at)
            .integer(line.written.writer)
            .integer_if_any(line.written.jumped_at)
            .finish();
        self.written = Some(line.written);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_sequences_of_fields_have_one_digest() {
        let of = || Canonical::of("test");
        let sums = [
            of().finish(),
            of().none().finish(),
            of().text("").finish(),
            of().text("a").text("b").finish(),
            of().text("ab").finish(),
            of().text("ab").none().finish(),
            of().text("a").text("").text("b").finish(),
            of().integer(0).finish(),
            of().text("\0\0\0\0\0\0\0\0").finish(),
            of().sum(&[0; 32]).finish(),
            Canonical::of("tes").text("t").finish(),
        ];
        for (number, sum) in sums.iter().enumerate() {
            assert_eq!(sums.iter().position(|other| other == sum), Some(number));
        }
    }

    #[test]
    fn a_head_covers_every_row_before_it_and_each_field_of_its_own() {
        let written = Written {
            at: 1,
            writer: 1,
            jumped_at: None,
        };
        let line = Line {
            version: Version::from_nanos(1),
            action: "entry",
            record: 1,
            id: "a",
            digest: &[1; 32],
            written,
        };
        let head = |lines: &[Line<'_>]| {
            let mut tip = Tip::START;
            lines.iter().for_each(|line| tip.advance("request", line));
            tip.head
        };
        let same = head(&[line, line]);
        assert_eq!(same, head(&[line, line]));
        let version = Version::from_nanos(2);
        for other in [
            Line { version, ..line },
            Line {
                action: "deleted",
                ..line
            },
            Line { record: 2, ..line },
            Line { id: "b", ..line },
            Line {
                digest: &[2; 32],
                ..line
            },
            Line {
                written: Written { at: 2, ..written },
                ..line
            },
            Line {
                written: Written {
                    writer: 2,
                    ..written
                },
                ..line
            },
            Line {
                written: Written {
                    jumped_at: Some(1),
                    ..written
                },
                ..line
            },
        ] {
            assert_ne!(head(&[other, line]), same, "{other:?} came before");
            assert_ne!(head(&[line, other]), same, "{other:?} is the last");
        }
        assert_ne!(head(&[line]), same);
        let mut of_another = Tip::START;
        of_another.advance("emergency", &line);
        assert_ne!(head(&[line]), of_another.head);
    }

    #[test]
    fn heads_are_parsed_strictly() {
        let digits = "0f".repeat(32);
        let text = format!("emergency-7-{digits}");
        assert_eq!(text.parse::<Head>().unwrap().to_string(), text);
        for bad in [
            String::new(),
            format!("emergencies-7-{digits}"),
            format!("emergency-07-{digits}"),
            format!("emergency--7-{digits}"),
            format!("emergency-7-{}", digits.to_uppercase()),
            format!("emergency-7-{digits}0"),
            format!("emergency-7-+{}", &digits[1..]),
            format!(" {text}"),
        ] {
            assert!(bad.parse::<Head>().is_err(), "`{bad}` was taken for a head");
        }
    }
}
