//! Decisions: which rule matches, what each effect comes to, and the failures known from the field.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::time::Duration;

use common::{allowing, at, policy, profile, query, read, read_if, user};
use countersign_policy::{
    Allow, Decision, Denial, Deny, DocumentError, Effect, Group, Matched, Mode, OwnedDenial,
    Policy, Query, RequireApproval, Verdict,
};
use serde_json::{Value, json};

fn group(name: &str) -> Group {
    Group::new(name).unwrap()
}

fn allows(policy: &Policy, query: &Query) -> bool {
    policy.decide(query).is_allowed()
}

#[test]
fn an_approval_that_is_demanded_is_not_access() {
    let policy = policy(&json!([
        {"name": "prod", "effect": "require_approval", "conditions": {"profiles": ["prod"]},
         "reason": "ask the owner", "max_server_duration": "1h", "session_table": "sessions"}
    ]));
    let decision = policy.decide(&query("alice", "prod"));
    assert!(
        !decision.is_allowed(),
        "a demanded approval was taken for access"
    );
    // Exhaustive without a catch-all: a fourth outcome, or one taken away, does not compile.
    match decision {
        Decision::Allow(_) => panic!("a demanded approval was taken for access"),
        Decision::Deny(_) => panic!("a demanded approval was taken for a denial"),
        Decision::RequireApproval(RequireApproval {
            rule,
            max_duration,
            policy: digest,
        }) => {
            let expected = Matched {
                name: "prod",
                index: 0,
                reason: Some("ask the owner"),
                effect: Effect::RequireApproval,
                max_server_duration: Some(Duration::from_secs(3_600)),
                session_table: Some("sessions"),
            };
            assert_eq!((rule, max_duration), (expected, rule.max_server_duration));
            assert_eq!(digest, policy.digest());
        }
    }
    let asked_again = policy.decide(&query("alice", "prod").with_mode(Mode::Server));
    assert!(!asked_again.is_allowed(), "server mode is no approval");
}

#[test]
fn a_misspelt_key_never_becomes_a_wildcard() {
    for key in [
        "user",
        "Users",
        "users ",
        "profile",
        "group",
        "profile-groups",
        "times",
        "modes",
    ] {
        let error = read_if(key, json!(["alice"])).expect_err("a misspelt key was ignored");
        let DocumentError::Syntax { message, .. } = error else {
            panic!("`{key}`: {error}");
        };
        assert!(
            message.contains(&format!("unknown field `{key}`")),
            "{message}"
        );
        assert!(message.contains("expected one of `users`"), "{message}");
    }
    assert!(read_if("users", json!(["alice"])).is_ok());
    // Nor does a list that is empty, or one that is not there.
    assert!(read_if("users", json!([])).is_err());
    assert!(read_if("users", Value::Null).is_err());
}

#[test]
fn an_unknown_zone_is_never_ignored() {
    for zone in [
        "Mars/Olympus",
        "Europe/Londn",
        "europe/london",
        "EST5",
        "UTC+1",
        "local",
        "",
    ] {
        let window = json!({"days": ["monday"], "timezone": zone});
        assert!(
            read_if("time", window).is_err(),
            "zone `{zone}` was taken for another"
        );
    }
    // A zone that is known moves the window.
    let hours = json!({"start": "09:00", "end": "10:00"});
    let query = query("alice", "prod"); // 09:00 UTC
    let utc = allowing(json!({"time": {"hours": hours}}));
    let tokyo = allowing(json!({"time": {"hours": hours, "timezone": "Asia/Tokyo"}}));
    assert!(allows(&utc, &query));
    assert!(!allows(&tokyo, &query));
}

