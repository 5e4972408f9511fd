//! Histories of the cache under load, recorded on several threads and checked against the
//! specification; and caches that must be rejected. `cargo xtask linearizability` runs the long
//! form.
//!
//! Names are parts of their own: only `invalidate_all` concerns them all, and it is in each part.
#![cfg(not(any(countersign_loom, countersign_shuttle)))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign_core::sync::history::load::{Campaign, Load, Random, record};
use countersign_core::sync::history::{Operation, Recorder, explain};
use countersign_policy::{
    BoxFuture, CacheConfig, CachedLoader, Freshness, LoadError, Loader, ManualTicks, Policy,
    Served, Tick, Ticks,
};

use specification::{
    Answer, Call, Content, Naive, RETRY_AFTER, STALE_IF_ERROR, Span, TIME_TO_LIVE, What,
};

mod specification;

type History = Vec<Operation<Call, Answer>>;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// A source that changes and says in the history when it is asked. A policy's rule is called by the
/// number of the time that it was asked for it.
struct Source {
    recorder: Arc<Recorder<Call, Answer>>,
    ticks: Arc<ManualTicks>,
    contents: Mutex<[Content; NAMES.len()]>,
    asked: AtomicU64,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failure(u64);

impl Source {
    async fn ask(&self, name: u8) -> (u64, Content) {
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        self.note(Call::Asked(name, number), || What::Done);
        tokio::task::yield_now().await;
        let mut content = Content::Missing;
        self.note(Call::Read(name, number), || {
            content = self.contents.lock().unwrap()[name as usize];
            What::Holds(content)
        });
        tokio::task::yield_now().await;
        (number, content)
    }

    fn note(&self, call: Call, look: impl FnOnce() -> What) {
        let (began, first) = (self.recorder.begin(), self.now());
        let what = look();
        let ticks = Span(first, self.now());
        self.recorder.end(began, call, Answer { ticks, what });
    }

    fn now(&self) -> u64 {
        self.ticks.now().as_nanos()
    }
}

fn policy(number: u64) -> Arc<Policy> {
    let json = format!(
        r#"{{"version": "1", "rules": [
            {{"name": "{number}", "effect": "allow", "conditions": {{"profiles": ["dev"]}}}}]}}"#
    );
    Arc::new(json.parse().unwrap())
}

impl Loader for Source {
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Policy>, LoadError>> {
        Box::pin(async move {
            let place = NAMES.iter().position(|known| *known == name).unwrap();
            match self.ask(place as u8).await {
                (number, Content::Policy) => Ok(policy(number)),
                (number, Content::Failing) => Err(LoadError::failed(name, Failure(number))),
                (_, Content::Missing) => Err(LoadError::NotFound { name: name.into() }),
            }
        })
    }
}

/// A cache under test.
trait Cache: Send + Sync + 'static {
    fn get(&self, name: u8) -> What;
    fn load(&self, name: u8) -> BoxFuture<'_, What>;
    fn invalidate(&self, name: Option<u8>);
}

fn shown(served: Served<Arc<Policy>>) -> What {
    let load = served.policy.rules()[0].name().parse().unwrap();
    let age = served.age.as_nanos() as u64;
    match served.freshness {
        Freshness::Fresh => What::Fresh { load, age },
        Freshness::Stale => What::Stale { load, age },
    }
}

impl Cache for CachedLoader {
    fn get(&self, name: u8) -> What {
        CachedLoader::get(self, NAMES[name as usize]).map_or(What::Nothing, shown)
    }

    fn load(&self, name: u8) -> BoxFuture<'_, What> {
        Box::pin(async move {
            match CachedLoader::load(self, NAMES[name as usize]).await {
                Ok(served) => shown(served),
                Err(LoadError::NotFound { .. }) => What::Missing,
                Err(LoadError::Failed { cause, .. }) => {
                    What::Failed(cause.to_string().parse().unwrap())
                }
                Err(LoadError::Superseded { .. }) => What::Superseded,
                Err(other) => panic!("no load here can end so: {other}"),
            }
        })
    }

    fn invalidate(&self, name: Option<u8>) {
        match name {
            Some(name) => CachedLoader::invalidate(self, NAMES[name as usize]),
            None => self.invalidate_all(),
        }
    }
}

fn choose(random: &mut Random, contents: &[Content]) -> Call {
    let name = random.below(NAMES.len() as u64) as u8;
    match random.below(100) {
        0..30 => Call::Get(name),
        30..75 => Call::Load(name),
        75..81 => Call::Invalidate(name),
        81..83 => Call::InvalidateAll,
        83..92 => Call::Set(name, contents[random.below(contents.len() as u64) as usize]),
        _ => Call::Advance(1 + random.below(40)),
    }
}

