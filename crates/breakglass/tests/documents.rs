//! Documents of rules: every field's good case, every mistake, every limit.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::time::Duration;

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

fn limits_fault(field: &str, value: Value) -> RuleError {
    match read_limits(&limits_with(field, value)) {
        Err(DocumentError::Rule(error)) => error,
        other => panic!("not a fault of the rule: {other:?}"),
    }
}

#[test]
fn a_document_with_every_field_means_what_it_says() {
    let policy = read_invocation(&json!({"version": "1", "rules": [{
        "name": "on-call", "profiles": ["prod"], "users": ["alice"],
        "allowed_reason_codes": ["incident", "recovery"],
        "time": {"days": ["monday"], "hours": {"start": "09:00", "end": "17:00"},
                 "timezone": "Europe/London"},
        "max_duration": "1h30m", "mfa": {"required": true, "methods": ["sms"], "max_age": "90s"},
        "responders": ["carol"], "reviewers": ["dave"], "after_review": true,
    }]}))
    .unwrap();
    let rule = policy.rule_for(&profile("prod")).unwrap();
    assert_eq!(rule.name(), "on-call");
    assert!(rule.names_invoker(&user("alice")) && !rule.names_invoker(&user("bob")));
    let codes = ReasonCode::ALL.map(|code| rule.allows_reason_code(code));
    assert_eq!(codes, [true, false, false, true, false]);
    assert!(rule.time().unwrap().contains(time("2026-03-02T09:00:00Z")));
    assert_eq!(rule.max_duration(), Some(Duration::from_secs(5_400)));
    assert!(rule.requires_mfa());
    assert_eq!(MfaMethod::ALL.map(|m| rule.allows_method(m)), [false, true]);
    assert_eq!(rule.responders(), [user("carol")]);
    assert!(rule.names_responder(&user("carol")) && !rule.names_responder(&user("Carol")));
    assert_eq!(rule.max_proof_age(), Duration::from_secs(90));
    assert_eq!(rule.reviewers(), [user("dave")]);
    assert!(rule.names_reviewer(&user("dave")) && !rule.names_reviewer(&user("carol")));
    assert!(rule.after_review());
    assert!(policy.rule_for(&profile("PROD")).is_none());

    let policy = read_limits(&json!({"version": "1", "rules": [{
        "name": "all", "profiles": ["prod"], "cooldown": "30m", "max_per_user": 2,
        "max_per_profile": 5, "quota_window": "24h", "escalation_threshold": 1,
    }]}))
    .unwrap();
    let rule = policy.rule_for(&profile("prod")).unwrap();
    assert_eq!(rule.name(), "all");
    assert_eq!(rule.cooldown(), Some(Duration::from_secs(1_800)));
    assert_eq!(rule.quota_window(), Some(24 * HOUR));
    let counts = [
        rule.max_per_user(),
        rule.max_per_profile(),
        rule.escalation_threshold(),
    ];
    assert_eq!(counts.map(|count| count.unwrap().get()), [2, 5, 1]);
    assert!(policy.rule_for(&profile("prod2")).is_none());
}

