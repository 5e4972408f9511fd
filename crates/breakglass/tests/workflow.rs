//! The workflow: each step's good case and what refuses it, over the real store.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use common::*;
use countersign_breakglass::*;

const RULE: &str = r#""profiles": ["prod"], "users": ["alice", "bob"], "responders": ["carol"]"#;

fn workflow(bench: &Bench) -> Workflow {
    bench.workflow(invocation(RULE), RateLimitPolicy::unlimited())
}

fn wanted(workflow: &Workflow, invoker: &str) -> Draft {
    let (invoker, prod) = (user(invoker), profile("prod"));
    workflow
        .draft(&invoker, &prod, HOUR, ReasonCode::Security, JUSTIFICATION)
        .unwrap()
}

#[tokio::test]
async fn a_draft_takes_its_id_from_the_source_and_stores_nothing() {
    let bench = Bench::default();
    let workflow = workflow(&bench).with_random(Arc::new(SequenceRandom::starting_at(7)));
    let first = wanted(&workflow, "alice");
    let second = wanted(&workflow, "alice");
    assert_eq!((first.id, second.id), (id(7), id(8)));
    assert_eq!(
        (first.reason_code, first.duration),
        (ReasonCode::Security, HOUR)
    );
    assert_eq!((&first.ticket, &first.request_id), (&None, &None));
    let error = workflow.store().get(first.id).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }));
}

#[tokio::test]
async fn invoking_opens_access_at_once_until_the_duration_is_over() {
    let bench = Bench::default();
    let workflow = workflow(&bench);
    let (alice, prod) = (user("alice"), profile("prod"));
    assert_eq!(workflow.find_grant(&alice, &prod).await.unwrap(), None);
    assert_eq!(
        workflow.remaining(&alice, &prod).await.unwrap(),
        Duration::ZERO
    );
    let emergency = workflow.invoke(&wanted(&workflow, "alice")).await.unwrap();
    let grant = workflow.find_grant(&alice, &prod).await.unwrap().unwrap();
    assert_eq!(grant.until, start() + TimeDelta::hours(1));
    assert!(grant.covers(&alice, &prod, start()));
    assert_eq!(workflow.remaining(&alice, &prod).await.unwrap(), HOUR);

    bench
        .clock
        .set(emergency.expires_at - TimeDelta::nanoseconds(1));
    assert_eq!(workflow.remaining(&alice, &prod).await.unwrap(), NANO);
    assert!(workflow.find_grant(&alice, &prod).await.unwrap().is_some());
    bench.clock.set(emergency.expires_at);
    assert_eq!(
        workflow.remaining(&alice, &prod).await.unwrap(),
        Duration::ZERO
    );
    assert_eq!(workflow.find_grant(&alice, &prod).await.unwrap(), None);
}

