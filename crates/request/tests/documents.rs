//! The document of approval rules: every field good and bad, and for everything bad an error that
//! names the field, the value and the fix.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_request::{
    ApprovalDocument, ApprovalPolicy, DocumentError, Problem, Profile, RuleError, User,
};
use serde_json::{Value, json};

fn user(name: &str) -> User {
    User::new(name).unwrap()
}

fn profile(name: &str) -> Profile {
    Profile::new(name).unwrap()
}

fn at(time: &str) -> DateTime<Utc> {
    time.parse().unwrap()
}

/// A document with a good rule before this one.
fn with_rule(rule: Value) -> String {
    json!({"version": "1", "rules": [{"name": "good", "approvers": ["bob"]}, rule]}).to_string()
}

/// A document whose second rule has this automatic approval.
fn with_auto(auto: Value) -> String {
    with_rule(json!({"name": "spoilt", "approvers": ["bob"], "auto_approve": auto}))
}

fn read(document: &str) -> Result<ApprovalPolicy, DocumentError> {
    document.parse()
}

/// The document is refused, with a message that has all these parts.
#[track_caller]
fn refused(document: &str, parts: &[&str]) -> DocumentError {
    let error = match read(document) {
        Err(error) => error,
        Ok(_) => panic!("taken: {document}"),
    };
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "no `{part}` in: {message}");
    }
    let printable = |c: char| !c.is_control();
    assert!(message.chars().all(printable), "unprintable: {message:?}");
    error
}

/// The second rule is refused at this field, with a message that has all these parts.
#[track_caller]
fn rule_refused(document: &str, field: &str, parts: &[&str]) -> Problem {
    match refused(document, parts) {
        DocumentError::Rule(RuleError {
            index: 1,
            field: named,
            problem,
            ..
        }) if named == field => problem,
        other => panic!("not rule 1 and `{field}`: {other:?}"),
    }
}

#[test]
fn a_good_document_means_what_it_says() {
    let policy = read(
        r#"{"version": "1", "rules": [
            {"name": "first", "profiles": ["prod", "PROD"], "approvers": ["bob", "carol"]},
            {"name": "rest", "approvers": ["dave"], "auto_approve": {
                "users": ["alice"], "max_duration": "1h30m",
                "time": {"days": ["monday"], "hours": {"start": "22:00", "end": "06:00"},
                         "timezone": "Europe/London"}}}]}"#,
    )
    .unwrap();
    assert_eq!(policy.rules().len(), 2);
    let first = policy.rule_for(&profile("prod")).unwrap();
    assert_eq!(first.name(), "first");
    assert_eq!(first.approvers(), [user("bob"), user("carol")]);
    assert!(first.auto_approval().is_none());
    assert!(first.names_approver(&user("bob")));
    assert!(!first.names_approver(&user("Bob")), "exactly so spelt");
    let others: Vec<_> = first.approvers_for(&user("BOB")).cloned().collect();
    assert_eq!(others, [user("carol")]);
    assert_eq!(policy.rule_for(&profile("PROD")).unwrap().name(), "first");

    let rest = policy.rule_for(&profile("Prod")).unwrap();
    assert_eq!(rest.name(), "rest");
    let auto = rest.auto_approval().unwrap();
    let (alice, long) = (user("alice"), Duration::from_secs(5_400));
    let night = at("2026-03-03T05:59:59Z"); // Monday's night, on Tuesday
    assert!(auto.holds(&alice, long, night));
    assert!(auto.holds(&alice, long, at("2026-03-02T22:00:00Z")));
    assert!(!auto.holds(&alice, long, at("2026-03-02T21:59:59Z")));
    assert!(!auto.holds(&alice, long, at("2026-03-03T06:00:00Z")));
    assert!(
        !auto.holds(&alice, long, at("2026-03-02T05:59:59Z")),
        "Sunday's night"
    );
    assert!(!auto.holds(&alice, long + Duration::from_nanos(1), night));
    assert!(!auto.holds(&user("Alice"), long, night));
}

