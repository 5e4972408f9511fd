//! The engine itself, under no store: that each statement finds what the records say of themselves,
//! and that a job cannot make less of a failure than it is.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::time::Duration;

use countersign_breakglass as breakglass;
use countersign_core::clock::{Clock, ManualClock};
use countersign_core::engine::Start;
use countersign_core::names::{Profile, User};
use countersign_core::time::CLOCK_TOLERANCE;
use countersign_request as request;
use countersign_request::Store as _;
use tempfile::TempDir;

use super::*;
use crate::{Database, EmergencyStore, EngineError, Options, RequestStore, Synchronous};

struct File {
    database: Database,
    clock: Arc<ManualClock>,
    folder: TempDir,
}

impl File {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            synchronous: Synchronous::Normal,
            ..Options::default()
        };
        Self {
            database: Database::open(folder.path().join("countersign.db"), &options).unwrap(),
            clock: Arc::new(ManualClock::at("2026-03-02T09:00:00Z".parse().unwrap())),
            folder,
        }
    }

    fn engine<R: Rows>(&self) -> FileEngine<R> {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let books = Books::new(&self.database, R::LEDGER, clock, CLOCK_TOLERANCE);
        FileEngine::over(books)
    }

    /// Another hand on the file, which no trigger holds.
    fn other(&self) -> Connection {
        Connection::open(self.folder.path().join("countersign.db")).unwrap()
    }

    fn requests(&self) -> RequestStore {
        RequestStore::new(&self.database, self.clock.clone())
    }

    fn emergencies(&self) -> EmergencyStore {
        EmergencyStore::new(&self.database, self.clock.clone())
    }

    fn tick(&self) {
        self.clock.advance(Duration::from_secs(1));
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

fn user(name: &str) -> User {
    User::new(name).unwrap()
}

fn profile(name: &str) -> Profile {
    Profile::new(name).unwrap()
}

fn approvers() -> request::ApprovalPolicy {
    let rules = r#"{"version": "1", "rules": [
        {"name": "pinned", "profiles": ["dev"], "approvers": ["bob"], "ends_with_policy": true},
        {"name": "all", "approvers": ["bob"]}]}"#;
    rules.parse().unwrap()
}

fn draft(id: u64) -> request::Draft {
    request::Draft {
        id: request::RequestId::from_bits(id),
        requester: user(["alice", "carol"][usize::from(id % 2 == 0)]),
        profile: profile(["prod", "dev", "test"][usize::try_from(id % 3).unwrap()]),
        duration: Duration::from_secs(600 * (1 + id % 4)),
        justification: "look at the slow query".into(),
        ticket: None,
        policy: (id % 3 != 0).then(|| "ab".repeat(32).parse().unwrap()),
        idempotency_key: Some(request::IdempotencyKey::from_bits(id)),
    }
}

/// Requests in every status but one, with ends that are the same and creations that are not.
fn fill_requests(file: &File) {
    use request::{Change, IdempotencyKey, RequestId, Terms};
    let (rules, bob, store) = (approvers(), user("bob"), file.requests());
    for id in 1..=36 {
        let draft = draft(id);
        wait(store.create(&draft, &Terms::of(&rules, &draft.profile))).unwrap();
        file.tick();
    }
    let change = |id, change: &Change| {
        let current = wait(store.get(RequestId::from_bits(id))).unwrap();
        wait(store.update(current.id, current.updated_at, change)).unwrap();
    };
    for id in 1..=36 {
        let draft = draft(id);
        if id % 4 != 0 {
            let approve = Change::approve(&rules, &draft.profile, &bob, None);
            let operation = IdempotencyKey::from_bits(100 + id);
            change(id, &approve.with_idempotency_key(operation));
        }
        match id % 8 {
            0 => change(id, &Change::cancel(&draft.requester, None)),
            1 => change(id, &Change::revoke(&rules, &draft.profile, &bob, None)),
            2 => change(id, &Change::note(&bob, "seen")),
            _ => {}
        }
    }
}

