//! Clocks that were wrong, on files: each fault by its name, over several openings of one file.
//!
//! The rules themselves are tried in `countersign-core` and in the kits of the domain crates. Here
//! is what only a file has: several writers, another process's clock, restarts, the ledger.

#![cfg(all(feature = "request", feature = "breakglass"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_breakglass as breakglass;
use countersign_core::clock::{Clock, ManualClock};
use countersign_core::names::Profile;
use countersign_core::time::ClockError;
use countersign_request as request;
use countersign_sqlite::{Database, EmergencyStore, RequestStore};
use rusqlite::Connection;

mod common;

use common::requests::rules;
use common::{START, at, block_on, file, profile, quick, user};

const NANOSECOND: Duration = Duration::from_nanos(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

fn prod() -> Profile {
    profile("prod")
}

/// One process: its opening of the file, and its clock.
struct Process {
    clock: Arc<ManualClock>,
    requests: request::Workflow,
    emergencies: breakglass::Workflow,
    request_store: Arc<RequestStore>,
    emergency_store: Arc<EmergencyStore>,
}

impl Process {
    fn open(path: &Path, time: DateTime<Utc>) -> Self {
        let clock = Arc::new(ManualClock::at(time));
        let shared: Arc<dyn Clock> = clock.clone();
        let database = Database::open(path, &quick()).unwrap();
        let request_store = Arc::new(RequestStore::new(&database, shared.clone()));
        let emergency_store = Arc::new(EmergencyStore::new(&database, shared.clone()));
        let who: breakglass::InvocationPolicy = r#"{"version": "1", "rules": [
            {"name": "on-call", "users": ["alice"], "responders": ["bob"],
             "reviewers": ["bob"], "mfa": {"required": true, "max_age": "2m"}}]}"#
            .parse()
            .unwrap();
        let often: breakglass::RateLimitPolicy = r#"{"version": "1", "rules": [
            {"name": "pause", "cooldown": "30m", "max_per_user": 2, "quota_window": "2h"}]}"#
            .parse()
            .unwrap();
        Self {
            clock,
            requests: request::Workflow::new(request_store.clone(), Arc::new(rules())),
            emergencies: breakglass::Workflow::new(
                emergency_store.clone(),
                Arc::new(who),
                Arc::new(often),
            ),
            request_store,
            emergency_store,
        }
    }

    fn approved(&self, who: &str, length: Duration) -> Result<request::Request, request::Error> {
        block_on(async {
            let draft =
                self.requests
                    .draft(&user(who), &prod(), length, "look at the slow query")?;
            let id = self.requests.submit(&draft).await?.request.id;
            let approved = self.requests.approve(id, &user("bob"), None).await?;
            Ok((*approved).clone())
        })
    }

    fn has_grant(&self, who: &str) -> bool {
        block_on(self.requests.find_grant(&user(who), &prod()))
            .unwrap()
            .is_some()
    }

    /// Alice's emergency, with a second factor of this very moment.
    fn invoke(&self, proof: &str) -> Result<breakglass::Emergency, breakglass::Error> {
        block_on(async {
            let mut draft = self.emergencies.draft(
                &user("alice"),
                &prod(),
                HOUR,
                breakglass::ReasonCode::Incident,
                "orders cannot be written",
            )?;
            draft.mfa = Some(breakglass::MfaProof {
                id: breakglass::ProofId::new(proof).unwrap(),
                method: breakglass::MfaMethod::Totp,
                user: user("alice"),
                emergency: draft.id,
                verified_at: self.clock.now(),
            });
            Ok((*self.emergencies.invoke(&draft).await?).clone())
        })
    }

    fn in_emergency(&self) -> bool {
        block_on(self.emergencies.find_grant(&user("alice"), &prod()))
            .unwrap()
            .is_some()
    }

    fn close(&self, id: breakglass::EmergencyId) -> Result<(), breakglass::Error> {
        block_on(self.emergencies.close(id, &user("bob"), "it is over")).map(drop)
    }

    fn assert_clean(&self) {
        for report in [
            block_on(self.request_store.verify(None)).unwrap(),
            block_on(self.emergency_store.verify(None)).unwrap(),
        ] {
            assert!(report.is_clean(), "{:?}", report.findings);
        }
    }
}

