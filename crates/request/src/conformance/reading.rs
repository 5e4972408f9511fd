//! Reading requests: what is there, snapshots, names and times.

use std::time::Duration;

use super::ground::*;
use crate::Page;
use crate::draft::Draft;
use crate::error::Error;
use crate::transition::Status;
use countersign_core::time::{EARLIEST, LATEST};

/// What is not there is not found, by its id.
pub async fn what_is_not_there_is_not_found(ground: Ground) {
    ground.create(&draft(1)).await;
    let result = ground.store.get(id(2)).await;
    demand!(result, Err(Error::NotFound { id: missing }) if missing == id(2), "not found, by its id");
    assert_eq!(ground.get(1).await.id, id(1), "its neighbour is");
}

/// An empty store answers every question with nothing.
pub async fn an_empty_store_has_nothing(ground: Ground) {
    let content = ground.content().await;
    assert!(content.requests.is_empty(), "a fresh store has no request");
    assert!(content.changes.is_empty(), "a fresh store has no change");
    for pages in Pages::of_pending() {
        let listing = ground.page(&pages, Page::default()).await;
        assert!(listing.items.is_empty(), "an empty list has no item");
        assert_eq!(listing.next, None, "an empty list has no next page");
    }
    assert_eq!(ground.prod(start()).await, None, "nobody has access");
}

/// A record that was returned stays as it was.
pub async fn what_is_returned_is_a_snapshot(ground: Ground) {
    let created = ground.create(&draft(1)).await;
    let listed = ground.all(&Pages::List(Status::Pending.into()), 0).await;
    let copy = (*created).clone();
    ground.change(1, &approve("bob")).await;
    assert_eq!(*created, copy, "a returned record never changes");
    assert_eq!(*listed[0], copy, "a listed record never changes");
}

/// Names are told apart by every character, and by case.
pub async fn names_match_exactly(ground: Ground) {
    let names = ["alice", "Alice", "alicé", "alice\u{301}", "al_ce", "al%"];
    for (bits, name) in (1..).zip(names) {
        ground.create(&draft_of(bits, name)).await;
        ground.clock.advance(Duration::from_nanos(1));
        ground
            .create(&Draft {
                id: id(bits + 10),
                ..draft_of(bits, name)
            })
            .await;
    }
    for (bits, name) in (1..).zip(names) {
        assert_eq!(
            ground.listed(user(name)).await,
            [bits + 10, bits],
            "a list is of exactly one requester"
        );
        let open = Pages::Open(user(name));
        assert_eq!(
            bits_of(&ground, &open).await,
            [bits + 10, bits],
            "what is open is of exactly one requester"
        );
    }
    ground.create(&draft_for(30, "PROD")).await;
    assert_eq!(
        ground.listed(profile("PROD")).await,
        [30],
        "a list is for exactly one profile"
    );
    let waiting = Pages::Waiting(Some([profile("PROD")].into()));
    assert_eq!(bits_of(&ground, &waiting).await, [30]);
}

async fn bits_of(ground: &Ground, pages: &Pages) -> Vec<u64> {
    bits(&ground.all(pages, 0).await)
}

/// Names of 256 characters of any script are kept.
pub async fn long_names_are_kept(ground: Ground) {
    let name = "東🚒".repeat(128);
    let created = ground.create(&draft_of(1, &name)).await;
    assert_eq!(created.requester.as_str(), name, "a name is kept whole");
    assert_eq!(ground.listed(user(&name)).await, [1]);
}

/// Every time is kept to the nanosecond.
pub async fn times_are_kept_to_the_nanosecond(ground: Ground) {
    let odd = Draft {
        duration: Duration::from_nanos(1_000_000_007),
        ..draft(1)
    };
    let created = ground.create(&odd).await;
    ground.clock.advance(Duration::from_nanos(1_000_000_011));
    let at = ground.now();
    let approved = ground.change(1, &approve("bob")).await;
    assert_eq!(approved.created_at, start(), "created_at");
    assert_eq!(approved.decide_by, start() + HOUR * 24, "decide_by");
    assert_eq!(approved.updated_at.time(), at, "updated_at");
    assert_eq!(approved.created.time(), start(), "created");
    let times: Vec<_> = approved.history.iter().map(|entry| entry.at).collect();
    assert_eq!(times, [start(), at], "each entry keeps its time");
    assert_eq!(approved.approvals[0].at, at, "the approval");
    let until = at + Duration::from_nanos(1_000_000_007);
    assert_eq!(approved.access_until, Some(until), "access_until");
    assert_eq!(approved.history[1].from, Some(created.updated_at), "from");
    assert_eq!(approved.history[1].to.time(), at, "to");
}

/// The first and the last time that can be right are times like others.
pub async fn times_far_away_are_kept(ground: Ground) {
    for (bits, time) in [(1, EARLIEST), (2, LATEST)] {
        ground.clock.set(time);
        let created = ground.create(&draft(bits)).await;
        assert_eq!(
            created.created_at,
            ground.now(),
            "created when the clock says"
        );
        assert_eq!(ground.get(bits).await, created, "and kept so");
    }
    assert_eq!(
        ground.listed(Status::Pending).await,
        [2, 1],
        "the later one is the newer one"
    );
    assert_eq!(
        ground.list_expirable(LATEST, 0).await,
        [1],
        "the earlier one is due"
    );
}
