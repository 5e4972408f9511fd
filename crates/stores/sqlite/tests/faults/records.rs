//! What a file holds, read in every way there is: through the stores, and past them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_breakglass as breakglass;
use countersign_request as request;
use countersign_sqlite::{Head, Synchronous};
use rusqlite::Connection;

use breakglass::Store as _;
use request::Store as _;

use crate::common::block_on;
use crate::operations::{Of, PEOPLE, PROFILES, Stores, sum};

/// One change of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub version: i64,
    pub idempotency_key: Option<u64>,
    pub action: String,
    /// Of the record as the change left it.
    pub sum: u64,
    /// The status as the change left it, and whether anything leads out of it.
    pub status: String,
    pub terminal: bool,
}

/// A request or an emergency, as far as the checks look at both alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub created: i64,
    pub created_at: i64,
    pub user: String,
    pub profile: String,
    pub status: String,
    pub note: Option<String>,
    pub ended_at: Option<i64>,
    /// When access ends; when a decision is too late.
    pub until: Option<i64>,
    /// When access began, and in which version.
    pub from: Option<(i64, i64)>,
    pub deadline: i64,
    pub reviewed: bool,
    pub entries: Vec<Entry>,
}

/// A row of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub position: i64,
    pub version: i64,
    pub at: i64,
    pub action: String,
    pub record: i64,
    pub id: u64,
    pub digest: Vec<u8>,
    pub head: Vec<u8>,
}

/// A row of a table of records, without what never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    pub created: i64,
    pub status: String,
    pub note: Option<String>,
    pub ended_at: Option<i64>,
    pub updated_at: i64,
}

/// A row of a table of histories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    pub record: i64,
    pub version: i64,
    pub digest: Vec<u8>,
}

/// What one store gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub records: BTreeMap<u64, Record>,
    pub head: Head,
    /// The stream of changes: version and record of each.
    pub changes: Vec<(i64, u64)>,
    /// Each list that the store gives, by name, as ids in order.
    pub lists: BTreeMap<String, Vec<u64>>,
}

/// One store's part of the file: what the store gives, and what is in its tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    pub of: Of,
    pub seen: Seen,
    pub columns: BTreeMap<u64, Columns>,
    pub history: Vec<HistoryRow>,
    pub ledger: Vec<Row>,
}

/// Everything in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    pub sides: [Side; 2],
    /// What the stores find when they verify the file.
    pub findings: Vec<String>,
    /// The time at which the lists were asked for.
    pub at: i64,
}

/// Why a store did not give what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub text: String,
    /// What a failure of the engine says about trying again; none if it is another error.
    pub retryable: Option<bool>,
}

impl From<String> for Trouble {
    fn from(text: String) -> Self {
        Self {
            text,
            retryable: None,
        }
    }
}

macro_rules! trouble {
    ($domain:ident) => {
        impl From<$domain::Error> for Trouble {
            fn from(error: $domain::Error) -> Self {
                Self {
                    text: error.to_string(),
                    retryable: match error {
                        $domain::Error::Backend($domain::Failure {
                            is_retryable: retryable,
                            ..
                        }) => Some(retryable),
                        _ => None,
                    },
                }
            }
        }
    };
}

trouble!(request);
trouble!(breakglass);

impl Contents {
    pub fn side(&self, of: Of) -> &Side {
        match of {
            Of::Request => &self.sides[0],
            Of::Emergency => &self.sides[1],
        }
    }

    /// Opens a file and reads it in every way, with the heads that were noted before.
    ///
    /// # Errors
    /// What opening or reading it said.
    pub fn read(path: &Path, heads: Option<&[Head; 2]>) -> Result<Self, String> {
        let stores = Stores::open(path, Synchronous::Normal, 0).map_err(said)?;
        let connection = Connection::open(path).map_err(said)?;
        let newest = "SELECT max(version) FROM (SELECT version FROM request_ledger \
             UNION ALL SELECT version FROM emergency_ledger)";
        let newest: Option<i64> = connection
            .query_row(newest, [], |row| row.get(0))
            .map_err(said)?;
        let at = newest.unwrap_or(0);
        let ids = [
            ids(&connection, Of::Request)?,
            ids(&connection, Of::Emergency)?,
        ];
        let [requests, emergencies] = seen(&stores, &ids, at).map_err(|trouble| trouble.text)?;
        Ok(Self {
            sides: [
                side(Of::Request, &connection, requests).map_err(said)?,
                side(Of::Emergency, &connection, emergencies).map_err(said)?,
            ],
            findings: findings(&stores, heads).map_err(|trouble| trouble.text)?,
            at,
        })
    }

