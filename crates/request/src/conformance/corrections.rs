//! After a clock that was ahead has been corrected: what it has left behind, and what is new.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::time::{CLOCK_TOLERANCE, LATEST, SETTLING_TIME};

use super::ground::*;
use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;
use crate::history::{Action, Actor};
use crate::record::Request;
use crate::refusal::Refusal;
use crate::transition::Status;
use crate::{Cursor, Page};

const LEAST: Duration = Duration::from_nanos(1);

/// How far clocks are ahead: by less than the tolerance, by hours, by years, to the last time.
fn ahead() -> [Duration; 5] {
    let to_the_last = (LATEST - start()).to_std().expect("it is later");
    [
        Duration::from_millis(5),
        CLOCK_TOLERANCE + LEAST,
        HOUR * 8,
        HOUR * 24 * 365 * 4,
        to_the_last,
    ]
}

/// Request `bits` for `prod`, asked for and approved so far ahead, and the correction, which a
/// note has made.
async fn approved_ahead(ground: &Ground, bits: u64, ahead: Duration) -> Arc<Request> {
    let to = ground.now();
    ground.clock.set(to + ahead);
    ground.approved(bits).await;
    ground.clock.set(to);
    ground
        .change(bits, &note("bob", "the clock was ahead"))
        .await
}

/// Until when alice has access to `prod` while the clock shows `at`.
async fn granted(ground: &Ground, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let granted = ground.at(at, ground.granted()).await;
    granted.expect("the clock is good")
}

async fn open(ground: &Ground, at: DateTime<Utc>) -> Vec<u64> {
    let pages = Pages::Open(user("alice"));
    bits(&ground.at(at, ground.all(&pages, 2)).await)
}

/// What is approved once a clock that was ahead has been set right lasts what was asked for.
pub async fn what_is_approved_lasts_what_was_asked_for(ground: Ground) {
    ground.create(&draft_of(9, "dave")).await;
    for (bits, ahead) in (1..).zip(ahead()) {
        let right = ground.now();
        ground.clock.set(right + ahead);
        ground.change(9, &note("bob", "ahead")).await;
        ground.clock.set(right);
        // Within the tolerance time stands still.
        let at = match ahead <= CLOCK_TOLERANCE {
            true => right + ahead,
            false => right,
        };
        let created = ground.create(&draft(bits)).await;
        assert_eq!(created.created_at, at, "{ahead:?}: created now");
        assert_eq!(created.decide_by, at + HOUR * 24, "{ahead:?}: a day");
        let approved = ground.change(bits, &approve("bob")).await;
        let until = at + HOUR;
        assert_eq!(approved.access_until, Some(until), "{ahead:?}: an hour");
        for shown in [right, until - NANOSECOND] {
            assert_eq!(granted(&ground, shown).await, Some(until), "{ahead:?}");
            assert_eq!(open(&ground, shown).await, [bits], "{ahead:?}");
        }
        assert_eq!(granted(&ground, until).await, None, "{ahead:?}: no longer");
        assert_eq!(open(&ground, until).await, [0; 0], "{ahead:?}: no longer");
        ground.clock.set(until - NANOSECOND);
        ground.change(bits, &release()).await;
    }
}

/// What was granted in the wrong time is not in force, and never again once the correction has
/// stood for an hour.
pub async fn what_was_granted_in_the_wrong_time_is_not_in_force(ground: Ground) {
    for (bits, ahead) in (1..).zip([SETTLING_TIME + LEAST, HOUR * 8, HOUR * 24 * 365 * 4]) {
        let to = ground.now();
        let from = to + ahead;
        approved_ahead(&ground, bits, ahead).await;
        let settled = to + SETTLING_TIME;
        for at in [to, settled - NANOSECOND, settled, from, from + HOUR - LEAST] {
            assert_eq!(granted(&ground, at).await, None, "{ahead:?} ahead, at {at}");
            assert_eq!(open(&ground, at).await, [0; 0], "{ahead:?} ahead, at {at}");
        }
    }
}

/// What the right time reaches before the correction has stood for an hour is in force from then on.
pub async fn what_the_clock_reaches_within_the_hour_is_in_force(ground: Ground) {
    let to = ground.now();
    for (bits, ahead) in [(1, CLOCK_TOLERANCE + LEAST), (2, SETTLING_TIME)] {
        let until = approved_ahead(&ground, bits, ahead).await.access_until;
        let from = to + ahead;
        assert_eq!(
            granted(&ground, from - LEAST).await.filter(|_| bits == 1),
            None
        );
        assert_eq!(granted(&ground, from).await, until, "{ahead:?} ahead");
        assert_eq!(open(&ground, from).await[0], bits, "{ahead:?} ahead");
    }
}

