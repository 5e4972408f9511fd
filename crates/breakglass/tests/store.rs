//! Creation in the store in memory, each of its errors in their order and each limit, and what
//! all of its methods share.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use common::*;
use countersign_breakglass::*;
use countersign_core::time::{EARLIEST, LATEST};

fn close(by: &str) -> Change {
    Change::close(&anybody(), &profile("prod"), &user(by), "it is over")
}

#[test]
fn an_emergency_begins_active_at_its_creation_with_derived_times() {
    let bench = Bench::default();
    let mut wanted = draft(1, "alice", "prod");
    wanted.ticket = Some("INC-4711".into());
    wanted.request_id = Some("0c495841982c3107".into());
    let emergency = bench
        .create(&wanted, &RateLimitPolicy::unlimited())
        .unwrap();
    let at = Version::of(start()).unwrap();
    let created = HistoryEntry {
        action: Action::Created,
        actor: Actor::User(user("alice")),
        reason: None,
        idempotency_key: None,
        from: None,
        to: at,
        at: start(),
    };
    let expected = Emergency {
        id: id(1),
        invoker: user("alice"),
        profile: profile("prod"),
        duration: HOUR,
        reason_code: ReasonCode::Incident,
        justification: JUSTIFICATION.into(),
        ticket: Some("INC-4711".into()),
        request_id: Some("0c495841982c3107".into()),
        mfa: None,
        escalate: false,
        escalation: None,
        review_override: None,
        created: at,
        created_at: start(),
        expires_at: start() + TimeDelta::hours(1),
        status: Status::Active,
        note: None,
        review: None,
        updated_at: at,
        history: vec![Arc::new(created)],
    };
    assert_eq!(*emergency, expected);
    assert_eq!(bench.get(1), emergency);
}

#[test]
fn a_taken_id_is_refused_whatever_else_the_draft_says() {
    let bench = Bench::default();
    let before = bench.begin(1, "alice", "prod");
    let mut wrong = draft(1, "bob", "dev");
    wrong.duration = Duration::ZERO;
    let nobody = invocation(r#""users": ["nobody"]"#);
    let admission = Admission::new(&nobody, &RateLimitPolicy::unlimited(), &wrong.profile);
    let error = bench.store.sync().create(&wrong, &admission).unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { id: taken } if taken == id(1)));
    assert_eq!(bench.get(1), before);

    // Then the fields, and only then the admission.
    wrong.id = id(2);
    let error = bench.store.sync().create(&wrong, &admission).unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    wrong.duration = HOUR;
    let error = bench.store.sync().create(&wrong, &admission).unwrap_err();
    assert!(
        matches!(error, Error::Refused(Refusal::User { .. })),
        "{error}"
    );
}

fn invalid(bench: &Bench, draft: &Draft) -> ValidationError {
    match bench.create(draft, &RateLimitPolicy::unlimited()) {
        Err(Error::Invalid(error)) => error,
        other => panic!("not refused for a field: {other:?}"),
    }
}

#[test]
fn durations_are_more_than_zero_and_at_most_four_hours() {
    let bench = Bench::default();
    let most = 4 * HOUR;
    for (bits, good) in [(1, NANO), (2, most)] {
        let mut draft = draft(bits, "alice", &format!("prod-{bits}"));
        draft.duration = good;
        let emergency = bench.create(&draft, &RateLimitPolicy::unlimited()).unwrap();
        assert_eq!(emergency.remaining(emergency.created_at), good);
    }
    for given in [Duration::ZERO, most + NANO, Duration::MAX] {
        let mut draft = draft(3, "alice", "prod");
        draft.duration = given;
        let error = invalid(&bench, &draft);
        assert_eq!(error, ValidationError::Duration { given, most });
        assert!(error.to_string().contains("at most `4h`"), "{error}");
    }
    assert!(bench.store.sync().get(id(3)).is_err());
}

