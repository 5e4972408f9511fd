//! The libraries, their programs, the project's commands and the demo build with the oldest compiler
//! that they declare.
//!
//! The compiler is the one that `COUNTERSIGN_MSRV_RUSTC` names, else one that rustup has. Exactly
//! the declared minor version will do: a newer one proves nothing. With neither, the step is
//! skipped and says how to get one; a variable that names the wrong compiler is a failure.

use std::collections::BTreeSet;
use std::ffi::OsString;

use super::Outcome;
use crate::cargo::{self, Workspace};
use crate::compiler;
use crate::failure::Failure;

/// Names a compiler of the declared version.
const VARIABLE: &str = "COUNTERSIGN_MSRV_RUSTC";

/// Checks the libraries and their programs with that compiler, without and with all features, then
/// the project's commands and the demo.
pub fn run(workspace: &Workspace) -> Result<Outcome, Failure> {
    let version = match declared(workspace) {
        Ok(version) => version,
        Err(message) => return Ok(Outcome::Failed(message)),
    };
    let compiler = match find(&version, std::env::var_os(VARIABLE))? {
        Found::Compiler(compiler) => compiler,
        Found::Wrong(message) => return Ok(Outcome::Failed(message)),
        Found::Nothing => {
            return Ok(Outcome::Skipped(format!(
                "no compiler {version} here; run `rustup toolchain install {version}`, or set \
                 `{VARIABLE}` to the path of its rustc"
            )));
        }
    };
    let mut passed = true;
    for arguments in commands(workspace) {
        let mut command = cargo::command();
        command.current_dir(&workspace.root).env("RUSTC", &compiler);
        // Artefacts of two compilers in one directory would throw each other out.
        command.env("CARGO_TARGET_DIR", workspace.target.join("msrv"));
        command.args(arguments);
        passed &= cargo::run(&mut command)?;
    }
    let remark = format!("rustc {version}");
    Ok(if passed {
        Outcome::Passed(remark)
    } else {
        Outcome::Failed(remark)
    })
}

/// What cargo is told. A program that wants a feature is built where that feature is on.
fn commands(workspace: &Workspace) -> Vec<Vec<&str>> {
    let mut commands = Vec::new();
    for features in ["--no-default-features", "--all-features"] {
        let mut arguments = vec!["check", "--lib", "--bins", "--locked", features];
        for library in workspace.libraries() {
            arguments.extend(["--package", &library.name]);
        }
        commands.push(arguments);
    }
    let of_clone = ["--package", "xtask", "--bins", "--example", "demo"];
    commands.push([&["check", "--locked"], &of_clone[..]].concat());
    commands
}

/// The one version that all libraries declare.
fn declared(workspace: &Workspace) -> Result<String, String> {
    let mut versions = BTreeSet::new();
    for library in workspace.libraries() {
        match &library.rust_version {
            Some(version) => versions.insert(minor(version)),
            None => return Err(format!("`{}` declares no rust-version", library.name)),
        };
    }
    match (versions.pop_first(), versions.pop_first()) {
        (Some(version), None) => Ok(version.to_owned()),
        (Some(one), Some(other)) => Err(format!(
            "libraries declare different versions, `{one}` and `{other}`; take \
             `rust-version.workspace = true` in each"
        )),
        (None, _) => Err("there is no library".into()),
    }
}

enum Found {
    Compiler(OsString),
    Wrong(String),
    Nothing,
}

fn find(version: &str, named: Option<OsString>) -> Result<Found, Failure> {
    if let Some(compiler) = named.filter(|compiler| !compiler.is_empty()) {
        let shown = compiler.to_string_lossy().into_owned();
        return Ok(match compiler::release(&compiler) {
            Some(actual) if minor(&actual) == version => Found::Compiler(compiler),
            Some(actual) => Found::Wrong(format!(
                "`{VARIABLE}` names `{shown}`, which is {actual}; name a {version}"
            )),
            None => Found::Wrong(format!(
                "`{VARIABLE}` names `{shown}`, which does not run; name a rustc {version}"
            )),
        });
    }
    for toolchain in matching(compiler::toolchains(), version) {
        let Some(path) = compiler::of_toolchain(&toolchain) else {
            continue;
        };
        let compiler = path.into_os_string();
        if compiler::release(&compiler).is_some_and(|actual| minor(&actual) == version) {
            return Ok(Found::Compiler(compiler));
        }
    }
    Ok(Found::Nothing)
}

