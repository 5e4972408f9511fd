//! `create`: what it writes, what of a draft it refuses, and in which order.

use std::time::Duration;

use super::bench::*;
use crate::admission::Admission;
use crate::draft::Draft;
use crate::error::Error;
use crate::history::{Action, Actor};
use crate::limits::ValidationError;
use crate::refusal::Refusal;
use crate::transition::Status;
use crate::vocabulary::ReasonCode;

/// An emergency says what its draft said, is active, and is what `get` gives from then on.
pub(super) async fn an_emergency_says_what_its_draft_said(bench: Bench) {
    let draft = Draft {
        idempotency_key: Some(operation(5)),
        ticket: Some("INC-4711".to_owned()),
        request_id: Some("00000000000000aa".to_owned()),
        mfa: Some(proof("push-1", "alice", 1, start())),
        ..draft(1, "alice", "prod")
    };
    let emergency = bench.create(&draft, &unlimited()).await.unwrap();
    assert_eq!((emergency.id, emergency.status), (draft.id, Status::Active));
    assert_eq!(
        (&emergency.invoker, &emergency.profile),
        (&draft.invoker, &draft.profile)
    );
    assert_eq!(
        (emergency.duration, emergency.reason_code),
        (HOUR, ReasonCode::Incident)
    );
    assert_eq!(
        *emergency.justification, draft.justification,
        "the justification"
    );
    assert_eq!(
        emergency.ticket.as_deref(),
        draft.ticket.as_deref(),
        "the ticket"
    );
    assert_eq!(
        emergency.request_id.as_deref(),
        draft.request_id.as_deref(),
        "the request"
    );
    assert_eq!(emergency.mfa, draft.mfa, "the second factor");
    let none = (
        &emergency.note,
        &emergency.review,
        &emergency.review_override,
        &emergency.escalation,
    );
    assert_eq!(
        none,
        (&None, &None, &None, &None),
        "nothing has happened to it"
    );
    assert!(!emergency.escalate, "no rule escalates");
    assert_eq!(
        bench.get(1).await,
        emergency,
        "`get` gives what `create` gave"
    );
}

/// The first version is the moment of the creation, to the nanosecond, and `expires_at` follows.
pub(super) async fn the_first_version_is_the_moment_of_creation(bench: Bench) {
    let mut draft = draft(1, "alice", "prod");
    draft.duration = Duration::new(61, 7);
    let emergency = bench.create(&draft, &unlimited()).await.unwrap();
    assert_eq!(emergency.created_at, start(), "created when the clock says");
    assert_eq!(
        emergency.created, emergency.updated_at,
        "its place in lists"
    );
    assert_eq!(
        emergency.updated_at.time(),
        start(),
        "the version is that moment"
    );
    assert_eq!(
        emergency.expires_at,
        start() + draft.duration,
        "over after its duration"
    );
    assert_eq!(
        emergency.duration, draft.duration,
        "a duration keeps its nanoseconds"
    );
}

/// The history begins with the creation, by the invoker, with the operation.
pub(super) async fn the_history_begins_with_the_creation(bench: Bench) {
    let mut draft = draft(1, "alice", "prod");
    draft.idempotency_key = Some(operation(5));
    let emergency = bench.create(&draft, &unlimited()).await.unwrap();
    let [entry] = emergency.history.as_slice() else {
        panic!("a new emergency has one entry: {:?}", emergency.history);
    };
    assert_eq!(entry.action, Action::Created);
    assert_eq!(entry.actor, Actor::User(user("alice")));
    assert_eq!(
        (&entry.reason, entry.idempotency_key),
        (&None, Some(operation(5)))
    );
    assert_eq!((entry.from, entry.to), (None, emergency.updated_at));
    assert_eq!(entry.at, start(), "when the clock says");
}

