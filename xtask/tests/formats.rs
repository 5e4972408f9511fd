//! Documents in YAML and TOML: what they mean and what is refused is the same as in JSON.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod documents;

use documents::{Format, KINDS, Kind};
use serde::de::DeserializeOwned;
use serde_json::Value;

struct Json;
struct Yaml;
struct Toml;

impl Format for Json {
    fn read<T: DeserializeOwned>(&self, text: &str) -> Result<T, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

impl Format for Yaml {
    fn read<T: DeserializeOwned>(&self, text: &str) -> Result<T, String> {
        serde_norway::from_str(text).map_err(|error| error.to_string())
    }
}

impl Format for Toml {
    fn read<T: DeserializeOwned>(&self, text: &str) -> Result<T, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }
}

/// Whether a message names what that about the same document in JSON names: the rule, the fields,
/// and what is wrong, as far as the crates and not the format's reader say it. Readers add to it.
fn names_the_same(message: &str, json: &str) -> bool {
    let readers = [
        "invalid type",
        "invalid value",
        "duplicate field",
        " at line",
    ];
    let end = readers.iter().filter_map(|reader| json.find(reader)).min();
    let said = &json[..end.unwrap_or(json.len())];
    let mut rest = message;
    said.split(": ").all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

fn compare(kind: &Kind, document: &Value, format: &impl Format, text: &str) {
    let json = Json.canonical(kind, &document.to_string());
    match (&json, format.canonical(kind, text)) {
        (Ok(json), Ok(other)) => assert_eq!(json, &other, "{}: {text}", kind.name),
        (Err(json), Err(other)) => assert!(
            names_the_same(&other, json),
            "{}: {text}\n{other}\ndoes not name what is named for JSON:\n{json}",
            kind.name
        ),
        (json, other) => panic!("{}: {text}\n{other:?}\nis for JSON\n{json:?}", kind.name),
    }
}

#[test]
fn yaml_is_read_as_strictly_as_json() {
    for kind in KINDS {
        let documents = kind.documents();
        for document in &documents {
            compare(
                &kind,
                document,
                &Yaml,
                &serde_norway::to_string(document).unwrap(),
            );
        }
        println!("{}: {} documents in YAML", kind.name, documents.len());
    }
}

#[test]
fn toml_is_read_as_strictly_as_json() {
    for kind in KINDS {
        let mut count = 0;
        // What TOML cannot write (`null`, a document that is no table), nobody can give it to read.
        for document in kind
            .documents()
            .iter()
            .filter(|document| document.is_object())
        {
            if let Ok(text) = toml::to_string(document) {
                compare(&kind, document, &Toml, &text);
                count += 1;
            }
        }
        println!("{}: {count} documents in TOML", kind.name);
        assert!(count > 500, "there are documents that TOML can write");
    }
}

/// What YAML has and JSON does not.
#[test]
fn nothing_of_yaml_loosens_a_document() {
    let rule =
        |fields: &str| format!("version: \"1\"\nrules:\n  - name: a\n    effect: deny\n{fields}");
    let refusal = |text: &str| Yaml.canonical(&KINDS[0], text).err();
    let users = "    conditions:\n      users: [alice]\n";
    assert_eq!(refusal(&rule(users)), None);
    for (text, field) in [
        (rule(users).replace("\"1\"", "1"), "`version`"),
        (rule(&format!("{users}    hard: yes\n")), "`hard`"),
        (rule(&format!("{users}    hard: on\n")), "`hard`"),
        (rule(&format!("{users}    hard: True1\n")), "`hard`"),
        (rule(&format!("{users}    hard:\n")), "`hard`"),
        (rule(&format!("{users}    reason: ~\n")), "`reason`"),
        (rule(&format!("{users}    reason: 12\n")), "`reason`"),
        (
            rule(&format!("{users}    max_server_duration: 90\n")),
            "`max_server_duration`",
        ),
        (
            rule(&format!("{users}    max_server_duration: 1:30\n")),
            "`max_server_duration`",
        ),
        (rule("    conditions:\n      users:\n"), "users`"),
        (rule("    conditions:\n      users: alice\n"), "`users`"),
        (
            rule("    conditions:\n      users: []\n"),
            "conditions.users",
        ),
        (rule("    conditions:\n      users: [yes, 1]\n"), "`users`"),
        (
            rule("    conditions:\n      users: [alice]\n      users: [bob]\n"),
            "`users`",
        ),
        (
            rule("    conditions:\n      <<: {users: [alice]}\n"),
            "`<<`",
        ),
        (rule("    conditions:\n      user: [alice]\n"), "`user`"),
        (rule("    conditions:\n"), "`conditions`"),
        (rule("    conditions: {}\n"), "`conditions`"),
        (
            rule("    conditions:\n      time: {hours: {start: 9:00, end: 17:00}}\n"),
            "hours.start",
        ),
        (
            rule("    conditions:\n      time: {days: [monday], timezone: }\n"),
            "`timezone`",
        ),
        (format!("{}---\n{}", rule(users), rule(users)), ""),
    ] {
        let message = refusal(&text).unwrap_or_else(|| panic!("accepted: {text}"));
        assert!(message.contains(field), "{text}{message}");
    }
    for text in [
        rule("    conditions:\n      time: {hours: {start: 09:00, end: 17:00}}\n"),
        rule("    conditions:\n      users: &who [alice]\n      groups: *who\n"),
        rule(&format!(
            "{users}    max_server_duration: 1h30m # as long as a shift\n"
        )),
    ] {
        assert_eq!(refusal(&text), None, "{text}");
    }
}