/// Emergencies that are active, over, reviewed, replaced, and begun with a second factor.
fn fill_emergencies(file: &File) {
    use breakglass::*;
    let who = r#"{"version": "1", "rules": [{"name": "all",
        "users": ["alice", "bob", "ALICE"], "responders": ["carol"],
        "mfa": {"required": false, "methods": ["totp"]}}]}"#;
    let (who, often): (InvocationPolicy, _) = (who.parse().unwrap(), RateLimitPolicy::unlimited());
    let store = file.emergencies();
    for number in 1..=24_u64 {
        let id = EmergencyId::from_bits(number);
        let invoker = user(["alice", "bob", "ALICE"][usize::try_from(number % 3).unwrap()]);
        let draft = Draft {
            id,
            idempotency_key: Some(IdempotencyKey::from_bits(number)),
            profile: profile(["prod", "dev"][usize::from(number % 2 == 0)]),
            duration: Duration::from_secs(600),
            reason_code: ReasonCode::Incident,
            justification: "the site is down since nine".into(),
            ticket: None,
            request_id: None,
            mfa: (number % 4 == 0).then(|| MfaProof {
                id: ProofId::new(format!("phone:{number}")).unwrap(),
                method: MfaMethod::Totp,
                user: invoker.clone(),
                emergency: id,
                verified_at: file.clock.now(),
            }),
            invoker,
        };
        let admission = Admission::new(&who, &often, &draft.profile);
        let emergency = wait(store.create(&draft, &admission)).unwrap();
        file.tick();
        if number % 4 == 1 || number == 23 {
            // The next of this user and profile takes its place.
            file.clock.advance(Duration::from_secs(3600));
            continue;
        }
        let close = Change::close(&who, &draft.profile, &draft.invoker, "it is back");
        let mut emergency = wait(store.update(id, emergency.updated_at, &close)).unwrap();
        if number % 4 != 2 {
            let (outcome, carol) = (ReviewOutcome::Justified, user("carol"));
            let review = Change::review(&who, &draft.profile, &carol, outcome, "a clear case");
            emergency = wait(store.update(id, emergency.updated_at, &review)).unwrap();
        }
        if number == 24 {
            file.clock.advance(Duration::from_secs(8 * 3600));
            let retention = Retention::new(&who, &often);
            assert!(wait(store.delete(emergency.id, &retention)).unwrap());
        }
    }
}

/// Where a record stands among those with the same key.
type Standing<R> = (Reverse<Rank>, <R as Record>::Id);

/// For each key that any of the records has, and whatever the range: what is found is what has the
/// key, in its order.
fn assert_found_as_they_say<R: Rows + PartialEq + Debug>(file: &File, expected_keys: usize) {
    let connection = file.other();
    let view = View::<R>::of(&connection);
    let changes = view.changes_after(None, usize::MAX).unwrap();
    let records: BTreeMap<_, _> = changes
        .iter()
        .map(|(_, record)| (record.id(), Arc::clone(record)))
        .collect();
    let mut index: BTreeMap<R::Key, Vec<Standing<R>>> = BTreeMap::new();
    for (id, record) in &records {
        assert_eq!(view.get(id).unwrap().as_ref(), Some(record));
        record.index(&mut |key, rank| {
            index
                .entry(key)
                .or_default()
                .push((Reverse(rank), id.clone()));
        });
    }
    let kinds = index.keys().map(std::mem::discriminant);
    let kinds: HashSet<_> = kinds.collect();
    assert_eq!(kinds.len(), expected_keys, "each index has something in it");
    for (key, places) in &mut index {
        places.sort();
        let mut starts = vec![Start::First];
        for (Reverse(rank), id) in &*places {
            starts.push(Start::At(*rank));
            starts.push(Start::After(*rank, id.clone()));
        }
        let floors = places.iter().map(|(Reverse(rank), _)| Some(*rank));
        let ends = [Rank::from_i64(i64::MIN), Rank::from_i64(i64::MAX)].map(Some);
        let floors: Vec<_> = floors
            .chain(ends)
            .chain([None])
            .step_by(3)
            .chain([None])
            .collect();
        for start in &starts {
            for above in &floors {
                let range = Range {
                    start: start.clone(),
                    above: *above,
                };
                assert_finds(&view, key, places, &range, &records);
            }
        }
    }
}

