//! Broken twins: the project with one rule of concurrency broken, which a model must catch.
//!
//! A twin is a file in `xtask/twins`: the model that must fail, what is broken, and the text to
//! replace, which must occur exactly once. Each is applied to a scratch copy of the project in the
//! target directory. A twin that no longer applies, no longer builds or is not caught fails the
//! run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{THREE_THREADS, loom_cargo};
use crate::cargo::{self, Workspace};
use crate::failure::Failure;
use crate::output::say;

/// Where twins are, from the root.
pub const FOLDER: &str = "xtask/twins";

/// One way of breaking the project.
#[derive(Debug, PartialEq, Eq)]
pub struct Twin {
    /// What it is called: its file, without the ending.
    pub name: String,
    /// The model that must catch it; a common beginning, if any of several may.
    pub model: String,
    /// What is broken.
    pub breaks: String,
    /// The file in which it is.
    pub file: String,
    /// Texts and what replaces them.
    pub changes: Vec<(String, String)>,
}

impl Twin {
    /// Whether the twin names this model. Those of three threads are left out: they are not run.
    pub fn may_be_caught_by(&self, model: &str) -> bool {
        model.starts_with(&self.model) && !model.contains(THREE_THREADS)
    }
}

/// Applies every twin, or those named, and shows which model caught it; how many were caught.
///
/// # Errors
/// If one was not, or there is none of that name.
pub fn run(workspace: &Workspace, names: &[String]) -> Result<usize, Failure> {
    let twins = read_all(&workspace.root.join(FOLDER))?;
    let chosen = |twin: &&Twin| names.is_empty() || names.contains(&twin.name);
    let (mut lines, mut failed) = (Vec::new(), 0);
    for twin in twins.iter().filter(chosen) {
        let line = match check(workspace, twin) {
            Ok(caught) => format!("{:28} {caught}; {}", twin.name, twin.breaks),
            Err(failure) => {
                failed += 1;
                format!("{:28} FAILED: {failure}", twin.name)
            }
        };
        say(&line);
        lines.push(line);
    }
    say(format_args!(
        "\n{} twins, {failed} of them not caught:",
        lines.len()
    ));
    for line in &lines {
        say(line);
    }
    if lines.is_empty() {
        return Err(Failure::Program("there is no twin of that name".to_owned()));
    }
    if failed > 0 {
        return Err(Failure::Program(format!("{failed} twins were not caught")));
    }
    Ok(lines.len())
}

/// Says which model caught the twin, and in which execution.
fn check(workspace: &Workspace, twin: &Twin) -> Result<String, Failure> {
    let tree = workspace.target.join("twins");
    lay_out(&workspace.root, &tree)?;
    let file = tree.join(&twin.file);
    fs::write(&file, apply(&read(&file)?, twin)?).map_err(|error| unwritable(&file, &error))?;
    let target = workspace.target.join("twins-target");
    let package = package_of(&twin.model)?;
    let mut build = loom_cargo(&tree, &target);
    build
        .args([
            "test",
            "--quiet",
            "--profile",
            "loom",
            "--no-run",
            "--package",
        ])
        .args(package);
    if !cargo::run(&mut build)? {
        return Err(Failure::Program(
            "it does not build: mend the twin".to_owned(),
        ));
    }
    let mut test = loom_cargo(&tree, &target);
    test.args(["test", "--quiet", "--profile", "loom", "--package"])
        .args(package);
    test.args(["--", "--nocapture", "--skip", THREE_THREADS, &twin.model]);
    let output = test
        .output()
        .map_err(|error| Failure::Program(error.to_string()))?;
    if output.status.success() {
        return Err(Failure::Program(format!(
            "`{}` did not catch it",
            twin.model
        )));
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let caught = said.lines().find_map(|line| {
        let line = line.get(line.find("model ")?..)?;
        line.contains(": failed in execution ")
            .then(|| line.replace(": failed in", " in"))
    });
    Ok(caught.unwrap_or_else(|| format!("model {} by aborting", twin.model)))
}

/// The package and the tests of it in which a model is.
pub fn package_of(model: &str) -> Result<&'static [&'static str], Failure> {
    match model.split('_').next() {
        Some("table") => Ok(&["countersign-core", "--test", "loom"]),
        Some("cache") => Ok(&["countersign-policy", "--lib"]),
        Some("policy") => Ok(&["countersign-policy", "--test", "loom"]),
        Some("request") => Ok(&["countersign-request", "--test", "loom"]),
        Some("breakglass") => Ok(&["countersign-breakglass", "--test", "loom"]),
        _ => Err(Failure::Program(format!(
            "no package has a model `{model}`"
        ))),
    }
}

