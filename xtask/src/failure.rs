//! What can go wrong in a command, other than a check that fails.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// Why a command could not be carried out.
#[derive(Debug)]
pub enum Failure {
    /// The arguments make no sense; run it again with others.
    Usage(String),
    /// A program could not be started; install it.
    Start {
        /// The program.
        program: String,
        /// What the system answered.
        source: io::Error,
    },
    /// A program was started and did not do its work; its own output says why.
    Program(String),
    /// What `cargo metadata` printed cannot be understood.
    Metadata(serde_json::Error),
    /// A file or directory of the project cannot be read.
    Read {
        /// Which.
        path: String,
        /// What the system answered.
        source: io::Error,
    },
}

impl Failure {
    /// 2 for wrong arguments, 1 for everything else.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Usage(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(message) | Failure::Program(message) => f.write_str(message),
            Failure::Start { program, source } => {
                write!(f, "cannot start `{program}` ({source}); is it installed?")
            }
            Failure::Metadata(source) => {
                write!(f, "cannot read what `cargo metadata` printed: {source}")
            }
            Failure::Read { path, source } => write!(f, "cannot read `{path}`: {source}"),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Failure::Start { source, .. } | Failure::Read { source, .. } => Some(source),
            Failure::Metadata(source) => Some(source),
            Failure::Usage(_) | Failure::Program(_) => None,
        }
    }
}
