//! The sessions of `docs/policy-tool.md`: each command is run, and prints what the document says.
//!
//! A block `json NAME` is a file; in a block `console`, what follows `$` is typed, and what follows
//! until the next is what comes of it, standard output first.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod tool;

use std::fs;
use std::path::Path;

use tool::{directory, finish, program};

#[test]
fn every_session_prints_what_the_document_says() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/policy-tool.md");
    let document = fs::read_to_string(document).unwrap();
    let folder = directory("documentation");
    let (mut files, mut commands) = (0, 0);
    for (info, text) in blocks(&document) {
        if let Some(name) = info.strip_prefix("json ") {
            fs::write(folder.join(name), text).unwrap();
            files += 1;
        } else if info == "console" {
            let mut code = None;
            for (typed, printed) in sessions(&text) {
                let came = if typed == "echo $?" {
                    format!("{}\n", code.expect("a command comes first"))
                } else {
                    let ran = type_in(typed, &folder);
                    code = Some(ran.code);
                    ran.stdout + &ran.stderr
                };
                assert_eq!(came, printed, "`{typed}` prints what the document says");
                commands += 1;
            }
        }
    }
    println!("{commands} commands over {files} files");
    assert!(files >= 4 && commands >= 10, "the document has sessions");
}

/// The blocks of code: what stands after the fence, and the text.
fn blocks(document: &str) -> Vec<(&str, String)> {
    let mut blocks = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let text = lines.by_ref().take_while(|line| *line != "```");
            blocks.push((info, text.map(|line| format!("{line}\n")).collect()));
        }
    }
    blocks
}

/// What is typed, and what is printed then.
fn sessions(text: &str) -> Vec<(&str, String)> {
    let mut sessions: Vec<(&str, String)> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("$ ") {
            Some(typed) => sessions.push((typed, String::new())),
            None => {
                let (_, printed) = sessions.last_mut().expect("something is typed first");
                *printed += line;
                *printed += "\n";
            }
        }
    }
    sessions
}

/// Runs `countersign-policy …`, with `< FILE` for standard input.
fn type_in(typed: &str, folder: &Path) -> tool::Ran {
    let (typed, stdin) = match typed.split_once(" < ") {
        Some((typed, file)) => (typed, fs::read(folder.join(file)).unwrap()),
        None => (typed, Vec::new()),
    };
    let mut words = typed.split_whitespace();
    assert_eq!(words.next(), Some("countersign-policy"), "`{typed}`");
    let mut command = program();
    command.args(words).current_dir(folder);
    finish(command, &stdin)
}