#[test]
fn each_condition_of_automatic_approval_may_stand_alone() {
    let holds = |auto: Value, who: &str, hours: u64, when: &str| {
        let policy = read(&with_auto(auto)).unwrap();
        let auto = policy.rules()[1].auto_approval().unwrap().clone();
        auto.holds(&user(who), Duration::from_secs(hours * 3600), at(when))
    };
    let (monday, tuesday) = ("2026-03-02T09:00:00Z", "2026-03-03T09:00:00Z");
    let users = json!({"users": ["alice"]});
    assert!(holds(users.clone(), "alice", 8, tuesday));
    assert!(!holds(users, "bob", 8, tuesday));
    let time = json!({"time": {"days": ["monday"]}});
    assert!(holds(time.clone(), "bob", 8, monday));
    assert!(!holds(time, "bob", 8, tuesday));
    let most = json!({"max_duration": "1h"});
    assert!(holds(most.clone(), "bob", 1, tuesday));
    assert!(!holds(most, "bob", 2, tuesday));
}

#[test]
fn unknown_and_misspelt_fields_are_refused_at_every_level() {
    let with_time = |time: Value| with_auto(json!({ "time": time }));
    let hours = json!({"start": "09:00", "end": "10:00", "ends": "11:00"});
    for (document, field, expected) in [
        (
            json!({"version": "1", "rules": [], "rule": []}).to_string(),
            "rule",
            "`rules`",
        ),
        (
            with_rule(json!({"name": "a", "profile": ["prod"], "approvers": ["bob"]})),
            "profile",
            "`profiles`",
        ),
        (
            with_rule(json!({"name": "a", "approver": ["bob"]})),
            "approver",
            "`approvers`",
        ),
        (
            with_rule(json!({"name": "a", "group": [{"name": "g"}]})),
            "group",
            "`groups`",
        ),
        (with_auto(json!({"user": ["alice"]})), "user", "`users`"),
        (
            with_auto(json!({"maxDuration": "1h"})),
            "maxDuration",
            "`max_duration`",
        ),
        (with_time(json!({"day": ["monday"]})), "day", "`days`"),
        (with_time(json!({"hours": hours})), "ends", "`end`"),
    ] {
        let unknown = format!("unknown field `{field}`");
        let error = refused(&document, &["line 1, column", &unknown, expected]);
        assert!(matches!(error, DocumentError::Syntax { line: 1, .. }));
        if document.contains("good") {
            assert!(error.to_string().contains("rules[1]"), "{error}");
        }
    }
}

