//! Processes that are killed while they write.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use countersign_sqlite::Synchronous;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::audit::{self, Index, Known, Looked};
use crate::common::{Draws, block_on, file};
use crate::operations::{Answer, Of, Operation, Stores, Verb};
use crate::process::Process;
use crate::records::Contents;
use crate::writer::Orders;
use crate::{seed, variable};

/// How often, in an ordinary run of the tests.
const KILLS: u64 = 30;

/// After so many kills another file is begun, so that looking at all of it stays cheap.
const KILLS_PER_FILE: u64 = 10;

/// What was counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    kills: u64,
    of_two: u64,
    pub acknowledged: u64,
    refused: u64,
    by_quota: u64,
    /// Kills after which it was open of some call whether it was made.
    within: u64,
    pub there: u64,
    pub not_there: u64,
    /// Kills that left a part of a transaction in the log.
    torn: u64,
    looked: Looked,
}

/// What a process has said.
#[derive(Debug, Default)]
pub struct Said {
    tried: BTreeMap<u64, Operation>,
    answers: BTreeMap<u64, Answer>,
    acknowledged: u64,
}

impl Said {
    pub fn take(&mut self, line: &str) {
        // What the test's harness prints comes in between.
        if let Some((number, operation)) = after(line, "try ") {
            self.tried.insert(number, operation.parse().unwrap());
        } else if let Some((number, answer)) = after(line, "ack ") {
            let answer: Answer = answer.parse().unwrap();
            self.acknowledged += u64::from(!matches!(answer, Answer::Refused(_)));
            self.answers.insert(number, answer);
        }
    }
}

fn after<'l>(line: &'l str, word: &str) -> Option<(u64, &'l str)> {
    let place = line.find(word)?;
    let (number, rest) = line[place + word.len()..].split_once(' ')?;
    Some((number.parse().ok()?, rest))
}

/// How processes are started and killed.
#[derive(Debug, Clone, Copy)]
struct How {
    /// When their clocks start.
    minutes: u64,
    /// Whether another process writes to the file, and goes on.
    two: bool,
    /// Whether they acknowledge what they have not yet written.
    early: bool,
}

impl How {
    fn at(minutes: u64) -> Self {
        Self {
            minutes,
            two: false,
            early: false,
        }
    }
}

/// A file, and what is known of it.
pub struct Subject {
    _folder: TempDir,
    path: PathBuf,
    known: Known,
}

impl Subject {
    pub fn new() -> Self {
        let (_folder, path) = file();
        Self {
            _folder,
            path,
            known: Known::default(),
        }
    }

