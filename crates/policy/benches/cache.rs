//! Budgets T1 to T4: a hit of the cache against a bare hash table and against moka, and what a
//! miss delays.
#![allow(missing_docs, reason = "a program, not a library")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::collections::HashMap;
use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use countersign_core::sync::SwapOption;
use countersign_policy::{
    BoxFuture, CacheConfig, CachedLoader, InstantTicks, LoadError, Loader, Policy, Ticks,
};
use support::policies::flat;
use support::{Contender, Verdicts, batch_size, compare, each, median, now};
use tokio::runtime::Runtime;

mod support;

const LIFE: Duration = Duration::from_secs(3_600);

/// Gives one policy for every name, after a while if it is told to take one.
#[derive(Debug)]
struct Source {
    policy: Arc<Policy>,
    takes: Option<Duration>,
    loads: AtomicU64,
}

impl Source {
    fn new(takes: Option<Duration>) -> Arc<Self> {
        Arc::new(Self {
            policy: Arc::new(Policy::try_from(flat(2, 2)).unwrap()),
            takes,
            loads: AtomicU64::new(0),
        })
    }
}

impl Loader for Source {
    #[allow(clippy::disallowed_methods, reason = "a benchmark takes real time")]
    fn load<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, Result<Arc<Policy>, LoadError>> {
        Box::pin(async move {
            self.loads.fetch_add(1, Ordering::Relaxed);
            if let Some(takes) = self.takes {
                tokio::time::sleep(takes).await;
            }
            Ok(Arc::clone(&self.policy))
        })
    }
}

fn cache(source: Arc<Source>, ticks: Arc<dyn Ticks>) -> CachedLoader {
    let config = CacheConfig {
        time_to_live: LIFE,
        ..CacheConfig::default()
    };
    CachedLoader::with_config(source, config, ticks)
}

fn main() {
    if !support::wanted() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let mut verdicts = Verdicts::default();
    for names in [1, 100, 1_000] {
        hits(&runtime, names, &mut verdicts);
    }
    two_threads(&runtime, &mut verdicts);
    misses(&runtime, &mut verdicts);
}

#[cfg(feature = "coarse-clock")]
fn coarse() -> Arc<dyn Ticks> {
    Arc::new(countersign_policy::CoarseTicks)
}

#[cfg(not(feature = "coarse-clock"))]
fn coarse() -> Arc<dyn Ticks> {
    println!("without the feature `coarse-clock` the budgets are measured with `Instant`");
    Arc::new(InstantTicks::start())
}

fn warmed(runtime: &Runtime, names: &[String], ticks: Arc<dyn Ticks>) -> CachedLoader {
    let cache = cache(Source::new(None), ticks);
    for name in names {
        runtime.block_on(cache.load(name)).unwrap();
    }
    cache
}

fn with<'a>(cache: &'a CachedLoader, names: &'a [String]) -> Contender<'a> {
    each(names, |name| {
        cache.with(name, |served| served.policy.rules().len())
    })
}

/// T1 and T3.
fn hits(runtime: &Runtime, count: usize, verdicts: &mut Verdicts) {
    let names: Vec<String> = (0..count)
        .map(|number| format!("policy-{}", number * 7_919 % count))
        .collect();
    let (coarse, instant) = (coarse(), Arc::new(InstantTicks::start()) as Arc<dyn Ticks>);
    let (by_coarse, by_instant) = (
        warmed(runtime, &names, Arc::clone(&coarse)),
        warmed(runtime, &names, Arc::clone(&instant)),
    );
    let policy = Arc::clone(&Source::new(None).policy);
    // What the cache's own table is, without anything around it.
    let bare: HashMap<Arc<str>, Arc<Policy>, foldhash::fast::RandomState> = names
        .iter()
        .map(|name| (name.as_str().into(), Arc::clone(&policy)))
        .collect();
    let moka: moka::sync::Cache<Arc<str>, Arc<Policy>> = moka::sync::Cache::builder()
        .max_capacity(1_000)
        .time_to_live(LIFE)
        .build();
    for name in &names {
        moka.insert(name.as_str().into(), Arc::clone(&policy));
    }
    let (handle, handle_instant) = (by_coarse.handle(&names[0]), by_instant.handle(&names[0]));
    let one = &names[..1];
    let pointer = SwapOption::new(Some(Arc::new(7_u64)));
    let [
        probe,
        found,
        found_instant,
        got,
        held,
        held_instant,
        other,
        clock,
        instant_clock,
        swap,
    ] = compare([
        each(&names, |name| {
            bare.get(name.as_str()).map(|policy| policy.rules().len())
        }),
        with(&by_coarse, &names),
        with(&by_instant, &names),
        each(&names, |name| by_coarse.get(name)),
        each(one, |_| handle.with(|served| served.policy.rules().len())),
        each(one, |_| {
            handle_instant.with(|served| served.policy.rules().len())
        }),
        each(&names, |name| moka.get(name.as_str())),
        each(one, |_| coarse.now()),
        each(one, |_| instant.now()),
        each(one, |_| pointer.load().as_ref().map(|number| **number)),
    ]);
    println!("{count} names, ns:");
    println!(
        "  probe {probe:.1}, moka {other:.1}, clocks: coarse {clock:.1}, Instant {instant_clock:.1}, \
         load of a swappable pointer {swap:.1}"
    );
    println!("  coarse clock: with {found:.1}, get {got:.1}, with of a handle {held:.1}");
    println!("  Instant: with {found_instant:.1}, with of a handle {held_instant:.1}");
    verdicts.at_most(
        "T1",
        &format!("with / probe, {count} names"),
        found / probe,
        2.3,
    );
    verdicts.at_most(
        "T1",
        &format!("with / moka, {count} names"),
        found / other,
        0.2,
    );
    verdicts.at_most(
        "T3",
        &format!("handle / moka, {count} names"),
        held / other,
        0.1,
    );
}

