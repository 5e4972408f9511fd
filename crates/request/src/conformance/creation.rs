//! Creating requests: what is taken from the draft, what the store adds, and the errors.

use std::time::Duration;

use super::ground::*;
use crate::draft::Draft;
use crate::error::Error;
use crate::history::{Action, Actor};
use crate::limits::ValidationError;
use crate::refusal::Refusal;
use crate::transition::Status;

/// A request says what its draft says, to the character and the nanosecond.
pub async fn a_created_request_is_what_its_draft_says(ground: Ground) {
    let draft = Draft {
        duration: HOUR + Duration::from_nanos(1),
        justification: "line one\n\tand 'two' \"three\" 100% \\ ; -- é e\u{301} 東京 🚒".into(),
        ticket: Some("OPS-4711".into()),
        policy: Some(digest(0xab)),
        idempotency_key: Some(operation(u64::MAX)),
        ..draft(1)
    };
    let created = ground.create(&draft).await;
    let said = Draft {
        id: created.id,
        requester: created.requester.clone(),
        profile: created.profile.clone(),
        duration: created.duration,
        justification: created.justification.to_string(),
        ticket: created.ticket.as_deref().map(str::to_owned),
        policy: created.policy,
        idempotency_key: created.history[0].idempotency_key,
    };
    assert_eq!(said, draft, "a request is what its draft says");
    assert_eq!(ground.get(1).await, created, "what is created is read back");
}

/// A request begins pending, with nothing decided.
pub async fn a_request_begins_pending(ground: Ground) {
    let created = ground.create(&draft(1)).await;
    assert_eq!(created.status, Status::Pending, "a request begins pending");
    assert!(created.approvals.is_empty(), "nobody has approved it");
    assert_eq!((&created.approval, created.access_until), (&None, None));
    assert_eq!(created.note, None, "nobody has written a note");
    assert!(!created.ends_with_policy, "the rule does not pin it");
}

/// `created_at` and the first version are the clock's time; the deadline is 24 hours later.
pub async fn times_of_a_request_begin_with_the_clock(ground: Ground) {
    let created = ground.create(&draft(1)).await;
    assert_eq!(created.created_at, start(), "created when the clock says");
    assert_eq!(
        created.updated_at.time(),
        start(),
        "the first version is the moment of creation"
    );
    assert_eq!(
        created.decide_by,
        start() + HOUR * 24,
        "a day to decide, to the nanosecond"
    );
    assert_eq!(created.created, created.updated_at, "its key is the first");
    assert_eq!(created.history[0].at, start(), "and so says the history");
}

/// The history begins with the creation, by the requester, from no version.
pub async fn a_history_begins_with_the_creation(ground: Ground) {
    let created = ground.create(&draft(1)).await;
    assert_eq!(created.history.len(), 1, "a creation is one entry");
    let entry = &created.history[0];
    assert_eq!(entry.action, Action::Created, "the creation is the first");
    assert_eq!(entry.actor, Actor::User(user("alice")), "by whom");
    assert_eq!((entry.from, entry.to), (None, created.updated_at), "when");
    assert_eq!((&entry.reason, entry.idempotency_key), (&None, None));
}

/// A rule can shorten the time to decide and never lengthens it.
pub async fn a_rule_shortens_the_time_to_decide(ground: Ground) {
    for (bits, name, hours) in [(1, "2h", 2), (2, "48h", 24)] {
        let created = ground.create(&draft_for(bits, name)).await;
        assert_eq!(
            created.decide_by,
            created.created_at + HOUR * hours,
            "the shorter of rule and store is the time to decide"
        );
    }
}

/// A rule that ends access with the access policy pins the request.
pub async fn a_rule_pins_the_request(ground: Ground) {
    let pinned = Draft {
        policy: Some(digest(7)),
        ..draft_for(1, "pinned")
    };
    let created = ground.create(&pinned).await;
    assert_eq!(
        (created.policy, created.ends_with_policy),
        (Some(digest(7)), true),
        "the request says that it is pinned, and to what"
    );
    assert!(
        ground.get(1).await.ends_with_policy,
        "and goes on saying it"
    );
}

/// An id is created once; the request that has it stays.
pub async fn a_taken_id_is_refused(ground: Ground) {
    ground.create(&draft(1)).await;
    let other = draft_of(1, "dave");
    let result = ground.without_trace(ground.try_create(&other)).await;
    demand!(result, Err(Error::AlreadyExists { id: taken }) if taken == id(1), "a taken id is refused by name");
    assert!(ground.try_create(&draft(2)).await.is_ok(), "a free one not");
}

