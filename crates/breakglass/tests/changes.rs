//! Changes of emergencies in the store in memory: update, close, expire, note, delete; each of their
//! errors in their order, and each limit.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use common::*;
use countersign_breakglass::*;

fn close(by: &str) -> Change {
    Change::close(&anybody(), &profile("prod"), &user(by), "it is over")
}

fn note(text: &str) -> Change {
    Change::note(&user("dave"), text)
}

#[test]
fn get_knows_what_is_there() {
    let bench = Bench::default();
    let emergency = bench.begin(1, "alice", "prod");
    assert_eq!(bench.store.sync().get(id(1)).unwrap(), emergency);
    let error = bench.store.sync().get(id(2)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no emergency `0000000000000002`"
    );
}

#[test]
fn update_answers_not_found_then_conflict_then_transition_then_refusal() {
    let bench = Bench::default();
    let emergency = bench.begin(1, "alice", "prod");
    let stale = Version::from_nanos(emergency.updated_at.as_nanos() - 1);
    let update = |bits, version, change: &Change| {
        let result = bench.store.sync().update(id(bits), version, change);
        result.unwrap_err()
    };
    let by_stranger = close("mallory");
    let error = update(2, stale, &by_stranger);
    assert!(matches!(error, Error::NotFound { id: missing } if missing == id(2)));
    let conflict = Conflict {
        expected: stale,
        actual: emergency.updated_at,
    };
    let error = update(1, stale, &by_stranger);
    assert!(
        matches!(error, Error::Conflict(met) if met == conflict),
        "{error}"
    );
    let error = update(1, emergency.updated_at, &by_stranger);
    assert!(
        matches!(error, Error::Refused(Refusal::NotAResponder { .. })),
        "{error}"
    );
    assert_eq!(bench.get(1), emergency, "a failed update changed something");

    let closed = bench.update(1, &close("alice")).unwrap();
    let error = update(1, emergency.updated_at, &by_stranger);
    assert!(matches!(error, Error::Conflict(_)), "{error}");
    let error = update(1, closed.updated_at, &by_stranger);
    let (from, to) = (Status::Closed, Status::Closed);
    assert!(
        matches!(error, Error::InvalidTransition { from: f, to: t, .. } if (f, t) == (from, to)),
        "{error}"
    );
    assert_eq!(bench.get(1), closed, "a failed update changed something");
}

#[test]
fn the_first_writer_wins_and_the_second_is_told() {
    let bench = Bench::default();
    let read = bench.begin(1, "alice", "prod");
    let store = bench.store.sync();
    let won = store
        .update(id(1), read.updated_at, &note("first"))
        .unwrap();
    let lost = store.update(id(1), read.updated_at, &note("second"));
    assert!(matches!(lost, Err(Error::Conflict(c)) if c.actual == won.updated_at));
    assert_eq!(bench.get(1), won);
}

#[test]
fn the_invoker_or_a_named_responder_closes_with_a_reason() {
    for closer in ["alice", "carol"] {
        let bench = Bench::default();
        let before = bench.begin(1, "alice", "prod");
        bench.clock.advance(NANO);
        let closed = bench.update(1, &close(closer)).unwrap();
        let mut expected = (*before).clone();
        expected.status = Status::Closed;
        expected.updated_at = Version::from_nanos(before.updated_at.as_nanos() + 1);
        expected.history.push(Arc::new(HistoryEntry {
            action: Action::Closed,
            actor: Actor::User(user(closer)),
            reason: Some("it is over".into()),
            idempotency_key: None,
            from: Some(before.updated_at),
            to: expected.updated_at,
            at: start() + NANO,
        }));
        assert_eq!(*closed, expected);
        assert_eq!(closed.remaining(start()), Duration::ZERO);
    }
    let bench = Bench::default();
    bench.begin(1, "alice", "prod");
    for other in ["Alice", "CAROL", "bob"] {
        let refusal = refusal(bench.update(1, &close(other)));
        let (user, invoker) = (user(other), user("alice"));
        assert_eq!(refusal, Refusal::NotAResponder { user, invoker });
    }
    // The responders of another profile's rule are none of this emergency's.
    let elsewhere = Change::close(&anybody(), &profile("dev"), &user("alice"), "it is over");
    let refusal = refusal(bench.update(1, &elsewhere));
    assert!(matches!(refusal, Refusal::OtherProfile { .. }), "{refusal}");
}

