//! Versions of policies as rows: the tables' statements, how a version is read from a row, and how it
//! is written.
//!
//! A version's history has one entry: that it was put, or that its name was deleted.

use std::iter;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::documents::{Attribution, Content, Document, DocumentId, Kept, Key, Unread};
use countersign_core::engine::Record;
use countersign_core::version::Version;
use countersign_policy::{Policy, User};
use rusqlite::{Connection, Row, params};

use crate::error::{EngineError, Failure};
use crate::ledger::{Canonical, Ledger, Sum, ledger};
use crate::records::{Lookup, Rows, Scan, Statements, latest_first};
use crate::sql::{self, Time, clamped, nanos, parsed, parsed_if_any};

macro_rules! columns {
    () => {
        "created, id, name, replaces, policy_version.digest, document"
    };
}

const BY_ID: &str = concat!("SELECT ", columns!(), " FROM policy_version WHERE id = ?1");
const BY_KEY: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM policy_version WHERE created = ?1"
);
// No two records have the same `created`.
const OF_NAME: Scan = Scan::latest_first(latest_first!(
    columns,
    "policy_version INDEXED BY policy_version_name",
    "document IS NOT NULL AND name = ?5 AND ",
    "created",
    ""
));
const REMOVAL: Scan = Scan::latest_first(latest_first!(
    columns,
    "policy_version INDEXED BY policy_version_name",
    "document IS NULL AND name = ?5 AND ",
    "created",
    ""
));
// All have the rank 0.
const NAMES: Scan = Scan::latest_first(concat!(
    "SELECT 0, ",
    columns!(),
    " FROM policy_version INDEXED BY policy_version_id \
     WHERE id > CASE WHEN ?1 > 0 THEN '' ELSE ?2 END AND ?1 >= 0 AND ?3 <= 0 \
     AND document IS NOT NULL ORDER BY id LIMIT -1 OFFSET ?4"
));
const IDEMPOTENCY_KEY: Scan = Scan::latest_first(concat!(
    "SELECT record, ",
    columns!(),
    " FROM policy_history INDEXED BY policy_history_idempotency_key \
     CROSS JOIN policy_version ON created = record \
     WHERE idempotency_key = ?5 AND record <= ?1 AND (record < ?1 OR id > ?2) AND record >= ?3 \
     ORDER BY record DESC LIMIT -1 OFFSET ?4"
));
const HISTORY: &str = "SELECT version, at, action, author, reason, ticket, idempotency_key, digest \
     FROM policy_history WHERE record = ?1 ORDER BY version";
const DIGEST: &str = "SELECT digest FROM policy_history WHERE record = ?1 AND version = ?2";
const CHANGES: &str = "SELECT version, record FROM policy_history \
     INDEXED BY policy_history_version WHERE version >= ?1 ORDER BY version LIMIT ?2";
const INSERT: &str = "INSERT INTO policy_version (created, name, replaces, digest, document) \
     VALUES (?1, ?2, ?3, ?4, ?5)";
const INSERT_ENTRY: &str = "INSERT INTO policy_history (record, version, at, action, author, \
     reason, ticket, idempotency_key, digest) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
const DELETE: &str = "DELETE FROM policy_version WHERE created = ?1";
const DELETE_HISTORY: &str = "DELETE FROM policy_history WHERE record = ?1";

/// Every statement that the store runs, but for those of `verify`, which reads everything.
pub(crate) const STATEMENTS: &[&str] = &[
    BY_ID,
    BY_KEY,
    OF_NAME.sql,
    REMOVAL.sql,
    NAMES.sql,
    IDEMPOTENCY_KEY.sql,
    HISTORY,
    DIGEST,
    CHANGES,
    TIP,
    CORRECTED,
    INSERT,
    INSERT_ENTRY,
    INSERT_LEDGER,
    DELETE,
    DELETE_HISTORY,
];

// A policy gives no access by itself.
ledger!("policy", in_force_again: None);

/// That a version was put, or its name deleted: by whom, why and when.
#[derive(Debug)]
pub(crate) struct Made {
    pub(super) version: Version,
    pub(super) at: DateTime<Utc>,
    is_removal: bool,
    attribution: Attribution,
}

impl Made {
    fn action(&self) -> &'static str {
        match self.is_removal {
            true => "deleted",
            false => "put",
        }
    }
}

fn at(kept: &Kept<Policy>) -> DateTime<Utc> {
    match kept {
        Kept::Ready(stored) => stored.at,
        Kept::Unread(stored) => stored.at,
        Kept::Removed(removal) => removal.at,
    }
}

impl Rows for Kept<Policy> {
    type Entry = Made;

    const LEDGER: &'static Ledger = &LEDGER;
    const STATEMENTS: Statements = Statements {
        by_id: BY_ID,
        by_key: BY_KEY,
        history: HISTORY,
        digest: DIGEST,
        changes: CHANGES,
        delete: [DELETE_HISTORY, DELETE],
    };

    fn named(id: &str) -> String {
        match id.parse::<DocumentId>() {
            Ok(id) => format!("version `{}` of policy `{}`", id.version(), id.name()),
            Err(_) => format!("policy `{}`", id.escape_debug()),
        }
    }

