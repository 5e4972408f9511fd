//! Every Rust example compiles: none is ignored, and none stands where nothing compiles it.

use std::collections::BTreeSet;

use super::{File, Problem};

/// Ignored examples, and Rust examples in documents that no crate includes.
pub fn problems(files: &[File]) -> Vec<Problem> {
    let included = included(files);
    let mut problems = Vec::new();
    for file in files {
        let document = file.has_extension(&["md"]);
        let fences = if document {
            fences(document_lines(&file.text))
        } else if file.has_extension(&["rs"]) {
            fences(comment_lines(&file.text))
        } else {
            continue;
        };
        for Fence { line, info } in fences {
            let is = |wanted: fn(&str) -> bool| words(info).any(wanted);
            if is(|word| word == "ignore" || word.starts_with("ignore-")) {
                let message = "the example is ignored; make it compile (`no_run` if it must not \
                               run), or mark it `text`";
                problems.push(Problem::at_line(&file.path, line, message));
            } else if document && is(|word| word == "rust") && !included.contains(&file.path) {
                let message = "nothing compiles this example; include the document in a crate's \
                               doc tests with `include_str!`, or mark it `text`";
                problems.push(Problem::at_line(&file.path, line, message));
            }
        }
    }
    problems
}

/// The opening line of a code block.
struct Fence<'t> {
    line: usize,
    /// What follows the fence, such as `rust,no_run`.
    info: &'t str,
}

fn words(info: &str) -> impl Iterator<Item = &str> {
    info.split(|c: char| c == ',' || c.is_whitespace() || c == '{' || c == '}')
        .map(|word| word.trim_start_matches('.'))
}

/// A document's lines, or those of doc comments; nothing where a comment, and with it any block
/// left open, ends.
type Lines<'t> = Box<dyn Iterator<Item = (usize, Option<&'t str>)> + 't>;

fn document_lines(text: &str) -> Lines<'_> {
    Box::new((1..).zip(text.lines().map(Some)))
}

fn comment_lines(text: &str) -> Lines<'_> {
    Box::new((1..).zip(text.lines().map(|line| {
        let line = line.trim_start();
        line.strip_prefix("///")
            .or_else(|| line.strip_prefix("//!"))
    })))
}

fn fences(lines: Lines<'_>) -> Vec<Fence<'_>> {
    let mut fences = Vec::new();
    let mut open: Option<(char, usize)> = None;
    for (line, text) in lines {
        let Some(text) = text else {
            open = None;
            continue;
        };
        let text = text.trim_start_matches(['>', ' ', '\t']).trim_end();
        let Some(mark) = text.chars().next().filter(|c| matches!(c, '`' | '~')) else {
            continue;
        };
        let info = text.trim_start_matches(mark);
        let length = text.len() - info.len();
        match open {
            Some((opened, least)) if mark == opened && length >= least && info.is_empty() => {
                open = None;
            }
            Some(_) => {}
            None if length >= 3 => {
                open = Some((mark, length));
                fences.push(Fence {
                    line,
                    info: info.trim(),
                });
            }
            None => {}
        }
    }
    fences
}

/// The paths that sources include with `include_str!`.
fn included(files: &[File]) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for file in files.iter().filter(|file| file.has_extension(&["rs"])) {
        for part in file.text.split("include_str!(\"").skip(1) {
            let relative = part.split('"').next().unwrap_or_default();
            paths.extend(resolved(&file.path, relative));
        }
    }
    paths
}

/// The path that a file means by a relative one; nothing if it leaves the project.
fn resolved(from: &str, relative: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in relative.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, shown};
    use super::*;

    fn in_source(text: &str) -> Vec<String> {
        shown(problems(&[file("crates/core/src/id.rs", text)]))
    }

    fn in_document(text: &str) -> Vec<String> {
        let including = "#[doc = include_str!(\"../../../docs/a.md\")]\nstruct A;";
        shown(problems(&[
            file("docs/a.md", text),
            file("crates/core/src/lib.rs", including),
        ]))
    }

    #[test]
    fn examples_that_compile_are_fine() {
        for info in [
            "",
            "rust",
            "no_run",
            "rust,no_run",
            "should_panic",
            "text",
            "sh",
            "json",
        ] {
            let source = format!("/// ```{info}\n/// f();\n/// ```\nfn f() {{}}\n");
            assert_eq!(in_source(&source), [""; 0], "{info}");
            assert_eq!(
                in_document(&format!("```{info}\nf();\n```\n")),
                [""; 0],
                "{info}"
            );
        }
    }

    #[test]
    fn ignored_examples_are_problems() {
        for info in [
            "ignore",
            "rust,ignore",
            "rust, ignore",
            "ignore-windows",
            "{.rust .ignore}",
        ] {
            let source = format!("fn f() {{}}\n    /// ```{info}\n    /// f();\n    /// ```\n");
            let problems = in_source(&source);
            assert_eq!(problems.len(), 1, "{info}");
            assert!(
                problems[0].starts_with("crates/core/src/id.rs:2: "),
                "{problems:?}"
            );
            assert_eq!(
                in_document(&format!("~~~{info}\nf();\n~~~\n")).len(),
                1,
                "{info}"
            );
            assert_eq!(
                in_document(&format!("> ```{info}\n> f();\n> ```\n")).len(),
                1,
                "{info}"
            );
        }
    }

    #[test]
    fn what_stands_inside_a_block_opens_none() {
        let document = "````text\n```ignore\nf();\n```\n````\n";
        assert_eq!(in_document(document), [""; 0]);
        let after = "````text\n```ignore\n````\n```ignore\n```\n";
        assert_eq!(
            in_document(after),
            shown([Problem::at_line(
                "docs/a.md",
                4,
                "the example is ignored; make it compile (`no_run` if it must not run), or mark it \
             `text`"
            )])
        );
    }

    #[test]
    fn block_left_open_ends_with_its_comment() {
        let source = "/// ```text\nfn f() {}\n/// ```ignore\n/// ```\nfn g() {}\n";
        assert_eq!(in_source(source).len(), 1);
    }

    #[test]
    fn rust_in_a_document_that_nothing_includes_is_a_problem() {
        let document = file("docs/b.md", "```rust\nf();\n```\n");
        assert_eq!(problems(std::slice::from_ref(&document)).len(), 1);
        let from_root = file(
            "crates/core/src/lib.rs",
            "include_str!(\"../../../docs/b.md\")",
        );
        assert_eq!(shown(problems(&[document.clone(), from_root])), [""; 0]);
        let elsewhere = file("crates/core/src/lib.rs", "include_str!(\"../docs/b.md\")");
        assert_eq!(problems(&[document, elsewhere]).len(), 1);
    }

    #[test]
    fn inline_code_is_no_block() {
        assert_eq!(in_document("``ignore``\n`ignore`\n"), [""; 0]);
    }
}
