//! Lists and their pages: which, in which order, how many, and where the next page begins.

use std::collections::BTreeSet;
use std::time::Duration;

use super::ground::*;
use crate::store::Filter;
use crate::transition::Status;
use crate::vocabulary::RequestId;
use crate::{Cursor, Page};
use countersign_core::names::Profile;

/// A list of one requester, profile or status holds all of it and nothing else.
pub async fn a_list_holds_what_it_is_of(ground: Ground) {
    ground.create(&draft(1)).await;
    ground.create(&draft_of(2, "dave")).await;
    ground.create(&draft_for(3, "stage")).await;
    ground.change(1, &deny("bob")).await;
    assert_eq!(ground.listed(user("alice")).await, [3, 1], "of a requester");
    assert_eq!(
        ground.listed(profile("prod")).await,
        [2, 1],
        "for a profile"
    );
    assert_eq!(ground.listed(Status::Pending).await, [3, 2], "of a status");
    assert_eq!(ground.listed(Status::Denied).await, [1], "of another");
    assert_eq!(ground.listed(Status::Approved).await, [0; 0], "of none");
}

/// A request is in the list of its status from the change on, and in no other.
pub async fn a_list_follows_each_change(ground: Ground) {
    for (bits, status) in (1..).zip(Status::ALL) {
        ground.with_status(bits, status).await;
        for other in Status::ALL {
            let listed = ground.listed(other).await;
            assert_eq!(
                listed.contains(&bits),
                other == status,
                "a request is in the list of its status at once, and in no other"
            );
        }
    }
}

/// Lists are in their order whatever the ids are, and whatever was changed last.
pub async fn lists_are_in_order(ground: Ground) {
    let created = [5, 1, u64::MAX, 3, 1 << 63, 2];
    for bits in created {
        ground.create(&draft(bits)).await;
        ground.clock.advance(Duration::from_nanos(1));
    }
    for bits in [1, 5, 2] {
        ground.change(bits, &note("bob", "seen")).await;
    }
    for pages in Pages::of_pending() {
        assert_eq!(
            bits(&ground.all(&pages, 0).await),
            pages.ordered(created.to_vec()),
            "{pages:?}: by creation, not by id and not by the last change"
        );
    }
}

/// Page by page, each request comes once, in order.
pub async fn pages_hold_each_request_once(ground: Ground) {
    ground.create_many(7).await;
    for pages in Pages::of_pending() {
        for limit in [1, 2, 3, 6, 7, 8] {
            assert_eq!(
                bits(&ground.all(&pages, limit).await),
                pages.ordered((1..=7).collect()),
                "{pages:?} by {limit}: each once, in order"
            );
        }
    }
}

/// A page is full while there is more, says where the next begins, and the last says nothing.
pub async fn the_last_page_has_no_next(ground: Ground) {
    ground.create_many(4).await;
    for pages in Pages::of_pending() {
        for limit in [1, 3, 4, 5, 0] {
            let listing = ground.page(&pages, Page::first(limit)).await;
            let full = if limit == 0 { 4 } else { limit.min(4) };
            assert_eq!(listing.items.len(), full, "{pages:?}: full if it can be");
            let last = listing.items.last().expect("it holds some");
            let next = (full < 4).then(|| pages.place(last));
            assert_eq!(
                listing.next, next,
                "{pages:?}: the next page begins after the last request, if there is one"
            );
        }
    }
}

/// A cursor goes on after its place though the request there was changed.
pub async fn a_cursor_outlives_a_change(ground: Ground) {
    ground.create_many(5).await;
    for pages in Pages::of_pending() {
        let first = ground.page(&pages, Page::first(2)).await;
        let last = first.items.last().expect("a full page").id.to_bits();
        ground.change(last, &note("bob", "seen")).await;
        let next = first.next.expect("there is more");
        assert_eq!(
            ground.ids(&pages, Page::after(next, 9)).await,
            pages.ordered((1..=5).collect::<Vec<_>>())[2..],
            "{pages:?}: the page goes on after its place"
        );
    }
}

