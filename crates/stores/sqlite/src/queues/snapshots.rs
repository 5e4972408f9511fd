//! Reads that wait together, and what each of them sees.

use super::*;

/// A read of the database that gives a number.
type Count = Box<dyn FnMut(&Connection) -> Result<i64, Stop<Error>> + Send>;

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

/// What a read sees that is held while a request is created, one that was queued with it, and one that
/// was queued after the creation.
fn seen_around_a_creation<'d, F>(
    database: &'d Database,
    read: impl Fn(&'d Database, Count) -> F,
) -> [i64; 3]
where
    F: Future<Output = Result<i64, Error>> + 'd,
{
    let (store, terms, draft) = (Stores::of(database).requests, terms(), draft(1));
    let (before, mut call) = held();
    let mut holding = pin!(read(database, Box::new(move |_| call().map(|()| 0))));
    queue(holding.as_mut());
    before.has_begun();
    let (first, counting) = counting_held(held());
    let mut one = pin!(read(database, Box::new(counting)));
    let mut another = pin!(read(database, Box::new(counted)));
    queue(one.as_mut());
    queue(another.as_mut());
    drop(before.let_go);
    wait(holding).unwrap();
    first.has_begun();
    wait(store.create(&draft, &terms)).unwrap();
    let mut late = pin!(read(database, Box::new(counted)));
    queue(late.as_mut());
    drop(first.let_go);
    [wait(one), wait(another), wait(late)].map(Result::unwrap)
}

#[test]
fn reads_that_wait_together_share_a_snapshot_and_none_is_older_than_its_call() {
    let (_folder, path) = file();
    let database = Database::open(&path, &one_reader()).unwrap();
    let seen = seen_around_a_creation(&database, |database, read| database.read(read));
    assert_eq!(
        seen,
        [0, 0, 1],
        "the second has the snapshot of the first, the last was called after the change"
    );
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
    let seen = seen_around_a_creation(&database, |database, read| database.read_long(read));
    assert_eq!(seen, [0, 1, 1]);
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
