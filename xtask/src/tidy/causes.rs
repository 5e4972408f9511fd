//! No error tells its cause twice.
//!
//! Whoever reports an error writes its text and then the text of each `source` behind it. So a text
//! that has the cause in it must not belong to an error that gives the cause as its source, too.
//! What is looked at is what `thiserror` is told: a text with `{source}` (which is a source by its
//! name), or with `{0}` above a field that is marked as one.

use super::{File, Problem};

/// The line of each text that has a cause in it which is the source as well.
pub fn problems(files: &[File]) -> Vec<Problem> {
    let sources = files
        .iter()
        .filter(|file| file.has_extension(&["rs"]) && file.path.contains("/src/"));
    sources.flat_map(problems_of).collect()
}

fn problems_of(file: &File) -> Vec<Problem> {
    let texts = file.text.match_indices(ATTRIBUTE);
    let twice = texts.filter(|(start, _)| tells_twice(&file.text[*start..]));
    let lines = twice.map(|(start, _)| file.text[..start].matches('\n').count() + 1);
    let problem = |line| {
        Problem::at_line(
            &file.path,
            line,
            "has its source in its text: name the field `cause`, or leave it out of the text",
        )
    };
    lines.map(problem).collect()
}

/// What a text of an error begins with; joined, so that this file is not taken for one.
const ATTRIBUTE: &str = concat!("#[", "error(");

/// Of what begins with the attribute of a variant or struct.
fn tells_twice(text: &str) -> bool {
    let (attribute, rest) = text.split_once(")]").unwrap_or((text, ""));
    let fields = rest.split(ATTRIBUTE).next().unwrap_or_default();
    let marked = ["#[source]", "#[from]"];
    let is_marked = || marked.iter().any(|mark| fields.contains(mark));
    attribute.contains("{source") || attribute.contains("{0") && is_marked()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{file, shown};
    use super::*;

    fn problems_in(text: &str) -> Vec<String> {
        let text = text.replace("@", ATTRIBUTE);
        shown(problems(&[file("crates/core/src/error.rs", &text)]))
    }

    #[test]
    fn a_text_without_its_source_is_fine() {
        for text in [
            "@transparent)]\nA(#[from] B),",
            "@\"no: {cause}\")]\nA { cause: B },",
            "@\"no: {0}\")]\nA(B),\n@transparent)]\nC(#[from] D),",
            "@\"no\")]\nA(#[source] B),",
        ] {
            assert_eq!(problems_in(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_text_with_its_source_is_a_problem() {
        for text in [
            "//! A.\n@\"no: {source}\")]\nA { source: B },",
            "//! A.\n@\"no{}: {source}\", or(.other))]\nA { source: B },",
            "//! A.\n@\"no ({0})\")]\nA(#[source] B),",
            "//! A.\n@\"no ({0})\")]\nA(#[from] B),",
        ] {
            let told = problems_in(text);
            assert_eq!(told.len(), 1, "{text}: {told:?}");
            assert!(
                told[0].starts_with("crates/core/src/error.rs:2: "),
                "{told:?}"
            );
        }
    }
}