#[tokio::test]
async fn a_refused_emergency_leaves_nothing_behind() {
    let bench = Bench::default();
    let workflow = workflow(&bench);
    let draft = wanted(&workflow, "mallory");
    let refusal = refusal(workflow.invoke(&draft).await);
    assert!(matches!(refusal, Refusal::User { .. }), "{refusal}");
    assert!(workflow.store().get(draft.id).await.is_err());
    assert_eq!(
        workflow
            .find_grant(&draft.invoker, &draft.profile)
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn a_repeated_call_finds_the_emergency_that_the_first_made() {
    let bench = Bench::default();
    let workflow = workflow(&bench);
    let draft = wanted(&workflow, "alice");
    let emergency = workflow.invoke(&draft).await.unwrap();
    let error = workflow.invoke(&draft).await.unwrap_err();
    assert!(
        matches!(error, Error::AlreadyExists { id } if id == draft.id),
        "{error}"
    );
    assert_eq!(workflow.store().get(draft.id).await.unwrap(), emergency);
}

#[tokio::test]
async fn closing_ends_access_at_once_and_only_once() {
    let bench = Bench::default();
    let workflow = workflow(&bench);
    let (alice, carol, prod) = (user("alice"), user("carol"), profile("prod"));
    let emergency = workflow.invoke(&wanted(&workflow, "alice")).await.unwrap();
    let refusal = refusal(workflow.close(emergency.id, &user("bob"), "not mine").await);
    assert!(
        matches!(refusal, Refusal::NotAResponder { .. }),
        "{refusal}"
    );
    assert!(workflow.find_grant(&alice, &prod).await.unwrap().is_some());
    let closed = workflow
        .close(emergency.id, &carol, "it was a false alarm")
        .await
        .unwrap();
    assert_eq!(closed.status, Status::Closed);
    assert_eq!(workflow.find_grant(&alice, &prod).await.unwrap(), None);
    assert_eq!(
        workflow.remaining(&alice, &prod).await.unwrap(),
        Duration::ZERO
    );
    let error = workflow
        .close(emergency.id, &alice, "it is over")
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::InvalidTransition {
                from: Status::Closed,
                ..
            }
        ),
        "{error}"
    );
    let error = workflow
        .close(id(99), &alice, "it is over")
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn notes_are_kept_every_one() {
    let bench = Bench::default();
    let workflow = workflow(&bench);
    let emergency = workflow.invoke(&wanted(&workflow, "alice")).await.unwrap();
    workflow
        .note(emergency.id, &user("dave"), "called the vendor")
        .await
        .unwrap();
    let noted = workflow
        .note(emergency.id, &user("erin"), "they are on it")
        .await
        .unwrap();
    let notes: Vec<_> = noted.history[1..]
        .iter()
        .map(|entry| (entry.actor.to_string(), entry.reason.clone().unwrap()))
        .collect();
    let expected = [("dave", "called the vendor"), ("erin", "they are on it")];
    let expected = expected.map(|(who, what)| (who.to_owned(), Arc::from(what)));
    assert_eq!(notes, expected);
    let error = workflow.note(id(99), &user("dave"), "x").await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn what_is_due_is_marked_expired_from_its_last_nanosecond_on() {
    let bench = Bench::default();
    let workflow = workflow(&bench);
    let emergency = workflow.invoke(&wanted(&workflow, "alice")).await.unwrap();
    bench.clock.advance(NANO);
    let later = workflow.invoke(&wanted(&workflow, "bob")).await.unwrap();
    bench
        .clock
        .set(emergency.expires_at - TimeDelta::nanoseconds(1));
    assert!(workflow.expire_due(0).await.unwrap().is_empty());
    bench.clock.set(emergency.expires_at);
    let expired = workflow.expire_due(0).await.unwrap();
    assert_eq!(expired.len(), 1);
    assert_eq!(
        (expired[0].id, expired[0].status),
        (emergency.id, Status::Expired)
    );
    assert!(workflow.expire_due(0).await.unwrap().is_empty());
    bench.clock.set(later.expires_at);
    assert_eq!(workflow.expire_due(1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn expiry_takes_at_most_the_limit_earliest_first() {
    let bench = Bench::default();
    let workflow = bench.workflow(anybody(), RateLimitPolicy::unlimited());
    for (bits, hours) in [(1, 2), (2, 1), (3, 3)] {
        let mut draft = draft(bits, "alice", &format!("prod-{bits}"));
        draft.duration = hours * HOUR;
        workflow.invoke(&draft).await.unwrap();
    }
    bench.clock.advance(9 * HOUR);
    let expired = workflow.expire_due(2).await.unwrap();
    let ids: Vec<u64> = expired
        .iter()
        .map(|emergency| emergency.id.to_bits())
        .collect();
    assert_eq!(ids, [2, 1]);
    assert_eq!(workflow.expire_due(2).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_user_quota_counts_all_profiles_and_opens_again_to_the_nanosecond() {
    let bench = Bench::default();
    let day = limits(r#""max_per_user": 2, "quota_window": "24h""#);
    let workflow = bench.workflow(anybody(), day);
    for (bits, wanted) in [(1, "prod"), (2, "dev")] {
        workflow
            .invoke(&draft(bits, "alice", wanted))
            .await
            .unwrap();
        bench.clock.advance(HOUR);
    }
    let third = draft(3, "alice", "ops");
    let refusal = refusal(workflow.invoke(&third).await);
    let retry_at = start() + TimeDelta::hours(24);
    let (rule, max) = ("limit".into(), NonZeroU32::new(2).unwrap());
    let count = 2;
    assert_eq!(
        refusal,
        Refusal::UserQuota {
            rule,
            count,
            max,
            retry_at,
            escalation: None,
        }
    );
    assert!(
        workflow.invoke(&draft(4, "bob", "ops")).await.is_ok(),
        "another user"
    );
    bench.clock.set(retry_at - TimeDelta::nanoseconds(1));
    assert!(workflow.invoke(&third).await.is_err());
    bench.clock.set(retry_at);
    assert!(workflow.invoke(&third).await.is_ok());
}

#[tokio::test]
async fn a_profile_quota_counts_all_people_and_opens_again_to_the_nanosecond() {
    let bench = Bench::default();
    let day = limits(r#""max_per_profile": 2, "quota_window": "24h""#);
    let workflow = bench.workflow(anybody(), day);
    for (bits, invoker) in [(1, "alice"), (2, "bob")] {
        workflow
            .invoke(&draft(bits, invoker, "prod"))
            .await
            .unwrap();
        bench.clock.advance(HOUR);
    }
    let third = draft(3, "erin", "prod");
    let refusal = refusal(workflow.invoke(&third).await);
    let retry_at = start() + TimeDelta::hours(24);
    assert!(
        matches!(refusal, Refusal::ProfileQuota { count: 2, .. }),
        "{refusal}"
    );
    assert_eq!(refusal.retry_at(), Some(retry_at));
    assert!(
        workflow.invoke(&draft(4, "alice", "dev")).await.is_ok(),
        "another profile"
    );
    bench.clock.set(retry_at - TimeDelta::nanoseconds(1));
    assert!(workflow.invoke(&third).await.is_err());
    bench.clock.set(retry_at);
    assert!(workflow.invoke(&third).await.is_ok());
}

#[tokio::test]
async fn a_cooldown_counts_from_the_creation_of_the_last_emergency_even_if_it_was_closed() {
    let bench = Bench::default();
    let workflow = bench.workflow(anybody(), limits(r#""cooldown": "30m""#));
    let alice = user("alice");
    workflow.invoke(&draft(1, "alice", "prod")).await.unwrap();
    bench.clock.advance(Duration::from_secs(60));
    workflow.close(id(1), &alice, "it is over").await.unwrap();
    let again = draft(2, "alice", "prod");
    let refusal = refusal(workflow.invoke(&again).await);
    let retry_at = start() + TimeDelta::minutes(30);
    let rule = "limit".into();
    assert_eq!(refusal, Refusal::Cooldown { rule, retry_at });
    assert!(
        workflow.invoke(&draft(3, "alice", "dev")).await.is_ok(),
        "another profile"
    );
    assert!(
        workflow.invoke(&draft(4, "bob", "prod")).await.is_ok(),
        "another user"
    );
    bench.clock.set(retry_at - TimeDelta::nanoseconds(1));
    assert!(workflow.invoke(&again).await.is_err());
    bench.clock.set(retry_at);
    assert!(workflow.invoke(&again).await.is_ok());
}

#[tokio::test]
async fn the_escalation_is_written_on_the_emergency_and_nothing_is_blocked() {
    let bench = Bench::default();
    let watched = limits(r#""escalation_threshold": 2, "quota_window": "24h""#);
    let workflow = bench.workflow(anybody(), watched);
    let mut escalated = Vec::new();
    for bits in 1..=4 {
        let draft = draft(bits, "alice", &format!("prod-{bits}"));
        escalated.push(workflow.invoke(&draft).await.unwrap().escalate);
    }
    assert_eq!(escalated, [false, false, true, true]);
    let other = workflow.invoke(&draft(9, "bob", "prod-1")).await.unwrap();
    assert!(!other.escalate);
}

#[tokio::test]
async fn new_rules_hold_for_what_is_to_come() {
    let bench = Bench::default();
    let before = workflow(&bench);
    let emergency = before.invoke(&wanted(&before, "alice")).await.unwrap();
    let nobody_else = invocation(r#""users": ["bob"], "responders": ["erin"]"#);
    let after = before.with_policy(Arc::new(nobody_else));
    assert!(
        after
            .find_grant(&emergency.invoker, &emergency.profile)
            .await
            .unwrap()
            .is_some()
    );
    let refused = refusal(
        after
            .close(emergency.id, &user("carol"), "it is over")
            .await,
    );
    assert!(
        matches!(refused, Refusal::NotAResponder { .. }),
        "{refused}"
    );
    after
        .close(emergency.id, &user("erin"), "it is over")
        .await
        .unwrap();
    let refused = refusal(after.invoke(&wanted(&after, "alice")).await);
    assert!(matches!(refused, Refusal::User { .. }), "{refused}");
    let paused = before.with_rate_limits(Arc::new(limits(r#""cooldown": "30m""#)));
    let refused = refusal(paused.invoke(&wanted(&paused, "alice")).await);
    assert!(matches!(refused, Refusal::Cooldown { .. }), "{refused}");
    assert_eq!(paused.rate_limits().rules().len(), 1);
    assert_eq!(paused.policy().rules()[0].name(), "rule");
}

/// A store to which something happens just before each update.
struct Hindered<F> {
    store: Arc<InMemory>,
    before_update: F,
}

impl<F: Fn(EmergencyId, Version) + Send + Sync> Store for Hindered<F> {
    fn create<'a>(
        &'a self,
        draft: &'a Draft,
        admission: &'a Admission,
    ) -> BoxFuture<'a, Result<Arc<Emergency>, Error>> {
        self.store.create(draft, admission)
    }

    fn get(&self, id: EmergencyId) -> BoxFuture<'_, Result<Arc<Emergency>, Error>> {
        self.store.get(id)
    }

    fn update<'a>(
        &'a self,
        id: EmergencyId,
        expected: Version,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Arc<Emergency>, Error>> {
        (self.before_update)(id, expected);
        self.store.update(id, expected, change)
    }

    fn delete<'a>(
        &'a self,
        id: EmergencyId,
        retention: &'a Retention,
    ) -> BoxFuture<'a, Result<bool, Error>> {
        self.store.delete(id, retention)
    }

    fn list_awaiting_review(
        &self,
        page: Page<lists::AwaitingReview>,
    ) -> BoxFuture<'_, Result<Listing<lists::AwaitingReview>, Error>> {
        self.store.list_awaiting_review(page)
    }

    fn list_ended(
        &self,
        before: DateTime<Utc>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Emergency>>, Error>> {
        self.store.list_ended(before, limit)
    }

    fn changes_after(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Changed>, Error>> {
        self.store.changes_after(after, limit)
    }

    fn list<'a>(&'a self, filter: &'a Filter, page: Page) -> BoxFuture<'a, Result<Listing, Error>> {
        self.store.list(filter, page)
    }

    fn now(&self) -> BoxFuture<'_, Result<Now, Error>> {
        self.store.now()
    }

    fn find_grant<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
    ) -> BoxFuture<'a, Result<Option<Grant>, Error>> {
        self.store.find_grant(user, profile)
    }

    fn active_at<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<Arc<Emergency>>, Error>> {
        self.store.active_at(user, profile, at)
    }

    fn list_expirable(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Arc<Emergency>>, Error>> {
        self.store.list_expirable(limit)
    }
}

#[tokio::test]
async fn conflicts_are_tried_as_often_as_set_and_passed_over_by_expiry() {
    let bench = Bench::default();
    let store = bench.store.clone();
    let updates = Arc::new(AtomicU32::new(0));
    let counted = updates.clone();
    let contended = Arc::new(Hindered {
        store: store.clone(),
        before_update: move |id, expected| {
            counted.fetch_add(1, Ordering::SeqCst);
            let note = Change::note(&user("dave"), "first");
            store.sync().update(id, expected, &note).unwrap();
        },
    });
    let retry = Retry::default()
        .with_tries(NonZeroU32::new(3).unwrap())
        .with_sleep(Arc::new(NoSleep));
    let workflow = Workflow::new(
        contended,
        Arc::new(anybody()),
        Arc::new(RateLimitPolicy::unlimited()),
    )
    .with_retry(retry);
    let emergency = workflow.invoke(&draft(1, "alice", "prod")).await.unwrap();
    let error = workflow
        .close(emergency.id, &emergency.invoker, "it is over")
        .await;
    assert!(matches!(error, Err(Error::Conflict(_))));
    assert_eq!(updates.load(Ordering::SeqCst), 3);
    bench.clock.set(emergency.expires_at);
    assert!(workflow.expire_due(0).await.unwrap().is_empty());
    assert_eq!(bench.get(1).status, Status::Active);
}

#[tokio::test]
async fn expiry_passes_over_what_is_not_over_by_a_clock_that_was_set_back() {
    let bench = Bench::default();
    let emergency = bench.begin(1, "alice", "prod");
    let clock = bench.clock.clone();
    // The store has said what is due by then.
    let set_back = Arc::new(Hindered {
        store: bench.store.clone(),
        before_update: move |_, _| clock.set(start()),
    });
    let (policy, limits) = (Arc::new(anybody()), Arc::new(RateLimitPolicy::unlimited()));
    let workflow = Workflow::new(set_back, policy, limits);
    bench.clock.set(emergency.expires_at);
    assert_eq!(workflow.expire_due(0).await.unwrap(), []);
    assert_eq!(bench.get(1), emergency);
    let workflow = bench.workflow(anybody(), RateLimitPolicy::unlimited());
    bench.clock.set(emergency.expires_at);
    assert_eq!(workflow.expire_due(0).await.unwrap().len(), 1);
}
