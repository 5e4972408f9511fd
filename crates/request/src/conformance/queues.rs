//! What waits, what is open, what is due and what ended: to the nanosecond, and in order.

use std::time::Duration;

use super::ground::*;
use crate::Page;
use crate::draft::Draft;
use crate::transition::Status;

/// An id that is negative as a signed number.
const LARGE: u64 = 1 << 63;

async fn waiting(ground: &Ground, profiles: &[&str]) -> Vec<u64> {
    let profiles = profiles.iter().map(|name| profile(name)).collect();
    bits(&ground.all(&Pages::Waiting(Some(profiles)), 2).await)
}

/// What alice has open while the clock shows `at`.
async fn open(ground: &Ground, at: chrono::DateTime<chrono::Utc>) -> Vec<u64> {
    let pages = Pages::Open(user("alice"));
    bits(&ground.at(at, ground.all(&pages, 2)).await)
}

/// What waits is pending, for one of the profiles, oldest first over all of them.
pub async fn what_waits_is_merged_oldest_first(ground: Ground) {
    for (bits, name) in [
        (6, "stage"),
        (5, "prod"),
        (4, "dev"),
        (3, "stage"),
        (2, "dev"),
        (1, "prod"),
    ] {
        ground.create(&draft_for(bits, name)).await;
    }
    assert_eq!(waiting(&ground, &["prod", "stage"]).await, [6, 5, 3, 1]);
    assert_eq!(waiting(&ground, &["dev"]).await, [4, 2], "for one profile");
    assert_eq!(
        bits(&ground.all(&Pages::Waiting(None), 2).await),
        [6, 5, 4, 3, 2, 1],
        "oldest first over all profiles"
    );
}

/// For a set without a profile nothing waits; for profiles of nobody neither.
pub async fn nothing_waits_for_no_profile(ground: Ground) {
    ground.create(&draft(1)).await;
    assert_eq!(waiting(&ground, &[]).await, [0; 0], "no profile is not any");
    assert_eq!(waiting(&ground, &["stage", "pro"]).await, [0; 0]);
    assert_eq!(waiting(&ground, &["prod", "stage"]).await, [1]);
}

/// What is decided waits no longer; what is past its deadline and not marked does.
pub async fn what_is_decided_waits_no_longer(ground: Ground) {
    for (bits, status) in (1..).zip(Status::ALL) {
        ground.with_status(bits, status).await;
    }
    ground.clock.set(far());
    assert_eq!(
        waiting(&ground, &["prod"]).await,
        [1],
        "only what is pending"
    );
}

/// What is open is pending before its deadline, or approved before its end.
pub async fn what_is_open_is_open_to_its_last_nanosecond(ground: Ground) {
    let decide_by = ground.create(&draft(1)).await.decide_by;
    assert_eq!(open(&ground, decide_by - NANOSECOND).await, [1], "pending");
    assert_eq!(open(&ground, decide_by).await, [0; 0], "past its deadline");
    let until = ground.change(1, &approve("bob")).await.access_until;
    let until = until.expect("approved");
    assert_eq!(open(&ground, until - NANOSECOND).await, [1], "approved");
    assert_eq!(open(&ground, until).await, [0; 0], "past its end");
    ground.clock.advance(Duration::from_nanos(1));
    for (bits, status) in (2..).zip(Status::ALL) {
        ground.with_status(bits, status).await;
    }
    let at = start() + NANOSECOND;
    assert_eq!(open(&ground, at).await, [2, 3, 1], "nothing that has ended");
}

/// What is open comes by its end, last first, then by id, and pages go on among equals.
pub async fn what_is_open_comes_by_its_end(ground: Ground) {
    // Five end at the same time: asked for so many hours, approved so many hours after the start.
    let asked = [(5, 5, 2), (3, 3, 4), (6, 6, 1), (4, 4, 3), (LARGE, 7, 0)];
    let (pending, last) = (8, 2);
    ground.create(&draft(pending)).await;
    for (bits, hours, _) in asked.into_iter().chain([(last, 2, 0)]) {
        let draft = Draft {
            duration: HOUR * hours,
            ..draft(bits)
        };
        ground.create(&draft).await;
    }
    for hour in 0..5 {
        ground.clock.set(start() + HOUR * hour + NANOSECOND * 100);
        for (bits, ..) in asked.iter().filter(|(.., after)| *after == hour) {
            ground.change(*bits, &approve("bob")).await;
        }
    }
    ground.change(last, &approve("bob")).await;
    assert_eq!(
        open(&ground, ground.now()).await,
        [pending, 3, 4, 5, 6, LARGE, last],
        "by their end, last first, then smallest id first"
    );
    let pages = Pages::Open(user("alice"));
    let place = pages.place(&*ground.get(5).await);
    let next = Page::after(place, 2);
    assert_eq!(
        ground.ids(&pages, next).await,
        [6, LARGE],
        "by id among equals"
    );
}

