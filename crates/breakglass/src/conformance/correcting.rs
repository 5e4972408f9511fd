//! A clock that was ahead and has been set right: what begins then lasts what was asked for, what
//! gives access can be closed, and what began in the wrong time gives none.

use std::time::Duration;

use countersign_core::time::LATEST;
use countersign_core::version::Version;

use super::bench::*;
use crate::change::Change;
use crate::history::{Action, Actor};
use crate::refusal::Refusal;
use crate::transition::Status;

/// How far ahead of `start()` a clock is before it is corrected.
pub(super) fn ahead() -> [Duration; 5] {
    let to_the_end = (LATEST - start()).to_std().unwrap();
    [
        TOLERANCE + NANO,
        HOUR,
        8 * HOUR,
        4 * 365 * 24 * HOUR,
        to_the_end,
    ]
}

impl Bench {
    /// Sets the clock ahead of `start()`, begins an emergency of an hour, and sets it right.
    async fn begin_ahead(&self, bits: u64, who: &str, wanted: &str, by: Duration) {
        self.clock.set(start() + by);
        let emergency = self.begin(bits, who, wanted).await;
        assert_eq!(emergency.created_at, start() + by, "nobody can know it yet");
        self.clock.set(start());
    }
}

/// What begins after a correction begins when the clock says, and lasts what was asked for.
pub(super) async fn what_begins_after_a_correction_lasts_what_was_asked_for(bench: Bench) {
    for (round, by) in (0..).zip(ahead()) {
        let (who, bits) = (format!("user-{round}"), 10 * round);
        bench
            .begin_ahead(bits, "dave", &format!("dev-{round}"), by)
            .await;
        let emergency = bench.begin(bits + 1, &who, "prod").await;
        assert_eq!(emergency.created_at, start(), "{by:?} ahead");
        assert_eq!(emergency.history[0].at, start(), "{by:?} ahead");
        let (until, last) = (start() + HOUR, start() + HOUR - NANO);
        assert_eq!(emergency.expires_at, until, "{by:?} ahead");
        assert!(
            emergency.created > bench.get(bits).await.created,
            "in order"
        );
        assert_eq!(bench.granted(&who, "prod", start()).await, Some(until));
        assert_eq!(bench.granted(&who, "prod", last).await, Some(until));
        assert_eq!(
            bench.granted(&who, "prod", until).await,
            None,
            "{by:?} ahead"
        );
        let expired = bench.made(bits + 1, &Change::expire()).await;
        assert_eq!((expired.changed_at(), expired.ended_at()), (until, until));
    }
}

/// What began more than an hour ahead of a correction gives no access, and has ended for good once
/// the correction has stood for an hour: also if it is never marked so, if nothing else is written
/// and when the clock comes to its time once more.
pub(super) async fn what_began_in_the_wrong_time_never_gives_access(bench: Bench) {
    let settled = start() + HOUR;
    let hours = [HOUR + NANO, 8 * HOUR];
    for (bits, by) in (1..).zip(hours) {
        bench.clock.set(start() + by);
        bench.begin(bits, &format!("user-{bits}"), "prod").await;
    }
    for (bits, by) in (1..).zip(hours) {
        let who = format!("user-{bits}");
        assert_eq!(bench.granted(&who, "prod", start()).await, None, "{by:?}");
    }
    for now in [start(), settled - NANO] {
        assert_eq!(
            bench.list_expirable(now).await,
            [0; 0],
            "it may yet have been right"
        );
        assert_eq!(bench.awaiting(now).await, [0; 0], "not before an hour");
        let early = bench.change(1, &Change::expire()).await;
        let early = refusal(early, "marking too early");
        assert!(matches!(early, Refusal::NotDue { .. }), "{early}");
    }
    assert_eq!(
        bench.list_expirable(settled).await,
        [1, 2],
        "it has ended for good"
    );
    assert_eq!(
        bench.awaiting(settled).await,
        [1, 2],
        "and awaits its review"
    );
    for (bits, by) in (1..).zip(hours) {
        let (who, from) = (format!("user-{bits}"), start() + by);
        for now in [from - NANO, from, from + NANO, from + HOUR - NANO] {
            let found = bench.granted(&who, "prod", now.max(settled)).await;
            assert_eq!(found, None, "{by:?} ahead, at {now}");
        }
    }
}

