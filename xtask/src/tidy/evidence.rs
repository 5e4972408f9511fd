//! What a document says that a test shows, a test shows: tables whose last column is `test` name
//! files and tests that are there.
//!
//! In the last cell of a row, `` `….rs` `` is a file and every other text in backticks is a test of the
//! file before it. A row without a test is a problem, and so is a test that is ignored.

use super::{File, Problem};

/// The document that must have such tables: every defence in it is one that a test shows.
const THREAT_MODEL: &str = "docs/threat-model.md";

/// Rows that name no test, or one that is not there.
pub fn problems(files: &[File]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.has_extension(&["md"])) {
        let rows = rows(&file.text);
        if rows.is_empty() && file.path == THREAT_MODEL {
            let message = "no table has `test` as its last column; name the test of each defence";
            problems.push(Problem::at(&file.path, message));
        }
        for (line, cell) in rows {
            if let Some(message) = wrong(cell, files) {
                problems.push(Problem::at_line(&file.path, line, message));
            }
        }
    }
    problems
}

/// The last cell of each row of the tables in question, with its line.
fn rows(text: &str) -> Vec<(usize, &str)> {
    let (mut rows, mut inside) = (Vec::new(), false);
    for (number, line) in (1..).zip(text.lines()) {
        let row = line.trim().strip_prefix('|');
        let Some(row) = row.and_then(|row| row.strip_suffix('|')) else {
            inside = false;
            continue;
        };
        let cell = row.rsplit('|').next().unwrap_or_default().trim();
        if cell == "test" {
            inside = true;
        } else if inside && (cell.is_empty() || !cell.chars().all(|c| matches!(c, '-' | ':'))) {
            rows.push((number, cell));
        }
    }
    rows
}

/// What is wrong with the cell of a row.
fn wrong(cell: &str, files: &[File]) -> Option<String> {
    let (mut named, mut of) = (0, None);
    for text in cell.split('`').skip(1).step_by(2) {
        if text.ends_with(".rs") {
            of = files.iter().find(|file| file.path == text);
            if of.is_none() {
                return Some(format!(
                    "there is no file `{text}`; name the one with the test"
                ));
            }
            continue;
        }
        let Some(file) = of else {
            return Some(format!("name the file of the test `{text}` before it"));
        };
        if !tests(&file.text).any(|name| name == text) {
            let path = &file.path;
            return Some(format!(
                "`{path}` has no test `{text}` that is run; name one that shows this"
            ));
        }
        named += 1;
    }
    (named == 0).then(|| "no test shows this; name one, or do not claim it".to_owned())
}

/// The names of the tests in a source that are run, and of those that its macro `tests` makes: it
/// has a line for each.
fn tests(text: &str) -> impl Iterator<Item = &str> {
    let (mut is_test, mut is_ignored, mut is_listed) = (false, false, false);
    text.lines().filter_map(move |line| {
        is_listed = (is_listed || line == "macro_rules! tests {") && line != "}";
        let line = line.trim();
        let is_name = |text: &str| {
            let mut letters = text.chars();
            letters
                .next()
                .is_some_and(|first| first.is_ascii_lowercase())
                && letters.all(|letter| letter.is_ascii_lowercase() || letter == '_')
        };
        if is_listed {
            return is_name(line).then_some(line);
        }
        is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
        is_ignored |= line.starts_with("#[ignore");
        let (before, after) = line.split_once("fn ")?;
        if !matches!(before, "" | "async ") {
            return None;
        }
        let is_run = is_test && !is_ignored;
        (is_test, is_ignored) = (false, false);
        let name = after.split(['(', '<']).next()?;
        is_run.then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, shown};
    use super::*;
    use crate::cargo::Workspace;

    const SOURCE: &str = "#[test]\nfn one() {}\n\n#[tokio::test(flavor = \"a\")]\nasync fn two() {}\n\n\
        #[test]\n#[ignore = \"slow\"]\nfn three() {}\n\nfn four() {}\n";

    const LIST: &str = "macro_rules! tests {\n    ($subject:ty) => {\n        suites::tests! { $subject:\n\
        \x20           six\n        }\n    };\n}\n\nfn seven() {\n    eight\n}\n";

    fn in_cell(cell: &str) -> Vec<String> {
        let table = format!("| attack | test |\n|---|---|\n| a | {cell} |\n");
        shown(problems(&[
            file(THREAT_MODEL, &table),
            file("crates/a/tests/a.rs", SOURCE),
            file("crates/a/tests/b.rs", "#[test]\nfn five() {}\n"),
            file("crates/a/tests/suites.rs", LIST),
        ]))
    }

    #[test]
    fn tests_that_are_there_are_fine() {
        for cell in [
            "`crates/a/tests/a.rs`: `one`",
            "`crates/a/tests/a.rs`: `one`, `two`",
            "`crates/a/tests/a.rs`: `two`; `crates/a/tests/b.rs`: `five`",
            "`crates/a/tests/suites.rs`: `six`",
        ] {
            assert_eq!(in_cell(cell), [""; 0], "{cell}");
        }
    }

    #[test]
    fn rows_without_a_test_that_is_run_are_problems() {
        for (cell, said) in [
            ("", "no test shows this"),
            ("by reading", "no test shows this"),
            ("`crates/a/tests/a.rs`", "no test shows this"),
            ("`one`", "name the file of the test `one`"),
            (
                "`crates/a/tests/c.rs`: `one`",
                "no file `crates/a/tests/c.rs`",
            ),
            ("`crates/a/tests/b.rs`: `one`", "no test `one`"),
            ("`crates/a/tests/a.rs`: `one`, `on`", "no test `on`"),
            (
                "`crates/a/tests/a.rs`: `three`",
                "no test `three` that is run",
            ),
            ("`crates/a/tests/a.rs`: `four`", "no test `four`"),
            ("`crates/a/tests/suites.rs`: `seven`", "no test `seven`"),
            ("`crates/a/tests/suites.rs`: `eight`", "no test `eight`"),
        ] {
            let problems = in_cell(cell);
            assert_eq!(problems.len(), 1, "{cell}: {problems:?}");
            assert!(problems[0].starts_with("docs/threat-model.md:3: "));
            assert!(problems[0].contains(said), "{said}: {problems:?}");
        }
    }

    #[test]
    fn other_tables_need_no_tests_and_the_threat_model_needs_a_table() {
        let table = "| a | b |\n|---|---|\n| c | d |\n";
        assert_eq!(shown(problems(&[file("docs/a.md", table)])), [""; 0]);
        assert_eq!(problems(&[file(THREAT_MODEL, table)]).len(), 1);
        let after = format!("| a | test |\n|---|---|\n\n{table}");
        assert_eq!(shown(problems(&[file("docs/a.md", &after)])), [""; 0]);
    }

    #[test]
    fn the_threat_model_of_this_project_names_many_tests() {
        let workspace = Workspace::load().unwrap();
        let text = crate::tree::read(&workspace, THREAT_MODEL).unwrap();
        let rows = rows(&text);
        assert!(rows.len() >= 40, "there are {} defences", rows.len());
    }
}
