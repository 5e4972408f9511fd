//! The admission as a pure function: each refusal, its limit to the nanosecond, the order of
//! refusals, the escalation.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use common::*;
use countersign_breakglass::*;

/// Decides with invocation rules of one rule, without limits, nothing observed.
fn decide(rule: &str, draft: &Draft, at: DateTime<Utc>) -> Result<Admitted, Refusal> {
    let policy = invocation(rule);
    let admission = Admission::new(&policy, &RateLimitPolicy::unlimited(), &draft.profile);
    admission.decide(draft, &Observed::default(), at)
}

fn nanos(count: i64) -> TimeDelta {
    TimeDelta::nanoseconds(count)
}

#[test]
fn no_rule_means_no() {
    let policy = invocation(r#""profiles": ["dev"], "users": ["alice"]"#);
    let decide = |wanted: &str| {
        let draft = draft(1, "alice", wanted);
        Admission::new(&policy, &RateLimitPolicy::unlimited(), &draft.profile).decide(
            &draft,
            &Observed::default(),
            start(),
        )
    };
    assert!(decide("dev").is_ok());
    let refusal = Refusal::NoRule {
        profile: profile("prod"),
    };
    assert_eq!(decide("prod"), Err(refusal));
}

#[test]
fn an_admission_for_one_profile_admits_to_no_other() {
    let admission = admission(&RateLimitPolicy::unlimited(), "dev");
    let observed = Observed::default();
    assert!(
        admission
            .decide(&draft(1, "alice", "dev"), &observed, start())
            .is_ok()
    );
    let refusal = Refusal::OtherProfile {
        made_for: profile("dev"),
        used_for: profile("prod"),
    };
    let decision = admission.decide(&draft(1, "alice", "prod"), &observed, start());
    assert_eq!(decision, Err(refusal));
}

#[test]
fn only_people_whom_the_rule_names_exactly() {
    let rule = r#""users": ["alice", "bob"]"#;
    assert!(decide(rule, &draft(1, "bob", "prod"), start()).is_ok());
    for other in ["Alice", "alic", "alicea", "carol"] {
        let refusal = Refusal::User {
            rule: "rule".into(),
            user: user(other),
        };
        assert_eq!(
            decide(rule, &draft(1, other, "prod"), start()),
            Err(refusal)
        );
    }
}

#[test]
fn only_the_reasons_that_the_rule_allows() {
    for allowed in ReasonCode::ALL {
        let rule = format!(r#""allowed_reason_codes": ["{allowed}"]"#);
        for reason_code in ReasonCode::ALL {
            let mut draft = draft(1, "alice", "prod");
            draft.reason_code = reason_code;
            let refusal = Refusal::ReasonCode {
                rule: "rule".into(),
                reason_code,
            };
            let decision = decide(&rule, &draft, start()).map(drop);
            let expected = if allowed == reason_code {
                Ok(())
            } else {
                Err(refusal)
            };
            assert_eq!(decision, expected);
        }
    }
}

#[test]
fn only_while_the_window_is_open_to_the_nanosecond() {
    let rule = r#""time": {"days": ["monday"], "hours": {"start": "22:00", "end": "06:00"}}"#;
    let draft = draft(1, "alice", "prod");
    let opens = time("2026-03-02T22:00:00Z");
    let closes = time("2026-03-03T06:00:00Z");
    for (at, open) in [
        (opens - nanos(1), false),
        (opens, true),
        (time("2026-03-03T00:00:00Z"), true),
        (closes - nanos(1), true),
        (closes, false),
        (time("2026-03-02T05:00:00Z"), false),
    ] {
        let decision = decide(rule, &draft, at);
        assert_eq!(decision.is_ok(), open, "{at}: {decision:?}");
        if let Err(refusal) = decision {
            assert!(matches!(&refusal, Refusal::Time { at: tried, .. } if *tried == at));
            let message = refusal.to_string();
            assert!(message.contains("monday 22:00-06:00 UTC"), "{message}");
        }
    }
}

#[test]
fn at_most_as_long_as_the_rule_allows_to_the_nanosecond() {
    let rule = r#""max_duration": "30m""#;
    let most = Duration::from_secs(1_800);
    let mut draft = draft(1, "alice", "prod");
    draft.duration = most;
    assert!(decide(rule, &draft, start()).is_ok());
    draft.duration = most + NANO;
    let refusal = decide(rule, &draft, start()).unwrap_err();
    let given = draft.duration;
    let rule = "rule".into();
    assert_eq!(refusal, Refusal::Duration { rule, given, most });
    assert_eq!(
        refusal.to_string(),
        "rule `rule` allows at most `30m`, not `30m0.000000001s`: ask for less"
    );
}

#[test]
fn a_demanded_second_factor_is_refused_with_the_methods_until_there_is_proof() {
    let draft = draft(1, "alice", "prod");
    for (methods, expected) in [
        ("", vec![MfaMethod::Totp, MfaMethod::Sms]),
        (r#", "methods": ["sms"]"#, vec![MfaMethod::Sms]),
    ] {
        let rule = format!(r#""mfa": {{"required": true{methods}}}"#);
        let refusal = decide(&rule, &draft, start()).unwrap_err();
        let rule = "rule".into();
        let methods = expected;
        assert_eq!(refusal, Refusal::MfaRequired { rule, methods });
        assert!(refusal.to_string().contains("sms"), "{refusal}");
    }
    assert!(decide(r#""mfa": {"required": false}"#, &draft, start()).is_ok());
}

fn limited(rule: &str) -> Admission {
    admission(&limits(rule), "prod")
}

#[test]
fn an_active_emergency_stands_in_the_way_until_it_is_over() {
    let draft = draft(1, "alice", "prod");
    let expires_at = start();
    let observed = Observed {
        active: Some(ActiveEmergency {
            id: id(7),
            expires_at,
        }),
        ..Observed::default()
    };
    let admission = admission(&RateLimitPolicy::unlimited(), "prod");
    let refusal = Refusal::Active {
        id: id(7),
        retry_at: expires_at,
    };
    let decision = admission.decide(&draft, &observed, expires_at - nanos(1));
    assert_eq!(decision, Err(refusal));
    assert!(admission.decide(&draft, &observed, expires_at).is_ok());
}

#[test]
fn a_cooldown_ends_to_the_nanosecond() {
    let draft = draft(1, "alice", "prod");
    let admission = limited(r#""cooldown": "30m""#);
    let observed = Observed {
        last_created_at: Some(start()),
        ..Observed::default()
    };
    let retry_at = start() + TimeDelta::minutes(30);
    let rule = "limit".into();
    let refusal = Refusal::Cooldown { rule, retry_at };
    for at in [start() - TimeDelta::days(1), start(), retry_at - nanos(1)] {
        assert_eq!(
            admission.decide(&draft, &observed, at),
            Err(refusal.clone())
        );
    }
    assert!(admission.decide(&draft, &observed, retry_at).is_ok());
    assert!(
        admission
            .decide(&draft, &Observed::default(), start())
            .is_ok()
    );
}

#[test]
fn quotas_are_full_at_their_maximum_and_say_when_they_are_not() {
    let draft = draft(1, "alice", "prod");
    let newest = start() - TimeDelta::hours(3);
    let counted = |count| Counted {
        count,
        nth_newest: (count >= 2).then_some(newest),
    };
    let user = limited(r#""max_per_user": 2, "quota_window": "24h""#);
    let profile = limited(r#""max_per_profile": 2, "quota_window": "24h""#);
    for count in [0, 1, 2, 3, u64::MAX] {
        let of_user = Observed {
            of_user: counted(count),
            ..Observed::default()
        };
        let of_profile = Observed {
            of_profile: counted(count),
            ..Observed::default()
        };
        let decisions = [
            user.decide(&draft, &of_user, start()),
            profile.decide(&draft, &of_profile, start()),
        ];
        let (rule, max) = ("limit", 2.try_into().unwrap());
        let retry_at = start() + TimeDelta::hours(21);
        if count < 2 {
            assert!(decisions.iter().all(Result::is_ok), "{count}");
            continue;
        }
        let expected = [
            Err(Refusal::UserQuota {
                rule: rule.into(),
                count,
                max,
                retry_at,
                escalation: None,
            }),
            Err(Refusal::ProfileQuota {
                rule: rule.into(),
                count,
                max,
                retry_at,
                escalation: None,
            }),
        ];
        assert_eq!(decisions, expected, "{count}");
        // Each counts its own.
        assert!(user.decide(&draft, &of_profile, start()).is_ok());
        assert!(profile.decide(&draft, &of_user, start()).is_ok());
    }
}

#[test]
fn a_store_that_keeps_the_newest_time_back_still_gets_a_time_to_try_again() {
    let admission = limited(r#""max_per_user": 1, "quota_window": "1h""#);
    let counted = Counted {
        count: 1,
        nth_newest: None,
    };
    let observed = Observed {
        of_user: counted,
        ..Observed::default()
    };
    let refusal = admission.decide(&draft(1, "alice", "prod"), &observed, start());
    let hour_later = start() + TimeDelta::hours(1);
    assert_eq!(refusal.unwrap_err().retry_at(), Some(hour_later));
}

#[test]
fn escalation_never_blocks_and_needs_a_window_but_no_quota() {
    let draft = draft(1, "alice", "prod");
    let alone = limited(r#""escalation_threshold": 2, "quota_window": "24h""#);
    let with_quota = limited(
        r#""escalation_threshold": 2, "max_per_user": 9, "max_per_profile": 9, "quota_window": "24h""#,
    );
    for admission in [&alone, &with_quota] {
        for (count, escalate) in [(0, false), (1, false), (2, true), (3, true), (8, true)] {
            let mut observed = Observed::default();
            observed.of_user.count = count;
            let admitted = admission.decide(&draft, &observed, start()).unwrap();
            assert_eq!(admitted.escalate(), escalate, "{count}");
        }
        let mut observed = Observed::default();
        observed.of_profile.count = 8;
        let admitted = admission.decide(&draft, &observed, start()).unwrap();
        assert!(
            !admitted.escalate(),
            "the profile's emergencies do not escalate"
        );
    }
    let mut observed = Observed::default();
    observed.of_user.count = 1_000_000;
    assert!(alone.decide(&draft, &observed, start()).is_ok());
}

#[test]
fn refusals_come_in_their_order() {
    let invocation = invocation(
        r#""users": ["alice"], "allowed_reason_codes": ["incident"],
           "time": {"days": ["tuesday"]}, "max_duration": "30m", "mfa": {"required": true}"#,
    );
    let anybody = anybody();
    let limits = limits(
        r#""cooldown": "1h", "max_per_user": 1, "max_per_profile": 1, "quota_window": "1h""#,
    );
    let tuesday = start() + TimeDelta::days(1);
    let full = Counted {
        count: 1,
        nth_newest: Some(tuesday),
    };
    let mut observed = Observed {
        active: Some(ActiveEmergency {
            id: id(1),
            expires_at: tuesday + TimeDelta::hours(1),
        }),
        last_created_at: Some(tuesday),
        of_user: full,
        of_profile: full,
        proof_used_by: None,
        unreviewed: None,
    };
    let mut draft = draft(1, "bob", "prod");
    draft.reason_code = ReasonCode::Other;

    let decide = |policy: &InvocationPolicy, draft: &Draft, observed: &Observed, at| {
        let admission = Admission::new(policy, &limits, &draft.profile);
        admission.decide(draft, observed, at).unwrap_err()
    };
    let refusal = decide(&invocation, &draft, &observed, start());
    assert!(matches!(refusal, Refusal::User { .. }), "{refusal}");
    draft.invoker = user("alice");
    let refusal = decide(&invocation, &draft, &observed, start());
    assert!(matches!(refusal, Refusal::ReasonCode { .. }), "{refusal}");
    draft.reason_code = ReasonCode::Incident;
    let refusal = decide(&invocation, &draft, &observed, start());
    assert!(matches!(refusal, Refusal::Time { .. }), "{refusal}");
    let refusal = decide(&invocation, &draft, &observed, tuesday);
    assert!(matches!(refusal, Refusal::Duration { .. }), "{refusal}");
    draft.duration = Duration::from_secs(1_800);
    let refusal = decide(&invocation, &draft, &observed, tuesday);
    assert!(matches!(refusal, Refusal::MfaRequired { .. }), "{refusal}");
    let refusal = decide(&anybody, &draft, &observed, tuesday);
    assert!(matches!(refusal, Refusal::Active { .. }), "{refusal}");
    observed.active = None;
    let refusal = decide(&anybody, &draft, &observed, tuesday);
    assert!(matches!(refusal, Refusal::Cooldown { .. }), "{refusal}");
    observed.last_created_at = None;
    let refusal = decide(&anybody, &draft, &observed, tuesday);
    assert!(matches!(refusal, Refusal::UserQuota { .. }), "{refusal}");
    observed.of_user = Counted::default();
    let refusal = decide(&anybody, &draft, &observed, tuesday);
    assert!(matches!(refusal, Refusal::ProfileQuota { .. }), "{refusal}");
}

#[test]
fn only_what_the_rule_needs_is_observed() {
    let draft = draft(1, "Alice", "prod");
    let day_before = start() - TimeDelta::hours(24);
    let wanted = |nth: Option<u32>| {
        Some(CountWanted {
            created_after: day_before,
            nth_newest: nth.map(|nth| nth.try_into().unwrap()),
        })
    };
    for (rule, last_created_at, of_user, of_profile) in [
        (r#""cooldown": "30m""#, true, None, None),
        (
            r#""max_per_user": 2, "quota_window": "24h""#,
            false,
            wanted(Some(2)),
            None,
        ),
        (
            r#""max_per_profile": 3, "quota_window": "24h""#,
            false,
            None,
            wanted(Some(3)),
        ),
        (
            r#""escalation_threshold": 4, "quota_window": "24h""#,
            false,
            wanted(None),
            None,
        ),
    ] {
        let observation = limited(rule).observation(&draft, start());
        let expected = Observation {
            user: user("alice"),
            profile: profile("prod"),
            now: start().into(),
            last_created_at,
            of_user,
            of_profile,
            proof: None,
            unreviewed: false,
        };
        assert_eq!(observation, expected);
    }
    let unlimited = admission(&RateLimitPolicy::unlimited(), "prod");
    let observation = unlimited.observation(&draft, start());
    assert!(!observation.last_created_at);
    assert_eq!((observation.of_user, observation.of_profile), (None, None));
}

#[test]
fn every_refusal_says_whether_waiting_helps_and_ends_without_a_full_stop() {
    let rule = || "limit".into();
    let (max, retry_at) = (3.try_into().unwrap(), start());
    let waiting = [
        Refusal::Active {
            id: id(1),
            retry_at,
        },
        Refusal::Cooldown {
            rule: rule(),
            retry_at,
        },
        Refusal::UserQuota {
            rule: rule(),
            count: 3,
            max,
            retry_at,
            escalation: None,
        },
        Refusal::ProfileQuota {
            rule: rule(),
            count: 3,
            max,
            retry_at,
            escalation: None,
        },
    ];
    for refusal in waiting {
        assert_eq!(refusal.retry_at(), Some(start()));
        let message = refusal.to_string();
        assert!(message.contains("2026-03-02 09:00:00 UTC"), "{message}");
        assert!(!message.ends_with('.'), "{message}");
    }
    let profile = profile("prod");
    assert_eq!(Refusal::NoRule { profile }.retry_at(), None);
}
