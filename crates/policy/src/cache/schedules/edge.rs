//! [`CachedLoader`] and [`Handle`] as their users call them, over a source that takes its time.
//!
//! Tasks are shuttle's and waiting ends when a schedule rings; all else is what users run.

use std::sync::OnceLock;

use countersign_core::clock::ManualTicks;
use countersign_core::id::SequenceRandom;
use countersign_core::sync::Mutex;

use super::*;

/// A source that holds one number, and lets others have the turn before and after it looks.
#[derive(Default)]
struct Source {
    number: Counter,
    loads: Counter,
    /// Loads that are not to end until told.
    stuck: Counter,
    gate: Bell,
}

/// Something to wait for, which wakes all who wait when it is rung.
#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<(bool, Vec<Waker>)>,
}

impl Bell {
    fn ring(&self) {
        let mut rung = self.rung.lock();
        rung.0 = true;
        let wakers = std::mem::take(&mut rung.1);
        drop(rung);
        wakers.into_iter().for_each(Waker::wake);
    }

    async fn rung(&self) {
        poll_fn(|context| {
            let mut rung = self.rung.lock();
            if rung.0 {
                return Poll::Ready(());
            }
            rung.1.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Sleep for Bell {
    fn sleep(&self, _: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.rung())
    }
}

/// How many policies there are. Reading one is dear, so each is read once for all schedules.
const POLICIES: usize = 8;

fn policy(number: u64) -> Arc<Policy> {
    static ALL: OnceLock<Vec<Arc<Policy>>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let read = |number| {
            let json = format!(
                r#"{{"version": "1", "rules": [
                    {{"name": "{number}", "effect": "allow", "conditions": {{"profiles": ["dev"]}}}}]}}"#
            );
            Arc::new(json.parse().unwrap())
        };
        (0..POLICIES).map(read).collect()
    });
    Arc::clone(&all[number as usize])
}

fn shown(served: &Served<Arc<Policy>>) -> u64 {
    served.policy.rules()[0].name().parse().unwrap()
}

impl Loader for Source {
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Policy>, LoadError>> {
        Box::pin(async move {
            let load = self.loads.fetch_add(1, Ordering::SeqCst);
            pause();
            let number = match name.strip_prefix("key-") {
                Some(own) => own.parse().unwrap(),
                None => self.number.load(Ordering::SeqCst),
            };
            pause();
            if load < self.stuck.load(Ordering::SeqCst) {
                self.gate.rung().await;
            }
            Ok(policy(number))
        })
    }
}

/// A cache whose waiting ends when the bell is rung, and its source.
fn cache(max_names: usize) -> (CachedLoader, Arc<Source>, Arc<Bell>) {
    let (source, bell) = (Arc::new(Source::default()), Arc::new(Bell::default()));
    let config = CacheConfig {
        max_names: NonZeroUsize::new(max_names).unwrap(),
        ..CacheConfig::default()
    };
    let random = Arc::new(SequenceRandom::starting_at(0));
    let ticks = Arc::new(ManualTicks::new());
    let cache = CachedLoader::with_sleep(source.clone(), config, ticks, random, bell.clone());
    (cache, source, bell)
}

fn load(cache: &CachedLoader, name: &str) -> Result<Served<Arc<Policy>>, LoadError> {
    wait(Box::pin(cache.load(name)))
}

