//! Bytes of the file that are not what was written: flipped, zeroed, cut off; and logs of killed
//! processes of which not everything is there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use countersign_sqlite::{Head, Synchronous};
use rusqlite::Connection;

use crate::common::{Draws, block_on, file};
use crate::kill::Subject;
use crate::operations::{Answer, Of, Operation, Stores, Verb};
use crate::records::{self, Contents, Seen};
use crate::{seed, variable};

/// How many ways of damage, in an ordinary run of the tests.
const DAMAGES: u64 = 100;
/// How many logs that are not whole, in an ordinary run of the tests.
const LOGS: u64 = 30;

/// How damage was noticed, from the first moment at which it can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Noticed {
    Opening,
    Reading,
    /// Everything was read, and some of it was not what was written.
    VerifyingWhatReadsDifferently,
    Verifying,
    /// Everything reads as it was written.
    NotAtAll,
}

/// What an undamaged file gives.
struct Sound {
    bytes: Vec<u8>,
    ids: [Vec<u64>; 2],
    at: i64,
    seen: [Seen; 2],
    heads: [Head; 2],
}

impl Sound {
    fn of(path: &Path, bytes: Vec<u8>) -> Self {
        let contents = Contents::read(path, None).unwrap();
        assert_eq!(contents.findings, [""; 0], "the file is sound");
        Self {
            bytes,
            ids: contents.ids(),
            at: contents.at,
            heads: contents.heads(),
            seen: contents.sides.map(|side| side.seen),
        }
    }
}

/// Looks at a damaged copy as whoever uses it does.
///
/// # Errors
/// What is wrong with how it was noticed: nothing may panic, tempt anybody to try again, say
/// nothing to the point, or go without a word.
fn look(path: &Path, sound: &Sound, heads: Option<&[Head; 2]>) -> Result<Noticed, String> {
    let stores = match Stores::open(path, Synchronous::Normal, 0) {
        Ok(stores) => stores,
        Err(error) => return to_the_point(&error.to_string()).map(|()| Noticed::Opening),
    };
    let seen = records::seen(&stores, &sound.ids, sound.at);
    let verified = records::findings(&stores, heads);
    let found = match &verified {
        Ok(findings) => !findings.is_empty(),
        Err(trouble) if trouble.retryable == Some(false) => {
            to_the_point(&trouble.text)?;
            true
        }
        Err(trouble) => return Err(format!("verifying said {trouble:?}")),
    };
    match (seen, found) {
        (Err(trouble), _) if trouble.retryable == Some(true) => {
            Err(format!("reading asked for another try: {}", trouble.text))
        }
        (Err(trouble), _) if trouble.retryable == Some(false) => {
            to_the_point(&trouble.text).map(|()| Noticed::Reading)
        }
        (Ok(seen), true) if seen == sound.seen => Ok(Noticed::Verifying),
        (_, true) => Ok(Noticed::VerifyingWhatReadsDifferently),
        (Ok(seen), false) if seen == sound.seen => Ok(Noticed::NotAtAll),
        (Ok(_), false) => Err("other records were read without a word".to_owned()),
        (Err(trouble), false) => Err(format!("only this was said: {}", trouble.text)),
    }
}

fn to_the_point(text: &str) -> Result<(), String> {
    let known = [
        "the file is damaged",
        "is not a Countersign database",
        "use the newer release",
        "have the file verified",
        // The header has a number that makes a file one that only newer engines write.
        "cannot be written",
    ];
    let known = known.iter().any(|words| text.contains(words));
    let panicked = text.contains("panicked");
    match known && !panicked {
        true => Ok(()),
        false => Err(format!("this is not to the point: {text}")),
    }
}

