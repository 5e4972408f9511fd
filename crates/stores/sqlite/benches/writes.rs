//! What a change costs: with the disk waited for and without, and in memory; what the look at file and
//! log, and the ledger, add; and what `verify` costs, itself and whoever reads beside it.
//!
//! One caller, one call at a time; contenders take turns. Calls a second are one over the mean,
//! which has in it what the log costs when it is written back.
#![allow(missing_docs, reason = "a program, not a library")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use countersign_breakglass as breakglass;
use countersign_core::clock::{Clock, SystemClock};
use countersign_core::names::{Profile, User};
use countersign_request as request;
use countersign_sqlite::{Database, EmergencyStore, Options, RequestStore, Synchronous};
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};
use support::{Folder, Verdicts, mean, median, mixed, timed};
use tokio::runtime::Runtime;

mod support;

/// Calls of each kind; a few of them show that it still runs.
fn calls() -> usize {
    if support::wanted() { 500 } else { 3 }
}

/// Requests of the file that is verified; each is created and approved.
fn verified() -> usize {
    calls() * 100
}

fn main() {
    if support::listed() {
        return;
    }
    let folder = Folder::new();
    let runtime = support::runtime();
    disk(&folder);
    durability(&folder, &runtime);
    look(&folder);
    ledger(&folder, &runtime);
    verify(&folder, &runtime);
}

fn open(path: &Path, synchronous: Synchronous) -> Database {
    let options = Options {
        synchronous,
        ..Options::default()
    };
    Database::open(path, &options).unwrap()
}

/// What is waited for: a page appended to a file, and synced.
fn disk(folder: &Folder) {
    let mut file = std::fs::File::create(folder.file("page")).unwrap();
    let page = [7; 4_096];
    let times = (0..calls()).map(|_| {
        let write = || {
            file.write_all(&page).unwrap();
            file.sync_data().unwrap();
        };
        timed(write).0
    });
    let median = median(&mut times.collect::<Vec<_>>());
    println!("a page of 4 KiB appended and synced: {median:.0} µs\n");
}

/// The times of one kind of call of one contender.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    fn median(&mut self) -> f64 {
        median(&mut self.0)
    }

    fn tell(&mut self, what: &str) {
        let (median, each_second) = (self.median(), 1e6 / mean(&self.0));
        println!("| {what} | {median:.0} | {each_second:.0} |");
    }
}

/// Creates, then approves; the microseconds of both.
fn request(runtime: &Runtime, store: &dyn request::Store, number: usize) -> [f64; 2] {
    let policy: request::ApprovalPolicy =
        r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob@example.com"]}]}"#
            .parse()
            .unwrap();
    let profile = Profile::new(format!("profile-{:04}", number % 8)).unwrap();
    let draft = request::Draft {
        id: request::RequestId::from_bits(mixed(number as u64)),
        requester: User::new(format!("user-{:06}@example.com", number % 100)).unwrap(),
        profile: profile.clone(),
        duration: Duration::from_secs(3_600),
        justification: "migrate the table of orders to its new place".to_owned(),
        ticket: Some(format!("OPS-{number}")),
        policy: None,
        idempotency_key: None,
    };
    let terms = request::Terms::of(&policy, &profile);
    let (create, made) = timed(|| runtime.block_on(store.create(&draft, &terms)).unwrap());
    let bob = User::new("bob@example.com").unwrap();
    let change = request::Change::approve(&policy, &profile, &bob, Some("as agreed"));
    let (update, _) = timed(|| {
        let update = store.update(made.id, made.updated_at, &change);
        runtime.block_on(update).unwrap()
    });
    [create, update]
}

/// Declares an emergency under quotas, then closes it; the microseconds of both.
fn emergency(runtime: &Runtime, store: &dyn breakglass::Store, number: usize) -> [f64; 2] {
    let who: breakglass::InvocationPolicy =
        r#"{"version": "1", "rules": [{"name": "anyone", "max_duration": "4h"}]}"#
            .parse()
            .unwrap();
    let often: breakglass::RateLimitPolicy =
        r#"{"version": "1", "rules": [{"name": "counted", "max_per_user": 1000,
            "max_per_profile": 1000, "quota_window": "24h"}]}"#
            .parse()
            .unwrap();
    let profile = Profile::new(format!("profile-{:04}", number % 100)).unwrap();
    let invoker = User::new(format!("user-{:06}@example.com", number % 100)).unwrap();
    let draft = breakglass::Draft {
        id: breakglass::EmergencyId::from_bits(mixed(number as u64)),
        idempotency_key: None,
        invoker: invoker.clone(),
        profile: profile.clone(),
        duration: Duration::from_secs(3_600),
        reason_code: breakglass::ReasonCode::Incident,
        justification: "the orders cannot be written".to_owned(),
        ticket: Some(format!("INC-{number}")),
        request_id: None,
        mfa: None,
    };
    let admission = breakglass::Admission::new(&who, &often, &profile);
    let (create, made) = timed(|| runtime.block_on(store.create(&draft, &admission)).unwrap());
    let change = breakglass::Change::close(&who, &profile, &invoker, "the primary is back");
    let (update, _) = timed(|| {
        let update = store.update(made.id, made.updated_at, &change);
        runtime.block_on(update).unwrap()
    });
    [create, update]
}