/// T2: one thread's time for a hit, while another does the same and while it does nothing.
fn two_threads(runtime: &Runtime, verdicts: &mut Verdicts) {
    let names = vec!["policy".to_owned()];
    let cache = warmed(runtime, &names, coarse());
    let handle = cache.handle("policy");
    let (busy, done) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if busy.load(Ordering::Relaxed) {
                    for _ in 0..100 {
                        black_box(
                            cache.with(black_box("policy"), |served| served.policy.rules().len()),
                        );
                        black_box(handle.with(|served| served.policy.rules().len()));
                    }
                } else {
                    spin_loop();
                }
            }
        });
        for (what, mut run) in [
            ("with", with(&cache, &names)),
            (
                "with of a handle",
                each(&names, |_| {
                    handle.with(|served| served.policy.rules().len())
                }),
            ),
        ] {
            let count = batch_size(&mut run);
            let mut times: [Vec<f64>; 2] = Default::default();
            for _ in 0..301 {
                for (other, times) in [false, true].into_iter().zip(&mut times) {
                    busy.store(other, Ordering::Relaxed);
                    run(count / 8 + 1);
                    let start = now();
                    run(count);
                    times.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(count));
                }
            }
            let [alone, together] = times.map(median);
            println!("two threads, {what}, ns: alone {alone:.1}, together {together:.1}");
            verdicts.at_most(
                "T2",
                &format!("two threads / one, {what}"),
                together / alone,
                1.25,
            );
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// T4: fifty callers and a source that takes a millisecond.
fn misses(runtime: &Runtime, verdicts: &mut Verdicts) {
    const CALLERS: u64 = 50;
    let source = Source::new(Some(Duration::from_millis(1)));
    let milliseconds = |names: fn(u64) -> String, bare: bool| {
        let cache = cache(Arc::clone(&source), coarse());
        let before = source.loads.load(Ordering::Relaxed);
        let start = now();
        runtime.block_on(async {
            let callers: Vec<_> = (0..if bare && names(0) == names(1) {
                1
            } else {
                CALLERS
            })
                .map(|caller| {
                    let (cache, source, name) = (cache.clone(), Arc::clone(&source), names(caller));
                    tokio::spawn(async move {
                        match bare {
                            true => drop(source.load(&name).await.unwrap()),
                            false => drop(cache.load(&name).await.unwrap()),
                        }
                    })
                })
                .collect();
            for caller in callers {
                caller.await.unwrap();
            }
        });
        let time = start.elapsed().as_secs_f64() * 1e3;
        (time, source.loads.load(Ordering::Relaxed) - before)
    };
    let same: fn(u64) -> String = |_| "policy".to_owned();
    let own: fn(u64) -> String = |caller| format!("policy-{caller}");
    for (what, names, limit, loads) in [
        ("one name", same, 1.2, 1),
        ("fifty names", own, 1.3, CALLERS),
    ] {
        let mut times: [Vec<f64>; 2] = Default::default();
        for _ in 0..201 {
            for (bare, times) in [true, false].into_iter().zip(&mut times) {
                let (time, loaded) = milliseconds(names, bare);
                assert_eq!(loaded, loads, "loads of {what}");
                times.push(time);
            }
        }
        let [bare, cached] = times.map(median);
        println!(
            "{CALLERS} callers of {what}: bare {bare:.2} ms, through the cache {cached:.2} ms, {loads} loads"
        );
        verdicts.at_most(
            "T4",
            &format!("cached / bare, {what}"),
            cached / bare,
            limit,
        );
    }
    hits_meanwhile(runtime, source, verdicts);
}

/// A hit of a warm name while others are loaded without a pause.
fn hits_meanwhile(runtime: &Runtime, source: Arc<Source>, verdicts: &mut Verdicts) {
    let cache = cache(source, coarse());
    runtime.block_on(cache.load("warm")).unwrap();
    let names = ["warm".to_owned()];
    let mut run = with(&cache, &names);
    let count = batch_size(&mut run);
    let mut times: [Vec<f64>; 2] = Default::default();
    for round in 0..301 {
        for (loading, times) in [false, true].into_iter().zip(&mut times) {
            let loads = (0..if loading { 50 } else { 0 }).map(|name| {
                let cache = cache.clone();
                runtime.spawn(
                    async move { cache.load(&format!("cold-{round}-{name}")).await.map(drop) },
                )
            });
            let loads: Vec<_> = loads.collect();
            let start = now();
            run(count);
            times.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(count));
            for load in loads {
                runtime.block_on(load).unwrap().unwrap();
            }
        }
    }
    let [quiet, meanwhile] = times.map(median);
    println!("a hit, ns: quiet {quiet:.1}, while fifty names are loaded {meanwhile:.1}");
    verdicts.at_most("T4", "hit during loads / quiet", meanwhile / quiet, 2.0);
}