/// A cursor goes on after its place though the request there is gone.
pub async fn a_cursor_outlives_a_deletion(ground: Ground) {
    let mut bits = 0;
    for pages in Pages::of_pending() {
        let ids: Vec<u64> = (1..=5).map(|n| bits + n).collect();
        for &id in &ids {
            ground.create(&draft(id)).await;
            ground.clock.advance(Duration::from_nanos(1));
        }
        bits += 5;
        let first = ground.page(&pages, Page::first(2)).await;
        let last = first.items.last().expect("a full page").id.to_bits();
        ground.change(last, &deny("bob")).await;
        ground.delete(last).await;
        let next = first.next.expect("there is more");
        assert_eq!(
            ground.ids(&pages, Page::after(next, 9)).await,
            pages.ordered(ids.clone())[2..],
            "{pages:?}: the page goes on after the place of what is gone"
        );
        for id in ids.into_iter().filter(|id| *id != last) {
            ground.change(id, &deny("bob")).await;
            ground.delete(id).await;
        }
    }
}

/// What is created between two pages moves nothing: no request is given twice or left out.
pub async fn a_cursor_outlives_a_creation(ground: Ground) {
    let mut created = ground.create_many(4).await;
    for (number, pages) in (100..).zip(Pages::of_pending()) {
        let before = pages.ordered(created.clone());
        let first = ground.page(&pages, Page::first(2)).await;
        assert_eq!(first.items, before[..2], "{pages:?}: the first page");
        created.push(ground.create(&draft(number)).await);
        ground.clock.advance(Duration::from_secs(1));
        let next = first.next.expect("there is more");
        let rest = ground.page(&pages, Page::after(next, 0)).await.items;
        // What is new comes last where the oldest comes first, and is not to be seen elsewhere.
        let new = if pages.newest_first() { 0 } else { 1 };
        assert_eq!(
            rest.len(),
            before.len() - 2 + new,
            "{pages:?}: nothing twice"
        );
        assert_eq!(
            rest[..before.len() - 2],
            before[2..],
            "{pages:?}: nothing left out"
        );
    }
}

/// A cursor is a place: it works where no request is, and by id where times are the same.
pub async fn a_cursor_is_a_place(ground: Ground) {
    let mut created = Vec::new();
    for bits in [40, 10, 30, 20] {
        created.push(ground.create(&draft(bits)).await);
        ground.clock.advance(Duration::from_secs(1));
    }
    for pages in Pages::of_pending() {
        let ordered = pages.ordered(created.clone());
        let second = pages.place(&ordered[1]);
        let earlier = if pages.newest_first() { 1 } else { -1 };
        let places = [
            (second, 2),
            (Cursor::new(second.place, id(second.id.to_bits() - 1)), 1),
            (Cursor::new(second.place, id(second.id.to_bits() + 1)), 2),
            (Cursor::new(second.place, RequestId::MIN), 1),
            (Cursor::new(second.place + earlier, id(99)), 1),
            (Cursor::new(second.place - earlier, id(0)), 2),
            (
                Cursor::new(pages.place(&ordered[3]).place - earlier, id(0)),
                4,
            ),
        ];
        for (place, gone) in places {
            let page = Page::after(place, 0);
            assert_eq!(
                ground.page(&pages, page).await.items,
                ordered[gone..],
                "{pages:?}: what comes after {place}"
            );
        }
    }
}

/// A request that leaves a list between two pages is not in the second.
pub async fn a_page_shows_the_list_as_it_is(ground: Ground) {
    ground.create_many(4).await;
    let pages = Pages::List(Filter::Status(Status::Pending));
    let first = ground.page(&pages, Page::first(2)).await;
    ground.change(2, &cancel()).await;
    let next = first.next.expect("there is more");
    assert_eq!(
        ground.ids(&pages, Page::after(next, 0)).await,
        [1],
        "what is cancelled is pending no more"
    );
}

/// A limit of 0 means 100; 1, 1,000 and more than 1,000 are what they say.
pub async fn limits_are_exact(ground: Ground) {
    for bits in 1..=1_001 {
        ground.create(&draft(bits)).await;
    }
    for (limit, holds) in [
        (0, 100),
        (1, 1),
        (1_000, 1_000),
        (1_001, 1_000),
        (usize::MAX, 1_000),
    ] {
        for pages in Pages::of_pending() {
            let listing = ground.page(&pages, Page::first(limit)).await;
            assert_eq!(listing.items.len(), holds, "{pages:?}, limit {limit}");
            assert!(listing.next.is_some(), "{pages:?}: there is more");
        }
        assert_eq!(
            ground.list_expirable(far(), limit).await.len(),
            holds,
            "due, {limit}"
        );
        let changes = ground.changes(None, limit).await;
        assert_eq!(changes.len(), holds, "changes, limit {limit}");
    }
}

