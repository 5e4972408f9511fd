//! Operations and their repeats, emergencies as they were, and changes as a stream.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};

use common::*;
use countersign_breakglass::*;

fn unlimited() -> RateLimitPolicy {
    RateLimitPolicy::unlimited()
}

fn operation(bits: u64) -> IdempotencyKey {
    IdempotencyKey::from_bits(bits)
}

#[tokio::test]
async fn a_repeated_call_gets_its_first_result_whatever_happened_since() {
    let bench = Bench::default();
    let workflow = bench.workflow(anybody(), unlimited());
    let (alice, carol) = (user("alice"), user("carol"));
    let id = id(1);
    let invoking = workflow.with_idempotency_key(operation(1));
    let noting = workflow.with_idempotency_key(operation(2));
    let closing = workflow.with_idempotency_key(operation(3));
    let reviewing = workflow.with_idempotency_key(operation(4));
    let wanted = draft(1, "alice", "prod");
    let outcome = ReviewOutcome::Justified;

    let invoked = invoking.invoke(&wanted).await.unwrap();
    let noted = noting.note(id, &alice, "on it").await.unwrap();
    let closed = closing.close(id, &alice, "fixed").await.unwrap();
    bench.clock.advance(HOUR);
    let reviewed = reviewing
        .review(id, &carol, outcome, "well done")
        .await
        .unwrap();
    let operations: Vec<_> = reviewed
        .history
        .iter()
        .map(|entry| entry.idempotency_key)
        .collect();
    assert_eq!(operations, [1, 2, 3, 4].map(|bits| Some(operation(bits))));
    workflow.note(id, &carol, "one more thing").await.unwrap();

    let before = bench.get(1);
    assert_eq!(invoking.invoke(&wanted).await.unwrap(), invoked);
    assert_eq!(noting.note(id, &alice, "on it").await.unwrap(), noted);
    assert_eq!(closing.close(id, &alice, "fixed").await.unwrap(), closed);
    let again = reviewing.review(id, &carol, outcome, "well done").await;
    assert_eq!(again.unwrap(), reviewed);
    assert_eq!(bench.get(1), before, "a repeat changed something");

    // Another actor, reason, outcome or action is another operation.
    let others = [
        noting.note(id, &carol, "on it").await,
        noting.note(id, &alice, "on it.").await,
        closing.note(id, &alice, "fixed").await,
        reviewing
            .review(id, &carol, ReviewOutcome::NotJustified, "well done")
            .await,
        invoking.note(id, &alice, "on it").await,
    ];
    for other in others {
        assert!(
            matches!(other, Err(Error::IdempotencyKeyReused { .. })),
            "{other:?}"
        );
    }
    assert_eq!(bench.get(1), before);
}

#[tokio::test]
async fn a_failed_call_leaves_no_trace_of_its_operation() {
    let bench = Bench::default();
    let workflow = bench.workflow(anybody(), unlimited());
    let first = bench.begin(1, "alice", "prod");
    let invoking = workflow.with_idempotency_key(operation(1));
    let refused = refusal(invoking.invoke(&draft(2, "alice", "prod")).await);
    assert!(matches!(refused, Refusal::Active { .. }), "{refused}");
    // The repeat is judged anew, and even another call may have the operation.
    bench.clock.set(first.expires_at);
    assert!(invoking.invoke(&draft(2, "alice", "prod")).await.is_ok());
    let closing = workflow.with_idempotency_key(operation(2));
    assert!(
        closing
            .close(id(2), &user("bob"), "not mine")
            .await
            .is_err()
    );
    assert!(
        closing
            .close(id(2), &user("alice"), "it is over")
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn an_operation_is_forgotten_with_its_emergency() {
    let bench = Bench::default();
    let workflow = bench.workflow(anybody(), unlimited());
    let closing = workflow.with_idempotency_key(operation(1));
    bench.begin(1, "alice", "prod");
    closing
        .close(id(1), &user("alice"), "it is over")
        .await
        .unwrap();
    bench.delete(1);
    bench.begin(1, "alice", "prod");
    let closed = closing
        .close(id(1), &user("alice"), "it is over")
        .await
        .unwrap();
    assert_eq!(closed.history.len(), 2);
}

#[test]
fn the_operation_of_a_draft_comes_before_that_of_the_workflow() {
    let bench = Bench::default();
    let workflow = bench
        .workflow(anybody(), unlimited())
        .with_idempotency_key(operation(1));
    let made = workflow
        .draft(
            &user("alice"),
            &profile("prod"),
            HOUR,
            ReasonCode::Incident,
            JUSTIFICATION,
        )
        .unwrap();
    assert_eq!(made.idempotency_key, Some(operation(1)));
    let mut own = draft(1, "alice", "prod");
    own.idempotency_key = Some(operation(2));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let emergency = runtime.block_on(workflow.invoke(&own)).unwrap();
    assert_eq!(emergency.history[0].idempotency_key, Some(operation(2)));
}

#[test]
fn calls_of_one_operation_at_once_make_one_change_and_get_one_result() {
    for _ in 0..50 {
        let bench = Bench::default();
        let admission = admission(&unlimited(), "prod");
        let mut wanted = draft(1, "alice", "prod");
        wanted.idempotency_key = Some(operation(1));
        let barrier = Barrier::new(8);
        let results: Vec<(Arc<Emergency>, Arc<Emergency>)> = std::thread::scope(|scope| {
            let running: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let store = bench.store.sync();
                        barrier.wait();
                        let created = store.create(&wanted, &admission).unwrap();
                        let note = Change::note(&user("alice"), "on it");
                        let note = note.with_idempotency_key(operation(2));
                        let noted = store.update(id(1), created.updated_at, &note).unwrap();
                        (created, noted)
                    })
                })
                .collect();
            let results = running.into_iter().map(|thread| thread.join().unwrap());
            results.collect()
        });
        assert!(
            results.windows(2).all(|two| two[0] == two[1]),
            "{results:?}"
        );
        assert_eq!(bench.get(1).history.len(), 2);
        bench.store.audit().unwrap();
    }
}

