//! `create` where a review is due, and the override that begins an emergency all the same.

use std::sync::Arc;

use super::bench::*;
use crate::admission::Admission;
use crate::draft::Draft;
use crate::error::Error;
use crate::history::{Action, Actor};
use crate::record::Emergency;
use crate::refusal::Refusal;
use crate::review::ReviewOverride;
use crate::transition::Status;

/// Creates where an earlier emergency is to be reviewed first, with the word of `by`.
async fn overridden(bench: &Bench, draft: &Draft, by: &str) -> Result<Arc<Emergency>, Error> {
    let admission = Admission::new(&reviewed_first(), &unlimited(), &draft.profile);
    let admission = admission.with_review_override(&user(by), "the reviewers are asleep");
    bench.store.create(draft, &admission).await
}

/// An emergency that awaits its review blocks its user, under any spelling, for every profile, from
/// the nanosecond on at which it is over, marked so or not, until it is reviewed.
pub(super) async fn a_review_that_is_due_blocks_the_next(bench: Bench) {
    let rules = reviewed_first();
    let first = bench.begin(1, "Alice", "prod").await;
    bench.clock.set(first.expires_at - nanos(1));
    let created = bench.invoke(&draft(2, "alice", "dev"), &rules).await;
    assert!(created.is_ok(), "nothing is over yet: {created:?}");
    bench.clock.set(first.expires_at);
    let before = bench.contents().await;
    for wanted in ["ops", "prod"] {
        let refused = bench.invoke(&draft(3, "aLICE", wanted), &rules).await;
        match refusal(refused, "a review that is due") {
            Refusal::ReviewDue {
                emergency,
                ended_at,
                ..
            } => {
                assert_eq!((emergency, ended_at), (first.id, first.expires_at));
            }
            other => panic!("the review is due: {other}"),
        }
    }
    bench.assert_unchanged(&before, "a refused creation").await;
    let other = bench.invoke(&draft(3, "bob", "ops"), &rules).await;
    assert!(other.is_ok(), "nobody else is blocked: {other:?}");
    bench.made(1, &review("carol", "prod")).await;
    let created = bench.invoke(&draft(4, "alice", "ops"), &rules).await;
    assert!(created.is_ok(), "the debt is paid: {created:?}");
}

/// Of several that await their review, the one that was over first is named, however late it began.
pub(super) async fn the_review_that_is_due_longest_is_named(bench: Bench) {
    bench.begin(1, "alice", "prod").await;
    bench.begin(5, "alice", "ops").await;
    bench.begin(3, "alice", "dev").await;
    bench.clock.advance(NANO);
    let ended = bench.made(3, &close("alice", "dev")).await.ended_at();
    bench.clock.advance(NANO);
    bench.made(1, &close("alice", "prod")).await;
    match refusal(
        bench
            .invoke(&draft(9, "alice", "x"), &reviewed_first())
            .await,
        "a review",
    ) {
        Refusal::ReviewDue {
            emergency,
            ended_at,
            ..
        } => {
            assert_eq!(
                (emergency, ended_at),
                (id(3), ended),
                "it has waited longest"
            );
        }
        other => panic!("the review is due: {other}"),
    }
}

