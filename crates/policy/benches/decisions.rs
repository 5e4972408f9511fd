//! Budgets T5, T6 and T8: what a decision takes, against one probe of a hash table that knows the
//! answer, and against asking every rule in order.
#![allow(missing_docs, reason = "a program, not a library")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::collections::HashMap;

use countersign_policy::{
    Allow, ConditionsDocument, Effect, Matched, Policy, PolicyDocument, Profile, Query, User,
};
use support::policies::{self, Numbers, flat, hundred_by_ten, mixed, queries};
use support::{Contender, Verdicts, compare, each, now};

mod support;

const QUERIES: usize = 16_384;

type Probe = HashMap<(User, Profile), usize, foldhash::fast::RandomState>;

fn main() {
    if !support::wanted() {
        return;
    }
    let mut verdicts = Verdicts::default();
    let probe_ns = rules_of_one_user_and_profile(&mut verdicts);
    other_shapes(probe_ns, &mut verdicts);
    windows(&mut verdicts);
    explanations();
}

fn compiled(document: PolicyDocument) -> Policy {
    let start = now();
    let policy = Policy::try_from(document).unwrap();
    let rules = policy.rules().len();
    println!(
        "  ({rules} rules compiled in {:.0} ms)",
        start.elapsed().as_secs_f64() * 1e3
    );
    policy
}

fn decide<'a>(policy: &'a Policy, queries: &'a [Query]) -> Contender<'a> {
    each(queries, |query| policy.decide(query))
}

fn walk<'a>(policy: &'a Policy, queries: &'a [Query]) -> Contender<'a> {
    each(queries, |query| walk_once(policy, query))
}

/// What a decision is without an index: the first rule in order that matches, and an answer of the
/// same size. A call, as into the crate.
#[inline(never)]
fn walk_once<'p>(policy: &'p Policy, query: &Query) -> Option<Allow<'p>> {
    let mut rules = policy.rules().iter().enumerate();
    let (index, rule) = rules.find(|(_, rule)| rule.matches(query))?;
    (rule.effect() == Effect::Allow).then(|| Allow {
        rule: Some(Matched {
            name: rule.name(),
            index,
            reason: rule.reason(),
            effect: rule.effect(),
            max_server_duration: rule.max_server_duration(),
            session_table: rule.session_table(),
        }),
        max_duration: rule.max_server_duration(),
        grant: None,
        policy: policy.digest(),
    })
}

fn probe<'a>(probe: &'a Probe, keys: &'a [(User, Profile)]) -> Contender<'a> {
    each(keys, |key| probe.get(key))
}

fn keys(queries: &[Query]) -> Vec<(User, Profile)> {
    let keys = queries.iter();
    keys.map(|query| (query.user().clone(), query.profile().clone()))
        .collect()
}

/// T5. Gives what a probe takes among 100,000.
fn rules_of_one_user_and_profile(verdicts: &mut Verdicts) -> f64 {
    println!("one user and one profile a rule, ns (probe, decide, walk):");
    let mut last = 0.0;
    for (people, profiles) in [
        (1, 1),
        (2, 1),
        (5, 1),
        (5, 2),
        (11, 1),
        (10, 5),
        (100, 10),
        (1_000, 10),
        (10_000, 10),
    ] {
        let rules = people * profiles;
        let policy = Policy::try_from(flat(people, profiles)).unwrap();
        let queries = queries(QUERIES, people, profiles);
        let keys = keys(&queries);
        let table: Probe = policies::pairs(people, profiles).zip(0..).collect();
        let [probed, decided, walked] = compare([
            probe(&table, &keys),
            decide(&policy, &queries),
            walk(&policy, &queries),
        ]);
        println!("{rules:8}  {probed:8.1}  {decided:8.1}  {walked:10.1}");
        verdicts.at_most(
            "T5",
            &format!("decide / probe, {rules} rules"),
            decided / probed,
            3.0,
        );
        if rules <= 10 {
            verdicts.at_most(
                "T5",
                &format!("decide / walk, {rules} rules"),
                decided / walked,
                1.0,
            );
        }
        if rules == 100_000 {
            // What misses: people that no rule names, and people and profiles without a common one.
            let unknown = support::policies::unknown(QUERIES);
            let [nobody] = compare([decide(&policy, &unknown)]);
            println!("          unknown user {nobody:.1}");
        }
        last = probed;
    }
    last
}

