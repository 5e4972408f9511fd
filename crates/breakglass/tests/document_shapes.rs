//! Documents of rules that do not have the shape of one: misspelt keys, nulls, wrong types, deep
//! nesting, absurd sizes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use common::*;
use countersign_breakglass::*;
use serde_json::{Value, json};

fn read_invocation(document: &Value) -> Result<InvocationPolicy, DocumentError> {
    InvocationPolicy::from_json(document.to_string().as_bytes())
}

fn read_limits(document: &Value) -> Result<RateLimitPolicy, DocumentError> {
    RateLimitPolicy::from_json(document.to_string().as_bytes())
}

/// An invocation document of one good rule and this field.
fn invocation_with(field: &str, value: Value) -> Value {
    let mut rule = json!({"name": "on-call", "users": ["alice"]});
    rule[field] = value;
    json!({"version": "1", "rules": [rule]})
}

/// A rate-limit document of one good rule and this field.
fn limits_with(field: &str, value: Value) -> Value {
    let mut rule = json!({
        "name": "all", "max_per_user": 1, "max_per_profile": 1, "escalation_threshold": 1,
        "quota_window": "1h", "cooldown": "1s",
    });
    rule[field] = value;
    json!({"version": "1", "rules": [rule]})
}

fn invocation_fault(field: &str, value: Value) -> RuleError {
    match read_invocation(&invocation_with(field, value)) {
        Err(DocumentError::Rule(error)) => error,
        other => panic!("not a fault of the rule: {other:?}"),
    }
}

