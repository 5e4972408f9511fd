//! Documents: every field's good case, each of its errors, and its limits. Each error is typed and
//! names rule, field, value and fix.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::time::Duration;

use common::{
    assert_one_line, document, fault, good_rule, policy, read, read_if, read_with, syntax,
};
use countersign_policy::{
    DocumentError, Effect, Mode, NameError, ParseDurationError, Problem, WindowError,
};
use serde_json::{Value, json};

#[test]
fn a_rule_with_every_field_keeps_every_field() {
    let rules = json!([{
        "name": "everything",
        "effect": "deny",
        "conditions": {
            "users": ["alice", "bob"],
            "groups": ["on-call"],
            "profiles": ["prod"],
            "profile_groups": ["databases"],
            "time": {
                "days": ["monday"],
                "hours": {"start": "22:00", "end": "06:00"},
                "timezone": "Europe/London",
            },
            "mode": ["server", "cli"],
        },
        "reason": "freeze",
        "hard": true,
        "max_server_duration": "1h30m",
        "session_table": "sessions",
    }]);
    let policy = policy(&rules);
    let rule = &policy.rules()[0];
    let conditions = rule.conditions();
    assert_eq!((rule.name(), rule.effect()), ("everything", Effect::Deny));
    assert_eq!(conditions.users().unwrap().len(), 2);
    assert_eq!(conditions.groups().unwrap()[0].as_str(), "on-call");
    assert_eq!(conditions.profiles().unwrap()[0].as_str(), "prod");
    assert_eq!(
        conditions.profile_groups().unwrap()[0].as_str(),
        "databases"
    );
    assert_eq!(
        conditions.time().unwrap().to_string(),
        "monday 22:00-06:00 Europe/London"
    );
    assert!(conditions.allow_mode(Some(Mode::Server)));
    assert!(conditions.allow_mode(Some(Mode::Cli)));
    assert!(!conditions.allow_mode(Some(Mode::CredentialProcess)));
    assert_eq!(rule.reason(), Some("freeze"));
    assert!(rule.is_hard());
    assert_eq!(rule.max_server_duration(), Some(Duration::from_secs(5_400)));
    assert_eq!(rule.session_table(), Some("sessions"));
    assert_eq!(serde_json::to_value(&policy).unwrap()["rules"], rules);
}

#[test]
fn documents_that_say_the_same_have_the_same_digest_and_others_have_not() {
    let digest = |rules: Value| policy(&rules).digest();
    let rule = |time: Value, mode: Value, length: &str| {
        json!([{"name": "a", "effect": "deny", "max_server_duration": length,
            "conditions": {"time": time, "mode": mode}}])
    };
    let one = digest(rule(
        json!({"days": ["sunday"]}),
        json!(["server", "cli"]),
        "1h30m",
    ));
    for same in [
        rule(
            json!({"days": ["sunday", "sunday"]}),
            json!(["cli", "server"]),
            "90m",
        ),
        rule(
            json!({"days": ["sunday"], "timezone": "UTC"}),
            json!(["server", "cli"]),
            "5400s",
        ),
    ] {
        assert_eq!(digest(same), one);
    }
    for other in [
        rule(
            json!({"days": ["monday"]}),
            json!(["server", "cli"]),
            "1h30m",
        ),
        rule(json!({"days": ["sunday"]}), json!(["server"]), "1h30m"),
        rule(
            json!({"days": ["sunday"]}),
            json!(["server", "cli"]),
            "1h30m1s",
        ),
    ] {
        assert_ne!(digest(other), one);
    }
    let forwards = digest(json!([good_rule("a"), good_rule("b")]));
    let backwards = digest(json!([good_rule("b"), good_rule("a")]));
    assert_ne!(forwards, backwards, "the order of rules decides");
    let mut soft = good_rule("a");
    soft["effect"] = "deny".into();
    let plain = digest(json!([soft]));
    soft["hard"] = false.into();
    assert_eq!(digest(json!([soft])), plain);
    soft["hard"] = true.into();
    assert_ne!(digest(json!([soft])), plain);
}

