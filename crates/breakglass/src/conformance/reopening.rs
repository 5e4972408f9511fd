//! What a store keeps over a restart: everything.

use std::sync::Arc;

use countersign_core::clock::Clock;
use countersign_core::version::Version;

use super::bench::*;
use crate::Page;
use crate::change::Change;
use crate::error::Error;
use crate::mfa::ProofProblem;
use crate::refusal::Refusal;
use crate::store::Filter;

/// Everything is as it was.
pub(super) async fn everything_is_there_after_reopening(bench: Bench) {
    let mut draft = draft(1, "alice", "prod");
    draft.idempotency_key = Some(operation(1));
    draft.ticket = Some("INC-1".to_owned());
    draft.request_id = Some("ab".to_owned());
    draft.mfa = Some(proof("push-1", "alice", 1, start()));
    let watched = limits(r#""escalation_threshold": 1, "quota_window": "24h""#);
    bench.begin_short(2, "alice", "prod").await;
    bench.create(&draft, &watched).await.unwrap();
    bench
        .made(1, &note("bob", "a note").with_idempotency_key(operation(2)))
        .await;
    bench.begin_reviewed(3, "bob", "prod").await;
    let admission =
        crate::admission::Admission::new(&reviewed_first(), &unlimited(), &profile("dev"));
    let admission = admission.with_review_override(&user("carol"), "they are asleep");
    let overridden = super::bench::draft(4, "alice", "dev");
    bench.store.create(&overridden, &admission).await.unwrap();
    let before = bench.contents().await;
    let now = bench.clock.now();
    let active = bench.active("alice", "prod", now).await;
    let bench = bench.reopen().await;
    bench.assert_unchanged(&before, "reopening").await;
    assert_eq!(bench.active("alice", "prod", now).await, active);
    assert!(
        active.is_some_and(|emergency| emergency.escalation.is_some()),
        "it escalated"
    );
    assert!(
        bench.get(4).await.review_override.is_some(),
        "it was overridden"
    );
    let bench = bench.reopen().await;
    bench.assert_unchanged(&before, "reopening once more").await;
}

/// An empty store can be reopened.
pub(super) async fn an_empty_store_is_empty_after_reopening(bench: Bench) {
    let bench = bench.reopen().await;
    assert_eq!(bench.changes(None).await, []);
    let emergency = bench.begin(1, "alice", "prod").await;
    assert_eq!(emergency.created_at, start());
    let first = Version::of(start()).unwrap();
    assert_eq!(emergency.created, first, "nothing was issued before");
}

/// Versions go on after the last one, though the clock has stepped back and the newest emergency is
/// gone.
pub(super) async fn versions_go_on_after_reopening(bench: Bench) {
    let first = bench.begin(1, "alice", "prod").await.updated_at;
    let bench = bench.reopen().await;
    let second = bench.begin(2, "bob", "prod").await.updated_at;
    assert_eq!(
        second.time(),
        first.time() + nanos(1),
        "last + 1 ns of the whole store"
    );
    let gone = bench.begin_reviewed(3, "dave", "prod").await.updated_at;
    bench.delete(3).await;
    let bench = bench.reopen().await;
    bench.clock.step_back(24 * HOUR);
    let next = bench.begin(3, "dave", "prod").await.updated_at;
    assert!(
        next > gone,
        "version {gone} was issued again or passed under"
    );
}

/// Quotas and pauses look back over the restart.
pub(super) async fn quotas_and_pauses_are_known_after_reopening(bench: Bench) {
    bench.begin_reviewed(1, "Alice", "prod").await;
    let bench = bench.reopen().await;
    for (rule, wanted, who) in [
        (r#""cooldown": "1h""#, "prod", "alice"),
        (r#""max_per_user": 1, "quota_window": "1h""#, "dev", "alice"),
        (
            r#""max_per_profile": 1, "quota_window": "1h""#,
            "prod",
            "bob",
        ),
    ] {
        let refused = bench.create(&draft(2, who, wanted), &limits(rule)).await;
        let refused = refusal(refused, "a limit that was reached before the restart");
        assert_eq!(refused.retry_at(), Some(start() + HOUR), "{refused}");
    }
}

/// The active emergency still blocks, and what is over is still replaced.
pub(super) async fn active_emergencies_are_known_after_reopening(bench: Bench) {
    let first = bench.begin(1, "Alice", "prod").await;
    let bench = bench.reopen().await;
    let second = draft(2, "alice", "prod");
    let refused = refusal(
        bench.create(&second, &unlimited()).await,
        "a second active emergency",
    );
    assert!(
        matches!(refused, Refusal::Active { id, .. } if id == first.id),
        "{refused}"
    );
    bench.clock.set(first.expires_at);
    let bench = bench.reopen().await;
    bench.create(&second, &unlimited()).await.unwrap();
    assert!(
        bench.get(1).await.is_terminal(),
        "two emergencies would be active"
    );
}

/// Second factors that were used are still used.
pub(super) async fn second_factors_are_known_after_reopening(bench: Bench) {
    let shown = |bits| {
        let mut draft = draft(bits, "alice", &format!("prod-{bits}"));
        draft.mfa = Some(proof("push-1", "alice", bits, start()));
        draft
    };
    bench.create(&shown(1), &unlimited()).await.unwrap();
    let bench = bench.reopen().await;
    match refusal(
        bench.create(&shown(2), &unlimited()).await,
        "a second factor that was used",
    ) {
        Refusal::MfaProof { problem, .. } => {
            assert_eq!(problem, ProofProblem::Used { emergency: id(1) });
        }
        other => panic!("the second factor is refused: {other}"),
    }
}

/// Reviews that are due are still due.
pub(super) async fn reviews_are_due_after_reopening(bench: Bench) {
    bench.begin_short(1, "Alice", "prod").await;
    let bench = bench.reopen().await;
    let refused = bench
        .invoke(&draft(2, "alice", "dev"), &reviewed_first())
        .await;
    let refused = refusal(refused, "a review that is due");
    assert!(
        matches!(refused, Refusal::ReviewDue { emergency, .. } if emergency == id(1)),
        "{refused}"
    );
}

/// Operations are known for repeats.
pub(super) async fn operations_are_known_after_reopening(bench: Bench) {
    let mut draft = draft(1, "alice", "prod");
    draft.idempotency_key = Some(operation(1));
    let created = bench.create(&draft, &unlimited()).await.unwrap();
    let change = note("bob", "a note").with_idempotency_key(operation(2));
    let noted = bench.made(1, &change).await;
    bench.made(1, &close("alice", "prod")).await;
    let bench = bench.reopen().await;
    let before = bench.contents().await;
    let again = bench.create(&draft, &unlimited()).await;
    assert_eq!(again.expect("a repeat is answered"), created);
    let again = bench.store.update(id(1), created.updated_at, &change).await;
    assert_eq!(again.expect("a repeat is answered"), noted);
    let other = note("bob", "another").with_idempotency_key(operation(1));
    let reused = bench.change(1, &other).await;
    assert!(
        matches!(reused, Err(Error::IdempotencyKeyReused { .. })),
        "{reused:?}"
    );
    bench.assert_unchanged(&before, "a repeat").await;
}

/// Readers of the changes and of pages go on where they were.
pub(super) async fn readers_go_on_after_reopening(bench: Bench) {
    for bits in 1..=4 {
        bench.begin(bits, "alice", &format!("prod-{bits}")).await;
    }
    let seen = bench.store.changes_after(None, 2).await.unwrap();
    let filter = Filter::from(user("alice"));
    let first = bench.list(filter.clone(), Page::first(2)).await;
    let far = start() + 9 * HOUR;
    bench.clock.set(far);
    let awaiting = bench
        .store
        .list_awaiting_review(Page::first(2))
        .await
        .unwrap();
    let bench = bench.reopen().await;
    bench.made(1, &note("bob", "a note")).await;
    let after = seen.last().map(|change| change.version);
    let rest: Vec<u64> = bench
        .changes(after)
        .await
        .iter()
        .map(|c| c.emergency.id.to_bits())
        .collect();
    assert_eq!(rest, [3, 4, 1], "nothing skipped, nothing twice");
    let after = first.next;
    let rest = bench.list(filter, Page { limit: 0, after }).await;
    assert_eq!(bits(&rest.items), [2, 1]);
    let after = awaiting.next;
    let rest = bench.store.list_awaiting_review(Page { limit: 0, after });
    let rest = rest.await.unwrap();
    assert_eq!(bits(&rest.items), [3, 4]);
}

/// What was deleted stays deleted, and what failed has left nothing.
pub(super) async fn what_is_gone_stays_gone_after_reopening(bench: Bench) {
    bench.begin_reviewed(1, "alice", "prod").await;
    bench.begin(2, "bob", "prod").await;
    bench.delete(1).await;
    refusal(
        bench.create(&draft(3, "bob", "prod"), &unlimited()).await,
        "a second emergency",
    );
    refusal(
        bench.change(2, &Change::expire()).await,
        "expiring too early",
    );
    let before = bench.contents().await;
    let bench = bench.reopen().await;
    bench.assert_unchanged(&before, "reopening").await;
    for bits in [1, 3] {
        let got = bench.store.get(id(bits)).await;
        assert!(
            matches!(got, Err(Error::NotFound { .. })),
            "it is not there: {got:?}"
        );
    }
    let store = Arc::clone(&bench.store);
    assert_eq!(store.get(id(2)).await.unwrap().history.len(), 1);
}
