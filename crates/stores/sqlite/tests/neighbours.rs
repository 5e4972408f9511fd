//! The engine that is built in, and the others that a service may use beside it.
//!
//! A program has one SQLite. Cargo refuses two, so what a service takes besides must agree with the
//! range of versions that this crate takes. What docs/backends.md says of that is tried here, with
//! packages that are made for it: resolved, and where they resolve, compiled. Where no registry can
//! be reached, that is skipped by name.

#![cfg(all(feature = "policy", feature = "request", feature = "breakglass"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout
)]

use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_sqlite::{Database, EngineError, OpenError, Options, SqliteError};

mod common;

/// Earlier ones can lose commits when two connections commit and checkpoint at once.
const LEAST: i32 = 3_051_003;

#[test]
fn the_engine_is_none_that_can_lose_commits_at_a_checkpoint() {
    assert!(
        rusqlite::version_number() >= LEAST,
        "SQLite {} is built in",
        rusqlite::version()
    );
    let (_folder, path) = common::file();
    assert!(Database::open(&path, &Options::default()).is_ok());
}

/// An open as it fails: with what SQLite said, in a type of this crate.
#[test]
fn the_librarys_error_is_not_to_be_had_from_ours() {
    let (_folder, path) = common::file();
    let missing = path.join("countersign.db");
    let failed = Database::open(&missing, &Options::default()).unwrap_err();
    let OpenError::Engine { cause, .. } = &failed else {
        panic!("{failed}");
    };
    let EngineError::CannotOpen(said) = cause else {
        panic!("{failed}");
    };
    let said: &SqliteError = said;
    assert!(said.source().is_none());
    assert!(said.to_string().contains("unable to open"), "{said}");
    let mut error: Option<&dyn std::error::Error> = Some(&failed);
    let mut told = String::new();
    while let Some(found) = error {
        assert!(!found.is::<rusqlite::Error>(), "{found}");
        told += &found.to_string();
        error = found.source();
    }
    assert_eq!(told.matches("unable to open").count(), 1, "{told}");
}

/// What a public item names is public too. A text that begins with `pub` is looked at to its end,
/// fields of structs are if they are public, variants of enums always.
#[test]
fn no_type_of_the_library_is_in_the_public_interface() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut looked = 0;
    for path in rust_files(&sources) {
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let names = imported(text);
        let mut within_enum = false;
        let mut item = String::new();
        for line in text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
        {
            let start = line.trim_start();
            if start.starts_with("pub ") && item.is_empty() {
                item = " ".to_owned();
            }
            if !item.is_empty() {
                item.push_str(line);
            }
            within_enum |= start.starts_with("pub enum");
            if within_enum || (!item.is_empty() && line.ends_with(['{', ';', ','])) {
                let of_library = names
                    .iter()
                    .find(|name| word(line, name) || word(&item, name));
                assert!(
                    of_library.is_none() || start.starts_with("pub(crate)"),
                    "{}: `{}` names `{}` of the library",
                    path.display(),
                    start,
                    of_library.unwrap()
                );
                looked += 1;
                item.clear();
            }
            within_enum &= line != "}";
        }
        let conversion = text.lines().find(|line| {
            line.starts_with("impl")
                && line.contains("rusqlite::")
                && !line.contains("for Failure")
                && !line.contains("for Stop<")
                && !line.starts_with("impl FromSql for")
        });
        assert_eq!(conversion, None, "{}", path.display());
    }
    assert!(
        looked > 100,
        "the public interface has more than {looked} lines"
    );
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files
}

/// The names by which a file knows the library and its types.
fn imported(text: &str) -> Vec<String> {
    let mut names = vec!["rusqlite".to_owned()];
    for import in text.split("use rusqlite::").skip(1) {
        let import = import.split(';').next().unwrap();
        let words = import.split(|c: char| !c.is_alphanumeric() && c != '_');
        let types = words.filter(|word| word.starts_with(|c: char| c.is_uppercase()));
        names.extend(types.map(str::to_owned));
    }
    names
}

fn word(line: &str, name: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|word| word == name)
}

/// What a service takes beside this crate: as it stands in its manifest, and a use of it.
struct Neighbour {
    name: &'static str,
    dependency: &'static str,
    program: &'static str,
    /// The oldest compiler that it declares, as its minor version.
    rust: u32,
}