/// What keeps requests and emergencies, and what it is called.
type Stores<'a> = (&'a str, Arc<dyn request::Store>, Arc<dyn breakglass::Store>);

fn durability(folder: &Folder, runtime: &Runtime) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let files = [
        ("`Full`", open(&folder.file("full.db"), Synchronous::Full)),
        (
            "`Normal`",
            open(&folder.file("normal.db"), Synchronous::Normal),
        ),
    ];
    let mut stores: Vec<Stores<'_>> = Vec::new();
    for (name, file) in &files {
        let requests = RequestStore::new(file, clock.clone());
        let emergencies = EmergencyStore::new(file, clock.clone());
        stores.push((name, Arc::new(requests), Arc::new(emergencies)));
    }
    let requests = request::InMemory::new(clock.clone());
    let emergencies = breakglass::InMemory::new(clock);
    stores.push(("`InMemory`", Arc::new(requests), Arc::new(emergencies)));
    let mut times: Vec<[Times; 4]> = stores.iter().map(|_| Default::default()).collect();
    for number in 0..calls() {
        for (times, (_, requests, emergencies)) in times.iter_mut().zip(&stores) {
            let request = request(runtime, &**requests, number);
            let emergency = emergency(runtime, &**emergencies, number);
            for (times, time) in times.iter_mut().zip(request.into_iter().chain(emergency)) {
                times.0.push(time);
            }
        }
    }
    println!("| call | median (µs) | a second |\n|---|---|---|");
    for (mut times, (name, ..)) in times.into_iter().zip(stores) {
        for (times, what) in times.iter_mut().zip([
            "request: create",
            "request: update",
            "emergency: create",
            "emergency: update",
        ]) {
            times.tell(&format!("{what}, {name}"));
        }
    }
}

/// What every call does before it is answered: the metadata of three files.
fn look(folder: &Folder) {
    let files = ["full.db", "full.db-wal", "full.db-shm"].map(|name| folder.file(name));
    let times = (0..calls()).map(|_| {
        let look = || {
            files
                .each_ref()
                .map(|file| std::fs::metadata(file).unwrap())
        };
        timed(look).0
    });
    let mut times = times.collect::<Vec<_>>();
    println!(
        "\na look at file, log and shared memory: {:.1} µs\n",
        median(&mut times)
    );
}

/// What a change writes, by statements of this benchmark's own: with its row of the ledger and
/// without; and the digests alone.
fn ledger(folder: &Folder, runtime: &Runtime) {
    let path = folder.file("ledger.db");
    let file = open(&path, Synchronous::Normal);
    let store = RequestStore::new(&file, Arc::new(SystemClock));
    let times = (0..calls()).map(|number| request(runtime, &store, number)[1]);
    let update = median(&mut times.collect::<Vec<_>>());
    drop((store, file));

    let connection = Connection::open(&path).unwrap();
    // All triggers but those of the ledger: without its row they would refuse the change.
    let sql = "SELECT group_concat('DROP TRIGGER ' || name, ';') FROM sqlite_schema
        WHERE type = 'trigger' AND tbl_name IN ('request', 'request_history')";
    let removal: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    connection.execute_batch(&removal).unwrap();
    connection
        .execute_batch("PRAGMA synchronous = NORMAL")
        .unwrap();
    let prepare = |sql| connection.prepare(sql).unwrap();
    let (mut begin, mut commit) = (prepare("BEGIN IMMEDIATE"), prepare("COMMIT"));
    let mut records = prepare("SELECT created FROM request");
    let records = records.query_map([], |row| row.get(0)).unwrap();
    let records: Vec<i64> = records.map(Result::unwrap).collect();
    let mut row = prepare("UPDATE request SET note = 'x', updated_at = ?2 WHERE created = ?1");
    let mut entry = prepare(
        "INSERT INTO request_history (record, version, at, action, actor_kind, actor, reason, \
         digest) VALUES (?1, ?2, ?2, 'noted', 'user', 'bob@example.com', 'the replica lags', \
         zeroblob(32))",
    );
    let mut ledger = prepare(
        "INSERT INTO request_ledger (position, version, at, writer, action, record, id, digest, \
         head) SELECT max(position) + 1, ?2, ?2, 1, 'entry', ?1, '0123456789abcdef', \
         zeroblob(32), zeroblob(32) FROM request_ledger",
    );
    let mut version = i64::MAX / 2;
    let mut times: [Times; 2] = Default::default();
    for number in 0..calls() * 4 {
        for (times, with_ledger) in times.iter_mut().zip([true, false]) {
            version += 1;
            let values = [records[number % records.len()], version];
            let change = || {
                begin.execute([]).unwrap();
                row.execute(values).unwrap();
                entry.execute(values).unwrap();
                if with_ledger {
                    ledger.execute(values).unwrap();
                }
                commit.execute([]).unwrap();
            };
            times.0.push(timed(change).0);
        }
    }
    let [with, without] = times.each_mut().map(Times::median);
    // About what is digested: what identifies a request, an entry, a row of the ledger.
    let (create, change) = (digests(&[320, 220, 230]), digests(&[220, 230]));
    println!("\n| of the ledger, `Normal` | µs |\n|---|---|");
    println!("| an entry written with its row of the ledger | {with:.0} |");
    println!("| an entry written alone | {without:.0} |");
    println!("| the digests of an update, of a create | {change:.2}, {create:.2} |");
    println!("| an update by the store, with all of it | {update:.0} |");
}

