//! Every package keeps the workspace's lints, and the workspace forbids unsafe code.
//!
//! Cargo does not say which lints a package has, so this one rule reads manifests, with a reader
//! that knows tables and keys and no more. A manifest that says it in another way than the usual
//! one is a problem: the rule fails closed.

use super::{File, Problem};
use crate::cargo::Package;

/// Packages without the workspace's lints, and a workspace that does not forbid unsafe code.
pub fn problems(packages: &[Package], files: &[File]) -> Vec<Problem> {
    let text = |path: &str| {
        files
            .iter()
            .find(|file| file.path == path)
            .map_or("", |file| file.text.as_str())
    };
    let mut problems = Vec::new();
    for package in packages {
        let manifest = format!("{}/Cargo.toml", package.folder);
        if value(text(&manifest), "lints", "workspace") != Some("true") {
            let message = "does not keep the workspace's lints; add `[lints]` with \
                           `workspace = true`";
            problems.push(Problem::at(manifest, message));
        }
    }
    let root = "Cargo.toml";
    if value(text(root), "workspace.lints.rust", "unsafe_code") != Some("\"forbid\"") {
        let message = "does not forbid unsafe code; add `unsafe_code = \"forbid\"` to \
                       `[workspace.lints.rust]`";
        problems.push(Problem::at(root, message));
    }
    problems
}

/// The value of a key in a table, as it is written.
fn value<'t>(manifest: &'t str, table: &str, key: &str) -> Option<&'t str> {
    let mut current = "";
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            current = header.split(']').next().unwrap_or_default().trim();
        } else if current == table {
            let Some((name, value)) = line.split_once('=') else {
                continue;
            };
            if name.trim() == key {
                return value.split('#').next().map(str::trim);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, packages, shown};
    use super::*;

    const ROOT: &str = "[workspace.lints.rust]\nunsafe_code = \"forbid\" # everywhere\n";

    fn check(root: &str, manifest: &str) -> Vec<String> {
        let files = [
            file("Cargo.toml", root),
            file("crates/core/Cargo.toml", manifest),
        ];
        shown(problems(
            &packages(&[("crates/core", "core", "", "")]),
            &files,
        ))
    }

    #[test]
    fn package_with_the_workspace_lints_is_fine() {
        assert_eq!(
            check(
                ROOT,
                "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"
            ),
            [""; 0]
        );
    }

    #[test]
    fn package_without_them_is_a_problem() {
        for manifest in [
            "",
            "[package]\nname = \"a\"\n",
            "[lints]\nworkspace = false\n",
            "[lints]\n# workspace = true\n",
            "[dependencies]\nworkspace = true\n",
            "[lints]\n[dependencies]\nworkspace = true\n",
            "[lints.rust]\nworkspace = true\n",
        ] {
            let problems = check(ROOT, manifest);
            assert_eq!(problems.len(), 1, "{manifest:?}");
            assert!(
                problems[0].starts_with("crates/core/Cargo.toml: "),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn workspace_that_only_denies_unsafe_code_is_a_problem() {
        let manifest = "[lints]\nworkspace = true\n";
        assert_eq!(check(&ROOT.replace("forbid", "deny"), manifest).len(), 1);
        assert_eq!(check("", manifest).len(), 1);
    }
}
