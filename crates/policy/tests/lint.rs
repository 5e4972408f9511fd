//! Findings: each kind and its nearest twin that is none, zones, bounded work, and the proof
//! against trying every query.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::collections::BTreeSet;

use common::policy;
use common::small;
use countersign_policy::{
    Decision, Effect, Finding, FindingKind, LintReport, Mode, Policy, Severity,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn allow(name: &str, conditions: Value) -> Value {
    json!({"name": name, "effect": "allow", "conditions": conditions})
}

fn deny(name: &str, conditions: Value) -> Value {
    json!({"name": name, "effect": "deny", "conditions": conditions})
}

fn hours(start: &str, end: &str, zone: &str) -> Value {
    json!({"hours": {"start": start, "end": end}, "timezone": zone})
}

/// The places of the unreachable rules, each with those that take it.
fn unreachable(report: &LintReport) -> Vec<(usize, Vec<usize>)> {
    let places = |finding: &Finding| match &finding.kind {
        FindingKind::UnreachableRule { taken_by } => Some((
            finding.rule.index,
            taken_by.iter().map(|rule| rule.index).collect(),
        )),
        _ => None,
    };
    report.findings().iter().filter_map(places).collect()
}

fn of_kind(report: &LintReport, code: &str) -> Vec<Finding> {
    let findings = report.findings().iter();
    let findings = findings.filter(|finding| finding.kind.code() == code);
    findings.cloned().collect()
}

/// What any finding must be able to show for itself.
fn assert_shown(policy: &Policy, report: &LintReport) {
    for finding in report.findings() {
        let (rules, index) = (policy.rules(), finding.rule.index);
        let witness = &finding.witness;
        let decision = policy.decide(witness);
        let decided = decision.rule().unwrap().index;
        assert!(rules[index].matches(witness), "{finding}");
        assert_eq!(finding.rule.name, rules[index].name());
        assert!(decided < index, "its witness is not another's: {finding}");
        for other in finding.kind.others() {
            assert!(other.index < index, "{finding}");
            assert_eq!(other.name, rules[other.index].name());
        }
        match &finding.kind {
            FindingKind::UnreachableRule { taken_by } => assert!(!taken_by.is_empty()),
            FindingKind::SwallowedDeny { by } => {
                assert_eq!(rules[index].effect(), Effect::Deny);
                assert_eq!(decided, by[0].index, "{finding}");
                assert!(decision.is_allowed(), "{finding}");
            }
            FindingKind::DuplicateRule { of } => assert!(rules[of.index].matches(witness)),
        }
        common::assert_one_line(&finding.to_string());
    }
}

fn linted(rules: Value) -> LintReport {
    let policy = policy(&rules);
    let report = policy.lint();
    assert_shown(&policy, &report);
    assert_eq!(report.undecided(), []);
    report
}

#[test]
fn a_rule_is_shadowed_by_one_or_by_several_together_whatever_their_effect() {
    let covered = |last: Value| {
        unreachable(&linted(json!([
            allow("alice", json!({"users": ["alice"], "profiles": ["prod", "dev"]})),
            {"name": "bob", "effect": "require_approval", "conditions": {"users": ["bob"]}},
            allow("lab", json!({"profiles": ["lab"]})),
            allow("last", last),
        ])))
    };
    assert_eq!(
        covered(json!({"users": ["alice"], "profiles": ["dev"]})),
        [(3, vec![0])]
    );
    assert_eq!(
        covered(json!({"users": ["alice", "bob"], "profiles": ["prod"]})),
        [(3, vec![0, 1])]
    );
    assert_eq!(
        covered(json!({"users": ["alice"], "profiles": ["prod", "lab"]})),
        [(3, vec![0, 2])]
    );
    for reached in [
        json!({"users": ["alice", "carol"], "profiles": ["dev"]}),
        json!({"profiles": ["dev"]}),
        json!({"users": ["alice"]}),
        json!({"users": ["Alice"], "profiles": ["dev"]}),
    ] {
        assert_eq!(covered(reached), []);
    }
}

#[test]
fn groups_shadow_those_who_have_no_other_way_in() {
    let covered = |last: Value| {
        unreachable(&linted(json!([
            deny("leads", json!({"groups": ["leads", "night"]})),
            deny("live", json!({"profile_groups": ["live"]})),
            deny("last", last),
        ])))
    };
    assert_eq!(covered(json!({"groups": ["night"]})), [(2, vec![0])]);
    assert_eq!(
        covered(json!({"groups": ["core"], "profile_groups": ["live"]})),
        [(2, vec![1])]
    );
    assert_eq!(covered(json!({"groups": ["night", "core"]})), []);
    assert_eq!(covered(json!({"users": ["alice"]})), []);
}

#[test]
fn modes_and_windows_shadow_together() {
    let rules = |end: &str| {
        json!([
            allow("server", json!({"mode": ["server"]})),
            allow(
                "early",
                json!({"time": hours("00:00", "12:00", "Europe/London")})
            ),
            allow(
                "late",
                json!({"time": hours("12:00", end, "Europe/London")})
            ),
            allow(
                "weekend",
                json!({"time": {"days": ["saturday", "sunday"], "timezone": "Europe/London"}})
            ),
        ])
    };
    assert_eq!(unreachable(&linted(rules("00:00"))), [(3, vec![1, 2])]);
    assert_eq!(unreachable(&linted(rules("23:59"))), [], "a minute is left");
    let modes = json!([
        allow("server", json!({"mode": ["server"]})),
        allow("others", json!({"mode": ["cli", "credential_process"]})),
        allow(
            "any mode",
            json!({"mode": ["server", "cli", "credential_process"]})
        ),
        allow("none", json!({"users": ["alice"]})),
    ]);
    assert_eq!(
        unreachable(&linted(modes)),
        [(2, vec![0, 1])],
        "a query without a mode reaches the last"
    );
}

#[test]
fn an_overnight_window_ends_on_the_next_day() {
    let rules = |day: &str| {
        json!([
            allow(
                "night",
                json!({"time": {"days": ["sunday"], "hours": {"start": "22:00", "end": "06:00"}}})
            ),
            allow(
                "early",
                json!({"time": {"days": [day], "hours": {"start": "00:00", "end": "06:00"}}})
            ),
        ])
    };
    assert_eq!(unreachable(&linted(rules("monday"))), [(1, vec![0])]);
    assert_eq!(unreachable(&linted(rules("sunday"))), []);
}

#[test]
fn across_zones_nothing_is_said_wrongly() {
    let both = |first: Value, second: Value| {
        unreachable(&linted(json!([
            allow("first", json!({"time": first})),
            allow("second", json!({"time": second})),
        ])))
    };
    let london = hours("09:00", "17:00", "Europe/London");
    assert_eq!(
        both(london.clone(), hours("10:00", "11:00", "Europe/London")),
        [(1, vec![0])]
    );
    assert_eq!(
        both(london.clone(), hours("10:00", "11:00", "UTC")),
        [],
        "in summer 11:30 in London is 10:30 UTC, all of which is covered: missed, not said wrongly"
    );
    assert_eq!(
        both(london.clone(), hours("09:30", "17:00", "UTC")),
        [],
        "16:30 UTC is 17:30 in London in summer, and is reached"
    );
    // Each of two zones alone is covered, and a rule that names neither is too.
    let halves = |zone| {
        [
            allow(
                &format!("{zone} 1"),
                json!({"profiles": ["prod"], "time": hours("00:00", "12:00", zone)}),
            ),
            allow(
                &format!("{zone} 2"),
                json!({"profiles": ["prod"], "time": hours("12:00", "00:00", zone)}),
            ),
        ]
    };
    let [a, b] = halves("Asia/Tokyo");
    let last = allow("last", json!({"profiles": ["prod"], "time": london}));
    assert_eq!(unreachable(&linted(json!([a, b, last]))), [(2, vec![0, 1])]);
}

#[test]
fn clocks_that_are_put_back_and_forward_do_not_matter() {
    // The hour that one Sunday in March has not is there on every other Sunday.
    let skipped = json!({"days": ["sunday"], "hours": {"start": "01:00", "end": "02:00"}, "timezone": "Europe/London"});
    let rules = json!([
        allow(
            "rest",
            json!({"time": {"days": ["monday"], "timezone": "Europe/London"}})
        ),
        allow("hour", json!({"time": skipped})),
    ]);
    assert_eq!(unreachable(&linted(rules)), []);
}

#[test]
fn an_allow_before_a_denial_is_told_by_its_breadth() {
    let swallowed = |first: Value, hard: bool, second: Value| -> Vec<Severity> {
        let mut second = deny("second", second);
        second["hard"] = json!(hard);
        let report = linted(json!([first, second]));
        let found = of_kind(&report, "swallowed-deny");
        found.iter().map(|finding| finding.severity).collect()
    };
    let prod = json!({"profiles": ["prod"]});
    let alice = json!({"users": ["alice"]});
    let alice_prod = json!({"users": ["alice"], "profiles": ["prod"]});
    assert_eq!(
        swallowed(allow("first", alice_prod.clone()), false, prod.clone()),
        [Severity::Note],
        "an exception"
    );
    assert_eq!(
        swallowed(allow("first", alice_prod.clone()), true, prod.clone()),
        [Severity::Warning],
        "nothing is meant to override a hard denial"
    );
    assert_eq!(
        swallowed(allow("first", alice), false, prod.clone()),
        [Severity::Warning]
    );
    assert_eq!(
        swallowed(allow("first", prod.clone()), false, alice_prod.clone()),
        [Severity::Warning]
    );
    assert_eq!(
        swallowed(deny("first", prod.clone()), false, alice_prod.clone()),
        [],
        "no access is given"
    );
    assert_eq!(
        swallowed(
            allow("first", json!({"users": ["bob"]})),
            false,
            alice_prod.clone()
        ),
        [],
        "they have nothing in common"
    );
    let server = |name, conditions| json!({"name": name, "effect": "require_server_session", "conditions": conditions});
    assert_eq!(
        swallowed(server("first", prod.clone()), false, alice_prod.clone()),
        [Severity::Warning],
        "access is given to tracked sessions in server mode"
    );
    assert_eq!(
        swallowed(
            server("first", prod),
            false,
            json!({"users": ["alice"], "mode": ["cli"]})
        ),
        [],
        "access is given in server mode only"
    );
}

#[test]
fn a_swallowed_denial_is_told_with_a_query_that_the_allow_decides() {
    let report = linted(json!([
        deny("alice not", json!({"users": ["alice"]})),
        allow("people", json!({"users": ["alice", "bob"]})),
        {"name": "server", "effect": "require_server", "conditions": {"users": ["carol"]}},
        deny("prod", json!({"profiles": ["prod"]})),
    ]));
    let [finding] = &of_kind(&report, "swallowed-deny")[..] else {
        panic!("{report}");
    };
    assert_eq!(
        finding.to_string(),
        "warning: swallowed-deny: rule 3 `prod` denies what is allowed by rule 1 `people`, \
         rule 2 `server` before it, such as `bob` for `prod` at 2026-03-02T09:00:00Z, no mode"
    );
    let object = serde_json::to_value(finding).unwrap();
    assert_eq!(object["code"], "swallowed-deny");
    assert_eq!(object["severity"], "warning");
    assert_eq!(object["rule"], json!({"index": 3, "name": "prod"}));
    assert_eq!(object["others"][1], json!({"index": 2, "name": "server"}));
    assert_eq!(object["witness"]["user"], "bob");
    assert_eq!(object["message"], finding.to_string());
}

#[test]
fn rules_alike_but_for_their_name_are_found_and_others_are_not() {
    let rule = json!({"effect": "deny", "hard": true, "reason": "no", "max_server_duration": "1h",
        "session_table": "t", "conditions": {"users": ["alice", "bob"], "mode": ["cli", "server"]}});
    let duplicates = |field: &str, value: Value| {
        let (mut first, mut second) = (rule.clone(), rule.clone());
        first["name"] = json!("first");
        second["name"] = json!("second");
        match value {
            Value::Null => drop(second.as_object_mut().unwrap().remove(field)),
            value => second[field] = value,
        }
        of_kind(&linted(json!([first, second])), "duplicate-rule").len()
    };
    assert_eq!(duplicates("hard", json!(true)), 1);
    let turned = json!({"users": ["bob", "alice", "bob"], "mode": ["server", "cli"]});
    assert_eq!(duplicates("conditions", turned), 1, "lists count as sets");
    assert_eq!(duplicates("max_server_duration", json!("60m")), 1);
    for (field, value) in [
        ("hard", json!(false)),
        ("reason", json!("no.")),
        ("reason", Value::Null),
        ("max_server_duration", json!("2h")),
        ("max_server_duration", Value::Null),
        ("session_table", json!("u")),
        ("conditions", json!({"users": ["alice", "bob"]})),
        (
            "conditions",
            json!({"users": ["alice"], "mode": ["cli", "server"]}),
        ),
    ] {
        assert_eq!(duplicates(field, value), 0, "another {field}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Within one zone: unreachable if and only if no query reaches the rule; a denial is told to
    /// be swallowed if and only if some query that it matches is allowed by a rule before it.
    #[test]
    fn lint_says_what_trying_every_query_shows(policy in small::policy()) {
        let report = policy.lint();
        assert_shown(&policy, &report);
        prop_assert_eq!(report.undecided(), []);

        let rules = policy.rules();
        let mut reached = BTreeSet::new();
        let mut allowed = BTreeSet::new();
        small::each_query(&[&policy], |query| {
            let decision = policy.decide(query);
            let Some(decided) = decision.rule() else { return };
            reached.insert(decided.index);
            if let Decision::Allow(_) = decision {
                let denials = rules.iter().enumerate().skip(decided.index + 1);
                let denials = denials.filter(|(_, rule)| rule.effect() == Effect::Deny && rule.matches(query));
                allowed.extend(denials.map(|(index, _)| (index, decided.index)));
            }
        });
        let said: BTreeSet<usize> = unreachable(&report).into_iter().map(|(index, _)| index).collect();
        let shown: BTreeSet<usize> = (0..rules.len()).filter(|index| !reached.contains(index)).collect();
        prop_assert_eq!(said, shown);

        let swallowed = of_kind(&report, "swallowed-deny");
        let said: BTreeSet<(usize, usize)> = swallowed
            .iter()
            .flat_map(|finding| finding.kind.others().iter().map(|other| (finding.rule.index, other.index)))
            .collect();
        prop_assert_eq!(said, allowed);

        for (index, taken_by) in unreachable(&report) {
            // The rules that are named are enough, and all are needed.
            for left_out in [None].into_iter().chain(taken_by.iter().map(Some)) {
                let taking: Vec<_> = taken_by.iter().filter(|other| Some(*other) != left_out).collect();
                let mut escaped = false;
                small::each_query(&[&policy], |query| {
                    escaped |= rules[index].matches(query) && !taking.iter().any(|other| rules[**other].matches(query));
                });
                prop_assert_eq!(escaped, left_out.is_some(), "rule {} and {:?}", index, taking);
            }
        }
    }
}

#[test]
fn a_mode_that_no_earlier_rule_is_for_reaches_a_rule() {
    let report = linted(json!([
        allow("first", json!({"users": ["alice"], "mode": ["cli"]})),
        allow("second", json!({"users": ["alice"]})),
    ]));
    assert_eq!(report.findings(), []);
    let policy = policy(&json!([allow("only", json!({"mode": ["cli"]}))]));
    let asked = common::query("alice", "prod").with_mode(Mode::Cli);
    assert!(policy.decide(&asked).is_allowed());
}

#[test]
fn a_finding_whose_list_was_cut_short_says_so() {
    for (count, more) in [(7, false), (8, true), (9, true)] {
        let people = (0..count).map(|number| {
            let conditions = json!({"users": [format!("u{number}")], "profiles": ["prod"]});
            json!({"name": format!("r{number}"), "effect": "allow", "conditions": conditions})
        });
        let deny = json!({"name": "last", "effect": "deny", "conditions": {"profiles": ["prod"]}});
        let rules: Vec<Value> = people.chain([deny]).collect();
        let report = policy(&json!(rules)).lint();
        let [finding] = report.findings() else {
            panic!("{report}")
        };
        assert_eq!(finding.kind.others().len(), count.min(8));
        let told = finding.to_string();
        assert_eq!(
            told.contains(" and perhaps by more, such as "),
            more,
            "{told}"
        );
    }
}