#[test]
fn cache_calls_invalidation() {
    let schedule = Schedule {
        name: "cache_calls_invalidation",
        claim: "24 who call `load`, `get` and `with` of the cache and of handles on two names, and 4 \
                who change the source and invalidate one name or all: nobody sees what the source \
                held before an invalidation that ended before they asked, and nobody waits for ever",
        threads: 28,
        operations: 76,
    };
    schedule.check(|| {
        let (cache, source, _bell) = cache(8);
        let names = ["main", "second"];
        let handles = names.map(|name| cache.handle(name));
        // The least that may still be seen of each name.
        let least = Arc::new([Counter::new(0), Counter::new(0)]);
        let shared = cache.clone();
        together(28, move |n| {
            let (place, name) = (n % 2, names[n % 2]);
            if n < 4 {
                let number = source.number.fetch_add(1, Ordering::SeqCst) + 1;
                pause();
                match n {
                    0 => {
                        shared.invalidate_all();
                        least.iter().for_each(|least| {
                            least.fetch_max(number, Ordering::SeqCst);
                        });
                    }
                    _ => {
                        shared.invalidate(name);
                        least[place].fetch_max(number, Ordering::SeqCst);
                    }
                }
                return;
            }
            let handle = &handles[place];
            for turn in [n, n + 1, n + 2] {
                let due = least[place].load(Ordering::SeqCst);
                let seen = match turn % 5 {
                    0 => Some(shown(&load(&shared, name).unwrap())),
                    1 => Some(shown(&wait(Box::pin(handle.load())).unwrap())),
                    2 => handle.get().as_ref().map(shown),
                    3 => shared.get(name).as_ref().map(shown),
                    _ => handle.with(|served| served.policy.rules()[0].name().parse().unwrap()),
                };
                assert!(
                    seen.is_none_or(|seen| seen >= due),
                    "{seen:?} was seen after {due} had been invalidated"
                );
            }
        });
        cache.inner.core.audit().unwrap();
    });
}

#[test]
fn cache_calls_held() {
    let schedule = Schedule {
        name: "cache_calls_held",
        claim: "20 who call `load` of one name whose first load never ends, until their time is over: \
                all are told so or served by a later load, none is held, and what came too late is \
                shown to nobody",
        threads: 21,
        operations: 21,
    };
    schedule.check(|| {
        let (cache, source, bell) = cache(8);
        source.stuck.store(1, Ordering::SeqCst);
        let (shared, ringing) = (cache.clone(), Arc::clone(&bell));
        let began = counter();
        together(21, move |n| {
            if n == 20 {
                // Not before somebody waits for the load that never ends.
                while began.load(Ordering::SeqCst) == 0 {
                    pause();
                }
                ringing.ring();
                return;
            }
            let mut call = Box::pin(shared.load("main"));
            let first = poll_fn(|context| {
                let first = call.as_mut().poll(context);
                began.fetch_add(1, Ordering::SeqCst);
                match first {
                    Poll::Ready(result) => Poll::Ready(Some(result)),
                    Poll::Pending => Poll::Ready(None),
                }
            });
            let result = match wait(first) {
                Some(result) => result,
                None => wait(call),
            };
            match result {
                Ok(served) => assert_eq!(shown(&served), 0),
                Err(LoadError::TimedOut { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        });
        let stats = cache.stats();
        assert_eq!((stats.aborts, stats.loads - stats.failures <= 1), (0, true));
        // The load that never ended does so now, and finds that it has been given up.
        source.number.store(1, Ordering::SeqCst);
        source.gate.ring();
        for _ in 0..64 {
            pause();
        }
        assert!(cache.get("main").is_none_or(|served| shown(&served) == 0));
        cache.inner.core.audit().unwrap();
    });
}

#[test]
fn cache_calls_handles_evicted() {
    let schedule = Schedule {
        name: "cache_calls_handles_evicted",
        claim: "24 who make handles on six names of which two may be held, load and read by them, \
                while others do the same: each is shown its own name's policy, and handles show \
                what is held",
        threads: 24,
        operations: 96,
    };
    schedule.check(|| {
        let (cache, _source, _bell) = cache(2);
        let shared = cache.clone();
        let handles = together(24, move |n| {
            let (own, name) = (n as u64 % 6, format!("key-{}", n % 6));
            let early = shared.handle(&name);
            let served = wait(Box::pin(early.load())).unwrap();
            assert_eq!(shown(&served), own, "another name's policy");
            let late = shared.handle(&name);
            for handle in [&early, &late] {
                let seen = handle.get().as_ref().map(shown);
                assert!(seen.is_none_or(|seen| seen == own), "another name's policy");
            }
            late
        });
        let held = (0..6).filter(|own| handles[*own].get().is_some()).count();
        assert_eq!((held, cache.stats().names), (2, 2));
        for handle in &handles {
            assert_eq!(handle.get().is_some(), cache.get(handle.name()).is_some());
        }
        cache.inner.core.audit().unwrap();
    });
}
