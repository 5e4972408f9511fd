//! Bad input of every kind that belongs to no one field: each a typed error in one short line, and
//! no panic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use common::{assert_one_line, document, good_rule, read, read_if, read_with, syntax};
use countersign_policy::{
    DocumentError, MAX_DOCUMENT_BYTES, NameError, Policy, PolicyDocument, Problem, RuleError,
};
use serde_json::{Value, json};

#[test]
fn unknown_fields_and_fields_given_twice_are_errors_everywhere() {
    for (json, shown) in [
        (
            r#"{"version": "1", "rule": []}"#,
            "unknown field `rule`, expected `version` or `rules`",
        ),
        (
            r#"{"version": "1", "version": "1", "rules": []}"#,
            "duplicate field `version`",
        ),
        (
            r#"{"version": "1", "rules": [{"nam": "a"}]}"#,
            "rules[0]: unknown field `nam`",
        ),
        (
            r#"{"version": "1", "rules": [{"name": "a", "name": "b"}]}"#,
            "duplicate field `name`",
        ),
        (
            r#"{"version": "1", "rules": [{"name": "a", "conditions": {"users": ["a"], "users": ["b"]}}]}"#,
            "rules[0]: `conditions`: duplicate field `users`",
        ),
        (
            r#"{"version": "1", "rules": [{"when": {"a\u0000b": 1}}]}"#,
            "unknown field `when`",
        ),
        (
            r#"{"version": "1", "rules": [{"a\u0000b": 1}]}"#,
            "unknown field `a\\0b`",
        ),
    ] {
        let message = syntax(read(json));
        assert!(message.contains(shown), "{message}");
    }
}

