//! Callers of the cache, as its models and schedules have them.
//!
//! Whoever waits is [`Wandering`]: a waker that is good for one poll only.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

#[cfg(countersign_shuttle)]
use countersign_core::sync::schedule::wait as block_on;

#[cfg(countersign_loom)]
use super::models::block_on;

use super::core::{Begin, Core, Lead, Settings};
use super::flights::Outcome;
use super::*;

pub(super) const TTL: Duration = Duration::from_nanos(100);

pub(super) fn core<V: Clone>(max_names: usize, stale_if_error: Option<Duration>) -> Arc<Core<V>> {
    let retry_after = Duration::from_nanos(10);
    Arc::new(Core::new(Settings {
        stale_if_error,
        retry_after,
        max_names,
    }))
}

pub(super) fn tick(nanos: u64) -> Tick {
    Tick::from_nanos(nanos)
}

pub(super) fn failed(name: &str) -> LoadError {
    LoadError::TimedOut {
        name: name.into(),
        after: TTL,
    }
}

/// A future that is polled as if it moved from task to task: each time with another waker, and once
/// more than it need be. Only the waker of the last poll wakes anybody.
struct Wandering<F> {
    future: F,
    last: Option<Arc<Stop>>,
}

/// One poll's waker.
struct Stop {
    waker: Waker,
    is_left: AtomicBool,
}

impl Wake for Stop {
    fn wake(self: Arc<Self>) {
        if !self.is_left.load(Ordering::SeqCst) {
            self.waker.wake_by_ref();
        }
    }
}

impl<F: Future + Unpin> Future for Wandering<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        for _ in 0..2 {
            let stop = Arc::new(Stop {
                waker: context.waker().clone(),
                is_left: AtomicBool::new(false),
            });
            if let Some(last) = self.last.replace(Arc::clone(&stop)) {
                last.is_left.store(true, Ordering::SeqCst);
            }
            let waker = stop.into();
            let mut context = Context::from_waker(&waker);
            if let Poll::Ready(output) = Pin::new(&mut self.future).poll(&mut context) {
                return Poll::Ready(output);
            }
        }
        Poll::Pending
    }
}

/// Waits in the thread that calls, as a caller would whose future moves between tasks.
pub(super) fn wait<F: Future + Unpin>(future: F) -> F::Output {
    block_on(Wandering { future, last: None })
}

/// One caller: takes what there is, leads with `load` or waits; begins again when superseded.
pub(super) fn call<V: Clone>(
    core: &Arc<Core<V>>,
    name: &str,
    now: Tick,
    load: impl Fn(Lead<V>),
) -> Result<Served<V>, LoadError> {
    call_watched(core, name, now, load, || ())
}

/// As [`call`]; `watch` is called before each look at what there is.
pub(super) fn call_watched<V: Clone>(
    core: &Arc<Core<V>>,
    name: &str,
    now: Tick,
    load: impl Fn(Lead<V>),
    watch: impl Fn(),
) -> Result<Served<V>, LoadError> {
    loop {
        watch();
        let mut waiter = match core.begin(name, now) {
            Begin::Ready(served) => return Ok(served),
            Begin::Join(waiter) => waiter,
            Begin::Lead(lead, waiter) => {
                load(lead);
                waiter
            }
        };
        let looking = poll_fn(|context| {
            watch();
            Pin::new(&mut waiter).poll(context)
        });
        match wait(looking) {
            Outcome::Done(result) => return result,
            Outcome::Superseded => {}
        }
    }
}

pub(super) fn publish<V: Clone>(core: &Arc<Core<V>>, name: &str, value: V, now: Tick) {
    let Begin::Lead(lead, _waiter) = core.begin(name, now) else {
        panic!("somebody leads")
    };
    lead.finish(Ok((value, TTL)), now);
}