#[test]
fn what_is_absent_restricts_nothing() {
    let policy = invocation(r#""profiles": ["prod"]"#);
    let rule = &policy.rules()[0];
    assert!(rule.names_invoker(&user("anybody")));
    assert!(
        ReasonCode::ALL
            .iter()
            .all(|code| rule.allows_reason_code(*code))
    );
    assert_eq!((rule.time(), rule.max_duration()), (None, None));
    assert!(!rule.requires_mfa() && rule.allows_method(MfaMethod::Sms));
    assert!(rule.responders().is_empty() && rule.reviewers().is_empty());
    assert!(!rule.after_review());
    assert_eq!(rule.max_proof_age(), Duration::from_secs(300));
    let policy = limits(r#""cooldown": "1s""#);
    assert!(policy.rules()[0].applies_to(&profile("anything")));
}

#[test]
fn responders_review_where_no_reviewers_are_named() {
    let policy = invocation(r#""profiles": ["prod"], "responders": ["carol"]"#);
    assert_eq!(policy.rules()[0].reviewers(), [user("carol")]);
}

#[test]
fn who_demands_a_review_says_who_reviews() {
    let error = invocation_fault("after_review", json!(true));
    assert_eq!(error.field, "reviewers");
    assert_eq!(
        error.problem.to_string(),
        "it is missing: name who reviews, in reviewers or responders"
    );
    for who in ["reviewers", "responders"] {
        invocation(&format!(
            r#""users": ["alice"], "after_review": true, "{who}": ["carol"]"#
        ));
    }
    invocation(r#""users": ["alice"], "after_review": false"#);
}

#[test]
fn the_first_rule_for_the_profile_applies_and_no_other() {
    let policy = read_invocation(&json!({"version": "1", "rules": [
        {"name": "first", "profiles": ["prod"], "users": ["alice"]},
        {"name": "second", "users": ["bob"]},
    ]}))
    .unwrap();
    let name = |wanted: &str| policy.rule_for(&profile(wanted)).map(|rule| rule.name());
    assert_eq!(name("prod"), Some("first"));
    assert_eq!(name("dev"), Some("second"));
}

#[test]
fn a_policy_is_written_as_it_was_read() {
    let document = invocation_with("mfa", json!({"required": true, "methods": ["totp"]}));
    let policy = read_invocation(&document).unwrap();
    assert_eq!(serde_json::to_value(&policy).unwrap(), document);
    assert_eq!(
        serde_json::from_value::<InvocationPolicy>(document).unwrap(),
        policy
    );
    let document = limits_with("cooldown", json!("2h"));
    let policy = read_limits(&document).unwrap();
    assert_eq!(serde_json::to_value(&policy).unwrap(), document);
    assert_eq!(
        serde_json::from_value::<RateLimitPolicy>(document).unwrap(),
        policy
    );
}

#[test]
fn an_empty_list_is_an_error_and_means_neither_everyone_nor_nobody() {
    for field in [
        "profiles",
        "users",
        "allowed_reason_codes",
        "responders",
        "reviewers",
    ] {
        let error = invocation_fault(field, json!([]));
        assert_eq!(error.field, field);
        assert!(matches!(error.problem, Problem::Empty { .. }), "{error}");
    }
    let error = invocation_fault("mfa", json!({"required": false, "methods": []}));
    assert_eq!(error.field, "mfa.methods");
    assert!(matches!(error.problem, Problem::Empty { .. }), "{error}");
    let error = limits_fault("profiles", json!([]));
    assert_eq!(error.field, "profiles");
    let none = json!({"version": "1", "rules": []});
    assert_eq!(read_invocation(&none), Err(DocumentError::NoRules));
    assert_eq!(read_limits(&none), Err(DocumentError::NoRules));
}

#[test]
fn names_in_lists_are_checked_one_by_one() {
    for field in ["profiles", "users", "responders", "reviewers"] {
        for bad in ["", " ", "alice ", "\talice", "a\0b", "a\nb"] {
            let error = invocation_fault(field, json!(["alice", bad]));
            assert_eq!(error.field, format!("{field}[1]"), "{bad:?}");
            assert!(matches!(error.problem, Problem::Name(_)), "{error}");
        }
        for good in ["älice", "李", "a b", &"x".repeat(256)] {
            assert!(read_invocation(&invocation_with(field, json!([good]))).is_ok());
        }
        let error = invocation_fault(field, json!(["x".repeat(257)]));
        assert_eq!(
            error.problem,
            Problem::Name(NameError::TooLong { characters: 257 })
        );
    }
    assert_eq!(
        limits_fault("profiles", json!(["prod", " "])).field,
        "profiles[1]"
    );
}

#[test]
fn rules_have_names_and_no_two_the_same() {
    for bad in ["", " ", "a ", "a\nb", "a\0"] {
        for error in [
            invocation_fault("name", json!(bad)),
            limits_fault("name", json!(bad)),
        ] {
            assert_eq!(error.field, "name");
            assert!(matches!(error.problem, Problem::Name(_)), "{error}");
            assert!(!error.to_string().contains(['\n', '\0']), "{error:?}");
        }
    }
    let rule = |name: &str| json!({"name": name, "users": ["alice"], "profiles": ["prod"]});
    let twice = json!({"version": "1", "rules": [rule("a"), rule("b"), rule("a")]});
    let error = read_invocation(&twice).unwrap_err();
    assert_eq!(
        error.to_string(),
        "rule 2 `a`: `name`: rule 0 is called `a` already: give each rule its own name"
    );
    let rule = |name: &str| json!({"name": name, "cooldown": "1h"});
    let twice = json!({"version": "1", "rules": [rule("a"), rule("a")]});
    let error = read_limits(&twice).unwrap_err();
    let DocumentError::Rule(error) = error else {
        panic!("{error}");
    };
    let duplicate = Problem::DuplicateName {
        value: "a".into(),
        first: 0,
    };
    assert_eq!((error.index, error.problem), (1, duplicate));
    let different = json!({"version": "1", "rules": [rule("a"), rule("A")]});
    assert!(read_limits(&different).is_ok());
}

#[test]
fn a_rule_without_a_condition_would_be_for_everyone_and_everything() {
    let bare = json!({"version": "1", "rules": [{"name": "all", "responders": ["carol"]}]});
    let error = read_invocation(&bare).unwrap_err();
    assert_eq!(
        error.to_string(),
        "rule 0 `all`: `users`: it is missing: \
         state users, profiles, allowed_reason_codes, time, max_duration or mfa"
    );
    for condition in [
        r#""users": ["a"]"#,
        r#""profiles": ["a"]"#,
        r#""allowed_reason_codes": ["other"]"#,
        r#""time": {"days": ["monday"]}"#,
        r#""max_duration": "1s""#,
        r#""mfa": {"required": false}"#,
    ] {
        assert_eq!(invocation(condition).rules().len(), 1);
    }
}

#[test]
fn reason_codes_and_methods_are_known_or_refused() {
    for bad in ["Incident", "incident ", "outage", "", "other\n"] {
        let error = invocation_fault("allowed_reason_codes", json!(["incident", bad]));
        assert_eq!(error.field, "allowed_reason_codes[1]");
        let Problem::UnknownReasonCode { value } = &error.problem else {
            panic!("{error}");
        };
        assert_eq!(*value, bad.replace('\n', "\\n"));
        assert!(
            error.to_string().contains("write incident, maintenance"),
            "{error}"
        );
    }
    for bad in ["TOTP", "email", ""] {
        let error = invocation_fault("mfa", json!({"required": true, "methods": [bad]}));
        assert_eq!(error.field, "mfa.methods[0]");
        assert_eq!(error.problem, Problem::UnknownMethod { value: bad.into() });
    }
    for code in ReasonCode::ALL {
        let document = invocation_with("allowed_reason_codes", json!([code.as_str()]));
        assert!(read_invocation(&document).is_ok());
        assert_eq!(code.to_string().parse(), Ok(code));
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
    }
}

#[test]
fn windows_name_their_field() {
    for (value, field) in [
        (json!({}), "time"),
        (json!({"timezone": "Europe/London"}), "time"),
        (json!({"days": []}), "time.days"),
        (json!({"days": ["Monday"]}), "time.days"),
        (
            json!({"days": ["monday"], "timezone": "Mars/Base"}),
            "time.timezone",
        ),
        (
            json!({"hours": {"start": "9:00", "end": "10:00"}}),
            "time.hours.start",
        ),
        (
            json!({"hours": {"start": "09:00", "end": "24:00"}}),
            "time.hours.end",
        ),
        (
            json!({"hours": {"start": "09:00", "end": "09:00"}}),
            "time.hours",
        ),
    ] {
        let error = invocation_fault("time", value);
        assert_eq!(error.field, field, "{error}");
        assert!(matches!(error.problem, Problem::Window(_)), "{error}");
    }
}

#[test]
fn durations_are_neither_zero_nor_bare_numbers_nor_endless() {
    let bad = [
        json!("0s"),
        json!(""),
        json!("-1h"),
        json!("1d"),
        json!("90"),
        json!(3600),
        json!(-1),
        json!(1.5),
        json!("1.5h"),
        json!("87600h1s"),
        json!("99999999999999999999h"),
    ];
    for value in bad {
        for error in [
            invocation_fault("max_duration", value.clone()),
            limits_fault("cooldown", value.clone()),
            limits_fault("quota_window", value.clone()),
        ] {
            assert!(matches!(error.problem, Problem::Duration(_)), "{error}");
        }
        assert_eq!(
            invocation_fault("max_duration", value.clone()).field,
            "max_duration"
        );
        assert_eq!(limits_fault("quota_window", value).field, "quota_window");
    }
    for good in ["1s", "87600h"] {
        assert!(read_invocation(&invocation_with("max_duration", json!(good))).is_ok());
        assert!(read_limits(&limits_with("cooldown", json!(good))).is_ok());
        assert!(read_limits(&limits_with("quota_window", json!(good))).is_ok());
    }
}

#[test]
fn counts_are_whole_numbers_from_one() {
    for field in ["max_per_user", "max_per_profile", "escalation_threshold"] {
        for bad in [
            json!(0),
            json!(-1),
            json!(1.5),
            json!(1.0),
            json!(4_294_967_296_u64),
        ] {
            let error = limits_fault(field, bad.clone());
            assert_eq!(error.field, field);
            let value = bad.to_string();
            assert_eq!(error.problem, Problem::Count { value });
        }
        for good in [1, u32::MAX] {
            assert!(read_limits(&limits_with(field, json!(good))).is_ok());
        }
    }
}

#[test]
fn what_counts_needs_a_window_and_a_window_something_that_counts() {
    for field in ["max_per_user", "max_per_profile", "escalation_threshold"] {
        let rule = json!({"name": "all", field: 1});
        let error = read_limits(&json!({"version": "1", "rules": [rule]})).unwrap_err();
        let DocumentError::Rule(error) = error else {
            panic!("{error}");
        };
        assert_eq!(error.field, "quota_window");
        assert!(matches!(error.problem, Problem::Missing { .. }), "{error}");
        let rule = json!({"name": "all", field: 1, "quota_window": "1h"});
        assert!(read_limits(&json!({"version": "1", "rules": [rule]})).is_ok());
    }
    for rule in [
        json!({"name": "all", "quota_window": "1h"}),
        json!({"name": "all", "quota_window": "1h", "cooldown": "1h"}),
    ] {
        let error = read_limits(&json!({"version": "1", "rules": [rule]})).unwrap_err();
        assert!(
            matches!(&error, DocumentError::Rule(error) if matches!(error.problem, Problem::Unused { .. })),
            "{error}"
        );
    }
    let nothing = json!({"version": "1", "rules": [{"name": "all", "profiles": ["prod"]}]});
    let error = read_limits(&nothing).unwrap_err();
    assert_eq!(
        error.to_string(),
        "rule 0 `all`: `cooldown`: it is missing: \
         state cooldown, max_per_user, max_per_profile or escalation_threshold"
    );
}

#[test]
fn the_look_back_of_limits_is_the_longest_of_any_rule() {
    let policy = read_limits(&json!({"version": "1", "rules": [
        {"name": "a", "cooldown": "30m"},
        {"name": "b", "max_per_user": 1, "quota_window": "24h"},
        {"name": "c", "cooldown": "48h"},
    ]}))
    .unwrap();
    assert_eq!(policy.longest_look_back(), 48 * HOUR);
    assert_eq!(
        RateLimitPolicy::unlimited().longest_look_back(),
        Duration::ZERO
    );
}

#[test]
fn a_list_in_the_place_of_a_document_is_refused() {
    let list = r#"["1", [{"name": "all", "users": ["bob"]}]]"#;
    let error = list.parse::<countersign_breakglass::InvocationPolicy>();
    assert!(matches!(
        error,
        Err(countersign_breakglass::DocumentError::Syntax { .. })
    ));
    let trailing = r#"{"version": "1", "rules": [{"name": "a", "cooldown": "1h"}]} {}"#;
    let error = trailing.parse::<countersign_breakglass::RateLimitPolicy>();
    assert!(matches!(
        error,
        Err(countersign_breakglass::DocumentError::Syntax { .. })
    ));
}

#[test]
fn values_in_a_message_are_escaped_and_shortened() {
    let long = "x".repeat(100_000);
    for value in ["\u{1b}[2K\nall is well", long.as_str()] {
        for window in [
            json!({"days": [value]}),
            json!({"days": ["monday"], "timezone": value}),
            json!({"hours": {"start": value, "end": "17:00"}}),
        ] {
            let message = invocation_fault("time", window).to_string();
            assert!(message.starts_with("rule 0 `on-call`: `time."), "{message}");
            assert!(!message.contains(char::is_control), "{message:?}");
            assert!(message.len() < 1_000, "{} bytes", message.len());
        }
    }
    let short = invocation_fault("time", json!({"days": ["mönday"]})).to_string();
    assert!(short.contains("`mönday`"), "{short}");
}