    fn lookup(key: &Key) -> Lookup<'_> {
        match key {
            Key::Name(name) => Lookup::of(&OF_NAME, [&**name]),
            Key::Removal(name) => Lookup::of(&REMOVAL, [&**name]),
            Key::Names => Lookup::all(&NAMES),
            Key::IdempotencyKey(idempotency_key) => {
                Lookup::of(&IDEMPOTENCY_KEY, [idempotency_key.to_string()])
            }
        }
    }

    fn created(&self) -> Version {
        self.version()
    }

    fn entries(&self) -> impl DoubleEndedIterator<Item = Arc<Made>> {
        iter::once(Arc::new(Made {
            version: self.version(),
            at: at(self),
            is_removal: matches!(self, Kept::Removed(_)),
            attribution: self.attribution().clone(),
        }))
    }

    fn versions(entry: &Made) -> (Option<Version>, Version) {
        (None, entry.version)
    }

    fn identity(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        let version = Version::from_nanos(row.get("created")?);
        let name: Arc<str> = row.get("name")?;
        let replaces = row.get::<_, Option<i64>>("replaces")?;
        let replaces = replaces.map(Version::from_nanos);
        let digest = parsed_if_any(row, "digest", |text| text.parse().ok())?;
        let text: Option<Arc<str>> = row.get("document")?;
        Ok(match digest.zip(text) {
            None => {
                let removal = Document::new(name, version, ());
                Kept::Removed(Arc::new(removal.replacing(replaces)))
            }
            Some((digest, text)) => {
                let unread = Document::new(name, version, Unread { digest, text });
                Kept::Unread(Arc::new(unread.replacing(replaces)))
            }
        })
    }

    fn entry(row: &Row<'_>) -> Result<(Made, Sum), rusqlite::Error> {
        let mut attribution = Attribution::NOBODY;
        attribution.author = parsed_if_any(row, "author", |text| User::new(text).ok())?;
        attribution.reason = row.get("reason")?;
        attribution.ticket = row.get("ticket")?;
        attribution.idempotency_key =
            parsed_if_any(row, "idempotency_key", |text| text.parse().ok())?;
        let made = Made {
            version: Version::from_nanos(row.get("version")?),
            at: row.get::<_, Time>("at")?.0,
            is_removal: parsed(row, "action", |text| match text {
                "put" => Some(false),
                "deleted" => Some(true),
                _ => None,
            })?,
            attribution,
        };
        Ok((made, row.get("digest")?))
    }

    fn restored(self, history: Vec<Arc<Made>>) -> Option<Self> {
        let [made] = &history[..] else {
            return None;
        };
        let is_removal = matches!(self, Kept::Removed(_));
        if made.version != self.version() || made.is_removal != is_removal {
            return None;
        }
        let (attribution, at) = (made.attribution.clone(), made.at);
        Some(match self {
            Kept::Ready(stored) => {
                let stored = Arc::unwrap_or_clone(stored);
                Kept::Ready(Arc::new(stored.put_by(attribution, at)))
            }
            Kept::Unread(stored) => {
                let stored = Arc::unwrap_or_clone(stored);
                Kept::Unread(Arc::new(stored.put_by(attribution, at)))
            }
            Kept::Removed(removal) => {
                let removal = Arc::unwrap_or_clone(removal);
                Kept::Removed(Arc::new(removal.put_by(attribution, at)))
            }
        })
    }

    fn identity_digest(&self) -> Result<Sum, Failure> {
        let identity = Canonical::of("countersign policy 1")
            .text(self.name())
            .integer(self.version().as_nanos())
            .integer_if_any(self.replaces().map(Version::as_nanos));
        Ok(match self.digest() {
            Some(digest) => identity.sum(digest.as_bytes()),
            None => identity.none(),
        }
        .finish())
    }

    fn entry_digest(entry: &Made, before: &Sum) -> Sum {
        let attribution = &entry.attribution;
        let author = attribution.author.as_ref().map(User::as_str);
        let idempotency_key = attribution
            .idempotency_key
            .map(|idempotency_key| idempotency_key.to_string());
        Canonical::of("countersign policy entry 1")
            .sum(before)
            .text(entry.action())
            .text_if_any(author)
            .text_if_any(attribution.reason.as_deref())
            .text_if_any(attribution.ticket.as_deref())
            .text_if_any(idempotency_key.as_deref())
            .integer(entry.version.as_nanos())
            .integer(clamped(entry.at))
            .finish()
    }

    fn insert(&self, connection: &Connection) -> Result<(), Failure> {
        let broken = |found| EngineError::Record {
            place: Self::named(&self.id().to_string()),
            found,
        };
        let text: Option<Arc<str>> = match self {
            Kept::Ready(stored) => Some(stored.content.write().map_err(broken)?.into()),
            Kept::Unread(stored) => Some(Arc::clone(&stored.content.text)),
            Kept::Removed(_) => None,
        };
        sql::statement(connection, STATEMENTS, INSERT)?.execute(params![
            self.version().as_nanos(),
            self.name(),
            self.replaces().map(Version::as_nanos),
            self.digest().map(|digest| digest.to_string()),
            text,
        ])?;
        Ok(())
    }

    /// Nothing follows from a history of one entry.
    fn update(&self, _connection: &Connection) -> Result<(), Failure> {
        Ok(())
    }

    fn insert_entry(
        connection: &Connection,
        record: i64,
        entry: &Made,
        digest: &Sum,
    ) -> Result<(), Failure> {
        let attribution = &entry.attribution;
        sql::statement(connection, STATEMENTS, INSERT_ENTRY)?.execute(params![
            record,
            entry.version.as_nanos(),
            nanos(entry.at)?,
            entry.action(),
            attribution.author.as_ref().map(User::as_str),
            attribution.reason,
            attribution.ticket,
            attribution
                .idempotency_key
                .map(|idempotency_key| idempotency_key.to_string()),
            digest,
        ])?;
        Ok(())
    }
}
