//! What many callers reach together, against bare statements of the same rows in the same run: changes
//! that wait for the disk, and gets.
//!
//! Contenders take turns, round by round; each is told by its median round. With the argument `one` only
//! what a single caller waits for is measured, to be compared with another build of the same benchmark.
#![allow(missing_docs, reason = "a program, not a library")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign_core::clock::SystemClock;
use countersign_core::future::BoxFuture;
use countersign_core::names::{Profile, User};
use countersign_request::{ApprovalPolicy, Change, Draft, RequestId, Store, Terms};
use countersign_sqlite::{Database, Options, RequestStore, Synchronous};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use support::{Folder, Verdicts, median, mixed, timed};
use tokio::runtime::{Builder, Runtime};

mod support;

/// How often each contender has its turn.
fn rounds() -> usize {
    if support::wanted() { 9 } else { 1 }
}

/// Requests that are created in a round, or got.
fn calls() -> usize {
    if support::wanted() { 1_280 } else { 64 }
}

/// The steps of a batch, of the statements that stand for what the disk and the engine reach.
const IN_A_TRANSACTION: usize = 50;

/// How many call at once.
const CALLERS: [usize; 3] = [1, 8, 64];

fn main() {
    if support::listed() {
        return;
    }
    let folder = Folder::new();
    if std::env::args().any(|argument| argument == "one") {
        one(&folder);
        return;
    }
    let mut verdicts = Verdicts::default();
    changes(&folder, &mut verdicts);
    gets(&folder, &mut verdicts);
}

fn open(path: &Path, synchronous: Synchronous) -> RequestStore {
    let options = Options {
        synchronous,
        ..Options::default()
    };
    RequestStore::new(
        &Database::open(path, &options).unwrap(),
        Arc::new(SystemClock),
    )
}

fn rules() -> ApprovalPolicy {
    let rules = r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob@example.com"]}]}"#;
    rules.parse().unwrap()
}

fn id(number: usize) -> RequestId {
    RequestId::from_bits(mixed(number as u64))
}

fn draft(number: usize) -> Draft {
    Draft {
        id: id(number),
        requester: User::new(format!("user-{:06}@example.com", number % 100)).unwrap(),
        profile: Profile::new(format!("profile-{:04}", number % 8)).unwrap(),
        duration: Duration::from_secs(3_600),
        justification: "migrate the table of orders to its new place".to_owned(),
        ticket: Some(format!("OPS-{number}")),
        policy: None,
        idempotency_key: None,
    }
}

/// A runtime as a service has it.
fn service() -> Runtime {
    let mut runtime = Builder::new_multi_thread();
    runtime.worker_threads(2).build().unwrap()
}

/// What a caller does with a number.
type Call =
    fn(Arc<RequestStore>, usize) -> std::pin::Pin<Box<dyn std::future::Future<Output = ()> + Send>>;

fn create(store: Arc<RequestStore>, number: usize) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let (draft, rules) = (draft(number), rules());
        let terms = Terms::of(&rules, &draft.profile);
        store.create(&draft, &terms).await.unwrap();
    })
}

fn get(store: Arc<RequestStore>, number: usize) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        store.get(id(number)).await.unwrap();
    })
}

