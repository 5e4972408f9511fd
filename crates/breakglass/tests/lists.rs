//! Reading the store in memory: lists and their pages, the active emergency, what is due.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use common::*;
use countersign_breakglass::*;

fn close(by: &str) -> Change {
    Change::close(&anybody(), &profile("prod"), &user(by), "it is over")
}

fn note(text: &str) -> Change {
    Change::note(&user("dave"), text)
}

fn ids(listing: &Listing) -> Vec<u64> {
    listing
        .items
        .iter()
        .map(|emergency| emergency.id.to_bits())
        .collect()
}

#[test]
fn lists_are_newest_first_by_invoker_profile_and_status() {
    let bench = Bench::default();
    for (bits, invoker, wanted) in [
        (5, "alice", "prod"),
        (1, "bob", "prod"),
        (9, "alice", "dev"),
        (3, "Alice", "ops"),
    ] {
        bench.begin(bits, invoker, wanted);
    }
    bench.update(1, &note("touched")).unwrap();
    bench.update(5, &close("alice")).unwrap();
    let list = |filter: Filter| ids(&bench.store.sync().list(&filter, Page::default()).unwrap());
    assert_eq!(list(user("alice").into()), [9, 5]);
    assert_eq!(list(user("Alice").into()), [3], "names match exactly");
    assert_eq!(list(user("nobody").into()), [0; 0]);
    assert_eq!(
        list(profile("prod").into()),
        [1, 5],
        "by creation, not by change"
    );
    assert_eq!(list(Status::Active.into()), [3, 9, 1]);
    assert_eq!(list(Status::Closed.into()), [5]);
    assert_eq!(list(Status::Expired.into()), [0; 0]);
}

#[test]
fn pages_meet_whatever_happens_in_between() {
    let bench = Bench::default();
    for bits in 1..=7 {
        bench.begin(bits, "alice", &format!("prod-{bits}"));
    }
    let filter = Filter::Invoker(user("alice"));
    let store = bench.store.sync();
    let first = store.list(&filter, Page::first(3)).unwrap();
    assert_eq!(ids(&first), [7, 6, 5]);
    let cursor = first.next.unwrap();
    let text = cursor.to_string();
    let closing = Change::close(&anybody(), &profile("prod-5"), &user("alice"), "it is over");
    bench.update(5, &closing).unwrap();
    bench.delete(5);
    bench.begin(8, "alice", "prod-8");
    let second = store
        .list(&filter, Page::after(text.parse().unwrap(), 3))
        .unwrap();
    assert_eq!(ids(&second), [4, 3, 2]);
    let third = store
        .list(&filter, Page::after(second.next.unwrap(), 3))
        .unwrap();
    assert_eq!((ids(&third), third.next), (vec![1], None));
}

#[test]
fn a_page_of_0_is_100_and_none_is_above_1000() {
    let bench = Bench::default();
    let admission = admission(&RateLimitPolicy::unlimited(), "prod");
    for bits in 1..=1_001 {
        let draft = draft(bits, &format!("user-{bits}"), "prod");
        bench.store.sync().create(&draft, &admission).unwrap();
    }
    let filter = Filter::Profile(profile("prod"));
    for (limit, expected) in [
        (0, 100),
        (1, 1),
        (1_000, 1_000),
        (1_001, 1_000),
        (usize::MAX, 1_000),
    ] {
        let listing = bench
            .store
            .sync()
            .list(&filter, Page::first(limit))
            .unwrap();
        assert_eq!(listing.items.len(), expected);
        assert!(listing.next.is_some());
    }
    bench.clock.set(start() + TimeDelta::days(1));
    for (limit, expected) in [(0, 100), (7, 7), (usize::MAX, 1_000)] {
        assert_eq!(
            bench.store.sync().list_expirable(limit).unwrap().len(),
            expected
        );
    }
}

#[test]
fn the_active_emergency_is_found_for_exactly_its_user_and_profile_until_it_is_over() {
    let bench = Bench::default();
    let emergency = bench.begin(1, "alice", "prod");
    let find = |who: &str, what: &str, at: DateTime<Utc>| {
        let found = bench.store.sync().active_at(&user(who), &profile(what), at);
        found.unwrap().map(|emergency| emergency.id.to_bits())
    };
    let last = emergency.expires_at - TimeDelta::nanoseconds(1);
    assert_eq!(find("alice", "prod", start()), Some(1));
    assert_eq!(find("alice", "prod", last), Some(1));
    assert_eq!(find("alice", "prod", emergency.expires_at), None);
    assert_eq!(
        find("Alice", "prod", start()),
        None,
        "a grant is for the exact name"
    );
    assert_eq!(find("alice", "PROD", start()), None);
    assert_eq!(find("bob", "prod", start()), None);

    let grant = emergency.grant(last).unwrap();
    let alice = user("alice");
    assert_eq!(
        (grant.kind, grant.until),
        (GrantKind::Emergency, emergency.expires_at)
    );
    assert_eq!((&grant.user, &grant.profile), (&alice, &emergency.profile));
    assert_eq!(grant.granted_by, GrantedBy::User(alice));
    assert_eq!(emergency.grant(emergency.expires_at), None);
    assert_eq!(emergency.remaining(last), NANO);
    assert_eq!(emergency.remaining(emergency.expires_at), Duration::ZERO);

    let closed = bench.update(1, &close("alice")).unwrap();
    assert_eq!(find("alice", "prod", start()), None);
    assert_eq!(closed.grant(start()), None);
}

#[test]
fn what_is_due_comes_earliest_first_from_the_nanosecond_on_which_it_is_over() {
    let bench = Bench::default();
    for (bits, hours) in [(1, 3), (2, 1), (3, 2)] {
        let mut draft = draft(bits, "alice", &format!("prod-{bits}"));
        draft.duration = hours * HOUR;
        bench.create(&draft, &RateLimitPolicy::unlimited()).unwrap();
    }
    let due = |at: DateTime<Utc>| -> Vec<u64> {
        bench.clock.set(at);
        let due = bench.store.sync().list_expirable(0).unwrap();
        due.iter().map(|emergency| emergency.id.to_bits()).collect()
    };
    let ends = bench.get(3).expires_at;
    assert_eq!(due(start()), [0; 0]);
    assert_eq!(due(ends - TimeDelta::nanoseconds(1)), [2]);
    assert_eq!(due(ends), [2, 3]);
    bench.update(2, &Change::expire()).unwrap();
    assert_eq!(due(ends), [3]);
    assert_eq!(due(start() + TimeDelta::hours(9)), [3, 1]);
}
