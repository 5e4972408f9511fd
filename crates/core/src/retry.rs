//! Trying again after a conflict: jittered exponential backoff with a limit on tries.
//!
//! [`Retry`] is the policy, with its sleep and its randomness injected; [`Backoff`] is one run of
//! it. What is tried, and which errors deserve another try, is the caller's business.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::future::BoxFuture;
use crate::id::{OsRandom, RandomSource};

/// Something that waits.
///
/// ```
/// use std::time::Duration;
/// use countersign_core::retry::{NoSleep, Sleep};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// NoSleep.sleep(Duration::from_secs(3600)).await; // returns at once
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Sleep: fmt::Debug + Send + Sync {
    /// Waits for about `length`.
    fn sleep(&self, length: Duration) -> BoxFuture<'_, ()>;
}

/// Waits on tokio's timer; needs a runtime with time enabled.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioSleep;

impl Sleep for TokioSleep {
    #[allow(clippy::disallowed_methods, reason = "the one place that sleeps")]
    fn sleep(&self, length: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(length))
    }
}

/// Does not wait at all. For tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSleep;

impl Sleep for NoSleep {
    fn sleep(&self, _: Duration) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// How often to try, and how long to wait in between.
///
/// The wait before try `n + 1` is drawn evenly from zero to `first_delay × 2ⁿ⁻¹`, capped at
/// `longest_delay`: spreading callers over the whole range is what lets a crowd through. By
/// default 10 tries, 1 ms, 100 ms.
///
/// ```
/// use std::sync::Arc;
/// use countersign_core::retry::{NoSleep, Retry};
///
/// let retry = Retry::default().with_tries(3.try_into()?).with_sleep(Arc::new(NoSleep));
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// let mut backoff = retry.start();
/// assert!(backoff.wait().await);
/// assert!(backoff.wait().await);
/// assert!(!backoff.wait().await, "three tries were made");
/// # });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Retry {
    tries: NonZeroU32,
    first_delay: Duration,
    longest_delay: Duration,
    sleep: Arc<dyn Sleep>,
    random: Arc<dyn RandomSource>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            tries: NonZeroU32::MIN.saturating_add(9),
            first_delay: Duration::from_millis(1),
            longest_delay: Duration::from_millis(100),
            sleep: Arc::new(TokioSleep),
            random: Arc::new(OsRandom),
        }
    }
}

impl Retry {
    /// Sets how many tries are made in all, the first included.
    #[must_use]
    pub fn with_tries(mut self, tries: NonZeroU32) -> Self {
        self.tries = tries;
        self
    }

    /// Sets the longest possible first wait, and the longest possible wait of all.
    #[must_use]
    pub fn with_delays(mut self, first: Duration, longest: Duration) -> Self {
        self.first_delay = first;
        self.longest_delay = longest;
        self
    }

    /// Sets what waits.
    #[must_use]
    pub fn with_sleep(mut self, sleep: Arc<dyn Sleep>) -> Self {
        self.sleep = sleep;
        self
    }

    /// Sets where the jitter comes from. If it fails, the longest wait of the range is taken.
    #[must_use]
    pub fn with_random(mut self, random: Arc<dyn RandomSource>) -> Self {
        self.random = random;
        self
    }

    /// How many tries are made in all.
    pub fn tries(&self) -> NonZeroU32 {
        self.tries
    }

    /// Begins a run; its first try has not been made yet.
    pub fn start(&self) -> Backoff<'_> {
        Backoff {
            retry: self,
            made: 1,
        }
    }
}

/// One run of a [`Retry`].
#[derive(Debug)]
pub struct Backoff<'a> {
    retry: &'a Retry,
    made: u32,
}

impl Backoff<'_> {
    /// Waits before the next try; false, at once, if there is none left.
    pub async fn wait(&mut self) -> bool {
        let Some(delay) = self.next_delay() else {
            return false;
        };
        self.retry.sleep.sleep(delay).await;
        true
    }

    /// The wait before the next try, or none if all are made.
    pub fn next_delay(&mut self) -> Option<Duration> {
        if self.made >= self.retry.tries.get() {
            return None;
        }
        let doublings = (self.made - 1).min(31);
        self.made += 1;
        let range = self
            .retry
            .first_delay
            .saturating_mul(1 << doublings)
            .min(self.retry.longest_delay);
        let Ok(draw) = self.retry.random.next_u64() else {
            return Some(range);
        };
        let nanos = u64::try_from(range.as_nanos()).unwrap_or(u64::MAX - 1);
        Some(Duration::from_nanos(draw % (nanos + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RandomError;

    #[derive(Debug)]
    struct Fixed(Option<u64>);

    impl RandomSource for Fixed {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError> {
            let value = self.0.ok_or_else(|| RandomError {
                reason: "dry".into(),
            })?;
            buffer.copy_from_slice(&value.to_be_bytes());
            Ok(())
        }
    }

    fn delays(retry: &Retry) -> Vec<u128> {
        let mut backoff = retry.start();
        std::iter::from_fn(|| backoff.next_delay())
            .map(|delay| delay.as_micros())
            .collect()
    }

    #[test]
    fn ten_tries_wait_nine_times_doubling_up_to_the_longest() {
        let retry = Retry::default().with_random(Arc::new(Fixed(None)));
        let expected = [
            1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 100_000, 100_000,
        ];
        assert_eq!(delays(&retry), expected);
    }

    #[test]
    fn jitter_stays_in_its_range() {
        for draw in [0, 1, 999_999, 1_000_000, 1_000_001, u64::MAX] {
            let retry = Retry::default().with_random(Arc::new(Fixed(Some(draw))));
            for (delay, range) in delays(&retry).into_iter().zip([1_000, 2_000, 4_000, 8_000]) {
                assert!(delay <= range, "{delay} µs is beyond {range} µs");
            }
        }
        let none = Retry::default().with_random(Arc::new(Fixed(Some(0))));
        assert!(delays(&none).iter().all(|delay| *delay == 0));
    }

    #[test]
    fn one_try_never_waits() {
        assert_eq!(
            Retry::default()
                .with_tries(NonZeroU32::MIN)
                .start()
                .next_delay(),
            None
        );
    }

    #[test]
    fn absurd_delays_do_not_overflow() {
        let retry = Retry::default()
            .with_tries(NonZeroU32::MAX)
            .with_delays(Duration::MAX, Duration::MAX)
            .with_random(Arc::new(Fixed(Some(u64::MAX))));
        let mut backoff = retry.start();
        for _ in 0..100 {
            assert!(backoff.next_delay().is_some());
        }
    }
}
