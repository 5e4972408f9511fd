//! Reviews: who reviews, what awaits it, the next emergency before it, and what may be deleted
//! after it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use chrono::TimeDelta;
use common::*;
use countersign_breakglass::*;

fn unlimited() -> RateLimitPolicy {
    RateLimitPolicy::unlimited()
}

fn nanos(count: i64) -> TimeDelta {
    TimeDelta::nanoseconds(count)
}

fn ids(listing: &Listing<lists::AwaitingReview>) -> Vec<u64> {
    listing
        .items
        .iter()
        .map(|emergency| emergency.id.to_bits())
        .collect()
}

#[tokio::test]
async fn a_review_is_written_once_beside_status_and_note() {
    for outcome in ReviewOutcome::ALL {
        let bench = Bench::default();
        let workflow = bench.workflow(anybody(), unlimited());
        let (alice, carol) = (user("alice"), user("carol"));
        let emergency = workflow.invoke(&draft(1, "alice", "prod")).await.unwrap();
        workflow.note(emergency.id, &alice, "on it").await.unwrap();
        workflow.close(emergency.id, &alice, "fixed").await.unwrap();
        bench.clock.advance(HOUR);
        let reviewed = workflow
            .review(emergency.id, &carol, outcome, "see INC-88")
            .await
            .unwrap();
        let review = Review {
            by: carol.clone(),
            outcome,
            text: "see INC-88".into(),
            at: bench.clock.now(),
        };
        assert_eq!(reviewed.review, Some(review));
        assert_eq!(reviewed.status, Status::Closed);
        assert_eq!(reviewed.note.as_deref(), Some("on it"));
        let entry = reviewed.history.last().unwrap();
        assert_eq!(entry.action, Action::Reviewed(outcome));
        assert_eq!(entry.actor, Actor::User(carol));
        assert_eq!(entry.reason.as_deref(), Some("see INC-88"));
        let line = reviewed.to_string();
        let said = format!("; {outcome}, says carol: \"see INC-88\"");
        assert!(line.ends_with(&said), "{line}");
    }
}

#[test]
fn the_text_of_a_review_says_something() {
    let bench = Bench::default();
    let emergency = bench.begin(1, "alice", "prod");
    bench.clock.set(emergency.expires_at);
    for (text, fits) in [
        (String::new(), false),
        ("xxxx".into(), false),
        ("ab".repeat(500) + "c", false),
        ("ab".repeat(500), true),
    ] {
        let (carol, prod) = (user("carol"), profile("prod"));
        let change = Change::review(
            &anybody(),
            &prod,
            &carol,
            ReviewOutcome::NeedsFollowUp,
            &text,
        );
        assert_eq!(bench.update(1, &change).is_ok(), fits, "{text}");
    }
}

#[tokio::test]
async fn what_awaits_review_is_listed_from_its_last_nanosecond_first_what_was_over_first() {
    let bench = Bench::default();
    let workflow = bench.workflow(anybody(), unlimited());
    let first = bench.begin(1, "alice", "prod");
    bench.clock.advance(HOUR / 2);
    let second = bench.begin(2, "bob", "prod");
    bench.begin(3, "dave", "prod");
    let closed = bench
        .update(
            3,
            &Change::close(&anybody(), &profile("prod"), &user("dave"), "a false alarm"),
        )
        .unwrap();
    assert_eq!(closed.ended_at(), bench.clock.now());
    let waiting = async |page| workflow.list_awaiting_review(page).await.unwrap();
    assert_eq!(ids(&waiting(Page::default()).await), [3]);
    bench.clock.set(first.expires_at - nanos(1));
    assert_eq!(ids(&waiting(Page::default()).await), [3]);
    bench.clock.set(first.expires_at);
    assert_eq!(
        ids(&waiting(Page::default()).await),
        [3, 1],
        "marked or not"
    );
    bench.update(1, &Change::expire()).unwrap();
    assert_eq!(ids(&waiting(Page::default()).await), [3, 1]);
    bench.clock.set(second.expires_at);

    let page = waiting(Page::first(1)).await;
    assert_eq!(ids(&page), [3]);
    let cursor = page.next.unwrap();
    bench.update(3, &review("carol", "prod")).unwrap();
    let page = waiting(Page::after(cursor.to_string().parse().unwrap(), 1)).await;
    assert_eq!(ids(&page), [1]);
    let page = waiting(Page::after(page.next.unwrap(), 1)).await;
    assert_eq!((ids(&page), page.next), (vec![2], None));
    for emergency in [1, 2] {
        bench.update(emergency, &review("carol", "prod")).unwrap();
    }
    assert!(waiting(Page::default()).await.items.is_empty());
}