/// Texts and names of any script come back as they were given.
pub(super) async fn texts_of_any_script_are_kept(bench: Bench) {
    let mut draft = draft(u64::MAX, "zoë'; --\"%_", "проd/日本");
    draft.justification = "störung 🔥 \n\t 'quoted' \"twice\" \\ %_".to_owned();
    draft.ticket = Some("INC–1 ’".to_owned());
    let emergency = bench.create(&draft, &unlimited()).await.unwrap();
    assert_eq!(
        *emergency.justification, draft.justification,
        "the justification is kept"
    );
    let kept = bench.get(u64::MAX).await;
    assert_eq!(*kept, *emergency, "what is kept is what was given");
    let found = bench.active("zoë'; --\"%_", "проd/日本", start()).await;
    assert_eq!(found, Some(kept), "and it is found by its names");
    assert_eq!(bench.list_bits(user("zoë'; --\"%_")).await, [u64::MAX]);
}

/// Every reason code is kept.
pub(super) async fn every_reason_code_is_kept(bench: Bench) {
    for (bits, code) in (1..).zip(ReasonCode::ALL) {
        let mut draft = draft(bits, &format!("user-{bits}"), "prod");
        draft.reason_code = code;
        bench.create(&draft, &unlimited()).await.unwrap();
        assert_eq!(bench.get(bits).await.reason_code, code);
    }
}

