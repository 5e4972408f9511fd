//! Workflows call the project's own commands, so that whatever they do can be done by hand.
//!
//! A `run:` line is one of: `cargo xtask …`, `.ci/run`, or the installation of Debian packages, with
//! nothing behind a semicolon or a pipe. The only actions are those of the forge itself. The reader
//! knows no more YAML than that, and what it cannot read is a problem: the rule fails closed.

use super::{File, Problem};

/// What a line may begin with, up to a space or its end.
const COMMANDS: &[&str] = &[
    "cargo xtask",
    ".ci/run",
    "apt-get update",
    "apt-get install",
    "sudo apt-get update",
    "sudo apt-get install",
];

/// What joins another command to a line.
const JOINERS: &[char] = &[';', '&', '|', '<', '>', '`', '\\'];

/// Lines of workflows that do something of their own.
pub fn problems(files: &[File]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files {
        if file.path.starts_with(".github/workflows/") {
            problems.extend(in_workflow(&file.path, &file.text));
        }
    }
    problems
}

fn in_workflow(path: &str, text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    // The column of the key whose block of lines is being read.
    let mut block: Option<usize> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let content = line.trim();
        let column = line.len() - line.trim_start().len();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if let Some(key) = block {
            if column > key {
                problems.extend(command(path, number, content));
                continue;
            }
            block = None;
        }
        let entry = content.trim_start_matches(['-', ' ']);
        let column = line.len() - entry.len() - (line.len() - line.trim_end().len());
        if let Some(value) = entry.strip_prefix("run:") {
            let value = value.trim();
            if value.starts_with(['|', '>']) {
                block = Some(column);
            } else {
                problems.extend(command(path, number, value));
            }
        } else if let Some(action) = entry.strip_prefix("uses:") {
            if !action.trim().starts_with("actions/") {
                let message = format!("uses `{}`; write it as `cargo xtask …`", action.trim());
                problems.push(Problem::at_line(path, number, message));
            }
        } else if [
            "run:", "run\"", "run'", "run :", "uses:", "uses\"", "uses'", "uses :",
        ]
        .iter()
        .any(|key| entry.contains(key))
        {
            let message = "is not understood; write `run:` or `uses:` first on its line";
            problems.push(Problem::at_line(path, number, message));
        }
    }
    problems
}

fn command(path: &str, line: usize, command: &str) -> Option<Problem> {
    let known = COMMANDS.iter().any(|start| {
        command
            .strip_prefix(start)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    });
    let joined = command.contains(JOINERS) || command.contains("$(");
    (!known || joined).then(|| {
        let message =
            format!("runs `{command}`; write it as `cargo xtask …`, so that it can be run by hand");
        Problem::at_line(path, line, message)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, shown};
    use super::*;

    fn workflow(steps: &str) -> Vec<String> {
        let text = format!("on: [push]\njobs:\n  check:\n    steps:\n{steps}");
        shown(problems(&[file(".github/workflows/ci.yml", &text)]))
    }

    #[test]
    fn the_projects_own_commands_are_fine() {
        for steps in [
            "      - run: cargo xtask check\n",
            "      - name: check\n        run: cargo xtask check\n",
            "      - uses: actions/checkout@v4\n      - run: .ci/run\n",
            "      - run: sudo apt-get install --yes llvm\n",
            "      - run: |\n          # first\n          cargo xtask check\n\n          .ci/run\n",
            "      - run: cargo xtask fuzz --seconds ${{ matrix.seconds }}\n",
        ] {
            assert_eq!(workflow(steps), [""; 0], "{steps}");
        }
    }

    #[test]
    fn anything_else_is_a_problem() {
        for steps in [
            "      - run: cargo test\n",
            "      - run: cargo xtasks\n",
            "      - run: cargo xtask check && cargo test\n",
            "      - run: cargo xtask check; cargo test\n",
            "      - run: cargo xtask check $(cat x)\n",
            "      - run: ./.ci/run\n",
            "      - run: |\n          cargo xtask check\n          cargo test\n",
            "      - run: >-\n          cargo test\n      - uses: actions/checkout@v4\n",
            "      - name: x\n        run: |\n          cargo test\n",
            "      - { name: x, run: cargo test }\n",
            "      - \"run\": cargo test\n",
            "      - run : cargo test\n",
            "      - uses: somebody/something@v1\n",
        ] {
            assert_eq!(workflow(steps).len(), 1, "{steps}");
        }
    }

    #[test]
    fn block_ends_where_its_indentation_ends() {
        let steps = "      - run: |\n          cargo xtask check\n        name: cargo test\n";
        assert_eq!(workflow(steps), [""; 0]);
    }

    #[test]
    fn problem_names_file_and_line() {
        let problems = workflow("      - run: cargo test\n");
        assert!(problems[0].starts_with(".github/workflows/ci.yml:5: runs `cargo test`"));
    }

    #[test]
    fn other_yaml_is_not_a_workflow() {
        assert_eq!(
            shown(problems(&[file("docs/a.yml", "run: cargo test")])),
            [""; 0]
        );
    }
}
