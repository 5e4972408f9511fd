//! A read that fails is what its call fails with, whatever the job makes of it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use countersign_core::clock::ManualClock;
use countersign_core::engine::{Engine, Failure, Outcome, Range, Reads, Transaction};
use countersign_core::time::ClockError;
use countersign_redb::{Database, RedbEngine};
use countersign_request::{
    ApprovalPolicy, Draft, EngineStore, Error, Key, Profile, Request, RequestId, Status, Store,
    Terms, User,
};
use redb::TableDefinition;

const TABLE: TableDefinition<'_, (&[u8], i64, &str), &[u8]> = TableDefinition::new("request");

/// Why a job ended.
#[derive(Debug)]
enum Stop {
    Engine(Failure),
    Clock(ClockError),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Engine(failure)
    }
}

fn assert_damaged<T>(result: Result<T, Stop>) {
    match result {
        Ok(_) => panic!("the call succeeds"),
        Err(Stop::Clock(error)) => panic!("the call fails with something else: {error}"),
        Err(Stop::Engine(failure)) => {
            assert_eq!(
                (failure.outcome, failure.is_retryable),
                (Outcome::NotApplied, false)
            );
            assert!(failure.to_string().contains("expected value"), "{failure}");
        }
    }
}

#[tokio::test]
async fn a_failed_read_is_what_the_call_fails_with() {
    let folder = tempfile::tempdir().unwrap();
    let database = Arc::new(Database::create(folder.path().join("countersign.redb")).unwrap());
    let clock = Arc::new(ManualClock::at("2026-03-02T09:00:00Z".parse().unwrap()));
    let engine = || RedbEngine::<Request>::new(Arc::clone(&database), "request", clock.clone());
    let store = EngineStore::over(engine().unwrap());
    let policy = r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob"]}]}"#;
    let policy: ApprovalPolicy = policy.parse().unwrap();
    let prod = Profile::new("prod").unwrap();
    let [good, bad] = [1, 2].map(RequestId::from_bits);
    for id in [good, bad] {
        let draft = Draft {
            id,
            requester: User::new("alice").unwrap(),
            profile: prod.clone(),
            duration: std::time::Duration::from_secs(600),
            justification: "look at the slow query".into(),
            ticket: None,
            policy: None,
            idempotency_key: None,
        };
        store
            .create(&draft, &Terms::of(&policy, &prod))
            .await
            .unwrap();
    }
    let transaction = database.begin_write().unwrap();
    let place = (&b"R"[..], 0, &*bad.to_string());
    let damage = &b"?"[..];
    transaction
        .open_table(TABLE)
        .unwrap()
        .insert(place, damage)
        .unwrap();
    transaction.commit().unwrap();

    let engine = engine().unwrap();
    let swallowed = engine.read(move |view| {
        assert!(view.get(&bad).is_err(), "the read fails");
        Ok::<_, Stop>(view.get(&good)?.map(|request| request.id))
    });
    assert_damaged(swallowed.await);
    let counted = engine.read_now(move |view, _| {
        let pending = Key::Status(Status::Pending);
        assert!(
            view.find(&pending, Range::all(), |_| false).is_err(),
            "so does a scan"
        );
        Ok::<_, Stop>(view.count(&pending, Range::all())?)
    });
    assert_damaged(counted.await);
    let written = engine.write(move |step| {
        assert!(step.get(&bad).is_err(), "the read fails");
        step.stamp().map_err(Stop::Clock)?;
        step.remove(good);
        Ok::<_, Stop>(())
    });
    assert_damaged(written.await);
    assert_eq!(
        store.get(good).await.unwrap().id,
        good,
        "nothing was written"
    );
    let failed = store.get(bad).await;
    assert!(matches!(failed, Err(Error::Backend { .. })), "{failed:?}");
}
