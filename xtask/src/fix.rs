//! `cargo xtask fix`: mends what the tools can mend.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::cargo::{self, Workspace};
use crate::failure::Failure;
use crate::loom;

/// The line in the list of commands.
pub const HELP: &str =
    "format everything, apply what clippy can mend, write schemas and tables anew";

/// Clippy first, because what it writes needs formatting; formatting even if clippy could not.
pub fn run(arguments: &[OsString]) -> Result<ExitCode, Failure> {
    if let Some(argument) = arguments.first() {
        let argument = argument.to_string_lossy();
        return Err(Failure::Usage(format!(
            "`fix` takes no argument, not `{argument}`; drop it"
        )));
    }
    let workspace = Workspace::load()?;
    let root = &workspace.root;
    let mut clippy = cargo::command();
    clippy
        .current_dir(root)
        .args(["clippy", "--fix", "--allow-dirty", "--allow-staged"]);
    clippy.args(["--workspace", "--all-targets", "--all-features"]);
    let mended = cargo::run(&mut clippy)?;
    let mut format = cargo::command();
    format.current_dir(root).args(["fmt", "--all"]);
    let formatted = cargo::run(&mut format)?;
    let mut schema = cargo::command();
    schema
        .current_dir(root)
        .args(["run", "--quiet", "--package"]);
    schema.args(["xtask", "--features", "schema", "--example", "schema"]);
    let described = cargo::run(&mut schema)?;
    loom::write_table(&workspace)?;
    Ok(if mended && formatted && described {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
