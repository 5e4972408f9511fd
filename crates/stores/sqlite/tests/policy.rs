//! Policies in a file: what the store answers, compared with the store in memory call by call, and
//! the cache in front of it.

#![cfg(feature = "policy")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use countersign_policy::store::{Error, Limits, NamePage};
use countersign_policy::*;
use countersign_sqlite::{Database, PolicyStore};

mod common;

use common::{Draws, START, at, block_on, quick};

const NAMES: [&str; 6] = ["main", "Main", "prod", "äther", "z", " not a name"];

/// Often none, sometimes one of few operations, now and then one that is not valid.
fn attribution(draws: &mut Draws) -> Attribution {
    let who = ["alice", "Zoë O'Neil; --"].map(|name| User::new(name).unwrap());
    let made = match draws.below(3) {
        0 => Attribution::NOBODY,
        1 => Attribution::by(who[draws.below(2) as usize].clone())
            .with_reason("line one\nline “two”"),
        _ => Attribution::NOBODY.with_ticket("OPS-4711"),
    };
    match draws.below(12) {
        0 => made.with_reason(""),
        1..=4 => made.with_idempotency_key(IdempotencyKey::from_bits(draws.below(6))),
        _ => made,
    }
}

fn policy(number: u64) -> Arc<Policy> {
    let json = format!(
        r#"{{"version": "1", "rules": [{{"name": "r{number}", "effect": "allow",
            "conditions": {{"users": ["user-{number}"], "time": {{"days": ["monday"]}}}},
            "max_server_duration": "1h30m"}}]}}"#
    );
    Arc::new(json.parse().unwrap())
}

/// Two stores, both asked everything.
struct Pair {
    memory: InMemory,
    file: PolicyStore,
}

impl Pair {
    async fn same<'a, T: std::fmt::Debug>(
        &'a self,
        call: impl Fn(&'a dyn Store) -> BoxFuture<'a, Result<T, Error>>,
    ) -> String {
        let expected = format!("{:?}", call(&self.memory).await);
        let found = format!("{:?}", call(&self.file).await);
        assert_eq!(expected, found, "the file answers as memory does");
        found
    }
}

#[test]
fn every_call_is_answered_as_in_memory() {
    let mut unseen = BTreeSet::from([
        "NotFound",
        "VersionNotFound",
        "AlreadyExists",
        "Conflict",
        "InvalidName",
        "IdempotencyKeyReused",
        "InvalidAttribution",
        "Ok(Written(Document",
        "Ok(Unchanged(Document",
        "Ok(Document",
        "Ok([Document",
        "Ok([Put(",
        "Removed(",
        "Ok(())",
        "next: Some(",
    ]);
    for seed in 0..4 {
        let (_folder, path) = common::file();
        let clock = Arc::new(ManualClock::at(at(START)));
        let database = Database::open(&path, &quick()).unwrap();
        let most = Limits {
            max_versions: std::num::NonZeroUsize::new(1 + seed as usize).unwrap(),
        };
        let pair = Pair {
            memory: InMemory::new(clock.clone()).with_limits(most),
            file: PolicyStore::with_limits(&database, clock.clone(), most),
        };
        let draws = &mut Draws::from_seed(seed);
        block_on(async {
            for _ in 0..300 {
                let answer = one_call(&pair, draws, &clock).await;
                unseen.retain(|word| !answer.contains(word));
            }
        });
    }
    assert!(unseen.is_empty(), "no call was answered with {unseen:?}");
}

