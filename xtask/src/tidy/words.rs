//! Nothing is left to do that only a remark in the source remembers.

use super::{File, Problem};

/// Marks of unfinished work.
const MARKS: &[&str] = &["TODO", "FIXME", "todo!", "unimplemented!"];

/// Marks of unfinished work in crates and documents.
pub fn problems(files: &[File]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files {
        if !covered(&file.path) {
            continue;
        }
        for (number, line) in (1..).zip(file.text.lines()) {
            for mark in MARKS.iter().filter(|mark| holds(line, mark)) {
                let message = format!("`{mark}` is left; do it, or make it an issue");
                problems.push(Problem::at_line(&file.path, number, message));
            }
        }
    }
    problems
}

/// The crates, the documents, and the documents at the root.
fn covered(path: &str) -> bool {
    path.starts_with("crates/")
        || path.starts_with("docs/")
        || (path.ends_with(".md") && !path.contains('/'))
}

/// Whether the mark stands there as a word of its own.
fn holds(line: &str, mark: &str) -> bool {
    line.match_indices(mark).any(|(start, _)| {
        let before = line.get(..start).and_then(|text| text.chars().next_back());
        let after = line
            .get(start + mark.len()..)
            .and_then(|text| text.chars().next());
        let part_of_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !part_of_word(before) && (mark.ends_with('!') || !part_of_word(after))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, shown};
    use super::*;

    #[test]
    fn marks_are_problems_with_their_line() {
        for line in [
            "// TODO: later",
            "(FIXME)",
            "    todo!()",
            "unimplemented!(\"x\")",
            "TODO",
        ] {
            let problems = shown(problems(&[file(
                "crates/core/src/id.rs",
                &format!("\n{line}"),
            )]));
            assert_eq!(problems.len(), 1, "{line}");
            assert!(
                problems[0].starts_with("crates/core/src/id.rs:2: "),
                "{problems:?}"
            );
        }
        assert_eq!(problems(&[file("docs/a.md", "TODO")]).len(), 1);
        assert_eq!(problems(&[file("README.md", "TODO")]).len(), 1);
    }

    #[test]
    fn words_that_hold_a_mark_are_none() {
        for line in [
            "MASTODON_TODOS",
            "to do",
            "let todo = 1;",
            "PRETODO",
            "mytodo!()",
            "TODO_X",
        ] {
            assert_eq!(
                shown(problems(&[file("docs/a.md", line)])),
                [""; 0],
                "{line}"
            );
        }
    }

    #[test]
    fn the_rule_may_name_what_it_forbids() {
        assert_eq!(
            shown(problems(&[file("xtask/src/tidy/words.rs", "TODO")])),
            [""; 0]
        );
    }
}