/// A file with a few of everything, closed.
fn filled() -> (tempfile::TempDir, PathBuf) {
    let (folder, path) = file();
    let draws = &mut Draws::from_seed(1);
    let stores = Stores::open(&path, Synchronous::Normal, 0).unwrap();
    for number in 0..120 {
        let of = draws.pick(&Of::ALL);
        let create = Operation {
            of,
            verb: Verb::Create,
            id: draws.below(u64::MAX),
            idempotency_key: number,
            expected: 0,
            user: draws.below(4) as usize,
            profile: draws.below(4) as usize,
        };
        stores.clock.advance(std::time::Duration::from_secs(700));
        let Answer::Done { version, .. } = block_on(stores.perform(&create)) else {
            continue;
        };
        let verbs = match of {
            Of::Request => [Verb::Approve, Verb::Deny, Verb::Note, Verb::Cancel],
            Of::Emergency => [Verb::Close, Verb::Note, Verb::Note, Verb::Close],
        };
        let change = Operation {
            verb: draws.pick(&verbs),
            idempotency_key: 1_000 + number,
            expected: version,
            ..create
        };
        block_on(stores.perform(&change));
        if draws.one_in(6) {
            let delete = Operation {
                verb: Verb::Delete,
                ..change
            };
            block_on(stores.perform(&delete));
        }
    }
    (folder, path)
}

/// Where to damage a file: what it is called, and the pages, counted from 0.
fn places(path: &Path) -> BTreeMap<String, Vec<usize>> {
    let connection = Connection::open(path).unwrap();
    let sql = "SELECT dbstat.name, coalesce(type, 'table'), pageno FROM dbstat \
               LEFT JOIN sqlite_schema ON sqlite_schema.name = dbstat.name";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, usize>(2)?,
        ))
    });
    let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for row in rows.unwrap() {
        let (name, kind, page) = row.unwrap();
        let ours = name.starts_with("request") || name.starts_with("emergency");
        let place = match name.as_str() {
            "sqlite_schema" => "the schema".to_owned(),
            _ if !ours && !name.contains("request") && !name.contains("emergency") => continue,
            _ => format!(
                "a page of {} {kind}",
                if kind == "index" { "an" } else { "a" }
            ),
        };
        places.entry(place).or_default().push(page - 1);
    }
    places.insert("the header".to_owned(), vec![0]);
    places
}

const PAGE: usize = 4096;

#[test]
fn damage_is_said_and_nothing_else_is_read() {
    let seed = seed("faults damage");
    let damages = variable("COUNTERSIGN_KILLS").unwrap_or(DAMAGES);
    let draws = &mut Draws::from_seed(seed);
    let (_folder, path) = filled();
    let places: Vec<_> = places(&path).into_iter().collect();
    let sound = Sound::of(&path, std::fs::read(&path).unwrap());
    assert_eq!(look(&path, &sound, None), Ok(Noticed::NotAtAll));
    let mut noticed: BTreeMap<String, BTreeMap<Noticed, u64>> = BTreeMap::new();
    for number in 0..damages {
        let (_folder, copy) = file();
        let mut bytes = sound.bytes.clone();
        let (what, heads) = if draws.one_in(12) {
            let length = match draws.below(3) {
                0 => bytes.len() / 2,
                1 => bytes.len() - PAGE,
                _ => draws.below(bytes.len() as u64) as usize,
            };
            bytes.truncate(length);
            // Nothing is left of an empty file: only who has noted the head can tell.
            ("a part of the file cut off".to_owned(), Some(&sound.heads))
        } else {
            let (what, pages) = &places[draws.below(places.len() as u64) as usize];
            let page = pages[draws.below(pages.len() as u64) as usize];
            let page = &mut bytes[page * PAGE..(page + 1) * PAGE];
            let page = match what.as_str() {
                "the header" => &mut page[..100],
                "the schema" if page[..6] == *b"SQLite" => &mut page[100..],
                _ => page,
            };
            match draws.below(8) {
                0 => page.fill(0),
                _ => {
                    for _ in 0..1 + draws.below(8) {
                        let at = draws.below(page.len() as u64) as usize;
                        page[at] ^= 1 << draws.below(8);
                    }
                }
            }
            (what.clone(), None)
        };
        std::fs::write(&copy, &bytes).unwrap();
        match look(&copy, &sound, heads) {
            Ok(how) => *noticed.entry(what).or_default().entry(how).or_default() += 1,
            Err(problem) => {
                panic!("damage {number} of COUNTERSIGN_SEED={seed}, in {what}: {problem}")
            }
        }
    }
    let of = |how| {
        noticed
            .values()
            .filter_map(|counts| counts.get(&how))
            .sum::<u64>()
    };
    println!(
        "faults damage: {damages} files damaged: {} noticed when opened, {} when read, {} by \
         verifying alone ({} of them read differently), {} without effect, read as they were \
         written (seed {seed})",
        of(Noticed::Opening),
        of(Noticed::Reading),
        of(Noticed::Verifying) + of(Noticed::VerifyingWhatReadsDifferently),
        of(Noticed::VerifyingWhatReadsDifferently),
        of(Noticed::NotAtAll),
    );
    for (what, counts) in &noticed {
        println!("  {what}: {counts:?}");
    }
    let told = of(Noticed::Opening) + of(Noticed::Reading) + of(Noticed::Verifying);
    assert!(told > 0, "no damage was noticed");
}

