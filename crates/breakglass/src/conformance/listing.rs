//! What is looked for: lists by invoker, profile and status, the active emergency, what is due, what
//! awaits review, what ended.

use countersign_core::clock::Clock;

use super::bench::*;
use crate::Page;
use crate::change::Change;
use crate::store::Filter;
use crate::transition::Status;

/// Lists are newest first by creation, whatever was changed last and whatever the ids are.
pub(super) async fn lists_are_newest_first(bench: Bench) {
    for (bits, who, wanted) in [
        (5, "alice", "prod"),
        (1, "bob", "prod"),
        (9, "alice", "dev"),
        (u64::MAX, "dave", "ops"),
        (3, "dave", "prod"),
    ] {
        bench.begin(bits, who, wanted).await;
    }
    bench.made(1, &note("bob", "touched")).await;
    bench.made(5, &close("alice", "prod")).await;
    assert_eq!(
        bench.list_bits(user("alice")).await,
        [9, 5],
        "by creation, not by change"
    );
    assert_eq!(bench.list_bits(profile("prod")).await, [3, 1, 5]);
    assert_eq!(bench.list_bits(Status::Active).await, [3, u64::MAX, 9, 1]);
    assert_eq!(bench.list_bits(Status::Closed).await, [5]);
    assert_eq!(bench.list_bits(Status::Expired).await, [0; 0]);
}

/// Names of a filter match exactly.
pub(super) async fn filters_match_names_exactly(bench: Bench) {
    bench.begin(1, "Alice", "Prod").await;
    bench.begin(2, "alice", "prod").await;
    assert_eq!(bench.list_bits(user("alice")).await, [2]);
    assert_eq!(bench.list_bits(user("Alice")).await, [1]);
    assert_eq!(bench.list_bits(profile("prod")).await, [2]);
    assert_eq!(bench.list_bits(profile("Prod")).await, [1]);
    assert_eq!(bench.list_bits(user("alic")).await, [0; 0]);
    assert_eq!(bench.list_bits(user("alice%")).await, [0; 0]);
    assert_eq!(
        bench.list_bits(profile("alice")).await,
        [0; 0],
        "a profile is no user"
    );
}

/// A list gives emergencies whole, as `get` gives them.
pub(super) async fn lists_give_emergencies_whole(bench: Bench) {
    bench.begin(1, "alice", "prod").await;
    bench.made(1, &note("bob", "a note")).await;
    let emergencies = [bench.get(1).await];
    for filter in [
        Filter::from(emergencies[0].invoker.clone()),
        Filter::from(emergencies[0].profile.clone()),
        Filter::from(Status::Active),
    ] {
        let listing = bench.list(filter, Page::default()).await;
        assert_eq!(listing.items, emergencies, "with history and all");
        assert_eq!(listing.next, None, "there is no further page");
    }
    bench.clock.set(emergencies[0].expires_at);
    assert_eq!(bench.store.list_expirable(0).await.unwrap(), emergencies);
    let awaiting = bench
        .store
        .list_awaiting_review(Page::default())
        .await
        .unwrap();
    assert_eq!(awaiting.items, emergencies);
}

/// A limit counts what the filter lets through, not what there is.
pub(super) async fn a_limit_counts_what_is_wanted(bench: Bench) {
    for bits in 1..=4 {
        bench.begin_short(bits, "alice", "prod").await;
        bench.made(bits, &Change::expire()).await;
        bench.begin(bits + 10, "bob", &format!("dev-{bits}")).await;
        bench.begin_reviewed(bits + 20, "dave", "ops").await;
    }
    bench.clock.advance(9 * HOUR);
    let far = bench.clock.now();
    let of_alice = bench.list(user("alice"), Page::first(3)).await;
    assert_eq!(bits(&of_alice.items), [4, 3, 2], "of one user");
    let of_prod = bench.list(profile("prod"), Page::first(3)).await;
    assert_eq!(bits(&of_prod.items), [4, 3, 2], "of one profile");
    let expired = bench.list(Status::Expired, Page::first(3)).await;
    assert_eq!(bits(&expired.items), [4, 3, 2], "of one status");
    assert_eq!(
        bits(&bench.store.list_expirable(3).await.unwrap()),
        [11, 12, 13],
        "due"
    );
    let awaiting = bench
        .store
        .list_awaiting_review(Page::first(3))
        .await
        .unwrap();
    assert_eq!(bits(&awaiting.items), [1, 2, 3], "awaiting review");
    assert_eq!(
        bits(&bench.store.list_ended(far, 3).await.unwrap()),
        [21, 22, 23],
        "ended"
    );
}