/// An id stays taken whatever has become of its request.
pub async fn an_id_of_what_is_over_is_taken(ground: Ground) {
    for (bits, status) in (1..).zip(Status::ALL) {
        ground.with_status(bits, status).await;
        let result = ground.without_trace(ground.try_create(&draft(bits))).await;
        demand!(
            result,
            Err(Error::AlreadyExists { .. }),
            "an id is taken until it is deleted"
        );
    }
}

/// That an id is taken is said before anything about the rest of the draft.
pub async fn a_taken_id_is_told_first(ground: Ground) {
    ground.create(&draft(1)).await;
    let invalid = Draft {
        justification: "x".into(),
        ..draft(1)
    };
    let result = ground.try_create(&invalid).await;
    demand!(
        result,
        Err(Error::AlreadyExists { .. }),
        "taken before invalid"
    );
    let result = ground.try_create(&draft_for(1, "nobody")).await;
    demand!(
        result,
        Err(Error::AlreadyExists { .. }),
        "taken before refused"
    );
}

/// Each field has limits; the last value inside is taken, the first outside is not.
pub async fn fields_have_exact_limits(ground: Ground) {
    let long = |count: usize| "ab".repeat(count).chars().take(count).collect::<String>();
    let with = |duration, why: &str, ticket: Option<String>| Draft {
        duration,
        justification: why.into(),
        ticket,
        ..draft(0)
    };
    let nanosecond = Duration::from_nanos(1);
    let good = [
        with(nanosecond, WHY, None),
        with(HOUR * 8, WHY, None),
        with(HOUR, &long(10), None),
        with(HOUR, &"é🚒".repeat(250), None),
        with(HOUR, WHY, Some("x".into())),
        with(HOUR, WHY, Some("é".repeat(128))),
    ];
    for (bits, draft) in (1..).zip(good) {
        let draft = Draft {
            id: id(bits),
            ..draft
        };
        let created = ground.create(&draft).await;
        assert_eq!(*created.justification, *draft.justification);
        assert_eq!(created.ticket.as_deref(), draft.ticket.as_deref());
    }
    let bad = [
        with(Duration::ZERO, WHY, None),
        with(HOUR * 8 + nanosecond, WHY, None),
        with(HOUR, &long(9), None),
        with(HOUR, &long(501), None),
        with(HOUR, &"x".repeat(20), None),
        with(HOUR, WHY, Some(String::new())),
        with(HOUR, WHY, Some("é".repeat(129))),
    ];
    for draft in bad {
        let draft = Draft {
            id: id(99),
            ..draft
        };
        let result = ground.without_trace(ground.try_create(&draft)).await;
        demand!(
            result,
            Err(Error::Invalid(_)),
            "a field outside its limits is refused"
        );
    }
}

/// The terms are asked; a refusal creates nothing.
pub async fn terms_are_asked_at_creation(ground: Ground) {
    let strict = Draft {
        ticket: Some("OPS-1".into()),
        justification: "migrate the table of the orders".into(),
        ..draft_for(1, "strict")
    };
    let refused = [
        draft_for(1, "solo"),
        draft_for(1, "nobody"),
        draft_for(1, "pinned"),
        Draft {
            duration: HOUR * 2,
            ..strict.clone()
        },
        Draft {
            justification: WHY.into(),
            ..strict.clone()
        },
        Draft {
            ticket: None,
            ..strict.clone()
        },
    ];
    for draft in refused {
        let result = ground.without_trace(ground.try_create(&draft)).await;
        demand!(
            result,
            Err(Error::Refused(_)),
            "what the terms do not let is refused"
        );
    }
    let other = ground.store.create(&strict, &terms_of("prod")).await;
    demand!(
        other,
        Err(Error::Refused(Refusal::OtherProfile { .. })),
        "terms of another profile do not count"
    );
    ground.create(&strict).await;
}

/// A draft that is invalid and would be refused is invalid.
pub async fn invalid_is_told_before_refused(ground: Ground) {
    let both = Draft {
        duration: Duration::ZERO,
        ..draft_for(1, "nobody")
    };
    let result = ground.try_create(&both).await;
    demand!(
        result,
        Err(Error::Invalid(ValidationError::Duration { .. })),
        "invalid before refused"
    );
}

/// Every id of 64 bits is one, the smallest and the largest too.
pub async fn every_id_can_be_used(ground: Ground) {
    let all = [0, 1, i64::MAX as u64, 1 << 63, u64::MAX];
    for bits in all {
        ground.create(&draft(bits)).await;
    }
    for bits in all {
        assert_eq!(ground.get(bits).await.id, id(bits), "an id is kept whole");
    }
    let mut listed = ground.listed(Status::Pending).await;
    listed.sort_unstable();
    assert_eq!(listed, all, "each is there once");
}
