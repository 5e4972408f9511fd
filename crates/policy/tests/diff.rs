//! Differences of two policies: each kind of change, what is none, zones, and the proof against
//! trying every query.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::time::Duration;

use common::{policy, small};
use countersign_policy::{Decision, Denial, Difference, Direction, Mode, NameSet, Policy, Query};
use proptest::prelude::*;
use serde_json::{Value, json};

fn rule(name: &str, effect: &str, conditions: Value) -> Value {
    json!({"name": name, "effect": effect, "conditions": conditions})
}

/// The changes as they are told; checks that each witness is in its change and shows it.
fn told(old: Value, new: Value) -> Vec<String> {
    let (old, new) = (policy(&old), policy(&new));
    let difference = old.diff(&new);
    assert_shown(&old, &new, &difference);
    assert!(difference.is_complete());
    let changes = difference.changes().iter();
    changes.map(|change| change.to_string()).collect()
}

/// What an answer means, said anew: verdict, kind of denial, limit, table.
type Meaning = (&'static str, Option<Duration>, Option<String>);

fn meaning(policy: &Policy, query: &Query) -> Meaning {
    let decision = policy.decide(query);
    let rule = decision.rule();
    let limit = rule.and_then(|rule| rule.max_server_duration);
    let table = rule.and_then(|rule| rule.session_table.map(str::to_owned));
    match decision {
        Decision::Allow(_) => ("allow", limit, table),
        Decision::RequireApproval(_) => ("approval", limit, table),
        Decision::Deny(deny) => match deny.why {
            Denial::NoRule => ("no rule", None, None),
            Denial::Rule { hard: true, .. } => ("hard", None, None),
            Denial::Rule { hard: false, .. } => ("deny", limit, table),
            Denial::ServerModeRequired {
                session_tracking_required: false,
                ..
            } => ("server", None, table),
            Denial::ServerModeRequired {
                session_tracking_required: true,
                ..
            } => ("server and session", None, table),
            Denial::SessionTrackingRequired { .. } => ("session", None, table),
        },
    }
}

fn access(meaning: &Meaning) -> u8 {
    match meaning.0 {
        "allow" => 2,
        "approval" => 1,
        _ => 0,
    }
}

fn assert_shown(old: &Policy, new: &Policy, difference: &Difference) {
    for change in difference.changes() {
        let witness = &change.witness;
        assert!(change.covers(witness), "{change}: {witness}");
        let (before, after) = (meaning(old, witness), meaning(new, witness));
        assert_ne!(before, after, "{change}: {witness}");
        let direction = match access(&after).cmp(&access(&before)) {
            std::cmp::Ordering::Greater => Direction::Gains,
            std::cmp::Ordering::Less => Direction::Loses,
            std::cmp::Ordering::Equal => Direction::Changes,
        };
        assert_eq!(change.direction, direction, "{change}");
        common::assert_one_line(&change.to_string());
    }
    let directions: Vec<_> = difference
        .changes()
        .iter()
        .map(|change| change.direction)
        .collect();
    assert!(directions.is_sorted());
}

#[test]
fn what_changes_no_answer_is_no_difference() {
    let alice = rule("alice", "allow", json!({"users": ["alice", "bob"]}));
    let lab = rule("lab", "deny", json!({"profiles": ["lab"]}));
    let none: [Value; 0] = [];
    for (old, new) in [
        (
            json!([alice]),
            json!([rule("renamed", "allow", json!({"users": ["bob", "alice"]}))]),
        ),
        (
            json!([alice]),
            json!([
                rule("a", "allow", json!({"users": ["alice"]})),
                rule("b", "allow", json!({"users": ["bob"]})),
            ]),
        ),
        (
            json!([alice, lab]),
            json!([alice, lab, rule("never", "deny", json!({"users": ["bob"]}))]),
        ),
        (
            json!([rule("a", "allow", json!({"mode": ["server"]}))]),
            json!([rule("a", "require_server", json!({"mode": ["server"]}))]),
        ),
        (
            json!([rule(
                "all",
                "deny",
                json!({"time": {"days": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]}})
            )]),
            json!([
                rule(
                    "day",
                    "deny",
                    json!({"time": {"hours": {"start": "06:00", "end": "18:00"}}})
                ),
                rule(
                    "night",
                    "deny",
                    json!({"time": {"hours": {"start": "18:00", "end": "06:00"}}})
                ),
            ]),
        ),
    ] {
        assert_eq!(told(old, new), none);
    }
    let mut reasoned = lab.clone();
    reasoned["reason"] = json!("ask");
    assert_eq!(
        told(json!([lab]), json!([reasoned])),
        none,
        "a reason decides nothing"
    );
}