/// An emergency is active until the nanosecond at which it is over, marked so or not.
pub(super) async fn an_emergency_is_active_until_its_nanosecond(bench: Bench) {
    let emergency = bench.begin(1, "alice", "prod").await;
    let last = emergency.expires_at - nanos(1);
    assert_eq!(
        bench.active("alice", "prod", start()).await,
        Some(emergency.clone())
    );
    assert_eq!(
        bench.active("alice", "prod", last).await,
        Some(emergency.clone())
    );
    assert_eq!(
        bench.active("alice", "prod", emergency.expires_at).await,
        None,
        "its time is over"
    );
    let until = Some(emergency.expires_at);
    assert_eq!(bench.granted("alice", "prod", start()).await, until);
    assert_eq!(bench.granted("alice", "prod", last).await, until);
    let over = bench.granted("alice", "prod", emergency.expires_at).await;
    assert_eq!(over, None, "its time is over");
    bench.made(1, &Change::expire()).await;
    assert_eq!(
        bench.active("alice", "prod", last).await,
        None,
        "it is marked over"
    );
}

/// The active emergency is found for exactly its user and profile, and not when it is closed.
pub(super) async fn the_active_emergency_is_found_by_exact_names(bench: Bench) {
    let emergency = bench.begin(1, "Alice", "prod").await;
    for (who, wanted) in [
        ("alice", "prod"),
        ("Alice", "Prod"),
        ("bob", "prod"),
        ("Alice", "dev"),
    ] {
        let found = bench.active(who, wanted, start()).await;
        assert_eq!(found, None, "`{who}` has nothing on `{wanted}`");
        let found = bench.granted(who, wanted, start()).await;
        assert_eq!(found, None, "`{who}` has nothing on `{wanted}`");
    }
    let until = Some(emergency.expires_at);
    assert_eq!(
        bench.active("Alice", "prod", start()).await,
        Some(emergency)
    );
    assert_eq!(bench.granted("Alice", "prod", start()).await, until);
    bench.made(1, &close("Alice", "prod")).await;
    let closed = bench.granted("Alice", "prod", start()).await;
    assert_eq!(closed, None, "it is closed");
    assert_eq!(
        bench.active("Alice", "prod", start()).await,
        None,
        "it is closed"
    );
}

/// Of several emergencies of a user and profile the one that is not over is found.
pub(super) async fn the_active_emergency_is_found_among_older_ones(bench: Bench) {
    bench.begin_reviewed(9, "alice", "prod").await;
    bench.begin_short(8, "alice", "prod").await;
    let now = bench.begin(1, "alice", "prod").await;
    assert_eq!(
        bench.active("alice", "prod", now.created_at).await,
        Some(now.clone())
    );
    let until = Some(now.expires_at);
    assert_eq!(bench.granted("alice", "prod", now.created_at).await, until);
    bench.clock.set(now.expires_at);
    let next = bench.begin(5, "alice", "prod").await;
    let until = Some(next.expires_at);
    assert_eq!(bench.granted("alice", "prod", next.created_at).await, until);
    assert_eq!(
        bench.active("alice", "prod", next.created_at).await,
        Some(next)
    );
}

/// What is due comes earliest first, from the nanosecond on at which it is over, until it is marked.
pub(super) async fn what_is_due_comes_earliest_first(bench: Bench) {
    for (bits, hours) in [(1, 3), (2, 1), (3, 2)] {
        let mut draft = draft(bits, "alice", &format!("prod-{bits}"));
        draft.duration = hours * HOUR;
        bench.create(&draft, &unlimited()).await.unwrap();
    }
    bench.begin_reviewed(4, "alice", "prod").await;
    let ends = bench.get(3).await.expires_at;
    assert_eq!(
        bench.list_expirable(start()).await,
        [0; 0],
        "nothing is over"
    );
    assert_eq!(bench.list_expirable(ends - nanos(1)).await, [2]);
    assert_eq!(
        bench.list_expirable(ends).await,
        [2, 3],
        "to the nanosecond"
    );
    assert_eq!(bench.list_expirable(start() + 9 * HOUR).await, [2, 3, 1]);
    bench.made(2, &Change::expire()).await;
    assert_eq!(
        bench.list_expirable(start() + 9 * HOUR).await,
        [3, 1],
        "it is marked"
    );
}