#[test]
fn a_log_that_is_not_whole_takes_back_the_last_writes_and_a_noted_head_tells() {
    let seed = seed("faults log");
    let logs = variable("COUNTERSIGN_KILLS").unwrap_or(LOGS);
    let draws = &mut Draws::from_seed(seed);
    let (mut cut, mut said, mut whole) = (0, 0, 0);
    let mut subject = None;
    for number in 0..logs {
        let (killed, sound, log) = match &subject {
            Some(subject) if number % 10 > 0 => subject,
            _ => {
                let killed = Subject::killed(draws);
                let bytes = std::fs::read(killed.path()).unwrap();
                let log = std::fs::read(killed.log()).unwrap();
                // Looking at it writes the log back.
                let (_folder, copy) = file();
                std::fs::write(&copy, &bytes).unwrap();
                std::fs::write(beside(&copy), &log).unwrap();
                let sound = Sound::of(&copy, bytes);
                subject.insert((killed, sound, log))
            }
        };
        let (_folder, copy) = file();
        std::fs::write(&copy, &sound.bytes).unwrap();
        let mut log = log.clone();
        match draws.below(3) {
            0 => log.truncate(draws.below(log.len() as u64) as usize),
            1 => {
                let at = draws.below(log.len() as u64) as usize;
                log[at] ^= 1 << draws.below(8);
            }
            _ => {
                let at = draws.below(log.len() as u64) as usize;
                let end = (at + PAGE).min(log.len());
                log[at..end].fill(0xa5);
            }
        }
        std::fs::write(beside(&copy), &log).unwrap();
        match look(&copy, sound, Some(&sound.heads)) {
            Ok(Noticed::NotAtAll) => whole += 1,
            Ok(Noticed::Verifying | Noticed::VerifyingWhatReadsDifferently) => {
                // What is left is a file as it was before: sound, but for what the head tells; or
                // not, if the log was being written back, and then no head is needed to tell.
                match Contents::read(&copy, None) {
                    Ok(contents) if contents.findings.is_empty() => cut += 1,
                    _ => said += 1,
                }
            }
            Ok(Noticed::Opening | Noticed::Reading) => said += 1,
            Err(problem) => {
                let path = killed.path();
                panic!("log {number} of COUNTERSIGN_SEED={seed}, {path:?}: {problem}")
            }
        }
    }
    println!(
        "faults log: {logs} logs of killed processes cut or garbled: {cut} times the file was as \
         it was before its last writes, and verifying with the noted head said so; {said} times it \
         was said without one; {whole} times nothing was missing (seed {seed})"
    );
    assert!(cut > 0, "no log was cut");
}

fn beside(path: &Path) -> PathBuf {
    let mut log = path.to_owned().into_os_string();
    log.push("-wal");
    log.into()
}
