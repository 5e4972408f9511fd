//! What a step writes, and what it sees.

use super::Subject;
use super::ground::*;
use crate::engine::{Engine, LockError, Range, Reads, Record, Transaction};
use crate::version::Version;

/// Every record that a step touches is changed, with all that it is looked up by.
pub async fn a_step_writes_all_that_it_staged<S: Subject>(ground: Ground<S>) {
    let mut expected = Expected::default();
    ground.add(note(1)).await;
    expected.put(ground.add(note(2).sealed("s")).await);
    let written = ground.done(|step| {
        let moved = edit(step, 1, &on("b", 1))?;
        let three = add(step, &note(3).by("bob"))?;
        remove(step, 2)?;
        let four = add(step, &note(4).at(off()))?;
        Ok([moved, three, four])
    });
    written
        .await
        .into_iter()
        .for_each(|note| expected.put(note));
    expected.remove(2);
    ground.assert_has(&expected).await;
}

/// A step that returns an error leaves nothing of what it staged.
pub async fn a_step_that_fails_changes_nothing<S: Subject>(ground: Ground<S>) {
    ground.add(note(1)).await;
    ground.add(note(2).sealed("s")).await;
    let failing = async {
        let failed = ground.write(|step| {
            edit(step, 1, &on("b", 1))?;
            add(step, &note(3))?;
            remove(step, 2)?;
            Err::<(), _>(Stop::Meant("it fails"))
        });
        let failed = failed.await;
        let is_its_own = matches!(failed, Err(Stop::Meant("it fails")));
        assert!(is_its_own, "the call fails with what its job returned");
    };
    ground.without_trace(failing).await;
}

/// A step that panics leaves nothing of what it staged, and others go on.
pub async fn a_step_that_panics_changes_nothing<S: Subject>(ground: Ground<S>) {
    ground.add(note(1)).await;
    let panicking = async {
        let engine = ground.engine();
        let call = async move {
            let job = |step: &mut <S::Engine as Engine<Note>>::Step<'_>| {
                edit(step, 1, &on("b", 1))?;
                add(step, &note(3))?;
                if step.count(&Key::All, Range::all())? > 0 {
                    std::panic::resume_unwind(Box::new("this panic is meant"));
                }
                Ok::<_, Stop<Fault<S>>>(())
            };
            engine.write(job).await.is_ok()
        };
        // The call fails or panics in its turn.
        let is_done = tokio::spawn(call).await.unwrap_or(false);
        assert!(!is_done, "the call does not succeed");
    };
    ground.without_trace(panicking).await;
    ground.edit(1, on("b", 2)).await;
    assert_eq!(ground.ids(shelf("b")).await, [1], "the next step is made");
}

/// The reads of a step see nothing of what it stages.
pub async fn a_step_reads_the_store_before_it<S: Subject>(ground: Ground<S>) {
    let before = ground.add(note(1).sealed("s")).await;
    ground.add(note(2).sealed("b")).await;
    let seen = ground.done(|step| {
        edit(step, 1, &on("b", 1))?;
        add(step, &note(3).sealed("a"))?;
        remove(step, 2)?;
        let found = [1, 2, 3].map(|bits| step.get(&id(bits)));
        let holders = ["s", "b", "a"].map(|name| step.holder(&seal(name)));
        let shelves = [
            look(step, &shelf("a"), &Range::all())?,
            look(step, &shelf("b"), &Range::all())?,
        ];
        let found: Result<Vec<_>, _> = found.into_iter().collect();
        let holders: Result<Vec<_>, _> = holders.into_iter().collect();
        Ok((found?, holders?, shelves))
    });
    let (found, holders, [a, b]) = seen.await;
    assert_eq!(
        found[0].as_ref(),
        Some(&before),
        "a moved record is as it was"
    );
    assert!(found[1].is_some(), "a removed record is still there");
    assert_eq!(found[2], None, "a new one is not there yet");
    assert_eq!(holders, [Some(id(1)), Some(id(2)), None], "so are holders");
    assert_eq!((a.count, b.count), (2, 0), "and what is counted");
    assert_eq!((a.scanned.len(), b.scanned.len()), (2, 0), "and scanned");
    assert_eq!(ground.ids(shelf("b")).await, [1], "then it is written");
    assert_eq!(ground.ids(Key::All).await, [3, 1], "all of it");
}