/// Copies the project's files; those that are the same already keep their age, so that cargo
/// builds again only what a twin changed.
fn lay_out(root: &Path, tree: &Path) -> Result<(), Failure> {
    let mut list = Command::new("git");
    list.args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ])
    .current_dir(root);
    for name in cargo::output(&mut list)?
        .split('\0')
        .filter(|name| !name.is_empty())
    {
        let (from, to) = (root.join(name), tree.join(name));
        let Ok(wanted) = fs::read(&from) else {
            continue;
        };
        if fs::read(&to).is_ok_and(|there| there == wanted) {
            continue;
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
        }
        fs::write(&to, wanted).map_err(|error| unwritable(&to, &error))?;
    }
    Ok(())
}

fn apply(text: &str, twin: &Twin) -> Result<String, Failure> {
    twin.changes
        .iter()
        .try_fold(text.to_owned(), |text, (old, new)| {
            match text.matches(old.as_str()).count() {
                1 => Ok(text.replacen(old.as_str(), new, 1)),
                count => Err(Failure::Program(format!(
                    "it no longer applies: what it replaces occurs {count} times in `{}`",
                    twin.file
                ))),
            }
        })
}

/// The twins in a folder, by their names.
pub fn read_all(folder: &Path) -> Result<Vec<Twin>, Failure> {
    let unreadable = |error: std::io::Error| Failure::Program(format!("{folder:?}: {error}"));
    let entries = fs::read_dir(folder).map_err(unreadable)?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    files.iter().map(|file| parse(file, &read(file)?)).collect()
}

fn parse(file: &Path, text: &str) -> Result<Twin, Failure> {
    let name = file
        .file_stem()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let value = |field: &str| {
        let prefix = format!("{field}: ");
        let found = text.lines().find_map(|line| line.strip_prefix(&prefix));
        found
            .map(str::to_owned)
            .ok_or_else(|| Failure::Program(format!("{file:?} has no `{field}`")))
    };
    let mut changes = Vec::new();
    for change in text.split("<<<<<<<\n").skip(1) {
        let parts = change.split_once("=======\n").and_then(|(old, rest)| {
            Some((old.to_owned(), rest.split_once(">>>>>>>")?.0.to_owned()))
        });
        changes
            .push(parts.ok_or_else(|| Failure::Program(format!("{file:?}: a change ends early")))?);
    }
    let (model, breaks) = (value("model")?, value("breaks")?);
    Ok(Twin {
        name,
        model,
        breaks,
        file: value("file")?,
        changes,
    })
}

fn read(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(|error| Failure::Program(format!("{file:?}: {error}")))
}

fn unwritable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::Program(format!("{file:?} cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twin(changes: &[(&str, &str)]) -> Twin {
        let owned = |(old, new): &(&str, &str)| ((*old).to_owned(), (*new).to_owned());
        Twin {
            name: "a".to_owned(),
            model: "table_2x2".to_owned(),
            breaks: "b".to_owned(),
            file: "c.rs".to_owned(),
            changes: changes.iter().map(owned).collect(),
        }
    }

    #[test]
    fn a_twin_is_read_with_all_its_changes() {
        let text = "model: table_2x2\nbreaks: b\nfile: c.rs\n<<<<<<<\nold\n=======\nnew\n>>>>>>>\n";
        assert_eq!(
            parse(Path::new("x/a.twin"), text).unwrap(),
            twin(&[("old\n", "new\n")])
        );
        assert!(parse(Path::new("a.twin"), "model: m\n<<<<<<<\nold\n").is_err());
    }

    #[test]
    fn what_a_twin_replaces_must_occur_exactly_once() {
        let twin = twin(&[("old", "new")]);
        assert_eq!(apply("the old way", &twin).unwrap(), "the new way");
        assert!(apply("the way", &twin).is_err());
        assert!(apply("old and old", &twin).is_err());
    }

    #[test]
    fn every_twin_of_this_project_still_applies() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let twins = read_all(&root.join(FOLDER)).unwrap();
        assert!(twins.len() >= 25, "there are {} twins", twins.len());
        for twin in twins {
            let text = read(&root.join(&twin.file)).unwrap();
            apply(&text, &twin).unwrap_or_else(|failure| panic!("{}: {failure}", twin.name));
            package_of(&twin.model).unwrap();
        }
    }
}