fn assert_finds<R: Rows + PartialEq + Debug>(
    view: &View<'_, R>,
    key: &R::Key,
    places: &[Standing<R>],
    range: &Range<R::Id>,
    records: &BTreeMap<R::Id, Arc<R>>,
) {
    let is_in = |(rank, id): &&Standing<R>| {
        let begun = match &range.start {
            Start::First => true,
            Start::At(first) => *rank >= Reverse(*first),
            Start::After(place, last) => (*rank, id) > (Reverse(*place), last),
        };
        begun && range.above.is_none_or(|floor| rank.0 > floor)
    };
    let expected: Vec<_> = places.iter().filter(is_in).cloned().collect();
    let mut found = Vec::new();
    view.scan(key, range.clone(), usize::MAX, |rank, record| {
        assert_eq!(records.get(&record.id()), Some(record));
        found.push((Reverse(rank), record.id()));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(found, expected, "{key:?} {range:?}");
    let count = view.count(key, range.clone()).unwrap();
    assert_eq!(count, expected.len(), "{key:?} {range:?}");
    for before in [0, 1, expected.len() / 2, expected.len()] {
        let nth = view.nth(key, range.clone(), before).unwrap();
        let nth = nth.map(|record| record.id());
        let wanted = expected.get(before).map(|(_, id)| id.clone());
        assert_eq!(nth, wanted, "{before} before, {key:?} {range:?}");
    }
}

#[test]
fn requests_are_found_by_what_they_say_of_themselves() {
    let file = File::new();
    fill_requests(&file);
    assert_found_as_they_say::<request::Request>(&file, 9);
}

#[test]
fn emergencies_are_found_by_what_they_say_of_themselves() {
    let file = File::new();
    fill_emergencies(&file);
    assert_found_as_they_say::<breakglass::Emergency>(&file, 13);
}

#[test]
fn a_second_factor_outlasts_its_emergency() {
    let file = File::new();
    fill_emergencies(&file);
    let connection = file.other();
    let view = View::<breakglass::Emergency>::of(&connection);
    let holder = |number: u64| {
        let proof = breakglass::ProofId::new(format!("phone:{number}")).unwrap();
        view.holder(&breakglass::Key::Proof(proof)).unwrap()
    };
    let id = breakglass::EmergencyId::from_bits;
    assert_eq!(view.get(&id(24)).unwrap(), None, "it was deleted");
    assert_eq!([24, 20, 23].map(holder), [Some(id(24)), Some(id(20)), None]);
}

/// Whatever the job makes of a read that failed, and whatever it has staged.
#[test]
fn a_failed_read_is_what_the_call_fails_with() {
    let file = File::new();
    fill_requests(&file);
    let other = file.other();
    let spoil = "DROP TRIGGER request_identity; DROP TRIGGER request_version; \
        UPDATE request SET requester = '' WHERE id = '0000000000000007'";
    other.execute_batch(spoil).unwrap();
    let engine = file.engine::<request::Request>();
    let (id, good) = [7, 3].map(request::RequestId::from_bits).into();
    let before = wait(file.requests().get(good)).unwrap();
    let read = wait(engine.read(move |view| {
        let failed = view.get(&id);
        assert!(failed.is_err());
        assert!(view.get(&good).is_ok(), "others can be read");
        Ok::<_, request::Error>(())
    }));
    let named = wait(engine.read_now(move |view, _| {
        let _ = view.find(&request::Key::Waiting(None), Range::all(), |_| false);
        let _ = view.get(&id);
        Err::<(), _>(request::Error::NotFound { id })
    }));
    let written = wait(engine.write(move |step| {
        let failed = step.get(&id);
        assert!(failed.is_err());
        let stamp = step.stamp()?;
        let note = request::Change::note(&user("bob"), "seen");
        let record = step
            .get(&good)?
            .ok_or(request::Error::NotFound { id: good })?;
        step.put(record.apply(&note, stamp)?);
        Ok::<_, request::Error>(())
    }));
    for failed in [read, named, written] {
        let Err(request::Error::Backend(request::Failure {
            source, outcome, ..
        })) = failed
        else {
            panic!("it is not the engine's failure: {failed:?}");
        };
        assert_eq!(outcome, request::Outcome::NotApplied);
        let source: &EngineError = source.downcast_ref().unwrap();
        assert!(matches!(source, EngineError::Record { .. }), "{source}");
    }
    let after = wait(file.requests().get(good)).unwrap();
    assert_eq!(after, before, "nothing was written");
}

#[test]
fn a_step_sees_what_was_before_it_and_writes_what_it_put_last() {
    let file = File::new();
    fill_requests(&file);
    let engine = file.engine::<request::Request>();
    let id = request::RequestId::from_bits(3);
    let written = wait(engine.write(move |step| {
        let bob = user("bob");
        let found = step.get(&id)?.ok_or(request::Error::NotFound { id })?;
        let first = found.apply(&request::Change::note(&bob, "first"), step.stamp()?)?;
        let first = step.put(first);
        assert_eq!(step.get(&id)?, Some(found.clone()), "it is not there yet");
        let second = found.apply(&request::Change::note(&bob, "second"), step.stamp()?)?;
        assert!(second.updated_at > first.updated_at);
        Ok::<_, request::Error>(step.put(second))
    }));
    let written = written.unwrap();
    assert_eq!(written.note.as_deref(), Some("second"));
    assert_eq!(wait(file.requests().get(id)).unwrap(), written);
    assert!(wait(file.requests().verify(None)).unwrap().is_clean());
}
