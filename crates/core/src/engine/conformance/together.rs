//! Steps and snapshots that meet, and calls that are given up.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use super::Subject;
use super::ground::*;
use crate::engine::{Engine, Range, Reads, Record, Snapshot};

/// How many move notes while others read them, and how often each does.
const WRITERS: u64 = 2;
const MOVES: usize = 30;

/// Adds one to the rank of note 1.
async fn count_on<E: Engine<Note>>(engine: Arc<E>) -> Result<(), Stop<E::Error>> {
    let counted = engine.write(|step| {
        let found = step.get(&id(1))?.ok_or(Stop::Meant("it is gone"))?;
        let rank = found.last().map_or(0, |edit| edit.rank);
        edit(step, 1, &on("a", rank + 1)).map(drop)
    });
    counted.await
}

/// Each reads what the one before has written: none is lost.
pub async fn fifty_steps_are_all_made<S: Subject>(ground: Ground<S>) {
    ground.add(note(1)).await;
    let calls = (0..50).map(|_| count_on(ground.engine()));
    ground
        .suite
        .together(calls)
        .await
        .into_iter()
        .for_each(succeeded);
    let note = ground.get(1).await.expect("it is there");
    assert_eq!(
        note.last().map(|edit| edit.rank),
        Some(50),
        "each has counted"
    );
    assert_eq!(note.edits.len(), 51, "each is there");
    assert_eq!(
        ground.changes(None, usize::MAX).await.len(),
        51,
        "and in the log"
    );
}

/// What a step has found to be free is free until it is done.
pub async fn one_of_fifty_takes_an_id<S: Subject>(ground: Ground<S>) {
    let take = |number: u64| {
        let engine = ground.engine();
        async move {
            let taken = engine.write(move |step| {
                if step.get(&id(1))?.is_some() {
                    return Err(Stop::Meant("it is taken"));
                }
                add(step, &note(1).by(&number.to_string())).map(drop)
            });
            taken.await.is_ok().then_some(number)
        }
    };
    let taken = ground.suite.together((0..50).map(take)).await;
    let taken: Vec<_> = taken.into_iter().flatten().collect();
    assert_eq!(taken.len(), 1, "one has it");
    let author = ground.get(1).await.map(|note| note.author.clone());
    assert_eq!(author, Some(taken[0].to_string()), "and it is theirs");
}

/// No version is issued to two steps.
pub async fn versions_of_steps_that_meet_differ<S: Subject>(ground: Ground<S>) {
    let make = |number: u64| {
        let engine = ground.engine();
        async move {
            let made = engine.write(move |step| add(step, &note(number)));
            succeeded::<_, Fault<S>>(made.await).version()
        }
    };
    let versions = ground.suite.together((0..50).map(make)).await;
    let versions: BTreeSet<_> = versions.into_iter().collect();
    assert_eq!(versions.len(), 50, "each has its own");
    let changes = ground.changes(None, usize::MAX).await;
    let logged: Vec<_> = changes.into_iter().map(|(version, _)| version).collect();
    assert_eq!(
        logged,
        Vec::from_iter(versions),
        "and the log has them in order"
    );
}

/// Sets its flag when it is dropped, also by a panic: nobody goes on for ever.
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Moves notes 1 and 2 together from shelf to shelf, again and again, while `read` reads.
async fn while_they_move<S, T, R>(
    ground: &Ground<S>,
    read: impl Fn(Arc<S::Engine>) -> R + Send + 'static,
) where
    S: Subject,
    T: Send + 'static,
    R: Future<Output = T> + Send + 'static,
{
    for bits in 1..=2 {
        ground.add(note(bits)).await;
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let writers = (0..WRITERS).map(|_| {
        let engine = ground.engine();
        async move {
            for _ in 0..MOVES {
                let moved = engine.write(|step| {
                    let on_a = step.count(&shelf("a"), Range::all())?;
                    let place = on(if on_a == 0 { "a" } else { "b" }, 0);
                    edit(step, 1, &place)?;
                    edit(step, 2, &place).map(drop)
                });
                succeeded::<_, Fault<S>>(moved.await);
            }
        }
    });
    let writers = ground.suite.start(writers);
    let reader = {
        let (is_over, engine) = (Arc::clone(&is_over), ground.engine());
        let reads = (0..).map(move |_| read(Arc::clone(&engine)));
        async move {
            for read in reads {
                read.await;
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
            }
        }
    };
    let over = Over(is_over);
    let readers = ground.suite.start([reader]);
    writers.join().await;
    drop(over);
    readers.join().await;
}

/// All reads of a snapshot see the same store, whatever is written meanwhile.
pub async fn a_snapshot_agrees_with_itself<S: Subject>(ground: Ground<S>) {
    let read = |engine: Arc<S::Engine>| async move {
        let looked = engine.read(|view| {
            let shelves = ["a", "b"].map(|name| look(view, &shelf(name), &Range::all()));
            let notes = [view.get(&id(1))?, view.get(&id(2))?];
            let log = view.changes_after(None, usize::MAX)?;
            let shelves: Result<Vec<_>, _> = shelves.into_iter().collect();
            Ok::<_, Stop<Fault<S>>>((shelves?, notes, log))
        });
        let (shelves, notes, log) = succeeded(looked.await);
        let counts = [shelves[0].count, shelves[1].count];
        assert!(
            counts == [2, 0] || counts == [0, 2],
            "both are on one shelf: {counts:?}"
        );
        let edits = notes.map(|note| note.map_or(0, |note| note.edits.len()));
        assert_eq!(
            log.len(),
            edits[0] + edits[1],
            "the log has all that the notes have"
        );
    };
    while_they_move(&ground, read).await;
}

/// No reader sees a part of a step.
pub async fn readers_see_whole_steps<S: Subject>(ground: Ground<S>) {
    let read = |engine: Arc<S::Engine>| async move {
        let looked =
            engine.read(|view| look(view, &shelf("a"), &Range::all()).map_err(Stop::Engine));
        let count = succeeded::<_, Fault<S>>(looked.await).count;
        assert_ne!(count, 1, "both were moved in one step");
    };
    while_they_move(&ground, read).await;
}

/// Calls whose futures are never polled do nothing.
pub async fn nothing_happens_before_the_first_poll<S: Subject>(ground: Ground<S>) {
    ground.add(note(1)).await;
    let unpolled = async {
        let engine = ground.engine();
        drop(engine.write(|step| add::<_>(step, &note(2))));
        drop(engine.write(|step| remove::<_>(step, 1)));
    };
    ground.without_trace(unpolled).await;
}

/// A call that is dropped after its first poll is made wholly or not at all.
pub async fn a_call_that_is_dropped_is_whole<S: Subject>(ground: Ground<S>) {
    for bits in 1..=20_u64 {
        let engine = ground.engine();
        {
            let call = engine.write(move |step| {
                add(step, &note(bits))?;
                add(step, &note(bits + 100)).map(drop)
            });
            let mut call = pin!(call);
            poll_fn(|context| {
                let _: Poll<Result<(), Stop<Fault<S>>>> = call.as_mut().poll(context);
                Poll::Ready(())
            })
            .await;
        }
        // A step after it: nothing of the call comes later, but for a call that is made as a whole.
        let pair = ground.done(move |step| {
            let pair = [step.get(&id(bits))?, step.get(&id(bits + 100))?];
            if pair.iter().all(Option::is_none) {
                add(step, &note(bits + 200))?;
            }
            Ok(pair.map(|note| note.is_some()))
        });
        let pair = pair.await;
        assert_eq!(pair[0], pair[1], "both are there, or none");
    }
}