/// The limits of what ended are those of lists.
pub async fn limits_of_what_ended_are_exact(ground: Ground) {
    for bits in 1..=1_001 {
        let version = ground.create(&draft(bits)).await.updated_at;
        let cancelled = ground.try_update(bits, version, &cancel()).await;
        cancelled.expect("a pending request can be cancelled");
    }
    for (limit, holds) in [(0, 100), (1, 1), (1_000, 1_000), (1_001, 1_000)] {
        assert_eq!(
            ground.list_ended(far(), limit).await.len(),
            holds,
            "limit {limit}"
        );
    }
}

/// A limit counts what is of the list, not what was looked at.
pub async fn a_limit_counts_what_is_listed(ground: Ground) {
    for bits in 1..=6 {
        ground.create(&draft_of(bits, "dave")).await;
        ground.create(&draft_for(bits + 10, "stage")).await;
        ground.create(&draft_of(bits + 20, "dave")).await;
    }
    let lists = [
        Pages::List(user("alice").into()),
        Pages::List(profile("stage").into()),
        Pages::Waiting(Some([profile("stage")].into())),
        Pages::Open(user("alice")),
    ];
    for pages in lists {
        let listing = ground.page(&pages, Page::first(4)).await;
        assert_eq!(listing.items.len(), 4, "{pages:?}: as many as asked for");
        assert_eq!(
            bits(&ground.all(&pages, 4).await).len(),
            6,
            "{pages:?}: all"
        );
    }
}

/// Of two profiles with twenty requests each a list holds all forty, in order, by whatever pages.
pub async fn lists_over_two_profiles_hold_all_of_both(ground: Ground) {
    // Ten of the one, ten of each in turn, ten of the other: ids do not grow with time.
    for number in 0..40 {
        let one = number < 10 || (10..30).contains(&number) && number % 2 == 0;
        let name = if one { "prod" } else { "stage" };
        ground.clock.advance(std::time::Duration::from_nanos(1));
        ground.create(&draft_for(100 - number, name)).await;
    }
    let created: Vec<u64> = (0..40).map(|number| 100 - number).collect();
    let both = ["prod", "stage"].map(profile).into();
    pages_hold_all_of(&ground, both, created).await;
}

/// Of twenty profiles with a request each a list holds all twenty, in order, by whatever pages.
pub async fn lists_over_twenty_profiles_hold_all_of_each(ground: Ground) {
    let named = |number: u64| format!("many-{number}");
    let created: Vec<u64> = (1..=20).map(|number| number * 7 % 23).collect();
    for &bits in &created {
        ground.clock.advance(std::time::Duration::from_nanos(1));
        ground.create(&draft_for(bits, &named(bits))).await;
    }
    let all = created.iter().map(|bits| profile(&named(*bits))).collect();
    pages_hold_all_of(&ground, all, created).await;
}

/// Each list over these profiles holds what was created, by a hundred and by seven.
async fn pages_hold_all_of(ground: &Ground, profiles: BTreeSet<Profile>, created: Vec<u64>) {
    let lists = [
        Pages::Waiting(Some(profiles)),
        Pages::Waiting(None),
        Pages::List(user("alice").into()),
        Pages::List(Status::Pending.into()),
        Pages::Open(user("alice")),
    ];
    for pages in lists {
        for limit in [100, 7] {
            assert_eq!(
                bits(&ground.all(&pages, limit).await),
                pages.ordered(created.clone()),
                "{pages:?} by {limit}: all of every profile, each once, in order"
            );
        }
    }
    assert_eq!(
        ground.list_expirable(far(), 100).await,
        created,
        "due: all of every profile"
    );
    for limit in [100, 7] {
        let changes = ground.all_changes(None, limit).await;
        let told: Vec<_> = changes.iter().map(|c| c.request.id.to_bits()).collect();
        assert_eq!(told, created, "changes by {limit}: all of every profile");
    }
    for &bits in &created {
        ground.clock.advance(std::time::Duration::from_nanos(1));
        ground.change(bits, &cancel()).await;
    }
    assert_eq!(
        ground.list_ended(far(), 100).await,
        created,
        "ended: all of every profile"
    );
}