#[test]
fn a_page_of_what_awaits_review_holds_100_or_as_many_as_said() {
    let bench = Bench::default();
    for bits in 0..102 {
        bench.begin(bits, &format!("user-{bits}"), "prod");
    }
    bench.clock.advance(2 * HOUR);
    let store = bench.store.sync();
    let first = store.list_awaiting_review(Page::default()).unwrap();
    assert_eq!(first.items.len(), 100);
    let rest = store.list_awaiting_review(Page::after(first.next.unwrap(), 2));
    assert_eq!(ids(&rest.unwrap()), [100, 101]);
    let all = store.list_awaiting_review(Page::first(5_000)).unwrap();
    assert_eq!((all.items.len(), all.next), (102, None));
}

#[tokio::test]
async fn the_next_emergency_waits_for_the_review_or_is_overridden_aloud() {
    let bench = Bench::default();
    let policy = invocation(
        r#""users": ["alice"], "after_review": true, "responders": ["carol"], "reviewers": ["dave"]"#,
    );
    let workflow = bench.workflow(policy, unlimited());
    let mut overriding = draft(2, "alice", "prod");
    overriding.idempotency_key = Some(IdempotencyKey::from_bits(5));
    let carol = user("carol");
    // Nothing is due: nothing is recorded of an override.
    let mut first = draft(1, "alice", "dev");
    first.idempotency_key = Some(IdempotencyKey::from_bits(4));
    let because = "the reviewers are asleep";
    let plain = workflow
        .invoke_overriding(&first, &carol, because)
        .await
        .unwrap();
    assert_eq!((&plain.review_override, plain.history.len()), (&None, 1));
    assert_eq!(
        workflow.invoke(&first).await.unwrap(),
        plain,
        "the same operation"
    );

    bench.clock.set(plain.expires_at);
    let refused = refusal(workflow.invoke(&draft(2, "alice", "prod")).await);
    assert!(matches!(refused, Refusal::ReviewDue { .. }), "{refused}");
    assert_eq!(refused.retry_at(), None, "waiting does not help");
    let emergency = workflow
        .invoke_overriding(&overriding, &carol, because)
        .await
        .unwrap();
    let given = ReviewOverride {
        by: carol.clone(),
        reason: because.into(),
        unreviewed: id(1),
    };
    assert_eq!(emergency.review_override, Some(given));
    assert!(emergency.is_active(emergency.created_at));
    let actions: Vec<_> = emergency.history.iter().map(|entry| entry.action).collect();
    assert_eq!(actions, [Action::Created, Action::Overridden]);
    let entry = &emergency.history[1];
    assert_eq!(entry.actor, Actor::User(carol.clone()));
    assert_eq!(entry.reason.as_deref(), Some(because));
    assert_eq!(emergency.history[0].to, emergency.created);
    assert_eq!(emergency.history[1].at, emergency.created_at);
    assert_eq!(
        (entry.from, entry.to),
        (Some(emergency.history[0].to), emergency.updated_at)
    );
    let line = emergency.to_string();
    assert!(
        line.contains("REVIEW OVERRIDDEN by carol (emergency 0000000000000001"),
        "{line}"
    );
    bench.store.audit().unwrap();
    // Its repeat gets the same; with other words it is another operation.
    let again = workflow
        .invoke_overriding(&overriding, &carol, because)
        .await;
    assert_eq!(again.unwrap(), emergency);
    for other in [
        workflow.invoke(&overriding).await,
        workflow
            .invoke_overriding(&overriding, &carol, "I say so")
            .await,
        workflow
            .invoke_overriding(&overriding, &user("erin"), because)
            .await,
    ] {
        assert!(
            matches!(other, Err(Error::IdempotencyKeyReused { .. })),
            "{other:?}"
        );
    }

    // The debt is of the user, over all profiles, and is paid by any outcome.
    bench.clock.set(emergency.expires_at);
    for (bits, wanted) in [(1, "dev"), (2, "prod")] {
        let refused = refusal(workflow.invoke(&draft(3, "alice", "ops")).await);
        assert!(
            matches!(refused, Refusal::ReviewDue { emergency, .. } if emergency == id(bits)),
            "{wanted}: {refused}"
        );
        let outcome = ReviewOutcome::NotJustified;
        workflow
            .review(id(bits), &user("dave"), outcome, "I asked her")
            .await
            .unwrap();
    }
    assert!(workflow.invoke(&draft(3, "alice", "ops")).await.is_ok());
}