#[test]
fn an_emergency_is_told_as_it_was_at_each_of_its_versions_and_at_no_other() {
    let bench = Bench::default();
    let mut was = vec![bench.begin(1, "alice", "prod")];
    let note = |text: &str| Change::note(&user("bob"), text);
    let prod = profile("prod");
    for change in [
        note("one"),
        note("two"),
        Change::close(&anybody(), &prod, &user("alice"), "it is over"),
        note("three"),
        review("carol", "prod"),
        note("four"),
    ] {
        bench.clock.advance(HOUR / 60);
        was.push(bench.update(1, &change).unwrap());
    }
    let now = bench.get(1);
    for emergency in &was {
        assert_eq!(now.as_of(emergency.updated_at).as_ref(), Some(&**emergency));
        let entry = now.entry_at(emergency.updated_at);
        assert_eq!(entry, emergency.history.last());
        let nanos = emergency.updated_at.as_nanos();
        for other in [nanos - 1, nanos + 1] {
            assert_eq!(now.as_of(Version::from_nanos(other)), None);
            assert_eq!(now.entry_at(Version::from_nanos(other)), None);
        }
    }
}

/// What a host keeps that follows the stream: its last version survives a restart.
#[derive(Default)]
struct Follower {
    last: Option<Version>,
    sessions: BTreeMap<EmergencyId, User>,
    told: Vec<String>,
    log: Vec<String>,
}

impl Follower {
    /// Reads what happened since, a page at a time.
    fn follow(&mut self, store: &InMemory, page: usize) {
        loop {
            let changes = store.sync().changes_after(self.last, page).unwrap();
            if changes.is_empty() {
                return;
            }
            for Changed {
                version,
                entry,
                emergency,
            } in changes
            {
                match entry.action {
                    Action::Created => {
                        self.sessions
                            .insert(emergency.id, emergency.invoker.clone());
                        if let Some(escalation) = &emergency.escalation {
                            self.told.push(escalation.to_string());
                        }
                    }
                    Action::Overridden => self.told.push(format!("{} overrode", entry.actor)),
                    Action::Closed | Action::Expired => {
                        self.sessions.remove(&emergency.id);
                        self.told.push(format!("review {}", emergency.id));
                    }
                    Action::Noted | Action::Reviewed(_) => {}
                }
                self.log.push(emergency.as_of(version).unwrap().to_string());
                self.last = Some(version);
            }
        }
    }
}

#[test]
fn whoever_follows_the_changes_sees_each_once_in_order_over_restarts_too() {
    let bench = Bench::default();
    let watched = limits(r#""escalation_threshold": 1, "quota_window": "24h""#);
    let mut follower = Follower::default();
    bench.create(&draft(1, "alice", "prod"), &watched).unwrap();
    bench.create(&draft(2, "alice", "dev"), &watched).unwrap();
    follower.follow(&bench.store, 1);
    assert_eq!(follower.sessions.len(), 2);
    assert_eq!(follower.told.len(), 1, "the second was conspicuous");

    let closing = Change::close(&anybody(), &profile("prod"), &user("alice"), "it is over");
    bench.update(1, &closing).unwrap();
    bench.clock.advance(2 * HOUR);
    // The third takes the place of the second, which is over: two changes in one step.
    bench
        .create(&draft(3, "alice", "dev"), &unlimited())
        .unwrap();
    // After a restart only the version is left.
    let mut restarted = Follower {
        last: follower.last,
        sessions: follower.sessions.clone(),
        ..Follower::default()
    };
    restarted.follow(&bench.store, 2);
    assert_eq!(restarted.sessions.into_keys().collect::<Vec<_>>(), [id(3)]);
    assert_eq!(restarted.told.len(), 2, "{:?}", restarted.told);
    assert_eq!(restarted.log.len(), 3);

    let mut whole = Follower::default();
    whole.follow(&bench.store, 1_000);
    assert_eq!(whole.log, [follower.log, restarted.log].concat());
    assert!(whole.log[2].contains("(closed)"), "{}", whole.log[2]);
    assert!(whole.log[3].contains("(active)"), "{}", whole.log[3]);
    assert!(whole.log[4].contains("(expired)"), "{}", whole.log[4]);
    // What is deleted takes its changes with it.
    bench.delete(1);
    let left = bench.store.sync().changes_after(None, 0).unwrap();
    assert!(left.iter().all(|changed| changed.emergency.id != id(1)));
    assert_eq!(left.len(), 3);
}