/// What has ended by a correction is marked so by the clock.
pub(super) async fn what_a_correction_has_ended_is_marked_by_the_clock(bench: Bench) {
    bench.begin_ahead(1, "alice", "prod", 8 * HOUR).await;
    let began = bench.get(1).await;
    bench.clock.set(start());
    bench.begin(2, "bob", "prod").await;
    bench.clock.set(start() + HOUR);
    let marked = bench.made(1, &Change::expire()).await;
    assert_eq!(marked.status, Status::Expired);
    let entry = &marked.history[1];
    let told = (entry.action, &entry.actor, entry.at);
    assert_eq!(told, (Action::Expired, &Actor::Clock, start() + HOUR));
    assert_eq!(marked.ended_at(), start() + HOUR, "when it was marked");
    let dates = (marked.created_at, marked.expires_at);
    assert_eq!(
        dates,
        (began.created_at, began.expires_at),
        "nothing is re-dated"
    );
    assert_eq!(bench.list_bits(Status::Expired).await, [1]);
    let again = bench.change(1, &Change::expire()).await;
    assert!(again.is_err(), "once: {again:?}");
}

/// What began no more than an hour ahead of the correction is in force when its time comes.
pub(super) async fn what_began_an_hour_ahead_is_in_force_in_its_time(bench: Bench) {
    bench.begin_ahead(1, "alice", "prod", HOUR).await;
    bench.begin(2, "bob", "prod").await;
    let from = start() + HOUR;
    let until = Some(from + HOUR);
    assert_eq!(bench.granted("alice", "prod", from - NANO).await, None);
    assert_eq!(bench.granted("alice", "prod", from).await, until);
    assert_eq!(bench.list_expirable(from).await, [2], "it has not ended");
    let refused = bench.create(&draft(3, "alice", "prod"), &unlimited()).await;
    let refused = refusal(refused, "it is active");
    assert_eq!(refused.retry_at(), until);
    assert_eq!(
        bench.granted("alice", "prod", from + HOUR - NANO).await,
        until
    );
    assert_eq!(bench.granted("alice", "prod", from + HOUR).await, None);
}

/// Whatever gives access can be closed, by its invoker and by a responder, however late it was when
/// the clock was ahead.
pub(super) async fn whatever_gives_access_can_be_closed(bench: Bench) {
    for (round, by) in (0..).zip([8 * HOUR, 4 * 365 * 24 * HOUR]) {
        bench.clock.set(start());
        for (place, closer) in [(0, "alice"), (1, "carol")] {
            let (bits, wanted) = (10 * round + place, format!("prod-{round}-{place}"));
            let mut draft = draft(bits, "alice", &wanted);
            draft.duration = 4 * HOUR;
            bench.create(&draft, &unlimited()).await.unwrap();
            bench.begin_ahead(bits + 2, "dave", &wanted, by).await;
            let now = start() + HOUR / 12;
            let until = bench.granted("alice", &wanted, now).await;
            assert_eq!(until, Some(start() + 4 * HOUR), "{by:?} ahead");
            let early = bench.change(bits, &review("carol", &wanted)).await;
            let early = refusal(early, "reviewing what gives access");
            assert!(matches!(early, Refusal::NotDue { .. }), "{early}");
            let closed = bench.made(bits, &close(closer, &wanted)).await;
            assert_eq!((closed.changed_at(), closed.ended_at()), (now, now));
            assert_eq!(bench.granted("alice", &wanted, now).await, None);
            // So can what may give access yet.
            bench.made(bits + 2, &close("carol", &wanted)).await;
            bench.clock.set(start());
        }
    }
}

