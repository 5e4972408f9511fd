//! A full disk: a small file system in memory that something else fills while the stores write.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use countersign_sqlite::Synchronous;

use crate::audit::{self, Known};
use crate::common::{Draws, block_on};
use crate::operations::{Answer, Of, Operation, Stores, Verb};
use crate::process::{Process, program};
use crate::records::Contents;
use crate::seed;
use crate::writer::line;

/// How often the disk is filled.
const CYCLES: u64 = 8;

/// How many call at once while it is full.
const CALLERS: usize = 16;

/// Makes mounts that only the command after it sees, as whoever may or in a namespace of users.
pub fn mounted(mount: &str, folder: &Path) -> Result<Command, String> {
    let mut why = String::new();
    for flags in [&["--mount"][..], &["--user", "--map-root-user", "--mount"]] {
        let of = |script: &str| {
            let mut command = Command::new("unshare");
            command.args(flags).args(["sh", "-c", script]).arg(folder);
            command
        };
        match of(mount).output() {
            Ok(tried) if tried.status.success() => {
                let mut command = of(&format!("{mount} && exec \"$@\""));
                command.arg(program());
                return Ok(command);
            }
            Ok(tried) => why = String::from_utf8_lossy(&tried.stderr).trim().to_owned(),
            Err(error) => why = format!("`unshare` cannot be started: {error}"),
        }
    }
    Err(why)
}

#[test]
fn a_full_disk_is_said_and_loses_nothing() {
    let seed = seed("faults room");
    let folder = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=3m countersign \"$0\"";
    let command = match mounted(mount, folder.path()) {
        Ok(command) => command,
        Err(why) => {
            println!("faults room: skipped, no small file system can be mounted here: {why}");
            return;
        }
    };
    let path = folder.path().join("countersign.db");
    let mut process = Process::started(command, "fill", &seed.to_string(), &path);
    let mut said = Vec::new();
    while let Some(line) = process.line() {
        said.extend(line.find("faults room: ").map(|at| line[at..].to_owned()));
    }
    assert!(process.child.wait().unwrap().success(), "{said:?}");
    assert_eq!(said.len(), 1, "the process says what it has done");
    println!("{} (seed {seed})", said[0]);
}

/// The role of the process that sees the small file system.
pub fn fill(words: &str, path: &Path) {
    let draws = &mut Draws::from_seed(words.parse().unwrap());
    let ballast = path.with_file_name("ballast");
    let mut known = Known::default();
    let (mut refused, mut written, mut reopened) = (0, 0, 0);
    let mut stores = Stores::open(path, Synchronous::Full, 0).unwrap();
    let mut write = |stores: &Stores, draws: &mut Draws, known: &mut Known, callers: usize| {
        let mut failed = None;
        for (operation, answer) in at_once(stores, draws, known, callers) {
            if let Answer::Failed(why) = &answer {
                let full = "the store failed and nothing was changed: the disk is full: make room";
                assert!(why.starts_with(full), "`{operation}` was answered `{why}`");
                refused += 1;
                failed = Some(operation);
                continue;
            }
            written += u64::from(matches!(answer, Answer::Done { .. }));
            known.answered.push((operation, answer));
        }
        failed
    };
    for cycle in 0..CYCLES {
        for _ in 0..5 + draws.below(30) {
            let failed = write(&stores, draws, &mut known, 1);
            assert_eq!(failed, None, "there is room");
        }
        occupy(&ballast, draws.below(200_000));
        let mut failed = None;
        for _ in 0..400 {
            failed = write(&stores, draws, &mut known, 1);
            if failed.is_some() {
                break;
            }
        }
        let failed = failed.expect("the disk is full in the end");
        // Others are refused too, or small enough.
        for callers in [1, CALLERS, 1, CALLERS] {
            write(&stores, draws, &mut known, callers);
        }
        look(
            path,
            &known,
            &format!("while the disk is full in cycle {cycle}"),
        );
        if draws.one_in(2) {
            // Closing writes the log back, for which there is no room either.
            drop(stores);
            look(
                path,
                &known,
                &format!("opened on a full disk in cycle {cycle}"),
            );
            stores = Stores::open(path, Synchronous::Full, 0).unwrap();
            reopened += 1;
        }
        std::fs::remove_file(&ballast).unwrap();
        let answer = block_on(stores.perform(&failed));
        assert!(
            !matches!(answer, Answer::Failed(_)),
            "there is room again: `{failed}` was answered `{answer}`"
        );
        known.answered.push((failed, answer));
        let contents = look(path, &known, &format!("after cycle {cycle}"));
        known.heads = Some(contents.heads());
        known.ledgers = contents.sides.map(|side| side.ledger);
        // The log is written back and begun anew, so that it has to grow again.
        drop(stores);
        stores = Stores::open(path, Synchronous::Full, 0).unwrap();
    }
    assert!(refused >= CYCLES && written > CYCLES);
    line(format_args!(
        "\nfaults room: the disk was full {CYCLES} times: {refused} calls said so and changed \
         nothing, {written} other writes are all there, reads went on (after opening again \
         {reopened} times), and so did writes when there was room"
    ));
}

/// What so many callers who call at once are answered.
pub fn at_once(
    stores: &Stores,
    draws: &mut Draws,
    known: &Known,
    callers: usize,
) -> Vec<(Operation, Answer)> {
    let operations: Vec<Operation> = (0..callers).map(|_| next(draws, known)).collect();
    std::thread::scope(|scope| {
        let calls: Vec<_> = operations
            .into_iter()
            .map(|operation| {
                let perform = move || (operation, block_on(stores.perform(&operation)));
                scope.spawn(perform)
            })
            .collect();
        let answers = calls.into_iter().map(|call| call.join());
        answers.map(Result::unwrap).collect()
    })
}

/// Fills the disk but for about so many bytes.
fn occupy(ballast: &Path, left: u64) {
    let mut file = File::create(ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(left)).unwrap();
}

fn look(path: &Path, known: &Known, when: &str) -> Contents {
    let contents = Contents::read(path, known.heads.as_ref());
    let contents = contents.unwrap_or_else(|error| panic!("{when}: {error}"));
    let (looked, problems) = audit::problems(&contents, known);
    assert!(problems.is_empty(), "{when}:\n{}", problems.join("\n"));
    assert!(looked.entries > 0);
    contents
}

/// A call that is not refused but for quotas: a new record, or a note on the last one of its kind.
pub fn next(draws: &mut Draws, known: &Known) -> Operation {
    let of = draws.pick(&Of::ALL);
    let create = Operation {
        of,
        verb: Verb::Create,
        id: draws.below(u64::MAX),
        idempotency_key: draws.below(u64::MAX),
        expected: 0,
        user: 0,
        profile: draws.below(4) as usize,
    };
    let mut latest = known.answered.iter().rev();
    let latest = latest.find_map(|(operation, answer)| match answer {
        Answer::Done { version, .. } if operation.of == of => Some((operation, *version)),
        _ => None,
    });
    match latest {
        Some((latest, expected)) if draws.one_in(2) => Operation {
            verb: Verb::Note,
            expected,
            idempotency_key: create.idempotency_key,
            ..*latest
        },
        _ => create,
    }
}
