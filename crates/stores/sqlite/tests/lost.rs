//! The thread that writes is lost in the midst of a change: by a clock that panics with what
//! panics again when it is dropped, which is the one way in which a thread of the file ends.

#![cfg(all(feature = "policy", feature = "request", feature = "breakglass"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::panic::panic_any;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_breakglass as breakglass;
use countersign_core::engine::Failure;
use countersign_policy as policy;
use countersign_request as request;
use countersign_sqlite::{Database, EmergencyStore, EngineError, PolicyStore, RequestStore};

use breakglass::Store as _;
use policy::Store as _;
use request::Store as _;

mod common;

use common::requests::{draft, terms};
use common::{START, at, block_on, quick};

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a payload panics when it is dropped");
    }
}

#[derive(Debug)]
struct FatalClock;

impl request::Clock for FatalClock {
    fn now(&self) -> DateTime<Utc> {
        panic_any(Bomb)
    }
}

const UNKNOWN: &str = "Unknown";
const NOT_APPLIED: &str = "NotApplied";

/// What an engine's failure says of the change, and whether it says that the thread has ended.
macro_rules! outcome {
    ($result:expr, $error:path) => {
        match $result {
            Err($error(Failure {
                source, outcome, ..
            })) => {
                let closed = matches!(
                    source.downcast_ref::<EngineError>(),
                    Some(EngineError::Closed)
                );
                assert!(closed, "it says that the thread has ended: {source}");
                format!("{outcome:?}")
            }
            other => panic!("not the engine's: {other:?}"),
        }
    };
}

#[test]
fn a_request_that_is_lost_with_its_thread_may_have_been_made() {
    let (_folder, path) = common::file();
    let database = Database::open(&path, &quick()).unwrap();
    let store = RequestStore::new(&database, Arc::new(FatalClock));
    let (draft, terms) = (draft(1), terms());
    let lost = block_on(store.create(&draft, &terms));
    assert_eq!(outcome!(lost, request::Error::Backend), UNKNOWN);
    // Nobody is there to make the next, and those who read are.
    let later = block_on(store.create(&draft, &terms));
    assert_eq!(outcome!(later, request::Error::Backend), NOT_APPLIED);
    let read = block_on(store.get(draft.id));
    assert!(matches!(read, Err(request::Error::NotFound { .. })));
    drop((store, database));

    let database = Database::open(&path, &quick()).unwrap();
    let clock = Arc::new(request::ManualClock::at(at(START)));
    let store = RequestStore::new(&database, clock);
    block_on(store.create(&draft, &terms)).unwrap();
    let report = block_on(store.verify(None)).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
}

#[test]
fn an_emergency_that_is_lost_with_its_thread_may_have_been_made() {
    let (_folder, path) = common::file();
    let database = Database::open(&path, &quick()).unwrap();
    let store = EmergencyStore::new(&database, Arc::new(FatalClock));
    let who = r#"{"version": "1", "rules": [{"name": "all", "users": ["alice"]}]}"#;
    let who: breakglass::InvocationPolicy = who.parse().unwrap();
    let draft = breakglass::Draft {
        id: breakglass::EmergencyId::from_bits(1),
        idempotency_key: None,
        invoker: breakglass::User::new("alice").unwrap(),
        profile: breakglass::Profile::new("prod").unwrap(),
        duration: Duration::from_secs(600),
        reason_code: breakglass::ReasonCode::Incident,
        justification: "the orders database is down".into(),
        ticket: None,
        request_id: None,
        mfa: None,
    };
    let often = breakglass::RateLimitPolicy::unlimited();
    let admission = breakglass::Admission::new(&who, &often, &draft.profile);
    let lost = block_on(store.create(&draft, &admission));
    assert_eq!(outcome!(lost, breakglass::Error::Backend), UNKNOWN);
    let later = block_on(store.create(&draft, &admission));
    assert_eq!(outcome!(later, breakglass::Error::Backend), NOT_APPLIED);
    let read = block_on(store.get(draft.id));
    assert!(matches!(read, Err(breakglass::Error::NotFound { .. })));
}

#[test]
fn a_policy_that_is_lost_with_its_thread_may_have_been_made() {
    let (_folder, path) = common::file();
    let database = Database::open(&path, &quick()).unwrap();
    let store = PolicyStore::new(&database, Arc::new(FatalClock));
    let json = r#"{"version": "1", "rules": [{"name": "r", "effect": "allow",
        "conditions": {"users": ["alice"]}}]}"#;
    let made: Arc<policy::Policy> = Arc::new(json.parse().unwrap());
    let put = || {
        block_on(store.put(
            "main",
            policy::Expected::Absent,
            made.clone(),
            &policy::Attribution::NOBODY,
        ))
    };
    assert_eq!(outcome!(put(), policy::store::Error::Backend), UNKNOWN);
    assert_eq!(outcome!(put(), policy::store::Error::Backend), NOT_APPLIED);
    let read = block_on(store.get("main"));
    assert!(matches!(read, Err(policy::store::Error::NotFound { .. })));
}