/// What had ended unmarked before a correction, and has not by the corrected clock, gives access
/// again and stands in the way; what was marked stays ended.
pub(super) async fn what_had_ended_unmarked_is_in_force_again(bench: Bench) {
    let unmarked = bench.begin(1, "alice", "prod").await;
    bench.begin(2, "bob", "prod").await;
    bench.begin_ahead(3, "dave", "prod", 8 * HOUR).await;
    bench.clock.set(start() + 8 * HOUR);
    bench.made(2, &Change::expire()).await;
    let now = start() + HOUR / 2;
    let until = Some(unmarked.expires_at);
    assert_eq!(bench.granted("alice", "prod", now).await, until);
    assert_eq!(bench.list_expirable(now).await, [0; 0], "it is not over");
    assert_eq!(bench.awaiting(now).await, [2], "one is");
    let refused = bench.create(&draft(4, "alice", "prod"), &unlimited()).await;
    let refused = refusal(refused, "it is active");
    assert_eq!(
        refused,
        Refusal::Active {
            id: id(1),
            retry_at: unmarked.expires_at
        }
    );
    assert_eq!(
        bench.granted("bob", "prod", now).await,
        None,
        "it was marked"
    );
    let begun = bench.create(&draft(5, "bob", "prod"), &unlimited()).await;
    assert!(begun.is_ok(), "nothing is in the way: {begun:?}");
}

/// What is dated ahead stands in nobody's way: the next emergency of the same user and profile
/// begins at once, and ends it by the clock in the same step.
pub(super) async fn what_is_dated_ahead_blocks_nothing(bench: Bench) {
    bench.begin_ahead(1, "Alice", "prod", 8 * HOUR).await;
    let emergency = bench.begin(2, "alice", "prod").await;
    assert_eq!(emergency.expires_at, start() + HOUR);
    let ended = bench.get(1).await;
    assert_eq!(
        ended.status,
        Status::Expired,
        "two emergencies would be active"
    );
    let entry = &ended.history[1];
    let told = (entry.action, &entry.actor, entry.at);
    assert_eq!(told, (Action::Expired, &Actor::Clock, start()));
    let from = start() + 8 * HOUR;
    assert_eq!(bench.granted("Alice", "prod", from).await, None, "for good");
    assert_eq!(bench.list_bits(Status::Active).await, [2]);
}

/// A correction is made once, by whoever finds it, and takes one version.
pub(super) async fn a_correction_is_made_once(bench: Bench) {
    bench.begin_ahead(1, "alice", "prod", 8 * HOUR).await;
    let last = bench.get(1).await.updated_at;
    let pause = limits(r#""cooldown": "2h""#);
    for minutes in 0..3 {
        bench.clock.set(start() + minutes * TOLERANCE);
        let refused = bench.create(&draft(2, "alice", "prod"), &pause).await;
        let refused = refusal(refused, "a pause");
        assert_eq!(
            refused.retry_at(),
            Some(start() + 2 * HOUR),
            "it began once"
        );
        bench.store.list_expirable(0).await.unwrap();
        let made = bench.store.now().await.unwrap().correction();
        let made = made.expect("the clock was corrected");
        assert_eq!((made.from, made.to), (start() + 8 * HOUR, start()));
        assert_eq!(made.version, Version::from_nanos(last.as_nanos() + 1));
    }
    let next = bench.begin(3, "bob", "prod").await.created;
    assert_eq!(
        next,
        Version::from_nanos(last.as_nanos() + 2),
        "it took one"
    );
}

/// A read by the store's time makes a correction as a step does: what began in the wrong time is
/// not in force again because nobody has written anything since.
pub(super) async fn a_read_makes_a_correction(bench: Bench) {
    for (bits, way) in (1..).zip(["now", "grant", "due", "awaiting", "ended"]) {
        let who = format!("user-{bits}");
        let base = start() + 24 * HOUR * u32::try_from(bits).unwrap();
        bench.clock.set(base + 8 * HOUR);
        bench.begin(bits, &who, "prod").await;
        bench.clock.set(base);
        match way {
            "now" => drop(bench.store.now().await.unwrap()),
            "grant" => drop(bench.granted("bob", "dev", base).await),
            "due" => drop(bench.store.list_expirable(0).await.unwrap()),
            "awaiting" => drop(bench.awaiting(base).await),
            _ => drop(bench.list_ended(base).await),
        }
        let from = base + 8 * HOUR;
        assert_eq!(bench.granted(&who, "prod", from).await, None, "{way}");
        let made = bench.store.now().await.unwrap().correction();
        assert_eq!(made.map(|made| made.to), Some(base), "{way}");
    }
}
