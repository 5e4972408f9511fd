//! Counters of hits that threads do not share.
//!
//! A hit is the one thing that happens often enough for its counter to matter: each of up to 64
//! threads counts on a cache line of its own, without a locked instruction. A thread gives its
//! number back when it ends; more threads than that share one line.

use std::sync::atomic::{AtomicU64, Ordering};

/// As many as [`TAKEN`] has bits.
const STRIPES: usize = 64;

/// How often a [`CachedLoader`](crate::CachedLoader) did what, since it was made.
///
/// The numbers are read one after the other, while others go on; they agree with each other only
/// when nobody does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Names that are held now, expired ones included.
    pub names: usize,
    /// Fresh policies served without waiting.
    pub hits: u64,
    /// Loads begun.
    pub loads: u64,
    /// Callers who waited for a load that another had begun.
    pub joins: u64,
    /// Loads that failed, "not found" and time-outs included.
    pub failures: u64,
    /// Loads that ended unfinished: a panic, an abort, a shutdown.
    pub aborts: u64,
    /// Failed loads for which a stale policy stood in.
    pub stale: u64,
    /// Names dropped because there were more than allowed.
    pub evictions: u64,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe(AtomicU64);

/// A counter that is cheap to raise from any number of threads.
#[derive(Debug)]
pub(super) struct Striped {
    /// One for each number that a thread may have.
    own: Box<[Stripe]>,
    /// Counted on by threads without a number.
    shared: Stripe,
}

/// The number of a thread, its own until it ends.
struct Number(Option<usize>);

/// A bit for each number that a thread has.
static TAKEN: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static NUMBER: Number = Number::take();
}

impl Number {
    fn take() -> Self {
        let mut taken = TAKEN.load(Ordering::Relaxed);
        while taken != u64::MAX {
            let bit = !taken & (taken + 1);
            // Acquires what the thread that had the number before has counted.
            match TAKEN.compare_exchange_weak(
                taken,
                taken | bit,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Self(usize::try_from(bit.trailing_zeros()).ok()),
                Err(now) => taken = now,
            }
        }
        Self(None)
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        if let Some(number) = self.0 {
            TAKEN.fetch_and(!(1 << number), Ordering::Release);
        }
    }
}

impl Striped {
    pub(super) fn new() -> Self {
        Self {
            own: (0..STRIPES).map(|_| Stripe::default()).collect(),
            shared: Stripe::default(),
        }
    }

    /// Counts one.
    #[inline]
    pub(super) fn raise(&self) {
        let number = NUMBER.try_with(|number| number.0).ok().flatten();
        match number.and_then(|number| self.own.get(number)) {
            // Nobody else writes it, so that reading and writing need not be one step.
            Some(Stripe(count)) => {
                count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            }
            None => {
                self.shared.0.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The sum over all threads.
    pub(super) fn sum(&self) -> u64 {
        let stripes = self.own.iter().chain([&self.shared]);
        stripes.map(|stripe| stripe.0.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
#[cfg(not(any(countersign_loom, countersign_shuttle)))]
mod tests {
    use std::collections::HashSet;
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn no_two_threads_have_one_number_and_those_without_count_too() {
        const THREADS: usize = 2 * STRIPES;
        let striped = Striped::new();
        // The second time around, numbers are those that ended threads gave back.
        for _ in 0..2 {
            let all_have_theirs = Barrier::new(THREADS);
            let numbers: Vec<Option<usize>> = std::thread::scope(|scope| {
                let threads = (0..THREADS).map(|_| {
                    scope.spawn(|| {
                        striped.raise();
                        all_have_theirs.wait();
                        striped.raise();
                        NUMBER.with(|number| number.0)
                    })
                });
                let threads: Vec<_> = threads.collect();
                let numbers = threads.into_iter().map(|thread| thread.join().unwrap());
                numbers.collect()
            });
            let own: Vec<usize> = numbers.into_iter().flatten().collect();
            let different: HashSet<usize> = own.iter().copied().collect();
            assert_eq!(own.len(), different.len(), "a number was given twice");
            assert!(own.len() <= STRIPES && own.iter().all(|number| *number < STRIPES));
            // Other tests have some.
            assert!(own.len() > STRIPES / 4, "numbers were not given back");
        }
        assert_eq!(striped.sum(), 4 * THREADS as u64);
    }
}