/// What a correction has ended is due after its hour, and is marked as ended by the clock.
pub async fn what_a_correction_has_ended_is_marked(ground: Ground) {
    let ahead = approved_ahead(&ground, 1, HOUR * 8).await;
    let settled = ground.now() + SETTLING_TIME;
    assert_eq!(
        ground.list_expirable(settled - NANOSECOND, 0).await,
        [0; 0],
        "not yet"
    );
    ground.clock.set(settled - NANOSECOND);
    let refusal = ground.refusal(1, &Change::end_void()).await;
    assert_eq!(refusal, Refusal::NotVoid, "not yet");
    let live = ground.store.delete(id(1), None).await;
    demand!(live, Err(Error::NotTerminal { .. }), "nor is it over");
    ground.clock.set(settled);
    assert_eq!(ground.list_expirable(settled, 0).await, [1], "it is due");
    let ended = ground.change(1, &Change::end_void()).await;
    assert_eq!(ended.status, Status::Ended, "it has ended");
    assert_eq!(ended.access_until, ahead.access_until, "it was until then");
    let entry = ended.history.last().expect("a history is never empty");
    assert_eq!((entry.action, &entry.actor), (Action::Ended, &Actor::Clock));
    assert_eq!(ended.ended_at(), Some(settled), "when it was marked");
    assert_eq!(
        ground.list_expirable(settled, 0).await,
        [0; 0],
        "it is due no more"
    );
    assert_eq!(ground.list_ended(settled, 0).await, [0; 0], "at its end");
    assert_eq!(
        ground.list_ended(settled + NANOSECOND, 0).await,
        [1],
        "after it"
    );
    assert!(ground.delete(1).await, "what has ended can be deleted");
    // Neither what is in force nor what is over by time.
    let right = ground.approved(2).await.access_until.expect("approved");
    for at in [settled, right] {
        ground.clock.set(at);
        let refusal = ground.refusal(2, &Change::end_void()).await;
        assert_eq!(refusal, Refusal::NotVoid, "no correction has ended it");
    }
    assert_eq!(
        ground.list_expirable(right, 0).await,
        [0; 0],
        "nor is it due"
    );
    // What is void is over by time like any other.
    let over = approved_ahead(&ground, 3, HOUR * 2).await.access_until;
    let over = over.expect("approved");
    assert_eq!(
        ground.list_expirable(over - LEAST, 0).await,
        [3],
        "not over by time"
    );
    assert_eq!(
        ground.list_expirable(over, 0).await,
        [0; 0],
        "over, and not due"
    );
    ground.clock.set(over);
    let refusal = ground.refusal(3, &Change::end_void()).await;
    assert_eq!(refusal, Refusal::NotVoid, "its time has ended it");
    assert!(ground.delete(3).await, "what is over can be deleted");
}

/// What is void and nobody has marked is over: it can be deleted, or be taken back all the same.
pub async fn what_is_void_is_over_and_can_be_taken_back(ground: Ground) {
    for bits in 1..=3 {
        ground.create(&draft(bits)).await;
    }
    let to = ground.now();
    ground.clock.advance(HOUR * 8);
    for bits in 1..=3 {
        ground.change(bits, &approve("bob")).await;
    }
    ground.clock.set(to);
    for (bits, change) in [(1, revoke("bob")), (2, release())] {
        let taken = ground.change(bits, &change).await;
        assert_eq!(Some(taken.status), change.target(), "before its hour");
    }
    ground.clock.set(to + SETTLING_TIME);
    // It ended at the correction, also when the clock is where it would be in force.
    for at in [to + SETTLING_TIME, to + HOUR * 8, to + HOUR * 9 - LEAST] {
        let ended = ground.at(at, ground.list_ended(to + NANOSECOND, 0)).await;
        assert_eq!(ended, [1, 2, 3], "at {at}: all have ended");
        let ended = ground.at(at, ground.list_ended(to, 0)).await;
        assert_eq!(ended, [0; 0], "at {at}: none before it");
    }
    assert!(ground.delete(3).await, "what is void is over");
    let ahead = approved_ahead(&ground, 4, HOUR * 8).await;
    ground.clock.advance(SETTLING_TIME);
    let taken = ground.change(4, &revoke("carol")).await;
    assert_eq!(taken.status, Status::Revoked, "after its hour");
    assert_eq!(taken.access_until, ahead.access_until);
}