/// Refused by its shape: the message names the place, the rule and the field.
#[track_caller]
fn assert_syntax<T: std::fmt::Debug>(result: Result<T, DocumentError>, parts: &[&str]) {
    let Err(DocumentError::Syntax {
        line,
        column,
        message,
    }) = result
    else {
        panic!("not a fault of the shape: {result:?}");
    };
    assert!(line > 0 && column > 0, "no place: {message}");
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn a_misspelt_key_never_becomes_a_wildcard() {
    for misspelt in [
        "user",
        "Users",
        "profile",
        "reason_codes",
        "max-duration",
        "closers",
        "",
    ] {
        let result = read_invocation(&invocation_with(misspelt, json!(["alice"])));
        let unknown = format!("unknown field `{misspelt}`");
        assert_syntax(
            result,
            &["rules[0]", &unknown, "expected one of", "`users`"],
        );
    }
    for misspelt in ["max_per_person", "cool_down", "window", "quotaWindow"] {
        let result = read_limits(&limits_with(misspelt, json!(1)));
        let unknown = format!("unknown field `{misspelt}`");
        assert_syntax(result, &["rules[0]", &unknown, "`max_per_user`"]);
    }
    for (field, value, unknown) in [
        (
            "mfa",
            json!({"required": true, "method": ["sms"]}),
            "`method`",
        ),
        (
            "mfa",
            json!({"required": true, "require": true}),
            "`require`",
        ),
        ("time", json!({"day": ["monday"]}), "`day`"),
        (
            "time",
            json!({"hours": {"start": "09:00", "end": "10:00", "zone": "UTC"}}),
            "`zone`",
        ),
    ] {
        let result = read_invocation(&invocation_with(field, value));
        assert_syntax(result, &["rules[0]", field, "unknown field", unknown]);
    }
    let extra = json!({"version": "1", "rules": [], "rule": []});
    assert_syntax(read_invocation(&extra), &["unknown field `rule`"]);
    assert_syntax(read_limits(&extra), &["unknown field `rule`"]);
}

#[test]
fn a_number_that_no_format_holds_is_refused() {
    let huge = r#"{"version": "1", "rules": [{"name": "a", "max_per_user": 1e999}]}"#;
    let result = RateLimitPolicy::from_json(huge.as_bytes());
    assert_syntax(result, &["rules[0]", "out of range"]);
}

#[test]
fn null_is_never_the_same_as_absent() {
    for field in [
        "name",
        "profiles",
        "users",
        "allowed_reason_codes",
        "time",
        "max_duration",
        "mfa",
        "responders",
        "reviewers",
        "after_review",
    ] {
        let named = format!("`{field}`: ");
        let result = read_invocation(&invocation_with(field, Value::Null));
        assert_syntax(result, &["rules[0]", &named]);
    }
    for field in [
        "name",
        "profiles",
        "cooldown",
        "max_per_user",
        "max_per_profile",
        "quota_window",
        "escalation_threshold",
    ] {
        let named = format!("`{field}`: ");
        assert_syntax(
            read_limits(&limits_with(field, Value::Null)),
            &["rules[0]", &named],
        );
    }
    let methods = json!({"required": true, "methods": null});
    assert_syntax(
        read_invocation(&invocation_with("mfa", methods)),
        &["rules[0]", "`mfa`", "`methods`"],
    );
}

#[test]
fn a_value_of_the_wrong_type_names_its_field() {
    for (field, value) in [
        ("users", json!("alice")),
        ("users", json!([1])),
        ("profiles", json!({})),
        ("max_duration", json!(["1h"])),
        ("mfa", json!(true)),
        ("mfa", json!({"required": "yes"})),
        ("mfa", json!({"methods": ["totp"]})),
        ("mfa", json!({"required": true, "max_age": ["5m"]})),
        ("reviewers", json!("dave")),
        ("after_review", json!("true")),
        ("time", json!("monday")),
    ] {
        let named = format!("`{field}`: ");
        let result = read_invocation(&invocation_with(field, value));
        assert_syntax(result, &["rules[0]", &named]);
    }
    for (field, value) in [("max_per_user", json!("3")), ("cooldown", json!({}))] {
        let named = format!("`{field}`: ");
        assert_syntax(
            read_limits(&limits_with(field, value)),
            &["rules[0]", &named],
        );
    }
    let number = json!({"version": 1, "rules": []});
    assert_syntax(read_invocation(&number), &["`version`"]);
}

#[test]
fn only_version_1_is_known() {
    for bad in ["", "0", "2", "1.0", " 1", "one"] {
        let document = json!({"version": bad, "rules": [{"name": "a", "users": ["b"]}]});
        let value = bad.to_owned();
        assert_eq!(
            read_invocation(&document),
            Err(DocumentError::Version { value })
        );
    }
    let document = json!({"version": "2", "rules": [{"name": "a", "cooldown": "1s"}]});
    let error = read_limits(&document).unwrap_err();
    assert_eq!(error.to_string(), "`version` is `2`: write \"1\"");
}

#[test]
fn what_is_no_document_says_where() {
    for bad in [
        "",
        "null",
        "[]",
        "{",
        "{}",
        "nonsense",
        "{\"version\": \"1\"}",
        "{\"rules\": []}",
        "{\"version\": \"1\", \"rules\": {}}",
        "{\"version\": \"1\", \"rules\": [null]}",
        "{\"version\": \"1\", \"version\": \"1\", \"rules\": []}",
        "{\"version\": \"1\", \"rules\": [{\"name\": \"a\", \"name\": \"b\"}]}",
        "{\"version\": \"1\", \"rules\": [{}]}",
        "{\"version\": \"1\", \"rules\": [{\"name\": \"a\", \"users\": [\"b\"]}]} x",
        "{\"version\": \"1\0\", \"rules\": []}",
        "\u{feff}{\"version\": \"1\", \"rules\": []}",
    ] {
        for result in [
            InvocationPolicy::from_json(bad.as_bytes()).map(drop),
            RateLimitPolicy::from_json(bad.as_bytes()).map(drop),
        ] {
            assert!(
                matches!(result, Err(DocumentError::Syntax { .. })),
                "{bad}: {result:?}"
            );
        }
    }
    let latin = b"{\"version\": \"1\", \"rules\": [{\"name\": \"\xe4\", \"users\": [\"b\"]}]}";
    assert!(InvocationPolicy::from_json(latin).is_err());
    let rule = "{\"version\": \"1\", \"rules\": [\n{\"name\": \"a\",\n \"userz\": []}]}";
    let Err(DocumentError::Syntax { line, .. }) = rule.parse::<InvocationPolicy>() else {
        panic!("a misspelt field was read");
    };
    assert_eq!(line, 3);
}

#[test]
fn deep_and_large_documents_end_in_an_answer() {
    for open in [
        "[",
        "{\"a\":",
        "{\"version\": \"1\", \"rules\": [{\"users\": [",
    ] {
        let deep = open.repeat(100_000);
        assert!(InvocationPolicy::from_json(deep.as_bytes()).is_err());
        assert!(RateLimitPolicy::from_json(deep.as_bytes()).is_err());
    }
    let ten_megabytes = "x".repeat(10 << 20);
    let error = invocation_fault("users", json!([ten_megabytes]));
    let characters = 10 << 20;
    assert_eq!(
        error.problem,
        Problem::Name(NameError::TooLong { characters })
    );
    let error = invocation_fault("name", json!(ten_megabytes));
    assert!(error.to_string().len() < 2_000, "a log is flooded");
    let error = read_invocation(&invocation_with(&ten_megabytes, json!(1))).unwrap_err();
    assert!(error.to_string().len() < 3_000, "a log is flooded");
    let users: Vec<String> = (0..500_000)
        .map(|number| format!("user-{number}"))
        .collect();
    let policy = read_invocation(&invocation_with("users", json!(users))).unwrap();
    assert!(policy.rules()[0].names_invoker(&user("user-499999")));
}

#[test]
fn more_than_64_mebibytes_are_not_read() {
    let most = 64 << 20;
    let mut json = invocation_with("users", json!(["alice"])).to_string();
    json.push_str(&" ".repeat(most - json.len()));
    assert!(json.parse::<InvocationPolicy>().is_ok());
    json.push(' ');
    let bytes = most + 1;
    let too_large = DocumentError::TooLarge { bytes, most };
    assert_eq!(json.parse::<InvocationPolicy>(), Err(too_large.clone()));
    assert_eq!(json.parse::<RateLimitPolicy>(), Err(too_large));
}
