//! One SQLite file that keeps access requests, emergencies and policies.
//!
//! Each store is a feature: `request`, `breakglass`, `policy`. They share a file and its threads,
//! and none needs the others.

#![cfg_attr(
    not(all(feature = "policy", feature = "request", feature = "breakglass")),
    allow(dead_code, reason = "each store uses a part of what they share")
)]

#[cfg(feature = "breakglass")]
mod breakglass;
mod database;
mod error;
mod ledger;
#[cfg(all(test, feature = "policy", feature = "request", feature = "breakglass"))]
mod plans;
#[cfg(feature = "policy")]
mod policy;
mod report;
#[cfg(feature = "request")]
mod request;
mod schema;
mod sql;
mod verify;
mod worker;

#[cfg(feature = "breakglass")]
pub use breakglass::EventStore;
pub use database::{Database, Options, Synchronous};
pub use error::{EngineError, OpenError};
pub use ledger::{Head, ParseHeadError};
#[cfg(feature = "policy")]
pub use policy::PolicyStore;
pub use report::{Finding, Place, Report};
#[cfg(feature = "request")]
pub use request::RequestStore;