#[test]
fn null_is_never_taken_for_absent() {
    for field in ["reason", "hard", "max_server_duration", "session_table"] {
        let rule = format!(
            r#"{{"name": "a", "effect": "deny", "conditions": {{"users": ["a"]}}, "{field}": null}}"#
        );
        let message = syntax(read(&format!(r#"{{"version": "1", "rules": [{rule}]}}"#)));
        assert!(
            message.starts_with(&format!("rules[0]: `{field}`: ")),
            "{message}"
        );
    }
    for field in [
        "users",
        "groups",
        "profiles",
        "profile_groups",
        "time",
        "mode",
    ] {
        let message = syntax(read_if(field, Value::Null));
        let start = format!("rules[1]: `conditions`: `{field}`: ");
        assert!(message.starts_with(&start), "{message}");
    }
}

#[test]
fn what_is_not_json_says_where() {
    for (json, place) in [
        ("", (1, 0)),
        ("{", (1, 1)),
        ("null", (1, 4)),
        ("[]", (1, 0)),
        (r#"["1", []]"#, (1, 0)),
        ("{\"version\": \"1\",\n \"rules\": [,]}", (2, 12)),
        ("{\"version\": \"1\", \"rules\": []} x", (1, 31)),
        ("{\"version\": \"\u{1}\"}", (1, 14)),
        ("\0", (1, 1)),
        ("{'version': 1}", (1, 2)),
        ("// comment\n{}", (1, 1)),
    ] {
        let error = read(json).unwrap_err();
        let DocumentError::Syntax {
            line,
            column,
            message,
        } = &error
        else {
            panic!("{json:?}: {error:?}");
        };
        assert_eq!((*line, *column), place, "{json:?}: {error}");
        assert!(!message.contains(" at line "), "{message}");
        assert!(
            error
                .to_string()
                .starts_with(&format!("line {line}, column {column}: "))
        );
        assert_one_line(&error.to_string());
    }
}

#[test]
fn encodings_other_than_plain_utf_8_are_told_apart() {
    let good = document(&json!([good_rule("nächtlich")]));
    assert!(Policy::from_json(good.as_bytes()).is_ok());
    let mut marked = vec![0xef, 0xbb, 0xbf];
    marked.extend_from_slice(good.as_bytes());
    assert_eq!(
        Policy::from_json(&marked),
        Err(DocumentError::ByteOrderMark)
    );
    let mut broken = good.clone().into_bytes();
    let at = good.find('ä').unwrap();
    broken[at] = 0xe4;
    assert_eq!(
        Policy::from_json(&broken),
        Err(DocumentError::NotUtf8 { at })
    );
    let wide: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(Policy::from_json(&wide).is_err());
    for error in [DocumentError::ByteOrderMark, DocumentError::NotUtf8 { at }] {
        assert!(error.to_string().contains("UTF-8"), "{error}");
    }
}

#[test]
fn a_document_has_at_most_64_mebibytes() {
    let good = document(&json!([good_rule("a")]));
    let mut padded = good.into_bytes();
    padded.resize(MAX_DOCUMENT_BYTES, b' ');
    assert!(Policy::from_json(&padded).is_ok(), "exactly at the limit");
    padded.push(b' ');
    let error = Policy::from_json(&padded).unwrap_err();
    assert_eq!(
        error,
        DocumentError::TooLarge {
            bytes: MAX_DOCUMENT_BYTES + 1
        }
    );
    assert!(error.to_string().contains("67108865"), "{error}");
}

#[test]
fn ten_megabytes_of_anything_are_a_short_error() {
    let long = "x".repeat(10_000_000);
    let text = format!("\"{long}\"");
    let rule = |fields: &str| format!("{{\"version\": \"1\", \"rules\": [{{{fields}}}]}}");
    let rule_if = |condition: &str| {
        rule(&format!(
            "\"name\": \"a\", \"effect\": \"deny\", \"conditions\": {{{condition}}}"
        ))
    };
    let with = |field: &str| format!("{field}, {}", "\"conditions\": {\"users\": [\"a\"]}");
    for json in [
        long.clone(),
        text.clone(),
        "[".repeat(10_000_000),
        "{\"a\":".repeat(2_000_000),
        format!("{{{text}: 1}}"),
        format!("{{\"version\": \"1\", \"rules\": {text}}}"),
        format!("{{\"version\": \"1\", \"rules\": [{text}]}}"),
        rule(&format!("{text}: 1")),
        rule(&with(&format!("\"effect\": \"deny\", \"name\": {text}"))),
        rule(&with(&format!("\"name\": \"a\", \"effect\": {text}"))),
        rule(&with(&format!(
            "\"name\": \"a\", \"effect\": \"deny\", \"reason\": {text}"
        ))),
        rule_if(&format!("\"users\": [{text}]")),
        rule_if(&format!("\"mode\": [{text}]")),
        rule_if(&format!("\"time\": {{\"days\": [{text}]}}")),
        rule_if(&format!(
            "\"time\": {{\"days\": [\"monday\"], \"timezone\": {text}}}"
        )),
        rule_if(&format!(
            "\"time\": {{\"hours\": {{\"start\": {text}, \"end\": \"10:00\"}}}}"
        )),
    ] {
        assert_one_line(&read(&json).unwrap_err().to_string());
    }
}

#[test]
fn deep_nesting_is_an_error_wherever_it_is() {
    for depth in [100, 127, 128, 129, 100_000] {
        for (before, after) in [
            ("", ""),
            ("{\"version\": \"1\", \"rules\": ", "}"),
            ("{\"version\": \"1\", \"rules\": [", "]}"),
            ("{\"version\": \"1\", \"rules\": [{\"conditions\": ", "}]}"),
            (
                "{\"version\": \"1\", \"rules\": [{\"conditions\": {\"users\": ",
                "}}]}",
            ),
            (
                "{\"version\": \"1\", \"rules\": [{\"max_server_duration\": ",
                "}]}",
            ),
        ] {
            let json = format!("{before}{}{}{after}", "[".repeat(depth), "]".repeat(depth));
            syntax(read(&json));
        }
    }
}

#[test]
fn a_ten_megabyte_policy_is_read_in_full() {
    let reason = "because ".repeat(125);
    let rule = |n| {
        let mut rule = good_rule(&format!("rule-{n}"));
        rule["reason"] = reason.as_str().into();
        rule
    };
    let rules: Vec<Value> = (0..10_000).map(rule).collect();
    let json = document(&json!(rules));
    assert!(json.len() > 10_000_000);
    assert_eq!(read(&json).unwrap().rules().len(), 10_000);
    let error = read(&json.replace("\"rule-9999\"", "\"rule-7\"")).unwrap_err();
    let expected = RuleError {
        index: 9_999,
        name: "rule-7".into(),
        field: "name".into(),
        problem: Problem::DuplicateName { first: 7 },
    };
    assert_eq!(error, DocumentError::Rule(expected));
}

#[test]
fn serde_reads_as_strictly_as_from_json() {
    let good = json!({"version": "1", "rules": [good_rule("a")]});
    let policy: Policy = serde_json::from_value(good.clone()).unwrap();
    assert_eq!(serde_json::to_value(&policy).unwrap(), good);
    let document: PolicyDocument = serde_json::from_value(good).unwrap();
    assert_eq!(policy.document(), document);
    let bad = json!({"version": "1", "rules": [
        {"name": "a", "effect": "allow", "conditions": {"users": [" a"]}}
    ]});
    let error = serde_json::from_value::<Policy>(bad).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("rule 0 `a`: `conditions.users[0]`: "),
        "{error}"
    );
    let unknown = json!({"version": "1", "rules": [
        {"name": "a", "effect": "allow", "conditions": {"user": ["a"]}}
    ]});
    let error = serde_json::from_value::<Policy>(unknown).unwrap_err();
    assert!(error.to_string().contains("`user`"), "{error}");
}

#[test]
fn the_source_of_an_error_can_be_followed() {
    use std::error::Error;
    let error = read_if("users", json!([" a"])).unwrap_err();
    let source = error.source().expect("a rule's error has a source");
    assert!(source.downcast_ref::<NameError>().is_some());
    let error = read_with("effect", json!("permit")).unwrap_err();
    assert!(error.source().is_none(), "there is nothing beneath");
}