#[tokio::test]
async fn what_is_reviewed_and_old_enough_is_deleted_first_what_was_over_first() {
    let bench = Bench::default();
    let limits = limits(r#""max_per_user": 9, "quota_window": "24h""#);
    let workflow = bench.workflow(anybody(), limits);
    for bits in 1..=4 {
        bench.begin(bits, &format!("user-{bits}"), "prod");
        bench.clock.advance(HOUR);
    }
    bench.clock.advance(HOUR);
    workflow.expire_due(0).await.unwrap();
    for bits in [1, 3, 4] {
        bench.update(bits, &review("carol", "prod")).unwrap();
    }
    let now = bench.clock.now() + TimeDelta::days(7);
    let delete = async |before, limit| workflow.delete_ended_before(before, limit).await.unwrap();
    assert_eq!(delete(now, 0).await, 0, "a quota looks back at all of them");
    let ends: Vec<_> = (1..=4).map(|bits| bench.get(bits).ended_at()).collect();
    bench.clock.set(ends[2] + TimeDelta::hours(24) - nanos(1));
    assert_eq!(delete(ends[0], 0).await, 0, "before, not at");
    assert_eq!(
        delete(now, 0).await,
        1,
        "1; 2 awaits its review, 3 is looked back at"
    );
    bench.clock.set(now);
    let jumped = workflow.delete_ended_before(now, 0).await;
    assert!(
        matches!(jumped, Err(Error::ClockJumped { .. })),
        "{jumped:?}"
    );
    bench.clock.advance(HOUR);
    assert_eq!(delete(ends[3], 0).await, 1);
    assert_eq!(delete(now, 0).await, 1);
    assert_eq!(delete(now, 0).await, 0);
    assert_eq!(bench.get(2).review, None, "what awaits its review stays");
    bench.update(2, &review("carol", "prod")).unwrap();
    assert_eq!(delete(now, 1).await, 1);
    bench.store.audit().unwrap();
}

#[tokio::test]
async fn a_limit_holds_for_deletions_too() {
    let bench = Bench::default();
    let workflow = bench.workflow(anybody(), unlimited());
    for bits in 1..=3 {
        bench.begin(bits, &format!("user-{bits}"), "prod");
    }
    bench.clock.advance(2 * HOUR);
    workflow.expire_due(0).await.unwrap();
    for bits in 1..=3 {
        bench.update(bits, &review("carol", "prod")).unwrap();
    }
    let now = bench.clock.now();
    assert_eq!(workflow.delete_ended_before(now, 2).await.unwrap(), 2);
    assert_eq!(
        bench.get(3).id,
        id(3),
        "first what was over first, then by id"
    );
    assert_eq!(workflow.delete_ended_before(now, 2).await.unwrap(), 1);
}

#[test]
fn emergencies_stored_before_there_were_reviews_can_be_read_and_go_on() {
    let stored = |escalate: bool| {
        format!(
            r#"{{
            "id": "0c495841982c3107", "invoker": "alice", "profile": "prod", "duration": "1h",
            "reason_code": "incident", "justification": "the orders database is down",
            "escalate": {escalate}, "created": "2026-03-02T09:00:00Z", "created_at": "2026-03-02T09:00:00Z",
            "expires_at": "2026-03-02T10:00:00Z", "status": "closed",
            "updated_at": "2026-03-02T09:30:00Z", "history": [
                {{"action": "created", "actor": {{"user": "alice"}},
                 "to": "2026-03-02T09:00:00Z", "at": "2026-03-02T09:00:00Z"}},
                {{"action": "closed", "actor": {{"user": "alice"}}, "reason": "it is over",
                 "from": "2026-03-02T09:00:00Z", "to": "2026-03-02T09:30:00Z",
                 "at": "2026-03-02T09:30:00Z"}}
            ]}}"#
        )
    };
    for escalate in [false, true] {
        let emergency: Emergency = serde_json::from_str(&stored(escalate)).unwrap();
        assert_eq!(
            (emergency.escalate, &emergency.escalation),
            (escalate, &None)
        );
        assert_eq!((&emergency.mfa, &emergency.review), (&None, &None));
        assert_eq!(emergency.to_string().contains("ESCALATED"), escalate);
        assert_eq!(emergency.ended_at(), time("2026-03-02T09:30:00Z"));
        let written = serde_json::to_value(&emergency).unwrap();
        let read: serde_json::Value = serde_json::from_str(&stored(escalate)).unwrap();
        for (field, value) in read.as_object().unwrap() {
            assert_eq!(written[field], *value, "{field} is written as it was read");
        }
        assert_eq!(
            written.as_object().unwrap().len(),
            read.as_object().unwrap().len()
        );
        let at = Stamp::at(time("2026-03-03T09:00:00Z"));
        let reviewed = emergency.apply(&review("carol", "prod"), at).unwrap();
        assert_eq!(reviewed.as_of(emergency.updated_at), Some(emergency));
        let text = serde_json::to_string(&reviewed).unwrap();
        assert_eq!(serde_json::from_str::<Emergency>(&text).unwrap(), reviewed);
    }
}

