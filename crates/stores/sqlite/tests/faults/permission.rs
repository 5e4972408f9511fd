//! Files and folders that the process may read and not write.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use countersign_request::SystemClock;
use countersign_sqlite::{Database, Options, RequestStore, Synchronous};
use tempfile::TempDir;

use crate::audit::{self, Known};
use crate::common::{block_on, file};
use crate::operations::{Answer, Of, Operation, Stores, Verb};
use crate::process::{Process, program};
use crate::records::Contents;
use crate::room::mounted;
use crate::writer::line;

/// Nobody's number, on every system that these tests run on.
const NOBODY: u32 = 65534;

fn operation(id: u64) -> Operation {
    Operation {
        of: Of::Request,
        verb: Verb::Create,
        id,
        idempotency_key: id,
        expected: 0,
        user: 0,
        profile: 0,
    }
}

/// The role of the process with less rights: says how it was refused.
pub fn be_refused(_: &str, path: &Path) {
    let said = match Stores::open(path, Synchronous::Full, 0) {
        Err(error) => error.to_string(),
        Ok(stores) => match block_on(stores.perform(&operation(1_000))) {
            Answer::Failed(why) => why,
            answer => panic!("the file was written: {answer}"),
        },
    };
    line(format_args!("\nsaid {said}"));
}

/// The role of the process that verifies a file which it cannot write.
pub fn audit_a_file(_: &str, path: &Path) {
    let database = Database::open_for_audit(path, &Options::default()).unwrap();
    let store = RequestStore::new(&database, Arc::new(SystemClock));
    let report = block_on(store.verify(None)).unwrap();
    let (records, findings) = (report.records, report.findings.len());
    line(format_args!(
        "\nsaid {records} records, {findings} findings"
    ));
}

/// A folder with a file in it, and what is known of the file.
struct Subject {
    _folder: TempDir,
    program: PathBuf,
    folder: PathBuf,
    path: PathBuf,
    known: Known,
}

impl Subject {
    fn new() -> Self {
        let _folder = tempfile::tempdir().unwrap();
        // Whoever it is has to get there, and to start this program.
        allow(_folder.path(), 0o755);
        let copy = _folder.path().join("program");
        fs::copy(program(), &copy).unwrap();
        allow(&copy, 0o755);
        let folder = _folder.path().join("folder");
        fs::create_dir(&folder).unwrap();
        let path = folder.join("countersign.db");
        Self {
            _folder,
            program: copy,
            folder,
            path,
            known: Known::default(),
        }
    }

    fn fill(&mut self) {
        let stores = Stores::open(&self.path, Synchronous::Full, 0).unwrap();
        for id in 1..10 {
            let answer = block_on(stores.perform(&operation(id)));
            assert!(matches!(answer, Answer::Done { .. }));
            self.known.answered.push((operation(id), answer));
        }
    }

    /// Everything in the folder, byte for byte, but for the memory that connections share and logs
    /// without anything in them.
    fn bytes(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(&self.folder).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let paths = paths.filter(|path| !path.to_string_lossy().ends_with("-shm"));
        let mut files: Vec<_> = paths
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        files.retain(|(path, bytes)| {
            !bytes.is_empty() || path.extension().is_none_or(|e| e != "db-wal")
        });
        files.sort();
        files
    }

    /// Has a process try to write; gives what it said.
    fn refused(&self, command: Command) -> String {
        self.said(command, "refused")
    }

    /// Has a process do something that writes nothing; gives what it said.
    fn said(&self, command: Command, role: &str) -> String {
        let before = self.bytes();
        let mut process = Process::started(command, role, "", &self.path);
        let mut said = None;
        while let Some(line) = process.line() {
            said = said.or_else(|| line.strip_prefix("said ").map(str::to_owned));
        }
        assert!(process.child.wait().unwrap().success());
        assert!(self.bytes() == before, "something was written");
        said.expect("the process says what came of it")
    }

