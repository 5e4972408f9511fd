//! What a store decides, compared with the plainest way of saying the same rules: over a list,
//! without an index.

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
use proptest::prelude::*;

fn nanos(count: i64) -> TimeDelta {
    TimeDelta::nanoseconds(count)
}

/// A limit rule to try, in seconds.
#[derive(Debug, Clone)]
struct Rule {
    cooldown: Option<u32>,
    max_per_user: Option<u32>,
    max_per_profile: Option<u32>,
    threshold: Option<u32>,
    window: u32,
}

impl Rule {
    fn policy(&self) -> RateLimitPolicy {
        let mut rule = serde_json::json!({"name": "limit"});
        let fields = [
            ("max_per_user", self.max_per_user),
            ("max_per_profile", self.max_per_profile),
            ("escalation_threshold", self.threshold),
        ];
        for (field, count) in fields {
            if let Some(count) = count {
                rule[field] = count.into();
                rule["quota_window"] = format!("{}s", self.window).into();
            }
        }
        if let Some(cooldown) = self.cooldown {
            rule["cooldown"] = format!("{cooldown}s").into();
        }
        if rule.as_object().map(|rule| rule.len()) == Some(1) {
            return RateLimitPolicy::unlimited();
        }
        let document = serde_json::json!({"version": "1", "rules": [rule]});
        serde_json::from_value(document).unwrap()
    }
}

fn rule() -> impl Strategy<Value = Rule> {
    let count = || prop::option::of(1_u32..4);
    (
        prop::option::of(1_u32..20),
        count(),
        count(),
        count(),
        1_u32..20,
    )
        .prop_map(
            |(cooldown, max_per_user, max_per_profile, threshold, window)| Rule {
                cooldown,
                max_per_user,
                max_per_profile,
                threshold,
                window,
            },
        )
}

/// Someone's emergency: who, for what, when (nanoseconds around whole seconds), how long, and whether
/// it was closed at once.
type Past = (usize, usize, i64, i64, u64, bool);

fn past() -> impl Strategy<Value = Past> {
    (
        0_usize..3,
        0_usize..2,
        0_i64..24,
        -1_i64..2,
        1_u64..10,
        any::<bool>(),
    )
}

const PEOPLE: [&str; 3] = ["alice", "Alice", "bob"];
const PROFILES: [&str; 2] = ["prod", "dev"];

fn moment(seconds: i64, nano: i64) -> DateTime<Utc> {
    start() + TimeDelta::seconds(seconds) + nanos(nano)
}

/// What the rules say, said again in the plainest way: over a list, without any index.
fn naive(
    rule: &Rule,
    emergencies: &[Emergency],
    draft: &Draft,
    at: DateTime<Utc>,
) -> Result<bool, (&'static str, u64)> {
    let seconds = |count: u32| TimeDelta::seconds(count.into());
    let same = |emergency: &Emergency| emergency.invoker.same_user(&draft.invoker);
    let here = |emergency: &Emergency| emergency.profile == draft.profile;
    if emergencies
        .iter()
        .any(|e| same(e) && here(e) && e.status == Status::Active && e.expires_at > at)
    {
        return Err(("active", 0));
    }
    if let Some(cooldown) = rule.cooldown {
        if emergencies
            .iter()
            .any(|e| same(e) && here(e) && at < e.created_at + seconds(cooldown))
        {
            return Err(("cooldown", 0));
        }
    }
    let recent = |emergency: &Emergency| emergency.created_at > at - seconds(rule.window);
    let of_user = emergencies.iter().filter(|e| same(e) && recent(e)).count();
    let of_profile = emergencies.iter().filter(|e| here(e) && recent(e)).count();
    if rule.max_per_user.is_some_and(|max| of_user >= max as usize) {
        return Err(("user", of_user as u64));
    }
    if rule
        .max_per_profile
        .is_some_and(|max| of_profile >= max as usize)
    {
        return Err(("profile", of_profile as u64));
    }
    Ok(rule
        .threshold
        .is_some_and(|least| of_user >= least as usize))
}

/// Which refusal it is, and the count that it names.
fn kind(refusal: &Refusal) -> (&'static str, u64) {
    match refusal {
        Refusal::Active { .. } => ("active", 0),
        Refusal::Cooldown { .. } => ("cooldown", 0),
        Refusal::UserQuota { count, .. } => ("user", *count),
        Refusal::ProfileQuota { count, .. } => ("profile", *count),
        other => panic!("{other}"),
    }
}

proptest! {
    /// What a store decides over any past is what the naive evaluation says, and the time to try
    /// again is right to the nanosecond.
    #[test]
    fn a_store_decides_as_the_naive_evaluation_does(
        rule in rule(),
        mut pasts in prop::collection::vec(past(), 0..12),
        (who, what, second, nano) in (0_usize..3, 0_usize..2, 20_i64..45, -1_i64..2),
    ) {
        pasts.sort_by_key(|past| (past.2, past.3));
        let policy = rule.policy();
        let build = || {
            let bench = Bench::default();
            for (past, bits) in pasts.iter().zip(100..) {
                let (who, what, second, nano, length, closed) = *past;
                bench.clock.set(moment(second, nano));
                let mut draft = draft(bits, PEOPLE[who], PROFILES[what]);
                draft.duration = Duration::from_secs(length);
                let created = bench.create(&draft, &RateLimitPolicy::unlimited());
                if closed && created.is_ok() {
                    let change = Change::close(&anybody(), &draft.profile, &draft.invoker, "over");
                    bench.update(bits, &change).unwrap();
                }
            }
            bench
        };
        let try_at = |at: DateTime<Utc>| {
            let bench = build();
            let mut emergencies = Vec::new();
            for status in Status::ALL {
                let listing = bench.store.sync().list(&Filter::Status(status), Page::first(0)).unwrap();
                emergencies.extend(listing.items.iter().map(|emergency| (**emergency).clone()));
            }
            bench.clock.set(at);
            // Within a minute time stands still rather than running backwards.
            let last = emergencies.iter().map(Emergency::changed_at).max();
            let at = last.map_or(at, |last| at.max(last));
            let draft = draft(1, PEOPLE[who], PROFILES[what]);
            let expected = naive(&rule, &emergencies, &draft, at);
            let result = bench.create(&draft, &policy);
            let got = match &result {
                Ok(emergency) => Ok(emergency.escalate),
                Err(Error::Refused(refusal)) => Err(kind(refusal)),
                Err(other) => panic!("{other}"),
            };
            (got, expected, result)
        };
        let (got, expected, result) = try_at(moment(second, nano));
        prop_assert_eq!(got, expected);
        if let Err(Error::Refused(refusal)) = result {
            let retry_at = refusal.retry_at().unwrap();
            let (before, expected, _) = try_at(retry_at - nanos(1));
            prop_assert_eq!(before, expected);
            let is_same = |got: Result<bool, (&str, u64)>| {
                got.err().map(|(kind, _)| kind) == Some(kind(&refusal).0)
            };
            prop_assert!(is_same(before), "one nanosecond before it holds: {before:?}");
            let (then, expected, _) = try_at(retry_at);
            prop_assert_eq!(then, expected);
            prop_assert!(!is_same(then), "at the time it is lifted: {then:?}");
        }
    }
}