#[test]
fn values_of_another_type_are_refused_with_their_field() {
    let rule = |field: &str, value: &Value| {
        let mut rule = json!({"name": "a", "approvers": ["bob"]});
        rule[field] = value.clone();
        with_rule(rule)
    };
    let auto = |field: &str, value: &Value| with_auto(json!({ field: value }));
    for value in [json!(null), json!(7), json!(true), json!({"a": 1})] {
        let found = match &value {
            Value::Null => "null",
            Value::Number(_) => "integer `7`",
            Value::Bool(_) => "boolean `true`",
            _ => "map",
        };
        for (document, field) in [
            (
                json!({"version": value, "rules": []}).to_string(),
                "version",
            ),
            (rule("name", &value), "name"),
            (rule("profiles", &value), "profiles"),
            (rule("approvers", &value), "approvers"),
            (auto("users", &value), "users"),
        ] {
            let field = format!("`{field}`");
            refused(&document, &["line 1, column", &field, found, "expected a"]);
        }
        if !value.is_object() {
            refused(&rule("auto_approve", &value), &["`auto_approve`", found]);
            refused(&auto("time", &value), &["`auto_approve`", "`time`", found]);
        }
        if !value.is_number() {
            refused(
                &auto("max_duration", &value),
                &["`max_duration`", found, "expected a duration such as"],
            );
        }
    }
    refused(
        &rule("approvers", &json!("bob")),
        &["`approvers`", "expected a sequence"],
    );
    refused(&rule("approvers", &json!([null])), &["`approvers`", "null"]);
    refused(&rule("profiles", &json!([7])), &["`profiles`", "`7`"]);
    for rules in ["null", "{}", "\"a\"", "[null]", "[[]]", "[7]"] {
        refused(
            &format!(r#"{{"version": "1", "rules": {rules}}}"#),
            &["line 1, column"],
        );
    }
    for field in ["days", "hours", "timezone"] {
        let document = with_auto(json!({"time": {"days": ["monday"], field: null}}));
        refused(&document, &["`time`", "null"]);
    }
}

#[test]
fn fields_that_are_missing_or_given_twice_are_named() {
    refused("{}", &["missing field `version`"]);
    refused(r#"{"version": "1"}"#, &["missing field `rules`"]);
    refused(r#"{"rules": []}"#, &["missing field `version`"]);
    refused(
        &with_rule(json!({"approvers": ["bob"]})),
        &["rules[1]", "missing field `name`"],
    );
    rule_refused(
        &with_rule(json!({"name": "spoilt"})),
        "approvers",
        &[
            "rule 1 `spoilt`",
            "`approvers`",
            "missing",
            "name who may decide",
        ],
    );
    let hours = with_auto(json!({"time": {"hours": {"start": "09:00"}}}));
    refused(&hours, &["missing field `end`"]);
    for (document, field) in [
        (
            r#"{"version": "1", "version": "1", "rules": []}"#,
            "version",
        ),
        (r#"{"version": "1", "rules": [], "rules": []}"#, "rules"),
        (
            r#"{"version": "1", "rules": [{"name": "a", "approvers": ["bob"], "approvers": ["eve"]}]}"#,
            "approvers",
        ),
        (
            r#"{"version": "1", "rules": [{"name": "a", "approvers": ["bob"],
                "auto_approve": {"users": ["alice"], "users": ["eve"]}}]}"#,
            "users",
        ),
    ] {
        refused(document, &["duplicate field", &format!("`{field}`")]);
    }
}

#[test]
fn versions_other_than_1_are_refused() {
    for version in ["", "2", "1.0", " 1", "one", "1\0"] {
        let document = json!({"version": version, "rules": [{"name": "a", "approvers": ["b"]}]});
        let error = refused(&document.to_string(), &["`version`", "write \"1\""]);
        assert!(
            matches!(&error, DocumentError::Version { .. }),
            "{version:?}: {error:?}"
        );
    }
}

#[test]
fn what_is_present_but_empty_is_refused() {
    let error = refused(
        r#"{"version": "1", "rules": []}"#,
        &["`rules` is empty", "at least one rule"],
    );
    assert_eq!(error, DocumentError::NoRules);
    let empty = |document: String, field: &str, fix: &str| {
        let problem = rule_refused(&document, field, &[field, "it is empty", fix]);
        assert!(matches!(problem, Problem::Empty { .. }));
    };
    empty(
        with_rule(json!({"name": "a", "profiles": [], "approvers": ["bob"]})),
        "profiles",
        "leave it out for every profile",
    );
    empty(
        with_rule(json!({"name": "a", "approvers": []})),
        "approvers",
        "name who may decide",
    );
    empty(with_auto(json!({})), "auto_approve", "or leave it out");
    empty(
        with_auto(json!({"users": []})),
        "auto_approve.users",
        "leave it out for anyone",
    );
    let time = with_auto(json!({"time": {}}));
    rule_refused(&time, "auto_approve.time", &["restricts nothing"]);
}

#[test]
fn names_of_rules_are_unique_and_well_formed() {
    let named = |name: &str| with_rule(json!({"name": name, "approvers": ["bob"]}));
    let problem = rule_refused(
        &named("good"),
        "name",
        &["rule 1 `good`", "rule 0 is called `good`", "its own name"],
    );
    assert!(matches!(problem, Problem::DuplicateName { first: 0, .. }));
    for (name, says) in [
        ("", "the name is empty"),
        (" ", "white space"),
        (" a", "white space"),
        ("a\u{3000}", "white space"),
        ("a\u{0}b", "control character"),
        ("a\nb", "control character"),
    ] {
        rule_refused(&named(name), "name", &["rule 1", "`name`", says]);
    }
    assert!(
        read(&named("Good")).is_ok(),
        "another spelling is another name"
    );
    assert!(read(&named(&"語".repeat(256))).is_ok());
    rule_refused(
        &named(&"語".repeat(257)),
        "name",
        &["257 characters", "256"],
    );
}

#[test]
fn names_of_people_and_profiles_are_well_formed_and_say_where() {
    for (name, says) in [
        ("", "is empty"),
        ("\t", "control character"),
        ("   ", "white space"),
        ("bob ", "`bob `"),
        ("bo\u{0}b", "`bo\\0b`"),
        ("b\u{7f}", "control character"),
    ] {
        for (document, field) in [
            (
                with_rule(json!({"name": "a", "profiles": ["x", name], "approvers": ["bob"]})),
                "profiles[1]",
            ),
            (
                with_rule(json!({"name": "a", "approvers": ["x", name]})),
                "approvers[1]",
            ),
            (
                with_auto(json!({"users": ["x", name]})),
                "auto_approve.users[1]",
            ),
        ] {
            let problem = rule_refused(&document, field, &[field, says]);
            assert!(matches!(problem, Problem::Name(_)), "{problem:?}");
        }
    }
    let unusual = with_rule(json!({"name": "ключ 🔑", "profiles": ["prod db"],
        "approvers": ["Zoë Ångström", "佐藤@example.jp"]}));
    let policy = read(&unusual).unwrap();
    assert!(policy.rules()[1].names_approver(&user("佐藤@example.jp")));
}

#[test]
fn windows_are_refused_with_field_value_and_fix() {
    let spoilt = |time: Value, field: &str, parts: &[&str]| {
        let field = format!("auto_approve.time{field}");
        let problem = rule_refused(&with_auto(json!({ "time": time })), &field, parts);
        assert!(matches!(problem, Problem::Window(_)), "{problem:?}");
    };
    spoilt(
        json!({"timezone": "Europe/London"}),
        "",
        &["neither days nor hours", "leave it out"],
    );
    spoilt(
        json!({"days": []}),
        ".days",
        &["`days` is empty", "name a day"],
    );
    for day in ["Monday", "mon", "", " monday", "montag", "1", "monday\0"] {
        let shown = day.replace('\0', "\\0");
        spoilt(
            json!({"days": ["friday", day]}),
            ".days",
            &[&shown, "is not a day", "write monday"],
        );
    }
    for hour in [
        "9:00",
        "24:00",
        "09:60",
        "",
        "0900",
        "09:00:00",
        " 09:00",
        "０９:00",
        "-1:00",
    ] {
        let says = [hour, "is not a time of day", "write `HH:MM`"];
        spoilt(
            json!({"hours": {"start": hour, "end": "17:00"}}),
            ".hours.start",
            &says,
        );
        spoilt(
            json!({"hours": {"start": "17:00", "end": hour}}),
            ".hours.end",
            &says,
        );
    }
    spoilt(
        json!({"hours": {"start": "09:00", "end": "09:00"}}),
        ".hours",
        &["`09:00`", "never open", "leave `hours` out"],
    );
    for zone in [
        "Europe/Londn",
        "",
        "+01:00",
        "Mars/Olympus",
        "europe/london ",
    ] {
        spoilt(
            json!({"days": ["monday"], "timezone": zone}),
            ".timezone",
            &[zone, "is not a zone", "IANA name"],
        );
    }
    for (start, end) in [("00:00", "23:59"), ("23:59", "00:00"), ("22:00", "06:00")] {
        let time = json!({"hours": {"start": start, "end": end}});
        assert!(read(&with_auto(json!({ "time": time }))).is_ok());
    }
}

#[test]
fn durations_are_refused_with_field_value_and_fix() {
    for (given, shown, fix) in [
        (json!("0s"), "`0s`", "longer than zero"),
        (json!("0h0m"), "`0h0m`", "longer than zero"),
        (json!(""), "``", "such as `1h30m`"),
        (json!("-1h"), "`-1h`", "such as `1h30m`"),
        (json!("60"), "`60`", "such as `1h30m`"),
        (json!(3600), "`3600`", "such as `1h30m`"),
        (json!(0), "`0`", "such as `1h30m`"),
        (json!(-1), "`-1`", "such as `1h30m`"),
        (json!(1.5), "`1.5`", "such as `1h30m`"),
        (json!("1.5h"), "`1.5h`", "such as `1h30m`"),
        (json!("1d"), "`1d`", "such as `1h30m`"),
        (json!("30m1h"), "`30m1h`", "such as `1h30m`"),
        (json!("1h\0"), "`1h\\0`", "such as `1h30m`"),
        (json!("１h"), "`１h`", "such as `1h30m`"),
        (json!("87600h1s"), "`87600h1s`", "at most `87600h`"),
        (
            json!("99999999999999999999h"),
            "`99999999999999999999h`",
            "at most",
        ),
    ] {
        let problem = rule_refused(
            &with_auto(json!({ "max_duration": given })),
            "auto_approve.max_duration",
            &["auto_approve.max_duration", shown, fix],
        );
        assert!(matches!(problem, Problem::Duration(_)), "{problem:?}");
    }
    for good in ["1s", "8h", "1h30m5s", "87600h"] {
        assert!(read(&with_auto(json!({ "max_duration": good }))).is_ok());
    }
}

#[test]
fn what_is_not_json_says_where() {
    for (document, line) in [
        ("", 1),
        ("nonsense", 1),
        ("{\"version\": \"1\",\n \"rules\": [,]}", 2),
        ("{\"version\": \"1\", \"rules\": []}\n\n x", 3),
        (
            "{\"version\": \"1\", \"rules\": [{\"name\": \"a\u{0}\"}]}",
            1,
        ),
        ("\u{feff}{}", 1),
    ] {
        let error = refused(document, &[&format!("line {line}, column")]);
        let at = |error: &DocumentError| match error {
            DocumentError::Syntax { line, .. } => *line,
            other => panic!("{other:?}"),
        };
        assert_eq!(at(&error), line, "{document:?}: {error}");
    }
    let bytes = b"{\"version\": \"\xff\", \"rules\": []}";
    let error = ApprovalPolicy::from_json(bytes).unwrap_err();
    assert!(matches!(error, DocumentError::Syntax { .. }), "{error}");
    let misspelt = "{\"version\": \"1\", \"rules\": [\n{\"name\": \"a\", \"approvers\": [\"b\"]},\n{\"nam\": 1}]}";
    refused(
        misspelt,
        &["line 3, column 6", "rules[1]", "`nam`", "`name`"],
    );
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let deep = "[".repeat(1_000_000);
    for document in [
        deep.clone(),
        format!(r#"{{"version": "1", "rules": {deep}"#),
        format!(r#"{{"version": "1", "rules": [{{"name": {deep}"#),
        format!(r#"{{"version": "1", "extra": {deep}"#),
        "{\"a\":".repeat(1_000_000),
    ] {
        let error = read(&document).unwrap_err();
        assert!(matches!(error, DocumentError::Syntax { .. }), "{error}");
        assert!(error.to_string().len() < 1_000, "a short message");
    }
}

#[test]
fn a_document_of_ten_megabytes_is_read_or_refused() {
    let approvers: Vec<String> = (0..5).map(|n| format!("{n}{}", "x".repeat(220))).collect();
    let rules: Vec<Value> = (0..10_000)
        .map(|number| {
            let profile = format!("profile-{number}");
            json!({"name": format!("rule-{number}"), "profiles": [profile], "approvers": approvers})
        })
        .collect();
    let document = json!({"version": "1", "rules": rules}).to_string();
    assert!(document.len() > 10 << 20, "{} bytes", document.len());
    let policy = read(&document).unwrap();
    let rule = policy.rule_for(&profile("profile-9999")).unwrap();
    assert_eq!(rule.name(), "rule-9999");
    // The last rule takes the first one's name.
    let spoilt = document.replace("\"rule-9999\"", "\"rule-0\"");
    refused(
        &spoilt,
        &["rule 9999 `rule-0`", "rule 0 is called `rule-0`"],
    );

    let one_name = json!({"version": "1", "rules": [{"name": "a".repeat(10 << 20)}]}).to_string();
    let error = read(&one_name).unwrap_err();
    let DocumentError::Rule(rule) = error else {
        panic!("{error:?}")
    };
    assert_eq!((rule.index, rule.field.as_str()), (0, "name"));
    assert!(rule.to_string().len() < 5_000, "the message repeats it all");
}

#[test]
fn messages_stay_on_one_line_and_short_whatever_the_document_holds() {
    let evil = "\u{1b}[2Jx\n\r\u{0}";
    for document in [
        json!({"version": evil, "rules": [{"name": "a", "approvers": ["b"]}]}).to_string(),
        with_rule(json!({ evil: 1 })),
        with_rule(json!({"name": evil, "approvers": ["b"]})),
        with_auto(json!({ "max_duration": evil })),
        with_auto(json!({ "time": {"days": [evil]} })),
        with_auto(json!({ "time": {"days": ["monday"], "timezone": evil} })),
    ] {
        refused(&document, &["[2Jx"]);
        let long = document.replace("[2Jx", &"x".repeat(1 << 20));
        let message = read(&long).unwrap_err().to_string();
        assert!(message.len() < 5_000, "{} bytes", message.len());
    }
}

#[test]
fn more_bytes_than_are_read_are_refused_before_they_are_parsed() {
    let most = 64 << 20;
    let mut document =
        b"{\"version\": \"1\", \"rules\": [{\"name\": \"a\", \"approvers\": [\"b\"]}]}".to_vec();
    document.resize(most, b' ');
    assert!(ApprovalPolicy::from_json(&document).is_ok());
    document.push(b' ');
    let error = ApprovalPolicy::from_json(&document).unwrap_err();
    let bytes = most + 1;
    assert_eq!(error, DocumentError::TooLarge { bytes, most });
    assert!(error.to_string().contains("67108864"), "{error}");
}

#[test]
fn a_policy_goes_through_serde_and_back() {
    let document = with_auto(json!({
        "users": ["alice"], "max_duration": "1h30m",
        "time": {"days": ["monday"], "hours": {"start": "22:00", "end": "06:00"}, "timezone": "Europe/London"}
    }));
    let policy = read(&document).unwrap();
    let written = serde_json::to_string(&policy).unwrap();
    assert!(!written.contains("null"), "{written}");
    assert_eq!(
        serde_json::from_str::<ApprovalPolicy>(&written).unwrap(),
        policy
    );
    let same: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(serde_json::to_value(&policy).unwrap(), same);
    let plain = ApprovalDocument::from(policy.clone());
    assert_eq!(ApprovalPolicy::try_from(plain).unwrap(), policy);

    // Serde checks as much as `from_json` does.
    let spoilt = with_rule(json!({"name": "good", "approvers": ["bob"]}));
    let error = serde_json::from_str::<ApprovalPolicy>(&spoilt).unwrap_err();
    assert!(error.to_string().contains("its own name"), "{error}");
    let spoilt: Value = serde_json::from_str(&with_auto(json!({}))).unwrap();
    assert!(serde_json::from_value::<ApprovalPolicy>(spoilt).is_err());
}

#[test]
fn a_list_in_the_place_of_the_document_is_refused() {
    let list = r#"["1", [{"name": "all", "approvers": ["bob"]}]]"#;
    assert!(matches!(read(list), Err(DocumentError::Syntax { .. })));
    let trailing = r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob"]}]} {}"#;
    assert!(matches!(read(trailing), Err(DocumentError::Syntax { .. })));
}
