//! A file with something of everything in it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use countersign_breakglass as breakglass;
use countersign_policy as policy;
use countersign_policy::StoreExt as _;
use countersign_request as request;
use countersign_sqlite::{Database, EmergencyStore, Head, PolicyStore, RequestStore};
use request::ManualClock;
use tempfile::TempDir;

use super::requests::rules;
use super::{START, at, block_on, file, profile, quick, user};

/// A filled file, and the heads of its stores: request, emergency, policy.
pub struct Filled {
    pub _folder: TempDir,
    pub path: PathBuf,
    pub heads: [Head; 3],
}

/// A copy of one that is filled once.
pub fn filled() -> Filled {
    static FIRST: OnceLock<(Vec<u8>, [Head; 3])> = OnceLock::new();
    let (_folder, path) = file();
    let (bytes, heads) = FIRST.get_or_init(|| {
        let heads = fill(&path, "migrate the orders table");
        (std::fs::read(&path).unwrap(), heads)
    });
    std::fs::write(&path, bytes).unwrap();
    let heads = *heads;
    Filled {
        _folder,
        path,
        heads,
    }
}

pub fn fill(path: &Path, justification: &str) -> [Head; 3] {
    let database = Database::open(path, &quick()).unwrap();
    let clock = Arc::new(ManualClock::at(at(START)));
    block_on(async {
        [
            fill_requests(&database, &clock, justification).await,
            fill_emergencies(&database, &clock, justification).await,
            fill_policies(&database, &clock).await,
        ]
    })
}

/// 1 approved, 2 cancelled, 3 pending, 4 deleted; the last change is the second note on 1.
async fn fill_requests(database: &Database, clock: &Arc<ManualClock>, why: &str) -> Head {
    use request::{Change, Draft, IdempotencyKey, RequestId, Store, Terms};
    let rules = rules();
    let (alice, bob, prod) = (user("alice"), user("bob"), profile("prod"));
    let terms = Terms::of(&rules, &prod);
    let store = RequestStore::new(database, clock.clone());
    for id in 1..=4 {
        let draft = Draft {
            id: RequestId::from_bits(id),
            requester: alice.clone(),
            profile: prod.clone(),
            duration: Duration::from_secs(3600),
            justification: why.into(),
            ticket: Some("OPS-4711".into()),
            policy: None,
            idempotency_key: Some(IdempotencyKey::from_bits(id)),
        };
        store.create(&draft, &terms).await.unwrap();
        clock.advance(Duration::from_secs(1));
    }
    let change = |id, change: Change| {
        let store = &store;
        async move {
            let current = store.get(RequestId::from_bits(id)).await.unwrap();
            store
                .update(current.id, current.updated_at, &change)
                .await
                .unwrap();
        }
    };
    change(1, Change::approve(&rules, &prod, &bob, Some("go ahead"))).await;
    change(2, Change::cancel(&alice, None)).await;
    change(4, Change::cancel(&alice, None)).await;
    assert!(store.delete(RequestId::from_bits(4), None).await.unwrap());
    change(1, Change::note(&alice, "first")).await;
    change(1, Change::note(&alice, "second")).await;
    store.head().await.unwrap()
}

/// 1 closed and reviewed, 2 expired, 3 in its place, 4 deleted.
async fn fill_emergencies(database: &Database, clock: &Arc<ManualClock>, why: &str) -> Head {
    use breakglass::*;
    let who: InvocationPolicy = r#"{"version": "1", "rules": [
        {"name": "all", "users": ["alice", "bob"], "responders": ["carol"],
         "mfa": {"required": false, "methods": ["totp"]}}]}"#
        .parse()
        .unwrap();
    let often = RateLimitPolicy::unlimited();
    let store = EmergencyStore::new(database, clock.clone());
    for (id, invoker, at) in [
        (1, "alice", "prod"),
        (2, "Bob", "prod"),
        (4, "alice", "dev"),
        (3, "bob", "prod"),
    ] {
        let (id, invoker, profile) = (
            EmergencyId::from_bits(id),
            user(&invoker.to_lowercase()),
            profile(at),
        );
        let proof = MfaProof {
            id: ProofId::new(format!("phone:{id}")).unwrap(),
            method: MfaMethod::Totp,
            user: invoker.clone(),
            emergency: id,
            verified_at: clock.now(),
        };
        let draft = Draft {
            id,
            idempotency_key: None,
            invoker,
            duration: Duration::from_secs(600),
            reason_code: ReasonCode::Incident,
            justification: format!("the site is down: {why}"),
            ticket: None,
            request_id: None,
            mfa: (id == EmergencyId::from_bits(1)).then_some(proof),
            profile,
        };
        let admission = Admission::new(&who, &often, &draft.profile);
        let emergency = store.create(&draft, &admission).await.unwrap();
        clock.advance(Duration::from_secs(1));
        if id == EmergencyId::from_bits(1) || id == EmergencyId::from_bits(4) {
            let close = Change::close(&who, &draft.profile, &draft.invoker, "it is back");
            let emergency = store
                .update(id, emergency.updated_at, &close)
                .await
                .unwrap();
            let outcome = ReviewOutcome::Justified;
            let review = Change::review(&who, &draft.profile, &user("carol"), outcome, "fine");
            store
                .update(id, emergency.updated_at, &review)
                .await
                .unwrap();
            clock.advance(Duration::from_secs(700));
        }
    }
    let retention = Retention::new(&who, &often);
    clock.advance(Duration::from_secs(7200));
    assert!(
        store
            .delete(EmergencyId::from_bits(4), &retention)
            .await
            .unwrap()
    );
    store.head().await.unwrap()
}

/// `main` in two versions and a rollback, `other` deleted.
async fn fill_policies(database: &Database, clock: &Arc<ManualClock>) -> Head {
    use policy::{Attribution, Expected, Policy, Store};
    let made = |number: u64| -> Arc<Policy> {
        let json = format!(
            r#"{{"version": "1", "rules": [{{"name": "r", "effect": "allow",
                "conditions": {{"users": ["user-{number}"]}}}}]}}"#
        );
        Arc::new(json.parse().unwrap())
    };
    let store = PolicyStore::new(database, clock.clone());
    let by = Attribution::by(policy::User::new("dave").unwrap())
        .with_reason("the database has moved")
        .with_ticket("OPS-4711")
        .with_idempotency_key(policy::IdempotencyKey::from_bits(7));
    let first = store
        .put("main", Expected::Absent, made(1), &Attribution::NOBODY)
        .await
        .unwrap()
        .into_stored();
    let other = store
        .put("other", Expected::Absent, made(3), &Attribution::NOBODY)
        .await
        .unwrap()
        .into_stored();
    let second = store
        .put(
            "main",
            Expected::Version(first.version),
            made(2),
            &Attribution::NOBODY,
        )
        .await
        .unwrap()
        .into_stored();
    store
        .delete("other", other.version, &Attribution::NOBODY)
        .await
        .unwrap();
    store
        .rollback("main", second.version, first.version, &by)
        .await
        .unwrap();
    store.head().await.unwrap()
}
