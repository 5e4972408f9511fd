//! Policies of the shapes that the budgets name.
#![allow(dead_code)]

use countersign_policy::{
    ConditionsDocument, HoursDocument, Mode, PolicyDocument, Profile, Query, RuleDocument, User,
    WindowDocument,
};

/// Numbers that look random, the same in every run (SplitMix64).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}

pub fn user(number: usize) -> String {
    format!("user-{number:06}@example.com")
}

pub fn profile(number: usize) -> String {
    format!("profile-{number:04}")
}

pub fn document(conditions: impl IntoIterator<Item = ConditionsDocument>) -> PolicyDocument {
    let rules = conditions.into_iter().enumerate();
    let rules = rules.map(|(number, conditions)| RuleDocument {
        name: format!("rule-{number:06}"),
        effect: "allow".to_owned(),
        conditions,
        reason: None,
        hard: None,
        max_server_duration: None,
        session_table: None,
    });
    PolicyDocument {
        version: "1".to_owned(),
        rules: rules.collect(),
    }
}

fn one(name: String) -> Option<Vec<String>> {
    Some(vec![name])
}

/// A rule for each of `people` and each of `profiles`.
pub fn flat(people: usize, profiles: usize) -> PolicyDocument {
    let pairs = (0..people).flat_map(|who| (0..profiles).map(move |what| (who, what)));
    document(pairs.map(|(who, what)| ConditionsDocument {
        users: one(user(who)),
        profiles: one(profile(what)),
        ..ConditionsDocument::default()
    }))
}

/// The people and profiles of [`flat`], in the order of its rules.
pub fn pairs(people: usize, profiles: usize) -> impl Iterator<Item = (User, Profile)> {
    let pairs = (0..people).flat_map(move |who| (0..profiles).map(move |what| (who, what)));
    pairs.map(|(who, what)| {
        let who = User::new(user(who)).unwrap();
        (who, Profile::new(profile(what)).unwrap())
    })
}

/// Queries of people whom no rule names.
pub fn unknown(count: usize) -> Vec<Query> {
    let queries = queries(count, 1, 1).into_iter().enumerate();
    let queries = queries.map(|(number, query)| {
        let who = User::new(format!("nobody-{number:06}@example.com")).unwrap();
        Query::new(who, query.profile().clone(), query.at())
    });
    queries.collect()
}

/// Lists of one to five people and one to three profiles; of a hundred rules, 20 name no profile
/// and 5 nobody, 25 have a window in a zone and 25 a mode.
pub fn mixed(rules: usize, people: usize, profiles: usize) -> PolicyDocument {
    let mut numbers = Numbers(6);
    document((0..rules).map(|_| {
        let kind = numbers.below(100);
        let users = (0..1 + numbers.below(5)).map(|_| user(numbers.below(people)));
        let users: Vec<String> = users.collect();
        let listed = (0..1 + numbers.below(3)).map(|_| profile(numbers.below(profiles)));
        let listed: Vec<String> = listed.collect();
        let start = numbers.below(12);
        ConditionsDocument {
            users: (kind >= 5).then_some(users),
            profiles: (!(5..25).contains(&kind)).then_some(listed),
            time: (numbers.below(4) == 0 || kind < 5)
                .then(|| window(start, start + 10, "Europe/London")),
            mode: (numbers.below(4) == 0).then(|| vec![Mode::ALL[numbers.below(3)].to_string()]),
            ..ConditionsDocument::default()
        }
    }))
}

/// A hundred people and ten profiles in every rule.
pub fn hundred_by_ten(rules: usize, people: usize, profiles: usize) -> PolicyDocument {
    let mut numbers = Numbers(10);
    document((0..rules).map(|_| ConditionsDocument {
        users: Some((0..100).map(|_| user(numbers.below(people))).collect()),
        profiles: Some((0..10).map(|_| profile(numbers.below(profiles))).collect()),
        ..ConditionsDocument::default()
    }))
}

pub fn window(start: usize, end: usize, zone: &str) -> WindowDocument {
    WindowDocument {
        days: None,
        hours: Some(HoursDocument {
            start: format!("{start:02}:00"),
            end: format!("{end:02}:00"),
        }),
        timezone: Some(zone.to_owned()),
    }
}

/// Queries of random people and profiles at random times of 2026.
pub fn queries(count: usize, people: usize, profiles: usize) -> Vec<Query> {
    let mut numbers = Numbers(1);
    (0..count)
        .map(|_| {
            let who = User::new(user(numbers.below(people))).unwrap();
            let what = Profile::new(profile(numbers.below(profiles))).unwrap();
            let seconds = 1_767_225_600 + numbers.below(365 * 86_400) as i64;
            let at = chrono::DateTime::from_timestamp(seconds, 0).unwrap();
            Query::new(who, what, at).with_mode(Mode::ALL[numbers.below(3)])
        })
        .collect()
}