    pub fn heads(&self) -> [Head; 2] {
        self.sides.each_ref().map(|side| side.seen.head)
    }

    pub fn ids(&self) -> [Vec<u64>; 2] {
        let ids = |side: &Side| side.seen.records.keys().copied().collect();
        self.sides.each_ref().map(ids)
    }
}

/// What the stores give: these records, and every list at that time.
pub fn seen(stores: &Stores, ids: &[Vec<u64>; 2], at: i64) -> Result<[Seen; 2], Trouble> {
    // Later than anything is dated: the clocks of the writers were set back now and then.
    stores.clock.set(DateTime::from_timestamp_nanos(at));
    block_on(async {
        let requests = requests(stores, &ids[0], at).await?;
        Ok::<_, Trouble>([requests, emergencies(stores, &ids[1], at).await?])
    })
}

/// What the stores find when they verify the file.
pub fn findings(stores: &Stores, heads: Option<&[Head; 2]>) -> Result<Vec<String>, Trouble> {
    block_on(async {
        let [requests, emergencies] = [0, 1].map(|side| heads.map(|heads| &heads[side]));
        let mut found = stores.requests.verify(requests).await?.findings;
        found.extend(stores.emergencies.verify(emergencies).await?.findings);
        Ok::<_, Trouble>(found.iter().map(ToString::to_string).collect())
    })
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn lines(connection: &Connection, sql: &str) -> Result<Vec<String>, String> {
    let mut statement = connection.prepare(sql).map_err(said)?;
    let rows = statement.query_map([], |row| row.get(0)).map_err(said)?;
    rows.collect::<Result<_, _>>().map_err(said)
}

/// Keeps what is the same for both stores.
fn side(of: Of, connection: &Connection, seen: Seen) -> Result<Side, rusqlite::Error> {
    let table = of.table();
    let id = |row: &rusqlite::Row<'_>, column: &str| {
        let text: String = row.get(column)?;
        Ok::<_, rusqlite::Error>(u64::from_str_radix(&text, 16).unwrap_or(0))
    };
    let mut ledger = connection.prepare(&format!(
        "SELECT position, version, at, action, record, id, digest, head FROM {table}_ledger \
         ORDER BY position"
    ))?;
    let ledger = ledger.query_map([], |row| {
        Ok(Row {
            position: row.get("position")?,
            version: row.get("version")?,
            at: row.get("at")?,
            action: row.get("action")?,
            record: row.get("record")?,
            id: id(row, "id")?,
            digest: row.get("digest")?,
            head: row.get("head")?,
        })
    })?;
    let ledger = ledger.collect::<Result<_, _>>()?;
    let mut history = connection.prepare(&format!(
        "SELECT record, version, digest FROM {table}_history NOT INDEXED ORDER BY version"
    ))?;
    let history = history.query_map([], |row| {
        Ok(HistoryRow {
            record: row.get("record")?,
            version: row.get("version")?,
            digest: row.get("digest")?,
        })
    })?;
    let history = history.collect::<Result<_, _>>()?;
    let mut columns = connection.prepare(&format!(
        "SELECT created, id, status, note, ended_at, updated_at FROM {table} NOT INDEXED"
    ))?;
    let columns = columns.query_map([], |row| {
        let columns = Columns {
            created: row.get("created")?,
            status: row.get("status")?,
            note: row.get("note")?,
            ended_at: row.get("ended_at")?,
            updated_at: row.get("updated_at")?,
        };
        Ok((id(row, "id")?, columns))
    })?;
    Ok(Side {
        of,
        seen,
        columns: columns.collect::<Result<_, _>>()?,
        history,
        ledger,
    })
}