/// A taken id is refused, whatever else is wrong with the draft.
pub(super) async fn a_taken_id_is_refused_before_anything_else(bench: Bench) {
    let first = bench.begin(1, "alice", "prod").await;
    let before = bench.contents().await;
    let mut second = draft(1, "bob", "dev");
    second.duration = Duration::ZERO;
    for rules in [anybody(), invocation(r#""users": ["carol"]"#)] {
        let refused = bench.invoke(&second, &rules).await;
        assert!(
            matches!(refused, Err(Error::AlreadyExists { id }) if id == first.id),
            "a taken id is refused first: {refused:?}"
        );
    }
    let again = bench.create(&draft(1, "alice", "prod"), &unlimited()).await;
    assert!(
        matches!(again, Err(Error::AlreadyExists { .. })),
        "the same draft too: {again:?}"
    );
    bench
        .assert_unchanged(&before, "a creation under a taken id")
        .await;
}

/// An id is taken while its emergency is there, over or not, and no longer.
pub(super) async fn an_id_is_free_again_after_deletion(bench: Bench) {
    bench.begin_reviewed(1, "alice", "prod").await;
    let taken = bench.create(&draft(1, "bob", "dev"), &unlimited()).await;
    assert!(
        matches!(taken, Err(Error::AlreadyExists { .. })),
        "{taken:?}"
    );
    bench.delete(1).await;
    let emergency = bench.begin(1, "bob", "dev").await;
    assert_eq!(
        (emergency.history.len(), &emergency.review),
        (1, &None),
        "nothing is left of the old one"
    );
    assert_eq!(bench.list_bits(user("alice")).await, [0; 0]);
}

/// A field outside the limits is refused before any rule of the admission.
pub(super) async fn an_invalid_field_is_refused_before_any_rule(bench: Bench) {
    bench.begin(1, "alice", "prod").await;
    let before = bench.contents().await;
    let mut wrong = draft(2, "alice", "prod");
    wrong.duration = Duration::ZERO;
    for rules in [anybody(), invocation(r#""users": ["bob"]"#)] {
        let refused = bench.invoke(&wrong, &rules).await;
        assert!(
            matches!(
                refused,
                Err(Error::Invalid(ValidationError::Duration { .. }))
            ),
            "the field comes before the rules: {refused:?}"
        );
    }
    bench.assert_unchanged(&before, "an invalid draft").await;
    wrong.duration = NANO;
    let refused = refusal(
        bench.invoke(&wrong, &anybody()).await,
        "a second active emergency",
    );
    assert!(
        matches!(refused, Refusal::Active { .. }),
        "then the rules: {refused}"
    );
}

/// Lengths and texts are taken up to the default limits, and not one step beyond.
pub(super) async fn fields_are_taken_up_to_their_limits(bench: Bench) {
    let text = |length: usize| "ab".chars().cycle().take(length).collect::<String>();
    let with = |change: &dyn Fn(&mut Draft)| {
        let mut draft = draft(1, "alice", "prod");
        change(&mut draft);
        draft
    };
    let four_hours = 4 * HOUR;
    let drafts = [
        (with(&|draft| draft.duration = Duration::ZERO), false),
        (with(&|draft| draft.duration = NANO), true),
        (with(&|draft| draft.duration = four_hours), true),
        (with(&|draft| draft.duration = four_hours + NANO), false),
        (with(&|draft| draft.justification = text(19)), false),
        (with(&|draft| draft.justification = text(20)), true),
        (with(&|draft| draft.justification = text(1_000)), true),
        (with(&|draft| draft.justification = text(1_001)), false),
        (with(&|draft| draft.justification = "é".repeat(20)), false),
        (with(&|draft| draft.ticket = Some(text(0))), false),
        (with(&|draft| draft.ticket = Some(text(1))), true),
        (with(&|draft| draft.ticket = Some(text(128))), true),
        (with(&|draft| draft.ticket = Some(text(129))), false),
        (with(&|draft| draft.request_id = Some(text(0))), false),
        (with(&|draft| draft.request_id = Some(text(128))), true),
        (with(&|draft| draft.request_id = Some(text(129))), false),
    ];
    for (number, (mut draft, good)) in (1..).zip(drafts) {
        draft.id = id(number);
        draft.profile = profile(&format!("prod-{number}"));
        let created = bench.create(&draft, &unlimited()).await;
        match created {
            Ok(_) => assert!(good, "a field beyond its limit was taken: {draft:?}"),
            Err(Error::Invalid(_)) => {
                assert!(!good, "a field within its limit was refused: {draft:?}")
            }
            other => panic!("the limits decide: {other:?}"),
        }
        assert_eq!(
            bench.store.get(id(number)).await.is_ok(),
            good,
            "it is there if it was created"
        );
    }
}

/// Only what the invocation rules allow begins; a refusal changes nothing.
pub(super) async fn only_what_the_rules_allow_begins(bench: Bench) {
    let before = bench.contents().await;
    let draft = draft(1, "alice", "prod");
    let other = Admission::new(&anybody(), &unlimited(), &profile("dev"));
    let refused = refusal(
        bench.store.create(&draft, &other).await,
        "an admission for another profile",
    );
    assert!(matches!(refused, Refusal::OtherProfile { .. }), "{refused}");
    for (rule, expected) in [
        (r#""profiles": ["dev"]"#, "no rule"),
        (r#""users": ["Alice"]"#, "user"),
        (r#""allowed_reason_codes": ["security"]"#, "reason code"),
        (r#""time": {"days": ["tuesday"]}"#, "time"),
        (r#""max_duration": "59m59s""#, "duration"),
        (r#""mfa": {"required": true}"#, "second factor"),
    ] {
        let refused = refusal(bench.invoke(&draft, &invocation(rule)).await, expected);
        let right = match &refused {
            Refusal::NoRule { .. } => "no rule",
            Refusal::User { .. } => "user",
            Refusal::ReasonCode { .. } => "reason code",
            Refusal::Time { .. } => "time",
            Refusal::Duration { .. } => "duration",
            Refusal::MfaRequired { .. } => "second factor",
            _ => "another",
        };
        assert_eq!(right, expected, "{refused}");
    }
    bench.assert_unchanged(&before, "a refused creation").await;
    let rule = r#""profiles": ["prod"], "users": ["alice"], "time": {"days": ["monday"]},
        "allowed_reason_codes": ["incident"], "max_duration": "1h""#;
    let created = bench.invoke(&draft, &invocation(rule)).await;
    assert!(created.is_ok(), "what the rule allows begins: {created:?}");
}
