//! `create`: pauses, quotas and escalation, to the nanosecond and to the count.

use std::num::NonZeroU32;

use super::bench::*;
use crate::rate_limit_policy::Escalation;
use crate::refusal::Refusal;

/// Which pause or quota was met, its count if it has one, and when to try again.
fn met(refused: &Refusal) -> (&'static str, u64, chrono::DateTime<chrono::Utc>) {
    match refused {
        Refusal::Cooldown { retry_at, .. } => ("pause", 0, *retry_at),
        Refusal::UserQuota {
            count, retry_at, ..
        } => ("user", *count, *retry_at),
        Refusal::ProfileQuota {
            count, retry_at, ..
        } => ("profile", *count, *retry_at),
        other => panic!("a pause or a quota is met: {other}"),
    }
}

/// A pause lasts from the creation of the last emergency until exactly its length later.
pub(super) async fn a_pause_ends_at_its_nanosecond(bench: Bench) {
    let pause = limits(r#""cooldown": "2h""#);
    let first = bench.begin_short(1, "alice", "prod").await;
    let over = first.created_at + 2 * HOUR;
    bench.clock.set(over - nanos(1));
    let refused = refusal(
        bench.create(&draft(2, "alice", "prod"), &pause).await,
        "a pause",
    );
    assert_eq!(met(&refused), ("pause", 0, over));
    bench.clock.set(over);
    let created = bench.create(&draft(2, "alice", "prod"), &pause).await;
    assert!(created.is_ok(), "the pause is over: {created:?}");
}

/// A pause is after the newest emergency, whatever became of it.
pub(super) async fn a_pause_is_after_the_newest_emergency(bench: Bench) {
    let pause = limits(r#""cooldown": "2h""#);
    bench.begin_short(9, "alice", "prod").await;
    bench.clock.advance(3 * HOUR);
    let newest = bench.begin_reviewed(1, "alice", "prod").await;
    let refused = refusal(
        bench.create(&draft(3, "alice", "prod"), &pause).await,
        "a pause",
    );
    assert_eq!(met(&refused), ("pause", 0, newest.created_at + 2 * HOUR));
}

/// A pause is for one user, under any spelling, and one profile.
pub(super) async fn a_pause_is_for_user_and_profile(bench: Bench) {
    let pause = limits(r#""cooldown": "2h""#);
    bench.begin_short(1, "Alice", "prod").await;
    let refused = bench.create(&draft(2, "aLICE", "prod"), &pause).await;
    refusal(refused, "a pause under another spelling");
    for (bits, (name, wanted)) in (3..).zip([("bob", "prod"), ("alice", "dev")]) {
        let created = bench.create(&draft(bits, name, wanted), &pause).await;
        assert!(
            created.is_ok(),
            "`{name}` on `{wanted}` has no pause: {created:?}"
        );
    }
}

/// A user's quota counts over all profiles and spellings, whatever became of the emergencies, and is
/// exact.
pub(super) async fn a_users_quota_counts_all_profiles(bench: Bench) {
    let quota = limits(r#""max_per_user": 3, "quota_window": "24h""#);
    bench.begin_reviewed(1, "alice", "dev").await;
    bench.begin_short(2, "Alice", "ops").await;
    bench.begin(3, "bob", "prod").await;
    let third = bench.create(&draft(4, "alice", "test"), &quota).await;
    assert!(third.is_ok(), "two of three are used: {third:?}");
    let refused = refusal(
        bench.create(&draft(5, "aLICE", "prod"), &quota).await,
        "a quota of 3",
    );
    assert_eq!(met(&refused), ("user", 3, start() + 24 * HOUR));
    let other = bench.create(&draft(6, "bob", "dev"), &quota).await;
    assert!(
        other.is_ok(),
        "another user's quota is their own: {other:?}"
    );
}

/// A profile's quota counts over all people, whatever became of the emergencies, and is exact.
pub(super) async fn a_profiles_quota_counts_all_people(bench: Bench) {
    let quota = limits(r#""max_per_profile": 3, "quota_window": "24h""#);
    bench.begin_reviewed(1, "alice", "prod").await;
    bench.begin_short(2, "bob", "prod").await;
    bench.begin(3, "alice", "dev").await;
    bench.begin(4, "alice", "Prod").await;
    let third = bench.create(&draft(5, "carol", "prod"), &quota).await;
    assert!(third.is_ok(), "two of three are used: {third:?}");
    let refused = refusal(
        bench.create(&draft(6, "dave", "prod"), &quota).await,
        "a quota of 3",
    );
    assert_eq!(met(&refused), ("profile", 3, start() + 24 * HOUR));
    let other = bench.create(&draft(7, "dave", "dev"), &quota).await;
    assert!(
        other.is_ok(),
        "another profile's quota is its own: {other:?}"
    );
}

/// An emergency leaves a quota exactly when its creation is as long ago as the window.
pub(super) async fn an_emergency_leaves_the_window_at_its_nanosecond(bench: Bench) {
    for (round, field) in (0..).zip(["max_per_user", "max_per_profile"]) {
        let quota = limits(&format!(r#""{field}": 1, "quota_window": "24h""#));
        let wanted = format!("prod-{round}");
        let who = format!("user-{round}");
        let first = bench.begin_short(round * 10 + 1, &who, &wanted).await;
        let leaves = first.created_at + 24 * HOUR;
        let second = draft(round * 10 + 2, &who, &wanted);
        bench.clock.set(leaves - nanos(1));
        let refused = refusal(bench.create(&second, &quota).await, field);
        assert_eq!(met(&refused).2, leaves, "when to try again");
        bench.clock.set(leaves);
        let created = bench.create(&second, &quota).await;
        assert!(
            created.is_ok(),
            "{field}: the window has passed it: {created:?}"
        );
    }
}

/// Where there are more emergencies than a quota allows, the time to try again is that at which enough
/// of them have left the window.
pub(super) async fn a_quota_says_when_enough_have_left(bench: Bench) {
    let mut created = Vec::new();
    for bits in 1..=4 {
        created.push(bench.begin_short(bits, "alice", "prod").await.created_at);
        bench.clock.advance(HOUR);
    }
    for field in ["max_per_user", "max_per_profile"] {
        let quota = limits(&format!(r#""{field}": 2, "quota_window": "24h""#));
        let refused = refusal(
            bench.create(&draft(5, "alice", "prod"), &quota).await,
            field,
        );
        let (_, count, retry_at) = met(&refused);
        assert_eq!(
            (count, retry_at),
            (4, created[2] + 24 * HOUR),
            "{field}: {refused}"
        );
    }
}

/// A refused creation is not counted.
pub(super) async fn a_refused_creation_is_not_counted(bench: Bench) {
    let quota = limits(r#""max_per_user": 2, "quota_window": "24h""#);
    bench.begin(1, "alice", "prod").await;
    for bits in 2..5 {
        let refused = bench.create(&draft(bits, "alice", "prod"), &quota).await;
        refusal(refused, "an active emergency");
    }
    let created = bench.create(&draft(5, "alice", "dev"), &quota).await;
    assert!(created.is_ok(), "one of two was used: {created:?}");
}

/// An escalation begins exactly at its threshold, blocks nothing, and is recorded with its count.
pub(super) async fn an_escalation_begins_at_its_threshold(bench: Bench) {
    let watched = limits(r#""escalation_threshold": 2, "quota_window": "24h""#);
    let mut emergencies = Vec::new();
    for (bits, wanted) in [(1, "dev"), (2, "ops"), (3, "prod")] {
        emergencies.push(
            bench
                .create(&draft(bits, "alice", wanted), &watched)
                .await
                .unwrap(),
        );
    }
    let flags: Vec<bool> = emergencies
        .iter()
        .map(|emergency| emergency.escalate)
        .collect();
    assert_eq!(flags, [false, false, true], "at the threshold, not before");
    let expected = Escalation {
        rule: "limit".into(),
        count: 2,
        threshold: NonZeroU32::new(2).unwrap(),
        window: 24 * HOUR,
    };
    assert_eq!(
        bench.get(3).await.escalation,
        Some(expected),
        "it is recorded"
    );
    assert_eq!(bench.get(2).await.escalation, None);
}

/// A refusal by a quota carries the escalation.
pub(super) async fn a_quota_carries_the_escalation(bench: Bench) {
    let quota = limits(r#""max_per_user": 2, "escalation_threshold": 2, "quota_window": "24h""#);
    bench.begin(1, "alice", "dev").await;
    bench.begin(2, "alice", "ops").await;
    match refusal(
        bench.create(&draft(3, "alice", "prod"), &quota).await,
        "a quota of 2",
    ) {
        Refusal::UserQuota {
            escalation,
            count: 2,
            ..
        } => {
            let count = escalation.map(|escalation| escalation.count);
            assert_eq!(count, Some(2), "somebody is to be told");
        }
        other => panic!("the user's quota is met: {other}"),
    }
}