/// Lets so many callers share the numbers; how many calls a second they make.
fn together(
    runtime: &Runtime,
    store: &Arc<RequestStore>,
    callers: usize,
    numbers: std::ops::Range<usize>,
    call: Call,
) -> f64 {
    let (next, count) = (Arc::new(AtomicUsize::new(numbers.start)), numbers.len());
    let (time, ()) = timed(|| {
        let tasks: Vec<_> = (0..callers)
            .map(|_| {
                let (store, next, end) = (store.clone(), next.clone(), numbers.end);
                runtime.spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= end {
                            break;
                        }
                        call(store.clone(), number).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            runtime.block_on(task).unwrap();
        }
    });
    count as f64 * 1e6 / time
}

/// The rows of a file, table by table, to be written again by bare statements.
struct Copied {
    inserts: Vec<String>,
    /// Of each request, the rows that its creation wrote.
    rows: Vec<Vec<Vec<Value>>>,
}

impl Copied {
    /// Of a file in which nothing but creations happened.
    fn of(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        let (mut inserts, mut rows) = (Vec::new(), Vec::<Vec<Vec<Value>>>::new());
        for table in ["request", "request_history", "request_ledger"] {
            let sql = format!("SELECT name FROM pragma_table_info('{table}')");
            let mut names = connection.prepare(&sql).unwrap();
            let names = names.query_map([], |row| row.get(0)).unwrap();
            let names: Vec<String> = names.map(Result::unwrap).collect();
            let (columns, count) = (names.join(", "), names.len());
            let places: Vec<_> = (1..=count).map(|place| format!("?{place}")).collect();
            let places = places.join(", ");
            inserts.push(format!("INSERT INTO {table} ({columns}) VALUES ({places})"));
            let order = if table == "request" {
                "created"
            } else {
                "version"
            };
            let sql = format!("SELECT {columns} FROM {table} ORDER BY {order}");
            let mut found = connection.prepare(&sql).unwrap();
            let found = found
                .query_map([], |row| (0..count).map(|place| row.get(place)).collect())
                .unwrap();
            let found: Vec<Vec<Value>> = found.map(Result::unwrap).collect();
            rows.resize_with(found.len(), Vec::new);
            for (rows, row) in rows.iter_mut().zip(found) {
                rows.push(row);
            }
        }
        Self { inserts, rows }
    }
}

/// A connection as the stores have theirs, to a file with their schema.
fn bare(path: &Path, with_triggers: bool) -> Connection {
    drop(open(path, Synchronous::Normal));
    let connection = Connection::open(path).unwrap();
    let settings =
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -16384;";
    connection.execute_batch(settings).unwrap();
    if !with_triggers {
        let sql = "SELECT group_concat('DROP TRIGGER ' || name, ';') FROM sqlite_schema
            WHERE type = 'trigger'";
        let removal: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        connection.execute_batch(&removal).unwrap();
    }
    connection
}

/// Writes rows by bare statements, so many creations to a transaction; how many a second.
fn written(connection: &Connection, copied: &Copied, numbers: std::ops::Range<usize>) -> f64 {
    let count = numbers.len();
    let mut inserts: Vec<_> = copied
        .inserts
        .iter()
        .map(|sql| connection.prepare(sql).unwrap())
        .collect();
    let (time, ()) = timed(|| {
        for rows in copied.rows[numbers].chunks(IN_A_TRANSACTION) {
            connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            for rows in rows {
                for (insert, row) in inserts.iter_mut().zip(rows) {
                    insert.execute(params_from_iter(row)).unwrap();
                }
            }
            connection.execute_batch("COMMIT").unwrap();
        }
    });
    count as f64 * 1e6 / time
}

fn told(what: &str, rates: &mut [f64]) {
    println!("| {what} | {:.0} |", median(rates));
}

/// The median of what each round gives: what else the machine did meets both sides of it.
fn ratio(rates: &[f64], bare: &[f64]) -> f64 {
    let ratios = rates.iter().zip(bare).map(|(rate, bare)| rate / bare);
    median(&mut ratios.collect::<Vec<_>>())
}

fn changes(folder: &Folder, verdicts: &mut Verdicts) {
    let (runtime, all) = (service(), rounds() * calls());
    let source = folder.file("source.db");
    let store = Arc::new(open(&source, Synchronous::Normal));
    together(&runtime, &store, 1, 0..all, create);
    drop(store);
    let copied = Copied::of(&source);
    let (guarded, free) = (folder.file("guarded.db"), folder.file("free.db"));
    let (guarded, free) = (bare(&guarded, true), bare(&free, false));
    let stores = CALLERS.map(|callers| {
        let path = folder.file(&format!("callers-{callers}.db"));
        Arc::new(open(&path, Synchronous::Full))
    });
    let mut rates: [Vec<f64>; 5] = Default::default();
    for round in 0..rounds() {
        let numbers = || round * calls()..(round + 1) * calls();
        rates[0].push(written(&guarded, &copied, numbers()));
        rates[1].push(written(&free, &copied, numbers()));
        for (rates, (store, callers)) in rates[2..].iter_mut().zip(stores.iter().zip(CALLERS)) {
            rates.push(together(&runtime, store, callers, numbers(), create));
        }
    }
    println!("| creations, `Full` | a second |\n|---|---|");
    let [bare, free, callers @ ..] = &mut rates;
    let ratio = ratio(&callers[2], bare);
    told("bare statements, 50 to a transaction", bare);
    told("the same without the schema's triggers", free);
    for (rates, callers) in callers.iter_mut().zip(CALLERS) {
        told(&format!("the store, callers: {callers}"), rates);
    }
    if support::wanted() {
        verdicts.at_least("creations of 64 callers / bare statements", ratio, 0.7);
    }
}

fn gets(folder: &Folder, verdicts: &mut Verdicts) {
    let (runtime, path) = (service(), folder.file("callers-64.db"));
    let store = Arc::new(open(&path, Synchronous::Full));
    let connection = Connection::open(&path).unwrap();
    let mut record = connection
        .prepare(
            "SELECT created, id, requester, profile, duration, justification, ticket, policy, \
             ends_with_policy, created_at, decide_by FROM request WHERE id = ?1",
        )
        .unwrap();
    let mut history = connection
        .prepare(
            "SELECT version, at, previous, action, actor_kind, actor, reason, idempotency_key, digest \
             FROM request_history WHERE record = ?1 ORDER BY version",
        )
        .unwrap();
    let mut get_bare = |number: usize| {
        let row = |row: &rusqlite::Row<'_>, count| {
            (0..count)
                .map(|place| row.get(place))
                .collect::<Result<Vec<Value>, _>>()
        };
        let found = record.query_row([id(number).to_string()], |found| row(found, 11));
        let found = found.unwrap();
        let entries = history
            .query_map([&found[0]], |found| row(found, 9))
            .unwrap();
        assert_eq!(entries.map(Result::unwrap).count(), 1);
    };
    let (all, calls) = (rounds() * calls(), 10 * calls());
    let mut rates: [Vec<f64>; 4] = Default::default();
    for _ in 0..rounds() {
        let (time, ()) = timed(|| (0..calls).for_each(|number| get_bare(number % all)));
        rates[0].push(calls as f64 * 1e6 / time);
        for (rates, callers) in rates[1..].iter_mut().zip(CALLERS) {
            let calls = calls.min(all);
            rates.push(together(&runtime, &store, callers, 0..calls, get));
        }
    }
    println!("\n| gets | a second |\n|---|---|");
    let [bare, callers @ ..] = &mut rates;
    let ratios = callers.each_ref().map(|rates| ratio(rates, bare));
    told("one bare connection", bare);
    for ((rates, callers), ratio) in callers.iter_mut().zip(CALLERS).zip(ratios) {
        told(&format!("the store, callers: {callers}"), rates);
        if support::wanted() && callers > 1 {
            verdicts.at_least(&format!("gets of {callers} callers / bare"), ratio, 0.7);
        }
    }
}

/// The medians of a create, an update and a get, in microseconds.
fn one(folder: &Folder) {
    let (runtime, store) = (
        support::runtime(),
        open(&folder.file("one.db"), Synchronous::Full),
    );
    let (rules, bob) = (rules(), User::new("bob@example.com").unwrap());
    let mut times: [Vec<f64>; 3] = Default::default();
    for number in 0..2 * calls() {
        let draft = draft(number);
        let terms = Terms::of(&rules, &draft.profile);
        let (time, made) = timed(|| runtime.block_on(store.create(&draft, &terms)).unwrap());
        times[0].push(time);
        let change = Change::approve(&rules, &draft.profile, &bob, Some("as agreed"));
        let update = store.update(made.id, made.updated_at, &change);
        times[1].push(timed(|| runtime.block_on(update).unwrap()).0);
        times[2].push(timed(|| runtime.block_on(store.get(made.id)).unwrap()).0);
    }
    let [create, update, get] = times.each_mut().map(|times| median(times));
    println!("one caller: create {create:.1} µs, update {update:.1} µs, get {get:.1} µs");
}