#[test]
fn the_digest_is_that_of_the_canonical_json() {
    use sha2::{Digest, Sha256};
    let policy = policy(&json!([good_rule("a"), good_rule("b")]));
    let canonical = serde_json::to_vec(&policy).unwrap();
    assert_eq!(canonical, serde_json::to_vec(&policy.document()).unwrap());
    assert_eq!(
        policy.digest().as_bytes(),
        &<[u8; 32]>::from(Sha256::digest(&canonical))
    );
    let known = "{\"version\":\"1\",\"rules\":[\
        {\"name\":\"a\",\"effect\":\"allow\",\"conditions\":{\"users\":[\"alice\"]}},\
        {\"name\":\"b\",\"effect\":\"allow\",\"conditions\":{\"users\":[\"alice\"]}}]}";
    assert_eq!(String::from_utf8(canonical).unwrap(), known);
}

#[test]
fn the_version_is_1_and_nothing_else() {
    assert!(read(&document(&json!([good_rule("a")]))).is_ok());
    for version in [
        "",
        "0",
        "2",
        "1.0",
        " 1",
        "１",
        "1\0",
        &"1".repeat(10_000_000),
    ] {
        let json = json!({"version": version, "rules": [good_rule("a")]}).to_string();
        let error = read(&json).unwrap_err();
        assert_eq!(
            error,
            DocumentError::Version {
                value: version.into()
            }
        );
        assert!(error.to_string().contains("write \"1\""), "{error}");
        assert_one_line(&error.to_string());
    }
    let number = json!({"version": 1, "rules": [good_rule("a")]}).to_string();
    assert!(syntax(read(&number)).starts_with("`version`: invalid type: integer `1`"));
    let absent = json!({"rules": [good_rule("a")]}).to_string();
    assert_eq!(syntax(read(&absent)), "missing field `version`");
}

