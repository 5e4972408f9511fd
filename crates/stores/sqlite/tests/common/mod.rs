//! What the tests share: files, names, times, drawn numbers, and waiting for a future.
#![allow(dead_code, reason = "each test uses a part")]

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use countersign_core::names::{Profile, User};
use countersign_sqlite::{Options, Synchronous};
use tempfile::TempDir;

#[cfg(all(feature = "policy", feature = "request", feature = "breakglass"))]
pub mod filled;
#[cfg(feature = "request")]
pub mod requests;

pub const START: &str = "2026-03-02T09:00:00Z";

pub fn at(time: &str) -> DateTime<Utc> {
    time.parse().unwrap()
}

pub fn user(name: &str) -> User {
    User::new(name).unwrap()
}

pub fn profile(name: &str) -> Profile {
    Profile::new(name).unwrap()
}

/// A place for a file that goes with its folder.
pub fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countersign.db");
    (folder, path)
}

/// Options for tests that do not lose power.
pub fn quick() -> Options {
    Options {
        synchronous: Synchronous::Normal,
        ..Options::default()
    }
}

/// Waits for a future without a runtime of tokio's own threads.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread();
    { runtime }.build().unwrap().block_on(future)
}

/// What a verification found, as an error. It may be called where a runtime is at work already.
pub fn audit(
    verify: impl Future<Output = Result<countersign_sqlite::Report, String>> + Send,
) -> Result<(), String> {
    let report = std::thread::scope(|scope| scope.spawn(|| block_on(verify)).join())
        .map_err(|_| "the verification panicked".to_owned())??;
    match report.is_clean() {
        true => Ok(()),
        false => Err(format!("{:?}", report.findings)),
    }
}

/// Numbers that follow from a seed.
pub struct Draws(u64);

impl Draws {
    pub fn from_seed(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}
