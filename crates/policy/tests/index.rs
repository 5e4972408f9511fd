//! The index answers what asking every rule in order answers: decision for decision, on generated
//! policies of up to 10,000 rules.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::ops::Range;

use chrono::TimeDelta;
use common::{at, profile, user};
use countersign_policy::{
    Conditions, ConditionsDocument, Effect, Group, HoursDocument, Mode, OwnedDenial, Policy,
    PolicyDocument, Query, RuleDocument, Verdict, WindowDocument,
};
use proptest::prelude::*;

/// What a generated policy looks like. Small numbers make rules and queries meet often.
#[derive(Debug, Clone)]
struct Shape {
    seed: u64,
    rules: usize,
    people: u64,
    profiles: u64,
    groups: u64,
    /// The most names in a list.
    names: u64,
    /// Of a hundred rules, how many have no list on a side, groups, a window, modes.
    absent: u64,
    grouped: u64,
    timed: u64,
    moded: u64,
}

fn shape(
    rules: Range<usize>,
    people: Range<u64>,
    names: Range<u64>,
) -> impl Strategy<Value = Shape> {
    // Among many rules without names, one of the first would answer every query.
    let most_absent: u64 = if rules.end > 1_000 { 2 } else { 60 };
    let shares = (0..most_absent, 0..60_u64, 0..100_u64, 0..100_u64);
    let sizes = (people.clone(), people, 1..12_u64, names);
    (any::<u64>(), rules, sizes, shares).prop_map(|(seed, rules, sizes, shares)| Shape {
        seed,
        rules,
        people: sizes.0,
        profiles: sizes.1,
        groups: sizes.2,
        names: sizes.3,
        absent: shares.0,
        grouped: shares.1,
        timed: shares.2,
        moded: shares.3,
    })
}

/// Numbers that look random and come from a seed (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn in_a_hundred(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    /// One to `most` names, some of which may be the same.
    fn names(&mut self, kind: &str, population: u64, most: u64) -> Vec<String> {
        let count = 1 + self.below(most);
        let names = (0..count).map(|_| format!("{kind}{}", self.below(population)));
        names.collect()
    }

    fn one_of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[usize::try_from(self.below(list.len() as u64)).unwrap()]
    }

    fn conditions(&mut self, shape: &Shape) -> ConditionsDocument {
        let mut conditions = ConditionsDocument::default();
        if !self.in_a_hundred(shape.absent) {
            conditions.users = Some(self.names("user", shape.people, shape.names));
        }
        if !self.in_a_hundred(shape.absent) {
            conditions.profiles = Some(self.names("profile", shape.profiles, shape.names));
        }
        if self.in_a_hundred(shape.grouped) {
            conditions.groups = Some(self.names("group", shape.groups, shape.names.min(20)));
        }
        if self.in_a_hundred(shape.grouped) {
            conditions.profile_groups =
                Some(self.names("group", shape.groups, shape.names.min(20)));
        }
        if self.in_a_hundred(shape.timed) {
            let start = self.below(23);
            let hours = HoursDocument {
                start: format!("{start:02}:00"),
                end: format!("{:02}:30", (start + 1 + self.below(20)) % 24),
            };
            conditions.time = Some(WindowDocument {
                days: None,
                hours: Some(hours),
                timezone: self.in_a_hundred(50).then(|| "Europe/London".to_owned()),
            });
        }
        if self.in_a_hundred(shape.moded) || conditions == ConditionsDocument::default() {
            conditions.mode = Some(vec![self.one_of(&Mode::ALL).to_string()]);
        }
        conditions
    }

    fn policy(&mut self, shape: &Shape) -> Policy {
        let rules = (0..shape.rules).map(|number| RuleDocument {
            name: format!("rule {number}"),
            effect: self.one_of(&Effect::ALL).to_string(),
            conditions: self.conditions(shape),
            reason: Some(format!("because of {number}")),
            hard: None,
            max_server_duration: None,
            session_table: None,
        });
        let document = PolicyDocument {
            version: "1".to_owned(),
            rules: rules.collect(),
        };
        Policy::try_from(document).unwrap()
    }

    /// A name of the list, or one of the population or one more.
    fn name_near<T: ToString>(
        &mut self,
        list: Option<&[T]>,
        kind: &str,
        population: u64,
    ) -> String {
        match list {
            Some(list) if self.in_a_hundred(80) => self.one_of(list).to_string(),
            _ => format!("{kind}{}", self.below(population + 1)),
        }
    }

    fn groups_near(&mut self, list: Option<&[Group]>, shape: &Shape) -> Vec<Group> {
        let most = *self.one_of(&[1, 3, 30]);
        let count = self.below(most);
        let names = (0..count).map(|_| self.name_near(list, "group", shape.groups));
        names.map(|name| Group::new(name).unwrap()).collect()
    }

    /// A query that a rule with these conditions may well match.
    fn query_near(&mut self, conditions: &Conditions, shape: &Shape) -> Query {
        let who = self.name_near(conditions.users(), "user", shape.people);
        let what = self.name_near(conditions.profiles(), "profile", shape.profiles);
        let minutes = i64::try_from(self.below(7 * 24 * 60)).unwrap();
        let time = at("2026-03-26T00:00:00Z") + TimeDelta::minutes(minutes);
        let query = Query::new(user(&who), profile(&what), time)
            .with_groups(self.groups_near(conditions.groups(), shape))
            .with_profile_groups(self.groups_near(conditions.profile_groups(), shape));
        match self.below(4) {
            0 => query,
            _ => query.with_mode(*self.one_of(&Mode::ALL)),
        }
    }
}