#[test]
fn justifications_have_20_to_1000_characters_and_say_something() {
    let bench = Bench::default();
    let attempt = |bits: u64, text: &str| {
        let mut draft = draft(bits, "alice", &format!("prod-{bits}"));
        draft.justification = text.to_owned();
        bench.create(&draft, &RateLimitPolicy::unlimited())
    };
    let error = |text: &str| match attempt(99, text) {
        Err(Error::Invalid(ValidationError::Justification(error))) => error,
        other => panic!("not refused for its justification: {other:?}"),
    };
    assert_eq!(JUSTIFICATION.chars().count(), 20);
    assert!(attempt(1, JUSTIFICATION).is_ok());
    assert!(
        attempt(2, &"äö".repeat(500)).is_ok(),
        "characters, not bytes"
    );
    let (least, most) = (20, 1_000);
    let characters = 19;
    assert_eq!(
        error(&JUSTIFICATION[1..]),
        TextError::TooShort { characters, least }
    );
    let characters = 1_001;
    assert_eq!(
        error(&format!("{}x", "äö".repeat(500))),
        TextError::TooLong { characters, most }
    );
    for silent in [
        " ".repeat(20),
        "a".repeat(30),
        "a ".repeat(30),
        "\n\t".repeat(20),
    ] {
        assert_eq!(error(&silent), TextError::SaysNothing);
    }
    assert_eq!(
        error(""),
        TextError::TooShort {
            characters: 0,
            least
        }
    );
    let ten_megabytes = "ab".repeat(5 << 20);
    assert!(matches!(error(&ten_megabytes), TextError::TooLong { .. }));
}

#[test]
fn references_have_1_to_128_characters() {
    let bench = Bench::default();
    for (bits, reference, good) in [
        (1, String::new(), false),
        (2, "x".to_owned(), true),
        (3, "ä".repeat(128), true),
        (4, "ä".repeat(129), false),
    ] {
        let wanted = format!("prod-{bits}");
        let mut with_ticket = draft(bits, "alice", &wanted);
        with_ticket.ticket = Some(reference.clone());
        let mut with_request = draft(bits + 10, "bob", &wanted);
        with_request.request_id = Some(reference);
        if good {
            for draft in [with_ticket, with_request] {
                bench.create(&draft, &RateLimitPolicy::unlimited()).unwrap();
            }
        } else {
            let error = invalid(&bench, &with_ticket);
            assert!(matches!(error, ValidationError::Ticket(_)), "{error}");
            let error = invalid(&bench, &with_request);
            assert!(matches!(error, ValidationError::RequestId(_)), "{error}");
        }
    }
}

#[test]
fn other_limits_can_be_set_and_do_not_stop_reading() {
    let clock = Arc::new(ManualClock::at(start()));
    let strict = Limits {
        max_duration: NANO,
        min_justification_characters: 1,
        max_justification_characters: 3,
    };
    let store = InMemory::new(clock).with_limits(strict.clone());
    let mut wanted = draft(1, "alice", "prod");
    wanted.duration = NANO;
    wanted.justification = "abc".into();
    let admission = admission(&RateLimitPolicy::unlimited(), "prod");
    let emergency = store.sync().create(&wanted, &admission).unwrap();
    assert_eq!(strict.validate(&emergency), Ok(()));
    let error = Limits::default().validate(&emergency).unwrap_err();
    assert!(
        matches!(error, ValidationError::Justification(_)),
        "{error}"
    );
    let json = serde_json::to_string(&*emergency).unwrap();
    assert_eq!(
        serde_json::from_str::<Emergency>(&json).unwrap(),
        *emergency
    );
}

#[test]
fn a_refusal_writes_nothing_and_uses_no_version_up() {
    let bench = Bench::default();
    let active = bench.begin(1, "alice", "prod");
    let again = draft(2, "alice", "prod");
    let refusal = refusal(bench.create(&again, &RateLimitPolicy::unlimited()));
    let retry_at = active.expires_at;
    assert_eq!(
        refusal,
        Refusal::Active {
            id: id(1),
            retry_at
        }
    );
    assert!(matches!(
        bench.store.sync().get(id(2)),
        Err(Error::NotFound { .. })
    ));
    assert_eq!(bench.get(1), active);
    let next = bench.begin(3, "alice", "dev");
    assert_eq!(next.updated_at.as_nanos(), active.updated_at.as_nanos() + 1);
}

#[test]
fn one_active_emergency_for_a_user_and_a_profile_but_several_otherwise() {
    let bench = Bench::default();
    bench.begin(1, "alice", "prod");
    bench.begin(2, "alice", "dev");
    bench.begin(3, "bob", "prod");
    let other_case = draft(4, "ALICE", "prod");
    let refusal = refusal(bench.create(&other_case, &RateLimitPolicy::unlimited()));
    assert!(matches!(refusal, Refusal::Active { .. }), "{refusal}");
    bench.update(1, &close("alice")).unwrap();
    bench
        .create(&other_case, &RateLimitPolicy::unlimited())
        .unwrap();
}

