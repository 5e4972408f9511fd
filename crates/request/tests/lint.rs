//! Findings about approval rules: each kind and its nearest twin that is none, and the proof against
//! trying every profile and requester.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use countersign_request::{ApprovalPolicy, Finding, FindingKind, Profile, User};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

fn policy(rules: &Value) -> ApprovalPolicy {
    let document = json!({"version": "1", "rules": rules});
    document.to_string().parse().unwrap()
}

fn codes(rules: Value) -> Vec<(&'static str, Option<usize>)> {
    let findings = policy(&rules).lint();
    let code = |finding: &Finding| {
        (
            finding.kind.code(),
            finding.kind.rule().map(|rule| rule.index),
        )
    };
    findings.iter().map(code).collect()
}

#[test]
fn a_single_approver_cannot_approve_what_they_request() {
    let with = |approvers: Value, auto: Value| {
        let mut rule = json!({"name": "r", "approvers": approvers});
        if !auto.is_null() {
            rule["auto_approve"] = auto;
        }
        codes(json!([rule])).len()
    };
    assert_eq!(with(json!(["bob"]), Value::Null), 1);
    assert_eq!(
        with(json!(["bob", "bob", "Bob"]), Value::Null),
        1,
        "one user"
    );
    assert_eq!(with(json!(["bob", "carol"]), Value::Null), 0);
    assert_eq!(with(json!(["bob"]), json!({"users": ["alice"]})), 1);
    assert_eq!(
        with(json!(["bob"]), json!({"users": ["bob"]})),
        0,
        "needs nobody"
    );
    assert_eq!(
        with(
            json!(["bob"]),
            json!({"users": ["bob"], "max_duration": "1h"})
        ),
        1
    );
    let nights = json!({"users": ["bob"], "time": {"days": ["monday"]}});
    assert_eq!(with(json!(["bob"]), nights), 1);
}

#[test]
fn a_rule_whose_profiles_all_have_an_earlier_rule_never_applies() {
    let two = json!(["bob", "carol"]);
    let rule = |name: &str, profiles: Value| {
        let mut rule = json!({"name": name, "approvers": two});
        if !profiles.is_null() {
            rule["profiles"] = profiles;
        }
        rule
    };
    let prod = rule("prod", json!(["prod"]));
    let dev = rule("dev", json!(["dev"]));
    let all = rule("all", Value::Null);
    let both = rule("both", json!(["dev", "prod"]));
    let dead = |index| ("unreachable-rule", Some(index));
    assert_eq!(codes(json!([prod, dev, both])), [dead(2)]);
    assert_eq!(codes(json!([prod, both, dev])), [dead(2)]);
    assert_eq!(codes(json!([all, prod])), [dead(1)]);
    assert_eq!(
        codes(json!([all, prod, rule("rest", Value::Null)])),
        [dead(1), dead(2)]
    );
    assert_eq!(codes(json!([both, prod, dev, all])), [dead(1), dead(2)]);
    assert_eq!(codes(json!([prod, both, all])), []);
    assert_eq!(
        codes(json!([prod, {"name": "late", "profiles": ["prod"], "approvers": ["bob"]}])),
        [dead(1)],
        "who approves by a rule that never applies does not matter"
    );
}

#[test]
fn a_demanded_approval_that_nobody_can_give_is_found() {
    let policy =
        policy(&json!([{"name": "r", "profiles": ["prod"], "approvers": ["bob", "carol"]}]));
    let profiles = ["dev", "prod", "lab"].map(|name| Profile::new(name).unwrap());
    let findings = policy.lint_for(&profiles);
    let found: Vec<&str> = findings
        .iter()
        .map(|finding| finding.profile.as_str())
        .collect();
    assert_eq!(found, ["dev", "lab"]);
    assert_eq!(
        findings[0].to_string(),
        "nobody-can-approve: approval is demanded for `dev`, and no rule is for it"
    );
    assert_eq!(
        serde_json::to_value(&findings[0]).unwrap(),
        json!({"code": "nobody-can-approve", "rule": null, "taken_by": null, "profile": "dev",
               "requester": null, "message": findings[0].to_string()})
    );
    assert_eq!(policy.lint_for(&profiles[1..2]), []);
}