/// Access that is void hides no shorter one that is in force.
pub async fn what_is_void_hides_no_shorter_one(ground: Ground) {
    let to = ground.now();
    let from = to + HOUR * 8;
    approved_ahead(&ground, 1, HOUR * 8).await;
    ground.clock.set(from - HOUR / 2);
    let shorter = ground.approved(2).await.access_until;
    assert!(shorter < ground.get(1).await.access_until, "it is shorter");
    for at in [from - HOUR / 2, from, from + HOUR / 2 - LEAST] {
        assert_eq!(granted(&ground, at).await, shorter, "at {at}");
        assert_eq!(open(&ground, at).await, [2], "at {at}");
    }
}

/// A later correction brings nothing back that one before it has ended.
pub async fn another_correction_brings_nothing_back(ground: Ground) {
    let to = ground.now();
    let from = to + HOUR * 8;
    approved_ahead(&ground, 1, HOUR * 8).await;
    // Hours later the clock is ahead again, by minutes.
    ground.create(&draft_of(9, "dave")).await;
    ground.clock.set(from - Duration::from_secs(600));
    ground.change(9, &note("bob", "ahead")).await;
    ground.clock.step_back(Duration::from_secs(300));
    ground.change(9, &note("bob", "corrected")).await;
    for at in [from, from + HOUR - LEAST] {
        assert_eq!(granted(&ground, at).await, None, "it has ended for good");
        assert_eq!(open(&ground, at).await, [0; 0], "it has ended for good");
        assert_eq!(ground.list_expirable(at, 0).await, [1], "and can be marked");
    }
    ground.clock.set(from);
    let ended = ground.change(1, &Change::end_void()).await;
    assert_eq!(ended.status, Status::Ended, "and can be marked");
}

/// Whatever is granted can be revoked and released at any clock.
pub async fn what_is_granted_can_be_taken_back_at_any_clock(ground: Ground) {
    ground.create(&draft_of(9, "dave")).await;
    let mut bits = 10;
    for ahead in ahead() {
        for (number, change) in [(0, revoke("bob")), (1, release())] {
            let began = ground.now();
            let long = Draft {
                duration: HOUR * 4,
                ..draft(bits + number)
            };
            ground.create(&long).await;
            ground.change(bits + number, &approve("bob")).await;
            ground.clock.set(began + ahead);
            ground.change(9, &note("bob", "ahead")).await;
            let right = began + Duration::from_secs(300);
            for shown in [DateTime::UNIX_EPOCH, right] {
                ground.clock.set(shown);
                let taken = ground.at(shown, ground.granted()).await;
                assert_eq!(taken.is_ok(), shown == right, "{ahead:?}");
            }
            let until = granted(&ground, right).await;
            let found = ground.grant("prod", None, right).await;
            assert_eq!(
                found,
                Some(bits + number),
                "{ahead:?} ahead, until {until:?}"
            );
            let taken = ground.change(bits + number, &change).await;
            assert_eq!(Some(taken.status), change.target(), "{ahead:?} ahead");
            assert_eq!(granted(&ground, right).await, None, "{ahead:?} ahead");
            ground.clock.set(right + Duration::from_secs(300));
        }
        bits += 2;
    }
}

