//! Grants: what an approval or an emergency changes, for whom, and until when.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::time::Duration;

use chrono::TimeDelta;
use common::{at, grant, policy, query};
use countersign_policy::{Decision, Effect, Grant, GrantKind, GrantedBy, Mode, Policy, Query};
use serde_json::json;

use GrantKind::{Approval, Emergency};

/// One rule of each effect, each for the profile of its name; nothing for any other profile.
fn every_effect() -> Policy {
    let rule = |effect: &str| {
        json!({"name": effect, "effect": effect, "conditions": {"profiles": [effect]},
            "max_server_duration": "2h"})
    };
    let mut rules: Vec<_> = Effect::ALL
        .iter()
        .map(|effect| rule(effect.as_str()))
        .collect();
    rules.push(json!({"name": "hard", "effect": "deny", "hard": true,
        "conditions": {"profiles": ["hard"]}}));
    policy(&json!(rules))
}

fn in_an_hour(query: &Query) -> chrono::DateTime<chrono::Utc> {
    query.at() + TimeDelta::hours(1)
}

/// Every kind of decision against every set of kinds of grants, against the table of the design.
#[test]
fn every_decision_with_every_kind_of_grant() {
    let policy = every_effect();
    for (what, by_approval, by_emergency) in [
        ("allow", true, true),
        ("require_approval", true, true),
        ("nothing for this", false, true),
        ("deny", false, true),
        ("hard", false, false),
        ("require_server", false, false),
        ("require_server_session", false, false),
    ] {
        let query = query("alice", what);
        let decision = policy.decide(&query);
        for kinds in [&[][..], &[Approval], &[Emergency], &[Approval, Emergency]] {
            let grants: Vec<Grant> = kinds
                .iter()
                .map(|kind| grant(*kind, "alice", what, in_an_hour(&query)))
                .collect();
            let combined = decision.combine(&query, &grants);
            let granted = kinds.contains(&Approval) && by_approval
                || kinds.contains(&Emergency) && by_emergency;
            if what == "allow" || !granted {
                assert_eq!(
                    combined, decision,
                    "{what} with {kinds:?} must stay as it was"
                );
                continue;
            }
            let Decision::Allow(allow) = combined else {
                panic!("{what} with {kinds:?}: {combined}");
            };
            assert_eq!(allow.rule, decision.rule());
            assert_eq!(allow.policy, policy.digest());
            assert_eq!(allow.max_duration, Some(Duration::from_secs(3_600)));
            let kind = allow.grant.unwrap().kind;
            let approved = kinds.contains(&Approval) && by_approval;
            assert_eq!(
                kind,
                if approved { Approval } else { Emergency },
                "{what}, {kinds:?}"
            );
        }
    }
}

#[test]
fn a_grant_never_replaces_session_tracking() {
    let policy = every_effect();
    let query = query("alice", "require_server_session").with_mode(Mode::Server);
    let grants = [Approval, Emergency]
        .map(|kind| grant(kind, "alice", "require_server_session", in_an_hour(&query)));
    let decision = policy.decide(&query);
    assert!(decision.requires_session_tracking() && !decision.requires_server_mode());
    assert_eq!(decision.combine(&query, &grants), decision);
}

