//! Steps that wait together, and what becomes of each when another goes wrong.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use chrono::{DateTime, Utc};
use countersign_core::clock::Clock;
use countersign_core::engine::{Engine as _, Reads as _, Transaction as _};
use countersign_core::time::CLOCK_TOLERANCE;
use countersign_core::version::Version;
use countersign_request::{Change, IdempotencyKey, Limits, Request};

use super::locks::{Asked, has_tried};
use super::*;
use crate::batch::Writing;
use crate::engine::FileEngine;
use crate::records::Rows as _;
use crate::step::Books;

/// A clock that goes on by a second with each reading.
#[derive(Debug)]
struct Going(AtomicI64);

impl Clock for Going {
    fn now(&self) -> DateTime<Utc> {
        let second = self.0.fetch_add(1, Ordering::Relaxed);
        let start: DateTime<Utc> = "2026-03-02T09:00:00Z".parse().unwrap();
        start + Duration::from_secs(second.unsigned_abs())
    }
}

/// A file with a clock that goes on, and its one store in two forms.
struct File {
    _folder: TempDir,
    path: PathBuf,
    database: Database,
    store: RequestStore,
    engine: FileEngine<Request>,
    terms: Terms,
}

impl File {
    fn new() -> Self {
        let (_folder, path) = file();
        let database = Database::open(&path, &Options::default()).unwrap();
        Self::of(_folder, path, database)
    }

    fn of(_folder: TempDir, path: PathBuf, database: Database) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(Going(AtomicI64::new(0)));
        let store = RequestStore::new(&database, clock.clone());
        let books = Books::new(&database, Request::LEDGER, clock, CLOCK_TOLERANCE);
        Self {
            _folder,
            path,
            database,
            store,
            engine: FileEngine::over(books),
            terms: terms(),
        }
    }

    /// Holds the thread that writes, so that what is queued now waits together.
    fn held(&self) -> (Held, Waits<'_, ()>) {
        let (held, mut call) = held();
        let mut holding = Box::pin(self.database.write(move |_| call()));
        queue(holding.as_mut());
        held.has_begun();
        (held, holding)
    }

    /// A step that makes a request, and notes with which stamp whenever it is made.
    fn create(&self, id: u64, seen: &Seen) -> Waits<'_, Arc<Request>> {
        let (seen, draft, terms) = (Arc::clone(seen), draft(id), self.terms.clone());
        let mut made = Box::pin(self.engine.write(move |step| {
            let stamp = step.stamp()?;
            seen.lock()
                .unwrap()
                .push((id, stamp.version, stamp.now.at()));
            step.get(&draft.id)?;
            let made = Request::create(&draft, &Limits::default(), &terms, stamp)?;
            Ok::<_, Error>(step.put(made))
        }));
        queue(made.as_mut());
        made
    }

    /// A step that breaks a constraint when it is written out, after its first record.
    fn break_a_constraint(&self, ids: [u64; 2], runs: &Arc<AtomicUsize>) -> Waits<'_, ()> {
        let (runs, terms, drafts) = (Arc::clone(runs), self.terms.clone(), ids.map(draft));
        let mut broken = Box::pin(self.engine.write(move |step| {
            runs.fetch_add(1, Ordering::Relaxed);
            let stamp = step.stamp()?;
            for draft in &drafts {
                step.put(Request::create(draft, &Limits::default(), &terms, stamp)?);
            }
            Ok::<_, Error>(())
        }));
        queue(broken.as_mut());
        broken
    }

    fn ids(&self) -> Vec<u64> {
        let connection = Connection::open(&self.path).unwrap();
        let mut ids = connection
            .prepare("SELECT id FROM request ORDER BY created")
            .unwrap();
        let ids = ids.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let number = |id: String| u64::from_str_radix(&id, 16).unwrap();
        ids.map(|id| number(id.unwrap())).collect()
    }

    fn assert_verified(&self) {
        let report = wait(self.store.verify(None)).unwrap();
        assert!(report.is_clean(), "{:?}", report.findings);
    }
}

type Waits<'f, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + 'f>>;
/// Request, version and time of each run of a step.
type Seen = Arc<Mutex<Vec<(u64, Version, DateTime<Utc>)>>>;

fn missing(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. })
}

/// How many requests there are for this connection.
fn count(connection: &Connection) -> i64 {
    let count = |row: &rusqlite::Row<'_>| row.get(0);
    let sql = "SELECT count(*) FROM request";
    connection.query_row(sql, [], count).unwrap()
}

