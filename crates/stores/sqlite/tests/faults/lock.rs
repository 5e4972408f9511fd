//! A process that reads its own database file by other means than the store, which ends its locks on
//! it, while another process comes and goes.
//!
//! The other may be one of ours, which leaves the log where it is, or any SQLite program, which takes
//! itself for the last to close and removes it. The first must then say so before it answers.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use countersign_sqlite::Synchronous;
use rusqlite::Connection;

use crate::audit::{self, Known};
use crate::common::{block_on, file};
use crate::operations::{Answer, Of, Operation, Stores, Verb};
use crate::process::Process;
use crate::records::Contents;
use crate::writer::line;

/// What a process does with its own file: a hash, a copy, an upload.
const WAYS: [&str; 9] = [
    "nothing",
    "File::open",
    "fs::read",
    "fs::copy",
    "under another name",
    "through a link",
    "for appending",
    "the log too",
    ALL_THREE,
];

/// The one that ends the locks on the memory that processes share, too: newer SQLite programs look
/// there before they take themselves for the last.
const ALL_THREE: &str = "all three";

fn operation(id: u64) -> Operation {
    Operation {
        of: if id % 2 == 0 {
            Of::Request
        } else {
            Of::Emergency
        },
        verb: Verb::Create,
        id,
        idempotency_key: id,
        expected: 0,
        user: (id % 4) as usize,
        profile: (id / 4 % 4) as usize,
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(ending);
    name.into()
}

fn read_otherwise(how: &str, path: &Path) {
    let aside = path.with_extension(how.replace(' ', "-"));
    match how {
        "nothing" => {}
        "File::open" => drop(std::fs::File::open(path).unwrap()),
        "fs::read" => drop(std::fs::read(path).unwrap()),
        "fs::copy" => drop(std::fs::copy(path, aside).unwrap()),
        "under another name" => {
            std::fs::hard_link(path, &aside).unwrap();
            drop(std::fs::read(&aside).unwrap());
        }
        "through a link" => {
            std::os::unix::fs::symlink(path, &aside).unwrap();
            drop(std::fs::read(&aside).unwrap());
        }
        "for appending" => {
            let options = std::fs::OpenOptions::new().append(true).open(path);
            drop(options.unwrap());
        }
        "the log too" => {
            drop(std::fs::read(path).unwrap());
            drop(std::fs::read(beside(path, "-wal")).unwrap());
        }
        ALL_THREE => {
            for ending in ["", "-wal", "-shm"] {
                drop(std::fs::read(beside(path, ending)).unwrap());
            }
        }
        _ => panic!("there is no way `{how}`"),
    }
}

/// Makes records; says each, with its answer.
fn make(stores: &Stores, ids: std::ops::Range<u64>) {
    for id in ids {
        let operation = operation(id);
        let answer = block_on(stores.perform(&operation));
        line(format_args!("ack {answer} = {operation}"));
    }
}

/// Makes ten records, or so many that the next fill the log; reads the file, and at each line of
/// input makes ten more.
pub fn lose_locks(words: &str, path: &Path) {
    let stores = Stores::open(path, Synchronous::Full, 0).unwrap();
    let (how, fill) = match words.strip_prefix(FULL) {
        Some(how) => (how, true),
        None => (words, false),
    };
    make(&stores, 100..110);
    let mut next = 10_000;
    // So near that the next write is the one after which it is written back.
    while fill && !(PAGES - 10..PAGES).contains(&pages(path)) {
        make(&stores, next..next + 1);
        next += 1;
    }
    read_otherwise(how, path);
    line(format_args!("ready"));
    for (round, _) in (1..).zip(std::io::stdin().lock().lines()) {
        make(&stores, 100 + round * 100..110 + round * 100);
        line(format_args!("ready"));
    }
}

/// Before the name of a way: the next writes are those after which the log is written back.
const FULL: &str = "with a full log, ";

/// From how many pages on the log is written back.
const PAGES: i64 = 1_000;

/// The pages in the log, as the same SQLite in the same process sees them.
fn pages(path: &Path) -> i64 {
    let connection = Connection::open(path).unwrap();
    let pages = |row: &rusqlite::Row<'_>| row.get(1);
    let sql = "PRAGMA wal_checkpoint(NOOP)";
    connection.query_row(sql, [], pages).unwrap()
}

/// Opens the file, makes records from this number on, and ends.
pub fn come_and_go(words: &str, path: &Path) {
    let first = words.parse().unwrap();
    let stores = Stores::open(path, Synchronous::Full, 0).unwrap();
    make(&stores, first..first + 3);
}

/// What a process has said until it is ready or has ended.
fn hear(process: &mut Process, answers: &mut Vec<(Operation, Answer)>) {
    while let Some(line) = process.line() {
        if line.ends_with("ready") {
            return;
        }
        if let Some((answer, operation)) = line
            .split_once("ack ")
            .and_then(|(_, rest)| rest.split_once(" = "))
        {
            answers.push((operation.parse().unwrap(), answer.parse().unwrap()));
        }
    }
}

fn visit(path: &Path, first: u64) -> Vec<(Operation, Answer)> {
    let mut answers = Vec::new();
    let mut visitor = Process::start("come and go", &first.to_string(), path);
    hear(&mut visitor, &mut answers);
    assert!(visitor.child.wait().unwrap().success());
    assert_eq!(answers.len(), 3);
    answers
}

fn refused(answer: &Answer) -> bool {
    matches!(answer, Answer::Failed(why) if why.contains("changes may be lost"))
}

/// Everything acknowledged is there, and nothing is wrong with the file.
fn assert_kept(path: &Path, answers: Vec<(Operation, Answer)>, what: &str) -> u64 {
    let mut known = Known::default();
    for (operation, answer) in answers {
        match answer {
            Answer::Failed(_) => known.open.push(operation),
            _ => known.answered.push((operation, answer)),
        }
    }
    let acknowledged = known.answered.len() as u64;
    let contents = Contents::read(path, None).unwrap();
    let (_, problems) = audit::problems(&contents, &known);
    assert_eq!(problems, [""; 0], "{what}");
    acknowledged
}

#[test]
fn reading_ones_own_file_loses_nothing_when_another_process_of_ours_comes_and_goes() {
    let mut acknowledged = 0;
    for how in WAYS {
        for killed in [true, false] {
            let (_folder, path) = file();
            let mut answers = Vec::new();
            let mut process = Process::start("lose locks", how, &path);
            hear(&mut process, &mut answers);
            answers.extend(visit(&path, 1_000));
            assert!(
                beside(&path, "-wal").exists(),
                "{how}: nobody removes the log"
            );
            process.say();
            hear(&mut process, &mut answers);
            // What the one has written the other sees, in both directions.
            answers.extend(visit(&path, 2_000));
            process.say();
            hear(&mut process, &mut answers);
            match killed {
                true => process.child.kill().unwrap(),
                false => process.stop(),
            }
            hear(&mut process, &mut answers);
            process.child.wait().unwrap();
            assert_eq!(answers.len(), 36, "{how}");
            assert!(!answers.iter().any(|(_, answer)| refused(answer)), "{how}");
            acknowledged += assert_kept(&path, answers, how);
        }
    }
    println!(
        "faults lock: {} ways of reading one's own file while another process comes and goes: each \
         of {acknowledged} acknowledged writes is there",
        WAYS.len() - 1
    );
}

/// As any SQLite program does, which knows nothing of us; whether it has removed the log.
fn foreign(path: &Path, how: &str) -> bool {
    let connection = Connection::open(path).unwrap();
    let count = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    let seen = connection.query_row("SELECT count(*) FROM request", [], count);
    assert!(seen.unwrap() > 0);
    if how != "nothing" && how != ALL_THREE {
        // As those before 3.51 do, which look at the locks on the file alone.
        connection
            .execute_batch("PRAGMA wal_checkpoint(PASSIVE)")
            .unwrap();
        drop(connection);
        for ending in ["-wal", "-shm"] {
            std::fs::remove_file(beside(path, ending)).unwrap();
        }
        return true;
    }
    drop(connection);
    !beside(path, "-wal").exists()
}

#[test]
fn a_log_that_another_program_has_removed_is_said_before_anything_is_answered() {
    let (mut said, mut acknowledged) = (0, 0);
    let full = [("File::open", true), (ALL_THREE, true)];
    for (how, full) in WAYS.map(|how| (how, false)).into_iter().chain(full) {
        for killed in [true, false] {
            let (_folder, path) = file();
            let mut answers = Vec::new();
            let words = format!("{}{how}", if full { FULL } else { "" });
            let mut process = Process::start("lose locks", &words, &path);
            hear(&mut process, &mut answers);
            let removed = foreign(&path, how);
            assert_eq!(removed, how != "nothing", "{how}");
            // Somebody opens the file again, and writes to the log that this makes.
            answers.extend(visit(&path, 1_000));
            process.say();
            let before = answers.len();
            hear(&mut process, &mut answers);
            for (operation, answer) in &answers[before..] {
                assert_eq!(refused(answer), removed, "{how}, {operation}: {answer}");
                said += u64::from(removed);
            }
            assert_eq!(answers.len(), before + 10);
            match killed {
                true => process.child.kill().unwrap(),
                // Neither closing nor a log that is long enough may write an old log over what
                // others have written since.
                false => process.stop(),
            }
            process.child.wait().unwrap();
            acknowledged += assert_kept(&path, answers, how);
        }
    }
    println!(
        "faults lock: another program has removed the log: {said} calls said so, and each of \
         {acknowledged} acknowledged writes is there"
    );
}

/// A log that was deleted by hand has changes that are nowhere else. Written back, when it is long
/// enough or at the end, it would take away what others have written since.
#[test]
fn a_log_that_was_deleted_is_never_written_over_what_others_have_written_since() {
    for killed in [true, false] {
        let (_folder, path) = file();
        let words = format!("{FULL}nothing");
        let mut process = Process::start("lose locks", &words, &path);
        hear(&mut process, &mut Vec::new());
        for ending in ["-wal", "-shm"] {
            std::fs::remove_file(beside(&path, ending)).unwrap();
        }
        let kept = visit(&path, 1_000);
        process.say();
        let mut answers = Vec::new();
        hear(&mut process, &mut answers);
        assert!(answers.iter().all(|(_, answer)| refused(answer)));
        assert_eq!(answers.len(), 10);
        match killed {
            true => process.child.kill().unwrap(),
            false => process.stop(),
        }
        process.child.wait().unwrap();
        assert_kept(&path, kept, "deleted by hand");
    }
}
