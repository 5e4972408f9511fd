//! Mechanisms that the Countersign crates share: engines that keep versioned records, clocks, time
//! windows, names, grants and ids.
//!
//! What it guarantees:
//!
//! - An [`engine::Engine`] changes a record and all that it is looked up by in one step; a failed
//!   step changes nothing. [`table::Table`] is the engine in memory.
//! - A [`version::Version`] is never issued twice by one engine: not by a clock that stands still,
//!   not by one that runs backwards, not after a record is deleted and made again.
//! - Time, randomness and sleeping are injected ([`clock`], [`id`], [`retry`]).
//!
//! What it does not hold: rules. Who may approve what, what blocks an emergency, which policy
//! applies: that belongs to `countersign-policy`, `countersign-request` and
//! `countersign-breakglass`, which re-export what their users need from here. Depend on one of
//! those; depend on this crate only to build another domain or engine.
//!
//! The list of modules is closed; `cargo xtask check` refuses another.

pub mod clock;
pub mod documents;
pub mod engine;
pub mod future;
pub mod grant;
pub mod id;
pub mod names;
pub mod retry;
pub mod sync;
pub mod table;
pub mod time;
pub mod version;
pub mod window;