const BESIDE_RUSQLITE: &str = "let own = rusqlite::Connection::open_in_memory().unwrap();
    own.execute_batch(\"SELECT 1\").unwrap();";

/// Those of the document that go together.
const TOGETHER: [Neighbour; 4] = [
    Neighbour {
        name: "rusqlite-oldest",
        dependency: "rusqlite = { version = \"0.39\", default-features = false }",
        program: BESIDE_RUSQLITE,
        rust: 85,
    },
    Neighbour {
        name: "rusqlite-newest",
        dependency: "rusqlite = { version = \"0.43\", default-features = false }",
        program: BESIDE_RUSQLITE,
        rust: 89,
    },
    Neighbour {
        name: "sqlx",
        dependency: "sqlx = { version = \"0.9\", default-features = false, \
                     features = [\"sqlite\", \"runtime-tokio\"] }",
        program: "let _ = sqlx::sqlite::SqlitePool::connect_lazy(\"sqlite::memory:\");",
        rust: 94,
    },
    Neighbour {
        name: "diesel",
        dependency: "diesel = { version = \"2.3.14\", default-features = false, \
                     features = [\"sqlite\"] }",
        program: "use diesel::Connection as _;
    let _ = diesel::SqliteConnection::establish(\":memory:\");",
        rust: 86,
    },
];

/// Those of which cargo says that they cannot be in one program with this crate.
const APART: [(&str, &str); 2] = [
    (
        "rusqlite-before",
        "rusqlite = { version = \"0.38\", default-features = false }",
    ),
    (
        "sqlx-before",
        "sqlx = { version = \"0.8\", default-features = false, features = [\"sqlite\"] }",
    ),
];

/// A package that takes this crate and another; nothing is written among the sources.
fn package(name: &str, dependency: &str, program: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("neighbours")
        .join(name);
    fs::create_dir_all(folder.join("src")).unwrap();
    let own = env!("CARGO_MANIFEST_DIR");
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\ncountersign-sqlite = {{ path = {own:?} }}\n{dependency}\n"
    );
    let program = format!(
        "fn main() {{\n    let options = countersign_sqlite::Options::default();\n    \
         let _ = countersign_sqlite::Database::open(\"countersign.db\", &options);\n    {program}\n}}\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::write(folder.join("src/main.rs"), program).unwrap();
    folder
}

/// Has cargo do something for a package; what it said if it failed.
fn cargo(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(folder);
    // All of them share what they have in common; what this build was told is not for them.
    command.env("CARGO_TARGET_DIR", folder.with_file_name("target"));
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER"] {
        command.env_remove(variable);
    }
    let output = command.output().unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Whether what failed is that no registry can be reached, which says nothing about versions.
fn unreachable(said: &str) -> bool {
    [
        "failed to download",
        "failed to query replaced source",
        "failed to get successful HTTP response",
        "Could not resolve host",
        "you're using offline mode",
        "--offline",
        "attempting to make an HTTP request",
    ]
    .iter()
    .any(|words| said.contains(words))
}

fn compiler() -> u32 {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(rustc).arg("--version").output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    said.split('.').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_service_can_use_the_neighbours_that_the_document_names() {
    for neighbour in TOGETHER {
        let name = neighbour.name;
        let folder = package(name, neighbour.dependency, neighbour.program);
        let _ = fs::remove_file(folder.join("Cargo.lock"));
        match cargo(&folder, &["generate-lockfile"]) {
            Err(said) if unreachable(&said) => {
                println!("neighbours {name}: skipped, no registry can be reached");
                continue;
            }
            result => result.unwrap_or_else(|said| panic!("{name} does not resolve: {said}")),
        }
        let lock = fs::read_to_string(folder.join("Cargo.lock")).unwrap();
        let engines = lock.matches("name = \"libsqlite3-sys\"").count();
        assert_eq!(engines, 1, "{name}: a program has one SQLite");
        if compiler() < neighbour.rust {
            println!(
                "neighbours {name}: resolved, not compiled, it asks for Rust 1.{}",
                neighbour.rust
            );
            continue;
        }
        match cargo(&folder, &["check", "--quiet", "--locked"]) {
            Err(said) if unreachable(&said) => {
                println!("neighbours {name}: resolved, not compiled, no registry can be reached");
            }
            result => result.unwrap_or_else(|said| panic!("{name} does not compile: {said}")),
        }
    }
}

/// The twin: cargo tells one from the other, and the document names what does not go.
#[test]
fn cargo_refuses_the_neighbours_that_the_document_excludes() {
    for (name, dependency) in APART {
        let folder = package(name, dependency, "");
        let _ = fs::remove_file(folder.join("Cargo.lock"));
        let refused = cargo(&folder, &["generate-lockfile"]);
        let said = refused.expect_err("it resolves: say so in docs/backends.md");
        if unreachable(&said) {
            println!("neighbours {name}: skipped, no registry can be reached");
            continue;
        }
        assert!(
            said.contains("links to the native library `sqlite3`"),
            "{name}: {said}"
        );
    }
}
