//! `get` and `update`: the optimistic lock, what each change does, and what never changes.

use std::sync::Arc;

use countersign_core::names::User;
use countersign_core::retry::{NoSleep, Retry};
use countersign_core::version::{Conflict, Version};

use super::bench::*;
use crate::change::Change;
use crate::error::Error;
use crate::history::{Action, Actor};
use crate::record::Emergency;
use crate::refusal::Refusal;
use crate::review::ReviewOutcome;
use crate::store::StoreExt;
use crate::transition::Status;

/// What is not there is not found, by `get` and by `update`.
pub(super) async fn what_is_not_there_is_not_found(bench: Bench) {
    let version = bench.begin(1, "alice", "prod").await.updated_at;
    let got = bench.store.get(id(2)).await;
    assert!(
        matches!(got, Err(Error::NotFound { id: wanted }) if wanted == id(2)),
        "{got:?}"
    );
    let updated = bench
        .store
        .update(id(2), version, &note("bob", "hello"))
        .await;
    assert!(
        matches!(updated, Err(Error::NotFound { id: wanted }) if wanted == id(2)),
        "{updated:?}"
    );
}

/// An update at any other version than the present one is a conflict that names both.
pub(super) async fn an_update_at_another_version_is_a_conflict(bench: Bench) {
    let first = bench.begin(1, "alice", "prod").await.updated_at;
    bench.clock.advance(HOUR / 2);
    let actual = bench.made(1, &note("bob", "first")).await.updated_at;
    let before = bench.contents().await;
    let next = |by| Version::from_nanos(actual.as_nanos() + by);
    for expected in [first, next(-1), next(1), Version::from_nanos(i64::MAX)] {
        let lost = bench
            .store
            .update(id(1), expected, &note("bob", "second"))
            .await;
        assert!(
            matches!(lost, Err(Error::Conflict(found)) if found == Conflict { expected, actual }),
            "a stale writer is told which version won: {lost:?}"
        );
    }
    bench.assert_unchanged(&before, "a stale update").await;
    let won = bench
        .store
        .update(id(1), actual, &note("bob", "second"))
        .await;
    assert!(won.is_ok(), "the present version fits: {won:?}");
}

/// A conflict comes before the status, and the status before the rules.
pub(super) async fn the_errors_of_an_update_come_in_their_order(bench: Bench) {
    let first = bench.begin(1, "alice", "prod").await.updated_at;
    let closed = bench.made(1, &close("alice", "prod")).await.updated_at;
    let before = bench.contents().await;
    let by_nobody = close("bob", "prod");
    let stale = bench.store.update(id(1), first, &by_nobody).await;
    assert!(
        matches!(stale, Err(Error::Conflict(_))),
        "first the version: {stale:?}"
    );
    let over = bench.store.update(id(1), closed, &by_nobody).await;
    let (from, to) = (Status::Closed, Status::Closed);
    assert!(
        matches!(over, Err(Error::InvalidTransition { from: f, to: t, .. }) if (f, t) == (from, to)),
        "then the status: {over:?}"
    );
    let ruled = bench
        .store
        .update(id(1), closed, &review("bob", "prod"))
        .await;
    let ruled = refusal(ruled, "then the rules");
    assert!(matches!(ruled, Refusal::NotAReviewer { .. }), "{ruled}");
    bench
        .assert_unchanged(&before, "an update that failed")
        .await;
}

/// Its invoker or a responder closes an emergency, with a reason, until the nanosecond of its end.
pub(super) async fn an_emergency_is_closed_before_it_is_over(bench: Bench) {
    let emergency = bench.begin(1, "alice", "prod").await;
    bench.begin(2, "bob", "prod").await;
    bench.clock.set(emergency.expires_at + nanos(1));
    let late = refusal(
        bench.change(1, &close("alice", "prod")).await,
        "closing what is over",
    );
    assert_eq!(
        late,
        Refusal::AccessOver {
            expires_at: emergency.expires_at
        }
    );
    let other = refusal(
        bench.change(2, &close("Bob", "prod")).await,
        "closing for somebody else",
    );
    assert!(matches!(other, Refusal::NotAResponder { .. }), "{other}");
    bench.clock.set(emergency.expires_at - nanos(1));
    bench.begin(3, "dave", "prod").await;
    let closed = bench.made(3, &close("carol", "prod")).await;
    assert_eq!((closed.status, closed.history.len()), (Status::Closed, 2));
    let entry = &closed.history[1];
    assert_eq!(
        (&entry.action, &entry.actor),
        (&Action::Closed, &Actor::User(user("carol")))
    );
    assert_eq!(entry.reason.as_deref(), Some("it is over"));
    assert_eq!(
        closed.ended_at(),
        closed.changed_at(),
        "over when it was closed"
    );
}

