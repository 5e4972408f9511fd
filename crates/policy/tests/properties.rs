//! Properties on generated policies, queries and grants, each against a naive statement of the
//! rules that shares no code with the crate.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::time::Duration;

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};
use common::{at, grant, profile, user};
use countersign_policy::{
    ConditionsDocument, Decision, Grant, GrantKind, Group, HoursDocument, Mode, OwnedDenial,
    Policy, PolicyDocument, Query, RuleDocument, Verdict, WindowDocument,
};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const PEOPLE: &[&str] = &["alice", "Alice", "bob", "日本"];
const PROFILES: &[&str] = &["prod", "dev", "alice"];
const GROUPS: &[&str] = &["on-call", "leads"];
const MODES: &[&str] = &["server", "cli", "credential_process"];
const DAYS: &[&str] = &[
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];
const EFFECTS: &[&str] = &[
    "allow",
    "deny",
    "require_approval",
    "require_server",
    "require_server_session",
];

fn some_of(from: &'static [&'static str]) -> impl Strategy<Value = Option<Vec<String>>> {
    let lists = subsequence(from, 1..=from.len()).prop_shuffle();
    option::of(lists.prop_map(|list| list.into_iter().map(str::to_owned).collect()))
}

/// Windows in UTC, so that the naive evaluation needs no zones; `core` tests the zones.
fn window() -> impl Strategy<Value = Option<WindowDocument>> {
    let hour =
        || (0_u32..24, 0_u32..60).prop_map(|(hour, minute)| format!("{hour:02}:{minute:02}"));
    let hours = option::of((hour(), hour()).prop_map(|(start, end)| HoursDocument { start, end }));
    let zone = option::of(Just("UTC".to_owned()));
    let window = (some_of(DAYS), hours, zone).prop_map(|(days, hours, timezone)| WindowDocument {
        days,
        hours,
        timezone,
    });
    option::weighted(0.3, window)
        .prop_map(|window| window.filter(|window| window.days.is_some() || window.hours.is_some()))
        .prop_filter("never open", |window| {
            let hours = window.as_ref().and_then(|window| window.hours.as_ref());
            hours.is_none_or(|hours| hours.start != hours.end)
        })
}

fn conditions() -> impl Strategy<Value = ConditionsDocument> {
    (
        some_of(PEOPLE),
        option::weighted(0.2, some_of(GROUPS)),
        some_of(PROFILES),
        option::weighted(0.2, some_of(GROUPS)),
        window(),
        option::weighted(0.3, some_of(MODES)),
    )
        .prop_map(
            |(users, groups, profiles, profile_groups, time, mode)| ConditionsDocument {
                users,
                groups: groups.flatten(),
                profiles,
                profile_groups: profile_groups.flatten(),
                time,
                mode: mode.flatten(),
            },
        )
        .prop_filter("no condition", |conditions| {
            *conditions != ConditionsDocument::default()
        })
}

fn rule() -> impl Strategy<Value = RuleDocument> {
    (
        select(EFFECTS),
        conditions(),
        option::of("[ -~é]{0,12}"),
        option::of(any::<bool>()),
        option::of(select(&["1s", "90m", "1h30m", "5400s", "87600h"][..])),
        option::of("[a-zé]{1,5}"),
    )
        .prop_map(
            |(effect, conditions, reason, hard, length, session_table)| RuleDocument {
                name: String::new(),
                effect: effect.to_owned(),
                conditions,
                reason,
                hard: hard.filter(|_| effect == "deny"),
                max_server_duration: length.map(Into::into),
                session_table,
            },
        )
}

fn document() -> impl Strategy<Value = PolicyDocument> {
    prop::collection::vec(rule(), 1..8).prop_map(|mut rules| {
        for (number, rule) in rules.iter_mut().enumerate() {
            rule.name = format!("rule {number}");
        }
        PolicyDocument {
            version: "1".to_owned(),
            rules,
        }
    })
}

#[derive(Debug, Clone)]
struct Asked {
    who: &'static str,
    groups: Vec<&'static str>,
    what: &'static str,
    profile_groups: Vec<&'static str>,
    at: DateTime<Utc>,
    mode: Option<Mode>,
    table: &'static str,
}

