//! Who may depend on whom.
//!
//! Whoever imports one domain crate compiles none of the others: a domain crate depends on core and
//! on nothing else of the workspace, its tests included. Every package has its place in this table;
//! one without is a problem, so the shape cannot grow unnoticed.

use super::Problem;
use crate::cargo::Package;

/// What a package is, by where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Mechanisms that the domain crates share.
    Core,
    /// One of the crates that users import.
    Domain,
    /// An engine's adapter.
    Store,
    /// The project's own commands, and what they let a fuzzer drive.
    Xtask,
}

/// The role of the package in a folder, if the folder has a place in the project.
pub fn role(folder: &str) -> Option<Role> {
    match folder {
        "crates/core" => Some(Role::Core),
        "crates/policy" | "crates/request" | "crates/breakglass" => Some(Role::Domain),
        "xtask" | "fuzz" => Some(Role::Xtask),
        _ => {
            let name = folder.strip_prefix("crates/stores/")?;
            (!name.is_empty() && !name.contains('/')).then_some(Role::Store)
        }
    }
}

/// Whether a package of one role may depend on a package of another.
fn allowed(from: Role, to: Role) -> bool {
    match from {
        Role::Core => false,
        Role::Domain => to == Role::Core,
        Role::Store => matches!(to, Role::Core | Role::Domain),
        Role::Xtask => true,
    }
}

/// Packages without a place, and dependencies that the table does not allow.
pub fn problems(packages: &[Package]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in packages {
        let Some(from) = role(&package.folder) else {
            problems.push(Problem::at(
                &package.folder,
                "has no place in the workspace's shape; move it, or give it a role in \
                 xtask/src/tidy/edges.rs",
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let Some(target) = packages.iter().find(|other| other.name == dependency.name) else {
                continue;
            };
            let fine = role(&target.folder).is_some_and(|to| allowed(from, to));
            if !fine {
                let kind = match dependency.kind.as_deref() {
                    Some("dev") => "depends for its tests",
                    Some("build") => "depends for its build script",
                    _ => "depends",
                };
                problems.push(Problem::at(
                    &package.folder,
                    format!(
                        "{kind} on `{}`, which a package here may not; share a mechanism through \
                         core, keep the contract where it is",
                        dependency.name
                    ),
                ));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::tests::{packages, shown};
    use super::*;

    const CORE: &str = r#"{"name": "core", "rename": null, "source": null, "kind": null,
        "optional": false, "target": null}"#;

    fn on(name: &str, kind: &str) -> String {
        CORE.replace("\"core\"", &format!("\"{name}\""))
            .replace("\"kind\": null", &format!("\"kind\": {kind}"))
    }

    fn edge(from: (&str, &str), to: (&str, &str), kind: &str) -> Vec<String> {
        let dependency = on(to.1, kind);
        let list = packages(&[(from.0, from.1, &dependency, ""), (to.0, to.1, "", "")]);
        shown(problems(&list))
    }

    const SUPPORT: (&str, &str) = ("crates/core", "core");
    const POLICY: (&str, &str) = ("crates/policy", "policy");
    const REQUEST: (&str, &str) = ("crates/request", "request");
    const SQLITE: (&str, &str) = ("crates/stores/sqlite", "sqlite");
    const XTASK: (&str, &str) = ("xtask", "xtask");

    #[test]
    fn edges_of_the_shape_are_allowed() {
        for (from, to) in [
            (POLICY, SUPPORT),
            (SQLITE, SUPPORT),
            (SQLITE, REQUEST),
            (XTASK, POLICY),
            (XTASK, SQLITE),
        ] {
            for kind in ["null", r#""dev""#] {
                assert_eq!(
                    edge(from, to, kind),
                    [""; 0],
                    "{from:?} may depend on {to:?}"
                );
            }
        }
    }

    #[test]
    fn every_other_edge_is_a_problem() {
        for (from, to) in [
            (SUPPORT, POLICY),
            (POLICY, REQUEST),
            (POLICY, SQLITE),
            (REQUEST, XTASK),
            (SQLITE, ("crates/stores/other", "other")),
            (SQLITE, XTASK),
        ] {
            for kind in ["null", r#""dev""#, r#""build""#] {
                let problems = edge(from, to, kind);
                assert_eq!(problems.len(), 1, "{from:?} must not depend on {to:?}");
                let named = format!("on `{}`", to.1);
                assert!(
                    problems.iter().all(|text| text.contains(&named)),
                    "{problems:?}"
                );
            }
        }
    }

    #[test]
    fn dependencies_from_outside_are_no_edges() {
        let list = packages(&[("crates/core", "core", &on("tokio", "null"), "")]);
        assert_eq!(shown(problems(&list)), [""; 0]);
    }

    #[test]
    fn package_without_a_place_is_a_problem() {
        for folder in [
            "crates/extra",
            "crates/stores/a/b",
            "crates/stores",
            "tools",
        ] {
            let list = packages(&[(folder, "extra", "", "")]);
            assert_eq!(problems(&list).len(), 1, "`{folder}` has no place");
        }
    }
}