#[test]
fn an_overnight_window_matches_on_both_sides_of_midnight() {
    let policy = allowing(json!({"time": {
        "days": ["monday"],
        "hours": {"start": "22:00", "end": "06:00"},
        "timezone": "Europe/London",
    }}));
    // 2 March 2026 is a Monday; London is on UTC.
    for (time, expected) in [
        ("2026-03-02T21:59:59.999999999Z", false),
        ("2026-03-02T22:00:00Z", true),
        ("2026-03-02T23:59:59.999999999Z", true),
        ("2026-03-03T00:00:00Z", true),
        ("2026-03-03T05:59:59.999999999Z", true),
        ("2026-03-03T06:00:00Z", false),
        ("2026-03-02T05:00:00Z", false), // belongs to Sunday
        ("2026-03-03T22:00:00Z", false),
    ] {
        let query = Query::new(user("alice"), profile("prod"), at(time));
        assert_eq!(allows(&policy, &query), expected, "{time}");
    }
}

#[test]
fn windows_open_and_close_to_the_nanosecond() {
    let policy = allowing(json!({"time": {"hours": {"start": "09:00", "end": "17:00"}}}));
    for (time, expected) in [
        ("2026-03-02T08:59:59.999999999Z", false),
        ("2026-03-02T09:00:00Z", true),
        ("2026-03-02T09:00:00.000000001Z", true),
        ("2026-03-02T16:59:59.999999999Z", true),
        ("2026-03-02T17:00:00Z", false),
        ("2026-03-02T17:00:00.000000001Z", false),
    ] {
        let query = Query::new(user("alice"), profile("prod"), at(time));
        assert_eq!(allows(&policy, &query), expected, "{time}");
    }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let policy = policy(&json!([
        {"name": "bob", "effect": "deny", "conditions": {"users": ["bob"]}, "reason": "left"},
        {"name": "all", "effect": "allow", "conditions": {"profiles": ["dev"]}},
        {"name": "late", "effect": "deny", "conditions": {"profiles": ["dev"]}},
    ]));
    let rule = |who| policy.decide(&query(who, "dev")).rule().unwrap();
    assert_eq!((rule("bob").name, rule("bob").index), ("bob", 0));
    assert_eq!((rule("alice").name, rule("alice").index), ("all", 1));
    assert_eq!(policy.decide(&query("bob", "dev")).reason(), Some("left"));
    assert_eq!(policy.decide(&query("alice", "dev")).reason(), None);
}

#[test]
fn nothing_matching_denies() {
    let policy = allowing(json!({"users": ["alice"]}));
    let decision = policy.decide(&query("bob", "dev"));
    let expected = Deny {
        why: Denial::NoRule,
        policy: policy.digest(),
    };
    assert_eq!(decision, Decision::Deny(expected));
    assert_eq!(decision.rule(), None);
    assert_eq!(decision.reason(), Some("no matching rule"));
}

#[test]
fn names_match_exactly() {
    let policy = allowing(json!({"users": ["Alice", "bob"], "profiles": ["prod"]}));
    assert!(allows(&policy, &query("Alice", "prod")));
    assert!(allows(&policy, &query("bob", "prod")));
    for (who, what) in [
        ("alice", "prod"),
        ("Alic", "prod"),
        ("Alice", "Prod"),
        ("Alice", "prod2"),
    ] {
        assert!(!allows(&policy, &query(who, what)), "{who} {what}");
    }
}

#[test]
fn all_conditions_must_hold() {
    let policy = allowing(json!({
        "users": ["alice"], "groups": ["on-call"], "profiles": ["prod"], "profile_groups": ["db"],
        "mode": ["cli"], "time": {"days": ["monday"]},
    }));
    let good = || {
        query("alice", "prod")
            .with_groups([group("on-call")])
            .with_profile_groups([group("db")])
            .with_mode(Mode::Cli)
    };
    assert!(allows(&policy, &good()));
    let other_time = Query::new(user("alice"), profile("prod"), at("2026-03-03T09:00:00Z"))
        .with_groups([group("on-call")])
        .with_profile_groups([group("db")])
        .with_mode(Mode::Cli);
    for (what, query) in [
        ("groups", good().with_groups([])),
        ("profile groups", good().with_profile_groups([group("web")])),
        ("mode", good().with_mode(Mode::Server)),
        ("time", other_time),
    ] {
        assert!(!allows(&policy, &query), "{what}");
    }
}