#[test]
fn steps_that_wait_together_are_one_transaction_in_order_and_each_sees_those_before_it() {
    let file = File::new();
    let (held, holding) = file.held();
    let (seen, path) = (Seen::default(), file.path.clone());
    let look = move |writing: &mut Writing| {
        let other = Connection::open(&path).unwrap();
        Ok::<_, Stop<Error>>([count(&writing.connection), count(&other)])
    };
    let first = file.create(1, &seen);
    let second = file.create(2, &seen);
    let mut between = pin!(file.database.write(look));
    queue(between.as_mut());
    let third = file.create(3, &seen);
    drop(held.let_go);
    wait(holding).unwrap();
    assert_eq!(wait(between).unwrap(), [2, 0], "here, and for others");
    let made = [first, second, third].map(|step| wait(step).unwrap());
    assert_eq!(file.ids(), [1, 2, 3]);
    let ats = made.each_ref().map(|request| request.created_at);
    assert_eq!(ats, [ats[0]; 3], "the clock is read once");
    assert!(made[0].created < made[1].created && made[1].created < made[2].created);
    let alone = wait(file.create(4, &seen)).unwrap();
    assert!(alone.created_at > ats[0], "and again for the next");
    file.assert_verified();
}

#[test]
fn a_batch_has_an_end_and_the_next_begins_with_who_is_left() {
    let file = File::new();
    let (held, holding) = file.held();
    let seen = Seen::default();
    let steps: Vec<_> = (1..=128).map(|id| file.create(id, &seen)).collect();
    let path = file.path.clone();
    let look = move |writing: &mut Writing| {
        let other = Connection::open(&path).unwrap();
        Ok::<_, Stop<Error>>([count(&writing.connection), count(&other)])
    };
    let mut next = pin!(file.database.write(look));
    queue(next.as_mut());
    drop(held.let_go);
    wait(holding).unwrap();
    assert_eq!(
        wait(next).unwrap(),
        [128, 128],
        "those before are committed"
    );
    for step in steps {
        wait(step).unwrap();
    }
    file.assert_verified();
}

/// The answers of steps whose batch is committed, or not: a refusal before any write; a creation; who
/// repeats it, does it again, is too late, and asks for what is not there, after it.
#[test]
fn what_rests_on_a_write_of_a_batch_whose_commit_fails_fails_with_it() {
    for fails in [false, true] {
        let file = File::new();
        let (held, holding) = file.held();
        let mut hook = pin!(file.database.write(move |writing: &mut Writing| {
            writing.connection.commit_hook(Some(move || fails))?;
            Ok::<_, Stop<Error>>(())
        }));
        queue(hook.as_mut());
        let (bob, [id, absent]) = (User::new("bob").unwrap(), [1, 9].map(RequestId::from_bits));
        let (note, nothing) = (Change::note(&bob, "seen"), Version::from_nanos(1));
        let draft = Draft {
            idempotency_key: Some(IdempotencyKey::from_bits(7)),
            ..draft(1)
        };
        let again = Draft {
            idempotency_key: None,
            ..draft.clone()
        };
        let mut before = pin!(file.store.update(absent, nothing, &note));
        let mut first = pin!(file.store.create(&draft, &file.terms));
        let mut repeated = pin!(file.store.create(&draft, &file.terms));
        let mut another = pin!(file.store.create(&again, &file.terms));
        let mut late = pin!(file.store.update(id, nothing, &note));
        let mut after = pin!(file.store.update(absent, nothing, &note));
        queue(before.as_mut());
        queue(first.as_mut());
        queue(repeated.as_mut());
        queue(another.as_mut());
        queue(late.as_mut());
        queue(after.as_mut());
        drop(held.let_go);
        wait(holding).unwrap();
        wait(hook).unwrap();
        assert!(missing(&wait(before).unwrap_err()), "it rests on nothing");
        let answers = [
            wait(first),
            wait(repeated),
            wait(another),
            wait(late),
            wait(after),
        ];
        if fails {
            for answer in answers {
                let (_, outcome, source) = backend(answer);
                assert!(matches!(source, EngineError::Constraint(_)), "{source}");
                assert_eq!(outcome, Outcome::Unknown);
            }
            assert!(file.ids().is_empty());
            let mut unhook = pin!(file.database.write(|writing: &mut Writing| {
                writing.connection.commit_hook(None::<fn() -> bool>)?;
                Ok::<_, Stop<Error>>(())
            }));
            wait(unhook.as_mut()).unwrap();
            wait(file.store.create(&draft, &file.terms)).unwrap();
        } else {
            let [first, repeated, another, late, after] = answers;
            assert_eq!(first.unwrap(), repeated.unwrap());
            assert!(
                matches!(another, Err(Error::AlreadyExists { .. })),
                "{another:?}"
            );
            assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
            assert!(missing(&after.unwrap_err()));
        }
        assert_eq!(file.ids(), [1]);
        file.assert_verified();
    }
}

