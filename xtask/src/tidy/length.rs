//! No file is longer than one can hold in mind.

use super::{File, Problem};

/// About 500 lines is what to aim at; this is where it ends.
const MOST_LINES: usize = 800;

/// Rust files that are too long.
pub fn problems(files: &[File]) -> Vec<Problem> {
    let lines = |file: &File| file.text.lines().count();
    files
        .iter()
        .filter(|file| file.has_extension(&["rs"]) && lines(file) > MOST_LINES)
        .map(|file| {
            let message = format!(
                "has {} lines, {MOST_LINES} is the limit; split it by what its parts are for, and \
                 aim at 500",
                lines(file)
            );
            Problem::at(&file.path, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, shown};
    use super::*;

    #[test]
    fn the_limit_itself_is_fine_and_one_line_more_is_a_problem() {
        let long = |lines: usize| file("crates/core/src/id.rs", &"x\n".repeat(lines));
        assert_eq!(shown(problems(&[long(MOST_LINES)])), [""; 0]);
        let problems = shown(problems(&[long(MOST_LINES + 1)]));
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("has 801 lines"), "{problems:?}");
    }

    #[test]
    fn only_rust_is_counted() {
        assert_eq!(
            shown(problems(&[file("docs/reference.md", &"x\n".repeat(900))])),
            [""; 0]
        );
    }
}
