//! What the tests of the store build.

use std::sync::Arc;

use countersign_policy::store::Error;
use countersign_policy::{
    Attribution, Expected, InMemory, InMemorySync, ManualClock, Policy, Put, Stored,
};
use serde_json::json;

use super::{allowing, at};

pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(at("2026-03-02T09:00:00Z")))
}

pub fn store() -> InMemory {
    InMemory::new(clock())
}

pub fn some(who: &str) -> Arc<Policy> {
    Arc::new(allowing(json!({"users": [who]})))
}

pub fn create(store: InMemorySync<'_>, name: &str) -> Arc<Stored> {
    store
        .put(name, Expected::Absent, some("alice"), &Attribution::NOBODY)
        .unwrap()
        .into_stored()
}

pub fn replace(store: InMemorySync<'_>, stored: &Stored, who: &str) -> Result<Arc<Stored>, Error> {
    let put = store.put(
        &stored.name,
        Expected::Version(stored.version),
        some(who),
        &Attribution::NOBODY,
    );
    put.map(Put::into_stored)
}

pub const BAD_NAMES: &[&str] = &["", " ", " main", "main ", "ma\0in", "main\n"];
