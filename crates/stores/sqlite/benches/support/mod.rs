//! What the benchmarks share: real time, medians, budgets, and waiting for a future.
#![allow(dead_code, reason = "each benchmark uses a part")]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

pub mod fill;

/// Whether `cargo bench` runs this, and not `cargo test`.
pub fn wanted() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// Whether a runner of tests asks which there are: none of them is one that it could choose.
pub fn listed() -> bool {
    std::env::args().any(|argument| argument == "--list")
}

#[allow(clippy::disallowed_methods, reason = "a benchmark reads real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// The microseconds that something takes, and what it gives.
pub fn timed<T>(run: impl FnOnce() -> T) -> (f64, T) {
    let start = now();
    let made = std::hint::black_box(run());
    (start.elapsed().as_secs_f64() * 1e6, made)
}

pub fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

pub fn mean(times: &[f64]) -> f64 {
    times.iter().sum::<f64>() / times.len() as f64
}

/// Waits for futures, on this thread.
pub fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread();
    { runtime }.build().unwrap()
}

/// A folder in the target directory, removed with all that is in it when it is dropped.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Numbers that look random, the same in every run.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 += 1;
        (mixed(self.0) % limit as u64) as usize
    }
}

/// Another number for each number (SplitMix64).
pub fn mixed(number: u64) -> u64 {
    let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The budgets that were measured, and what came of each.
#[derive(Default)]
pub struct Verdicts(String);

impl Verdicts {
    /// Notes a value: met if it is at most `limit`.
    pub fn at_most(&mut self, what: &str, value: f64, limit: f64) {
        let met = if value <= limit { "met   " } else { "MISSED" };
        let _ = writeln!(self.0, "{met}  {what}: {value:.2} (at most {limit})");
    }

    /// Notes a value: met if it is at least `limit`.
    pub fn at_least(&mut self, what: &str, value: f64, limit: f64) {
        let met = if value >= limit { "met   " } else { "MISSED" };
        let _ = writeln!(self.0, "{met}  {what}: {value:.2} (at least {limit})");
    }
}

impl Drop for Verdicts {
    fn drop(&mut self) {
        println!("\n{}", self.0);
    }
}
