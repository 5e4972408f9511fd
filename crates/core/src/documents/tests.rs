//! Tests of the steps on a table, of ids and of what is read late.

use std::convert::Infallible;

use super::*;
use crate::clock::ManualClock;
use crate::engine::Record;
use crate::table::Table;
use crate::version::Version;
use std::num::NonZeroUsize;
use std::time::Duration;

/// A text is the same whatever its case.
#[derive(Debug, PartialEq, Eq)]
struct Text(String);

impl Content for Text {
    type Digest = u64;

    fn digest(&self) -> u64 {
        let folded = self.0.to_ascii_lowercase();
        folded.bytes().fold(7, |sum: u64, byte| {
            sum.wrapping_mul(31).wrapping_add(byte.into())
        })
    }

    fn write(&self) -> Result<String, String> {
        Ok(self.0.clone())
    }

    fn read(text: &str) -> Result<Self, String> {
        match text.is_empty() {
            true => Err("nothing".to_owned()),
            false => Ok(Self(text.to_owned())),
        }
    }
}

impl From<Infallible> for DocumentError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

struct Bench {
    table: Table<Kept<Text>>,
    clock: Arc<ManualClock>,
    most: NonZeroUsize,
}

type Answer<T> = Result<T, DocumentError>;

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at("2026-03-02T09:00:00Z".parse().unwrap()));
        Self {
            table: Table::new(clock.clone()),
            clock,
            most: NonZeroUsize::new(3).unwrap(),
        }
    }

    fn put(
        &self,
        name: &str,
        expected: Expected,
        text: &str,
        attribution: &Attribution,
    ) -> Answer<Put<Arc<Stored<Text>>>> {
        let (name, content) = (name.into(), Arc::new(Text(text.to_owned())));
        self.table
            .write(|step| steps::put(step, &name, expected, &content, attribution, self.most))
    }

    /// Puts over whatever is there.
    fn next(&self, name: &str, text: &str) -> Arc<Stored<Text>> {
        let expected = match self.get(name) {
            Ok(stored) => Expected::Version(stored.version),
            Err(_) => Expected::Absent,
        };
        let put = self.put(name, expected, text, &Attribution::default());
        put.unwrap().into_stored()
    }

    fn get(&self, name: &str) -> Answer<Arc<Stored<Text>>> {
        self.table.read(|view| steps::get(view, &name.into()))
    }

    fn remove(
        &self,
        name: &str,
        expected: Version,
        attribution: &Attribution,
    ) -> Answer<Arc<Removal>> {
        self.table
            .write(|step| steps::remove(step, &name.into(), expected, attribution))
    }

    fn changes(&self) -> Vec<Changed<Text>> {
        let changes: Answer<_> = self
            .table
            .read(|view| steps::changes_after(view, None, usize::MAX));
        self.table.read(|view| view.audit()).unwrap();
        changes.unwrap()
    }
}

fn keyed(bits: u64) -> Attribution {
    Attribution::by(User::new("alice").unwrap())
        .with_reason("because")
        .with_idempotency_key(IdempotencyKey::from_bits(bits))
}

#[test]
fn a_put_of_what_is_there_makes_no_version() {
    let bench = Bench::new();
    let first = bench.next("main", "one");
    let expected = Expected::Version(first.version);
    let again = bench.put("main", expected, "ONE", &keyed(1)).unwrap();
    assert_eq!(again, Put::Unchanged(Arc::clone(&first)));
    assert_eq!(bench.get("main").unwrap(), first, "whose put it was stays");
    assert_eq!(bench.changes().len(), 1);
    // The key of a put that made nothing is free.
    let other = bench.put("main", expected, "two", &keyed(1)).unwrap();
    assert!(!other.is_unchanged());
    assert_eq!(other.stored().replaces, Some(first.version));
}

