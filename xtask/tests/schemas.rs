//! The schemas in `docs/schema` against the parsers, on every document that the project has and on
//! thousands of spoilt ones.
//!
//! What the parser accepts validates. What it refuses does not, but for what no schema can say:
//! that is listed here and in `docs/documents.md`, and each entry of the list occurs.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod documents;

use std::collections::BTreeMap;
use std::fs;

use documents::{KINDS, root};
use serde_json::Value;

/// What no schema can say, as the documentation lists it, and how the parser's message shows it.
const BEYOND_SCHEMAS: [(&str, &[&str]); 5] = [
    (
        "Two rules of the same name.",
        &["has the same name", "is called"],
    ),
    ("A zone that does not exist.", &["timezone`: "]),
    (
        "Hours that start and end at the same minute.",
        &["is never open"],
    ),
    ("A length of more than ten years.", &["is too long"]),
    (
        "A count written with a decimal point, such as `2.0`.",
        &[".0` is not a limit"],
    ),
];

#[test]
fn a_schema_says_what_the_parser_says() {
    let mut beyond: BTreeMap<&str, usize> = BTreeMap::new();
    for kind in KINDS {
        let path = root().join(format!("docs/schema/{}.schema.json", kind.name));
        let schema: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let validator = jsonschema::validator_for(&schema).expect("the schema is one");
        let (mut accepted, mut refused) = (0, 0);
        for document in kind.documents() {
            let valid = validator.is_valid(&document);
            let Some(message) = (kind.refusal)(&document) else {
                let error = validator.validate(&document).err();
                assert!(valid, "{}: {error:?} refuses {document}", kind.name);
                accepted += 1;
                continue;
            };
            refused += 1;
            if valid {
                let shows = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
                let listed = BEYOND_SCHEMAS.iter().find(|(_, parts)| shows(parts));
                let (what, _) = listed.unwrap_or_else(|| {
                    panic!("{}: the schema accepts {document}: {message}", kind.name)
                });
                *beyond.entry(what).or_default() += 1;
            }
        }
        println!("{}: {accepted} accepted, {refused} refused", kind.name);
        assert!(
            accepted > 50 && refused > 500,
            "there are documents of both sorts"
        );
    }
    println!("refused by the parser alone: {beyond:#?}");
    for (what, _) in BEYOND_SCHEMAS {
        assert!(beyond.contains_key(what), "no document shows it: {what}");
    }
}

#[test]
fn what_no_schema_can_say_is_documented() {
    let text = fs::read_to_string(root().join("docs/documents.md")).unwrap();
    for (what, _) in BEYOND_SCHEMAS {
        assert!(
            text.contains(what),
            "docs/documents.md does not list: {what}"
        );
    }
}