/// The toolchains whose names are of this minor version.
fn matching(toolchains: Vec<String>, version: &str) -> Vec<String> {
    let is_of = |name: &str| name.split('-').next().map(minor) == Some(version);
    toolchains.into_iter().filter(|name| is_of(name)).collect()
}

/// `1.85` of `1.85` and of `1.85.1`.
fn minor(version: &str) -> &str {
    match version.match_indices('.').nth(1) {
        Some((end, _)) => version.get(..end).unwrap_or(version),
        None => version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(versions: &[&str]) -> Workspace {
        let packages: Vec<String> = versions
            .iter()
            .enumerate()
            .map(|(n, version)| {
                format!(
                    r#"{{"name": "p{n}", "rust_version": {version}, "features": {{}},
                        "dependencies": [], "manifest_path": "/p/crates/p{n}/Cargo.toml"}}"#
                )
            })
            .collect();
        Workspace::parse(&format!(
            r#"{{"workspace_root": "/p", "target_directory": "/t", "packages": [{}]}}"#,
            packages.join(",")
        ))
        .unwrap()
    }

    #[test]
    fn minor_version_drops_the_patch() {
        assert_eq!(minor("1.85.1"), "1.85");
        assert_eq!(minor("1.85"), "1.85");
        assert_eq!(minor("1.9.0-nightly"), "1.9");
    }

    #[test]
    fn every_library_is_checked_with_its_programs_and_all_features() {
        let workspace = workspace(&[r#""1.85""#, r#""1.85""#]);
        let commands = commands(&workspace);
        for name in ["p0", "p1"] {
            let of_it = commands.iter().filter(|command| command.contains(&name));
            let whole = |command: &&Vec<&str>| {
                ["--lib", "--bins", "--all-features"].map(|word| command.contains(&word))
                    == [true; 3]
            };
            assert_eq!(of_it.filter(whole).count(), 1, "{name}");
        }
        assert!(commands.iter().any(|command| command.contains(&"xtask")));
    }

    #[test]
    fn libraries_must_declare_one_version() {
        let good = declared(&workspace(&[r#""1.85""#, r#""1.85.0""#]));
        assert_eq!(good.as_deref(), Ok("1.85"));
        assert!(declared(&workspace(&[r#""1.85""#, r#""1.86""#])).is_err());
        assert!(
            declared(&workspace(&[r#""1.85""#, "null"]))
                .unwrap_err()
                .contains("`p1`")
        );
        assert!(declared(&workspace(&[])).is_err());
    }

    #[test]
    fn toolchains_are_matched_by_number_and_not_by_prefix() {
        let toolchains = [
            "stable-x86_64-unknown-linux-gnu",
            "1.85.1-x86_64-unknown-linux-gnu",
            "1.85-aarch64-apple-darwin",
            "1.8-x86_64-unknown-linux-gnu",
            "1.850.0-x86_64-unknown-linux-gnu",
        ];
        let expected = toolchains.get(1..3).unwrap();
        assert_eq!(
            matching(toolchains.map(Into::into).into(), "1.85"),
            expected
        );
    }

    #[test]
    fn named_compiler_must_run() {
        let found = find("1.85", Some("no-such-compiler-here".into())).unwrap();
        assert!(matches!(found, Found::Wrong(message) if message.contains("does not run")));
    }

    #[test]
    fn named_compiler_must_be_of_the_version() {
        let running = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let found = find("1.0", Some(running)).unwrap();
        assert!(matches!(found, Found::Wrong(message) if message.contains("name a 1.0")));
    }
}