#[test]
fn one_group_in_common_is_enough_and_kinds_do_not_mix() {
    let people = allowing(json!({"groups": ["on-call", "leads"]}));
    let profiles = allowing(json!({"profile_groups": ["on-call", "leads"]}));
    let both = [group("staff"), group("leads")];
    let query = query("alice", "prod");
    assert!(allows(&people, &query.clone().with_groups(both.clone())));
    assert!(allows(
        &profiles,
        &query.clone().with_profile_groups(both.clone())
    ));
    assert!(!allows(
        &people,
        &query.clone().with_profile_groups(both.clone())
    ));
    assert!(!allows(&profiles, &query.clone().with_groups(both)));
    assert!(!allows(
        &people,
        &query.clone().with_groups([group("staff")])
    ));
    assert!(!allows(&people, &query));
}

/// A query with these groups of the user and of the profile.
fn in_groups(of_user: &[&str], of_profile: &[&str]) -> Query {
    let groups = |names: &[&str]| -> Vec<Group> { names.iter().map(|name| group(name)).collect() };
    query("alice", "prod")
        .with_groups(groups(of_user))
        .with_profile_groups(groups(of_profile))
}

#[test]
fn groups_that_are_absent_restrict_nothing_and_groups_that_are_not_passed_are_none() {
    let anyone = allowing(json!({"profiles": ["prod"]}));
    let people = allowing(json!({"groups": ["on-call"]}));
    let profiles = allowing(json!({"profile_groups": ["db"]}));
    for (of_user, of_profile) in [
        (&[][..], &[][..]),
        (&["on-call"], &[]),
        (&[], &["db"]),
        (&["staff", "on-call"], &["web", "db"]),
        (&["db"], &["on-call"]),
    ] {
        let query = in_groups(of_user, of_profile);
        assert!(allows(&anyone, &query), "{query:?}");
        let expected = of_user.contains(&"on-call");
        assert_eq!(allows(&people, &query), expected, "{query:?}");
        let expected = of_profile.contains(&"db");
        assert_eq!(allows(&profiles, &query), expected, "{query:?}");
    }
}

#[test]
fn groups_hold_together_with_every_other_condition() {
    let policy = allowing(json!({
        "users": ["alice", "bob"], "groups": ["on-call", "leads"],
        "profiles": ["prod", "staging"], "profile_groups": ["db", "queue"],
    }));
    let ask = |who, what, of_user: &[&str], of_profile: &[&str]| {
        let groups = in_groups(of_user, of_profile);
        let query = query(who, what)
            .with_groups(groups.groups().to_vec())
            .with_profile_groups(groups.profile_groups().to_vec());
        allows(&policy, &query)
    };
    assert!(ask("alice", "prod", &["leads"], &["queue"]));
    assert!(ask("bob", "staging", &["x", "on-call"], &["db", "y"]));
    for (who, what, of_user, of_profile) in [
        ("carol", "prod", &["leads"][..], &["queue"][..]),
        ("alice", "dev", &["leads"], &["queue"]),
        ("alice", "prod", &["staff"], &["queue"]),
        ("alice", "prod", &["leads"], &["web"]),
        ("alice", "prod", &[], &["queue"]),
        ("alice", "prod", &["leads"], &[]),
        ("alice", "prod", &["queue"], &["leads"]),
    ] {
        assert!(
            !ask(who, what, of_user, of_profile),
            "{who} {what} {of_user:?} {of_profile:?}"
        );
    }
}

#[test]
fn groups_match_exactly() {
    let people = allowing(json!({"groups": ["On-Call"]}));
    let profiles = allowing(json!({"profile_groups": ["On-Call"]}));
    for (name, expected) in [
        ("On-Call", true),
        ("on-call", false),
        ("ON-CALL", false),
        ("On-Cal", false),
        ("On-Call2", false),
        ("On Call", false),
        ("*", false),
    ] {
        assert_eq!(
            allows(&people, &in_groups(&[name], &[])),
            expected,
            "{name}"
        );
        assert_eq!(
            allows(&profiles, &in_groups(&[], &[name])),
            expected,
            "{name}"
        );
    }
}

