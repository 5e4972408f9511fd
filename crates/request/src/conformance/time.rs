//! Time: rules judge by the clock's reading of their step, which stands still within the tolerance
//! and may be one that cannot be right.

use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::time::{CLOCK_TOLERANCE, ClockError, EARLIEST, JUMP, LATEST, SETTLING_TIME};
use countersign_core::version::Version;

use super::ground::*;
use crate::Page;
use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;
use crate::limits::ValidationError;
use crate::refusal::Refusal;
use crate::transition::Status;

/// Readings that can be no time.
fn impossible() -> [DateTime<Utc>; 6] {
    [
        DateTime::UNIX_EPOCH,
        EARLIEST - NANOSECOND,
        LATEST + NANOSECOND,
        DateTime::from_timestamp_nanos(i64::MAX),
        DateTime::<Utc>::MAX_UTC,
        DateTime::<Utc>::MIN_UTC,
    ]
}

/// Sets the clock, and says what it shows.
fn show(ground: &Ground, reading: DateTime<Utc>) -> DateTime<Utc> {
    ground.clock.set(reading);
    ground.now()
}

/// Fails unless nothing was granted because the clock shows `reading`.
fn is_impossible<T: std::fmt::Debug>(result: Result<T, Error>, reading: DateTime<Utc>) {
    demand!(
        result,
        Err(Error::Clock(ClockError::Implausible { reading: shown })) if shown == reading,
        "nothing is granted by a clock that can be no time, and the error says what it shows"
    );
}

/// Each entry keeps the time of its step beside its version, whatever the versions are ahead of.
pub async fn entries_keep_the_time_of_their_step(ground: Ground) {
    ground.clock.set(start() + HOUR * 24 * 365 * 4);
    ground.create(&draft(9)).await;
    ground.clock.set(start());
    let created = ground.create(&draft_for(1, "pair")).await;
    assert_eq!(created.created_at, start(), "created when the clock says");
    assert_eq!(created.decide_by, start() + HOUR * 24, "a day to decide");
    assert!(created.created.time() > ground.now() + HOUR, "in its order");
    for (bits, change) in [
        (1, approve_for("pair", "bob")),
        (1, note("alice", "thanks")),
        (1, approve_for("pair", "dave")),
        (1, revoke_for("pair", "erin")),
        (9, cancel()),
    ] {
        ground.clock.advance(Duration::from_secs(1));
        let changed = ground.change(bits, &change).await;
        let entry = changed.history.last().expect("a history is never empty");
        assert_eq!(entry.at, ground.now(), "at the time of the step");
        assert_eq!(changed.changed_at(), ground.now(), "and so changed");
        assert_eq!(entry.to, changed.updated_at, "beside its version");
    }
    let approvals = &ground.get(1).await.approvals;
    let at: Vec<_> = approvals.iter().map(|approval| approval.at).collect();
    let second = Duration::from_secs(1);
    assert_eq!(at, [start() + second, start() + second * 3], "approvals");
}

/// What the store says of the time is what its next step has.
pub async fn now_is_the_time_of_the_next_step(ground: Ground) {
    let now = ground.store.now().await.expect("the time can be read");
    assert_eq!(now.at(), start(), "of a fresh store what the clock shows");
    ground.create(&draft(1)).await;
    let tolerance = CLOCK_TOLERANCE;
    let beyond = start() - tolerance - NANOSECOND;
    for (reading, at, corrects) in [
        (start() + NANOSECOND, start() + NANOSECOND, false),
        (start(), start(), false),
        (start() - NANOSECOND, start(), false),
        (start() - tolerance, start(), false),
        (beyond, beyond, true),
    ] {
        ground.clock.set(reading);
        let now = ground.store.now().await.expect("the time can be read");
        assert_eq!(now.at(), at, "while the clock shows {reading}");
        assert_eq!(now.correction().is_some(), corrects, "{reading}");
        assert_eq!(now.granting(), Ok(()), "{reading}");
    }
    for reading in impossible() {
        let reading = show(&ground, reading);
        let now = ground.store.now().await.expect("the time can be read");
        assert_eq!(now.at(), beyond, "the last time that can be right");
        let doubt = Err(ClockError::Implausible { reading });
        assert_eq!(now.granting(), doubt, "and nothing is granted by it");
    }
    ground.clock.set(beyond);
    let noted = ground.change(1, &note("bob", "seen")).await;
    assert_eq!(noted.changed_at(), beyond, "the step has that time");
    let now = ground.store.now().await.expect("the time can be read");
    let made = now
        .correction()
        .expect("the reading has corrected the clock");
    assert_eq!((made.from, made.to), (start(), beyond), "from and to");
    assert_eq!(now.makes_correction(), None, "once");
}