#[test]
fn rules_are_a_list_with_a_rule() {
    assert_eq!(read(&document(&json!([]))), Err(DocumentError::NoRules));
    for rules in [json!(null), json!({}), json!("a"), json!(1)] {
        let message = syntax(read(&document(&rules)));
        assert!(message.contains("expected a list of rules"), "{message}");
    }
    assert_eq!(syntax(read(r#"{"version": "1"}"#)), "missing field `rules`");
    let nameless = json!(["a", "allow", {"users": ["alice"]}]);
    for rule in [json!(null), json!("a"), json!(7), json!(true), nameless] {
        let message = syntax(read(&document(&json!([good_rule("a"), rule]))));
        assert!(message.starts_with("rules[1]: invalid type"), "{message}");
    }
}

#[test]
fn rule_names_are_names_and_differ() {
    let name = |name: &str| read_with("name", json!(name));
    for good in ["n", "nacht schicht", "夜勤", &"é".repeat(256)] {
        assert!(name(good).is_ok(), "{good}");
    }
    assert_eq!(
        fault(name(""), "write one"),
        ("name".into(), Problem::EmptyName)
    );
    let long = fault(name(&"é".repeat(257)), "257");
    assert_eq!(
        long,
        ("name".into(), NameError::TooLong { characters: 257 }.into())
    );
    for (bad, shown) in [
        (" a", " a"),
        ("a ", "a "),
        (" ", " "),
        ("a\0b", "a\\0b"),
        ("a\n", "a\\n"),
    ] {
        let (field, problem) = fault(name(bad), &format!("`{shown}`"));
        assert_eq!(field, "name");
        assert!(matches!(problem, Problem::Name(_)), "{problem:?}");
    }
    let twice = fault(name("first"), "rule 0 has the same name");
    assert_eq!(twice, ("name".into(), Problem::DuplicateName { first: 0 }));
    assert!(name("First").is_ok(), "names match exactly");
    assert!(syntax(read_with("name", json!(7))).starts_with("rules[1]: `name`: invalid type"));
    assert_eq!(
        syntax(read_with("name", Value::Null)),
        "rules[1]: missing field `name`"
    );
    let json = r#"{"version": "1", "rules": [{"name": null, "effect": "deny", "conditions": {}}]}"#;
    assert!(syntax(read(json)).starts_with("rules[0]: `name`: invalid type: null"));
}

#[test]
fn effects_are_the_five() {
    for effect in Effect::ALL {
        let policy = read_with("effect", json!(effect.as_str())).unwrap();
        assert_eq!(policy.rules()[1].effect(), effect);
    }
    for bad in [
        "",
        "Allow",
        "allow ",
        "require-approval",
        "permit",
        "alow",
        "deny\0",
        "拒否",
    ] {
        let (field, problem) = fault(read_with("effect", json!(bad)), "write allow, deny");
        assert_eq!(field, "effect");
        assert_eq!(problem, Problem::UnknownEffect { value: bad.into() });
    }
    let message = fault(
        read_with("effect", json!("permit")),
        "`permit` is not an effect",
    );
    assert_eq!(message.0, "effect");
    assert!(syntax(read_with("effect", json!(true))).starts_with("rules[1]: `effect`: "));
    assert!(syntax(read_with("effect", Value::Null)).contains("missing field `effect`"));
}

#[test]
fn a_rule_has_a_condition() {
    let none = ("conditions".to_owned(), Problem::NoConditions);
    assert_eq!(
        fault(read_with("conditions", json!({})), "state users"),
        none
    );
    assert_eq!(
        fault(read_with("conditions", Value::Null), "state users"),
        none
    );
    for bad in [json!(["users"]), json!([["alice"]]), json!("users")] {
        let message = syntax(read_with("conditions", bad));
        let start = "rules[1]: `conditions`: invalid type";
        assert!(message.starts_with(start), "{message}");
    }
}

#[test]
fn lists_of_names_hold_names() {
    for list in ["users", "groups", "profiles", "profile_groups"] {
        let field = format!("conditions.{list}");
        let with = |names: Value| read_if(list, names);
        for good in [
            json!(["a"]),
            json!(["a", "ä ö", "日本"]),
            json!(["x".repeat(256)]),
        ] {
            assert!(with(good).is_ok());
        }
        let empty = fault(with(json!([])), "name an entry");
        assert_eq!(empty, (field.clone(), Problem::EmptyList));
        for (bad, shown, error) in [
            ("".to_owned(), "name is empty", NameError::Empty),
            (
                "x".repeat(257),
                "257",
                NameError::TooLong { characters: 257 },
            ),
            (
                "alice ".into(),
                "`alice `",
                NameError::Untrimmed {
                    name: "alice ".into(),
                },
            ),
            (
                "\u{3000}a".into(),
                "white space",
                NameError::Untrimmed {
                    name: "\\u{3000}a".into(),
                },
            ),
            (
                "a\0".into(),
                "`a\\0`",
                NameError::Control {
                    name: "a\\0".into(),
                },
            ),
            (
                "a\u{85}b".into(),
                "control",
                NameError::Control {
                    name: "a\\u{85}b".into(),
                },
            ),
        ] {
            let (place, problem) = fault(with(json!(["ok", bad])), shown);
            assert_eq!(
                (place, problem),
                (format!("{field}[1]"), Problem::Name(error))
            );
        }
        for bad in [
            json!("alice"),
            json!({"a": 1}),
            json!([1]),
            json!([null]),
            json!([["a"]]),
        ] {
            let message = syntax(with(bad));
            let start = format!("rules[1]: `conditions`: `{list}`: invalid type");
            assert!(message.starts_with(&start), "{message}");
        }
    }
}

#[test]
fn modes_are_the_three() {
    for mode in Mode::ALL {
        let policy = read_if("mode", json!([mode.as_str()])).unwrap();
        for other in Mode::ALL {
            assert_eq!(
                policy.rules()[1].conditions().allow_mode(Some(other)),
                other == mode
            );
        }
    }
    for bad in ["", "Server", "cli ", "credential-process", "batch"] {
        let (field, problem) = fault(read_if("mode", json!(["cli", bad])), "write server, cli");
        assert_eq!(field, "conditions.mode[1]");
        assert_eq!(problem, Problem::UnknownMode { value: bad.into() });
    }
    let empty = fault(read_if("mode", json!([])), "list is empty");
    assert_eq!(empty, ("conditions.mode".into(), Problem::EmptyList));
    let text = syntax(read_if("mode", json!("cli")));
    assert!(
        text.starts_with("rules[1]: `conditions`: `mode`: "),
        "{text}"
    );
}

#[test]
fn windows_restrict_something_and_are_exact() {
    for good in [
        json!({"days": ["monday"]}),
        json!({"hours": {"start": "00:00", "end": "23:59"}}),
        json!({"hours": {"start": "22:00", "end": "06:00"}, "timezone": "Asia/Kathmandu"}),
    ] {
        assert!(read_if("time", good).is_ok());
    }
    let hours = |start: &str, end: &str| json!({"hours": {"start": start, "end": end}});
    for (bad, field, shown) in [
        (json!({}), "", "neither days nor hours"),
        (
            json!({"timezone": "Europe/London"}),
            "",
            "neither days nor hours",
        ),
        (json!({"days": []}), ".days", "name a day"),
        (
            json!({"days": ["monday", "mon"]}),
            ".days",
            "`mon` in `days`",
        ),
        (json!({"days": ["Monday"]}), ".days", "`Monday`"),
        (hours("9:00", "17:00"), ".hours.start", "`9:00`"),
        (hours("09:00", "24:00"), ".hours.end", "`24:00`"),
        (hours("09:00", ""), ".hours.end", "write `HH:MM`"),
        (hours("09:00", "09:00"), ".hours", "never open"),
        (
            json!({"days": ["monday"], "timezone": "Mars/Olympus"}),
            ".timezone",
            "`Mars/Olympus`",
        ),
        (
            json!({"days": ["monday"], "timezone": ""}),
            ".timezone",
            "IANA name",
        ),
    ] {
        let (place, problem) = fault(read_if("time", bad), shown);
        assert_eq!(place, format!("conditions.time{field}"));
        assert!(matches!(problem, Problem::Window(_)), "{problem:?}");
    }
    for (bad, start) in [
        (json!({"days": "monday"}), "`days`: invalid type"),
        (
            json!({"day": ["monday"]}),
            "unknown field `day`, expected one of `days`",
        ),
        (
            json!({"hours": {"start": "09:00"}}),
            "`hours`: missing field `end`",
        ),
        (
            json!({"hours": {"from": "09:00"}}),
            "`hours`: unknown field `from`",
        ),
        (
            json!({"hours": {"start": 9, "end": "17:00"}}),
            "`hours`: `start`: invalid type",
        ),
    ] {
        let message = syntax(read_if("time", bad));
        let start = format!("rules[1]: `conditions`: `time`: {start}");
        assert!(message.starts_with(&start), "{message}");
    }
    let error = WindowError::UnknownZone {
        value: "Mars/Olympus".into(),
    };
    let time = json!({"days": ["monday"], "timezone": "Mars/Olympus"});
    assert_eq!(
        fault(read_if("time", time), "Mars").1,
        Problem::Window(error)
    );
}

#[test]
fn durations_have_units_and_bounds() {
    let with = |length: Value| read_with("max_server_duration", length);
    for (good, seconds) in [("1s", 1), ("90m", 5_400), ("87600h", 87_600 * 3_600)] {
        let length = with(json!(good)).unwrap().rules()[1].max_server_duration();
        assert_eq!(length, Some(Duration::from_secs(seconds)));
    }
    for (bad, shown) in [
        (json!(""), "is not a duration"),
        (json!("0s"), "`0s` is no time at all"),
        (json!(0), "`0` is not a duration"),
        (json!(3600), "`3600` is not a duration: write hours"),
        (json!(-5), "`-5`"),
        (json!(1.5), "`1.5`"),
        (json!("-1h"), "`-1h`"),
        (json!("1d"), "`1d`"),
        (json!("87600h1s"), "at most `87600h`"),
        (json!("99999999999999999999h"), "too long"),
        (json!("9".repeat(10_000_000)), "is not a duration"),
        (json!("1h\0"), "`1h\\0`"),
    ] {
        let (field, problem) = fault(with(bad), shown);
        assert_eq!(field, "max_server_duration");
        assert!(matches!(problem, Problem::Duration(_)), "{problem:?}");
    }
    let zero = Problem::Duration(ParseDurationError::Zero { text: "0h".into() });
    assert_eq!(fault(with(json!("0h")), "0h").1, zero);
    for bad in [json!(["1h"]), json!({"hours": 1}), json!(true)] {
        let message = syntax(with(bad));
        assert!(
            message.starts_with("rules[1]: `max_server_duration`: "),
            "{message}"
        );
    }
}

#[test]
fn reasons_have_at_most_1000_characters() {
    for good in ["", "because", "line\nline", &"é".repeat(1_000)] {
        let policy = read_with("reason", json!(good)).unwrap();
        assert_eq!(policy.rules()[1].reason(), Some(good));
    }
    let long = fault(read_with("reason", json!("é".repeat(1_001))), "1001");
    assert_eq!(
        long,
        ("reason".into(), Problem::LongReason { characters: 1_001 })
    );
    assert!(syntax(read_with("reason", json!(["a"]))).starts_with("rules[1]: `reason`: "));
}

#[test]
fn only_deny_rules_are_hard() {
    assert!(read_with("hard", json!(true)).unwrap().rules()[1].is_hard());
    assert!(!read_with("hard", json!(false)).unwrap().rules()[1].is_hard());
    for effect in Effect::ALL
        .into_iter()
        .filter(|effect| *effect != Effect::Deny)
    {
        for hard in [true, false] {
            let mut rule = good_rule("second");
            rule["effect"] = effect.as_str().into();
            rule["hard"] = hard.into();
            let result = read(&document(&json!([good_rule("first"), rule])));
            let expected = ("hard".to_owned(), Problem::HardOnNonDeny { effect });
            assert_eq!(fault(result, effect.as_str()), expected);
        }
    }
    for bad in [json!("true"), json!(1), json!([])] {
        assert!(syntax(read_with("hard", bad)).starts_with("rules[1]: `hard`: "));
    }
}

#[test]
fn session_tables_are_names() {
    for effect in Effect::ALL {
        let mut rule = good_rule("a");
        rule["effect"] = effect.as_str().into();
        rule["session_table"] = "sessions".into();
        rule["max_server_duration"] = "1h".into();
        assert!(
            read(&document(&json!([rule]))).is_ok(),
            "on a rule of any effect"
        );
    }
    let with = |table: &str| read_with("session_table", json!(table));
    assert!(with(&"t".repeat(256)).is_ok());
    let empty = ("session_table".to_owned(), Problem::EmptySessionTable);
    assert_eq!(fault(with(""), "name a table"), empty);
    for (bad, shown) in [(" t", "` t`"), ("\t", "`\\t`"), (&*"t".repeat(257), "257")] {
        let (field, problem) = fault(with(bad), shown);
        assert_eq!(field, "session_table");
        assert!(matches!(problem, Problem::Name(_)));
    }
    assert!(
        syntax(read_with("session_table", json!(1))).starts_with("rules[1]: `session_table`: ")
    );
}
