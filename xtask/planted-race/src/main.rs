//! Two threads that count: `planted-race without-lock` is a data race, `planted-race with-lock` is
//! the same without one.
//!
//! `cargo xtask race` runs both before the suites. A detector that does not report the first sees
//! nothing, and one that reports the second sees what is not there; the silence or the reports of
//! either would mean nothing.

use std::cell::UnsafeCell;
use std::process::ExitCode;
use std::sync::{Barrier, Mutex};

struct Count(UnsafeCell<u64>);

// SAFETY: none without the lock; that is what this program is for.
unsafe impl Sync for Count {}

fn main() -> ExitCode {
    let locked = match std::env::args().nth(1).as_deref() {
        Some("with-lock") => true,
        Some("without-lock") => false,
        _ => {
            eprintln!("usage: planted-race with-lock|without-lock");
            return ExitCode::from(2);
        }
    };
    let count = Count(UnsafeCell::new(0));
    let (lock, start) = (Mutex::new(()), Barrier::new(2));
    let add = || {
        let count = &count;
        start.wait();
        for _ in 0..1_000 {
            let _held = locked.then(|| lock.lock());
            // SAFETY: nobody else writes if the lock is held; if not, see above.
            unsafe { *count.0.get() += 1 };
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(add);
        scope.spawn(add);
    });
    println!("counted to {}", count.0.into_inner());
    ExitCode::SUCCESS
}
