//! Explanations: each condition, what is shown of many rules, and that they say what decides.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use common::small;
use common::{policy, query};
use countersign_policy::{Group, Mode, Policy, Query};
use proptest::prelude::*;
use serde_json::{Value, json};

fn group(name: &str) -> Group {
    Group::new(name).unwrap()
}

/// What the only rule of a policy with these conditions says of a query.
fn told(conditions: Value, query: &Query) -> (String, Value) {
    let policy = common::allowing(conditions);
    let explanation = policy.explain(query);
    let step = explanation.steps().next().unwrap();
    (
        step.to_string(),
        serde_json::to_value(explanation).unwrap()["rules"][0].clone(),
    )
}

#[test]
fn each_condition_is_named_with_both_values() {
    let bob = || query("bob", "prod");
    let cases = [
        (
            json!({"profiles": ["dev", "test"]}),
            bob(),
            "the profile is `prod`, the rule is for `dev`, `test`",
            json!({"failed": "profiles", "query": "prod", "rule": ["dev", "test"]}),
        ),
        (
            json!({"users": ["alice"]}),
            bob(),
            "the user is `bob`, the rule is for `alice`",
            json!({"failed": "users", "query": "bob", "rule": ["alice"]}),
        ),
        (
            json!({"mode": ["cli", "server"]}),
            bob(),
            "no mode is given, the rule is for server, cli",
            json!({"failed": "mode", "query": null, "rule": ["server", "cli"]}),
        ),
        (
            json!({"mode": ["cli"]}),
            bob().with_mode(Mode::CredentialProcess),
            "the mode is credential_process, the rule is for cli",
            json!({"failed": "mode", "query": "credential_process", "rule": ["cli"]}),
        ),
        (
            json!({"groups": ["leads"]}),
            bob(),
            "the user is in no group, the rule is for `leads`",
            json!({"failed": "groups", "query": [], "rule": ["leads"]}),
        ),
        (
            json!({"profile_groups": ["live"]}),
            bob().with_profile_groups([group("test"), group("eu")]),
            "the profile is in `test`, `eu`, the rule is for `live`",
            json!({"failed": "profile_groups", "query": ["test", "eu"], "rule": ["live"]}),
        ),
        (
            json!({"time": {"days": ["monday"], "hours": {"start": "22:00", "end": "06:00"},
                            "timezone": "Asia/Tokyo"}}),
            bob(),
            "it is 2026-03-02T09:00:00Z, locally Monday 18:00, \
             the rule is for monday 22:00-06:00 Asia/Tokyo",
            json!({"failed": "time", "query": "2026-03-02T09:00:00Z",
                   "rule": "monday 22:00-06:00 Asia/Tokyo"}),
        ),
    ];
    for (conditions, query, text, mut object) in cases {
        let (line, step) = told(conditions, &query);
        assert_eq!(line, format!("rule 0 `only`: {text}"));
        object["index"] = json!(0);
        object["name"] = json!("only");
        assert_eq!(step, object);
    }
    let (line, step) = told(json!({"users": ["bob"]}), &bob());
    assert_eq!(line, "rule 0 `only`: matches and decides: allow");
    assert_eq!(
        step,
        json!({"index": 0, "name": "only", "matched": "allow"})
    );
}

#[test]
fn long_lists_are_shortened_and_counted() {
    let names: Vec<String> = (0..100).map(|number| format!("u{number}")).collect();
    let (line, step) = told(json!({"users": names}), &query("bob", "prod"));
    assert_eq!(
        line,
        "rule 0 `only`: the user is `bob`, the rule is for `u0`, `u1`, `u2`, `u3` and 96 more"
    );
    assert_eq!(step["rule"].as_array().unwrap().len(), 16);
    assert_eq!(step["rule_more"], 84);
}

/// `others` rules for other people, then one for everybody at night for each of `near`, then one
/// that matches if `last`.
fn many(others: usize, near: usize, last: bool) -> Policy {
    let other = |number| json!({"name": format!("other {number}"), "effect": "allow", "conditions": {"users": ["alice"]}});
    let night = |number| {
        json!({"name": format!("night {number}"), "effect": "allow",
               "conditions": {"time": {"hours": {"start": "22:00", "end": "06:00"}}}})
    };
    let matching = json!({"name": "matching", "effect": "deny", "conditions": {"users": ["bob"]}});
    let mut rules: Vec<Value> = (0..others).map(other).collect();
    rules.extend((0..near).map(night));
    rules.extend(last.then_some(matching));
    policy(&json!(rules))
}

#[test]
fn what_is_shown_is_bounded_and_the_rest_is_counted() {
    let bob = query("bob", "prod");
    for (others, near, last, shown) in [
        (32, 0, false, 32),
        (31, 0, true, 32),
        (33, 0, false, 0),
        (32, 0, true, 1),
        (40, 32, false, 32),
        (40, 33, false, 32),
        (40, 31, true, 32),
        (40, 33, true, 33),
        (0, 1000, true, 33),
    ] {
        let policy = many(others, near, last);
        let explanation = policy.explain(&bob);
        let case = format!("{others} others, {near} near, last matches: {last}");
        let object = serde_json::to_value(explanation).unwrap();
        let asked = others + near + usize::from(last);
        assert_eq!(object["rules"].as_array().unwrap().len(), shown, "{case}");
        assert_eq!(object["asked"], asked, "{case}");
        assert_eq!(object["left_out"], asked - shown, "{case}");
        let text = explanation.to_string();
        let rules = text.lines().filter(|line| line.starts_with("rule "));
        assert_eq!(rules.count(), shown, "{case}");
        assert_eq!(
            text.contains(&format!("rules not shown: {}", asked - shown)),
            asked > shown,
            "{case}"
        );
        let end = if last {
            format!("rule {} `matching`: matches and decides: deny", asked - 1)
        } else {
            "no rule matches: deny".to_owned()
        };
        assert!(text.ends_with(&end), "{case}: {text}");
        assert_eq!(explanation.steps().count(), asked, "{case}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_explanation_says_what_decides(policy in small::policy(), queries in prop::collection::vec(small::query(), 1..20)) {
        for query in queries {
            let explanation = policy.explain(&query);
            let steps: Vec<_> = explanation.steps().collect();
            let decided = policy.decide(&query).rule().map(|rule| rule.index);
            let matched = steps.iter().find(|step| step.unmet.is_none());
            prop_assert_eq!(matched.map(|step| step.index), decided);
            prop_assert_eq!(steps.len(), decided.map_or(policy.rules().len(), |index| index + 1));
            for (index, step) in steps.iter().enumerate() {
                prop_assert_eq!(step.index, index);
                prop_assert_eq!(step.rule, &policy.rules()[index]);
                prop_assert_eq!(step.unmet.is_none(), step.rule.matches(&query));
            }
            prop_assert_eq!(explanation.decision(), policy.decide(&query));
        }
    }
}
