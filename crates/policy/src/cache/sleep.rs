//! A timer that needs no runtime: one thread for the whole process, which wakes who has waited long
//! enough.
//!
//! What is waiting is plain data, told the time ([`Waiting`]); the thread around it reads the clock
//! and sleeps. The thread begins with the first wait and has nothing to do while nobody waits. What
//! always holds: a sleeper is woken by the waker with which it was polled last, and one that is
//! dropped leaves no waker behind.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use countersign_core::clock::{InstantTicks, Tick, Ticks};
use countersign_core::future::BoxFuture;
use countersign_core::retry::Sleep;

/// Waits by a thread of its own, on any executor and on runtimes without a timer, and also while
/// nobody drives the runtime. If the thread cannot be started, the wait is over at once.
///
/// ```
/// use std::time::Duration;
/// use countersign_policy::{Sleep, ThreadSleep};
///
/// let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// runtime.block_on(ThreadSleep.sleep(Duration::from_millis(1)));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct ThreadSleep;

impl Sleep for ThreadSleep {
    fn sleep(&self, length: Duration) -> BoxFuture<'_, ()> {
        static TIMER: OnceLock<Option<Arc<Timer>>> = OnceLock::new();
        match TIMER.get_or_init(Timer::start) {
            Some(timer) => Box::pin(Sleeper::new(Arc::clone(timer), length)),
            None => Box::pin(std::future::ready(())),
        }
    }
}

/// Those who wait, by when they have waited long enough.
#[derive(Debug, Default)]
struct Waiting {
    wakers: BTreeMap<Place, Waker>,
    last: u64,
}

/// When somebody has waited long enough, and a number of their own.
type Place = (Tick, u64);

impl Waiting {
    fn place(&mut self, until: Tick) -> Place {
        self.last += 1;
        (until, self.last)
    }

    /// When somebody has to be woken next.
    fn next(&self) -> Option<Tick> {
        self.wakers.keys().next().map(|(until, _)| *until)
    }

    /// Takes out those who have waited long enough.
    fn due(&mut self, now: Tick) -> Vec<Waker> {
        let mut due = Vec::new();
        while let Some(first) = self.wakers.first_entry() {
            if first.key().0 > now {
                break;
            }
            due.push(first.remove());
        }
        due
    }
}

#[derive(Debug)]
struct Timer {
    waiting: Mutex<Waiting>,
    /// Notified when somebody has to be woken sooner than the thread knows.
    sooner: Condvar,
    ticks: InstantTicks,
}

impl Timer {
    fn start() -> Option<Arc<Self>> {
        let timer = Arc::new(Self {
            waiting: Mutex::default(),
            sooner: Condvar::new(),
            ticks: InstantTicks::start(),
        });
        let own = Arc::clone(&timer);
        let thread = std::thread::Builder::new().name("countersign-timer".to_owned());
        thread.spawn(move || own.run()).ok().map(|_| timer)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that can panic leaves what is waiting half changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut waiting = self.waiting();
        loop {
            let now = self.ticks.now();
            let due = waiting.due(now);
            if !due.is_empty() {
                drop(waiting);
                for waker in due {
                    // A waker that panics is its owner's trouble, and nobody else's.
                    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| waker.wake()));
                }
                waiting = self.waiting();
                continue;
            }
            waiting = match waiting.next() {
                None => self
                    .sooner
                    .wait(waiting)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(next) => {
                    let timed = self.sooner.wait_timeout(waiting, next.since(now));
                    timed.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// One who waits.
struct Sleeper {
    timer: Arc<Timer>,
    place: Place,
}

impl Sleeper {
    fn new(timer: Arc<Timer>, length: Duration) -> Self {
        let until = timer.ticks.now().plus(length);
        let place = timer.waiting().place(until);
        Self { timer, place }
    }
}

impl Future for Sleeper {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let waker = context.waker().clone();
        if self.timer.ticks.now() >= self.place.0 {
            return Poll::Ready(());
        }
        let mut waiting = self.timer.waiting();
        let sooner = waiting.next().is_none_or(|next| self.place.0 < next);
        let replaced = waiting.wakers.insert(self.place, waker);
        drop(waiting);
        drop(replaced);
        if sooner {
            self.timer.sooner.notify_one();
        }
        Poll::Pending
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let waker = self.timer.waiting().wakers.remove(&self.place);
        drop(waker);
    }
}

#[cfg(test)]
#[cfg(not(any(countersign_loom, countersign_shuttle)))]
mod tests {
    use super::super::tests::{Called, poll};
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// A timer that nobody tells the time.
    fn timer() -> Arc<Timer> {
        Arc::new(Timer {
            waiting: Mutex::default(),
            sooner: Condvar::new(),
            ticks: InstantTicks::start(),
        })
    }

    #[test]
    fn who_has_waited_long_enough_is_woken_and_nobody_else() {
        let mut waiting = Waiting::default();
        let called = [(); 4].map(|()| Arc::new(Called::default()));
        for (called, nanos) in called.iter().zip([7, 5, 7, 8]) {
            let place = waiting.place(Tick::from_nanos(nanos));
            let waker = Waker::from(Arc::clone(called));
            assert!(waiting.wakers.insert(place, waker).is_none());
        }
        let mut woken = |nanos| {
            let due = waiting.due(Tick::from_nanos(nanos));
            due.into_iter().for_each(Waker::wake);
            let counts = called.each_ref().map(|called| called.count());
            (counts, waiting.next().map(Tick::as_nanos))
        };
        assert_eq!(woken(4), ([0, 0, 0, 0], Some(5)));
        assert_eq!(woken(5), ([0, 1, 0, 0], Some(7)));
        assert_eq!(woken(7), ([1, 1, 1, 0], Some(8)));
        assert_eq!(woken(u64::MAX), ([1, 1, 1, 1], None));
    }

    #[test]
    fn a_sleeper_keeps_the_waker_of_its_last_poll_and_leaves_none_behind() {
        let timer = timer();
        let [first, second] = [(); 2].map(|()| Arc::new(Called::default()));
        let mut sleeper = Box::pin(Sleeper::new(Arc::clone(&timer), HOUR));
        assert!(poll(&mut sleeper, &first).is_pending());
        assert!(poll(&mut sleeper, &second).is_pending());
        let held = || [&first, &second].map(|called| Arc::strong_count(called) - 1);
        assert_eq!((held(), timer.waiting().wakers.len()), ([0, 1], 1));
        drop(sleeper);
        assert_eq!((held(), timer.waiting().wakers.len()), ([0, 0], 0));
    }

    #[test]
    fn every_wait_ends_also_behind_a_longer_one_and_after_a_waker_that_panicked() {
        struct Panics;
        impl std::task::Wake for Panics {
            fn wake(self: Arc<Self>) {
                panic!("a waker panics");
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let timer = Timer::start().expect("a thread");
        let sleeper = |length| Box::pin(Sleeper::new(Arc::clone(&timer), length));
        let mut long = sleeper(HOUR);
        assert!(poll(&mut long, &Arc::default()).is_pending());
        let mut hurt = sleeper(Duration::from_millis(1));
        let waker = Waker::from(Arc::new(Panics));
        let _ = hurt.as_mut().poll(&mut Context::from_waker(&waker));
        runtime.block_on(async {
            for millis in [0, 2, 1, 3] {
                sleeper(Duration::from_millis(millis)).await;
            }
        });
        assert!(poll(&mut long, &Arc::default()).is_pending());
    }
}