#[test]
fn what_is_expected_is_judged_before_what_is_said() {
    let bench = Bench::new();
    let first = bench.next("main", "one");
    let second = bench.next("main", "two");
    let late = bench.put(
        "main",
        Expected::Version(first.version),
        "two",
        &Attribution::default(),
    );
    let conflict = Conflict {
        expected: first.version,
        actual: second.version,
    };
    assert_eq!(late, Err(conflict.into()));
    let there = bench.put("main", Expected::Absent, "two", &Attribution::default());
    assert!(
        matches!(there, Err(DocumentError::AlreadyExists { actual, .. }) if actual == second.version)
    );
}

#[test]
fn a_repeated_put_gets_the_first_result_for_as_long_as_it_is_kept() {
    let bench = Bench::new();
    let first = bench.next("main", "one");
    let expected = Expected::Version(first.version);
    let put = bench.put("main", expected, "two", &keyed(1)).unwrap();
    for text in ["three", "four"] {
        bench.next("main", text);
        let repeat = bench.put("main", expected, "two", &keyed(1));
        assert_eq!(repeat.as_ref(), Ok(&put), "the first result");
    }
    for (name, text, attribution) in [
        ("main", "other", keyed(1)),
        ("other", "two", keyed(1)),
        ("main", "two", keyed(1).with_reason("another")),
    ] {
        let other = bench.put(name, expected, text, &attribution);
        assert!(
            matches!(&other, Err(DocumentError::IdempotencyKeyReused { name, .. }) if &**name == "main"),
            "{other:?}"
        );
    }
    let taken = bench.remove("main", first.version, &keyed(1));
    assert!(matches!(
        taken,
        Err(DocumentError::IdempotencyKeyReused { .. })
    ));
    bench.next("main", "five");
    let repeat = bench.put("main", expected, "two", &keyed(1));
    assert!(
        matches!(repeat, Err(DocumentError::Conflict(_))),
        "it is not kept any more: {repeat:?}"
    );
}

#[test]
fn a_removal_is_kept_in_place_of_the_versions_until_there_is_another() {
    let bench = Bench::new();
    let first = bench.next("main", "one");
    let second = bench.next("main", "two");
    bench.clock.advance(Duration::from_secs(1));
    let gone = bench.remove("main", second.version, &keyed(1)).unwrap();
    assert_eq!(gone.replaces, Some(second.version));
    assert!(matches!(
        bench.get("main"),
        Err(DocumentError::NotFound { .. })
    ));
    assert_eq!(bench.changes(), [Changed::Removed(Arc::clone(&gone))]);
    let repeat = bench.remove("main", second.version, &keyed(1));
    assert_eq!(repeat.as_ref(), Ok(&gone));
    let third = bench.next("main", "one");
    assert_eq!(third.replaces, None);
    let [gone_still, put] = &bench.changes()[..] else {
        panic!("{:?}", bench.changes());
    };
    assert_eq!(*gone_still, Changed::Removed(gone));
    assert_eq!(*put, Changed::Put(Arc::clone(&third)));
    let old: Answer<_> = bench
        .table
        .read(|view| steps::get_version(view, &"main".into(), first.version));
    assert!(matches!(old, Err(DocumentError::VersionNotFound { .. })));
    let again = bench.remove("main", third.version, &Attribution::default());
    assert_eq!(bench.changes(), [Changed::Removed(again.unwrap())]);
}

#[test]
fn the_oldest_versions_go_and_the_stream_ends_with_what_is_there() {
    let bench = Bench::new();
    let mut put: Vec<_> = ["one", "two", "three", "four"]
        .map(|text| bench.next("main", text))
        .into();
    put.remove(0);
    let changes = put.iter().cloned().map(Changed::Put);
    assert_eq!(bench.changes(), changes.collect::<Vec<_>>());
    put.reverse();
    let kept: Answer<Vec<_>> = bench
        .table
        .read(|view| steps::list_versions(view, &"main".into()));
    assert_eq!(kept.unwrap(), put);
}

