//! What `Policy::lint`, `Policy::explain` and `Policy::diff` cost on large policies, on the machine
//! that runs it: `cargo run --release -p countersign-policy --example lint_cost`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it measures, and prints what it measured"
)]

use std::time::Instant;

use countersign_policy::{Policy, Profile, Query, User};
use serde_json::{Value, json};

const RULES: usize = 10_000;

fn main() {
    let seconds = |started: Instant| started.elapsed().as_secs_f64();
    for (name, shape) in [
        ("one user, one profile", pair as Shape),
        ("wildcards, lists, windows, modes mixed", mixed),
        ("100 people x 10 profiles", lists),
        ("overlapping at random", overlapping),
    ] {
        let old = policy(shape, 0);
        let started = Instant::now();
        let report = old.lint();
        let (findings, open) = (report.findings().len(), report.undecided().len());
        println!(
            "lint  {RULES} rules, {name}: {:.2} s, {findings} findings, {open} undecided",
            seconds(started)
        );
        let new = policy(shape, 10);
        let started = Instant::now();
        let difference = old.diff(&new);
        println!(
            "diff  {RULES} rules, 10 of them other: {:.2} s, {} changes, complete: {}",
            seconds(started),
            difference.changes().len(),
            difference.is_complete()
        );
    }
    let policy = policy(mixed, 0);
    let at = "2026-03-02T09:00:00Z".parse().unwrap();
    let query = Query::new(
        User::new("nobody").unwrap(),
        Profile::new("prod").unwrap(),
        at,
    );
    let started = Instant::now();
    let lines = 100;
    for _ in 0..lines {
        let line = serde_json::to_string(&policy.explain(&query)).unwrap();
        assert!(line.len() < 10_000);
    }
    println!(
        "explain a denial by {RULES} mixed rules, as JSON: {:.0} us",
        seconds(started) / f64::from(lines) * 1e6
    );
}

type Shape = fn(usize, &mut dyn FnMut(usize) -> usize) -> (&'static str, Value);

/// Rules of one shape; so many of them, spread evenly, with another effect.
fn policy(shape: Shape, others: usize) -> Policy {
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let rules: Vec<Value> = (0..RULES)
        .map(|number| {
            let (effect, conditions) = shape(number, &mut random);
            let is_other = number % 1_000 < others / 10;
            let effect = if is_other { "require_server" } else { effect };
            json!({"name": format!("rule {number}"), "effect": effect, "conditions": conditions})
        })
        .collect();
    json!({"version": "1", "rules": rules})
        .to_string()
        .parse()
        .unwrap()
}

fn effect(number: usize) -> &'static str {
    ["allow", "allow", "require_approval", "deny"]
        .get(number % 4)
        .unwrap()
}

fn name(kind: &str, number: usize) -> String {
    format!("{kind}-{number}")
}

fn pair(number: usize, _: &mut dyn FnMut(usize) -> usize) -> (&'static str, Value) {
    let (user, profile) = (name("user", number / 10), name("profile", number % 10));
    (
        effect(number),
        json!({"users": [user], "profiles": [profile]}),
    )
}

fn mixed(number: usize, random: &mut dyn FnMut(usize) -> usize) -> (&'static str, Value) {
    let users = [name("user", random(1_000)), name("user", random(1_000))];
    let profile = name("profile", random(500));
    let start = format!("{:02}:00", random(12));
    let window = json!({"hours": {"start": start, "end": "18:30"}, "timezone": "Europe/London"});
    let conditions = match number % 8 {
        0 => json!({"users": users, "time": window}),
        1 => json!({"profiles": [profile], "mode": ["cli"]}),
        2 => json!({"groups": [name("group", random(50))], "profiles": [profile]}),
        3 => json!({"users": users, "profiles": [profile], "time": window}),
        _ => json!({"users": users, "profiles": [profile]}),
    };
    (effect(number), conditions)
}

fn lists(number: usize, _: &mut dyn FnMut(usize) -> usize) -> (&'static str, Value) {
    let users: Vec<String> = (0..100)
        .map(|user| name("user", number * 7 + user))
        .collect();
    let profiles: Vec<String> = (0..10)
        .map(|profile| name("profile", number + profile))
        .collect();
    (
        effect(number),
        json!({"users": users, "profiles": profiles}),
    )
}

fn overlapping(number: usize, random: &mut dyn FnMut(usize) -> usize) -> (&'static str, Value) {
    let mut some = |kind: &str| -> Vec<String> {
        let numbers = (0..40).filter(|_| random(3) > 0);
        numbers.map(|number| name(kind, number)).collect()
    };
    let (users, profiles) = (some("user"), some("profile"));
    let (groups, profile_groups) = (some("group"), some("kind"));
    let conditions = json!({"users": users, "profiles": profiles, "groups": groups,
        "profile_groups": profile_groups});
    (effect(number), conditions)
}
