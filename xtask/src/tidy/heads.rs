//! Every module opens with what it is for.

use super::{File, Problem};

/// Source files that do not begin with a line of `//!`.
pub fn problems(files: &[File]) -> Vec<Problem> {
    let sources = files
        .iter()
        .filter(|file| file.has_extension(&["rs"]) && covered(&file.path));
    sources
        .filter(|file| !has_head(&file.text))
        .map(problem)
        .collect()
}

fn problem(file: &File) -> Problem {
    Problem::at(
        &file.path,
        "does not open with `//!` and what the module is for; say it",
    )
}

/// Sources of the crates, and everything of xtask.
fn covered(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(
        parts.as_slice(),
        ["crates", _, "src", ..] | ["crates", "stores", _, "src", ..] | ["xtask", ..]
    )
}

fn has_head(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    first
        .strip_prefix("//!")
        .is_some_and(|head| !head.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, shown};
    use super::*;

    #[test]
    fn module_with_a_head_is_fine() {
        assert_eq!(
            shown(problems(&[file(
                "crates/core/src/id.rs",
                "//! Ids.\n\nfn f() {}\n"
            )])),
            [""; 0]
        );
    }

    #[test]
    fn module_without_a_head_is_a_problem() {
        for text in [
            "",
            "fn f() {}\n",
            "// Ids.\n",
            "//!\n//! Ids.\n",
            "\n//! Ids.\n",
            "/// Id\n",
        ] {
            for path in [
                "crates/core/src/id.rs",
                "crates/stores/sqlite/src/lib.rs",
                "xtask/examples/a.rs",
            ] {
                assert_eq!(problems(&[file(path, text)]).len(), 1, "{path} {text:?}");
            }
        }
    }

    #[test]
    fn other_files_need_none() {
        let files = [
            file("crates/core/tests/a.rs", ""),
            file("crates/core/src/a.md", ""),
        ];
        assert_eq!(shown(problems(&files)), [""; 0]);
    }
}