/// The ids in a table of records, whatever is wrong with its indexes.
fn ids(connection: &Connection, of: Of) -> Result<Vec<u64>, String> {
    let sql = format!("SELECT id FROM {} NOT INDEXED", of.table());
    let texts = lines(connection, &sql)?;
    let parsed = |text: &String| u64::from_str_radix(text, 16).map_err(said);
    texts.iter().map(parsed).collect()
}

fn nanos(time: DateTime<Utc>) -> i64 {
    time.timestamp_nanos_opt().unwrap_or(i64::MAX)
}

/// How many records are asked for at once: few enough that there are several pages.
const PAGE: usize = 60;

macro_rules! listed {
    ($domain:ident, |$page:ident| $call:expr) => {{
        let mut ids = Vec::new();
        let mut $page = $domain::Page::first(PAGE);
        loop {
            let found = $call.await?;
            ids.extend(found.items.iter().map(|record| record.id.to_bits()));
            match found.next {
                Some(cursor) => $page = $domain::Page::after(cursor, PAGE),
                None => break ids,
            }
        }
    }};
}

macro_rules! changes {
    ($store:expr, $record:ident) => {{
        let mut changes = Vec::new();
        let mut after = None;
        loop {
            let found = $store.changes_after(after, PAGE).await?;
            let Some(last) = found.last() else {
                break changes;
            };
            after = Some(last.version);
            for change in &found {
                let told = change.entry.to == change.version
                    && change.$record.entry_at(change.version) == Some(&change.entry);
                if !told {
                    let text = format!("the stream tells another change: {change:?}");
                    return Err(text.into());
                }
                changes.push((change.version.as_nanos(), change.$record.id.to_bits()));
            }
        }
    }};
}

macro_rules! entries {
    ($domain:ident, $record:expr, |$past:ident| $terminal:expr) => {{
        let of_entry = |entry: &Arc<$domain::HistoryEntry>| {
            let past = $record.as_of(entry.to);
            Entry {
                version: entry.to.as_nanos(),
                idempotency_key: entry.idempotency_key.map(|operation| operation.to_bits()),
                action: format!("{:?}", entry.action),
                sum: past.as_ref().map_or(0, sum),
                status: past
                    .as_ref()
                    .map_or(String::new(), |past| word(past.status)),
                terminal: past.as_ref().is_some_and(|$past| $terminal),
            }
        };
        $record.history.iter().map(of_entry).collect()
    }};
}

/// As a status is written in the file.
fn word(status: impl Debug) -> String {
    format!("{status:?}").to_lowercase()
}

async fn requests(stores: &Stores, ids: &[u64], at: i64) -> Result<Seen, Trouble> {
    let store = &stores.requests;
    let mut records = BTreeMap::new();
    for id in ids {
        let request = store.get(request::RequestId::from_bits(*id)).await?;
        if request.as_of(request.updated_at).as_ref() != Some(&*request) {
            let text = format!("request `{}` is not what its history makes", request.id);
            return Err(text.into());
        }
        let record = Record {
            created: request.created.as_nanos(),
            created_at: nanos(request.created_at),
            user: request.requester.to_string(),
            profile: request.profile.to_string(),
            status: word(request.status),
            note: request.note.as_deref().map(str::to_owned),
            ended_at: request.ended_at().map(nanos),
            until: request.access_until.map(nanos),
            from: request
                .approval
                .as_ref()
                .map(|approval| (nanos(approval.at), approval.version.as_nanos())),
            deadline: nanos(request.decide_by),
            reviewed: false,
            entries: entries!(request, request, |past| past.status
                != request::Status::Approved
                && past.is_terminal(past.updated_at.time())),
        };
        records.insert(*id, record);
    }
    let mut seen = Seen {
        records,
        head: store.head().await?,
        changes: changes!(store, request),
        lists: BTreeMap::new(),
    };
    let time = DateTime::from_timestamp_nanos(at);
    let lists = &mut seen.lists;
    for status in request::Status::ALL {
        let filter = status.into();
        let ids = listed!(request, |page| store.list(&filter, page));
        lists.insert(format!("status {}", word(status)), ids);
    }
    for name in PEOPLE {
        let user: request::User = named(name);
        let filter = user.clone().into();
        let ids = listed!(request, |page| store.list(&filter, page));
        lists.insert(format!("user {name}"), ids);
        let ids = listed!(request, |page| store.list_open(&user, page));
        lists.insert(format!("open {name}"), ids);
        for what in PROFILES {
            let profile = named(what);
            let found = store.access_at(&user, &profile, None, time).await;
            let ids = found?.map(|request| request.id.to_bits());
            lists.insert(format!("access {name} {what}"), ids.into_iter().collect());
        }
    }
    for name in PROFILES {
        let profile: request::Profile = named(name);
        let filter = profile.into();
        let ids = listed!(request, |page| store.list(&filter, page));
        lists.insert(format!("profile {name}"), ids);
    }
    let ids = listed!(request, |page| store.list_pending(None, page));
    lists.insert("waiting".to_owned(), ids);
    let bits = |found: Vec<Arc<request::Request>>| found.iter().map(|r| r.id.to_bits()).collect();
    let due = store.list_expirable(1_000).await;
    lists.insert("due".to_owned(), bits(due?));
    let ended = store.list_ended(time, 1_000).await;
    lists.insert("ended".to_owned(), bits(ended?));
    Ok(seen)
}

