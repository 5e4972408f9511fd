//! No files of a crate import each other in a circle.
//!
//! What can be read from the bottom to the top stays so: a file that imports another is above it. An
//! import is a path that begins with `crate::`, in a `use` or elsewhere, outside of tests, comments
//! and texts; what a crate's root re-exports counts as an import of the file that it is from.

use std::collections::{BTreeMap, BTreeSet};

use super::{File, Problem};

/// The crates that are free of circles.
const SOURCES: &[&str] = &[
    "crates/core/src/",
    "crates/policy/src/",
    "crates/request/src/",
    "crates/breakglass/src/",
];

/// Files by the paths of their modules, `a/b` for `crate::a::b`.
type Imports<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Each circle once.
pub fn problems(files: &[File]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in SOURCES {
        let imports = imports(source, files);
        let mut told = BTreeSet::new();
        for file in imports.keys() {
            let reached = reached(&imports, file);
            if !reached.contains(file) || told.contains(file) {
                continue;
            }
            let is_back = |other: &&str| self::reached(&imports, other).contains(file);
            let circle: Vec<&str> = reached.iter().copied().filter(is_back).collect();
            let others = circle.join("`, `");
            told.extend(circle);
            problems.push(Problem::at(
                format!("{source}{file}.rs"),
                format!(
                    "imports in a circle: `{others}`; move what they share into a file below them"
                ),
            ));
        }
    }
    problems
}

/// What each file below `source` imports of the others.
fn imports<'a>(source: &str, files: &'a [File]) -> Imports<'a> {
    let within = |file: &'a File| {
        let module = file.path.strip_prefix(source)?.strip_suffix(".rs")?;
        Some((module, code(&file.text)))
    };
    let modules: BTreeMap<&str, String> = files.iter().filter_map(within).collect();
    let exports = modules.get("lib").map(|text| exports(text));
    let exports = exports.unwrap_or_default();
    let mut imports = Imports::new();
    for (&module, text) in modules.iter().filter(|(module, _)| **module != "lib") {
        let found = paths(text).into_iter().filter_map(|path| {
            let exported = path.split('/').next().and_then(|name| exports.get(name));
            let wanted = exported.map_or(path.as_str(), String::as_str);
            // The longest part of the path that is a file.
            let is_it = |other: &&&str| {
                let rest = wanted.strip_prefix(**other);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let found = modules.keys().filter(is_it).max_by_key(|other| other.len());
            found.copied().filter(|found| *found != module)
        });
        imports.insert(module, found.collect());
    }
    imports
}

/// All that a file imports, itself or by what it imports.
fn reached<'a>(imports: &Imports<'a>, file: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut left = vec![file];
    while let Some(file) = left.pop() {
        for other in imports.get(file).into_iter().flatten() {
            if reached.insert(*other) {
                left.push(other);
            }
        }
    }
    reached
}

/// A file without its tests, comments and the texts within a line.
fn code(text: &str) -> String {
    let mut code = String::new();
    for line in text.lines() {
        if line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test") {
            break;
        }
        if line.trim_start().starts_with("//") {
            continue;
        }
        code.extend(line.split('"').step_by(2));
        code.push('\n');
    }
    code
}

/// The paths after each `crate::`, with `/` between their parts.
fn paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (place, found) in code.match_indices("crate::") {
        let before = code.get(..place).and_then(|before| before.chars().last());
        if before.is_some_and(|c| c.is_alphanumeric() || "_$:".contains(c)) {
            continue;
        }
        let rest = code.get(place + found.len()..).unwrap_or_default();
        match rest.strip_prefix('{') {
            Some(list) => paths.extend(listed(list)),
            None => paths.extend(path(rest)),
        }
    }
    paths
}

/// The path that a text begins with.
fn path(text: &str) -> Option<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    let path = text.get(..end)?.trim_matches(':').replace("::", "/");
    (!path.is_empty()).then_some(path)
}

/// The paths of a list in braces, up to the brace that ends it.
fn listed(list: &str) -> Vec<String> {
    let (mut depth, mut begin, mut paths) = (0, 0, Vec::new());
    for (place, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                let item = list.get(begin..place).unwrap_or_default();
                paths.extend(path(item.trim_start()));
                begin = place + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    paths
}

/// What a crate's root re-exports: a name, and the file that it is from.
fn exports(root: &str) -> BTreeMap<String, String> {
    let mut exports = BTreeMap::new();
    for item in root.split("pub use ").skip(1) {
        let item = item.split(';').next().unwrap_or_default();
        let Some((module, names)) = item.rsplit_once("::") else {
            continue;
        };
        let names = names.trim_matches(['{', '}']).split(',').map(str::trim);
        let module = module.replace("::", "/");
        exports.extend(names.map(|name| (name.to_owned(), module.clone())));
    }
    exports
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, shown};
    use super::*;

    fn told(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<File> = files
            .iter()
            .map(|(path, text)| file(&format!("crates/request/src/{path}"), text))
            .collect();
        shown(problems(&files))
    }

    #[test]
    fn files_above_each_other_are_fine() {
        let files = [
            ("lib.rs", "pub use bottom::Word;\nmod bottom;\nmod top;\n"),
            ("bottom.rs", "pub struct Word;\n"),
            (
                "top.rs",
                "use crate::bottom::Word;\nuse crate::top::inner::X;\n",
            ),
            ("top/inner.rs", "use crate::{Word, missing::Y};\n"),
        ];
        assert_eq!(told(&files), [""; 0]);
    }

    #[test]
    fn a_circle_is_told_once_with_all_that_are_in_it() {
        let circle = "crates/request/src/a.rs: imports in a circle: `a`, `b/inner`, `c`; move what \
                      they share into a file below them";
        let lists = [
            ("a.rs", "use crate::{\n    c::{X, Y},\n    d,\n};\n"),
            ("b/inner.rs", "fn f() -> crate::a::A {}\n"),
            ("c.rs", "use crate::b::inner::{B, C};\n"),
            ("d.rs", "\n"),
        ];
        assert_eq!(told(&lists), [circle]);
    }

    #[test]
    fn what_the_root_re_exports_is_of_its_file() {
        let files = [
            ("lib.rs", "pub use a::{A, Other};\npub use b::B;\n"),
            ("a.rs", "use crate::B;\n"),
            ("b.rs", "use crate::Other;\n"),
        ];
        assert_eq!(told(&files).len(), 1);
    }

    #[test]
    fn tests_comments_texts_and_other_crates_do_not_count() {
        let files = [
            ("a.rs", "use crate::b::B;\n"),
            (
                "b.rs",
                "//! [`A`](crate::a::A)\n#[x(with = \"crate::a::A\")]\nuse other_crate::a::A;\n\
                 #[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n",
            ),
        ];
        assert_eq!(told(&files), [""; 0]);
    }
}
