//! The project's files, those not yet committed included; what cargo builds left out.

use std::collections::BTreeSet;
use std::path::Path;

use crate::cargo::Workspace;
use crate::failure::Failure;

/// Directories that begin with a dot and are the project's all the same.
const DOTTED: &[&str] = &[".cargo", ".ci", ".config", ".github"];

/// The paths from the root, with `/` between the parts.
pub fn paths(workspace: &Workspace) -> Result<BTreeSet<String>, Failure> {
    let mut paths = BTreeSet::new();
    let mut folders = vec![workspace.root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|source| unreadable(&folder, source))? {
            let entry = entry.map_err(|source| unreadable(&folder, source))?;
            let path = entry.path();
            let kind = entry
                .file_type()
                .map_err(|source| unreadable(&path, source))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let hidden = name.starts_with('.') && !DOTTED.contains(&name.as_str());
            if hidden || name == "target" || path == workspace.target {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let path = path.strip_prefix(&workspace.root).unwrap_or(&path);
                paths.insert(path.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    Ok(paths)
}

/// What one of those files holds.
pub fn read(workspace: &Workspace, path: &str) -> Result<String, Failure> {
    let path = workspace.root.join(path);
    std::fs::read_to_string(&path).map_err(|source| unreadable(&path, source))
}

fn unreadable(path: &Path, source: std::io::Error) -> Failure {
    Failure::Read {
        path: path.display().to_string(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_found_and_what_cargo_builds_is_not() {
        let paths = paths(&Workspace::load().unwrap()).unwrap();
        for path in ["Cargo.toml", ".cargo/config.toml", "xtask/src/tree.rs"] {
            assert!(paths.contains(path), "`{path}` is the project's");
        }
        assert!(
            !paths
                .iter()
                .any(|path| path.starts_with("target/") || path.starts_with(".git/")),
            "neither what cargo builds nor what git keeps is the project's"
        );
    }
}
