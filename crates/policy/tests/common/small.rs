//! Small policies in one zone, and every query that could be asked of them: little enough to try
//! everything, varied enough for rules to cover one another in every way.

use std::collections::HashSet;
use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};
use countersign_policy::{Conditions, Group, Mode, Policy, Query};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

use super::{at, profile, user};

/// The names that rules use; a query may have another.
const PEOPLE: &[&str] = &["alice", "bob"];
const PROFILES: &[&str] = &["prod", "dev"];
const GROUPS: &[&str] = &["leads", "night", "core"];
const PROFILE_GROUPS: &[&str] = &["live", "test"];
/// Names that no rule has.
const OTHER_USER: &str = "mallory";
const OTHER_PROFILE: &str = "lab";
const ZONE: &str = "Asia/Kolkata";
const MODES: &[&str] = &["server", "cli", "credential_process"];

/// Windows whose boundaries are whole or half hours, few enough to meet often.
const WINDOWS: &[&str] = &[
    r#"{"days": ["saturday", "sunday"]}"#,
    r#"{"days": ["monday", "tuesday", "wednesday", "thursday", "friday"]}"#,
    r#"{"days": ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]}"#,
    r#"{"hours": {"start": "06:00", "end": "18:00"}}"#,
    r#"{"hours": {"start": "18:00", "end": "06:00"}}"#,
    r#"{"hours": {"start": "06:00", "end": "12:30"}}"#,
    r#"{"days": ["friday"], "hours": {"start": "22:00", "end": "06:00"}}"#,
    r#"{"days": ["sunday"], "hours": {"start": "18:00", "end": "06:00"}}"#,
    r#"{"days": ["saturday"], "hours": {"start": "00:00", "end": "06:00"}}"#,
];

fn some_of(weight: f64, from: &'static [&'static str]) -> impl Strategy<Value = Option<Value>> {
    let lists = subsequence(from, 1..=from.len());
    option::weighted(weight, lists.prop_map(|list| json!(list)))
}

fn window() -> impl Strategy<Value = Option<Value>> {
    let window = select(WINDOWS).prop_map(|text| {
        let mut window: Value = serde_json::from_str(text).unwrap();
        window["timezone"] = json!(ZONE);
        window
    });
    option::weighted(0.4, window)
}

fn rule() -> impl Strategy<Value = Value> {
    let effects = select(
        &[
            "allow",
            "allow",
            "deny",
            "deny",
            "require_approval",
            "require_server",
            "require_server_session",
        ][..],
    );
    let conditions = (
        some_of(0.4, PEOPLE),
        some_of(0.3, GROUPS),
        some_of(0.4, PROFILES),
        some_of(0.15, PROFILE_GROUPS),
        window(),
        some_of(0.3, MODES),
    );
    let terms = (
        option::weighted(0.2, Just(json!(true))),
        option::weighted(0.2, select(&["1h", "8h"][..])),
        option::weighted(0.2, select(&["sessions", "audit"][..])),
    );
    (effects, conditions, terms)
        .prop_map(|(effect, conditions, (hard, length, table))| {
            let (users, groups, profiles, profile_groups, time, mode) = conditions;
            let given = [
                ("users", users),
                ("groups", groups),
                ("profiles", profiles),
                ("profile_groups", profile_groups),
                ("time", time),
                ("mode", mode),
            ];
            let given: Map<String, Value> = given
                .into_iter()
                .filter_map(|(field, value)| Some((field.to_owned(), value?)))
                .collect();
            let mut rule = json!({"effect": effect, "conditions": given});
            if let (Some(hard), "deny") = (hard, effect) {
                rule["hard"] = hard;
            }
            if let Some(length) = length {
                rule["max_server_duration"] = json!(length);
            }
            if let Some(table) = table {
                rule["session_table"] = json!(table);
            }
            rule
        })
        .prop_filter("no condition", |rule| rule["conditions"] != json!({}))
}

/// One to five rules without names.
pub fn rules() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(rule(), 1..6)
}

/// The rules, each with a name of its own, as a policy.
pub fn compiled(rules: &[Value]) -> Policy {
    let named = rules.iter().enumerate().map(|(number, rule)| {
        let mut rule = rule.clone();
        rule["name"] = json!(format!("rule {number}"));
        rule
    });
    super::policy(&named.collect())
}

pub fn policy() -> impl Strategy<Value = Policy> {
    rules().prop_map(|rules| compiled(&rules))
}

pub fn query() -> impl Strategy<Value = Query> {
    any::<prop::sample::Index>().prop_map(|index| nth(index.index(count())))
}

