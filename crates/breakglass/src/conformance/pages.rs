//! Limits, pages and cursors: everything once, whatever happens in between.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::version::Version;

use super::bench::*;
use crate::admission::Admission;
use crate::change::Change;
use crate::store::Filter;
use crate::transition::Status;
use crate::{Cursor, Page};

const LIMITS: [(usize, usize); 6] = [
    (0, 100),
    (1, 1),
    (999, 999),
    (1_000, 1_000),
    (1_001, 1_000),
    (usize::MAX, 1_000),
];

/// A limit of 0 means 100 and one above 1,000 means 1,000, in every list of emergencies.
pub(super) async fn a_page_of_0_is_100_and_none_is_above_1000(bench: Bench) {
    let admission = Admission::new(&anybody(), &unlimited(), &profile("prod"));
    for bits in 1..=1_001 {
        let draft = draft(bits, &format!("user-{bits}"), "prod");
        bench.store.create(&draft, &admission).await.unwrap();
    }
    bench.clock.set(start() + 9 * HOUR);
    for (limit, held) in LIMITS {
        for filter in [Filter::from(profile("prod")), Filter::from(Status::Active)] {
            let listing = bench.list(filter, Page::first(limit)).await;
            assert_eq!(listing.items.len(), held, "a list with limit {limit}");
            assert!(listing.next.is_some(), "there is more");
        }
        let awaiting = bench.store.list_awaiting_review(Page::first(limit)).await;
        let awaiting = awaiting.unwrap();
        assert_eq!(
            awaiting.items.len(),
            held,
            "what awaits review with limit {limit}"
        );
        assert!(awaiting.next.is_some(), "there is more");
        let due = bench.store.list_expirable(limit).await.unwrap();
        assert_eq!(due.len(), held, "what is due with limit {limit}");
        let changes = bench.store.changes_after(None, limit).await.unwrap();
        assert_eq!(changes.len(), held, "changes with limit {limit}");
    }
}

/// So it is in the list of what ended.
pub(super) async fn limits_of_what_ended_are_the_same(bench: Bench) {
    let (prod, far) = (profile("prod"), start() + 9 * HOUR);
    let admission = Admission::new(&anybody(), &unlimited(), &prod);
    let (closing, reviewing) = (close("carol", "prod"), review("carol", "prod"));
    for bits in 1..=1_001 {
        let draft = draft(bits, &format!("user-{bits}"), "prod");
        let created = bench.store.create(&draft, &admission).await.unwrap();
        let closed = bench
            .store
            .update(draft.id, created.updated_at, &closing)
            .await
            .unwrap();
        bench
            .store
            .update(draft.id, closed.updated_at, &reviewing)
            .await
            .unwrap();
    }
    for (limit, held) in LIMITS {
        let ended = bench.store.list_ended(far, limit).await.unwrap();
        assert_eq!(ended.len(), held, "what ended with limit {limit}");
    }
}

/// The pages of a list hold each emergency once, in order, and the last one says that it is the last.
pub(super) async fn pages_hold_everything_once(bench: Bench) {
    for bits in 1..=6 {
        bench.begin(bits, "alice", &format!("prod-{bits}")).await;
        bench.begin(bits + 10, "bob", &format!("prod-{bits}")).await;
    }
    let filter = Filter::from(user("alice"));
    assert_eq!(
        bench.pages(&filter, 3).await,
        [vec![6, 5, 4], vec![3, 2, 1]],
        "a full last page"
    );
    assert_eq!(
        bench.pages(&filter, 4).await,
        [vec![6, 5, 4, 3], vec![2, 1]]
    );
    let one_by_one = [[6], [5], [4], [3], [2], [1]].map(Vec::from);
    assert_eq!(bench.pages(&filter, 1).await, one_by_one);
    assert_eq!(bench.pages(&filter, 0).await, [vec![6, 5, 4, 3, 2, 1]]);
    assert_eq!(
        bench.pages(&Filter::from(user("dave")), 3).await,
        [Vec::<u64>::new()]
    );
}