/// Within the tolerance time stands still: what was over stays over.
pub async fn a_step_back_within_the_tolerance_reopens_nothing(ground: Ground) {
    let created = ground.create(&draft(1)).await;
    ground.create(&draft(3)).await;
    let until = ground.approved(2).await.access_until.expect("approved");
    let last = until.max(created.decide_by);
    ground.clock.set(last);
    ground.change(3, &note("bob", "seen")).await;
    ground.clock.step_back(CLOCK_TOLERANCE);
    let refusal = ground.refusal(1, &approve("bob")).await;
    demand!(
        refusal,
        Refusal::TooLate { .. },
        "a deadline that has passed has passed"
    );
    let refusal = ground.refusal(2, &revoke("bob")).await;
    demand!(
        refusal,
        Refusal::AccessOver { .. },
        "access that is over is over"
    );
    assert_eq!(ground.granted().await.expect("a good clock"), None);
    let due = ground
        .store
        .list_expirable(0)
        .await
        .expect("due can be read");
    assert_eq!(bits(&due), [1, 3], "what is due is due");
    let expired = ground.change(1, &Change::expire()).await;
    assert_eq!(expired.status, Status::Expired, "and it can be marked");
    assert_eq!(expired.changed_at(), last, "at the time that stands still");
    assert!(ground.delete(2).await, "what is over can be deleted");
}

/// A correction is remembered by the first call that finds it and looks at the time, whatever it
/// answers: refused changes, creations and deletions, and reads by the store's time. So it stands
/// from then on. What is not judged by the time remembers nothing.
pub async fn a_correction_is_remembered_by_whoever_finds_it(ground: Ground) {
    ground.create(&draft(9)).await;
    ground.create(&draft(1)).await;
    let version = ground.get(9).await.updated_at;
    let mut ahead = start();
    for finder in 0..9 {
        ahead += HOUR * 8;
        ground.clock.set(ahead);
        let noted = ground.change(1, &note("bob", "ahead")).await;
        let right = ahead - HOUR * 4;
        ground.clock.set(right);
        let taken = ground.try_create(&draft(9)).await;
        demand!(taken, Err(Error::AlreadyExists { .. }), "a taken id");
        let stale = Version::from_nanos(version.as_nanos() - 1);
        let stale = ground.store.update(id(9), stale, &cancel()).await;
        demand!(stale, Err(Error::Conflict(_)), "another version");
        match finder {
            0 => drop(ground.refusal(9, &approve("mallory")).await),
            1 => drop(ground.refusal(9, &Change::expire()).await),
            2 => {
                let refused = ground.try_create(&draft_for(3, "nobody")).await;
                demand!(refused, Err(Error::Refused(_)), "nobody can approve it");
            }
            3 => {
                let live = ground.store.delete(id(9), None).await;
                demand!(live, Err(Error::NotTerminal { .. }), "it is not over");
            }
            4 => drop(
                ground
                    .store
                    .list_expirable(0)
                    .await
                    .expect("due can be read"),
            ),
            5 => drop(ground.granted().await.expect("a good clock")),
            6 => {
                let open = ground
                    .store
                    .list_open(&user("alice"), Page::default())
                    .await;
                drop(open.expect("open can be read"));
            }
            7 => drop(
                ground
                    .store
                    .list_ended(right, 0)
                    .await
                    .expect("ended can be read"),
            ),
            _ => drop(ground.store.now().await.expect("the time can be read")),
        }
        ground.clock.advance(HOUR);
        let now = ground.store.now().await.expect("the time can be read");
        let made = now.correction().expect("the clock was corrected");
        assert_eq!(
            (made.from, made.to),
            (ahead, right),
            "finder {finder}, once"
        );
        assert_eq!(now.makes_correction(), None, "finder {finder}");
        let after = noted.updated_at.as_nanos() + 1;
        assert_eq!(made.version.as_nanos(), after, "its version is the next");
        ahead = right + HOUR;
    }
}

