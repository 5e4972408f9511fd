//! What the crates that users import bring with them from outside.
//!
//! A default build compiles what is listed here and nothing else. Anything more belongs behind a
//! feature that is off by default, or is a reason to talk first.

use std::collections::BTreeSet;

use super::Problem;
use super::edges::{Role, role};
use crate::cargo::{Dependency, Package};
use crate::check::turned_on;

/// What a default build may depend on, and why.
const ALLOWED: &[(&str, &str)] = &[
    (
        "arc-swap",
        "readers of a cached policy must never wait for a writer",
    ),
    ("chrono", "times, and their arithmetic"),
    ("chrono-tz", "windows are meant in the wall clock of a zone"),
    (
        "foldhash",
        "looking up a name in the cache is a hash and little else",
    ),
    ("getrandom", "ids are random"),
    ("serde", "documents are read and records written"),
    ("serde_json", "the documents are JSON"),
    ("sha2", "a decision names the policy it came from by digest"),
    ("thiserror", "errors are enums with sources"),
    (
        "tokio",
        "a load outlives its caller, and waiting needs a timer",
    ),
];

/// What may be compiled under a cfg that only the project's own commands set.
const UNDER_CFG: &[(&str, &str)] = &[
    ("cfg(countersign_loom)", "loom"),
    ("cfg(countersign_shuttle)", "shuttle"),
];

/// Dependencies of core and the domain crates that are not on the lists.
pub fn problems(packages: &[Package]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in packages {
        if !matches!(role(&package.folder), Some(Role::Core | Role::Domain)) {
            continue;
        }
        let by_default = on_by_default(package);
        for dependency in &package.dependencies {
            let own = packages.iter().any(|other| other.name == dependency.name);
            let used = !dependency.optional || by_default.contains(dependency.local_name());
            if own || dependency.kind.as_deref() == Some("dev") {
                continue;
            }
            if !from_registry(dependency) {
                problems.push(Problem::at(
                    &package.folder,
                    format!(
                        "takes `{}` from a path or a repository, so nobody can publish it; \
                             depend on a released version",
                        dependency.name
                    ),
                ));
            } else if used && !listed(dependency) {
                problems.push(Problem::at(
                    &package.folder,
                    format!(
                        "brings `{}` into a default build; put it behind a feature, or give \
                             the reason in xtask/src/tidy/dependencies.rs and \
                             docs/architecture.md",
                        dependency.name
                    ),
                ));
            }
        }
    }
    problems
}

fn listed(dependency: &Dependency) -> bool {
    let name = dependency.name.as_str();
    let target = dependency.target.as_deref();
    ALLOWED.iter().any(|(allowed, _)| *allowed == name)
        || UNDER_CFG
            .iter()
            .any(|(cfg, allowed)| target == Some(*cfg) && *allowed == name)
}

fn from_registry(dependency: &Dependency) -> bool {
    let source = dependency.source.as_deref().unwrap_or_default();
    source.starts_with("registry+") || source.starts_with("sparse+")
}

