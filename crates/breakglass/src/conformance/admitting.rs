//! `create`: at most one active emergency of a user for a profile, also where one is over and nobody
//! has marked it so.

use super::bench::*;
use crate::history::{Action, Actor};
use crate::refusal::Refusal;
use crate::transition::Status;

/// A second emergency of the same user and profile is refused until the nanosecond at which the
/// first is over.
pub(super) async fn an_active_emergency_blocks_until_it_is_over(bench: Bench) {
    let first = bench.begin(1, "alice", "prod").await;
    let second = draft(2, "alice", "prod");
    bench.clock.set(first.expires_at - nanos(1));
    let before = bench.contents().await;
    let refused = refusal(
        bench.create(&second, &unlimited()).await,
        "a second active emergency",
    );
    let retry_at = first.expires_at;
    assert_eq!(
        refused,
        Refusal::Active {
            id: first.id,
            retry_at
        }
    );
    bench.assert_unchanged(&before, "a refused creation").await;
    bench.clock.set(retry_at);
    let created = bench.create(&second, &unlimited()).await;
    assert!(
        created.is_ok(),
        "an emergency that is over blocks nothing: {created:?}"
    );
}

/// Another spelling of a name does not get round the active emergency.
pub(super) async fn an_active_emergency_blocks_every_spelling(bench: Bench) {
    let first = bench.begin(1, "Alice", "prod").await;
    for name in ["alice", "ALICE", "aLiCe"] {
        let second = draft(2, name, "prod");
        let refused = refusal(
            bench.create(&second, &unlimited()).await,
            "another spelling",
        );
        assert!(
            matches!(refused, Refusal::Active { id, .. } if id == first.id),
            "{refused}"
        );
    }
}

/// Only ASCII letters are alike in both cases: other people are not blocked.
pub(super) async fn an_active_emergency_blocks_nobody_else(bench: Bench) {
    bench.begin(1, "zoë", "prod").await;
    for (bits, (name, wanted)) in (2..).zip([
        ("zoe", "prod"),
        ("zoË", "prod"),
        ("zoë2", "prod"),
        ("zoë", "Prod"),
        ("zoë", "dev"),
    ]) {
        let created = bench.create(&draft(bits, name, wanted), &unlimited()).await;
        assert!(
            created.is_ok(),
            "`{name}` on `{wanted}` is not blocked: {created:?}"
        );
    }
}

/// A closed emergency blocks nothing from the moment on at which it was closed.
pub(super) async fn a_closed_emergency_blocks_nothing(bench: Bench) {
    bench.begin(1, "alice", "prod").await;
    bench.made(1, &close("alice", "prod")).await;
    bench.begin(2, "alice", "prod").await;
    let found = bench.active("alice", "prod", start()).await;
    assert_eq!(
        found.map(|emergency| emergency.id),
        Some(id(2)),
        "the new one is active"
    );
}

/// An emergency whose time is over but that is marked active is marked expired by the creation that
/// takes its place, with a version and an entry of its own.
pub(super) async fn an_emergency_that_is_over_is_expired_by_the_next(bench: Bench) {
    let first = bench.begin(1, "alice", "prod").await;
    bench.clock.set(first.expires_at);
    let second = bench.begin(2, "alice", "prod").await;
    assert_eq!(
        second.created_at, first.expires_at,
        "the new emergency's version is the clock's"
    );
    let expired = bench.get(1).await;
    assert_eq!(
        expired.status,
        Status::Expired,
        "two emergencies would be active"
    );
    assert_eq!(expired.history.len(), 2, "its expiry is in its history");
    let entry = &expired.history[1];
    assert_eq!(
        (&entry.action, &entry.actor),
        (&Action::Expired, &Actor::Time)
    );
    assert_eq!(
        (entry.from, entry.to),
        (Some(first.updated_at), expired.updated_at)
    );
    assert_eq!((&entry.reason, entry.idempotency_key), (&None, None));
    assert!(
        expired.updated_at != second.updated_at && expired.updated_at > first.updated_at,
        "the expiry has a version of its own"
    );
    assert_eq!(bench.list_bits(Status::Active).await, [2]);
    assert_eq!(bench.list_bits(Status::Expired).await, [1]);
    assert_eq!(
        bench.list_expirable(expired.expires_at).await,
        [0; 0],
        "it is due no more"
    );
}

/// So it is under another spelling of the user's name.
pub(super) async fn an_emergency_of_another_spelling_is_expired_too(bench: Bench) {
    bench.begin_short(1, "ALICE", "prod").await;
    bench.begin(2, "alice", "prod").await;
    assert_eq!(
        bench.get(1).await.status,
        Status::Expired,
        "two emergencies would be active"
    );
}

/// A creation touches no emergency of other people or profiles, over or not.
pub(super) async fn emergencies_of_others_are_left_as_they_are(bench: Bench) {
    let others = [
        bench.begin_short(1, "alice", "dev").await,
        bench.begin_short(2, "bob", "prod").await,
    ];
    bench.begin(3, "alice", "prod").await;
    for other in others {
        assert_eq!(
            bench.get(other.id.to_bits()).await,
            other,
            "it is nobody's business"
        );
    }
}

/// A refused creation does not even mark as expired what is over.
pub(super) async fn a_refused_creation_expires_nothing(bench: Bench) {
    bench.begin_short(1, "alice", "prod").await;
    let before = bench.contents().await;
    let pause = limits(r#""cooldown": "1h""#);
    let refused = refusal(
        bench.create(&draft(2, "alice", "prod"), &pause).await,
        "a pause",
    );
    assert!(matches!(refused, Refusal::Cooldown { .. }), "{refused}");
    bench.assert_unchanged(&before, "a refused creation").await;
}

/// The active emergency comes before review, pause and quotas; the pause before the quotas; the
/// user's before the profile's.
pub(super) async fn refusals_come_in_their_order(bench: Bench) {
    use crate::admission::Admission;
    let (rules, open) = (reviewed_first(), anybody());
    let (pause, user_quota, profile_quota) = (
        r#""cooldown": "2h""#,
        r#""max_per_user": 1"#,
        r#""max_per_profile": 1, "quota_window": "24h""#,
    );
    let all = limits(&format!("{pause}, {user_quota}, {profile_quota}"));
    let quotas = limits(&format!("{user_quota}, {profile_quota}"));
    let refused = |rules, limits| {
        let admission = Admission::new(rules, limits, &profile("prod"));
        let store = bench.store.clone();
        async move {
            refusal(
                store.create(&draft(9, "alice", "prod"), &admission).await,
                "a rule",
            )
        }
    };
    bench.begin_short(1, "alice", "dev").await;
    bench.begin(2, "alice", "prod").await;
    let found = refused(&rules, &all).await;
    assert!(
        matches!(found, Refusal::Active { .. }),
        "the active emergency first: {found}"
    );
    bench.made(2, &close("alice", "prod")).await;
    let found = refused(&rules, &all).await;
    assert!(
        matches!(found, Refusal::ReviewDue { .. }),
        "then the review: {found}"
    );
    let found = refused(&open, &all).await;
    assert!(
        matches!(found, Refusal::Cooldown { .. }),
        "then the pause: {found}"
    );
    let found = refused(&open, &quotas).await;
    assert!(
        matches!(found, Refusal::UserQuota { .. }),
        "then the user's quota: {found}"
    );
    let last = limits(profile_quota);
    let found = refused(&open, &last).await;
    assert!(
        matches!(found, Refusal::ProfileQuota { .. }),
        "then the profile's: {found}"
    );
}
