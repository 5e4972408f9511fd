//! Callers of the cache's synchronous core, as its models and schedules have them.

#[cfg(countersign_loom)]
use super::models::wait;
#[cfg(countersign_shuttle)]
use countersign_core::sync::schedule::wait;

use super::core::{Begin, Core, Lead, Outcome, Settings};
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

/// One caller: takes what there is, leads with `load` or waits; begins again when superseded.
pub(super) fn call<V: Clone>(
    core: &Arc<Core<V>>,
    name: &str,
    now: Tick,
    load: impl Fn(Lead<V>),
) -> Result<Served<V>, LoadError> {
    loop {
        let waiter = match core.begin(name, now) {
            Begin::Ready(served) => return Ok(served),
            Begin::Join(waiter) => waiter,
            Begin::Lead(lead, waiter) => {
                load(lead);
                waiter
            }
        };
        match wait(waiter) {
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
