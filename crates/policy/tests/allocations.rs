//! Deciding and cache hits allocate nothing.
#![cfg(not(any(countersign_loom, countersign_shuttle)))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::hint::black_box;
use std::sync::Arc;

use common::{at, profile, query, user};
use countersign_policy::{
    Attribution, CacheConfig, CachedLoader, Expected, Group, InMemory, ManualTicks, Mode, Policy,
    Query, Store,
};
use serde_json::{Value, json};

fn allocations<T>(run: impl FnOnce() -> T) -> u64 {
    let counted = allocation_counter::measure(|| {
        black_box(run());
    });
    counted.count_total
}

/// Rules of every kind: flat, with lists, wildcards, groups, windows, modes, wide ones.
fn policy(rules: usize) -> Policy {
    let rules: Vec<Value> = (0..rules)
        .map(|rule| {
            let names = |kind: &str, count: usize| -> Vec<String> {
                (0..count).map(|name| format!("{kind}{}", (rule + name) % 50)).collect()
            };
            let conditions = match rule % 6 {
                0 => json!({"users": names("user", 1), "profiles": names("profile", 1), "mode": ["cli"]}),
                1 => json!({"users": names("user", 30), "profiles": names("profile", 30),
                    "time": {"days": ["sunday"], "timezone": "Europe/London"}}),
                2 => json!({"groups": names("group", 3), "profiles": names("profile", 2), "mode": ["server"]}),
                3 => json!({"users": names("user", 3), "groups": names("group", 3), "time": {
                    "hours": {"start": "22:00", "end": "22:01"}, "timezone": "Asia/Tokyo"}}),
                4 => json!({"profile_groups": names("group", 3), "mode": ["credential_process"]}),
                _ => json!({"time": {"days": ["saturday"]}}),
            };
            json!({"name": format!("rule {rule}"), "effect": "allow", "conditions": conditions})
        })
        .collect();
    common::policy(&json!(rules))
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| Box::new(1)), 1);
}

#[test]
fn a_decision_allocates_nothing() {
    let groups =
        |count: usize| (0..count).map(|group| Group::new(format!("group{group}")).unwrap());
    for rules in [1, 5, 10, 11, 100, 2_000] {
        let policy = policy(rules);
        for number in 0..60 {
            let (who, what) = (format!("user{number}"), format!("profile{}", number / 2));
            let plain = query(&who, &what);
            let grouped = Query::new(user(&who), profile(&what), at("2026-03-02T22:00:30Z"))
                .with_groups(groups(number))
                .with_profile_groups(groups(20))
                .with_mode(Mode::Server);
            for query in [plain, grouped] {
                assert_eq!(
                    allocations(|| policy.decide(&query)),
                    0,
                    "{rules} rules, {query:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_cache_hit_allocates_nothing() {
    let store = Arc::new(InMemory::default());
    store
        .put(
            "main",
            Expected::Absent,
            Arc::new(policy(20)),
            &Attribution::NOBODY,
        )
        .await
        .unwrap();
    let ticks = Arc::new(ManualTicks::default());
    let cache = CachedLoader::with_config(store, CacheConfig::default(), ticks);
    cache.load("main").await.unwrap();
    let handle = cache.handle("main");
    let query = query("user1", "profile1");
    // The first hit of a thread makes its thread-local state.
    assert!(cache.get("main").is_some() && handle.get().is_some());

    assert_eq!(allocations(|| cache.get("main").unwrap()), 0, "get");
    assert_eq!(allocations(|| handle.get().unwrap()), 0, "get of a handle");
    let decide = || {
        cache
            .with("main", |served| served.policy.decide(&query).is_allowed())
            .unwrap()
    };
    assert_eq!(allocations(decide), 0, "with");
    let decide = || {
        handle
            .with(|served| served.policy.decide(&query).is_allowed())
            .unwrap()
    };
    assert_eq!(allocations(decide), 0, "with of a handle");
    assert_eq!(allocations(|| cache.get("other").is_none()), 0, "a miss");
}
