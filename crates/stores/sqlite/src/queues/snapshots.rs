//! Reads that wait together, and what each of them sees.

use super::*;

/// A read that counts the requests, tells so, and is held.
fn counting_held(
    held: (Held, impl FnMut() -> Result<(), Stop<Error>> + Send),
) -> (
    Held,
    impl FnMut(&Connection) -> Result<i64, Stop<Error>> + Send,
) {
    let (held, mut wait) = held;
    let read = move |connection: &Connection| {
        let count = counted(connection)?;
        wait()?;
        Ok(count)
    };
    (held, read)
}

fn counted(connection: &Connection) -> Result<i64, Stop<Error>> {
    let count = |row: &rusqlite::Row<'_>| row.get(0);
    Ok(connection.query_row("SELECT count(*) FROM request", [], count)?)
}

#[test]
fn reads_that_wait_together_share_a_snapshot_and_none_is_older_than_its_call() {
    let (_folder, path) = file();
    let database = Database::open(&path, &one_reader()).unwrap();
    let (store, terms, draft) = (Stores::of(&database).requests, terms(), draft(1));
    let (before, mut call) = held();
    let mut holding = pin!(database.read(move |_| call()));
    queue(holding.as_mut());
    before.has_begun();
    let (first, read) = counting_held(held());
    let mut one = pin!(database.read(read));
    let mut another = pin!(database.read(counted));
    queue(one.as_mut());
    queue(another.as_mut());
    drop(before.let_go);
    wait(holding).unwrap();
    first.has_begun();
    wait(store.create(&draft, &terms)).unwrap();
    let mut late = pin!(database.read(counted));
    queue(late.as_mut());
    drop(first.let_go);
    assert_eq!(wait(one).unwrap(), 0);
    assert_eq!(
        wait(another).unwrap(),
        0,
        "it has the snapshot of the first"
    );
    assert_eq!(wait(late).unwrap(), 1, "it was called after the change");
}

/// What has met a failure may have lost its snapshot.
#[test]
fn a_read_that_fails_takes_its_snapshot_with_it() {
    let (_folder, path) = file();
    let database = Database::open(&path, &one_reader()).unwrap();
    let (store, terms) = (Stores::of(&database).requests, terms());
    for (fails, id, seen) in [(false, 1, 0), (true, 2, 2)] {
        let (before, mut call) = held();
        let mut holding = pin!(database.read(move |_| call()));
        queue(holding.as_mut());
        before.has_begun();
        let (first, mut read) = counting_held(held());
        let mut one = pin!(database.read(move |connection: &Connection| {
            read(connection)?;
            match fails {
                true => Err(EngineError::Closed.into()),
                false => Err::<(), _>(Stop::Answer(Error::NotFound {
                    id: RequestId::from_bits(1),
                })),
            }
        }));
        let mut another = pin!(database.read(counted));
        queue(one.as_mut());
        queue(another.as_mut());
        drop(before.let_go);
        wait(holding).unwrap();
        first.has_begun();
        wait(store.create(&draft(id), &terms)).unwrap();
        drop(first.let_go);
        wait(one).unwrap_err();
        assert_eq!(wait(another).unwrap(), seen, "it fails: {fails}");
    }
}

#[test]
fn long_reads_have_a_snapshot_each() {
    let (_folder, path) = file();
    let database = Database::open(&path, &one_reader()).unwrap();
    let (store, terms, draft) = (Stores::of(&database).requests, terms(), draft(1));
    let (before, mut call) = held();
    let mut holding = pin!(database.read_long(move |_| call()));
    queue(holding.as_mut());
    before.has_begun();
    let (first, read) = counting_held(held());
    let mut one = pin!(database.read_long(read));
    let mut another = pin!(database.read_long(counted));
    queue(one.as_mut());
    queue(another.as_mut());
    drop(before.let_go);
    wait(holding).unwrap();
    first.has_begun();
    wait(store.create(&draft, &terms)).unwrap();
    drop(first.let_go);
    assert_eq!(wait(one).unwrap(), 0);
    assert_eq!(wait(another).unwrap(), 1);
}

/// One reader with a snapshot would keep the log from being cut.
#[test]
fn a_snapshot_has_ended_when_its_last_read_is_answered() {
    let (_folder, path) = file();
    let database = Database::open(&path, &one_reader()).unwrap();
    let (store, terms) = (Stores::of(&database).requests, terms());
    let other = Connection::open(&path).unwrap();
    for id in 0..100 {
        wait(store.create(&draft(id), &terms)).unwrap();
        assert_eq!(wait(database.read(counted)).unwrap(), id as i64 + 1);
        let is_busy = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        let is_busy = other.query_row("PRAGMA wal_checkpoint(RESTART)", [], is_busy);
        assert_eq!(is_busy.unwrap(), 0, "after read {id}");
    }
}
