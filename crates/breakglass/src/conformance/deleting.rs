//! `delete`: only what is over, reviewed and old enough, with all that belongs to it.

use std::time::Duration;

use countersign_core::clock::Clock;

use super::bench::*;
use crate::error::Error;
use crate::mfa::ProofProblem;
use crate::refusal::Refusal;
use crate::retention::Retention;
use crate::transition::Status;

/// Deleting says whether the emergency was there; it is no error if it is not.
pub(super) async fn deleting_says_whether_it_was_there(bench: Bench) {
    let retention = shortest_retention();
    let deleted = bench.store.delete(id(1), &retention).await;
    assert!(matches!(deleted, Ok(false)), "there is none: {deleted:?}");
    bench.begin_reviewed(1, "alice", "prod").await;
    bench.delete(1).await;
    let deleted = bench.store.delete(id(1), &retention).await;
    assert!(matches!(deleted, Ok(false)), "it is gone: {deleted:?}");
    let got = bench.store.get(id(1)).await;
    assert!(
        matches!(got, Err(Error::NotFound { .. })),
        "it is gone: {got:?}"
    );
}

/// What is not over, or not marked so, is not deleted; that comes before review and age.
pub(super) async fn what_is_not_marked_over_is_not_deleted(bench: Bench) {
    let emergency = bench.begin(1, "alice", "prod").await;
    let mut before = bench.contents().await;
    let retention = shortest_retention();
    for wait in [Duration::ZERO, 24 * HOUR] {
        bench.clock.advance(wait);
        let refused = bench.store.delete(id(1), &retention).await;
        assert!(
            matches!(refused, Err(Error::NotTerminal { id, status: Status::Active }) if id == emergency.id),
            "it is marked active: {refused:?}"
        );
        bench.assert_unchanged(&before, "a refused deletion").await;
        if wait.is_zero() {
            continue;
        }
        bench.made(1, &review("carol", "prod")).await;
        before = bench.contents().await;
        let refused = bench.store.delete(id(1), &retention).await;
        assert!(
            matches!(refused, Err(Error::NotTerminal { .. })),
            "reviewed or not: {refused:?}"
        );
        bench.assert_unchanged(&before, "a refused deletion").await;
    }
}

/// What awaits its review is not deleted, however old it is; that comes before age.
pub(super) async fn what_awaits_its_review_is_not_deleted(bench: Bench) {
    bench.begin(1, "alice", "prod").await;
    bench.made(1, &close("alice", "prod")).await;
    let before = bench.contents().await;
    for wait in [Duration::ZERO, 10_000 * HOUR] {
        bench.clock.advance(wait);
        let refused = bench.store.delete(id(1), &shortest_retention()).await;
        let refused = refusal(refused, "deleting what awaits its review");
        assert_eq!(refused, Refusal::Unreviewed { id: id(1) });
    }
    bench.assert_unchanged(&before, "a refused deletion").await;
}