    /// Whoever may write finds everything, and goes on.
    fn look(&mut self) {
        self.known.answered.push({
            let stores = Stores::open(&self.path, Synchronous::Full, 0).unwrap();
            let operation = operation(100);
            (operation, block_on(stores.perform(&operation)))
        });
        let contents = Contents::read(&self.path, None).unwrap();
        let (looked, problems) = audit::problems(&contents, &self.known);
        assert_eq!(problems, [""; 0]);
        assert_eq!(looked.acknowledged, self.known.answered.len() as u64);
    }
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs the program as one who can be refused: nobody, if this is root.
fn as_nobody(subject: &Subject) -> Command {
    let mut command = Command::new(&subject.program);
    if fs::metadata(&subject.folder).unwrap().uid() == 0 {
        for path in [&subject.folder, &subject.path] {
            if path.exists() {
                chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn clear(text: &str) -> bool {
    [
        "cannot be written: let this process write the file",
        "see that its folder is there and that this process may write the file and its folder",
    ]
    .iter()
    .any(|words| text.contains(words))
}

/// A process for which files are made with these bits taken away.
fn with_umask(umask: &str, words: &str, path: &Path) -> Vec<String> {
    let mut command = Command::new("sh");
    let script = format!("umask {umask} && exec \"$@\"");
    command.args(["-c", &script, "sh"]).arg(program());
    let mut process = Process::started(command, "rights", words, path);
    let mut said = Vec::new();
    while let Some(line) = process.line() {
        said.extend(line.strip_prefix("file ").map(str::to_owned));
    }
    assert!(process.child.wait().unwrap().success());
    said
}

/// The role of the process that makes files: says what is in the folder while they are in use, with
/// the rights of each.
pub fn rights(words: &str, path: &Path) {
    let several = if words == "several at once" { 4 } else { 1 };
    let barrier = std::sync::Barrier::new(several);
    let stores: Vec<Stores> = std::thread::scope(|scope| {
        let open = || {
            barrier.wait();
            Stores::open(path, Synchronous::Full, 0).unwrap()
        };
        let threads: Vec<_> = (0..several).map(|_| scope.spawn(open)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    for (id, stores) in (1..).zip(&stores) {
        let answer = block_on(stores.perform(&operation(id)));
        assert!(matches!(answer, Answer::Done { .. }), "{answer}");
    }
    let folder = fs::read_dir(path.parent().unwrap()).unwrap();
    let mut files: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let metadata = fs::symlink_metadata(&file).unwrap();
        if metadata.is_file() {
            let name = file.file_name().unwrap().to_string_lossy();
            line(format_args!("\nfile {name} {:o}", metadata.mode() & 0o7777));
        }
    }
}

fn all_three(name: &str, rights: u32) -> Vec<String> {
    let file = |ending| format!("{name}{ending} {rights:o}");
    ["", "-shm", "-wal"].map(file).into()
}

#[test]
fn files_are_made_for_their_owner_alone_whatever_the_process_takes_away() {
    for umask in ["000", "022", "002", "077"] {
        for words in ["one", "several at once"] {
            let (_folder, path) = file();
            let said = with_umask(umask, words, &path);
            assert_eq!(said, all_three("countersign.db", 0o600), "{umask}, {words}");
        }
    }
    // A link that leads to no file yet: the file is made where it leads.
    let (_folder, path) = file();
    std::os::unix::fs::symlink("real.db", &path).unwrap();
    assert_eq!(with_umask("000", "one", &path), all_three("real.db", 0o600));
    println!("faults rights: files are made with 600 by 4 umasks, alone and by several at once");
}

/// The twin: rights that somebody has chosen stay.
#[test]
fn a_file_that_is_there_keeps_its_rights() {
    for rights in [0o640, 0o644, 0o660, 0o600] {
        for umask in ["000", "077"] {
            let (_folder, path) = file();
            fs::write(&path, "").unwrap();
            allow(&path, rights);
            let said = with_umask(umask, "one", &path);
            assert_eq!(said, all_three("countersign.db", rights), "{umask}");
        }
    }
}

#[test]
fn what_cannot_be_written_is_said_and_loses_nothing() {
    let mut said = 0;
    for (filled, file, folder) in [
        (true, 0o444, 0o555),
        (true, 0o444, 0o755),
        (true, 0o644, 0o555),
        (false, 0, 0o555),
    ] {
        let mut subject = Subject::new();
        if filled {
            subject.fill();
        }
        let command = as_nobody(&subject);
        if filled {
            allow(&subject.path, file);
        }
        allow(&subject.folder, folder);
        let text = subject.refused(command);
        assert!(clear(&text), "{file:o} in {folder:o}: {text}");
        allow(&subject.folder, 0o755);
        // The engine gives the files beside it the rights of the file.
        for entry in fs::read_dir(&subject.folder).unwrap() {
            allow(&entry.unwrap().path(), 0o644);
        }
        subject.look();
        said += 1;
    }
    println!(
        "faults permission: {said} times a file or its folder could not be written: each time it \
         was said, nothing was lost, and writes went on when they could"
    );
}

#[test]
fn what_cannot_be_written_is_verified_by_whoever_may_read_it() {
    for (file, folder) in [(0o444, 0o555), (0o444, 0o755), (0o644, 0o555)] {
        let mut subject = Subject::new();
        subject.fill();
        let command = as_nobody(&subject);
        for entry in fs::read_dir(&subject.folder).unwrap() {
            allow(&entry.unwrap().path(), file);
        }
        allow(&subject.folder, folder);
        let said = subject.said(command, "audit");
        assert_eq!(said, "9 records, 0 findings", "{file:o} in {folder:o}");
        let count = fs::read_dir(&subject.folder).unwrap().count();
        assert_eq!(count, 3, "no file is added");
        allow(&subject.folder, 0o755);
        for entry in fs::read_dir(&subject.folder).unwrap() {
            allow(&entry.unwrap().path(), 0o644);
        }
        subject.look();
    }
    println!("faults audit: 3 files that cannot be written were verified, and no byte was changed");
}

#[test]
fn a_file_system_that_cannot_be_written_is_said_and_loses_nothing() {
    let mut subject = Subject::new();
    subject.fill();
    let mount = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\"";
    let command = match mounted(mount, &subject.folder) {
        Ok(command) => command,
        Err(why) => {
            println!("faults mount: skipped, nothing can be mounted here: {why}");
            return;
        }
    };
    let text = subject.refused(command);
    assert!(clear(&text), "{text}");
    subject.look();
    println!(
        "faults mount: a file on a file system that cannot be written is refused in words, and \
         nothing was lost"
    );
}