/// A name is what it is asked as: a user is not the group, nor a profile the group of its name.
#[test]
fn groups_are_neither_people_nor_profiles() {
    let groups = allowing(json!({"groups": ["alice"]}));
    let profile_groups = allowing(json!({"profile_groups": ["prod"]}));
    let names = allowing(json!({"users": ["on-call"], "profiles": ["db"]}));
    assert!(!allows(&groups, &query("alice", "prod")));
    assert!(!allows(&profile_groups, &query("alice", "prod")));
    assert!(!allows(&names, &in_groups(&["on-call"], &["db"])));
    assert!(allows(&names, &query("on-call", "db")));
}

#[test]
fn groups_set_later_take_the_place_of_those_before() {
    let policy = allowing(json!({"groups": ["on-call"]}));
    let query = in_groups(&["on-call"], &[]);
    assert!(allows(&policy, &query));
    assert!(!allows(&policy, &query.with_groups([group("staff")])));
}

#[test]
fn a_rule_with_modes_is_not_for_a_query_without() {
    let some = allowing(json!({"mode": ["server", "credential_process"]}));
    let any = allowing(json!({"profiles": ["prod"]}));
    let query = query("alice", "prod");
    assert!(!allows(&some, &query));
    assert!(allows(&any, &query));
    for (mode, expected) in [
        (Mode::Server, true),
        (Mode::Cli, false),
        (Mode::CredentialProcess, true),
    ] {
        assert_eq!(
            allows(&some, &query.clone().with_mode(mode)),
            expected,
            "{mode}"
        );
        assert!(allows(&any, &query.clone().with_mode(mode)), "{mode}");
    }
}

/// What each effect comes to: outside server mode, in it, and in it with a session table.
#[test]
fn every_effect_in_every_mode() {
    for effect in Effect::ALL {
        let policy = policy(&json!([{"name": "r", "effect": effect.as_str(),
            "conditions": {"profiles": ["prod"]}, "max_server_duration": "30m"}]));
        let ask = |mode: Option<Mode>, table: &str| {
            let mut query = query("alice", "prod").with_session_table(table);
            if let Some(mode) = mode {
                query = query.with_mode(mode);
            }
            policy.decide(&query)
        };
        for mode in [
            None,
            Some(Mode::Cli),
            Some(Mode::CredentialProcess),
            Some(Mode::Server),
        ] {
            for table in ["", "any table will do"] {
                let decision = ask(mode, table);
                let rule = decision.rule().unwrap();
                let cap = Some(Duration::from_secs(1_800));
                let allow = Decision::Allow(Allow {
                    rule: Some(rule),
                    max_duration: cap,
                    grant: None,
                    policy: policy.digest(),
                });
                let deny = |why| {
                    Decision::Deny(Deny {
                        why,
                        policy: policy.digest(),
                    })
                };
                let server = mode == Some(Mode::Server);
                let expected = match effect {
                    Effect::Allow => allow,
                    Effect::Deny => deny(Denial::Rule { rule, hard: false }),
                    Effect::RequireApproval => Decision::RequireApproval(RequireApproval {
                        rule,
                        max_duration: cap,
                        policy: policy.digest(),
                    }),
                    Effect::RequireServer if server => allow,
                    Effect::RequireServer => deny(Denial::ServerModeRequired {
                        rule,
                        session_tracking_required: false,
                    }),
                    Effect::RequireServerSession if !server => deny(Denial::ServerModeRequired {
                        rule,
                        session_tracking_required: true,
                    }),
                    Effect::RequireServerSession if table.is_empty() => {
                        deny(Denial::SessionTrackingRequired { rule })
                    }
                    Effect::RequireServerSession => allow,
                };
                assert_eq!(decision, expected, "{effect} in {mode:?} with `{table}`");
                let server_needed =
                    matches!(effect, Effect::RequireServer | Effect::RequireServerSession)
                        && !server;
                assert_eq!(decision.requires_server_mode(), server_needed);
                let tracking_needed =
                    effect == Effect::RequireServerSession && (!server || table.is_empty());
                assert_eq!(decision.requires_session_tracking(), tracking_needed);
            }
        }
    }
}