/// Of two profiles with twenty emergencies each a list holds all forty, in order, by whatever pages.
pub(super) async fn lists_over_two_profiles_hold_all_of_both(bench: Bench) {
    // Ten of the one, ten of each in turn, ten of the other: ids do not grow with time.
    let created: Vec<u64> = (0..40).map(|number| 100 - number).collect();
    for (number, &bits) in created.iter().enumerate() {
        let one = number < 10 || (10..30).contains(&number) && number % 2 == 0;
        let wanted = if one { "prod" } else { "stage" };
        bench.clock.advance(NANO);
        bench.begin(bits, &format!("user-{bits}"), wanted).await;
    }
    let both = [
        Filter::from(profile("prod")),
        Filter::from(profile("stage")),
    ];
    for limit in [100, 7] {
        let mut of_each = Vec::new();
        for filter in &both {
            let listed = bench.pages(filter, limit).await.concat();
            assert_eq!(listed.len(), 20, "{filter:?} by {limit}: all of it");
            of_each.extend(listed);
        }
        of_each.sort_unstable_by_key(|bits| 100 - bits);
        assert_eq!(of_each, created, "by {limit}: each in one of the two");
    }
    pages_hold_all_of(&bench, &created).await;
}

/// Of twenty profiles with an emergency each a list holds all twenty, in order, by whatever pages.
pub(super) async fn lists_over_twenty_profiles_hold_all_of_each(bench: Bench) {
    let created: Vec<u64> = (1..=20).map(|number| number * 7 % 23).collect();
    for &bits in &created {
        bench.clock.advance(NANO);
        bench.begin(bits, "alice", &format!("many-{bits}")).await;
    }
    let of_alice = Filter::from(user("alice"));
    for limit in [100, 7] {
        let listed = bench.pages(&of_alice, limit).await.concat();
        let newest_first: Vec<u64> = created.iter().rev().copied().collect();
        assert_eq!(listed, newest_first, "by {limit}: all of every profile");
    }
    pages_hold_all_of(&bench, &created).await;
}

/// Each list over all profiles holds what was created, by a hundred and by seven.
async fn pages_hold_all_of(bench: &Bench, created: &[u64]) {
    let far = start() + 9 * HOUR;
    let newest_first: Vec<u64> = created.iter().rev().copied().collect();
    for limit in [100, 7] {
        let active = bench.pages(&Filter::from(Status::Active), limit).await;
        assert_eq!(
            active.concat(),
            newest_first,
            "active by {limit}: all of every profile, each once, in order"
        );
        let awaiting = awaiting_by(bench, far, limit).await;
        assert_eq!(
            awaiting, created,
            "awaiting review by {limit}: all of every profile, each once, in order"
        );
    }
    assert_eq!(
        bench.list_expirable(far).await,
        created,
        "due: all of every profile"
    );
    for &bits in created {
        let emergency = bench.get(bits).await;
        let wanted = emergency.profile.as_str();
        bench.made(bits, &Change::expire()).await;
        bench.made(bits, &review("carol", wanted)).await;
    }
    assert_eq!(
        bench.list_ended(far).await,
        created,
        "ended: all of every profile"
    );
}

/// What awaits review once the clock shows a time, page by page.
async fn awaiting_by(bench: &Bench, at: DateTime<Utc>, limit: usize) -> Vec<u64> {
    bench.clock.set(at);
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = Page { limit, after };
        let listing = bench.store.list_awaiting_review(page).await;
        let listing = listing.expect("a list is given");
        assert!(
            listing.items.len() <= limit,
            "a page holds no more than its limit"
        );
        all.extend(bits(&listing.items));
        after = listing.next;
        if after.is_none() {
            return all;
        }
        assert!(all.len() < 1_000, "the pages never end");
    }
}

/// A page continues after the last emergency of the one before, whatever was created, changed or
/// deleted since, that emergency included.
pub(super) async fn a_page_continues_where_the_last_one_ended(bench: Bench) {
    for bits in 1..=7 {
        bench.begin(bits, "alice", &format!("prod-{bits}")).await;
    }
    let filter = Filter::from(user("alice"));
    let first = bench.list(filter.clone(), Page::first(3)).await;
    assert_eq!(bits(&first.items), [7, 6, 5]);
    let cursor = first.next.expect("there is more");
    let (Ok(cursor), true) = (cursor.to_string().parse::<Cursor>(), true) else {
        panic!("a cursor can travel as text: {cursor}");
    };
    for bits in [5, 6, 3] {
        bench
            .made(bits, &close("alice", &format!("prod-{bits}")))
            .await;
        bench
            .made(bits, &review("carol", &format!("prod-{bits}")))
            .await;
    }
    bench.delete(5).await;
    bench.delete(3).await;
    bench.begin(8, "alice", "prod-8").await;
    bench.made(2, &note("bob", "touched")).await;
    let second = bench.list(filter.clone(), Page::after(cursor, 2)).await;
    assert_eq!(
        bits(&second.items),
        [4, 2],
        "what is there of the rest, each once"
    );
    let last = bench
        .list(filter, Page::after(second.next.expect("there is more"), 2))
        .await;
    assert_eq!((bits(&last.items), last.next), (vec![1], None));
}