/// A pending request is due from its deadline on.
pub async fn what_is_due_is_due_at_its_deadline(ground: Ground) {
    let decide_by = ground.create(&draft(1)).await.decide_by;
    assert_eq!(
        ground.list_expirable(decide_by - NANOSECOND, 0).await,
        [0; 0],
        "not yet"
    );
    assert_eq!(ground.list_expirable(decide_by, 0).await, [1], "due");
    for (bits, status) in (2..).zip(Status::ALL) {
        ground.with_status(bits, status).await;
    }
    assert_eq!(
        ground.list_expirable(far(), 0).await,
        [1, 2],
        "only what is pending"
    );
}

/// What is due comes by its deadline, earliest first, then by id; a limit takes the first.
pub async fn what_is_due_comes_earliest_first(ground: Ground) {
    ground.create(&draft_for(1, "prod")).await;
    ground.create(&draft_for(LARGE, "2h")).await;
    ground.clock.set(start() + HOUR);
    ground.create(&draft_for(5, "1h")).await;
    assert_eq!(
        ground.list_expirable(start() + HOUR * 3, 0).await,
        [5, LARGE],
        "until then"
    );
    ground.clock.set(start() + HOUR * 22 + NANOSECOND);
    ground.create(&draft_for(9, "1h")).await;
    assert_eq!(
        ground.list_expirable(far(), 0).await,
        [5, LARGE, 9, 1],
        "earliest, then id"
    );
    assert_eq!(
        ground.list_expirable(far(), 2).await,
        [5, LARGE],
        "the first two"
    );
}

/// What ended is listed from the nanosecond after its end, however it ended.
pub async fn what_ended_is_listed_after_its_end(ground: Ground) {
    for (bits, status) in (1..).zip(Status::ALL) {
        let request = ground.with_status(bits, status).await;
        let Some(end) = request.ended_at() else {
            assert!(
                !ground.list_ended(far(), 0).await.contains(&bits),
                "not ended"
            );
            continue;
        };
        let listed = ground.list_ended(end, 0).await.contains(&bits);
        assert!(
            !listed,
            "{status}: what ended at a time did not end before it"
        );
        let listed = ground.list_ended(end + NANOSECOND, 0).await.contains(&bits);
        assert!(listed, "{status}: it ended before the next nanosecond");
    }
}

/// A note after the end moves no end; an expired request ended at its deadline.
pub async fn an_end_stays_where_it_was(ground: Ground) {
    let created = ground.create(&draft(1)).await;
    ground.clock.set(created.decide_by + HOUR);
    ground.change(1, &crate::Change::expire()).await;
    ground.clock.advance(HOUR);
    ground.change(1, &note("bob", "too late")).await;
    let end = created.decide_by;
    assert_eq!(
        ground.list_ended(end, 0).await,
        [0; 0],
        "not before its deadline"
    );
    assert_eq!(
        ground.list_ended(end + NANOSECOND, 0).await,
        [1],
        "at its deadline"
    );
    let denied = ground.with_status(2, Status::Denied).await.changed_at();
    ground.clock.advance(HOUR);
    ground.change(2, &note("bob", "sorry")).await;
    assert_eq!(ground.list_ended(denied, 0).await, [1]);
    assert_eq!(
        ground.list_ended(denied + NANOSECOND, 0).await,
        [1, 2],
        "when denied"
    );
}

/// What ended comes by its end, earliest first, then by id; a limit takes the first.
pub async fn what_ended_comes_earliest_first(ground: Ground) {
    for bits in 1..=4 {
        ground.create(&draft(bits)).await;
    }
    ground.create(&draft_for(LARGE, "2h")).await;
    ground.clock.set(start() + HOUR);
    ground.create(&draft_for(8, "1h")).await;
    for bits in [3, 1, 4, 2] {
        ground.clock.advance(Duration::from_secs(1));
        ground.change(bits, &deny("bob")).await;
    }
    ground.clock.set(start() + HOUR * 3);
    for bits in [LARGE, 8] {
        ground.change(bits, &crate::Change::expire()).await;
    }
    assert_eq!(
        ground.list_ended(far(), 0).await,
        [3, 1, 4, 2, 8, LARGE],
        "by the end"
    );
    assert_eq!(
        ground.list_ended(far(), 5).await,
        [3, 1, 4, 2, 8],
        "the first five"
    );
}