/// A clock that can be no time grants nothing and changes nothing, in a fresh store too.
pub async fn a_clock_that_can_be_no_time_grants_nothing(ground: Ground) {
    for reading in impossible() {
        let reading = show(&ground, reading);
        is_impossible(ground.try_create(&draft(1)).await, reading);
    }
    ground.clock.set(start());
    ground.create(&draft(1)).await;
    ground.create(&draft_for(2, "pair")).await;
    ground.create(&draft_for(3, "dev")).await;
    ground.approved(4).await;
    ground.with_status(5, Status::Denied).await;
    for reading in impossible() {
        let reading = show(&ground, reading);
        for (bits, change) in [
            (1, approve("bob")),
            (2, approve_for("pair", "bob")),
            (3, approve_by_rule("dev")),
        ] {
            let call = ground.try_change(bits, &change);
            is_impossible(ground.without_trace(call).await, reading);
        }
        let more = draft(6);
        let call = ground.try_create(&more);
        is_impossible(ground.without_trace(call).await, reading);
        is_impossible(ground.granted().await, reading);
        let call = ground.store.delete(id(5), None);
        is_impossible(ground.without_trace(call).await, reading);
    }
    ground.clock.set(start() + NANOSECOND * 100);
    let approved = ground.change(1, &approve("bob")).await;
    let until = ground.now() + HOUR;
    assert_eq!(approved.access_until, Some(until), "all is as before");
    assert_eq!(
        ground.granted().await.expect("a good clock"),
        Some(until),
        "what is granted is found"
    );
    assert!(ground.delete(5).await, "what is over is deleted");
}

/// What ends access works at any clock, as at the last time that can be right, and re-dates nothing.
pub async fn a_clock_that_can_be_no_time_ends_access(ground: Ground) {
    ground.create(&draft_for(90, "1h")).await;
    ground.create(&draft(91)).await;
    let until = ground.approved(92).await.access_until;
    let ends = [
        (Status::Pending, deny("bob")),
        (Status::Pending, cancel()),
        (Status::Approved, revoke("bob")),
        (Status::Approved, release()),
        (Status::Pending, note("bob", "the clock is wrong")),
    ];
    let mut bits = 0;
    for reading in impossible() {
        for (status, change) in &ends {
            bits += 1;
            ground.clock.set(start());
            let last = ground.with_status(bits, *status).await.updated_at;
            ground.clock.set(reading);
            let ended = ground.change(bits, change).await;
            let target = change.target().unwrap_or(*status);
            assert_eq!(ended.status, target, "while the clock shows {reading}");
            assert_eq!(ended.changed_at(), start(), "the last time");
            assert_eq!(
                ended.updated_at.as_nanos(),
                last.as_nanos() + 1,
                "the next version, whatever the clock shows"
            );
        }
    }
    ground.clock.set(start() + HOUR);
    ground.change(91, &note("bob", "the clock is right")).await;
    ground.clock.set(impossible()[0]);
    let expired = ground.change(90, &Change::expire()).await;
    assert_eq!(expired.status, Status::Expired, "due by the last time");
    ground.clock.set(start() + HOUR - NANOSECOND);
    let now = ground.store.now().await.expect("the time can be read");
    assert_eq!(now.correction(), None, "no clock was corrected");
    let (alice, prod) = (user("alice"), profile("prod"));
    let access = ground.access_at(&alice, &prod, None, start()).await;
    let access = access.expect("there was access");
    assert_eq!(access.access_until, until, "nothing is re-dated");
    ground.clock.set(start() + HOUR * 2);
    let approved = ground.change(91, &approve("bob")).await;
    assert_eq!(
        Version::of(ground.now()).expect("a time of our days"),
        approved.updated_at,
        "versions are times again: none was outrun"
    );
}