/// An emergency expires from the nanosecond on at which its time is over, and not before.
pub(super) async fn an_emergency_expires_at_its_nanosecond(bench: Bench) {
    let emergency = bench.begin(1, "alice", "prod").await;
    bench.clock.set(emergency.expires_at - nanos(1));
    let early = refusal(
        bench.change(1, &Change::expire()).await,
        "expiring too early",
    );
    assert_eq!(
        early,
        Refusal::NotDue {
            expires_at: emergency.expires_at
        }
    );
    bench.clock.set(emergency.expires_at);
    let expired = bench.made(1, &Change::expire()).await;
    assert_eq!(
        (expired.status, expired.changed_at()),
        (Status::Expired, emergency.expires_at)
    );
    let entry = &expired.history[1];
    assert_eq!(
        (&entry.action, &entry.actor),
        (&Action::Expired, &Actor::Time)
    );
    assert_eq!(entry.reason, None);
}

/// A note can be written whatever the status; the last one is shown, and the history keeps all.
pub(super) async fn notes_are_kept_whatever_the_status(bench: Bench) {
    bench.begin(1, "alice", "prod").await;
    bench.made(1, &note("bob", "while it is active")).await;
    bench.made(1, &close("alice", "prod")).await;
    bench.made(1, &note("carol", "when it is over")).await;
    bench.made(1, &review("carol", "prod")).await;
    let last = bench
        .made(1, &note("alice", "“ünter” \u{1F525}\nnext line"))
        .await;
    assert_eq!(
        last.note.as_deref(),
        Some("“ünter” \u{1F525}\nnext line"),
        "the last note"
    );
    assert_eq!(
        last.status,
        Status::Closed,
        "a note leaves the status alone"
    );
    let noted = last
        .history
        .iter()
        .filter(|entry| entry.action == Action::Noted);
    let texts: Vec<_> = noted.filter_map(|entry| entry.reason.as_deref()).collect();
    let expected = [
        "while it is active",
        "when it is over",
        "“ünter” \u{1F525}\nnext line",
    ];
    assert_eq!(texts, expected, "the history keeps every note");
    assert_eq!(bench.get(1).await, last);
}

/// An emergency is reviewed once, when it is over, by a reviewer who is somebody else.
pub(super) async fn an_emergency_is_reviewed_once(bench: Bench) {
    let emergency = bench.begin(1, "Carol", "prod").await;
    bench.begin(2, "alice", "prod").await;
    let early = refusal(
        bench.change(2, &review("carol", "prod")).await,
        "reviewing what is active",
    );
    assert!(matches!(early, Refusal::NotDue { .. }), "{early}");
    bench.clock.set(emergency.expires_at + nanos(1));
    let own = refusal(
        bench.change(1, &review("carol", "prod")).await,
        "reviewing one's own",
    );
    assert!(matches!(own, Refusal::OwnReview { .. }), "{own}");
    let reviewed = bench.made(2, &review("carol", "prod")).await;
    let review_of = reviewed.review.as_ref().expect("the review is on record");
    assert_eq!(
        (&review_of.by, review_of.outcome),
        (&user("carol"), ReviewOutcome::Justified)
    );
    assert_eq!(&*review_of.text, "it was called for");
    assert_eq!(review_of.at, reviewed.changed_at(), "to the nanosecond");
    assert_eq!(reviewed.status, Status::Active, "a review does not mark it");
    let again = refusal(
        bench.change(2, &review("carol", "prod")).await,
        "a second review",
    );
    assert!(matches!(again, Refusal::ReviewedAlready { .. }), "{again}");
    assert_eq!(bench.get(2).await, reviewed);
}

/// Every outcome of a review is kept.
pub(super) async fn every_outcome_of_a_review_is_kept(bench: Bench) {
    for (bits, outcome) in (1..).zip(ReviewOutcome::ALL) {
        bench.begin_short(bits, "alice", "prod").await;
        let (carol, prod) = (user("carol"), profile("prod"));
        let change = Change::review(&anybody(), &prod, &carol, outcome, "see the ticket");
        bench.made(bits, &change).await;
        let emergency = bench.get(bits).await;
        assert_eq!(
            emergency.review.as_ref().map(|review| review.outcome),
            Some(outcome)
        );
        assert_eq!(emergency.history[1].action, Action::Reviewed(outcome));
    }
}

/// Nothing leads out of a status that is the last.
pub(super) async fn a_last_status_never_changes(bench: Bench) {
    bench.begin(1, "alice", "prod").await;
    bench.made(1, &close("alice", "prod")).await;
    bench.begin_short(2, "alice", "prod").await;
    bench.made(2, &Change::expire()).await;
    bench.clock.advance(2 * HOUR);
    let before = bench.contents().await;
    for bits in [1, 2] {
        for change in [close("alice", "prod"), Change::expire()] {
            let refused = bench.change(bits, &change).await;
            assert!(
                matches!(refused, Err(Error::InvalidTransition { .. })),
                "what is over stays as it is: {refused:?}"
            );
        }
    }
    bench.assert_unchanged(&before, "a refused change").await;
}

