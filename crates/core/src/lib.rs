//! Mechanisms that the Countersign crates share: a versioned table, clocks, time windows, names,
//! grants and ids.
//!
//! What it guarantees:
//!
//! - A [`table::Table`] changes a record and all its index entries in one step; a failed step
//!   changes nothing.
//! - A [`version::Version`] is never issued twice by one table: not by a clock that stands still,
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