/// The optional dependencies that the feature `default` turns on.
fn on_by_default(package: &Package) -> BTreeSet<&str> {
    let features = &package.features;
    let first = features.get_key_value("default").map(|(name, _)| name);
    let values = turned_on(features, first)
        .into_iter()
        .filter_map(|name| features.get(name));
    // `dep:x` and `x/y` turn x on; `x?/y` does not.
    values
        .flatten()
        .filter_map(|value| match value.strip_prefix("dep:") {
            Some(name) => Some(name),
            None => value
                .split_once('/')
                .map(|(name, _)| name)
                .filter(|name| !name.ends_with('?')),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{packages, shown};
    use super::*;

    fn dependency(name: &str, more: &str) -> String {
        let mut fields = vec![format!(r#""name": "{name}""#)];
        for (field, value) in [
            ("rename", "null"),
            ("source", r#""registry+https://registry.example/index""#),
            ("kind", "null"),
            ("optional", "false"),
            ("target", "null"),
        ] {
            if !more.contains(&format!("\"{field}\"")) {
                fields.push(format!(r#""{field}": {value}"#));
            }
        }
        if !more.is_empty() {
            fields.push(more.to_owned());
        }
        format!("{{{}}}", fields.join(", "))
    }

    fn of_policy(dependency: &str, features: &str) -> Vec<String> {
        shown(problems(&packages(&[(
            "crates/policy",
            "policy",
            dependency,
            features,
        )])))
    }

    #[test]
    fn every_entry_has_a_reason() {
        assert!(ALLOWED.iter().all(|(_, reason)| !reason.is_empty()));
        assert!(
            ALLOWED.windows(2).all(|pair| pair[0].0 < pair[1].0),
            "the list is sorted"
        );
    }

    #[test]
    fn listed_dependencies_are_fine() {
        for (name, _) in ALLOWED {
            assert_eq!(of_policy(&dependency(name, ""), ""), [""; 0]);
        }
    }

    #[test]
    fn any_other_dependency_is_a_problem() {
        let problems = of_policy(&dependency("regex", ""), "");
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].starts_with("crates/policy: brings `regex`"),
            "{problems:?}"
        );
        assert_eq!(
            of_policy(&dependency("regex", r#""kind": "build""#), "").len(),
            1
        );
        assert_eq!(
            of_policy(&dependency("regex", r#""target": "cfg(unix)""#), "").len(),
            1
        );
    }

    #[test]
    fn renamed_dependency_is_judged_by_its_own_name() {
        assert_eq!(
            of_policy(&dependency("regex", r#""rename": "serde""#), "").len(),
            1
        );
        assert_eq!(
            of_policy(&dependency("serde", r#""rename": "regex""#), ""),
            [""; 0]
        );
    }

    #[test]
    fn tests_and_other_packages_may_use_more() {
        assert_eq!(
            of_policy(&dependency("proptest", r#""kind": "dev""#), ""),
            [""; 0]
        );
        let store = packages(&[("crates/stores/x", "x", &dependency("sqlite", ""), "")]);
        assert_eq!(shown(problems(&store)), [""; 0]);
    }

    #[test]
    fn optional_dependency_may_be_anything_until_a_default_feature_turns_it_on() {
        let regex = dependency("regex", r#""optional": true"#);
        let named = dependency("regex", r#""optional": true, "rename": "re""#);
        assert_eq!(of_policy(&regex, r#""search": ["dep:regex"]"#), [""; 0]);
        assert_eq!(
            of_policy(&regex, r#""default": ["other?/x"], "a": ["dep:regex"]"#),
            [""; 0]
        );
        for features in [
            r#""default": ["dep:regex"]"#,
            r#""default": ["regex/std"]"#,
            r#""default": ["search"], "search": ["dep:regex"]"#,
            r#""default": ["regex"], "regex": ["dep:regex"]"#,
        ] {
            assert_eq!(of_policy(&regex, features).len(), 1, "{features}");
        }
        assert_eq!(of_policy(&named, r#""default": ["dep:re"]"#).len(), 1);
    }

    #[test]
    fn model_checkers_stay_under_their_cfg() {
        let under = |cfg: &str| format!(r#""target": "cfg({cfg})""#);
        let loom = |cfg: &str| of_policy(&dependency("loom", &under(cfg)), "");
        assert_eq!(loom("countersign_loom"), [""; 0]);
        assert_eq!(loom("loom").len(), 1, "a bare cfg changes other crates too");
        assert_eq!(of_policy(&dependency("loom", ""), "").len(), 1);
    }

    #[test]
    fn dependency_from_a_path_or_a_repository_is_a_problem() {
        for source in ["null", r#""git+https://example.org/tokio""#] {
            let source = format!(r#""source": {source}"#);
            assert_eq!(of_policy(&dependency("tokio", &source), "").len(), 1);
        }
    }
}