#[test]
fn each_term_of_an_answer_makes_a_difference() {
    let with = |effect: &str, field: &str, value: Value| {
        let mut rule = rule("r", effect, json!({"users": ["bob"]}));
        rule[field] = value;
        json!([rule])
    };
    let plain = |effect: &str| with(effect, "reason", json!("none"));
    let single = |old, new| {
        let told = told(old, new);
        assert_eq!(told.len(), 1, "{told:?}");
        told[0].clone()
    };
    assert_eq!(
        single(
            plain("allow"),
            with("allow", "max_server_duration", json!("1h"))
        ),
        "changes: `bob` for any profile: allow -> allow, for at most 1h"
    );
    assert_eq!(
        single(
            plain("allow"),
            with("allow", "session_table", json!("audit"))
        ),
        "changes: `bob` for any profile: allow -> allow, session table `audit`"
    );
    assert_eq!(
        single(plain("deny"), with("deny", "hard", json!(true))),
        "changes: `bob` for any profile: deny -> deny, even in an emergency"
    );
    assert_eq!(
        single(plain("deny"), plain("require_approval")),
        "gains: `bob` for any profile: deny -> approval required"
    );
    assert_eq!(
        single(plain("allow"), plain("require_server")),
        "loses: `bob` for any profile, no mode, mode cli, mode credential_process: \
         allow -> deny, server mode required"
    );
    assert_eq!(
        told(plain("allow"), plain("require_server_session")),
        [
            "loses: `bob` for any profile, no mode, mode cli, mode credential_process: \
             allow -> deny, server mode and session tracking required",
            "loses: `bob` for any profile, mode server untracked: \
             allow -> deny, session tracking required",
        ]
    );
    let hard = |length: &str| {
        let mut rule = rule("r", "deny", json!({"users": ["bob"]}));
        rule["hard"] = json!(true);
        rule["max_server_duration"] = json!(length);
        json!([rule])
    };
    let none: [String; 0] = [];
    assert_eq!(
        told(hard("1h"), hard("2h")),
        none,
        "nothing is ever given under it"
    );
}

#[test]
fn changes_are_told_by_groups_days_and_hours() {
    let old = json!([rule(
        "leads",
        "allow",
        json!({"groups": ["leads"], "profiles": ["prod"]})
    )]);
    let weekend = json!({"days": ["saturday", "sunday"], "timezone": "Europe/London"});
    let new = json!([
        rule(
            "freeze",
            "deny",
            json!({"groups": ["night"], "time": weekend})
        ),
        rule(
            "leads",
            "allow",
            json!({"groups": ["leads", "core"], "profiles": ["prod"]})
        ),
    ]);
    assert_eq!(
        told(old, new),
        [
            "gains: anyone, in `core`, not in `leads` for `prod`, \
             monday, tuesday, wednesday, thursday, friday Europe/London: \
             deny, no matching rule -> allow",
            "gains: anyone, in `core`, not in `leads`, `night` for `prod`, \
             saturday, sunday Europe/London: deny, no matching rule -> allow",
            "loses: anyone, in `leads`, in `night` for `prod`, saturday, sunday Europe/London: \
             allow -> deny",
            "changes: anyone, in `night` for any profile but `prod`, \
             saturday, sunday Europe/London: deny, no matching rule -> deny",
            "changes: anyone, in `night`, not in `leads` for `prod`, \
             saturday, sunday Europe/London: deny, no matching rule -> deny",
        ]
    );
}

#[test]
fn one_rule_more_among_many_is_one_change() {
    let many = |extra: bool| {
        let rules = (0..300).map(|number| {
            let conditions = json!({"users": [format!("u{number}")], "profiles": ["prod", "dev"]});
            rule(&format!("rule {number}"), "allow", conditions)
        });
        let mut rules: Vec<Value> = rules.collect();
        if extra {
            rules.insert(150, rule("extra", "deny", json!({"profiles": ["dev"]})));
        }
        json!(rules)
    };
    let (old, new) = (policy(&many(false)), policy(&many(true)));
    let difference = old.diff(&new);
    assert_shown(&old, &new, &difference);
    let [lost, denied] = difference.changes() else {
        panic!("{difference}");
    };
    let NameSet::Only(people) = &lost.who.names else {
        panic!("{lost}");
    };
    assert_eq!((people.len(), lost.direction), (150, Direction::Loses));
    assert_eq!(
        denied.to_string(),
        "changes: anyone but `u0`, `u1`, `u2`, `u3` and 296 more for `dev`: \
         deny, no matching rule -> deny"
    );
    let back = new.diff(&old);
    assert_eq!(back.changes()[0].direction, Direction::Gains);
}

