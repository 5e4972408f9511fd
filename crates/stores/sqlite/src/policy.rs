//! Policies in the file: [`PolicyStore`].
//!
//! Each call is one transaction, and what it answers is what the store in memory answers. A policy
//! is kept as its canonical JSON and compiled anew by each call that reads it, on the thread that
//! reads; put a [`CachedLoader`](countersign_policy::CachedLoader) in front where decisions are
//! made.

use std::sync::Arc;
use std::time::Duration;

use countersign_core::clock::Clock;
use countersign_core::future::BoxFuture;
use countersign_core::version::{Conflict, Version};
use countersign_policy::store::{Error, Limits, NameListing, NamePage, check_policy_name};
use countersign_policy::{Expected, LoadError, Loader, Policy, Store, Stored};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use crate::database::Database;
use crate::error::{EngineError, Failure, Stop};
use crate::ledger::{Head, Ledger, Sum};
use crate::report::Report;
use crate::sql::{self, bound, of_record, parsed};
use crate::step::{Books, Step};

mod check;

const CURRENT: &str = "SELECT version FROM policy WHERE name = ?1";
const GET: &str = "SELECT name, version, digest, document FROM policy_version \
     WHERE version = (SELECT version FROM policy WHERE name = ?1)";
const GET_VERSION: &str = "SELECT name, version, digest, document FROM policy_version \
     WHERE version = ?2 AND name = ?1";
const VERSIONS: &str = "SELECT name, version, digest, document FROM policy_version \
     INDEXED BY policy_version_name WHERE name = ?1 ORDER BY version DESC";
const LIST: &str = "SELECT kept.name, kept.version, kept.digest, kept.document \
     FROM policy CROSS JOIN policy_version AS kept ON kept.version = policy.version \
     WHERE policy.name > ?1 ORDER BY policy.name LIMIT ?2";
const NTH_NEWEST: &str = "SELECT version FROM policy_version INDEXED BY policy_version_name \
     WHERE name = ?1 ORDER BY version DESC LIMIT 1 OFFSET ?2";
const OLDEST: &str = "SELECT version FROM policy_version INDEXED BY policy_version_name \
     WHERE name = ?1 ORDER BY version LIMIT 1";
const TIP: &str =
    "SELECT position, version, head FROM policy_ledger ORDER BY position DESC LIMIT 1";
const INSERT_VERSION: &str =
    "INSERT INTO policy_version (version, name, digest, document) VALUES (?1, ?2, ?3, ?4)";
const INSERT: &str = "INSERT INTO policy (name, version) VALUES (?1, ?2)";
const UPDATE: &str = "UPDATE policy SET version = ?2 WHERE name = ?1";
const INSERT_LEDGER: &str = "INSERT INTO policy_ledger (position, version, action, kept_from, \
     name, digest, head) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const DELETE: &str = "DELETE FROM policy WHERE name = ?1";
const DELETE_VERSIONS: &str = "DELETE FROM policy_version INDEXED BY policy_version_name \
     WHERE name = ?1 AND version < ?2";

/// Every statement that the store runs, but for those of `verify`, which reads everything.
pub(crate) const STATEMENTS: &[&str] = &[
    CURRENT,
    GET,
    GET_VERSION,
    VERSIONS,
    LIST,
    NTH_NEWEST,
    OLDEST,
    TIP,
    INSERT_VERSION,
    INSERT,
    UPDATE,
    INSERT_LEDGER,
    DELETE,
    DELETE_VERSIONS,
];

pub(crate) const LEDGER: Ledger = Ledger {
    store: "policy",
    statements: STATEMENTS,
    tip: TIP,
    append: INSERT_LEDGER,
    times: None,
};

/// Keeps policies in a file, each with its last versions.
///
/// What it promises is the contract of [`Store`]; it is a [`Loader`] too.
///
/// ```
/// use std::sync::Arc;
/// use countersign_policy::{self as policy, Store, StoreExt, SystemClock};
/// use countersign_sqlite::{Database, Options, PolicyStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("countersign.db");
/// let database = Database::open(&path, &Options::default())?;
/// let store = Arc::new(PolicyStore::new(&database, Arc::new(SystemClock)));
/// let policy: policy::Policy = r#"{"version": "1", "rules": [
///     {"name": "readers", "effect": "allow", "conditions": {"profiles": ["readonly"]}}
/// ]}"#.parse()?;
/// let first = store.put("main", policy::Expected::Absent, Arc::new(policy)).await?;
///
/// let cached = policy::CachedLoader::new(store.clone());
/// assert_eq!(cached.load("main").await?.policy.digest(), first.digest());
/// let second = store.rollback("main", first.version, first.version).await?;
/// assert_eq!(store.versions("main").await?, [second, first]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PolicyStore {
    books: Books,
    limits: Limits,
}

impl PolicyStore {
    /// The policies of this file, with the default [`Limits`].
    pub fn new(database: &Database, clock: Arc<dyn Clock>) -> Self {
        Self {
            books: Books::new(database, &LEDGER, clock, Duration::MAX),
            limits: Limits::default(),
        }
    }

