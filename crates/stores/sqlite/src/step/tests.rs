//! What a [`Timekeeper`] keeps from step to step is what the ledger says.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::clock::{Clock, ManualClock};
use countersign_core::time::{CLOCK_TOLERANCE, SETTLING_TIME, Writer};
use rusqlite::Connection;

use super::{Step, Timekeeper};
use crate::batch::Readings;
use crate::request::rows::LEDGER;

/// A file, its clock, and who has read it since it was made.
struct Kept {
    clock: Arc<ManualClock>,
    keeper: Timekeeper,
}

impl Kept {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at("2026-03-02T09:00:00Z".parse().unwrap()));
        let keeper = Timekeeper::new(clock.clone(), Writer::from_bits(1), CLOCK_TOLERANCE);
        Self { clock, keeper }
    }

    /// Whoever opens the file now says the same of its time.
    fn assert_same(&self, connection: &Connection, when: &str) {
        let fresh = Timekeeper::new(self.clock.clone(), Writer::from_bits(1), CLOCK_TOLERANCE);
        let (_, expected, _) = fresh
            .now(connection, &LEDGER, &mut Readings::default())
            .unwrap();
        // Not what it trusts, which is what it saw of its clock.
        let tip = crate::ledger::Tip::read(connection, &LEDGER).unwrap();
        let timeline = self.keeper.timeline(connection, &LEDGER, &tip).unwrap();
        assert_eq!(timeline, expected, "{when}");
    }

    fn step(&self, connection: &Connection, reading: DateTime<Utc>) {
        self.clock.set(reading);
        let mut step =
            Step::begin(connection, &LEDGER, &self.keeper, &mut Readings::default()).unwrap();
        let stamp = step.stamp().unwrap();
        step.append(stamp.version, "entry", 0, ("", &[0; 32]))
            .unwrap();
    }
}

fn open(path: &std::path::Path) -> Connection {
    let mut connection = Connection::open(path).unwrap();
    crate::schema::prepare(&mut connection, path).unwrap();
    connection
}

#[test]
fn corrections_that_are_kept_are_those_of_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let connection = open(&folder.path().join("countersign.db"));
    let kept = Kept::new();
    let start = kept.clock.now();
    for round in 0..12_u32 {
        let right = start + 2 * SETTLING_TIME * round;
        // Ahead by more each time, so that each correction ends other access than the one before.
        kept.step(&connection, right + 3 * SETTLING_TIME * (round + 1));
        kept.assert_same(&connection, &format!("ahead in round {round}"));
        kept.step(&connection, right);
        kept.assert_same(&connection, &format!("corrected in round {round}"));
    }
}

#[test]
fn what_another_has_noticed_is_not_noticed_again() {
    let folder = tempfile::tempdir().unwrap();
    let connection = open(&folder.path().join("countersign.db"));
    let rows = || {
        let sql = "SELECT count(*) FROM request_ledger";
        connection
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    let kept = Kept::new();
    let start = kept.clock.now();
    kept.step(&connection, start + SETTLING_TIME * 8);
    kept.step(&connection, start);
    let before = rows();
    let mut step =
        Step::begin(&connection, &LEDGER, &kept.keeper, &mut Readings::default()).unwrap();
    step.is_judged = true;
    step.notice().unwrap();
    assert_eq!(
        rows(),
        before,
        "nothing is corrected, and nothing has jumped"
    );
    // The twin: a jump that nobody has noticed is a row, once.
    kept.clock.set(start + SETTLING_TIME * 48);
    for _ in 0..2 {
        let mut step =
            Step::begin(&connection, &LEDGER, &kept.keeper, &mut Readings::default()).unwrap();
        step.is_judged = true;
        step.notice().unwrap();
    }
    assert_eq!(rows(), before + 1);
}

#[test]
fn a_correction_that_was_undone_or_is_not_in_the_snapshot_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countersign.db");
    let writer = open(&path);
    let reader = open(&path);
    writer.pragma_update(None, "journal_mode", "wal").unwrap();
    let kept = Kept::new();
    let start = kept.clock.now();
    let ahead = |hours: u32| start + SETTLING_TIME * hours;
    kept.step(&writer, ahead(8));
    kept.step(&writer, start);
    kept.step(&writer, ahead(9));
    reader.execute_batch("BEGIN").unwrap();
    kept.assert_same(&reader, "the snapshot before");

    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    kept.step(&writer, start + Duration::from_secs(1));
    kept.assert_same(&writer, "within the transaction");
    kept.assert_same(&reader, "an older snapshot");
    kept.assert_same(&writer, "within the transaction again");
    writer.execute_batch("ROLLBACK").unwrap();
    kept.assert_same(&writer, "undone");

    // The same version, and another correction.
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    kept.step(&writer, start + Duration::from_secs(1));
    kept.assert_same(&writer, "within the second transaction");
    writer.execute_batch("ROLLBACK").unwrap();
    // By another process, so that nobody here looked in between.
    Kept::new().step(&writer, start + Duration::from_secs(2));
    kept.assert_same(&writer, "another in its place");
}