/// A commit may fail and leave its transaction open.
#[test]
fn a_commit_that_fails_leaves_the_file_to_others() {
    let file = File::new();
    let fails = |writing: &mut Writing| {
        let dangling = "CREATE TEMP TABLE one (id PRIMARY KEY);
            CREATE TEMP TABLE many (id REFERENCES one DEFERRABLE INITIALLY DEFERRED);
            INSERT INTO many VALUES (1)";
        writing.connection.execute_batch(dangling)?;
        Ok::<_, Stop<Error>>(())
    };
    let (_, _, source) = backend(wait(file.database.write(fails)));
    assert!(matches!(source, EngineError::Constraint(_)), "{source}");
    let other = Connection::open(&file.path).unwrap();
    other.busy_timeout(Duration::ZERO).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; ROLLBACK").unwrap();
    wait(file.store.create(&draft(1), &file.terms)).unwrap();
}

#[test]
fn a_constraint_has_the_steps_before_it_made_again_with_the_same_stamps() {
    let file = File::new();
    let (held, holding) = file.held();
    let (seen, runs) = (Seen::default(), Arc::default());
    let first = file.create(1, &seen);
    let second = file.create(2, &seen);
    let broken = file.break_a_constraint([3, 4], &runs);
    let last = file.create(5, &seen);
    drop(held.let_go);
    wait(holding).unwrap();
    let made = [first, second, last].map(|step| wait(step).unwrap());
    let (retryable, outcome, source) = backend(wait(broken));
    assert!(matches!(source, EngineError::Constraint(_)), "{source}");
    assert_eq!((retryable, outcome), (false, Outcome::NotApplied));
    assert_eq!(
        runs.load(Ordering::Relaxed),
        2,
        "it gets an answer of its own"
    );
    assert_eq!(file.ids(), [1, 2, 5]);
    let seen = seen.lock().unwrap();
    let [one, two, one_again, two_again, five] = seen[..] else {
        panic!("the steps before it are made twice, the others once: {seen:?}");
    };
    assert_eq!([one, two], [one_again, two_again], "with the same stamps");
    assert_eq!([one.1, two.1, five.1], made.map(|request| request.created));
    file.assert_verified();
}

/// A step that is alone in having written need not be made again: it has its answer.
#[test]
fn a_constraint_that_only_its_own_step_had_part_in_has_nothing_made_again() {
    let file = File::new();
    let (held, holding) = file.held();
    let (seen, runs) = (Seen::default(), Arc::default());
    let nothing = Version::from_nanos(1);
    let note = Change::note(&User::new("bob").unwrap(), "seen");
    let mut refused = pin!(file.store.update(RequestId::from_bits(9), nothing, &note));
    queue(refused.as_mut());
    let broken = file.break_a_constraint([3, 4], &runs);
    let last = file.create(5, &seen);
    drop(held.let_go);
    wait(holding).unwrap();
    assert!(missing(&wait(refused).unwrap_err()));
    let (_, outcome, _) = backend(wait(broken));
    assert_eq!(outcome, Outcome::NotApplied);
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    wait(last).unwrap();
    assert_eq!(file.ids(), [5]);
}

/// In the midst of a batch: with what it had staged, and with what it had written already.
#[test]
fn a_step_that_panics_leaves_the_others_as_they_are_and_is_made_once() {
    for writes in [false, true] {
        let file = File::new();
        let (held, holding) = file.held();
        let (seen, runs) = (Seen::default(), Arc::<AtomicUsize>::default());
        let first = file.create(1, &seen);
        let counted = Arc::clone(&runs);
        let panics = move |writing: &mut Writing| -> Result<(), Stop<Error>> {
            counted.fetch_add(1, Ordering::Relaxed);
            if writes {
                let spoil =
                    "DROP TRIGGER request_is_deleted; DROP TRIGGER request_history_is_deleted;
                    DELETE FROM request_history; DELETE FROM request";
                writing.connection.execute_batch(spoil)?;
            }
            panic!("a clock panics")
        };
        let mut panics = pin!(file.database.write(panics));
        queue(panics.as_mut());
        let last = file.create(2, &seen);
        drop(held.let_go);
        wait(holding).unwrap();
        let (_, outcome, source) = backend(wait(panics));
        assert!(matches!(source, EngineError::Panicked), "{source}");
        assert_eq!(outcome, Outcome::NotApplied);
        wait(first).unwrap();
        wait(last).unwrap();
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        let made: Vec<_> = seen.lock().unwrap().iter().map(|seen| seen.0).collect();
        assert_eq!(made, if writes { vec![1, 1, 2] } else { vec![1, 2] });
        assert_eq!(file.ids(), [1, 2]);
        file.assert_verified();
    }
}

