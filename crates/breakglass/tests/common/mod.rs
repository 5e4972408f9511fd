//! What the tests share: names, drafts, policies, a store with a manual clock.

#![allow(dead_code)]

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_breakglass::*;

/// An hour, the duration of most emergencies here.
pub const HOUR: Duration = Duration::from_secs(3_600);
/// The least that a time can differ by.
pub const NANO: Duration = Duration::from_nanos(1);
/// Twenty characters: the shortest justification that will do.
pub const JUSTIFICATION: &str = "the orders db is off";

/// When every test begins: a Monday.
pub fn start() -> DateTime<Utc> {
    time("2026-03-02T09:00:00Z")
}

pub fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub fn user(name: &str) -> User {
    User::new(name).unwrap()
}

pub fn profile(name: &str) -> Profile {
    Profile::new(name).unwrap()
}

pub fn id(bits: u64) -> EmergencyId {
    EmergencyId::from_bits(bits)
}

/// A draft that every default rule admits.
pub fn draft(bits: u64, invoker: &str, wanted: &str) -> Draft {
    Draft {
        id: id(bits),
        idempotency_key: None,
        invoker: user(invoker),
        profile: profile(wanted),
        duration: HOUR,
        reason_code: ReasonCode::Incident,
        justification: JUSTIFICATION.to_owned(),
        ticket: None,
        request_id: None,
        mfa: None,
    }
}

/// Invocation rules with these fields besides version and rules' names.
pub fn invocation(rule: &str) -> InvocationPolicy {
    let json = format!(r#"{{"version": "1", "rules": [{{"name": "rule", {rule}}}]}}"#);
    json.parse().unwrap()
}

/// Anybody may, for any profile; `carol` is a responder.
pub fn anybody() -> InvocationPolicy {
    let codes = r#"["incident", "maintenance", "security", "recovery", "other"]"#;
    invocation(&format!(
        r#""allowed_reason_codes": {codes}, "responders": ["carol"]"#
    ))
}

/// Rate limits of one rule for every profile.
pub fn limits(rule: &str) -> RateLimitPolicy {
    let json = format!(r#"{{"version": "1", "rules": [{{"name": "limit", {rule}}}]}}"#);
    json.parse().unwrap()
}

/// What these rate limits say about a profile that anybody may open.
pub fn admission(limits: &RateLimitPolicy, wanted: &str) -> Admission {
    Admission::new(&anybody(), limits, &profile(wanted))
}

/// A store whose clock the test holds.
pub struct Bench {
    pub clock: Arc<ManualClock>,
    pub store: Arc<InMemory>,
}

impl Default for Bench {
    fn default() -> Self {
        Self::at(start())
    }
}

impl Bench {
    pub fn at(now: DateTime<Utc>) -> Self {
        let clock = Arc::new(ManualClock::at(now));
        let store = Arc::new(InMemory::new(clock.clone()));
        Self { clock, store }
    }

    /// Creates under these limits; the bits of the draft decide its id.
    pub fn create(&self, draft: &Draft, limits: &RateLimitPolicy) -> Result<Arc<Emergency>, Error> {
        let result = self
            .store
            .sync()
            .create(draft, &admission(limits, draft.profile.as_str()));
        self.store.audit().unwrap();
        result
    }

    /// Creates without limits.
    pub fn begin(&self, bits: u64, invoker: &str, wanted: &str) -> Arc<Emergency> {
        let draft = draft(bits, invoker, wanted);
        self.create(&draft, &RateLimitPolicy::unlimited()).unwrap()
    }

    pub fn get(&self, bits: u64) -> Arc<Emergency> {
        self.store.sync().get(id(bits)).unwrap()
    }

    pub fn update(&self, bits: u64, change: &Change) -> Result<Arc<Emergency>, Error> {
        let version = self.get(bits).updated_at;
        let result = self.store.sync().update(id(bits), version, change);
        self.store.audit().unwrap();
        result
    }

    /// Has an emergency that is over reviewed, waits as long as a second factor is good, and deletes it.
    pub fn delete(&self, bits: u64) {
        let wanted = self.get(bits).profile.clone();
        self.update(bits, &review("carol", wanted.as_str()))
            .unwrap();
        self.clock.advance(HOUR);
        let retention = retention(&RateLimitPolicy::unlimited());
        let gone = self.store.sync().delete(id(bits), &retention);
        assert!(gone.unwrap(), "it was there");
        self.store.audit().unwrap();
    }

    pub fn workflow(&self, policy: InvocationPolicy, limits: RateLimitPolicy) -> Workflow {
        let store: Arc<dyn Store> = self.store.clone();
        Workflow::new(store, Arc::new(policy), Arc::new(limits))
    }
}

/// What these rate limits let be deleted where anybody may declare an emergency.
pub fn retention(limits: &RateLimitPolicy) -> Retention {
    Retention::new(&anybody(), limits)
}

/// Lets what has been over for a second be deleted: the shortest that there is.
pub fn shortest_retention() -> Retention {
    let policy = invocation(r#""mfa": {"required": false, "max_age": "1s"}"#);
    Retention::new(&policy, &RateLimitPolicy::unlimited())
}

/// A review of an emergency for this profile by `by`.
pub fn review(by: &str, wanted: &str) -> Change {
    let (by, wanted) = (user(by), profile(wanted));
    Change::review(
        &anybody(),
        &wanted,
        &by,
        ReviewOutcome::Justified,
        "it was called for",
    )
}

/// A second factor of this user for the emergency with these bits, verified now.
pub fn proof(name: &str, of: &str, bits: u64, verified_at: DateTime<Utc>) -> MfaProof {
    MfaProof {
        id: ProofId::new(name).unwrap(),
        method: MfaMethod::Totp,
        user: user(of),
        emergency: id(bits),
        verified_at,
    }
}

/// The refusal in an answer that must be one.
pub fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> Refusal {
    match result {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("not a refusal: {other:?}"),
    }
}
