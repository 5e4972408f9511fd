//! This program, started again as a process that can be killed, limited or given less rights.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

const ROLE: &str = "COUNTERSIGN_FAULTS_ROLE";
const WORDS: &str = "COUNTERSIGN_FAULTS_WORDS";
const PATH: &str = "COUNTERSIGN_FAULTS_PATH";

/// What this process was started for, if for a part of a test.
pub fn role() -> Option<(String, String, String)> {
    let variable = |name| std::env::var(name).ok();
    Some((variable(ROLE)?, variable(WORDS)?, variable(PATH)?))
}

/// The file of this program.
pub fn program() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// A process whose lines are read.
pub struct Process {
    pub child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    /// Starts this program, to play a role on a file.
    pub fn start(role: &str, words: &str, path: &Path) -> Self {
        Self::started(Command::new(program()), role, words, path)
    }

    /// As [`Process::start`], by a command that starts this program.
    pub fn started(mut command: Command, role: &str, words: &str, path: &Path) -> Self {
        command.args([
            "in_a_process_of_its_own",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ]);
        command.env(ROLE, role).env(WORDS, words).env(PATH, path);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next line, without its end; none when the process has ended. What it was about to
    /// print when it was killed is no line.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.strip_suffix('\n').map(str::to_owned)
    }

    /// Gives it a line of input.
    pub fn say(&mut self) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(b"go on\n").unwrap();
    }

    /// Ends its input, upon which it ends.
    pub fn stop(&mut self) {
        drop(self.child.stdin.take());
    }
}

/// No process outlives its test.
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