/// A page of one status continues though its emergencies have changed theirs.
pub(super) async fn a_page_of_a_status_continues_through_changes(bench: Bench) {
    for bits in 1..=6 {
        bench.begin(bits, "alice", &format!("prod-{bits}")).await;
    }
    let first = bench.list(Status::Active, Page::first(2)).await;
    assert_eq!(bits(&first.items), [6, 5]);
    for bits in [5, 4] {
        bench
            .made(bits, &close("alice", &format!("prod-{bits}")))
            .await;
    }
    let next = first.next.expect("there is more");
    let rest = bench.list(Status::Active, Page::after(next, 0)).await;
    assert_eq!(bits(&rest.items), [3, 2, 1]);
}

/// A cursor is a place, whether or not there is or was an emergency.
pub(super) async fn a_cursor_is_a_place(bench: Bench) {
    let mut emergencies = Vec::new();
    for bits in [5, 3] {
        emergencies.push(bench.begin(bits, "alice", &format!("prod-{bits}")).await);
        bench.clock.advance(HOUR / 4);
    }
    let (older, newer) = (emergencies[0].created, emergencies[1].created);
    let from = |created: Version, later: i64, bits| {
        let created = Version::from_nanos(created.as_nanos() + later);
        Page::after(Cursor::at_version(created, id(bits)), 0)
    };
    for (page, expected) in [
        (from(newer, 1, 9), vec![3, 5]),
        (from(newer, 0, 2), vec![3, 5]),
        (from(newer, 0, 3), vec![5]),
        (from(newer, 0, 4), vec![5]),
        (from(newer, -1, 0), vec![5]),
        (from(older, 1, u64::MAX), vec![5]),
        (from(older, 0, 5), vec![]),
        (from(older, -1, 0), vec![]),
    ] {
        let listing = bench.list(user("alice"), page).await;
        assert_eq!(bits(&listing.items), expected, "after {:?}", page.after);
    }
}

/// Emergencies over at the same nanosecond await review in the order of their ids, and pages pass over
/// none of them.
pub(super) async fn pages_pass_over_no_tie(bench: Bench) {
    for bits in [9, 2, u64::MAX, 4, 7] {
        let emergency = bench.begin(bits, "alice", &format!("prod-{bits}")).await;
        assert_eq!(
            emergency.expires_at,
            start() + HOUR,
            "the clock stands still"
        );
    }
    bench.clock.set(start() + HOUR);
    for limit in 1..=5 {
        let all = awaiting_by(&bench, start() + HOUR, limit).await;
        assert_eq!(all, [2, 4, 7, 9, u64::MAX], "by id, in pages of {limit}");
    }
    let due = bench.list_expirable(start() + HOUR).await;
    assert_eq!(due.len(), 5, "all are due at once");
}

/// Whoever follows the cursors of what awaits review misses nothing that is over later, and sees
/// nothing twice.
pub(super) async fn what_awaits_review_can_be_followed(bench: Bench) {
    let mut ends = Vec::new();
    for bits in 1..=4_u32 {
        let mut draft = draft(bits.into(), "alice", &format!("prod-{bits}"));
        draft.duration = bits * HOUR / 2;
        ends.push(bench.create(&draft, &unlimited()).await.unwrap().expires_at);
    }
    let page = |at, after| {
        let store = Arc::clone(&bench.store);
        bench.clock.set(at);
        async move {
            let listing = store.list_awaiting_review(Page { limit: 1, after }).await;
            listing.unwrap()
        }
    };
    let first = page(ends[1], None).await;
    assert_eq!(bits(&first.items), [1]);
    let next = first.next.expect("there is more");
    bench.made(1, &Change::expire()).await;
    bench.made(1, &review("carol", "prod-1")).await;
    let second = page(ends[3], Some(next)).await;
    assert_eq!(bits(&second.items), [2]);
    let third = page(ends[3], second.next).await;
    assert_eq!(
        bits(&third.items),
        [3],
        "it was over later than the first page"
    );
    let fourth = page(ends[3], third.next).await;
    assert_eq!((bits(&fourth.items), fourth.next), (vec![4], None));
}