fn corrections(path: &Path, table: &str) -> Vec<(i64, i64, bool, i64)> {
    let connection = Connection::open(path).unwrap();
    let sql = format!(
        "SELECT record, at, writer = corrected_writer, in_force_again FROM {table} \
         WHERE action = 'corrected' ORDER BY position"
    );
    let mut statement = connection.prepare(&sql).unwrap();
    let rows = statement.query_map([], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

fn nanos(time: DateTime<Utc>) -> i64 {
    time.timestamp_nanos_opt().unwrap()
}

#[test]
fn a_clock_that_was_ahead_once_does_not_make_access_last_for_years() {
    let ahead = [
        at(START) + 8 * HOUR,
        at("2030-01-01T00:00:00Z"),
        at("2200-01-01T00:00:00Z"),
    ];
    for wrong in ahead {
        let (_folder, path) = file();
        let process = Process::open(&path, wrong);
        let made_ahead = process.approved("dave", HOUR).unwrap();
        let invoked_ahead = process.invoke("phone:1").unwrap();
        assert!(process.has_grant("dave") && process.in_emergency());
        process.clock.set(at(START));
        let granted = process.approved("alice", HOUR).unwrap();
        assert_eq!(granted.created_at, at(START), "{wrong}");
        assert_eq!(granted.access_until, Some(at(START) + HOUR), "{wrong}");
        assert!(granted.created > made_ahead.updated_at, "versions go on");
        assert!(
            !process.has_grant("dave"),
            "{wrong}: granted by a wrong clock"
        );
        // The pause counts from the correction, and the second factor is of this moment.
        let paused = process.invoke("phone:2").unwrap_err();
        let breakglass::Error::Refused(refusal) = paused else {
            panic!("{wrong}: {paused}");
        };
        assert_eq!(refusal.retry_at(), Some(at(START) + HOUR / 2), "{wrong}");
        process.clock.set(at(START) + HOUR / 2);
        let invoked = process.invoke("phone:2").unwrap();
        assert_eq!(invoked.expires_at, at(START) + HOUR / 2 + HOUR, "{wrong}");
        let replaced = block_on(process.emergency_store_get(invoked_ahead.id)).unwrap();
        assert_eq!(replaced.status, breakglass::Status::Expired, "{wrong}");
        process.clock.set(at(START) + HOUR);
        assert!(!process.has_grant("alice"), "{wrong}: over after an hour");
        // Opened again, everything is as it was.
        drop(process);
        let process = Process::open(&path, at(START) + HOUR);
        assert!(!process.has_grant("alice") && !process.has_grant("dave"));
        assert!(process.in_emergency());
        let ended = block_on(process.requests.expire_due(0)).unwrap();
        let ids: Vec<_> = ended
            .iter()
            .map(|request| (request.id, request.status))
            .collect();
        assert_eq!(ids, [(made_ahead.id, request::Status::Ended)], "{wrong}");
        process.clock.set(wrong);
        assert!(!process.has_grant("dave"), "{wrong}: never again");
        process.assert_clean();
    }
}

impl Process {
    async fn emergency_store_get(
        &self,
        id: breakglass::EmergencyId,
    ) -> Result<Arc<breakglass::Emergency>, breakglass::Error> {
        use breakglass::Store as _;
        self.emergency_store.get(id).await
    }

    fn note(&self, who: &str) {
        block_on(async {
            let draft = self
                .requests
                .draft(&user(who), &prod(), HOUR, "one write of another")
                .unwrap();
            self.requests.submit(&draft).await.unwrap();
        });
    }
}

#[test]
fn access_that_is_given_can_be_taken_back_after_the_clock_was_hours_ahead() {
    type End = fn(&Process, request::RequestId) -> Result<Arc<request::Request>, request::Error>;
    let ends: [(&str, End); 2] = [
        ("revoke", |process, id| {
            block_on(process.requests.revoke(id, &user("bob"), None))
        }),
        ("release", |process, id| {
            block_on(process.requests.release(id, &user("alice"), None))
        }),
    ];
    for (name, end) in ends {
        for wrong in [at(START) + 8 * HOUR, at("2100-01-01T00:00:00Z")] {
            let (_folder, path) = file();
            let process = Process::open(&path, at(START));
            let granted = process.approved("alice", 4 * HOUR).unwrap();
            process.clock.set(wrong);
            process.note("dave");
            assert!(!process.has_grant("alice"), "by that clock it is over");
            for clock in [at(START) + MINUTE, at(START) + 4 * HOUR - NANOSECOND] {
                process.clock.set(clock);
                assert!(process.has_grant("alice"), "{name}, {wrong}, {clock}");
            }
            end(&process, granted.id).unwrap();
            assert!(!process.has_grant("alice"), "{name}, {wrong}");
            process.assert_clean();
            // The ledger says that the correction put one access in force again.
            let rows = corrections(&path, "request_ledger");
            let to = nanos(at(START) + MINUTE);
            assert_eq!(
                rows,
                [(nanos(wrong), to, true, 1)],
                "{name}, {wrong}: at the first reading"
            );
        }
    }
}

#[test]
fn an_emergency_that_is_given_can_be_closed_after_the_clock_was_hours_ahead() {
    let (_folder, path) = file();
    let process = Process::open(&path, at(START));
    let emergency = process.invoke("phone:1").unwrap();
    process.clock.set(at(START) + 8 * HOUR);
    process
        .invoke("phone:2")
        .unwrap_or_else(|error| panic!("{error}"));
    process.clock.set(at(START) + MINUTE);
    // The second one marked the first: what is marked as ended stays ended.
    assert!(!process.in_emergency());
    let (_folder, path) = file();
    let process = Process::open(&path, at(START));
    let other = process.invoke("phone:1").unwrap();
    process.clock.set(at(START) + 8 * HOUR);
    block_on(process.emergencies.note(other.id, &user("bob"), "called")).unwrap();
    process.clock.set(at(START) + MINUTE);
    assert!(process.in_emergency());
    process.close(other.id).unwrap();
    assert!(!process.in_emergency());
    assert_ne!(emergency.id, other.id);
    process.assert_clean();
}

#[test]
fn a_host_with_a_right_clock_goes_on_beside_one_that_is_minutes_ahead() {
    for ahead in [3 * MINUTE, 10 * MINUTE] {
        let (_folder, path) = file();
        let right = Process::open(&path, at(START));
        let fast = Process::open(&path, at(START) + ahead);
        let asked = block_on(async {
            let draft = right
                .requests
                .draft(
                    &user("alice"),
                    &prod(),
                    5 * MINUTE,
                    "look at the slow query",
                )
                .unwrap();
            right.requests.submit(&draft).await.unwrap().request.id
        });
        fast.note("dave");
        let approved = block_on(right.requests.approve(asked, &user("bob"), None)).unwrap();
        assert_eq!(
            approved.access_until,
            Some(at(START) + 5 * MINUTE),
            "{ahead:?}"
        );
        assert!(right.has_grant("alice"), "{ahead:?}");
        // The fast one grants nothing from now on, and takes back what there is.
        let refused = fast.approved("erin", HOUR).unwrap_err();
        assert!(
            matches!(refused, request::Error::Clock(ClockError::Corrected { .. })),
            "{ahead:?}: {refused}"
        );
        let unknown = block_on(fast.requests.find_grant(&user("alice"), &prod()));
        assert!(
            matches!(unknown, Err(request::Error::Clock(_))),
            "{ahead:?}"
        );
        block_on(fast.requests.revoke(asked, &user("bob"), None)).unwrap();
        assert!(!right.has_grant("alice"), "{ahead:?}");
        right.clock.set(at(START) + 6 * MINUTE);
        fast.clock.set(at(START) + 6 * MINUTE + ahead);
        assert_eq!(corrections(&path, "request_ledger").len(), 1, "{ahead:?}");
        // A second factor of this second is good on the right host.
        right.invoke("phone:1").unwrap();
        // Opened again it is trusted again, and corrected once more when the right one writes.
        drop(fast);
        let again = Process::open(&path, at(START) + 6 * MINUTE + ahead);
        again.approved("erin", HOUR).unwrap();
        let granted = right.approved("frank", HOUR).unwrap();
        assert_eq!(granted.access_until, Some(at(START) + 6 * MINUTE + HOUR));
        let rows = corrections(&path, "request_ledger");
        assert_eq!(
            rows.len(),
            2,
            "{ahead:?}: one for each opening of the fast one"
        );
        assert!(rows.iter().all(|(_, _, own, _)| !own), "{ahead:?}");
        right.assert_clean();
    }
}

/// One whose clock is right, and one that was ahead by so much when the first corrected it.
fn right_and_corrected(path: &Path, ahead: Duration) -> [Process; 2] {
    let right = Process::open(path, at(START));
    let fast = Process::open(path, at(START) + ahead);
    fast.note("dave");
    right.note("dave");
    [right, fast]
}

#[test]
fn a_corrected_writer_grants_again_once_its_clock_steps_back() {
    let (_folder, path) = file();
    let [_right, fast] = right_and_corrected(&path, 10 * MINUTE);
    assert!(fast.approved("erin", HOUR).is_err());
    // Nobody writes for half an hour, and its clock is set right meanwhile.
    let time = at(START) + 30 * MINUTE;
    fast.clock.set(time + 10 * MINUTE);
    assert!(fast.approved("erin", HOUR).is_err());
    fast.clock.set(time);
    let granted = fast.approved("erin", HOUR).unwrap();
    assert_eq!(granted.access_until, Some(time + HOUR));
    assert_eq!(corrections(&path, "request_ledger").len(), 1);
}

/// What counts is how far the clock was at the latest since it was last seen to step back: a clock
/// that stepped back once has not done so for good.
#[test]
fn a_clock_that_stepped_back_and_is_still_ahead_is_refused_when_it_is_corrected_again() {
    let (_folder, path) = file();
    let [right, fast] = right_and_corrected(&path, 10 * HOUR);
    fast.clock.set(at(START) + HOUR);
    fast.approved("erin", HOUR).unwrap();
    right.note("dave");
    for _ in 0..2 {
        let refused = fast.approved("erin", HOUR).unwrap_err();
        assert!(
            matches!(refused, request::Error::Clock(ClockError::Corrected { .. })),
            "{refused}"
        );
    }
    assert_eq!(corrections(&path, "request_ledger").len(), 2);
}

#[test]
fn a_clock_steps_back_by_more_than_the_tolerance_and_not_by_as_much() {
    let (_folder, path) = file();
    let [_right, fast] = right_and_corrected(&path, 10 * MINUTE);
    fast.clock.set(at(START) + 9 * MINUTE);
    assert!(fast.approved("erin", HOUR).is_err());
    fast.clock.set(at(START) + 9 * MINUTE - NANOSECOND);
    assert!(fast.approved("erin", HOUR).is_ok());
}

/// A call that is refused before it asks for the time finds nothing out about it.
#[test]
fn a_call_that_does_not_look_at_the_time_remembers_no_correction() {
    use request::{Change, Store as _};
    let (_folder, path) = file();
    let process = Process::open(&path, at(START) + HOUR);
    let made = process.approved("alice", HOUR).unwrap();
    process.clock.set(at(START));
    let store = &process.request_store;
    let before = block_on(store.head()).unwrap();
    let note = Change::note(&user("bob"), "look");
    let missing = request::RequestId::from_bits(7);
    let refused = block_on(store.update(missing, made.updated_at, &note)).unwrap_err();
    assert!(matches!(refused, request::Error::NotFound { .. }));
    let refused = block_on(store.update(made.id, made.created, &note)).unwrap_err();
    assert!(matches!(refused, request::Error::Conflict(_)), "{refused}");
    assert_eq!(block_on(store.head()).unwrap(), before);
    let expire = Change::expire();
    assert!(block_on(store.update(made.id, made.updated_at, &expire)).is_err());
    assert_ne!(block_on(store.head()).unwrap(), before, "this one does");
}

#[test]
fn clocks_that_differ_by_less_than_the_tolerance_correct_nothing() {
    let (_folder, path) = file();
    let one = Process::open(&path, at(START));
    let other = Process::open(&path, at(START) + MINUTE);
    for _ in 0..3 {
        other.note("dave");
        let granted = one.approved("alice", HOUR).unwrap();
        assert_eq!(granted.access_until, Some(at(START) + MINUTE + HOUR));
    }
    assert_eq!(corrections(&path, "request_ledger"), []);
    one.assert_clean();
}

#[test]
fn a_clock_that_begins_at_1970_or_jumps_to_2262_grants_nothing_and_ends_everything() {
    for wrong in ["1970-01-01T00:00:00Z", "2262-04-11T23:47:16.854775807Z"] {
        let (_folder, path) = file();
        let process = Process::open(&path, at(START));
        let granted = process.approved("alice", HOUR).unwrap();
        let emergency = process.invoke("phone:1").unwrap();
        drop(process);
        let process = Process::open(&path, at(wrong));
        let refused = process.approved("erin", HOUR).unwrap_err();
        assert!(
            matches!(
                refused,
                request::Error::Clock(ClockError::Implausible { .. })
            ),
            "{wrong}: {refused}"
        );
        assert!(matches!(
            process.invoke("phone:2"),
            Err(breakglass::Error::Clock(ClockError::Implausible { .. }))
        ));
        let revoked = block_on(process.requests.revoke(granted.id, &user("bob"), None)).unwrap();
        assert_eq!(
            revoked.changed_at(),
            at(START),
            "{wrong}: nothing is re-dated"
        );
        process.close(emergency.id).unwrap();
        drop(process);
        let process = Process::open(&path, at(START) + MINUTE);
        assert!(!process.has_grant("alice") && !process.in_emergency());
        let granted = process.approved("alice", HOUR).unwrap();
        assert_eq!(granted.access_until, Some(at(START) + MINUTE + HOUR));
        assert_eq!(corrections(&path, "request_ledger"), [], "{wrong}");
        process.assert_clean();
    }
}

#[test]
fn live_access_is_not_deleted_by_another_writer_after_one_fast_clock() {
    let (_folder, path) = file();
    let process = Process::open(&path, at("2030-01-01T00:00:00Z"));
    process.note("dave");
    process.clock.set(at(START) - 2 * HOUR);
    process.note("dave");
    // The correction has stood for longer than an hour.
    process.clock.set(at(START));
    let live = process.approved("alice", HOUR).unwrap();
    // As a program would that knows the file and not the rules: the version is years ahead.
    let connection = Connection::open(&path).unwrap();
    let deletion = |at: DateTime<Utc>| {
        connection.execute(
            "INSERT INTO request_ledger (position, version, at, writer, action, record, id, digest, \
             head) SELECT position + 1, version + 1, ?1, writer, 'deleted', ?2, ?3, digest, head \
             FROM request_ledger ORDER BY position DESC LIMIT 1",
            rusqlite::params![nanos(at), live.created.as_nanos(), live.id.to_string()],
        )
    };
    let refused = deletion(at(START) + HOUR - NANOSECOND).unwrap_err();
    assert!(
        refused.to_string().contains("only a request that is over"),
        "{refused}"
    );
    deletion(at(START) + HOUR).unwrap();
}

#[test]
fn time_runs_backwards_in_the_ledger_by_a_correction_alone() {
    let (_folder, path) = file();
    let process = Process::open(&path, at(START));
    process.note("dave");
    let connection = Connection::open(&path).unwrap();
    let row = |shift: i64, action: &str, from: i64| {
        connection.execute(
            "INSERT INTO request_ledger (position, version, at, writer, action, record, id, digest, \
             head, latest, corrected_writer, in_force_again) SELECT position + 1, version + 1, \
             at + ?1, writer, ?2, ?3, id, digest, head, iif(?2 = 'corrected', at, NULL), \
             iif(?2 = 'corrected', 1, NULL), iif(?2 = 'corrected', 0, NULL) \
             FROM request_ledger ORDER BY position DESC LIMIT 1",
            rusqlite::params![shift, action, from],
        )
    };
    let last = nanos(at(START));
    for (shift, action, from) in [
        (-1, "entry", 1),
        (0, "corrected", last),
        (-1, "corrected", last - 1),
    ] {
        let refused = row(shift, action, from).unwrap_err();
        assert!(
            refused.to_string().contains("runs backwards"),
            "{action} {shift}: {refused}"
        );
    }
    row(0, "entry", 1).unwrap();
    row(-1, "corrected", last).unwrap();
}

#[test]
fn a_correction_that_is_edited_is_found() {
    for edit in [
        "UPDATE request_ledger SET latest = latest - 1 WHERE action = 'corrected'",
        "UPDATE request_ledger SET corrected_writer = 1 WHERE action = 'corrected'",
        "UPDATE request_ledger SET in_force_again = 7 WHERE action = 'corrected'",
        "UPDATE request_ledger SET record = record - 1 WHERE action = 'corrected'",
        "UPDATE request_ledger SET at = at - 1 WHERE action = 'corrected'",
        "UPDATE request_ledger SET writer = 1 WHERE action = 'corrected'",
        "UPDATE request_ledger SET jumped_at = 1 WHERE action = 'entry'",
        "UPDATE request_ledger SET at = at + 1 WHERE action = 'entry'",
        "UPDATE request_history SET at = at + 1",
        "UPDATE request SET created_at = created_at + 1",
        "UPDATE request SET access_from = 1 WHERE status = 'approved'",
    ] {
        let (_folder, path) = file();
        let process = Process::open(&path, at(START) + HOUR);
        process.note("dave");
        process.clock.set(at(START));
        process.approved("alice", HOUR).unwrap();
        process.assert_clean();
        let connection = Connection::open(&path).unwrap();
        let triggers: Vec<String> = connection
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        for name in triggers {
            connection
                .execute_batch(&format!("DROP TRIGGER {name}"))
                .unwrap();
        }
        assert!(connection.execute(edit, []).unwrap() > 0, "{edit}");
        let report = block_on(process.request_store.verify(None)).unwrap();
        let shown: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
        let told = shown.iter().any(|finding| !finding.contains("trigger"));
        assert!(told, "{edit}: {shown:?}");
    }
}

#[test]
fn a_second_factor_that_was_used_stays_used_when_its_emergency_is_deleted() {
    use breakglass::Store as _;
    let (_folder, path) = file();
    let process = Process::open(&path, at(START));
    let emergency = process.invoke("phone:1").unwrap();
    process.close(emergency.id).unwrap();
    block_on(process.emergencies.review(
        emergency.id,
        &user("bob"),
        breakglass::ReviewOutcome::Justified,
        "the primary was down",
    ))
    .unwrap();
    process.clock.advance(DAY);
    process.clock.advance(NANOSECOND);
    block_on(
        process
            .emergencies
            .note(emergency.id, &user("bob"), "a write after the jump"),
    )
    .unwrap();
    process.clock.advance(HOUR);
    let time = process.clock.now();
    assert_eq!(
        block_on(process.emergencies.delete_ended_before(time, 0)).unwrap(),
        1
    );
    assert!(block_on(process.emergency_store.get(emergency.id)).is_err());
    drop(process);
    let process = Process::open(&path, time);
    let used = process.invoke("phone:1").unwrap_err();
    assert!(
        used.to_string().contains(&emergency.id.to_string()),
        "{used}"
    );
    process.invoke("phone:2").unwrap();
    let connection = Connection::open(&path).unwrap();
    for sql in [
        "DELETE FROM emergency_proof_used",
        "UPDATE emergency_proof_used SET id = 'x'",
    ] {
        let refused = connection.execute(sql, []).unwrap_err();
        assert!(refused.to_string().contains("stays used"), "{refused}");
    }
    process.assert_clean();
}

#[test]
fn a_jump_of_more_than_a_day_holds_deletion_up_over_a_restart() {
    for (jump, waits) in [(DAY, false), (DAY + NANOSECOND, true)] {
        let (_folder, path) = file();
        let process = Process::open(&path, at(START));
        let ended = process.approved("alice", HOUR).unwrap();
        drop(process);
        let process = Process::open(&path, at(START) + jump);
        process.note("dave");
        drop(process);
        let process = Process::open(&path, at(START) + jump + HOUR - NANOSECOND);
        let time = at(START) + DAY;
        let deleted = block_on(process.requests.delete_ended_before(time, 0));
        match waits {
            false => assert_eq!(deleted.unwrap(), 1),
            true => {
                let Err(request::Error::ClockJumped { until }) = deleted else {
                    panic!("{deleted:?}");
                };
                assert_eq!(until, at(START) + jump + HOUR);
                process.clock.set(until);
                let deleted = block_on(process.requests.delete_ended_before(time, 0));
                assert_eq!(deleted.unwrap(), 1);
            }
        }
        assert!(block_on(process.requests.note(ended.id, &user("bob"), "gone")).is_err());
    }
}

#[test]
fn the_health_of_a_store_says_how_far_versions_are_ahead_of_its_clock() {
    let (_folder, path) = file();
    let process = Process::open(&path, at(START) + DAY);
    process.note("dave");
    let health = || block_on(process.request_store.health()).unwrap();
    assert_eq!(
        (health().versions_ahead, health().correction),
        (Duration::ZERO, None)
    );
    process.clock.set(at(START));
    process.note("dave");
    assert_eq!(health().versions_ahead, DAY + 2 * NANOSECOND);
    assert_eq!(health().correction.unwrap().to, at(START));
}