    /// Sets what is bounded. Limits hold for what is put; they are not kept in the file.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The head of the ledger: note it where those who can write the file cannot.
    ///
    /// # Errors
    /// [`Error::Backend`] if the engine fails.
    pub async fn head(&self) -> Result<Head, Error> {
        self.books.head().await
    }

    /// Whether the file is still what this store has written, and whether its ledger has the head
    /// that was `known`, if one is given: the engine's checks, the schema, the ledger, every entry
    /// of every history, and the columns that follow from them.
    ///
    /// - Without a head that was noted elsewhere it finds whatever does not agree with the rest of
    ///   the file. Whoever can write the file can also write all of it anew, which only such a head
    ///   shows, and only of what came before it.
    /// - It walks over everything, on a thread that reads; writers go on meanwhile.
    ///
    /// # Errors
    /// [`Error::Backend`] if the engine fails. Damage to the file is not an error but a finding.
    ///
    /// ```
    /// # use countersign_sqlite::PolicyStore;
    /// # async fn example(store: &PolicyStore, noted: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// let report = store.verify(Some(&noted.parse()?)).await?;
    /// assert!(report.is_clean(), "{:?}", report.findings);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn verify(&self, known: Option<&Head>) -> Result<Report, Error> {
        let known = known.copied();
        let read = move |connection: &Connection| Ok(check::verify(connection, known.as_ref())?);
        self.books.read_long(read).await
    }
}

/// A version as it is stored: name, version, digest, document.
fn stored(row: &Row<'_>) -> Result<Stored, Failure> {
    let place = || match (row.get::<_, String>("name"), row.get("version")) {
        (Ok(name), Ok(version)) => {
            let version = Version::from_nanos(version);
            format!("version `{version}` of policy `{name}`")
        }
        _ => "a policy".to_owned(),
    };
    let broken = |found: String| EngineError::Record {
        place: place(),
        found,
    };
    let version = row.get("version").map_err(of_record(place))?;
    let digest = parsed(row, "digest", |text| text.parse().ok()).map_err(of_record(place))?;
    let document = row.get_ref("document")?;
    let document = document
        .as_str()
        .map_err(|error| broken(error.to_string()))?;
    let policy: Policy = serde_json::from_str(document)
        .map_err(|error| broken(format!("a document that is no policy: {error}")))?;
    if policy.digest() != digest {
        return Err(broken("a document that is not the digest's".to_owned()).into());
    }
    Ok(Stored {
        name: row.get("name").map_err(of_record(place))?,
        version: Version::from_nanos(version),
        policy: Arc::new(policy),
    })
}

fn many(
    connection: &Connection,
    sql: &'static str,
    parameters: impl Params,
) -> Result<Vec<Arc<Stored>>, Failure> {
    let mut statement = sql::statement(connection, STATEMENTS, sql)?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Arc::new(stored(row)?));
    }
    Ok(found)
}

fn not_found(name: &str) -> Error {
    Error::NotFound { name: name.into() }
}

/// The version that a policy is at.
fn current(connection: &Connection, name: &str) -> Result<Option<Version>, Failure> {
    let mut statement = sql::statement(connection, STATEMENTS, CURRENT)?;
    let version = statement.query_row([name], |row| row.get(0).map(Version::from_nanos));
    Ok(version.optional()?)
}

/// Demands that a policy is at version `expected`.
fn at_version(connection: &Connection, name: &str, expected: Version) -> Result<(), Stop<Error>> {
    match current(connection, name)? {
        None => Err(not_found(name).into()),
        Some(actual) if actual != expected => {
            Err(Error::Conflict(Conflict { expected, actual }).into())
        }
        Some(_) => Ok(()),
    }
}

/// The oldest version of a name, of the newest so many.
fn kept_from(connection: &Connection, name: &str, most: usize) -> Result<i64, Failure> {
    let mut statement = sql::statement(connection, STATEMENTS, NTH_NEWEST)?;
    let before = bound(most.saturating_sub(1));
    let version = statement.query_row(params![name, before], |row| row.get(0));
    match version.optional()? {
        Some(version) => Ok(version),
        None => {
            let mut statement = sql::statement(connection, STATEMENTS, OLDEST)?;
            Ok(statement.query_row([name], |row| row.get(0))?)
        }
    }
}