impl Asked {
    fn query(&self) -> Query {
        let groups = |names: &[&str]| -> Vec<Group> {
            names.iter().map(|name| Group::new(name).unwrap()).collect()
        };
        let query = Query::new(user(self.who), profile(self.what), self.at)
            .with_groups(groups(&self.groups))
            .with_profile_groups(groups(&self.profile_groups))
            .with_session_table(self.table);
        match self.mode {
            Some(mode) => query.with_mode(mode),
            None => query,
        }
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    let week = 0..7 * 86_400 * 1_000_000_000_i64;
    (
        select(PEOPLE),
        subsequence(GROUPS, 0..=GROUPS.len()),
        select(PROFILES),
        subsequence(GROUPS, 0..=GROUPS.len()),
        week,
        option::of(select(&Mode::ALL[..])),
        select(&["", "sessions"][..]),
    )
        .prop_map(
            |(who, groups, what, profile_groups, nanos, mode, table)| Asked {
                who,
                groups,
                what,
                profile_groups,
                at: at("2026-03-02T00:00:00Z") + TimeDelta::nanoseconds(nanos),
                mode,
                table,
            },
        )
}

fn naively_open(window: &WindowDocument, at: DateTime<Utc>) -> bool {
    let day_of = |time: DateTime<Utc>| DAYS[time.weekday().num_days_from_monday() as usize];
    let on = |day: &str| {
        let days = window.days.as_ref();
        days.is_none_or(|days| days.iter().any(|listed| listed == day))
    };
    let Some(hours) = &window.hours else {
        return on(day_of(at));
    };
    let now = format!("{:02}:{:02}", at.hour(), at.minute());
    if hours.start < hours.end {
        return on(day_of(at)) && now >= hours.start && now < hours.end;
    }
    now >= hours.start && on(day_of(at)) || now < hours.end && on(day_of(at - TimeDelta::days(1)))
}

fn naively_matches(rule: &RuleDocument, asked: &Asked) -> bool {
    let has = |list: &Option<Vec<String>>, any: &[&str]| match list {
        None => true,
        Some(list) => list.iter().any(|listed| any.contains(&listed.as_str())),
    };
    let conditions = &rule.conditions;
    let mode: Vec<&str> = asked.mode.iter().map(|mode| mode.as_str()).collect();
    has(&conditions.users, &[asked.who])
        && has(&conditions.groups, &asked.groups)
        && has(&conditions.profiles, &[asked.what])
        && has(&conditions.profile_groups, &asked.profile_groups)
        && has(&conditions.mode, &mode)
        && conditions
            .time
            .as_ref()
            .is_none_or(|window| naively_open(window, asked.at))
}

/// What the document says: which rule, what comes of it, and why not.
fn naively_decided(
    document: &PolicyDocument,
    asked: &Asked,
) -> (Option<usize>, Verdict, Option<OwnedDenial>) {
    let index = document
        .rules
        .iter()
        .position(|rule| naively_matches(rule, asked));
    let Some(rule) = index.map(|index| &document.rules[index]) else {
        return (None, Verdict::Deny, Some(OwnedDenial::NoRule));
    };
    let server = asked.mode == Some(Mode::Server);
    let (verdict, denial) = match (rule.effect.as_str(), server, asked.table.is_empty()) {
        ("allow", _, _) | ("require_server", true, _) | ("require_server_session", true, false) => {
            (Verdict::Allow, None)
        }
        ("require_approval", _, _) => (Verdict::RequireApproval, None),
        ("deny", _, _) if rule.hard == Some(true) => (Verdict::Deny, Some(OwnedDenial::HardRule)),
        ("deny", _, _) => (Verdict::Deny, Some(OwnedDenial::Rule)),
        (_, false, _) => (Verdict::Deny, Some(OwnedDenial::ServerModeRequired)),
        _ => (Verdict::Deny, Some(OwnedDenial::SessionTrackingRequired)),
    };
    (index, verdict, denial)
}

fn grants() -> impl Strategy<Value = Vec<(GrantKind, &'static str, &'static str, i64)>> {
    let kinds = select(&[GrantKind::Approval, GrantKind::Emergency][..]);
    let grant = (kinds, select(PEOPLE), select(PROFILES), -2_i64..3);
    prop::collection::vec(grant, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_decision_is_what_the_document_says(document in document(), asked in prop::collection::vec(asked(), 1..20)) {
        let policy = Policy::try_from(document.clone()).unwrap();
        for asked in asked {
            let decision = policy.decide(&asked.query()).to_owned();
            let rule = decision.rule.as_ref();
            let outcome = (rule.map(|rule| rule.index), decision.verdict, decision.denial);
            prop_assert_eq!(outcome, naively_decided(&document, &asked), "{:?}", asked);
            if let Some(rule) = rule {
                let written = &document.rules[rule.index];
                prop_assert_eq!(&*rule.name, written.name.as_str());
                prop_assert_eq!(rule.reason.as_deref(), written.reason.as_deref());
                prop_assert_eq!(rule.session_table.as_deref(), written.session_table.as_deref());
                let length = written.max_server_duration.as_ref().map(|text| text.parse().unwrap());
                prop_assert_eq!(rule.max_server_duration, length);
            }
        }
    }

    #[test]
    fn a_policy_reads_back_as_itself_with_the_same_digest(document in document()) {
        let policy = Policy::try_from(document.clone()).unwrap();
        for json in [serde_json::to_vec(&policy).unwrap(), serde_json::to_vec_pretty(&document).unwrap()] {
            let again = Policy::from_json(&json).unwrap();
            prop_assert_eq!(again.digest(), policy.digest());
            prop_assert_eq!(&again, &policy);
        }
        prop_assert_eq!(Policy::try_from(policy.document()).unwrap(), policy);
        let json = serde_json::to_vec(&document).unwrap();
        prop_assert_eq!(serde_json::from_slice::<PolicyDocument>(&json).unwrap(), document);
    }

    /// Grants open only what they may, and only for as long as they hold.
    #[test]
    fn grants_open_only_what_they_may(document in document(), asked in asked(), grants in grants()) {
        let policy = Policy::try_from(document.clone()).unwrap();
        let query = asked.query();
        let grants: Vec<Grant> = grants
            .into_iter()
            .map(|(kind, who, what, nanos)| grant(kind, who, what, asked.at + TimeDelta::nanoseconds(nanos)))
            .collect();
        let decision = policy.decide(&query);
        let combined = decision.combine(&query, &grants);

        let (_, verdict, denial) = naively_decided(&document, &asked);
        let best = |kind| {
            let counts = |grant: &&Grant| grant.kind == kind
                && grant.user.as_str() == asked.who
                && grant.profile.as_str() == asked.what
                && grant.until > asked.at;
            grants.iter().filter(counts).map(|grant| grant.until).max()
        };
        let (approval, emergency) = (best(GrantKind::Approval), best(GrantKind::Emergency));
        let until = match (verdict, denial) {
            (Verdict::RequireApproval, _) => approval.or(emergency),
            (_, Some(OwnedDenial::NoRule | OwnedDenial::Rule)) => emergency,
            _ => None,
        };
        let Some(until) = until else {
            prop_assert_eq!(combined, decision);
            return Ok(());
        };
        let Decision::Allow(allow) = combined else {
            return Err(TestCaseError::fail(format!("{combined}")));
        };
        let remaining = Duration::from_nanos(u64::try_from((until - asked.at).num_nanoseconds().unwrap()).unwrap());
        let limit = decision.rule().and_then(|rule| rule.max_server_duration);
        prop_assert_eq!(allow.grant.unwrap().until, until);
        prop_assert_eq!(allow.max_duration, Some(limit.map_or(remaining, |limit| limit.min(remaining))));
        prop_assert_eq!(allow.rule, decision.rule());
    }

    /// No text makes reading panic, and what is read can be asked.
    #[test]
    fn no_text_makes_reading_panic(text in ".{0,200}", document in document(), cut in any::<prop::sample::Index>(), byte: u8) {
        let _ = Policy::from_json(text.as_bytes());
        let mut json = serde_json::to_vec(&document).unwrap();
        let at = cut.index(json.len());
        json[at] = byte;
        if let Err(error) = Policy::from_json(&json) {
            common::assert_one_line(&error.to_string());
        }
        json.truncate(at);
        prop_assert!(Policy::from_json(&json).is_err(), "half a document was taken for a policy");
    }
}