/// T6, and the shapes beside it.
fn other_shapes(probe_ns: f64, verdicts: &mut Verdicts) {
    println!("\n100,000 rules of other shapes, ns (decide):");
    let mut numbers = Numbers(3);
    let sparse = policies::document((0..100_000).map(|_| ConditionsDocument {
        users: Some(vec![policies::user(numbers.below(1_000))]),
        profiles: Some(vec![policies::profile(numbers.below(1_000))]),
        ..ConditionsDocument::default()
    }));
    let shapes = [
        (
            "one user and profile of 1,000 each: 9 of 10 without a rule",
            sparse,
            1_000,
            1_000,
            None,
        ),
        (
            "mixed, 10,000 people, 100 profiles",
            mixed(100_000, 10_000, 100),
            10_000,
            100,
            Some(15.0),
        ),
        (
            "mixed, 1,000 people, 1,000 profiles",
            mixed(100_000, 1_000, 1_000),
            1_000,
            1_000,
            Some(15.0),
        ),
        (
            "100 x 10 of 1,000 people, 100 profiles",
            hundred_by_ten(100_000, 1_000, 100),
            1_000,
            100,
            Some(25.0),
        ),
        (
            "100 x 10 of 10,000 people, 1,000 profiles",
            hundred_by_ten(100_000, 10_000, 1_000),
            10_000,
            1_000,
            Some(25.0),
        ),
    ];
    for (what, document, people, profiles, limit) in shapes {
        let policy = compiled(document);
        let queries = queries(QUERIES, people, profiles);
        let [decided] = compare([decide(&policy, &queries)]);
        println!("{decided:10.1}  {what}");
        if let Some(limit) = limit {
            verdicts.at_most(
                "T6",
                &format!("decide / probe, {what}"),
                decided / probe_ns,
                limit,
            );
        }
    }
}

/// T8.
fn windows(verdicts: &mut Verdicts) {
    println!("\none rule, ns (without a window, in UTC, in zones):");
    let policy = |zone: Option<&str>| {
        let time = zone.map(|zone| policies::window(0, 23, zone));
        Policy::try_from(policies::document([ConditionsDocument {
            users: Some(vec![policies::user(0)]),
            time,
            ..ConditionsDocument::default()
        }]))
        .unwrap()
    };
    let queries = queries(1_024, 1, 1);
    for zone in [
        "Europe/London",
        "America/New_York",
        "Asia/Kolkata",
        "Australia/Lord_Howe",
    ] {
        let (without, utc, zoned) = (policy(None), policy(Some("UTC")), policy(Some(zone)));
        let [without, utc, zoned] = compare([
            decide(&without, &queries),
            decide(&utc, &queries),
            decide(&zoned, &queries),
        ]);
        println!("{without:8.1}  {utc:8.1}  {zoned:8.1}  {zone}");
        verdicts.at_most(
            "T8",
            &format!("nanoseconds that a window adds, {zone}"),
            zoned - without,
            40.0,
        );
    }
}

/// What it takes to explain a denial for a log, beside the line of the log that it belongs to.
fn explanations() {
    println!("\na denial for a log, ns (decide, decision as JSON, explanation as text, as JSON):");
    for (people, profiles) in [(10, 1), (100, 10), (1_000, 10), (10_000, 10)] {
        let policy = Policy::try_from(flat(people, profiles)).unwrap();
        let queries = policies::unknown(64);
        let [decided, logged, text, json] = compare([
            decide(&policy, &queries),
            each(&queries, |query| {
                serde_json::to_string(&policy.decide(query).to_owned())
            }),
            each(&queries, |query| policy.explain(query).to_string()),
            each(&queries, |query| {
                serde_json::to_string(&policy.explain(query))
            }),
        ]);
        let rules = people * profiles;
        println!("{rules:8}  {decided:8.1}  {logged:8.1}  {text:10.1}  {json:10.1}");
    }
}