/// A step sees what all steps before it have written.
pub async fn a_step_sees_every_step_before_it<S: Subject>(ground: Ground<S>) {
    ground.add(note(1).at(on("a", 0))).await;
    for round in 1..=5 {
        let rank = ground.done(|step| {
            let found = step.get(&id(1))?.ok_or(Stop::Meant("it is gone"))?;
            let rank = found.last().map_or(0, |edit| edit.rank);
            edit(step, 1, &on("a", rank + 1))?;
            Ok(rank + 1)
        });
        assert_eq!(rank.await, round, "each counts on from the last");
    }
}

/// Of two versions of a record that a step stages, the last is kept, with its index entries alone.
pub async fn what_is_put_last_is_kept<S: Subject>(ground: Ground<S>) {
    let mut expected = Expected::default();
    ground.add(note(1)).await;
    let last = ground.done(|step| {
        let found = step.get(&id(1))?.ok_or(Stop::Meant("it is gone"))?;
        let first = found.edited(&on("b", 1).saying("a"), stamp(step)?);
        step.put(first.clone());
        let second = first.edited(&off().saying("b"), stamp(step)?);
        Ok(step.put(second))
    });
    expected.put(last.await);
    ground.assert_has(&expected).await;
}

/// What a step puts and then removes is not there after it.
pub async fn what_is_put_and_removed_is_gone<S: Subject>(ground: Ground<S>) {
    let mut expected = Expected::default();
    expected.put(ground.add(note(1).sealed("s")).await);
    let staged = ground.done(|step| {
        edit(step, 1, &on("b", 1))?;
        remove(step, 1)?;
        add(step, &note(2))?;
        let stamp = stamp(step)?;
        step.remove(id(2));
        Ok(stamp)
    });
    staged.await;
    expected.remove(1);
    ground.assert_has(&expected).await;
}

/// `put` gives what was put.
pub async fn what_is_put_is_given_back<S: Subject>(ground: Ground<S>) {
    ground.add(note(1)).await;
    let put = ground.done(|step| {
        let found = step.get(&id(1))?.ok_or(Stop::Meant("it is gone"))?;
        let moved = found.edited(&on("b", 1), stamp(step)?);
        Ok((moved.clone(), step.put(moved)))
    });
    let (moved, given) = put.await;
    assert_eq!(*given, moved, "it is the record as it was staged");
    assert_eq!(ground.get(1).await, Some(given), "and as it is read");
}

/// However often an engine makes a job: what it answers and what it writes are of one run.
pub async fn an_answer_is_of_the_run_that_is_written<S: Subject>(ground: Ground<S>) {
    ground.add(note(1)).await;
    for _ in 0..5 {
        let mut runs = 0;
        let answer = ground.done(move |step| {
            runs += 1;
            edit(step, 1, &on("a", runs))?;
            Ok(runs)
        });
        let (answer, found) = (answer.await, ground.get(1).await);
        let rank = found.and_then(|note| note.last().map(|edit| edit.rank));
        assert_eq!(rank, Some(answer), "the answer is of what is written");
    }
}

/// The optimistic lock names what is missing, and both versions of a conflict.
pub async fn the_lock_tells_what_it_finds<S: Subject>(ground: Ground<S>) {
    let old = ground.add(note(1)).await.created;
    let new = ground.edit(1, on("b", 1)).await;
    let tried = ground.done(move |step| {
        let version = Record::version(&*new);
        let told = |bits, version: Version| match step.current(&id(bits), version) {
            Ok(found) => Ok(Ok(found.id)),
            Err(LockError::Engine(failure)) => Err(Stop::Engine(failure)),
            Err(LockError::NotFound) => Ok(Err(None)),
            Err(LockError::Conflict(conflict)) => Ok(Err(Some(conflict))),
        };
        Ok((told(1, version)?, told(1, old)?, told(2, version)?, version))
    });
    let (current, stale, missing, version) = tried.await;
    assert_eq!(current, Ok(id(1)), "the present version is given");
    let conflict = stale
        .expect_err("a version of before is stale")
        .expect("it is there");
    assert_eq!(
        (conflict.expected, conflict.actual),
        (old, version),
        "both are named"
    );
    assert_eq!(missing, Err(None), "what is not there is not found");
}