#[test]
fn a_pinned_grant_ends_when_the_policy_changes() {
    let (before, after) = (
        every_effect(),
        policy(&json!([{"name": "only", "effect": "require_approval",
            "conditions": {"profiles": ["require_approval"]}}])),
    );
    let query = query("alice", "require_approval");
    let grant_until = |hours| {
        let until = query.at() + TimeDelta::hours(hours);
        grant(Approval, "alice", "require_approval", until)
    };
    let pinned = |policy, hours| Grant {
        policy,
        ends_with_policy: true,
        ..grant_until(hours)
    };
    let longest = |policy: &Policy, grants: &[Grant]| {
        let Decision::Allow(allow) = policy.decide(&query).combine(&query, grants) else {
            return None;
        };
        allow.max_duration.map(|longest| longest.as_secs() / 3_600)
    };
    let own = pinned(Some(before.digest()), 1);
    assert_eq!(longest(&before, std::slice::from_ref(&own)), Some(1));
    assert_eq!(
        longest(&after, std::slice::from_ref(&own)),
        None,
        "it has ended"
    );
    assert_eq!(longest(&before, &[pinned(None, 1)]), None);
    let unpinned = Grant {
        policy: Some(before.digest()),
        ..grant_until(1)
    };
    assert_eq!(longest(&after, &[unpinned]), Some(1));
    // A longer one that has ended does not hide a shorter one that holds.
    let both = [pinned(Some(before.digest()), 2), grant_until(1)];
    assert_eq!(longest(&before, &both), Some(2));
    assert_eq!(longest(&after, &both), Some(1));
    // An emergency too, if ever one is pinned.
    let emergency = Grant {
        kind: Emergency,
        ..own
    };
    assert_eq!(longest(&before, std::slice::from_ref(&emergency)), Some(1));
    assert_eq!(longest(&after, &[emergency]), None);
}

#[test]
fn a_grant_never_overrides_an_explicit_hard_denial() {
    let policy = policy(&json!([
        {"name": "freeze", "effect": "deny", "hard": true, "conditions": {"profiles": ["prod"]}},
        {"name": "soft", "effect": "deny", "hard": false, "conditions": {"profiles": ["dev"]}},
    ]));
    let overridden = |what: &str| {
        let query = query("alice", what);
        let grants = [Emergency, Approval, Emergency]
            .map(|kind| grant(kind, "alice", what, in_an_hour(&query)));
        policy.decide(&query).combine(&query, &grants).is_allowed()
    };
    assert!(!overridden("prod"), "an explicit denial was overridden");
    assert!(
        overridden("dev"),
        "an emergency overrides a denial that is not hard"
    );
    let query = query("alice", "dev");
    let approval = [grant(Approval, "alice", "dev", in_an_hour(&query))];
    let combined = policy.decide(&query).combine(&query, &approval);
    assert!(
        !combined.is_allowed(),
        "an approval was taken for an emergency"
    );
}

#[test]
fn a_grant_for_one_user_is_never_used_for_another() {
    let policy = every_effect();
    for what in ["require_approval", "deny", "nothing for this"] {
        let query = query("alice", what);
        let until = in_an_hour(&query);
        for (who, which) in [
            ("bob", what),
            ("Alice", what),
            ("alice2", what),
            ("alice", "prod"),
            ("alice", "Require_approval"),
            (what, "alice"),
        ] {
            let grants = [Approval, Emergency].map(|kind| grant(kind, who, which, until));
            let decision = policy.decide(&query);
            assert_eq!(
                decision.combine(&query, &grants),
                decision,
                "a grant for {who} and {which} was used for alice and {what}"
            );
        }
        // The same grants do not hide the right one.
        let grants = [
            grant(Emergency, "bob", what, until),
            grant(Emergency, "alice", what, until),
        ];
        let combined = policy.decide(&query).combine(&query, &grants);
        assert_eq!(combined.to_owned().grant.unwrap(), grants[1]);
    }
}

#[test]
fn a_grant_holds_until_its_last_nanosecond() {
    let policy = every_effect();
    let query = query("alice", "require_approval");
    let nanos = |n| query.at() + TimeDelta::nanoseconds(n);
    for kind in [Approval, Emergency] {
        for (until, remaining) in [
            (nanos(-1), None),
            (nanos(0), None),
            (nanos(1), Some(Duration::from_nanos(1))),
        ] {
            let grants = [grant(kind, "alice", "require_approval", until)];
            let combined = policy.decide(&query).combine(&query, &grants);
            let cap = match combined {
                Decision::Allow(allow) => allow.max_duration,
                Decision::Deny(_) => panic!("{combined}"),
                Decision::RequireApproval(_) => None,
            };
            assert_eq!(cap, remaining, "{kind} until {until}");
        }
    }
}

