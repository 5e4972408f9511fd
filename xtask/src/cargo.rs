//! Running cargo, and what it says about the workspace.
//!
//! The workspace is known from `cargo metadata` alone: no manifest is read for packages, features
//! or dependencies.

pub mod explore;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use serde::Deserialize;

use crate::failure::Failure;
use crate::output::say;

/// The cargo that runs this program.
pub fn command() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a command to its end, its output going where ours goes.
pub fn status(command: &mut Command) -> Result<ExitStatus, Failure> {
    command
        .status()
        .map_err(|source| not_started(command, source))
}

/// Shows a command, runs it without input, and says whether it succeeded.
pub fn run(command: &mut Command) -> Result<bool, Failure> {
    say(shown(command));
    Ok(status(command.stdin(Stdio::null()))?.success())
}

/// As [`run`], and shows every line of standard output to `look` as well.
pub fn run_looking(command: &mut Command, look: impl FnMut(&str)) -> Result<bool, Failure> {
    say(shown(command));
    let mut look = look;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|source| not_started(command, source))?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.map_err(|source| unreadable(command, source))?;
            let line = String::from_utf8_lossy(&line);
            say(&line);
            look(&line);
        }
    }
    let status = child.wait().map_err(|source| unreadable(command, source))?;
    Ok(status.success())
}

/// Runs a command silently; its standard output if it succeeded.
pub fn output(command: &mut Command) -> Result<String, Failure> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| not_started(command, source))?;
    if !output.status.success() {
        return Err(Failure::Program(format!("`{}` failed", line(command))));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn not_started(command: &Command, source: std::io::Error) -> Failure {
    Failure::Start {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    }
}

fn unreadable(command: &Command, source: std::io::Error) -> Failure {
    Failure::Read {
        path: format!("the output of {}", line(command)),
        source,
    }
}

fn shown(command: &Command) -> String {
    format!("   $ {}", line(command))
}

/// The command as one would type it, with the variables it sets.
fn line(command: &Command) -> String {
    let mut words: Vec<String> = Vec::new();
    for (name, value) in command.get_envs() {
        let Some(value) = value else { continue };
        let value = value.to_string_lossy();
        words.push(format!("{}={}", name.to_string_lossy(), quoted(&value)));
    }
    let program = Path::new(command.get_program())
        .file_stem()
        .unwrap_or(OsStr::new("cargo"));
    words.push(program.to_string_lossy().into_owned());
    words.extend(
        command
            .get_args()
            .map(|argument| quoted(&argument.to_string_lossy())),
    );
    words.join(" ")
}

fn quoted(word: &str) -> String {
    if word.is_empty() || word.contains(char::is_whitespace) {
        format!("'{word}'")
    } else {
        word.to_owned()
    }
}

/// The packages of the workspace and where they lie.
#[derive(Debug, Deserialize)]
pub struct Workspace {
    /// The directory of the workspace's manifest.
    #[serde(rename = "workspace_root")]
    pub root: PathBuf,
    /// The target directory, which may lie anywhere.
    #[serde(rename = "target_directory")]
    pub target: PathBuf,
    /// The workspace's own packages.
    pub packages: Vec<Package>,
}

impl Workspace {
    /// Asks cargo about the workspace that the current directory belongs to.
    pub fn load() -> Result<Self, Failure> {
        let mut metadata = command();
        metadata.args(["metadata", "--format-version", "1", "--no-deps", "--locked"]);
        Self::parse(&output(&mut metadata)?)
    }

    /// Reads what `cargo metadata --format-version 1 --no-deps` prints.
    pub fn parse(json: &str) -> Result<Self, Failure> {
        let mut workspace: Self = serde_json::from_str(json).map_err(Failure::Metadata)?;
        for package in &mut workspace.packages {
            let manifest = Path::new(&package.manifest_path);
            let folder = manifest.parent().unwrap_or(manifest);
            let folder = folder.strip_prefix(&workspace.root).unwrap_or(folder);
            package.folder = folder.to_string_lossy().replace('\\', "/");
        }
        workspace
            .packages
            .sort_by(|one, other| one.folder.cmp(&other.folder));
        Ok(workspace)
    }

    /// The packages that others import: everything below `crates`.
    pub fn libraries(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| package.folder.starts_with("crates/"))
    }
}

/// One package of the workspace.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// The oldest compiler it declares to work with.
    pub rust_version: Option<String>,
    /// Its features and what each turns on.
    pub features: BTreeMap<String, Vec<String>>,
    /// Everything that it names in its manifest, development and build included.
    pub dependencies: Vec<Dependency>,
    /// Its directory, relative to the root, with `/` between the parts.
    #[serde(skip)]
    pub folder: String,
    manifest_path: String,
}

/// One line under a package's dependencies.
#[derive(Debug, Deserialize)]
pub struct Dependency {
    /// The name of the package depended on.
    pub name: String,
    /// What the package calls it, if it calls it differently.
    pub rename: Option<String>,
    /// Where it comes from; nothing for a path.
    pub source: Option<String>,
    /// Nothing for a normal one, else `dev` or `build`.
    pub kind: Option<String>,
    /// Whether a feature must turn it on.
    pub optional: bool,
    /// The platform or cfg it is confined to.
    pub target: Option<String>,
}

impl Dependency {
    /// The name that the package's features use for it.
    pub fn local_name(&self) -> &str {
        self.rename.as_deref().unwrap_or(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_shows_variables_and_quotes_words() {
        let mut command = Command::new("/some/where/cargo");
        command
            .env("RUSTDOCFLAGS", "-D warnings")
            .env_remove("RUSTFLAGS")
            .args(["doc", "--no-deps"]);
        assert_eq!(
            line(&command),
            "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps"
        );
    }

    #[test]
    fn metadata_gives_folders_relative_to_the_root() {
        let workspace = Workspace::parse(
            r#"{"workspace_root": "/p", "target_directory": "/t", "packages": [
                {"name": "xtask", "rust_version": null, "features": {}, "dependencies": [],
                 "manifest_path": "/p/xtask/Cargo.toml"},
                {"name": "a", "rust_version": "1.85", "features": {}, "dependencies": [],
                 "manifest_path": "/p/crates/a/Cargo.toml"}]}"#,
        )
        .unwrap();
        let folders: Vec<&str> = workspace
            .packages
            .iter()
            .map(|p| p.folder.as_str())
            .collect();
        assert_eq!(folders, ["crates/a", "xtask"]);
        let libraries: Vec<&str> = workspace.libraries().map(|p| p.name.as_str()).collect();
        assert_eq!(libraries, ["a"]);
    }

    #[test]
    fn metadata_that_is_none_is_an_error() {
        assert!(matches!(Workspace::parse("{}"), Err(Failure::Metadata(_))));
    }

    #[test]
    fn output_of_a_program_that_is_not_there_names_it() {
        let failure = output(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(failure.to_string().contains("`no-such-program-here`"));
    }
}