/// What was asked for in the wrong time cannot be approved, in part or by a rule, and is due.
pub async fn what_was_asked_for_in_the_wrong_time_is_due(ground: Ground) {
    let right = ground.now();
    let from = right + HOUR * 8;
    ground.clock.set(from);
    for (bits, name) in [(1, "prod"), (2, "pair"), (3, "dev"), (4, "1h"), (5, "2h")] {
        ground.create(&draft_for(bits, name)).await;
    }
    ground.clock.set(right);
    for (bits, change) in [
        (1, approve("bob")),
        (2, approve_for("pair", "bob")),
        (3, approve_by_rule("dev")),
    ] {
        let refusal = ground.refusal(bits, &change).await;
        let (created_at, at) = (from, right);
        let dated = Refusal::DatedAhead { created_at, at };
        assert_eq!(refusal, dated, "it cannot be approved while it is ahead");
    }
    ground.change(5, &note("bob", "the clock was ahead")).await;
    let due = [4, 5, 1, 2, 3];
    assert_eq!(
        ground.list_expirable(right, 0).await,
        due,
        "by deadline, then id"
    );
    assert_eq!(
        ground.list_expirable(from - LEAST, 3).await,
        due[..3],
        "as many as asked"
    );
    assert_eq!(open(&ground, from - LEAST).await, [0; 0], "it is not open");
    assert_eq!(
        bits(&ground.all(&Pages::Waiting(None), 2).await),
        [1, 2, 3, 4, 5],
        "it waits, since nobody has marked it"
    );
    let denied = ground.change(1, &deny("bob")).await;
    assert_eq!(denied.status, Status::Denied, "it can be denied");
    let expired = ground.change(4, &Change::expire()).await;
    assert_eq!(expired.status, Status::Expired, "and marked");
    let entry = expired.history.last().expect("a history is never empty");
    assert_eq!(entry.actor, Actor::Clock, "by the clock");
    assert_eq!(expired.ended_at(), Some(right), "when it was marked");
    let cancelled = ground.change(5, &cancel()).await;
    assert_eq!(cancelled.status, Status::Cancelled, "and withdrawn");
    // Only while it is ahead.
    assert_eq!(ground.list_expirable(from, 0).await, [0; 0], "not due");
    ground.clock.set(from);
    assert_eq!(open(&ground, from).await, [2, 3], "open");
    let approved = ground.change(3, &approve_by_rule("dev")).await;
    assert_eq!(approved.access_until, Some(from + HOUR), "approved");
}

/// What is due comes first, then what is void, each by its time and then by id.
pub async fn what_is_void_comes_after_what_is_due(ground: Ground) {
    for (bits, name) in [(9, "1h"), (8, "48h")] {
        ground.create(&draft_for(bits, name)).await;
    }
    let to = ground.now();
    for bits in [3, 2, 1] {
        ground.create(&draft(bits)).await;
    }
    ground.clock.set(to + HOUR * 2);
    for bits in [3, 2] {
        ground.change(bits, &approve("bob")).await;
    }
    ground.clock.advance(LEAST);
    ground.create(&draft_for(7, "48h")).await;
    ground.change(1, &approve("bob")).await;
    ground.clock.set(to);
    ground.change(8, &note("bob", "corrected")).await;
    let settled = to + SETTLING_TIME;
    let all = [9, 7, 2, 3, 1];
    assert_eq!(
        ground.list_expirable(settled, 0).await,
        all,
        "due, then void"
    );
    for limit in 1..=5 {
        assert_eq!(
            ground.list_expirable(settled, limit).await,
            all[..limit],
            "so many"
        );
    }
}

/// What was over by the wrong time alone is not over; what was marked stays as it was marked.
pub async fn what_was_over_by_the_wrong_time_alone_is_not(ground: Ground) {
    let right = ground.now();
    let long = Draft {
        duration: HOUR * 4,
        ..draft(1)
    };
    ground.create(&long).await;
    let until = ground.change(1, &approve("bob")).await.access_until;
    let deadline = ground.create(&draft(2)).await.decide_by;
    ground.create(&draft(3)).await;
    ground.clock.set(deadline);
    let marked = ground.change(3, &Change::expire()).await;
    assert_eq!(granted(&ground, deadline).await, None, "over, by that time");
    let refusal = ground.refusal(1, &revoke("bob")).await;
    demand!(refusal, Refusal::AccessOver { .. }, "over, by that time");
    let refusal = ground.refusal(2, &approve("bob")).await;
    demand!(refusal, Refusal::TooLate { .. }, "late, by that time");
    // By a nanosecond more than the tolerance, and by hours.
    for shown in [deadline - CLOCK_TOLERANCE - NANOSECOND, right + HOUR] {
        ground.clock.set(shown);
        assert_eq!(
            ground.list_expirable(shown, 0).await,
            [0; 0],
            "not late any more"
        );
    }
    let at = right + HOUR;
    assert_eq!(granted(&ground, at).await, until, "in force again");
    assert_eq!(open(&ground, at).await, [2, 1], "open again");
    let live = ground.store.delete(id(1), None).await;
    demand!(live, Err(Error::NotTerminal { .. }), "it is not over");
    let approved = ground.change(2, &approve("bob")).await;
    assert_eq!(approved.access_until, Some(at + HOUR), "in time");
    assert_eq!(ground.get(3).await, marked, "what was marked stays");
    let result = ground.try_change(3, &approve("bob")).await;
    demand!(
        result,
        Err(Error::InvalidTransition {
            from: Status::Expired,
            ..
        }),
        "what was marked stays"
    );
    let revoked = ground.change(1, &revoke("bob")).await;
    assert_eq!(revoked.status, Status::Revoked, "and can be taken back");
}