fn history_of<C: Cache>(
    load: Load,
    contents: &'static [Content],
    cache: impl FnOnce(Arc<Source>, Arc<ManualTicks>) -> C,
) -> History {
    let (recorder, ticks) = (Arc::new(Recorder::new()), Arc::new(ManualTicks::new()));
    let source = Arc::new(Source {
        recorder: Arc::clone(&recorder),
        ticks: Arc::clone(&ticks),
        contents: Mutex::new([Content::Missing; NAMES.len()]),
        asked: AtomicU64::new(0),
    });
    let parts = Arc::new((cache(Arc::clone(&source), Arc::clone(&ticks)), source));
    let make = move |call| {
        let (parts, ticks) = (Arc::clone(&parts), Arc::clone(&ticks));
        async move {
            let (cache, source) = &*parts;
            let first = ticks.now().as_nanos();
            let mut what = What::Done;
            match call {
                Call::Get(name) => what = cache.get(name),
                Call::Load(name) => what = cache.load(name).await,
                Call::Invalidate(name) => cache.invalidate(Some(name)),
                Call::InvalidateAll => cache.invalidate(None),
                Call::Set(name, content) => {
                    source.contents.lock().unwrap()[name as usize] = content;
                }
                Call::Advance(nanos) => ticks.advance(Duration::from_nanos(nanos)),
                Call::Asked(..) | Call::Read(..) => panic!("the source's own call"),
            }
            let ticks = Span(first, ticks.now().as_nanos());
            Answer { ticks, what }
        }
    };
    let choose = |random: &mut Random, _: Option<&Answer>| choose(random, contents);
    record(load, &recorder, choose, make)
}

fn part(history: &History, name: u8) -> History {
    let concerns = |operation: &&Operation<Call, Answer>| operation.call.concerns(name);
    history.iter().filter(concerns).cloned().collect()
}

#[test]
fn histories_are_linearizable() {
    let contents = &[
        Content::Policy,
        Content::Policy,
        Content::Policy,
        Content::Failing,
        Content::Missing,
    ];
    let config = CacheConfig {
        time_to_live: Duration::from_nanos(TIME_TO_LIVE),
        stale_if_error: Some(Duration::from_nanos(STALE_IF_ERROR)),
        retry_after: Duration::from_nanos(RETRY_AFTER),
        load_timeout: Duration::from_secs(600),
        ..CacheConfig::default()
    };
    let mut seen = HashMap::<&str, usize>::new();
    Campaign::new("cache", 30).run(|campaign, seed| {
        let (tasks, calls) = (16, 40);
        let history = history_of(Load { tasks, calls, seed }, contents, |source, ticks| {
            CachedLoader::with_config(source, config.clone(), ticks)
        });
        for name in 0..NAMES.len() {
            campaign.check(Naive::new(), &part(&history, name as u8));
        }
        for operation in &history {
            let what = match operation.answer.what {
                What::Fresh { age: 0, .. } => "new",
                What::Fresh { .. } => "fresh",
                What::Stale { .. } => "stale",
                What::Failed(_) => "failed",
                What::Missing => "missing",
                _ => continue,
            };
            *seen.entry(what).or_default() += 1;
        }
    });
    assert_eq!(seen.len(), 5, "every kind of answer came up: {seen:?}");
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// What a load brings is published without asking whether it was overtaken.
    PublishesWithoutComparing,
    ServesExpired,
}

/// A cache under one lock, in which everybody loads for themselves; so it can be broken.
struct Simple {
    fault: Fault,
    source: Arc<Source>,
    ticks: Arc<ManualTicks>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    epoch: u64,
    /// What was loaded, and when.
    held: HashMap<u8, (u64, Tick)>,
}

impl Cache for Simple {
    fn get(&self, name: u8) -> What {
        let now = self.ticks.now();
        let Some((load, at)) = self.state.lock().unwrap().held.get(&name).copied() else {
            return What::Nothing;
        };
        let age = now.since(at).as_nanos() as u64;
        if age >= TIME_TO_LIVE && self.fault != Fault::ServesExpired {
            return What::Nothing;
        }
        What::Fresh { load, age }
    }

    fn load(&self, name: u8) -> BoxFuture<'_, What> {
        Box::pin(async move {
            loop {
                let hit = self.get(name);
                if hit != What::Nothing {
                    return hit;
                }
                let began = self.ticks.now();
                let epoch = self.state.lock().unwrap().epoch;
                let (load, content) = self.source.ask(name).await;
                let ended = self.ticks.now();
                let mut state = self.state.lock().unwrap();
                if state.epoch != epoch && self.fault != Fault::PublishesWithoutComparing {
                    continue;
                }
                if content == Content::Policy {
                    state.held.insert(name, (load, began));
                    let age = ended.since(began).as_nanos() as u64;
                    return What::Fresh { load, age };
                }
                state.held.remove(&name);
                return What::Missing;
            }
        })
    }

    fn invalidate(&self, name: Option<u8>) {
        let mut state = self.state.lock().unwrap();
        state.epoch += 1;
        match name {
            Some(name) => drop(state.held.remove(&name)),
            None => state.held.clear(),
        }
    }
}

/// Whether one of `rounds` histories of a cache is rejected.
///
/// That no order explains a history is known when all have been looked through, and they are more
/// than can be once it is long. So the histories of a broken cache are short, and many.
fn is_rejected(fault: Fault, tasks: u64, calls: usize, rounds: u64) -> bool {
    (0..rounds).any(|seed| {
        let load = Load { tasks, calls, seed };
        let contents = &[Content::Policy, Content::Policy, Content::Missing];
        let history = history_of(load, contents, |source, ticks| Simple {
            fault,
            source,
            ticks,
            state: Mutex::default(),
        });
        let part_rejected = |name: u8| explain(Naive::new(), &part(&history, name)).is_err();
        (0..NAMES.len() as u8).any(part_rejected)
    })
}

#[test]
fn caches_that_are_not_linearizable_are_rejected() {
    let unbroken = is_rejected(Fault::None, 16, 40, 5);
    assert!(!unbroken, "the unbroken one is accepted");
    for fault in [Fault::PublishesWithoutComparing, Fault::ServesExpired] {
        assert!(is_rejected(fault, 8, 20, 200), "{fault:?}");
    }
}