/// The microseconds that it takes to digest so many bytes, and so many.
fn digests(lengths: &[usize]) -> f64 {
    let bytes = [7; 512];
    let digest = || {
        for length in lengths {
            std::hint::black_box(Sha256::digest(&bytes[..*length]));
        }
    };
    let times = (0..calls()).map(|_| timed(|| (0..100).for_each(|_| digest())).0 / 100.0);
    median(&mut times.collect::<Vec<_>>())
}

fn verify(folder: &Folder, runtime: &Runtime) {
    let path = folder.file("verified.db");
    let file = open(&path, Synchronous::Normal);
    let store = RequestStore::new(&file, Arc::new(SystemClock));
    let (filled, ()) = timed(|| {
        for number in 0..verified() {
            request(runtime, &store, number);
        }
    });
    let head = runtime.block_on(store.head()).unwrap();
    let (first, report) = timed(|| runtime.block_on(store.verify(Some(&head))).unwrap());
    assert!(report.is_clean(), "{:?}", report.findings);
    let (second, _) = timed(|| runtime.block_on(store.verify(None)).unwrap());
    println!(
        "\n{} changes of requests written in {:.0} s, {} MiB; verified in {:.2} s and {:.2} s",
        2 * verified(),
        filled / 1e6,
        std::fs::metadata(&path).unwrap().len() >> 20,
        first / 1e6,
        second / 1e6,
    );
    beside(runtime, &store);
}

/// How often the two are measured, in turns.
fn rounds() -> usize {
    if support::wanted() { 3 } else { 1 }
}

/// What `find_grant` takes alone, and while two `verify` are under way.
fn beside(runtime: &Runtime, store: &RequestStore) {
    let (user, profile) = (
        |number| format!("user-{number:06}@example.com"),
        "profile-0003",
    );
    let profile = Profile::new(profile).unwrap();
    let find = |number: usize| {
        let user = User::new(user(mixed(number as u64) % 100)).unwrap();
        let find = request::Store::find_grant(store, &user, &profile, None);
        timed(|| runtime.block_on(find).unwrap()).0
    };
    let (mut alone, mut disturbed) = (Vec::new(), Vec::new());
    for _ in 0..rounds() {
        let under_way = AtomicUsize::new(2);
        let before = disturbed.len();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let report = support::runtime().block_on(store.verify(None)).unwrap();
                    assert!(report.is_clean(), "{:?}", report.findings);
                    under_way.fetch_sub(1, Ordering::Relaxed);
                });
            }
            while under_way.load(Ordering::Relaxed) > 0 {
                disturbed.push(find(disturbed.len()));
            }
        });
        alone.extend((before..disturbed.len()).map(find));
    }
    println!(
        "\n| `find_grant` | median (µs) | p99 (µs) | the longest (µs) | calls |\n|---|---|---|---|---|"
    );
    let mut p99s = [0.0; 2];
    let contenders = [
        ("alone", &mut alone),
        ("beside two `verify`", &mut disturbed),
    ];
    for (p99, (name, times)) in p99s.iter_mut().zip(contenders) {
        let median = median(times);
        *p99 = times[(times.len() - 1) * 99 / 100];
        let (longest, calls) = (times[times.len() - 1], times.len());
        println!("| {name} | {median:.0} | {p99:.0} | {longest:.0} | {calls} |");
    }
    // A few calls in a debug build say nothing.
    if support::wanted() {
        let mut verdicts = Verdicts::default();
        let ratio = p99s[1] / p99s[0];
        verdicts.at_most("p99 of find_grant beside two verify / alone", ratio, 2.0);
    }
}