#[test]
fn access_ends_with_the_grant_or_the_rule_whichever_is_first() {
    let policy = every_effect(); // limits to two hours
    let limit = TimeDelta::hours(2);
    let nano = TimeDelta::nanoseconds(1);
    let query = query("alice", "require_approval");
    for (remaining, cap) in [
        (limit - nano, limit - nano),
        (limit, limit),
        (limit + nano, limit),
        (TimeDelta::days(400_000), limit),
    ] {
        let until = query.at() + remaining;
        let grants = [grant(Approval, "alice", "require_approval", until)];
        let Decision::Allow(allow) = policy.decide(&query).combine(&query, &grants) else {
            panic!("the approval does not count");
        };
        assert_eq!(allow.max_duration, Some(cap.to_std().unwrap()));
    }
    // Where the rule has no limit, or there is no rule, the grant alone limits.
    let query = common::query("alice", "nothing for this");
    let until = query.at() + TimeDelta::days(30);
    let grants = [grant(Emergency, "alice", "nothing for this", until)];
    let Decision::Allow(allow) = policy.decide(&query).combine(&query, &grants) else {
        panic!("the emergency does not count");
    };
    assert_eq!(allow.rule, None);
    assert_eq!(allow.max_duration, Some(Duration::from_secs(30 * 86_400)));
}

#[test]
fn the_approval_that_holds_longest_is_taken_even_if_an_emergency_holds_longer() {
    let policy = every_effect();
    let query = query("alice", "require_approval");
    let minutes = |n| query.at() + TimeDelta::minutes(n);
    let grants = [
        grant(Approval, "alice", "require_approval", minutes(5)),
        grant(Emergency, "alice", "require_approval", minutes(60)),
        grant(Approval, "alice", "require_approval", minutes(10)),
        grant(Approval, "alice", "require_approval", minutes(7)),
        grant(Approval, "bob", "require_approval", minutes(90)),
    ];
    let Decision::Allow(allow) = policy.decide(&query).combine(&query, &grants) else {
        panic!("no approval counts");
    };
    assert_eq!(allow.grant, Some(&grants[2]));
    assert_eq!(allow.max_duration, Some(Duration::from_secs(600)));
}

#[test]
fn of_equal_grants_the_first_is_taken() {
    let policy = every_effect();
    let query = query("alice", "require_approval");
    let until = in_an_hour(&query);
    let mut grants = [0, 1].map(|_| grant(Approval, "alice", "require_approval", until));
    grants[0].granted_by = GrantedBy::Rule("first".into());
    let Decision::Allow(allow) = policy.decide(&query).combine(&query, &grants) else {
        panic!("no approval counts");
    };
    assert!(std::ptr::eq(allow.grant.unwrap(), &grants[0]));
}

#[test]
fn combining_again_changes_nothing() {
    let policy = every_effect();
    let query = query("alice", "deny");
    let first = [grant(
        Emergency,
        "alice",
        "deny",
        query.at() + TimeDelta::minutes(5),
    )];
    let second = [grant(Emergency, "alice", "deny", in_an_hour(&query))];
    let once = policy.decide(&query).combine(&query, &first);
    assert!(once.is_allowed());
    assert_eq!(once.combine(&query, &second), once);
}

#[test]
fn the_line_says_what_access_rests_on() {
    let policy = every_effect();
    let query = query("alice", "require_approval");
    let grants = [grant(
        Approval,
        "alice",
        "require_approval",
        at("2026-03-02T09:30:00Z"),
    )];
    let combined = policy.decide(&query).combine(&query, &grants);
    let shown = "allow, for at most 30m, approval by carol, rule 2 `require_approval`";
    assert_eq!(combined.to_string(), shown);
    let owned = combined.to_owned();
    assert_eq!(owned.to_string(), shown);
    assert_eq!(
        serde_json::to_value(&owned).unwrap()["grant"]["kind"],
        "approval"
    );
}
