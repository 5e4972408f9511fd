//! Counters of hits that threads do not share.
//!
//! A hit is the one thing that happens often enough for its counter to matter: each thread counts
//! on a cache line of its own (of 64, so that only with more threads two share one).

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

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
    stripes: Box<[Stripe]>,
}

thread_local! {
    static STRIPE: Cell<usize> = Cell::new(next_stripe());
}

fn next_stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES
}

impl Striped {
    pub(super) fn new() -> Self {
        Self {
            stripes: (0..STRIPES).map(|_| Stripe::default()).collect(),
        }
    }

    /// Counts one.
    pub(super) fn raise(&self) {
        let stripe = STRIPE.try_with(Cell::get).unwrap_or(0);
        if let Some(stripe) = self.stripes.get(stripe) {
            stripe.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The sum over all threads.
    pub(super) fn sum(&self) -> u64 {
        self.stripes
            .iter()
            .map(|stripe| stripe.0.load(Ordering::Relaxed))
            .sum()
    }
}