#[test]
fn a_step_that_cannot_read_leaves_the_others_as_they_are() {
    let file = File::new();
    let (held, holding) = file.held();
    let seen = Seen::default();
    let first = file.create(1, &seen);
    let fails = |_: &mut Writing| Err::<(), Stop<Error>>(EngineError::Closed.into());
    let mut failing = pin!(file.database.write(fails));
    queue(failing.as_mut());
    let last = file.create(2, &seen);
    drop(held.let_go);
    wait(holding).unwrap();
    backend(wait(failing));
    wait(first).unwrap();
    wait(last).unwrap();
    assert_eq!(seen.lock().unwrap().len(), 2, "each was made once");
    assert_eq!(file.ids(), [1, 2]);
}

#[test]
fn a_step_that_is_given_up_before_its_turn_in_a_batch_is_not_made() {
    let file = File::new();
    let (held_first, holding) = file.held();
    let seen = Seen::default();
    let (within, mut call) = held();
    let mut in_the_batch = pin!(file.database.write(move |_| call()));
    queue(in_the_batch.as_mut());
    let given_up = file.create(1, &seen);
    let last = file.create(2, &seen);
    drop(held_first.let_go);
    wait(holding).unwrap();
    within.has_begun();
    drop(given_up);
    drop(within.let_go);
    wait(in_the_batch).unwrap();
    wait(last).unwrap();
    assert_eq!(file.ids(), [2]);
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[test]
fn a_call_that_is_given_up_leaves_its_place_in_the_queue() {
    let (folder, path) = super::file();
    let database = Database::open(&path, &short_queues()).unwrap();
    let file = File::of(folder, path, database);
    let (held, holding) = file.held();
    let seen = Seen::default();
    let first = file.create(1, &seen);
    let given_up = file.create(2, &seen);
    says_that_the_queue_is_full(wait(file.store.create(&draft(3), &file.terms)));
    drop(given_up);
    let third = file.create(3, &seen);
    drop(held.let_go);
    wait(holding).unwrap();
    wait(first).unwrap();
    wait(third).unwrap();
    assert_eq!(file.ids(), [1, 3]);
}

/// Takes the lock of a file when it is dropped.
struct Locks(Arc<Mutex<Connection>>);

impl Drop for Locks {
    fn drop(&mut self) {
        let other = self.0.lock().unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
    }
}

/// Between two runs of a step another process has the lock, for as long as it takes.
#[test]
fn a_step_that_waits_for_another_process_before_its_second_run_reads_the_clock_again() {
    let (folder, path) = super::file();
    let (ticks, asked) = Asked::new();
    let database = Database::open_with_ticks(&path, &Options::default(), ticks).unwrap();
    let file = File::of(folder, path, database);
    let other = Arc::new(Mutex::new(Connection::open(&file.path).unwrap()));
    let (held, holding) = file.held();
    let seen = Seen::default();
    let first = file.create(1, &seen);
    let locks = Locks(Arc::clone(&other));
    let mut panics = pin!(file.database.write(move |writing: &mut Writing| {
        let _ = &locks;
        writing
            .connection
            .execute_batch("DROP TRIGGER request_version; UPDATE request SET note = 'x'")?;
        assert!(count(&writing.connection) > 1, "a clock panics");
        Ok::<_, Stop<Error>>(())
    }));
    queue(panics.as_mut());
    while asked.try_recv().is_ok() {}
    drop(held.let_go);
    wait(holding).unwrap();
    backend(wait(panics));
    has_tried(&asked, 6);
    other.lock().unwrap().execute_batch("COMMIT").unwrap();
    let made = wait(first).unwrap();
    let seen = seen.lock().unwrap();
    let [(_, _, before), (_, version, after)] = seen[..] else {
        panic!("it is made twice: {seen:?}");
    };
    assert!(after > before);
    assert_eq!((made.created, made.created_at), (version, after));
}
