//! Calls that wait for another process: for how long, and who is behind them.

use std::sync::atomic::{AtomicU64, Ordering};

use countersign_core::clock::{Tick, Ticks};

use super::*;

/// A time that stands still, and tells how often it is asked.
#[derive(Debug)]
pub(super) struct Asked {
    count: AtomicU64,
    each: Sender<u64>,
}

impl Ticks for Asked {
    fn now(&self) -> Tick {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let _ = self.each.send(count);
        Tick::default()
    }
}

impl Asked {
    pub(super) fn new() -> (Arc<Self>, Receiver<u64>) {
        let (each, asked) = channel();
        let count = AtomicU64::new(0);
        (Arc::new(Self { count, each }), asked)
    }
}

/// A call asks when it is queued, and then before each try: waits until the first has tried so often.
pub(super) fn has_tried(asked: &Receiver<u64>, tries: u64) {
    while asked.recv().unwrap() < tries {}
}

/// Were each to wait for the lock by itself, they would do so for three hours.
#[test]
fn those_who_queue_behind_a_lock_wait_for_it_once() {
    let (_folder, path) = file();
    let hour = Duration::from_secs(3_600);
    let options = Options {
        busy_timeout: hour,
        ..Options::default()
    };
    let ticks = Arc::new(ManualTicks::new());
    let database = Database::open_with_ticks(&path, &options, ticks.clone()).unwrap();
    let (store, terms, drafts) = (
        Stores::of(&database).requests,
        terms(),
        [1, 2, 3].map(draft),
    );
    let other = locked(&path);
    let mut calls: Vec<_> = drafts
        .iter()
        .map(|draft| Box::pin(store.create(draft, &terms)))
        .collect();
    for call in &mut calls {
        queue(call.as_mut());
    }
    ticks.advance(hour);
    for call in calls {
        let (retryable, outcome, source) = backend(wait(call));
        assert!(matches!(source, EngineError::Busy(_)), "{source}");
        assert_eq!((retryable, outcome), (true, Outcome::NotApplied));
    }
    // Whoever comes now has all of its time, and gets the lock when it is free.
    let mut late = pin!(store.create(&drafts[0], &terms));
    queue(late.as_mut());
    other.execute_batch("COMMIT").unwrap();
    wait(late).unwrap();
    assert_eq!(stored(&path), 1);
}

/// A call that has queued for long behind others, and finds nobody else writing, is made.
#[test]
fn a_call_whose_patience_was_used_up_by_calls_that_were_made_tries_once() {
    let (_folder, path) = file();
    let ticks = Arc::new(ManualTicks::new());
    let options = Options::default();
    let database = Database::open_with_ticks(&path, &options, ticks.clone()).unwrap();
    let (store, terms, drafts) = (Stores::of(&database).requests, terms(), [1, 2].map(draft));
    let (first, mut call) = held();
    let mut holding = pin!(database.write(move |_| call()));
    queue(holding.as_mut());
    first.has_begun();
    let mut behind = pin!(store.create(&drafts[0], &terms));
    queue(behind.as_mut());
    ticks.advance(options.busy_timeout * 10);
    drop(first.let_go);
    wait(holding).unwrap();
    wait(behind).unwrap();
}

/// What a read waits for is set in the engine: the whole of what is left.
#[test]
fn a_read_waits_for_another_process_for_what_is_left_of_its_patience() {
    let (_folder, path) = file();
    let ticks = Arc::new(ManualTicks::new());
    let options = Options {
        busy_timeout: Duration::from_secs(1),
        ..one_reader()
    };
    let database = Database::open_with_ticks(&path, &options, ticks.clone()).unwrap();
    let asked = |connection: &Connection| {
        let of = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        Ok(connection.pragma_query_value(None, "busy_timeout", of)?)
    };
    for (passes, left) in [(0, 1_000), (400, 600), (999, 1), (1_000, 0), (5_000, 0)] {
        let (first, mut call) = held();
        let mut holding = pin!(database.read(move |_| call()));
        queue(holding.as_mut());
        first.has_begun();
        let mut behind = pin!(database.read::<_, Error>(asked));
        queue(behind.as_mut());
        ticks.advance(Duration::from_millis(passes));
        drop(first.let_go);
        wait(holding).unwrap();
        assert_eq!(wait(behind).unwrap(), left, "after {passes} ms");
    }
}

/// The engine waits for a short while, so that a call goes on with it until its patience is over.
#[test]
fn a_lock_that_is_let_go_after_several_tries_is_got() {
    let (_folder, path) = file();
    let (ticks, asked) = Asked::new();
    let database = Database::open_with_ticks(&path, &Options::default(), ticks).unwrap();
    let (store, draft, terms) = (Stores::of(&database).requests, draft(1), terms());
    let other = locked(&path);
    let mut create = pin!(store.create(&draft, &terms));
    queue(create.as_mut());
    has_tried(&asked, 4);
    other.execute_batch("COMMIT").unwrap();
    wait(create).unwrap();
}

/// The call in progress waits for another process, and its caller has gone: so does it.
#[test]
fn the_last_handle_is_dropped_while_another_process_holds_the_lock() {
    let (_folder, path) = file();
    let (ticks, asked) = Asked::new();
    let options = Options {
        busy_timeout: Duration::MAX,
        ..Options::default()
    };
    let database = Database::open_with_ticks(&path, &options, ticks).unwrap();
    let (store, terms, first) = (Stores::of(&database).requests, terms(), draft(1));
    let other = locked(&path);
    {
        let mut waiting = pin!(store.create(&first, &terms));
        queue(waiting.as_mut());
        has_tried(&asked, 2);
        for id in 2..7 {
            queue(pin!(store.create(&draft(id), &terms)));
        }
    }
    drop((store, database));
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(stored(&path), 0);
}