/// Everything that is said of an emergency when it begins stays so through every change.
pub(super) async fn identity_never_changes(bench: Bench) {
    let mut draft = draft(1, "alice", "prod");
    draft.ticket = Some("INC-1".to_owned());
    draft.request_id = Some("ab".to_owned());
    draft.mfa = Some(proof("push-1", "alice", 1, start()));
    let limits = limits(r#""escalation_threshold": 1, "quota_window": "24h""#);
    bench.begin(2, "alice", "dev").await;
    let begun = bench.create(&draft, &limits).await.unwrap();
    let changes = [
        note("bob", "a note"),
        close("alice", "prod"),
        review("carol", "prod"),
    ];
    for change in changes {
        bench.clock.advance(HOUR / 8);
        let after = bench.made(1, &change).await;
        let as_begun = Emergency {
            status: after.status,
            note: after.note.clone(),
            review: after.review.clone(),
            updated_at: after.updated_at,
            history: after.history.clone(),
            ..(*begun).clone()
        };
        assert_eq!(
            *after, as_begun,
            "who declared what, when and why was rewritten"
        );
        assert_eq!(bench.get(1).await, after);
    }
}

/// The history holds every change with its versions, actor, reason and operation, and gives the
/// emergency as it was after each.
pub(super) async fn the_history_is_whole(bench: Bench) {
    let mut results = vec![bench.begin(1, "alice", "prod").await];
    let changes = [
        note("bob", "one").with_idempotency_key(operation(1)),
        note("dave", "two"),
        close("carol", "prod").with_idempotency_key(operation(2)),
        review("carol", "prod"),
        note("bob", "three"),
    ];
    for change in &changes {
        bench.clock.advance(NANO);
        results.push(bench.made(1, change).await);
    }
    let emergency = bench.get(1).await;
    assert_eq!(emergency.history.len(), 6, "an entry a change");
    let actors: Vec<String> = emergency
        .history
        .iter()
        .map(|entry| entry.actor.to_string())
        .collect();
    assert_eq!(actors, ["alice", "bob", "dave", "carol", "carol", "bob"]);
    let operations: Vec<_> = emergency
        .history
        .iter()
        .map(|entry| entry.idempotency_key)
        .collect();
    let (first, second) = (Some(operation(1)), Some(operation(2)));
    assert_eq!(operations, [None, first, None, second, None, None]);
    let mut from = None;
    for (entry, result) in emergency.history.iter().zip(&results) {
        assert_eq!(
            (entry.from, entry.to),
            (from, result.updated_at),
            "versions meet"
        );
        from = Some(entry.to);
        let then = emergency.as_of(entry.to);
        assert_eq!(
            then.as_ref(),
            Some(&**result),
            "the emergency as it was then"
        );
    }
}

/// A change of one emergency leaves all others as they are.
pub(super) async fn a_change_leaves_other_emergencies_alone(bench: Bench) {
    let others = [
        bench.begin(1, "alice", "dev").await,
        bench.begin(3, "bob", "prod").await,
    ];
    bench.begin(2, "alice", "prod").await;
    bench.made(2, &note("bob", "a note")).await;
    bench.made(2, &close("alice", "prod")).await;
    for other in others {
        assert_eq!(
            bench.get(other.id.to_bits()).await,
            other,
            "another emergency was changed"
        );
    }
}

/// `update_with` gives its closure the emergency as just read, and passes on every error.
pub(super) async fn update_with_passes_on_every_error(bench: Bench) {
    let retry = Retry::default().with_sleep(Arc::new(NoSleep));
    let bob: User = user("bob");
    let gone = bench
        .store
        .update_with(id(1), &retry, |_| Ok(Change::note(&bob, "a note")))
        .await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
    let emergency = bench.begin(1, "alice", "prod").await;
    let mut seen = Vec::new();
    let noted = bench.store.update_with(id(1), &retry, |current| {
        seen.push(current.clone());
        Ok(Change::note(&bob, "a note"))
    });
    let noted = noted.await.expect("a note is written");
    assert_eq!(
        seen,
        [(*emergency).clone()],
        "once, with the emergency as just read"
    );
    let stopped = bench.store.update_with(id(1), &retry, |current| {
        Err(Error::NotFound { id: current.id })
    });
    let stopped = stopped.await;
    assert!(
        matches!(stopped, Err(Error::NotFound { .. })),
        "{stopped:?}"
    );
    let refused = bench
        .store
        .update_with(id(1), &retry, |_| Ok(Change::expire()))
        .await;
    let refused = refusal(refused, "expiring too early");
    assert!(matches!(refused, Refusal::NotDue { .. }), "{refused}");
    assert_eq!(bench.get(1).await, noted, "a failure changes nothing");
}