async fn emergencies(stores: &Stores, ids: &[u64], at: i64) -> Result<Seen, Trouble> {
    let store = &stores.emergencies;
    let mut records = BTreeMap::new();
    for id in ids {
        let emergency = store.get(breakglass::EmergencyId::from_bits(*id)).await?;
        if emergency.as_of(emergency.updated_at).as_ref() != Some(&*emergency) {
            let text = format!("emergency `{}` is not what its history makes", emergency.id);
            return Err(text.into());
        }
        let record = Record {
            created: emergency.created.as_nanos(),
            created_at: nanos(emergency.created_at),
            user: emergency.invoker.to_string(),
            profile: emergency.profile.to_string(),
            status: word(emergency.status),
            note: emergency.note.as_deref().map(str::to_owned),
            ended_at: Some(nanos(emergency.ended_at())),
            until: Some(nanos(emergency.expires_at)),
            from: Some((nanos(emergency.created_at), emergency.created.as_nanos())),
            deadline: nanos(emergency.expires_at),
            reviewed: emergency.review.is_some(),
            entries: entries!(breakglass, emergency, |past| past.is_terminal()),
        };
        records.insert(*id, record);
    }
    let mut seen = Seen {
        records,
        head: store.head().await?,
        changes: changes!(store, emergency),
        lists: BTreeMap::new(),
    };
    let time = DateTime::from_timestamp_nanos(at);
    let lists = &mut seen.lists;
    for status in breakglass::Status::ALL {
        let filter = status.into();
        let ids = listed!(breakglass, |page| store.list(&filter, page));
        lists.insert(format!("status {}", word(status)), ids);
    }
    for name in PEOPLE {
        let user: breakglass::User = named(name);
        let filter = user.clone().into();
        let ids = listed!(breakglass, |page| store.list(&filter, page));
        lists.insert(format!("user {name}"), ids);
        for what in PROFILES {
            let profile = named(what);
            let found = store.active_at(&user, &profile, time).await;
            let ids = found?.map(|emergency| emergency.id.to_bits());
            lists.insert(format!("access {name} {what}"), ids.into_iter().collect());
        }
    }
    for name in PROFILES {
        let profile: breakglass::Profile = named(name);
        let filter = profile.into();
        let ids = listed!(breakglass, |page| store.list(&filter, page));
        lists.insert(format!("profile {name}"), ids);
    }
    let ids = listed!(breakglass, |page| store.list_awaiting_review(page));
    lists.insert("awaiting".to_owned(), ids);
    let bits =
        |found: Vec<Arc<breakglass::Emergency>>| found.iter().map(|e| e.id.to_bits()).collect();
    let due = store.list_expirable(1_000).await;
    lists.insert("due".to_owned(), bits(due?));
    let ended = store.list_ended(time, 1_000).await;
    lists.insert("ended".to_owned(), bits(ended?));
    Ok(seen)
}

fn named<T: FromStr<Err: Debug>>(name: &str) -> T {
    name.parse().unwrap()
}