/// What a rule may look back at is kept to the nanosecond, counted from the moment at which the
/// emergency was over.
pub(super) async fn what_a_rule_looks_back_at_is_kept(bench: Bench) {
    let retention = Retention::new(&anybody(), &limits(r#""cooldown": "24h""#));
    let emergency = bench.begin_short(1, "alice", "prod").await;
    bench.made(1, &crate::change::Change::expire()).await;
    bench.begin(2, "bob", "prod").await;
    bench.clock.advance(HOUR / 2);
    let closed = bench.made(2, &close("bob", "prod")).await;
    bench.made(1, &review("carol", "prod")).await;
    bench.made(2, &review("carol", "prod")).await;
    for (bits, ended_at) in [(1, emergency.expires_at), (2, closed.changed_at())] {
        let until = ended_at + 24 * HOUR;
        bench.clock.set(until - nanos(1));
        let before = bench.contents().await;
        let refused = refusal(
            bench.store.delete(id(bits), &retention).await,
            "deleting too early",
        );
        assert_eq!(
            refused,
            Refusal::Kept {
                id: id(bits),
                until
            }
        );
        bench.assert_unchanged(&before, "a refused deletion").await;
        bench.clock.set(until);
        let deleted = bench.store.delete(id(bits), &retention).await;
        assert!(
            matches!(deleted, Ok(true)),
            "nothing looks back at it: {deleted:?}"
        );
    }
}

/// A deleted emergency is in no list, and its changes are not among the changes.
pub(super) async fn a_deleted_emergency_is_gone_from_every_list(bench: Bench) {
    bench.begin_reviewed(1, "alice", "prod").await;
    bench.delete(1).await;
    let contents = bench.contents().await;
    let far = start() + 9 * HOUR;
    assert_eq!(contents.changes, [], "it takes its changes with it");
    assert_eq!(bench.list_bits(user("alice")).await, [0; 0]);
    assert_eq!(bench.list_bits(profile("prod")).await, [0; 0]);
    for status in Status::ALL {
        assert_eq!(bench.list_bits(status).await, [0; 0], "{status}");
    }
    assert_eq!(bench.list_ended(far).await, [0; 0]);
    assert_eq!(bench.active("alice", "prod", start()).await, None);
    let now = bench.clock.now();
    assert_eq!(bench.granted("alice", "prod", now).await, None);
    assert_eq!(
        (bench.list_expirable(far).await, bench.awaiting(far).await),
        (vec![], vec![])
    );
}

/// A deletion leaves other emergencies as they are.
pub(super) async fn a_deletion_leaves_other_emergencies_alone(bench: Bench) {
    bench.begin_reviewed(1, "alice", "prod").await;
    let second = bench.begin_reviewed(2, "alice", "prod").await;
    let third = bench.begin(3, "alice", "prod").await;
    bench.delete(1).await;
    assert_eq!(bench.list_bits(user("alice")).await, [3, 2]);
    assert_eq!(
        (bench.get(2).await, bench.get(3).await),
        (second, third.clone())
    );
    assert_eq!(bench.active("alice", "prod", start()).await, Some(third));
}

/// A deleted emergency has no place in quotas and pauses any more.
pub(super) async fn a_deleted_emergency_leaves_quotas_and_pauses(bench: Bench) {
    let all = limits(
        r#""max_per_user": 1, "max_per_profile": 1, "quota_window": "24h", "cooldown": "24h""#,
    );
    bench.begin_reviewed(1, "alice", "prod").await;
    bench.clock.advance(HOUR);
    refusal(
        bench.create(&draft(2, "alice", "prod"), &all).await,
        "a pause",
    );
    bench.delete(1).await;
    let created = bench.create(&draft(2, "alice", "prod"), &all).await;
    assert!(created.is_ok(), "nothing is left of it: {created:?}");
}

/// The second factor of a deleted emergency stays used, over a restart too: it is known by its id,
/// which outlives its record.
pub(super) async fn a_deleted_emergency_leaves_its_second_factor(bench: Bench) {
    let shown = |bits| {
        let mut draft = draft(bits, "alice", "prod");
        draft.mfa = Some(proof("push-1", "alice", bits, start()));
        draft
    };
    bench.create(&shown(1), &unlimited()).await.unwrap();
    bench.made(1, &close("alice", "prod")).await;
    bench.made(1, &review("carol", "prod")).await;
    bench.delete(1).await;
    let bench = bench.reopen().await;
    let refused = refusal(
        bench.create(&shown(2), &unlimited()).await,
        "a second factor that was used",
    );
    assert!(
        matches!(
            &refused,
            Refusal::MfaProof { problem: ProofProblem::Used { emergency }, .. } if *emergency == id(1)
        ),
        "{refused}"
    );
    let mut other = shown(2);
    other.mfa = Some(proof("push-2", "alice", 2, start()));
    let created = bench.create(&other, &unlimited()).await;
    assert!(created.is_ok(), "another was not used: {created:?}");
}