    /// One that was written by a process that was killed.
    pub fn killed(draws: &mut Draws) -> Self {
        let mut subject = Self::new();
        while subject.known.answered.len() < 8 {
            subject.kill_once(draws, How::at(60), &mut Tally::default());
        }
        subject
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn log(&self) -> PathBuf {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        log.into()
    }

    /// Lets processes write and kills one of them.
    fn kill_once(&mut self, draws: &mut Draws, how: How, tally: &mut Tally) {
        let How {
            minutes,
            two,
            early,
        } = how;
        let acknowledgements = draws.below(40);
        let most = 1 << draws.below(18);
        let spins = draws.below(most);
        let mut orders = || {
            let orders = Orders {
                seed: draws.below(1 << 40),
                minutes,
                synchronous: match draws.one_in(2) {
                    true => Synchronous::Full,
                    false => Synchronous::Normal,
                },
                early,
            };
            orders.words()
        };
        let mut killed = Process::start("write", &orders(), &self.path);
        let mut other = two.then(|| Process::start("write", &orders(), &self.path));
        let mut said = Said::default();
        while said.acknowledged < acknowledgements {
            let line = killed.line();
            said.take(&line.expect("a process that writes ended by itself"));
        }
        for _ in 0..spins {
            std::hint::spin_loop();
        }
        killed.child.kill().unwrap();
        while let Some(line) = killed.line() {
            said.take(&line);
        }
        let status = killed.child.wait().unwrap();
        assert!(!status.success(), "the process ended before it was killed");
        self.told(said, tally);
        tally.kills += 1;
        let Some(other) = &mut other else {
            tally.torn += u64::from(torn(&self.log()));
            return;
        };
        tally.of_two += 1;
        // It goes on as if nothing had happened.
        let mut said = Said::default();
        while said.acknowledged < 20 {
            said.take(&other.line().expect("the process that is left writes on"));
        }
        other.stop();
        while let Some(line) = other.line() {
            said.take(&line);
        }
        assert!(other.child.wait().unwrap().success());
        self.told(said, tally);
    }

    pub fn told(&mut self, said: Said, tally: &mut Tally) {
        for (number, operation) in said.tried {
            match said.answers.get(&number) {
                Some(answer) => {
                    match answer {
                        Answer::Refused(why) if why.contains("in its window") => {
                            tally.by_quota += 1
                        }
                        Answer::Refused(_) => tally.refused += 1,
                        _ => tally.acknowledged += 1,
                    }
                    self.known.answered.push((operation, answer.clone()));
                }
                None => self.known.open.push(operation),
            }
        }
    }

    /// Looks at everything; then does again what nobody knows to be done.
    pub fn check(&mut self, minutes: u64, tally: &mut Tally) -> Vec<String> {
        let contents = match Contents::read(&self.path, self.known.heads.as_ref()) {
            Ok(contents) => contents,
            Err(error) => return vec![format!("the file cannot be read: {error}")],
        };
        let (looked, mut problems) = audit::problems(&contents, &self.known);
        tally.looked += looked;
        let open = std::mem::take(&mut self.known.open);
        tally.within += u64::from(!open.is_empty());
        let index = Index::of(&contents);
        for operation in open {
            let made = index.made(&operation);
            tally.there += u64::from(made.is_some());
            tally.not_there += u64::from(made.is_none());
            problems.extend(self.repeat(&operation, made, minutes, &contents));
        }
        // Repeating may have written.
        let contents = Contents::read(&self.path, Some(&contents.heads()));
        match contents {
            Ok(contents) => {
                problems.extend(audit::problems(&contents, &self.known).1);
                self.known.heads = Some(contents.heads());
                self.known.ledgers = contents.sides.map(|side| side.ledger);
            }
            Err(error) => problems.push(format!("the file cannot be read: {error}")),
        }
        problems
    }

    /// Makes a call twice that may or may not have been made.
    fn repeat(
        &mut self,
        operation: &Operation,
        made: Option<i64>,
        minutes: u64,
        contents: &Contents,
    ) -> Vec<String> {
        let stores = Stores::open(&self.path, Synchronous::Normal, minutes).unwrap();
        let (before, first, between, second, end) = block_on(async {
            let before = stores.heads().await;
            let first = stores.perform(operation).await;
            let between = stores.heads().await;
            let second = stores.perform(operation).await;
            (before, first, between, second, stores.heads().await)
        });
        let mut problems = Vec::new();
        let mut add = |problem| problems.push(format!("`{operation}`, repeated, {problem}"));
        if between != end {
            add("changed something twice".to_owned());
        }
        if let Some(version) = made {
            let records = &contents.side(operation.of).seen.records;
            let entries = records.get(&operation.id).map(|record| &record.entries);
            let mut entries = entries.into_iter().flatten();
            let entry = entries.find(|entry| entry.version == version);
            let expected = match entry {
                Some(entry) => Answer::Done {
                    version,
                    sum: entry.sum,
                },
                None => Answer::Absent,
            };
            if first != expected {
                add(format!("was answered `{first}` and not `{expected}`"));
            }
            if before != between {
                add("changed something although it was done".to_owned());
            }
        }
        let same = match first {
            Answer::Deleted => second == Answer::Absent,
            _ => second == first,
        };
        if !same {
            add(format!("was answered `{first}`, then `{second}`"));
        }
        self.known.answered.push((*operation, first));
        problems
    }
}

/// Whether a write-ahead log ends in frames that no commit made valid.
fn torn(log: &Path) -> bool {
    let log = std::fs::read(log).unwrap_or_default();
    let number = |at: usize| {
        let bytes = log.get(at..at + 4);
        bytes.map(|bytes| u32::from_be_bytes(bytes.try_into().unwrap()))
    };
    let (Some(page), Some(salts)) = (number(8), log.get(16..24)) else {
        return false;
    };
    let frame = 24 + page as usize;
    let (mut at, mut uncommitted) = (32, false);
    while at + frame <= log.len() && log.get(at + 8..at + 16) == Some(salts) {
        uncommitted = number(at + 4) == Some(0);
        at += frame;
    }
    uncommitted || (at < log.len() && log.get(at + 8..at + 16) == Some(salts))
}

fn minutes_of(draws: &mut Draws, round: u64) -> u64 {
    // The clock of a process may be behind that of the one before.
    60 + 15 * round - draws.below(60)
}

#[test]
fn what_was_acknowledged_survives_kills_and_the_rest_is_whole_or_not_there() {
    let seed = seed("faults kill");
    let kills = variable("COUNTERSIGN_KILLS").unwrap_or(KILLS);
    let draws = &mut Draws::from_seed(seed);
    let mut tally = Tally::default();
    let mut subject = Subject::new();
    let mut round = 0;
    // A kill hits a write by luck: there may have to be more of them.
    while round < kills || (round < 20 * KILLS && (tally.there == 0 || tally.not_there == 0)) {
        let of_file = round % KILLS_PER_FILE;
        if of_file == 0 {
            subject = Subject::new();
        }
        let how = How {
            two: draws.one_in(8),
            ..How::at(minutes_of(draws, of_file))
        };
        subject.kill_once(draws, how, &mut tally);
        let problems = subject.check(how.minutes, &mut tally);
        assert!(
            problems.is_empty(),
            "after kill {round} of COUNTERSIGN_SEED={seed}:\n{}",
            problems.join("\n")
        );
        round += 1;
    }
    let Tally {
        kills,
        of_two,
        acknowledged,
        refused,
        by_quota,
        within,
        there,
        not_there,
        torn,
        looked,
    } = tally;
    println!(
        "faults kill: {kills} processes killed ({of_two} beside another one): all of {acknowledged} \
         acknowledged writes are there, and the {} that {within} kills left open are whole \
         ({there}) or not there ({not_there}; {torn} kills left a part of one in the log), and \
         not done twice when repeated; {refused} calls refused and {by_quota} by quotas changed \
         nothing; {} records, {} entries and {} lists agree and verify (seed {seed})",
        there + not_there,
        looked.records,
        looked.entries,
        looked.lists
    );
    assert!(
        acknowledged > 0 && looked.acknowledged >= acknowledged && looked.entries > 0,
        "nothing was looked at"
    );
    assert!(
        there > 0 && not_there > 0,
        "no kill hit a write: {there} were there, {not_there} were not"
    );
}

/// Without this the test above could pass by looking at nothing.
#[test]
fn a_process_that_acknowledges_too_early_is_found() {
    let seed = seed("faults early");
    let draws = &mut Draws::from_seed(seed);
    for kills in 1..=100 {
        let mut subject = Subject::new();
        let how = How {
            early: true,
            ..How::at(minutes_of(draws, 1))
        };
        subject.kill_once(draws, how, &mut Tally::default());
        let problems = subject.check(how.minutes, &mut Tally::default());
        let early: Vec<_> = problems
            .iter()
            .filter(|problem| problem.contains("was answered `early` and is not there"))
            .collect();
        assert_eq!(early.len(), problems.len(), "{}", problems.join("\n"));
        if !early.is_empty() {
            println!(
                "faults early: a process that acknowledges before it writes was found after \
                 {kills} kills (seed {seed})"
            );
            return;
        }
    }
    panic!("a process that acknowledges before it writes was not found (seed {seed})");
}

/// What a writer that breaks its promise, or a program that goes past the stores, could leave.
const PLANTED: &[(&str, &str)] = &[
    (
        "the last row of the ledger is missing",
        "DELETE FROM request_ledger WHERE position = (SELECT max(position) FROM request_ledger)",
    ),
    (
        "the ledger never got a row",
        "DELETE FROM request_ledger WHERE position = 3; \
         UPDATE request_ledger SET position = position - 1 WHERE position > 3",
    ),
    (
        "a version is issued again",
        "UPDATE emergency_ledger SET version = (SELECT min(version) FROM emergency_ledger) \
         WHERE position = 2",
    ),
    (
        "an entry of a history is missing",
        "DELETE FROM request_history WHERE version = (SELECT max(version) FROM request_history)",
    ),
    (
        "a row is older than its history",
        "UPDATE request SET status = 'pending', ended_at = NULL WHERE created = \
         (SELECT max(created) FROM request WHERE status <> 'pending')",
    ),
    (
        "a note was written past the history",
        "UPDATE emergency SET note = 'nothing happened' WHERE created = \
         (SELECT min(created) FROM emergency)",
    ),
    (
        "an operation was written under another id",
        "UPDATE request_history SET idempotency_key = '00000000000000ff' WHERE version = \
         (SELECT max(version) FROM request_history)",
    ),
    (
        "a record is missing with its history",
        "DELETE FROM emergency_history WHERE record = (SELECT max(created) FROM emergency); \
         DELETE FROM emergency WHERE created = (SELECT max(created) FROM emergency)",
    ),
    (
        "a history has no record",
        "DELETE FROM emergency WHERE created = (SELECT max(created) FROM emergency)",
    ),
    (
        "a terminal status was left",
        "UPDATE emergency_history SET action = 'noted' WHERE action = 'closed'; \
         UPDATE emergency SET status = 'active', ended_at = expires_at WHERE status = 'closed'",
    ),
];

#[test]
fn what_a_broken_writer_leaves_is_found() {
    let seed = seed("faults planted");
    let draws = &mut Draws::from_seed(seed);
    let mut subject = Subject::new();
    let enough = |subject: &Subject| {
        let done = |of: Of, verb: Verb| {
            let mut answered = subject.known.answered.iter();
            answered.any(|(operation, answer)| {
                (operation.of, operation.verb) == (of, verb)
                    && matches!(answer, Answer::Done { .. })
            })
        };
        done(Of::Emergency, Verb::Close) && done(Of::Request, Verb::Deny)
    };
    let mut older = None;
    for round in 0..40 {
        let before = std::fs::read(&subject.path);
        let heads = subject.known.heads;
        let how = How::at(minutes_of(draws, round));
        subject.kill_once(draws, how, &mut Tally::default());
        let problems = subject.check(how.minutes, &mut Tally::default());
        assert!(problems.is_empty(), "{}", problems.join("\n"));
        // A process may be killed before it has written anything.
        if subject.known.heads != heads {
            older = before.ok();
        }
        if older.is_some() && enough(&subject) {
            break;
        }
    }
    let older = older.expect("no file was written twice");
    let sound = std::fs::read(&subject.path).unwrap();
    let after = |change: &dyn Fn(&Path)| {
        let (_folder, path) = file();
        std::fs::write(&path, &sound).unwrap();
        change(&path);
        match Contents::read(&path, subject.known.heads.as_ref()) {
            Ok(mut contents) => {
                // What `verify` says is its own affair: the checks here must see it too.
                contents.findings.clear();
                audit::problems(&contents, &subject.known).1
            }
            Err(error) => vec![error],
        }
    };
    assert_eq!(after(&|_| {}), [""; 0], "nothing is wrong with the file");
    for (fault, sql) in PLANTED {
        let found = after(&|path| {
            let connection = Connection::open(path).unwrap();
            unguarded(&connection);
            connection.execute_batch(sql).unwrap();
        });
        assert!(!found.is_empty(), "not found: {fault}");
    }
    let found = after(&|path| std::fs::write(path, &older).unwrap());
    assert!(!found.is_empty(), "not found: the file is an older one");
    println!(
        "faults planted: {} ways of losing a write without a trace found (seed {seed})",
        PLANTED.len() + 1
    );
}

/// Takes away what the schema itself refuses.
pub fn unguarded(connection: &Connection) {
    let sql = "SELECT 'DROP TRIGGER ' || name FROM sqlite_schema WHERE type = 'trigger'";
    let mut statement = connection.prepare(sql).unwrap();
    let drops = statement.query_map([], |row| row.get::<_, String>(0));
    let drops: Vec<String> = drops.unwrap().map(Result::unwrap).collect();
    connection
        .execute_batch("PRAGMA foreign_keys = OFF")
        .unwrap();
    for drop in drops {
        connection.execute_batch(&drop).unwrap();
    }
    connection
        .execute_batch("DROP INDEX IF EXISTS emergency_access")
        .unwrap();
}
