//! What time it is for a step and for a snapshot, and what is remembered of the clock.

use super::Subject;
use super::ground::*;
use crate::engine::{Engine, Range, Reads, Record, Transaction};
use crate::time::{Correction, Now, SETTLING_TIME};

impl<S: Subject> Ground<S> {
    /// The time of a step that writes.
    async fn written_at(&self, bits: u64) -> Now {
        self.done(move |step| {
            add(step, &note(bits))?;
            Ok(step.now())
        })
        .await
    }

    /// The time of a step that stages nothing.
    async fn looked_at(&self) -> Now {
        self.done(|step| Ok(step.now())).await
    }

    /// Writes, sets the clock back by two hours, has `find` find out, sets it to the time before, and
    /// asserts that the correction stands.
    async fn assert_remembered(&self, find: impl AsyncFnOnce(&Self) -> Now) -> Correction {
        let from = self.written_at(1).await.at();
        self.turn(-7_200);
        let to = self.time();
        let found = find(self).await.correction();
        let found = found.expect("two hours back are a correction");
        assert_eq!(
            (found.from, found.to),
            (from, to),
            "it says from when to when"
        );
        self.turn(7_200);
        let now = self.looked_at().await;
        assert_eq!(
            now.correction(),
            Some(found),
            "it is remembered as it was found"
        );
        assert_eq!(now.makes_correction(), None, "it is not made again");
        found
    }
}

/// However often a step asks, and whatever the clock does meanwhile.
pub async fn a_step_has_one_time<S: Subject>(ground: Ground<S>) {
    let clock = ground.clock.clone();
    let times = ground.done(move |step| {
        let first = step.now();
        clock.advance(SECOND);
        let stamp = stamp(step)?;
        step.put(note(1).made(stamp));
        clock.advance(SECOND);
        Ok([first, stamp.now, step.now()])
    });
    let [first, stamped, last] = times.await;
    assert_eq!(stamped, first, "a stamp has the time of its step");
    assert_eq!(last, first, "so has all that comes after");
    let clock = ground.clock.clone();
    let again = ground.done(move |step| {
        let stamp = stamp(step)?;
        clock.advance(SECOND);
        Ok((stamp.now, step.now()))
    });
    let (stamped, now) = again.await;
    assert_eq!(now, stamped, "also where the stamp comes first");
}

/// Up to the tolerance back, time stands still.
pub async fn time_stands_still_within_the_tolerance<S: Subject>(ground: Ground<S>) {
    let first = ground.written_at(1).await.at();
    ground.turn(-60);
    let now = ground.written_at(2).await;
    assert_eq!(
        (now.at(), now.correction()),
        (first, None),
        "it stands still"
    );
    assert_eq!(
        now.reading(),
        ground.time(),
        "and knows what the clock shows"
    );
    let at = ground.add(note(3)).await.last().map(|edit| edit.at);
    assert_eq!(at, Some(first), "so do entries");
}

/// What only looks, or fails, does not become the last time that there was.
pub async fn looking_moves_no_time<S: Subject>(ground: Ground<S>) {
    ground.written_at(1).await;
    ground.turn(30);
    ground.now().await;
    ground.looked_at().await;
    let failed = ground.write(|step| {
        add(step, &note(2))?;
        Err::<(), _>(Stop::Meant("it fails"))
    });
    assert!(failed.await.is_err(), "it fails");
    ground.turn(-20);
    assert_eq!(
        ground.now().await.at(),
        ground.time(),
        "it is ten seconds later, not thirty"
    );
    assert_eq!(
        ground.written_at(2).await.at(),
        ground.time(),
        "for steps, too"
    );
}

/// A snapshot is judged as a step would be.
pub async fn a_snapshot_has_the_time_of_the_next_step<S: Subject>(ground: Ground<S>) {
    ground.written_at(1).await;
    for (bits, seconds) in (2..).zip([5, -10, -7_200, 86_400 * 2, 0]) {
        ground.turn(seconds);
        let (now, step) = (ground.now().await, ground.looked_at().await);
        assert_eq!(now, step, "after {seconds} seconds");
        assert_eq!(
            ground.written_at(bits).await,
            now,
            "also for one that writes"
        );
    }
}