/// Every moment at which a window of these policies may open or close: each half hour of a week.
const TIMES: usize = 7 * 48;
const MODE_CHOICES: usize = 4;

/// How many queries there are: people and profiles with one that no rule names, all sets of
/// groups, all modes, tracked or not, all half hours of a week.
pub fn count() -> usize {
    combinations() * TIMES
}

fn combinations() -> usize {
    (PEOPLE.len() + 1)
        * (PROFILES.len() + 1)
        * (1 << GROUPS.len())
        * (1 << PROFILE_GROUPS.len())
        * MODE_CHOICES
        * 2
}

/// One of all the queries.
pub fn nth(number: usize) -> Query {
    combination(number / TIMES).asked(half_hour(number % TIMES))
}

/// A query but for its time.
struct Combination(Query);

impl Combination {
    fn asked(&self, at: DateTime<Utc>) -> Query {
        let query = Query::new(self.0.user().clone(), self.0.profile().clone(), at)
            .with_groups(self.0.groups().iter().cloned())
            .with_profile_groups(self.0.profile_groups().iter().cloned())
            .with_session_table(self.0.session_table().unwrap_or_default());
        match self.0.mode() {
            Some(mode) => query.with_mode(mode),
            None => query,
        }
    }
}

fn half_hour(number: usize) -> DateTime<Utc> {
    at("2026-03-02T00:00:00Z") + TimeDelta::minutes(30) * i32::try_from(number).unwrap()
}

fn combination(mut number: usize) -> Combination {
    let mut choose = |of: usize| {
        let choice = number % of;
        number /= of;
        choice
    };
    let subset = |bits: usize, names: &[&str]| -> Vec<Group> {
        let chosen = names.iter().enumerate();
        let chosen = chosen.filter(|(place, _)| bits & (1 << place) != 0);
        chosen.map(|(_, name)| Group::new(name).unwrap()).collect()
    };
    let who = PEOPLE.get(choose(PEOPLE.len() + 1)).unwrap_or(&OTHER_USER);
    let what = PROFILES
        .get(choose(PROFILES.len() + 1))
        .unwrap_or(&OTHER_PROFILE);
    let groups = subset(choose(1 << GROUPS.len()), GROUPS);
    let profile_groups = subset(choose(1 << PROFILE_GROUPS.len()), PROFILE_GROUPS);
    let mode = choose(MODE_CHOICES);
    let query = Query::new(user(who), profile(what), half_hour(0))
        .with_groups(groups)
        .with_profile_groups(profile_groups)
        .with_session_table(["", "sessions"][choose(2)]);
    Combination(match Mode::ALL.get(mode) {
        Some(mode) => query.with_mode(*mode),
        None => query,
    })
}

/// Asks every query, but of those that all `policies` must answer alike only one: names that no
/// rule has are left out but for one, and so are the half hours in which the same windows are open
/// as in one before.
pub fn each_query(policies: &[&Policy], mut visit: impl FnMut(&Query)) {
    let conditions = || {
        let rules = policies.iter().flat_map(|policy| policy.rules());
        rules.map(countersign_policy::Rule::conditions)
    };
    let windows: Vec<_> = conditions().filter_map(Conditions::time).collect();
    let mut seen = HashSet::new();
    let times: Vec<DateTime<Utc>> = (0..TIMES)
        .map(half_hour)
        .filter(|at| {
            let open: Vec<bool> = windows.iter().map(|window| window.contains(*at)).collect();
            seen.insert(open)
        })
        .collect();
    let people: HashSet<_> = conditions()
        .filter_map(Conditions::users)
        .flatten()
        .collect();
    let profiles: HashSet<_> = conditions()
        .filter_map(Conditions::profiles)
        .flatten()
        .collect();
    let groups: HashSet<_> = conditions()
        .filter_map(Conditions::groups)
        .flatten()
        .collect();
    let lists = conditions().filter_map(Conditions::profile_groups);
    let profile_groups: HashSet<_> = lists.flatten().collect();
    let told_apart = |Combination(query): &Combination| {
        (people.contains(query.user()) || query.user().as_str() == OTHER_USER)
            && (profiles.contains(query.profile()) || query.profile().as_str() == OTHER_PROFILE)
            && query.groups().iter().all(|group| groups.contains(group))
            && query
                .profile_groups()
                .iter()
                .all(|group| profile_groups.contains(group))
    };
    for combination in COMBINATIONS.iter().filter(|query| told_apart(query)) {
        for at in &times {
            visit(&combination.asked(*at));
        }
    }
}

static COMBINATIONS: LazyLock<Vec<Combination>> =
    LazyLock::new(|| (0..combinations()).map(combination).collect());
