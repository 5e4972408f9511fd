//! The write-ahead log: it is written back while the file is used, it becomes small again after
//! something has kept it from being cut, and nothing is left in it when the file is closed.

use std::path::Path;

use countersign_sqlite::Synchronous;
use rusqlite::Connection;

use crate::common::{block_on, file};
use crate::operations::{Answer, Of, Operation, Stores, Verb};

const MIB: u64 = 1024 * 1024;

fn write(stores: &Stores, ids: std::ops::Range<u64>) {
    for id in ids {
        let create = Operation {
            of: Of::Request,
            verb: Verb::Create,
            id: id.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            idempotency_key: id,
            expected: 0,
            user: (id % 4) as usize,
            profile: (id % 4) as usize,
        };
        let answer = block_on(stores.perform(&create));
        assert!(matches!(answer, Answer::Done { .. }), "{answer}");
    }
}

fn size(path: &Path, ending: &str) -> u64 {
    let mut name = path.to_owned().into_os_string();
    name.push(ending);
    std::fs::metadata(name).unwrap().len()
}

/// A connection that holds a snapshot, as a forgotten window does.
fn holding(path: &Path) -> Connection {
    let reader = Connection::open(path).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let count = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    reader
        .query_row("SELECT count(*) FROM request", [], count)
        .unwrap();
    reader
}

#[test]
fn the_log_is_written_back_while_the_file_is_used_and_emptied_when_it_is_closed() {
    let (_folder, path) = file();
    let stores = Stores::open(&path, Synchronous::Normal, 0).unwrap();
    let mut largest = 0;
    for round in 0..12 {
        write(&stores, round * 50..round * 50 + 50);
        largest = largest.max(size(&path, "-wal"));
    }
    // Some 30 MiB went through it.
    assert!(largest < 6 * MIB, "the log has {largest} bytes");
    drop(stores);
    assert_eq!(size(&path, "-wal"), 0);
    println!(
        "faults trim: of 600 writes at most {largest} bytes were in the log, and none at the end"
    );
}

#[test]
fn the_log_becomes_small_again_after_a_long_read() {
    let (_folder, path) = file();
    let stores = Stores::open(&path, Synchronous::Normal, 0).unwrap();
    write(&stores, 0..10);
    let mut next = 10;
    for rounds in 1..=2 {
        // Nobody else holds one: a service whose own reads go on, another program's that ends.
        let reader = holding(&path);
        while size(&path, "-wal") < 16 * MIB {
            write(&stores, next..next + 50);
            next += 50;
        }
        reader.execute_batch("COMMIT").unwrap();
        // The first change lets all of it be written back, the next begins it anew and cuts it.
        write(&stores, next..next + 2);
        next += 2;
        let left = size(&path, "-wal");
        assert!(left <= 8 * MIB, "{left} bytes are left after read {rounds}");
    }
    // One that is there at the end does not keep the file from being closed.
    let reader = holding(&path);
    write(&stores, next..next + 50);
    drop(stores);
    drop(reader);
    let stores = Stores::open(&path, Synchronous::Normal, 0).unwrap();
    write(&stores, next + 50..next + 51);
    drop(stores);
    assert_eq!(size(&path, "-wal"), 0);
    println!(
        "faults trim: a log of 16 MiB became 8 MiB or less two changes after the read that held it"
    );
}
