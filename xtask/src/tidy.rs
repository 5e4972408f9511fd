//! The project's own rules, which no compiler and no linter knows.
//!
//! Each rule is a module with a pure function over files or over what cargo says about the
//! workspace, and tests with a good and a bad input. [`problems`] is the list of them all.

mod causes;
mod circles;
mod dependencies;
mod edges;
mod evidence;
mod fences;
mod heads;
mod length;
mod lints;
mod modules;
mod words;
mod workflows;

use std::fmt;

use crate::cargo::Workspace;
use crate::failure::Failure;
use crate::tree;

/// A text file of the project.
#[derive(Debug, Clone)]
pub struct File {
    /// Its path from the root, with `/` between the parts.
    pub path: String,
    /// What it holds.
    pub text: String,
}

impl File {
    fn has_extension(&self, extensions: &[&str]) -> bool {
        let extension = self
            .path
            .rsplit_once('.')
            .map_or("", |(_, extension)| extension);
        extensions.contains(&extension)
    }
}

/// A broken rule: where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    place: String,
    message: String,
}

impl Problem {
    /// A problem with a whole file, package or directory.
    fn at(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            message: message.into(),
        }
    }

    /// A problem with one line, counted from 1.
    fn at_line(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self::at(format!("{path}:{line}"), message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Every broken rule.
pub fn problems(workspace: &Workspace, files: &[File]) -> Vec<Problem> {
    let packages = &workspace.packages;
    let mut problems = Vec::new();
    problems.extend(edges::problems(packages));
    problems.extend(dependencies::problems(packages));
    problems.extend(lints::problems(packages, files));
    problems.extend(modules::problems(files));
    problems.extend(circles::problems(files));
    problems.extend(causes::problems(files));
    problems.extend(heads::problems(files));
    problems.extend(length::problems(files));
    problems.extend(fences::problems(files));
    problems.extend(evidence::problems(files));
    problems.extend(words::problems(files));
    problems.extend(workflows::problems(files));
    problems
}

/// Files that a rule may want to read.
const EXTENSIONS: &[&str] = &["rs", "md", "toml", "yml", "yaml"];

/// The project's files that a rule may want to read.
pub fn files(workspace: &Workspace) -> Result<Vec<File>, Failure> {
    tree::paths(workspace)?
        .into_iter()
        .filter(|path| EXTENSIONS.contains(&extension(path)))
        .map(|path| {
            let text = tree::read(workspace, &path)?;
            Ok(File { path, text })
        })
        .collect()
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file for a rule's test.
    pub fn file(path: &str, text: &str) -> File {
        File {
            path: path.into(),
            text: text.into(),
        }
    }

    /// Packages for a rule's test: folder, name, dependencies and features as cargo gives them.
    pub fn packages(list: &[(&str, &str, &str, &str)]) -> Vec<crate::cargo::Package> {
        let packages: Vec<String> = list
            .iter()
            .map(|(folder, name, dependencies, features)| {
                format!(
                    r#"{{"name": "{name}", "rust_version": "1.85", "features": {{{features}}},
                        "dependencies": [{dependencies}],
                        "manifest_path": "/p/{folder}/Cargo.toml"}}"#
                )
            })
            .collect();
        let json = format!(
            r#"{{"workspace_root": "/p", "target_directory": "/t", "packages": [{}]}}"#,
            packages.join(",")
        );
        Workspace::parse(&json).unwrap().packages
    }

    /// What the problems say, one text each.
    pub fn shown(problems: impl IntoIterator<Item = Problem>) -> Vec<String> {
        problems
            .into_iter()
            .map(|problem| problem.to_string())
            .collect()
    }

    #[test]
    fn this_project_is_tidy() {
        let workspace = Workspace::load().unwrap();
        let files = files(&workspace).unwrap();
        assert!(
            files.iter().any(|file| file.path == "xtask/src/tidy.rs"),
            "files are found"
        );
        assert_eq!(
            shown(problems(&workspace, &files)),
            [""; 0],
            "the project keeps its rules"
        );
    }
}