#[test]
fn names_are_listed_once_in_the_order_of_their_bytes() {
    let bench = Bench::new();
    for name in ["b", "a b", "a", "B"] {
        bench.next(name, "one");
        bench.next(name, "two");
    }
    let gone = bench.next("aa", "one");
    bench
        .remove("aa", gone.version, &Attribution::default())
        .unwrap();
    let list = |after: Option<&str>, limit| {
        let after = after.map(Arc::from);
        let page: Answer<(Vec<Arc<Stored<Text>>>, _)> = bench
            .table
            .read(|view| steps::list(view, after.as_ref(), limit));
        let (items, next) = page.unwrap();
        assert!(items.iter().all(|stored| stored.content.0 == "two"));
        let names: Vec<String> = items.iter().map(|stored| stored.name.to_string()).collect();
        (names.join(","), next.as_deref().map(str::to_owned))
    };
    assert_eq!(list(None, 4), ("B,a,a b,b".to_owned(), None));
    assert_eq!(list(None, 2), ("B,a".to_owned(), Some("a".to_owned())));
    assert_eq!(list(Some("a"), 2), ("a b,b".to_owned(), None));
    assert_eq!(list(Some("a0"), 1), ("b".to_owned(), None));
}

#[test]
fn texts_of_an_attribution_are_bounded() {
    let bench = Bench::new();
    let put = |attribution: Attribution| {
        let put = bench.put("main", Expected::Absent, "one", &attribution);
        put.map(drop)
    };
    for bad in [
        Attribution::default().with_reason(""),
        Attribution::default().with_reason("é".repeat(MAX_REASON_CHARACTERS + 1)),
        Attribution::default().with_reason("a\u{1b}b"),
        Attribution::default().with_ticket(""),
        Attribution::default().with_ticket("é".repeat(MAX_TICKET_CHARACTERS + 1)),
    ] {
        assert!(matches!(put(bad), Err(DocumentError::Attribution(_))));
    }
    let longest = Attribution::default()
        .with_reason("é".repeat(MAX_REASON_CHARACTERS))
        .with_ticket("é".repeat(MAX_TICKET_CHARACTERS));
    assert_eq!(put(longest), Ok(()));
}

#[test]
fn ids_and_their_texts_have_one_order() {
    let versions = [i64::MIN, -1, 0, 1, i64::MAX].map(Version::from_nanos);
    let names = ["a", "a b", "a!", "aa", "é"];
    let mut ids: Vec<_> = names
        .iter()
        .flat_map(|name| versions.map(|version| DocumentId::new(*name, version)))
        .collect();
    ids.sort();
    assert!(ids.is_sorted_by_key(DocumentId::to_string));
    for id in &ids {
        assert_eq!(id.to_string().parse().as_ref(), Ok(id));
        assert_eq!(DocumentId::new(Arc::clone(id.name()), id.version()), *id);
    }
    let newest: Vec<_> = ids.iter().step_by(5).map(|id| id.version()).collect();
    assert_eq!(newest, [Version::from_nanos(i64::MAX); 5]);
    for bad in [
        "",
        "a",
        "a\t",
        "a\t0",
        "a\t7fffffffffffffff ",
        "a\t7FFFFFFFFFFFFFFF",
    ] {
        assert!(bad.parse::<DocumentId>().is_err(), "`{bad}`");
    }
}

#[test]
fn what_is_kept_as_text_is_read_when_it_is_wanted() {
    let unread = |text: &str, digest| {
        let unread = Unread {
            digest,
            text: text.into(),
        };
        let document = Document::new("main".into(), Version::from_nanos(1), unread);
        Kept::<Text>::Unread(Arc::new(document))
    };
    let one = Text("one".to_owned());
    let stored = unread("one", one.digest()).stored().unwrap().unwrap();
    assert_eq!(*stored.content, one);
    for (text, digest) in [("", 0), ("one", 0)] {
        let kept = unread(text, digest);
        assert!(matches!(
            kept.stored(),
            Err(DocumentError::Unreadable { .. })
        ));
        assert_eq!(kept.id(), DocumentId::new("main", Version::from_nanos(1)));
    }
}