/// What awaits review comes in the order in which it was over, from that nanosecond on, marked or
/// not, until it is reviewed.
pub(super) async fn what_awaits_review_comes_in_the_order_of_ending(bench: Bench) {
    for (bits, hours) in [(7, 3), (2, 1), (3, 2)] {
        let mut draft = draft(bits, "alice", &format!("prod-{bits}"));
        draft.duration = hours * HOUR;
        bench.create(&draft, &unlimited()).await.unwrap();
    }
    bench.begin(9, "bob", "prod").await;
    bench.clock.advance(HOUR / 2);
    let closed = bench.made(9, &close("bob", "prod")).await.ended_at();
    let ends = bench.get(3).await.expires_at;
    assert_eq!(bench.awaiting(closed).await, [9], "closed before its time");
    assert_eq!(bench.awaiting(ends - nanos(1)).await, [9, 2]);
    assert_eq!(bench.awaiting(ends).await, [9, 2, 3], "to the nanosecond");
    bench.made(3, &Change::expire()).await;
    assert_eq!(bench.awaiting(ends).await, [9, 2, 3], "marked or not");
    bench.made(9, &review("carol", "prod")).await;
    bench.made(2, &review("carol", "prod-2")).await;
    assert_eq!(bench.awaiting(ends).await, [3], "reviewed");
    assert_eq!(bench.awaiting(start() + 9 * HOUR).await, [3, 7]);
}

/// What ended is marked over, reviewed, and was over before the moment asked for, not at it; first
/// what was over first.
pub(super) async fn what_ended_was_over_before(bench: Bench) {
    for (bits, hours) in [(1, 2), (2, 1)] {
        let mut draft = draft(bits, "alice", &format!("prod-{bits}"));
        draft.duration = hours * HOUR;
        bench.create(&draft, &unlimited()).await.unwrap();
    }
    let closed = bench.begin_reviewed(7, "bob", "prod").await.ended_at();
    let (first, second) = (bench.get(1).await.expires_at, bench.get(2).await.expires_at);
    bench.clock.set(first);
    for bits in [1, 2] {
        bench
            .made(bits, &review("carol", &format!("prod-{bits}")))
            .await;
    }
    let far = start() + 9 * HOUR;
    assert_eq!(
        bench.list_ended(far).await,
        [7],
        "reviewed, but marked active"
    );
    for bits in [1, 2] {
        bench.made(bits, &Change::expire()).await;
    }
    assert_eq!(
        bench.list_ended(far).await,
        [7, 2, 1],
        "first what was over first"
    );
    assert_eq!(
        bench.list_ended(closed).await,
        [0; 0],
        "not what was over at that moment"
    );
    assert_eq!(bench.list_ended(closed + nanos(1)).await, [7]);
    assert_eq!(bench.list_ended(second).await, [7]);
    assert_eq!(bench.list_ended(second + nanos(1)).await, [7, 2]);
    bench.begin_short(8, "dave", "prod").await;
    bench.made(8, &Change::expire()).await;
    assert_eq!(
        bench.list_ended(far).await,
        [7, 2, 1],
        "not what awaits its review"
    );
}

/// Lists are in the order of the steps whatever the clock did, and their pages meet; what is due by
/// a correction comes after what is due by time.
pub(super) async fn lists_keep_their_order_over_a_correction(bench: Bench) {
    bench.begin(5, "alice", "prod-5").await;
    bench.clock.set(start() + 8 * HOUR);
    bench.begin(1, "alice", "prod-1").await;
    bench.clock.set(start());
    bench.begin(3, "alice", "prod-3").await;
    bench.clock.set(start() + HOUR);
    bench.begin(2, "alice", "prod-2").await;
    assert_eq!(bench.list_bits(user("alice")).await, [2, 3, 1, 5]);
    for limit in 1..=4 {
        let pages = bench.pages(&Filter::from(Status::Active), limit).await;
        assert_eq!(pages.concat(), [2, 3, 1, 5], "in pages of {limit}");
    }
    let told: Vec<u64> = bench
        .changes(None)
        .await
        .iter()
        .map(|c| c.emergency.id.to_bits())
        .collect();
    assert_eq!(told, [5, 1, 3, 2], "so are the changes");
    assert_eq!(
        bench.list_expirable(start() + HOUR).await,
        [3, 5, 1],
        "by time, then by the correction"
    );
    assert_eq!(bench.awaiting(start() + HOUR).await, [3, 5, 1]);
}