/// What ended while the clock was ahead counts as ended at the correction, while it is ahead.
pub async fn what_ended_in_the_wrong_time_ended_at_the_correction(ground: Ground) {
    for bits in [1, 2, 3] {
        ground.create(&draft(bits)).await;
    }
    let to = ground.now();
    let end = to + HOUR * 8;
    ground.clock.set(end);
    for bits in [1, 2] {
        ground.change(bits, &deny("bob")).await;
    }
    ground.clock.set(to);
    ground.change(3, &cancel()).await;
    assert_eq!(ground.list_ended(to, 0).await, [0; 0], "at the correction");
    let after = to + NANOSECOND;
    assert_eq!(ground.list_ended(after, 0).await, [3, 1, 2], "after it");
    assert_eq!(
        ground.list_ended(after, 2).await,
        [3, 1],
        "as many as asked"
    );
    let result = ground.store.delete(id(1), Some(to)).await;
    demand!(
        result,
        Err(Error::Retained { ended_at, .. }) if ended_at == end,
        "what did not end before is retained"
    );
    let result = ground.store.delete(id(1), Some(after)).await;
    demand!(result, Ok(true), "what ended before is deleted");
    // Once it is not ahead, its own time counts.
    ground.clock.set(end);
    assert_eq!(ground.list_ended(end, 0).await, [3], "it ended then");
    assert_eq!(
        ground.list_ended(end + NANOSECOND, 0).await,
        [3, 2],
        "after it"
    );
}

/// An approval in part that is dated ahead counts, if the request itself is not dated so.
pub async fn an_approval_in_part_in_the_wrong_time_counts(ground: Ground) {
    ground.create(&draft_for(1, "pair")).await;
    let right = ground.now();
    ground.clock.advance(HOUR * 8);
    ground.change(1, &approve_for("pair", "bob")).await;
    ground.clock.set(right);
    let refusal = ground.refusal(1, &approve_for("pair", "bob")).await;
    demand!(refusal, Refusal::AlreadyApproved { .. }, "it is there");
    let approved = ground.change(1, &approve_for("pair", "dave")).await;
    assert_eq!(approved.status, Status::Approved, "it counts");
    assert_eq!(approved.access_until, Some(right + HOUR), "from now on");
    assert_eq!(approved.approvals.len(), 2, "both are kept");
    assert_eq!(ground.grant("pair", None, right).await, Some(1), "in force");
    let last = right + HOUR;
    assert_eq!(ground.grant("pair", None, last).await, None, "for an hour");
}

/// Lists are in the order of creation, whatever the clock showed, and so are their pages.
pub async fn lists_keep_their_order_over_a_correction(ground: Ground) {
    let right = ground.now();
    ground.clock.advance(HOUR * 8);
    ground.create(&draft(1)).await;
    ground.create(&draft(2)).await;
    ground.clock.set(right);
    for bits in [3, 4] {
        ground.create(&draft(bits)).await;
        ground.clock.advance(HOUR);
    }
    let lists = Pages::of_pending().into_iter();
    for pages in lists.filter(|pages| !matches!(pages, Pages::Open(_))) {
        let ordered = pages.ordered(vec![1, 2, 3, 4]);
        for limit in [1, 2, 3, 4] {
            let listed = bits(&ground.all(&pages, limit).await);
            assert_eq!(listed, ordered, "{pages:?} by {limit}");
        }
        let last = ground.get(ordered[1]).await;
        let after: Cursor = pages.place(&last);
        let rest = ground.ids(&pages, Page::after(after, 0)).await;
        assert_eq!(rest, ordered[2..], "{pages:?}: after its place");
    }
    let told: Vec<_> = ground.changes(None, 0).await;
    let told: Vec<_> = told.iter().map(|c| c.request.id.to_bits()).collect();
    assert_eq!(told, [1, 2, 3, 4], "and so is the stream");
}