/// Asks a generated policy, and every rule of it in order; both must say the same.
fn index_is_the_walk(shape: &Shape, queries: usize) -> Result<(), TestCaseError> {
    let mut numbers = Numbers(shape.seed);
    let policy = numbers.policy(shape);
    for _ in 0..queries {
        let rule = numbers.one_of(policy.rules());
        let query = numbers.query_near(rule.conditions(), shape);
        let first = policy.rules().iter().position(|rule| rule.matches(&query));
        let decision = policy.decide(&query);
        let found = decision.rule();
        prop_assert_eq!(found.map(|rule| rule.index), first, "{:?}", query);
        match (first.map(|index| &policy.rules()[index]), found) {
            (Some(rule), Some(found)) => {
                prop_assert_eq!(found.name, rule.name());
                prop_assert_eq!(found.reason, rule.reason());
                prop_assert_eq!(found.effect, rule.effect());
            }
            (None, None) => {
                let decision = decision.to_owned();
                prop_assert_eq!(decision.verdict, Verdict::Deny);
                prop_assert_eq!(decision.denial, Some(OwnedDenial::NoRule));
            }
            _ => unreachable!("the indexes are equal"),
        }
    }
    Ok(())
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_small_index_is_the_walk(shape in shape(1..40, 1..8, 1..8)) {
        index_is_the_walk(&shape, 40)?;
    }
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn an_index_is_the_walk(shape in shape(40..600, 5..60, 1..24)) {
        index_is_the_walk(&shape, 100)?;
    }
}

proptest! {
    #![proptest_config(cases(4))]

    #[test]
    fn an_index_of_10_000_rules_is_the_walk(shape in shape(9_999..10_001, 100..2_000, 1..4)) {
        index_is_the_walk(&shape, 100)?;
    }

    #[test]
    fn an_index_of_thousands_of_wide_rules_is_the_walk(shape in shape(3_000..6_000, 100..2_000, 5..40)) {
        index_is_the_walk(&shape, 100)?;
    }

    /// So many names that each is in few rules, whose sets are lists.
    #[test]
    fn an_index_of_wide_rules_of_rare_names_is_the_walk(shape in shape(2_000..4_000, 20_000..60_000, 5..40)) {
        index_is_the_walk(&shape, 100)?;
    }
}

/// The shapes above must hit and miss, or they show nothing.
#[test]
fn generated_queries_hit_and_miss() {
    let shape = Shape {
        seed: 7,
        rules: 1_000,
        people: 200,
        profiles: 200,
        groups: 5,
        names: 5,
        absent: 5,
        grouped: 20,
        timed: 50,
        moded: 50,
    };
    let mut numbers = Numbers(shape.seed);
    let policy = numbers.policy(&shape);
    let hits = (0..1_000)
        .filter(|_| {
            let rule = numbers.one_of(policy.rules());
            let query = numbers.query_near(rule.conditions(), &shape);
            policy.decide(&query).rule().is_some()
        })
        .count();
    assert!((300..950).contains(&hits), "{hits} of 1,000 queries hit");
}