const PROFILES: &[&str] = &["prod", "dev", "any-other"];
const PEOPLE: &[&str] = &["bob", "Bob", "carol"];

fn rules() -> impl Strategy<Value = Vec<Value>> {
    let auto = select(vec![
        json!({"users": ["bob"]}),
        json!({"users": ["carol", "Bob"]}),
        json!({"users": ["bob"], "time": {"days": ["monday"]}}),
        json!({"max_duration": "1h"}),
    ]);
    let rule = (
        prop::option::weighted(0.7, subsequence(PROFILES, 1..=3)),
        subsequence(PEOPLE, 1..=3),
        prop::option::weighted(0.4, auto),
    );
    let rule = rule.prop_map(|(profiles, approvers, auto)| {
        let mut rule = json!({"approvers": approvers});
        if let Some(profiles) = profiles {
            rule["profiles"] = json!(profiles);
        }
        if let Some(auto) = auto {
            rule["auto_approve"] = auto;
        }
        rule
    });
    prop::collection::vec(rule, 1..6).prop_map(|mut rules| {
        for (number, rule) in rules.iter_mut().enumerate() {
            rule["name"] = json!(format!("rule {number}"));
        }
        rules
    })
}

/// Whether some request of this user for what the rule is for can be approved by nobody.
fn is_stuck(policy: &ApprovalPolicy, profile: &Profile, requester: &User) -> bool {
    let rule = policy.rule_for(profile).unwrap();
    let monday: DateTime<Utc> = "2026-03-02T09:00:00Z".parse().unwrap();
    let approved = |days: i64, length: u64| {
        let auto = rule.auto_approval();
        let at = monday + TimeDelta::days(days);
        auto.is_some_and(|auto| auto.holds(requester, Duration::from_secs(length), at))
    };
    let alone = rule
        .approvers()
        .iter()
        .all(|approver| approver.same_user(requester));
    alone && !(approved(0, 60) && approved(1, 60) && approved(0, 28_800) && approved(1, 28_800))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lint_says_what_trying_every_profile_and_approver_shows(rules in rules()) {
        let policy = policy(&json!(rules));
        let profiles: Vec<Profile> = PROFILES.iter().chain(&["else"]).map(|name| Profile::new(*name).unwrap()).collect();
        let findings = policy.lint_for(&profiles);
        let (mut dead, mut stuck, mut missing) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for finding in &findings {
            let applying = policy.rule_for(&finding.profile);
            match &finding.kind {
                FindingKind::UnreachableRule { rule, taken_by } => {
                    prop_assert!(policy.rules()[rule.index].applies_to(&finding.profile));
                    prop_assert_eq!(applying.unwrap().name(), &taken_by.name);
                    prop_assert!(taken_by.index < rule.index);
                    dead.insert(rule.index);
                }
                FindingKind::OnlyOwnRequest { rule, requester } => {
                    prop_assert_eq!(applying.unwrap().name(), &rule.name);
                    prop_assert!(is_stuck(&policy, &finding.profile, requester), "{}", finding);
                    stuck.insert(rule.index);
                }
                FindingKind::NobodyCanApprove => missing.push(finding.profile.clone()),
            }
        }
        let (mut reached, mut alone) = (BTreeSet::new(), BTreeSet::new());
        for profile in &profiles {
            let Some(rule) = policy.rule_for(profile) else { continue };
            let index = policy.rules().iter().position(|other| other.name() == rule.name()).unwrap();
            reached.insert(index);
            if rule.approvers().iter().any(|approver| is_stuck(&policy, profile, approver)) {
                alone.insert(index);
            }
        }
        let unreached: BTreeSet<usize> = (0..policy.rules().len()).filter(|index| !reached.contains(index)).collect();
        prop_assert_eq!(dead, unreached);
        prop_assert_eq!(stuck, alone);
        let without: Vec<Profile> = profiles.iter().filter(|profile| policy.rule_for(profile).is_none()).cloned().collect();
        prop_assert_eq!(missing, without);
    }
}
