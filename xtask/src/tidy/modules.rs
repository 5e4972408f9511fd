//! The modules of core are a closed list.
//!
//! Core holds mechanisms that the domain crates share. What is not on the list (a rule, a workflow,
//! a convenience) belongs to one of them.

use std::collections::BTreeSet;

use super::{File, Problem};

/// Exactly these; modules below them are their own business.
const MODULES: &[&str] = &[
    "clock",
    "documents",
    "engine",
    "future",
    "grant",
    "id",
    "names",
    "retry",
    "sync",
    "table",
    "time",
    "version",
    "window",
];

const SOURCE: &str = "crates/core/src/";

/// Modules that are not on the list, and entries of the list without a module.
pub fn problems(files: &[File]) -> Vec<Problem> {
    let mut found = BTreeSet::new();
    let mut problems = Vec::new();
    for file in files {
        let Some(inner) = file
            .path
            .strip_prefix(SOURCE)
            .filter(|_| file.has_extension(&["rs"]))
        else {
            continue;
        };
        if inner == "lib.rs" {
            found.extend(declared(&file.text));
        } else {
            let first = inner.split('/').next().unwrap_or(inner);
            found.insert(first.strip_suffix(".rs").unwrap_or(first));
        }
    }
    for module in &found {
        if !MODULES.contains(module) {
            let message = "is not on core's closed list of modules; it belongs to a domain crate";
            problems.push(Problem::at(format!("{SOURCE}{module}"), message));
        }
    }
    for module in MODULES {
        if !found.contains(module) {
            let message = "is on core's closed list of modules and not there; take it off the \
                           list in xtask/src/tidy/modules.rs";
            problems.push(Problem::at(format!("{SOURCE}{module}"), message));
        }
    }
    problems
}

/// The modules that a file declares.
fn declared(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let line = line.trim();
        let item = match line.strip_prefix("pub") {
            Some(rest) => match rest.strip_prefix('(') {
                Some(scope) => scope.split_once(')')?.1.trim_start(),
                None => rest.trim_start(),
            },
            None => line,
        };
        let rest = item.strip_prefix("mod ")?;
        rest.split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .find(|name| !name.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, shown};
    use super::*;

    fn core() -> Vec<File> {
        let library: String = MODULES
            .iter()
            .map(|name| format!("pub mod {name};\n"))
            .collect();
        let mut files = vec![file("crates/core/src/lib.rs", &library)];
        for name in MODULES {
            files.push(file(&format!("{SOURCE}{name}.rs"), "//! It.\n"));
        }
        files
    }

    #[test]
    fn the_list_itself_is_fine_and_so_are_modules_below_it() {
        let mut files = core();
        files.push(file("crates/core/src/table/index.rs", ""));
        files.push(file("crates/core/tests/anything.rs", ""));
        files.push(file("crates/policy/src/engine.rs", ""));
        assert_eq!(shown(problems(&files)), [""; 0]);
    }

    #[test]
    fn another_file_in_core_is_a_problem() {
        for path in ["workflow.rs", "workflow/mod.rs", "main.rs", "bin/tool.rs"] {
            let mut files = core();
            files.push(file(&format!("{SOURCE}{path}"), ""));
            assert_eq!(problems(&files).len(), 1, "{path}");
        }
    }

    #[test]
    fn another_module_declared_in_core_is_a_problem() {
        for line in [
            "mod workflow {",
            "pub mod workflow;",
            "pub(crate) mod workflow;",
            "#[path = \"../x.rs\"]\nmod workflow;",
        ] {
            let mut files = core();
            files[0].text.push_str(line);
            assert_eq!(problems(&files).len(), 1, "{line}");
        }
    }

    #[test]
    fn words_that_look_like_modules_are_none() {
        let mut files = core();
        files[0]
            .text
            .push_str("// mod workflow;\nuse modular::x;\nfn model() {}\npublish!();\n");
        assert_eq!(shown(problems(&files)), [""; 0]);
    }

    #[test]
    fn module_of_the_list_that_is_not_there_is_a_problem() {
        let mut files = core();
        files.retain(|file| !file.path.ends_with("/retry.rs"));
        assert_eq!(
            shown(problems(&files)),
            [""; 0],
            "declared is there; the compiler sees to it"
        );
        files[0].text = files[0].text.replace("pub mod retry;\n", "");
        let problems = shown(problems(&files));
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].starts_with("crates/core/src/retry: "),
            "{problems:?}"
        );
    }
}