fn put(
    step: &mut Step<'_>,
    name: &str,
    expected: Expected,
    policy: &Arc<Policy>,
    most: usize,
) -> Result<Stored, Stop<Error>> {
    let connection = step.connection;
    match expected {
        Expected::Absent => {
            if let Some(actual) = current(connection, name)? {
                let name = name.into();
                return Err(Error::AlreadyExists { name, actual }.into());
            }
        }
        Expected::Version(version) => at_version(connection, name, version)?,
    }
    step.judge().granting().map_err(Error::from)?;
    let version = step.stamp().map_err(Error::from)?.version;
    let document = serde_json::to_string(&**policy).map_err(|error| EngineError::Record {
        place: format!("policy `{name}`"),
        found: error.to_string(),
    })?;
    let run = |sql, parameters: &[&dyn rusqlite::ToSql]| {
        sql::statement(connection, STATEMENTS, sql)?.execute(parameters)
    };
    let digest = policy.digest();
    let key = version.as_nanos();
    run(
        INSERT_VERSION,
        params![key, name, digest.to_string(), document],
    )?;
    let point = match expected {
        Expected::Absent => INSERT,
        Expected::Version(_) => UPDATE,
    };
    run(point, params![name, key])?;
    let kept_from = kept_from(connection, name, most)?;
    step.append(version, "put", kept_from, (name, digest.as_bytes()))?;
    run(DELETE_VERSIONS, params![name, kept_from])?;
    Ok(Stored {
        name: name.into(),
        version,
        policy: Arc::clone(policy),
    })
}

fn delete(step: &mut Step<'_>, name: &str, expected: Version) -> Result<(), Stop<Error>> {
    let connection = step.connection;
    at_version(connection, name, expected)?;
    let last = many(connection, GET, [name])?.pop();
    let digest: Sum = match last {
        Some(last) => *last.digest().as_bytes(),
        None => return Err(not_found(name).into()),
    };
    // Deleting makes no version.
    let version = step.tip.version.unwrap_or(expected);
    let record = expected.as_nanos();
    step.append(version, "deleted", record, (name, &digest))?;
    sql::statement(connection, STATEMENTS, DELETE)?.execute([name])?;
    let mut statement = sql::statement(connection, STATEMENTS, DELETE_VERSIONS)?;
    // Up to the current version, and that.
    statement.execute(params![name, expected.as_nanos().saturating_add(1)])?;
    Ok(())
}

impl Loader for PolicyStore {
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Policy>, LoadError>> {
        Box::pin(async move {
            match self.get(name).await {
                Ok(stored) => Ok(Arc::clone(&stored.policy)),
                Err(error) => Err(error.into_load_error(name)),
            }
        })
    }
}

/// What verifying the store says, with nothing noted.
pub(crate) fn verified(connection: &Connection) -> Result<Report, Failure> {
    check::verify(connection, None)
}

impl Store for PolicyStore {
    fn put<'a>(
        &'a self,
        name: &'a str,
        expected: Expected,
        policy: Arc<Policy>,
    ) -> BoxFuture<'a, Result<Arc<Stored>, Error>> {
        Box::pin(async move {
            check_policy_name(name)?;
            let (name, most) = (name.to_owned(), self.limits.max_versions.get());
            self.books
                .write(move |step| put(step, &name, expected, &policy, most).map(Arc::new))
                .await
        })
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Stored>, Error>> {
        Box::pin(async move {
            check_policy_name(name)?;
            let name = name.to_owned();
            let read = move |connection: &Connection| {
                let found = many(connection, GET, [&name])?.pop();
                Ok(found.ok_or_else(|| not_found(&name))?)
            };
            self.books.read(read).await
        })
    }

    fn get_version<'a>(
        &'a self,
        name: &'a str,
        version: Version,
    ) -> BoxFuture<'a, Result<Arc<Stored>, Error>> {
        Box::pin(async move {
            check_policy_name(name)?;
            let name = name.to_owned();
            let read = move |connection: &Connection| {
                if current(connection, &name)?.is_none() {
                    return Err(not_found(&name).into());
                }
                let parameters = params![name, version.as_nanos()];
                let found = many(connection, GET_VERSION, parameters)?.pop();
                Ok(found.ok_or_else(|| Error::VersionNotFound {
                    name: name.as_str().into(),
                    version,
                })?)
            };
            self.books.read(read).await
        })
    }

    fn versions<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Arc<Stored>>, Error>> {
        Box::pin(async move {
            check_policy_name(name)?;
            let name = name.to_owned();
            let read = move |connection: &Connection| {
                let found = many(connection, VERSIONS, [&name])?;
                match found.is_empty() {
                    true => Err(not_found(&name).into()),
                    false => Ok(found),
                }
            };
            self.books.read(read).await
        })
    }

    fn list<'a>(&'a self, page: &'a NamePage) -> BoxFuture<'a, Result<NameListing, Error>> {
        Box::pin(async move {
            if let Some(after) = &page.after {
                check_policy_name(after)?;
            }
            let limit = page.effective_limit();
            let after = page.after.as_deref().unwrap_or_default().to_owned();
            let read = move |connection: &Connection| {
                let mut items = many(connection, LIST, params![after, bound(limit + 1)])?;
                let more = items.len() > limit;
                items.truncate(limit);
                let next = items.last().filter(|_| more);
                let next = next.map(|stored| Arc::clone(&stored.name));
                Ok(NameListing { items, next })
            };
            self.books.read(read).await
        })
    }

    fn delete<'a>(&'a self, name: &'a str, expected: Version) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            check_policy_name(name)?;
            let name = name.to_owned();
            self.books
                .write(move |step| delete(step, &name, expected))
                .await
        })
    }
}