#[test]
fn what_is_new_on_an_emergency_is_read_as_it_was_written() {
    let bench = Bench::default();
    let watched = limits(r#""escalation_threshold": 1, "quota_window": "24h""#);
    let mut first = draft(1, "alice", "dev");
    first.duration = NANO;
    bench.create(&first, &watched).unwrap();
    bench.clock.advance(NANO);
    let policy = invocation(r#""users": ["alice"], "after_review": true, "responders": ["carol"]"#);
    let mut second = draft(2, "alice", "prod");
    second.mfa = Some(proof("push-1", "alice", 2, start()));
    second.idempotency_key = Some(IdempotencyKey::from_bits(7));
    let admission = Admission::new(&policy, &watched, &second.profile)
        .with_review_override(&user("carol"), "nobody else is awake");
    let emergency = bench.store.sync().create(&second, &admission).unwrap();
    let json = serde_json::to_value(&*emergency).unwrap();
    assert_eq!(json["escalation"]["window"], "24h");
    assert_eq!(json["escalate"], true);
    assert_eq!(json["mfa"]["id"], "push-1");
    assert_eq!(json["review_override"]["by"], "carol");
    assert_eq!(json["history"][1]["action"], "overridden");
    assert_eq!(json["history"][1]["idempotency_key"], "0000000000000007");
    assert_eq!(
        serde_json::from_value::<Emergency>(json).unwrap(),
        *emergency
    );
    let line = emergency.to_string();
    assert!(line.contains("; second factor: totp of alice"), "{line}");
    assert!(
        line.contains("; ESCALATED: rule `limit`: 1 emergencies before"),
        "{line}"
    );
}