/// A step that finds the clock to have been ahead leaves that for all that come later.
pub async fn a_step_remembers_a_correction<S: Subject>(ground: Ground<S>) {
    ground
        .assert_remembered(async |ground| ground.written_at(2).await)
        .await;
}

/// So does one that writes nothing.
pub async fn a_step_that_writes_nothing_remembers_a_correction<S: Subject>(ground: Ground<S>) {
    ground
        .assert_remembered(async |ground| ground.looked_at().await)
        .await;
    assert_eq!(ground.ids(Key::All).await, [1], "and has written nothing");
}

/// So does one that fails.
pub async fn a_step_that_fails_remembers_a_correction<S: Subject>(ground: Ground<S>) {
    let fail = async |ground: &Ground<S>| {
        let (sender, found) = std::sync::mpsc::channel();
        let failed = ground.write(move |step| {
            add(step, &note(2))?;
            let _ = sender.send(step.now());
            Err::<(), _>(Stop::Meant("it fails"))
        });
        assert!(failed.await.is_err(), "it fails");
        found.into_iter().last().expect("it has found a time")
    };
    ground.assert_remembered(fail).await;
    assert_eq!(ground.ids(Key::All).await, [1], "and has written nothing");
}

/// So does a snapshot.
pub async fn a_snapshot_remembers_a_correction<S: Subject>(ground: Ground<S>) {
    ground
        .assert_remembered(async |ground| ground.now().await)
        .await;
}

/// A snapshot that finds a correction is one after it: it makes none, and reads what is there.
pub async fn a_snapshot_is_read_after_the_correction_it_finds<S: Subject>(ground: Ground<S>) {
    ground.written_at(1).await;
    ground.turn(-7_200);
    let engine = ground.engine();
    let read = engine.read_now(|view, now| Ok((*now, view.count(&Key::All, Range::all())?)));
    let (now, count) = succeeded::<_, Fault<S>>(read.await);
    assert!(now.correction().is_some(), "it knows the correction");
    assert_eq!(
        now.makes_correction(),
        None,
        "and does not make it: it is made"
    );
    assert_eq!(count, 1, "what was there is read");
}

/// A correction has its place in the order of versions, whoever finds it.
pub async fn a_correction_has_a_version_of_its_own<S: Subject>(ground: Ground<S>) {
    let before = ground.add(note(1)).await.version();
    ground.turn(-7_200);
    let found = ground.now().await.correction().expect("it is a correction");
    let after = ground.add(note(2)).await.version();
    assert!(
        before < found.version,
        "it comes after what was written before"
    );
    assert!(found.version < after, "and before what is written then");
    ground.turn(-7_200);
    let (version, now) = ground
        .done(|step| Ok((add(step, &note(3))?.version(), step.now())))
        .await;
    let found = now.correction().expect("it is another");
    assert!(
        after < found.version && found.version < version,
        "also in the step that finds it"
    );
    assert!(
        !now.is_void(now.at() + SETTLING_TIME, version),
        "what is written then is after it"
    );
}

/// A step forward by more than a day is remembered by whoever finds it.
pub async fn a_jump_is_remembered_by_a_step_that_writes_nothing<S: Subject>(ground: Ground<S>) {
    ground.written_at(1).await;
    ground.turn(86_400 + 1);
    let jumped_at = Some(ground.time());
    assert_eq!(
        ground.looked_at().await.jumped_at(),
        jumped_at,
        "it is a jump"
    );
    ground.turn(60);
    assert_eq!(
        ground.looked_at().await.jumped_at(),
        jumped_at,
        "it was then"
    );
    assert_eq!(
        ground.written_at(2).await.jumped_at(),
        jumped_at,
        "also for what writes"
    );
    assert_eq!(
        ground.now().await.jumped_at(),
        jumped_at,
        "and for what reads"
    );
}