async fn one_call(pair: &Pair, draws: &mut Draws, clock: &ManualClock) -> String {
    match draws.below(4) {
        0 => clock.advance(Duration::from_nanos(draws.below(5))),
        1 => clock.step_back(Duration::from_nanos(draws.below(5))),
        _ => {}
    }
    let name = draws.pick(&NAMES);
    let by = &attribution(draws);
    let kept = pair.memory.sync().versions(name).unwrap_or_default();
    let current = kept
        .first()
        .map_or(Version::from_nanos(1), |stored| stored.version);
    let expected = match draws.one_in(8) {
        true => Version::from_nanos(2),
        false => current,
    };
    match draws.below(12) {
        0..=3 => {
            let policy = policy(draws.below(5));
            let expected = match kept.is_empty() || draws.one_in(8) {
                true => Expected::Absent,
                false => Expected::Version(expected),
            };
            pair.same(|store| store.put(name, expected, Arc::clone(&policy), by))
                .await
        }
        4 if draws.one_in(3) => pair.same(|store| store.delete(name, expected, by)).await,
        5 => pair.same(|store| store.get(name)).await,
        6 => {
            let kept = kept.last().filter(|_| draws.one_in(2));
            let version = kept.map_or(Version::from_nanos(1), |stored| stored.version);
            pair.same(|store| store.get_version(name, version)).await
        }
        7 => pair.same(|store| store.versions(name)).await,
        8 | 9 => {
            let after = draws.one_in(2).then_some(current);
            let limit = draws.below(4) as usize;
            pair.same(|store| store.changes_after(after, limit)).await
        }
        _ => {
            let mut page = NamePage {
                limit: draws.below(4) as usize,
                after: draws.one_in(3).then(|| name.into()),
            };
            let mut answers = String::new();
            loop {
                answers += &pair
                    .same(|store| {
                        let page = page.clone();
                        Box::pin(async move { store.list(&page).await })
                    })
                    .await;
                match pair.memory.sync().list(&page) {
                    Ok(listing) if listing.next.is_some() => page.after = listing.next,
                    _ => return answers,
                }
            }
        }
    }
}

#[test]
fn policies_are_there_after_opening_again_and_can_be_rolled_back() {
    let (_folder, path) = common::file();
    let clock = Arc::new(ManualClock::at(at(START)));
    let (first, second) = block_on(async {
        let database = Database::open(&path, &quick()).unwrap();
        let store = PolicyStore::new(&database, clock.clone());
        let first = store
            .put("main", Expected::Absent, policy(1), &Attribution::NOBODY)
            .await
            .unwrap()
            .into_stored();
        let expected = Expected::Version(first.version);
        let second = store
            .put("main", expected, policy(2), &Attribution::NOBODY)
            .await
            .unwrap()
            .into_stored();
        (first, second)
    });
    let database = Database::open(&path, &quick()).unwrap();
    clock.step_back(Duration::from_secs(3600));
    let store = PolicyStore::new(&database, clock);
    block_on(async {
        assert_eq!(
            store.versions("main").await.unwrap(),
            [second.clone(), first.clone()]
        );
        let third = store
            .rollback("main", second.version, first.version, &Attribution::NOBODY)
            .await
            .unwrap()
            .into_stored();
        assert_eq!(
            third.digest(),
            first.digest(),
            "the digest is the document's"
        );
        assert!(
            third.version > second.version,
            "a rollback is a new version"
        );
        assert_eq!(
            store.load("main").await.unwrap().digest(),
            policy(1).digest()
        );
    });
}

#[test]
fn a_cache_in_front_loads_once_until_it_is_invalidated() {
    let (_folder, path) = common::file();
    let database = Database::open(&path, &quick()).unwrap();
    let store = Arc::new(PolicyStore::new(&database, Arc::new(SystemClock)));
    let cached = CachedLoader::new(store.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let missing = cached.load("main").await;
        assert!(matches!(missing, Err(LoadError::NotFound { .. })));
        let first = store
            .put("main", Expected::Absent, policy(1), &Attribution::NOBODY)
            .await
            .unwrap()
            .into_stored();
        for _ in 0..3 {
            let served = cached.load("main").await.unwrap();
            assert_eq!(served.policy.digest(), first.digest());
        }
        assert_eq!(
            cached.stats().loads,
            2,
            "one that found nothing, one that did"
        );
        let expected = Expected::Version(first.version);
        let second = store
            .put("main", expected, policy(2), &Attribution::NOBODY)
            .await
            .unwrap()
            .into_stored();
        cached.invalidate("main");
        let served = cached.load("main").await.unwrap();
        assert_eq!(served.policy.digest(), second.digest());
    });
}