#[test]
fn an_empty_session_table_is_none() {
    assert_eq!(query("a", "b").with_session_table("").session_table(), None);
    assert_eq!(
        query("a", "b").with_session_table(" ").session_table(),
        Some(" ")
    );
    let cleared = query("a", "b")
        .with_session_table("t")
        .with_session_table("");
    assert_eq!(cleared.session_table(), None);
}

#[test]
fn a_decision_is_one_line_and_so_is_its_owned_form() {
    let rules = json!([
        {"name": "soft", "effect": "deny", "conditions": {"profiles": ["soft"]}, "reason": "a\nb\u{1b}[31m"},
        {"name": "hard", "effect": "deny", "conditions": {"profiles": ["hard"]}, "hard": true},
        {"name": "open", "effect": "allow", "conditions": {"profiles": ["open"]}, "max_server_duration": "90m"},
        {"name": "ask", "effect": "require_approval", "conditions": {"profiles": ["ask"]}},
        {"name": "server", "effect": "require_server", "conditions": {"profiles": ["server"]}},
        {"name": "session", "effect": "require_server_session", "conditions": {"profiles": ["session"]}},
    ]);
    let policy = policy(&rules);
    for (what, shown) in [
        ("none", "deny, no matching rule"),
        ("soft", "deny, rule 0 `soft`: a\\nb\\u{1b}[31m"),
        ("hard", "deny, even in an emergency, rule 1 `hard`"),
        ("open", "allow, for at most 1h30m, rule 2 `open`"),
        ("ask", "approval required, rule 3 `ask`"),
        ("server", "deny, server mode required, rule 4 `server`"),
        (
            "session",
            "deny, server mode and session tracking required, rule 5 `session`",
        ),
    ] {
        let decision = policy.decide(&query("alice", what));
        assert_eq!(decision.to_string(), shown);
        assert_eq!(decision.to_owned().to_string(), shown);
    }
    let tracked = policy.decide(&query("alice", "session").with_mode(Mode::Server));
    assert_eq!(
        tracked.to_string(),
        "deny, session tracking required, rule 5 `session`"
    );
    assert_eq!(tracked.to_owned().to_string(), tracked.to_string());
}

#[test]
fn an_owned_decision_keeps_everything_for_the_log() {
    let policy = policy(
        &json!([{"name": "r", "effect": "require_server_session", "reason": "why",
        "conditions": {"profiles": ["prod"]}, "max_server_duration": "30m", "session_table": "t"}]),
    );
    let owned = policy.decide(&query("alice", "prod")).to_owned();
    assert_eq!(owned.verdict, Verdict::Deny);
    assert_eq!(owned.denial, Some(OwnedDenial::ServerModeRequired));
    let expected = json!({
        "verdict": "deny",
        "denial": "server_mode_required",
        "requires_server_mode": true,
        "requires_session_tracking": true,
        "rule": {"name": "r", "index": 0, "reason": "why", "effect": "require_server_session",
            "max_server_duration": "30m", "session_table": "t"},
        "max_duration": null,
        "grant": null,
        "policy": policy.digest().to_string(),
    });
    assert_eq!(serde_json::to_value(&owned).unwrap(), expected);
}

#[test]
fn policies_are_shared_between_threads() {
    let policy = read(&common::document(&json!([
        {"name": "a", "effect": "allow", "conditions": {"users": ["alice"]}}
    ])))
    .unwrap();
    let shared = policy.clone();
    assert!(
        std::ptr::eq(shared.rules(), policy.rules()),
        "a clone shares the rules"
    );
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(allows(&policy, &query("alice", "prod"))));
        scope.spawn(|| assert!(allows(&shared, &query("alice", "prod"))));
    });
}