#[test]
fn across_zones_every_change_is_shown_by_its_witness() {
    let window = |start: &str, end: &str, zone: &str| {
        json!([rule(
            "r",
            "allow",
            json!({"time": {"hours": {"start": start, "end": end}, "timezone": zone}})
        )])
    };
    let none: [String; 0] = [];
    assert_eq!(
        told(
            window("09:00", "17:00", "Asia/Tokyo"),
            window("00:00", "08:00", "UTC")
        ),
        none,
        "the same hours by another name: no day shows a difference"
    );
    let changes = told(
        window("09:00", "17:00", "Europe/London"),
        window("09:00", "17:00", "UTC"),
    );
    assert_eq!(
        changes,
        [
            "gains: anyone for any profile, 00:00-09:00 and 17:00-24:00 Europe/London, \
             09:00-17:00 UTC: deny, no matching rule -> allow",
            "loses: anyone for any profile, 09:00-17:00 Europe/London, \
             00:00-09:00 and 17:00-24:00 UTC: allow -> deny, no matching rule",
        ]
    );
}

#[test]
fn a_difference_is_written_for_logs() {
    let (old, new) = (
        policy(&json!([rule("r", "allow", json!({"users": ["bob"]}))])),
        policy(&json!([rule(
            "r",
            "allow",
            json!({"users": ["bob"], "mode": ["cli"]})
        )])),
    );
    let object = serde_json::to_value(old.diff(&new)).unwrap();
    assert_eq!(
        object,
        json!({"complete": true, "changes": [{
            "direction": "loses",
            "who": {"names": {"only": ["bob"]}},
            "what": {"names": {"all_but": []}},
            "times": [],
            "ways": "no mode, mode server, mode credential_process",
            "before": {"verdict": "allow", "denial": null, "requires_session_tracking": false,
                       "max_duration": null, "session_table": null},
            "after": {"verdict": "deny", "denial": "no_rule", "requires_session_tracking": false,
                      "max_duration": null, "session_table": null},
            "witness": {"user": "bob", "profile": "any-other", "at": "2026-03-02T09:00:00Z"}
        }]})
    );
}

/// A policy and one that came of it by a few edits, or by writing it anew.
fn versions() -> impl Strategy<Value = (Policy, Policy)> {
    let edits = prop::collection::vec(
        (0_u8..5, any::<prop::sample::Index>(), small::rules()),
        0..3,
    );
    (
        small::rules(),
        edits,
        prop::bool::weighted(0.2),
        small::rules(),
    )
        .prop_map(|(old, edits, anew, other)| {
            let mut new = if anew { other } else { old.clone() };
            for (kind, place, fresh) in edits {
                let place = place.index(new.len());
                match kind {
                    0 => new.insert(place, fresh[0].clone()),
                    1 if new.len() > 1 => drop(new.remove(place)),
                    2 => new[place]["effect"] = json!("require_approval"),
                    3 => new[place] = fresh[0].clone(),
                    _ => new.rotate_left(place),
                }
                for rule in &mut new {
                    if rule["effect"] != "deny" {
                        rule.as_object_mut().unwrap().remove("hard");
                    }
                }
            }
            (small::compiled(&old), small::compiled(&new))
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Within one zone a query is answered otherwise if and only if some change is for it, and then
    /// every such change says what the answers are.
    #[test]
    fn diff_says_what_trying_every_query_shows((old, new) in versions()) {
        let difference = old.diff(&new);
        assert_shown(&old, &new, &difference);
        prop_assert!(difference.is_complete());
        let mut differing = 0;
        let mut wrong = None;
        small::each_query(&[&old, &new], |query| {
            let (before, after) = (meaning(&old, query), meaning(&new, query));
            let covering = || difference.changes().iter().filter(|change| change.covers(query));
            let differs = before != after;
            differing += usize::from(differs);
            let said = covering().next().is_some();
            let right = covering().all(|change| {
                meaning(&old, &change.witness) == before && meaning(&new, &change.witness) == after
            });
            if differs != said || !right {
                wrong = Some(format!("{query}: {before:?}, {after:?}\n{difference}"));
            }
        });
        prop_assert_eq!(wrong, None);
        prop_assert_eq!(differing == 0, difference.is_empty());
    }
}

#[test]
fn a_mode_is_part_of_a_change() {
    let old = policy(&json!([rule("r", "allow", json!({"users": ["bob"]}))]));
    let new = policy(&json!([rule(
        "r",
        "require_server",
        json!({"users": ["bob"]})
    )]));
    let difference = old.diff(&new);
    let asked = common::query("bob", "prod");
    assert!(difference.changes()[0].covers(&asked));
    assert!(!difference.changes()[0].covers(&asked.with_mode(Mode::Server)));
}