/// That nothing is granted is told after what is wrong with the status or a field, and before what
/// a rule forbids.
pub async fn the_clock_is_told_in_its_order(ground: Ground) {
    ground.create(&draft(1)).await;
    ground.with_status(2, Status::Denied).await;
    let reading = DateTime::UNIX_EPOCH;
    ground.clock.set(reading);
    is_impossible(ground.try_change(1, &approve("mallory")).await, reading);
    let result = ground.try_change(2, &approve("bob")).await;
    demand!(
        result,
        Err(Error::InvalidTransition { .. }),
        "invalid transition before the clock"
    );
    let stale = Version::from_nanos(0);
    let result = ground.try_update(1, stale, &approve("bob")).await;
    demand!(result, Err(Error::Conflict(_)), "conflict before it");
    is_impossible(ground.try_create(&draft_for(3, "nobody")).await, reading);
    let invalid = Draft {
        duration: Duration::ZERO,
        ..draft(3)
    };
    demand!(
        ground.try_create(&invalid).await,
        Err(Error::Invalid(ValidationError::Duration { .. })),
        "invalid before the clock"
    );
    let taken = ground.try_create(&draft(1)).await;
    demand!(taken, Err(Error::AlreadyExists { .. }), "taken before it");
    let live = ground.store.delete(id(1), None).await;
    demand!(live, Err(Error::NotTerminal { .. }), "not over before it");
}

/// Nothing is deleted for an hour after a jump of more than a day between two steps.
pub async fn deletion_waits_for_an_hour_after_a_jump(ground: Ground) {
    ground.create(&draft(9)).await;
    ground.with_status(1, Status::Denied).await;
    ground.with_status(2, Status::Denied).await;
    ground.clock.advance(JUMP);
    assert!(ground.delete(1).await, "a day is no jump");
    ground.clock.advance(JUMP + Duration::from_nanos(1));
    let landed = ground.now();
    let until = landed + SETTLING_TIME;
    let jumped = async |bits| {
        let call = ground.store.delete(id(bits), None);
        let result = ground.without_trace(call).await;
        demand!(
            result,
            Err(Error::ClockJumped { until: named }) if named == until,
            "nothing is deleted for an hour after a jump, and the error says until when"
        );
    };
    jumped(2).await;
    let live = ground.store.delete(id(9), None).await;
    demand!(live, Err(Error::NotTerminal { .. }), "not over before it");
    ground.change(9, &note("bob", "seen")).await;
    jumped(2).await;
    ground.clock.set(until - NANOSECOND);
    jumped(2).await;
    ground.clock.set(until);
    assert!(ground.delete(2).await, "the hour is over");
}

/// After a jump that was corrected deletion waits for an hour from the correction, and no longer.
pub async fn a_corrected_jump_waits_from_the_correction(ground: Ground) {
    ground.create(&draft(9)).await;
    ground.with_status(1, Status::Denied).await;
    ground.clock.advance(HOUR * 24 * 365 * 4);
    ground.change(9, &note("bob", "ahead")).await;
    let to = start() + HOUR;
    ground.clock.set(to);
    ground.change(9, &note("bob", "corrected")).await;
    for at in [to, to + SETTLING_TIME - NANOSECOND] {
        ground.clock.set(at);
        let result = ground.store.delete(id(1), None).await;
        demand!(
            result,
            Err(Error::ClockJumped { until }) if until == to + SETTLING_TIME,
            "what looked old was not: it waits for an hour"
        );
    }
    ground.clock.set(to + SETTLING_TIME);
    assert!(ground.delete(1).await, "an hour, and not until the jump");
}