/// An override begins the emergency at its second version, and is on record.
pub(super) async fn an_override_is_recorded_in_the_same_step(bench: Bench) {
    bench.begin_short(1, "alice", "prod").await;
    let mut draft = draft(2, "alice", "dev");
    draft.idempotency_key = Some(operation(7));
    let emergency = overridden(&bench, &draft, "carol").await.unwrap();
    let given = ReviewOverride {
        by: user("carol"),
        reason: "the reviewers are asleep".into(),
        unreviewed: id(1),
    };
    assert_eq!(
        emergency.review_override,
        Some(given),
        "the override is on record"
    );
    let [created, overridden] = emergency.history.as_slice() else {
        panic!(
            "an override has an entry of its own: {:?}",
            emergency.history
        );
    };
    assert_eq!(
        (created.to, created.at),
        (emergency.created, emergency.created_at)
    );
    assert_eq!(overridden.at, emergency.created_at, "at the same time");
    assert_eq!(overridden.action, Action::Overridden);
    assert_eq!(overridden.actor, Actor::User(user("carol")));
    assert_eq!(
        overridden.reason.as_deref(),
        Some("the reviewers are asleep")
    );
    assert_eq!(
        (overridden.from, overridden.to),
        (Some(created.to), emergency.updated_at)
    );
    assert!(created.to < overridden.to, "and a version of its own");
    assert_eq!(
        overridden.idempotency_key,
        Some(operation(7)),
        "of the same operation"
    );
    assert_eq!(bench.get(2).await, emergency);
    assert_eq!(emergency.status, Status::Active);
}

/// An emergency may begin by an override and take the place of one that is over, in one step.
pub(super) async fn an_override_replaces_what_is_over(bench: Bench) {
    let first = bench.begin_short(1, "alice", "prod").await;
    let emergency = overridden(&bench, &draft(2, "alice", "prod"), "carol")
        .await
        .unwrap();
    let unreviewed = emergency
        .review_override
        .as_ref()
        .map(|given| given.unreviewed);
    assert_eq!(unreviewed, Some(first.id), "what is over awaits its review");
    let expired = bench.get(1).await;
    assert_eq!(
        expired.status,
        Status::Expired,
        "two emergencies would be active"
    );
    let versions = [
        emergency.history[0].to,
        emergency.history[1].to,
        expired.updated_at,
    ];
    let changes = bench.changes(Some(first.updated_at)).await;
    let mut told: Vec<_> = changes.iter().map(|change| change.version).collect();
    for version in versions {
        let place = told.iter().position(|told| *told == version);
        assert!(
            place.is_some(),
            "each change has its own version: {versions:?}"
        );
        told.remove(place.unwrap_or_default());
    }
    assert!(told.is_empty(), "and there is no other");
}

/// Nobody overrides for themselves, nor without being a responder; such a creation changes nothing.
pub(super) async fn only_another_responder_overrides(bench: Bench) {
    bench.begin_short(1, "Carol", "prod").await;
    bench.begin_short(2, "alice", "prod").await;
    let before = bench.contents().await;
    let own = overridden(&bench, &draft(3, "Carol", "dev"), "carol").await;
    let own = refusal(own, "an override of one's own");
    assert!(matches!(own, Refusal::OwnOverride { .. }), "{own}");
    let other = overridden(&bench, &draft(3, "alice", "dev"), "bob").await;
    let other = refusal(other, "an override by nobody in particular");
    assert!(matches!(other, Refusal::NotAnOverrider { .. }), "{other}");
    bench.assert_unchanged(&before, "a refused override").await;
}

/// An override that is not needed leaves no trace.
pub(super) async fn an_override_that_is_not_needed_leaves_no_trace(bench: Bench) {
    let emergency = overridden(&bench, &draft(1, "alice", "prod"), "carol")
        .await
        .unwrap();
    assert_eq!(
        (&emergency.review_override, emergency.history.len()),
        (&None, 1)
    );
    assert_eq!(
        emergency.updated_at, emergency.created,
        "it is at its first version"
    );
}

/// Reviewing ends the wait of one emergency only.
pub(super) async fn every_review_must_be_made(bench: Bench) {
    bench.begin_short(1, "alice", "prod").await;
    bench.begin_short(2, "alice", "dev").await;
    bench.made(1, &review("carol", "prod")).await;
    match refusal(
        bench
            .invoke(&draft(3, "alice", "x"), &reviewed_first())
            .await,
        "a review",
    ) {
        Refusal::ReviewDue { emergency, .. } => {
            assert_eq!(emergency, id(2), "the other still waits")
        }
        other => panic!("the review is due: {other}"),
    }
}