#[test]
fn the_invoker_can_close_even_where_no_rule_is_left() {
    let bench = Bench::default();
    bench.begin(1, "alice", "prod");
    let elsewhere =
        invocation(r#""profiles": ["dev"], "users": ["alice"], "responders": ["carol"]"#);
    let close = |by: &str| Change::close(&elsewhere, &profile("prod"), &user(by), "it is over");
    let refusal = refusal(bench.update(1, &close("carol")));
    assert!(
        matches!(refusal, Refusal::NotAResponder { .. }),
        "{refusal}"
    );
    assert!(bench.update(1, &close("alice")).is_ok());
}

#[test]
fn reasons_and_notes_have_limits_and_a_reason_says_something() {
    let long = "äö".repeat(500);
    let longer = format!("{long}x");
    let bench = Bench::default();
    bench.begin(1, "alice", "prod");
    let close = |text: &str| Change::close(&anybody(), &profile("prod"), &user("alice"), text);
    for bad in ["", " ", "xxxxx", "\n\n", &longer] {
        let refusal = refusal(bench.update(1, &close(bad)));
        assert!(matches!(refusal, Refusal::Reason(_)), "{refusal}");
    }
    for bad in ["", &longer] {
        let refusal = refusal(bench.update(1, &note(bad)));
        assert!(matches!(refusal, Refusal::Reason(_)), "{refusal}");
    }
    assert_eq!(bench.get(1).history.len(), 1);
    assert!(bench.update(1, &note("x")).is_ok());
    assert!(bench.update(1, &note(&long)).is_ok());
    assert!(bench.update(1, &close(&long)).is_ok());
    let bench = Bench::default();
    bench.begin(1, "alice", "prod");
    assert!(bench.update(1, &close("ok")).is_ok());
}

#[test]
fn closing_ends_where_expiry_begins_to_the_nanosecond() {
    let bench = Bench::default();
    let expires_at = bench.begin(1, "alice", "prod").expires_at;
    let just_before = expires_at - TimeDelta::nanoseconds(1);

    bench.clock.set(just_before);
    let refusal_of_expiry = refusal(bench.update(1, &Change::expire()));
    assert_eq!(refusal_of_expiry, Refusal::NotDue { expires_at });
    assert_eq!(refusal_of_expiry.retry_at(), Some(expires_at));
    let other = Bench::default();
    other.begin(1, "alice", "prod");
    other.clock.set(just_before);
    assert!(other.update(1, &close("alice")).is_ok());

    bench.clock.set(expires_at);
    let refusal_of_close = refusal(bench.update(1, &close("alice")));
    assert_eq!(refusal_of_close, Refusal::AccessOver { expires_at });
    let expired = bench.update(1, &Change::expire()).unwrap();
    assert_eq!(expired.status, Status::Expired);
    let entry = expired.history.last().unwrap();
    assert_eq!(
        (entry.action, &entry.actor),
        (Action::Expired, &Actor::Time)
    );
    assert_eq!((entry.at, &entry.reason), (expires_at, &None));
}

#[test]
fn notes_may_be_written_whatever_the_status_and_change_nothing_else() {
    let bench = Bench::default();
    let before = bench.begin(1, "alice", "prod");
    bench.update(1, &note("first")).unwrap();
    bench.update(1, &close("alice")).unwrap();
    let after = bench.update(1, &note("second")).unwrap();
    assert_eq!(after.note.as_deref(), Some("second"));
    assert_eq!(after.status, Status::Closed);
    let texts: Vec<_> = after.history.iter().map(|e| e.reason.as_deref()).collect();
    assert_eq!(
        texts,
        [None, Some("first"), Some("it is over"), Some("second")]
    );
    let chain = after
        .history
        .windows(2)
        .all(|pair| pair[1].from == Some(pair[0].to));
    assert!(chain, "each change begins where the one before ended");
    assert_eq!(after.history.last().unwrap().to, after.updated_at);
    let identity = |emergency: &Emergency| {
        (
            (
                emergency.id,
                emergency.invoker.clone(),
                emergency.profile.clone(),
                emergency.duration,
            ),
            (
                emergency.justification.clone(),
                emergency.reason_code,
                emergency.created_at,
            ),
            (emergency.expires_at, emergency.escalate),
        )
    };
    assert_eq!(identity(&after), identity(&before));

    let bench = Bench::default();
    let expires_at = bench.begin(1, "alice", "prod").expires_at;
    bench.clock.set(expires_at);
    bench.update(1, &Change::expire()).unwrap();
    let noted = bench.update(1, &note("late")).unwrap();
    assert_eq!(noted.status, Status::Expired);
}

#[test]
fn notes_fill_the_history_to_1000_entries_and_status_changes_go_on() {
    let bench = Bench::default();
    bench.begin(1, "alice", "prod");
    for number in 0..999 {
        let version = bench.get(1).updated_at;
        let store = bench.store.sync();
        store
            .update(id(1), version, &note(&format!("{number}")))
            .unwrap();
    }
    assert_eq!(bench.get(1).history.len(), 1_000);
    let refusal = refusal(bench.update(1, &note("one too many")));
    assert_eq!(refusal, Refusal::HistoryFull { entries: 1_000 });
    let closed = bench.update(1, &close("alice")).unwrap();
    assert_eq!(closed.history.len(), 1_001);
}

#[test]
fn only_terminal_emergencies_are_deleted_and_absent_is_fine() {
    let bench = Bench::default();
    let store = bench.store.sync();
    let retention = retention(&RateLimitPolicy::unlimited());
    assert!(!store.delete(id(1), &retention).unwrap());
    let expires_at = bench.begin(1, "alice", "prod").expires_at;
    for now in [start(), expires_at, expires_at + TimeDelta::days(365)] {
        bench.clock.set(now);
        let error = store.delete(id(1), &retention).unwrap_err();
        assert!(
            matches!(error, Error::NotTerminal { id: kept, status: Status::Active } if kept == id(1)),
            "{error}"
        );
    }
    bench.update(1, &Change::expire()).unwrap();
    bench.delete(1);
    assert!(matches!(store.get(id(1)), Err(Error::NotFound { .. })));
    assert!(!store.delete(id(1), &retention).unwrap());

    bench.begin(2, "alice", "prod");
    bench.update(2, &close("alice")).unwrap();
    bench.delete(2);
    let all = store
        .list(&Filter::Invoker(user("alice")), Page::default())
        .unwrap();
    assert!(all.items.is_empty());
}

#[test]
fn an_id_can_be_used_again_after_its_emergency_is_deleted_and_versions_go_on() {
    let bench = Bench::default();
    bench.begin(1, "alice", "prod");
    let closed = bench.update(1, &close("alice")).unwrap();
    bench.delete(1);
    bench.clock.step_back(2 * HOUR);
    let again = bench.begin(1, "alice", "prod");
    assert!(again.updated_at > closed.updated_at);
    let stale = bench
        .store
        .sync()
        .update(id(1), closed.updated_at, &note("x"));
    assert!(
        matches!(stale, Err(Error::Conflict(_))),
        "a version came back"
    );
}

#[tokio::test]
async fn update_with_reads_again_after_a_conflict_and_gives_up_after_its_tries() {
    let bench = Bench::default();
    bench.begin(1, "alice", "prod");
    let store: &dyn Store = &*bench.store;
    let retry = Retry::default().with_sleep(Arc::new(NoSleep));
    let calls = AtomicU32::new(0);
    // Somebody else writes after each of the first two reads.
    let noted = store
        .update_with(id(1), &retry, |emergency| {
            if calls.fetch_add(1, Ordering::SeqCst) < 2 {
                bench.update(1, &note("somebody else")).unwrap();
            }
            let entries = emergency.history.len();
            Ok(note(&format!("after {entries} entries")))
        })
        .await
        .unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    assert_eq!(noted.note.as_deref(), Some("after 3 entries"));

    let calls = AtomicU32::new(0);
    let result = store
        .update_with(id(1), &retry, |_| {
            calls.fetch_add(1, Ordering::SeqCst);
            bench.update(1, &note("always first")).unwrap();
            Ok(note("never"))
        })
        .await;
    assert!(matches!(result, Err(Error::Conflict(_))));
    assert_eq!(calls.load(Ordering::SeqCst), 10);

    let result = store.update_with(id(2), &retry, |_| Ok(note("x"))).await;
    assert!(matches!(result, Err(Error::NotFound { .. })));
    let result = store
        .update_with(id(1), &retry, |emergency| {
            Err(Error::NotFound { id: emergency.id })
        })
        .await;
    assert!(
        matches!(result, Err(Error::NotFound { .. })),
        "the closure's own error"
    );
}