#[test]
fn a_clock_beyond_what_can_be_stored_is_an_error_and_changes_nothing() {
    #[derive(Debug)]
    struct Far;
    impl Clock for Far {
        fn now(&self) -> DateTime<Utc> {
            DateTime::<Utc>::MAX_UTC
        }
    }
    let store = InMemory::new(Arc::new(Far));
    let admission = admission(&RateLimitPolicy::unlimited(), "prod");
    let error = store.sync().create(&draft(1, "alice", "prod"), &admission);
    assert!(matches!(
        error,
        Err(Error::Clock(ClockError::Implausible { .. }))
    ));
    assert!(store.sync().get(id(1)).is_err());
}

#[test]
fn the_end_of_time_neither_panics_nor_wraps() {
    let end = Version::from_nanos(i64::MAX).time();
    let all = limits(
        r#""cooldown": "87600h", "max_per_user": 1, "max_per_profile": 1, "quota_window": "87600h""#,
    );
    for edge in [LATEST, EARLIEST] {
        let bench = Bench::at(edge);
        let emergency = bench.create(&draft(1, "alice", "prod"), &all).unwrap();
        assert_eq!(emergency.expires_at, edge + HOUR);
        assert!(emergency.is_active(edge) && !emergency.is_active(edge + HOUR));
        bench.update(1, &close("alice")).unwrap();
        let refused = refusal(bench.create(&draft(2, "alice", "prod"), &all));
        assert_eq!(refused.retry_at(), Some(edge + 87_600 * HOUR));
    }
    for wrong in [end, Version::from_nanos(i64::MIN).time()] {
        let bench = Bench::at(wrong);
        let refused = bench.create(&draft(1, "alice", "prod"), &all);
        assert!(matches!(refused, Err(Error::Clock(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn nothing_happens_before_a_future_is_polled_and_all_methods_are_reachable() {
    let bench = Bench::default();
    let store: Arc<dyn Store> = bench.store.clone();
    let admission = admission(&RateLimitPolicy::unlimited(), "prod");
    let wanted = draft(1, "alice", "prod");
    drop(store.create(&wanted, &admission));
    assert!(store.get(id(1)).await.is_err());
    let emergency = store.create(&wanted, &admission).await.unwrap();
    assert_eq!(store.get(id(1)).await.unwrap(), emergency);
    let (alice, prod) = (user("alice"), profile("prod"));
    assert!(
        store
            .active_at(&alice, &prod, start())
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(store.now().await.unwrap().at(), start());
    let grant = store.find_grant(&alice, &prod).await.unwrap();
    assert_eq!(grant.map(|grant| grant.until), Some(emergency.expires_at));
    assert_eq!(store.list_expirable(0).await.unwrap(), []);
    let filter = Filter::from(alice);
    assert_eq!(
        store
            .list(&filter, Page::default())
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    let closed = store
        .update(id(1), emergency.updated_at, &close("alice"))
        .await
        .unwrap();
    let waiting = store.list_awaiting_review(Page::default());
    assert_eq!(waiting.await.unwrap().items, std::slice::from_ref(&closed));
    store
        .update(id(1), closed.updated_at, &review("carol", "prod"))
        .await
        .unwrap();
    bench.clock.advance(HOUR);
    let later = bench.clock.now();
    assert_eq!(store.list_ended(later, 0).await.unwrap().len(), 1);
    assert_eq!(store.changes_after(None, 0).await.unwrap().len(), 3);
    let retention = retention(&RateLimitPolicy::unlimited());
    assert!(store.delete(id(1), &retention).await.unwrap());
    assert!(store.get(id(1)).await.is_err());
}

#[test]
fn errors_of_an_engine_say_whether_the_change_was_made() {
    let backend = |outcome| Error::Backend(Failure::new("the disk is full", outcome));
    assert_eq!(
        backend(Outcome::NotApplied).to_string(),
        "the store failed and nothing was changed: the disk is full"
    );
    let unknown = backend(Outcome::Unknown);
    assert!(unknown.to_string().contains("may or may not"), "{unknown}");
    let chain = std::iter::successors(Some(&unknown as &dyn std::error::Error), |e| e.source());
    let told: String = chain.map(|error| format!("{error}\n")).collect();
    assert_eq!(told.matches("the disk is full").count(), 1, "{told}");
}

#[test]
fn malformed_ids_are_refused() {
    for bad in [
        "",
        "abc",
        "0123456789ABCDEF",
        "0123456789abcdeg",
        "0123456789abcdef0",
        "\0",
    ] {
        assert!(bad.parse::<EmergencyId>().is_err(), "{bad:?}");
    }
    assert_eq!("0123456789abcdef".parse(), Ok(id(0x0123_4567_89ab_cdef)));
}
