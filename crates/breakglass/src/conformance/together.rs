//! Many callers at once: as many pass as the rules allow, and nothing is lost.
//!
//! Tasks start together at a barrier, on four threads. Each case asserts what holds in every order
//! of the calls, so none depends on which came first.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use countersign_core::future::BoxFuture;
use countersign_core::retry::Retry;
use countersign_core::version::{Conflict, Version};

use super::bench::*;
use crate::Page;
use crate::admission::Admission;
use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;
use crate::history::Action;
use crate::invocation_policy::InvocationPolicy;
use crate::rate_limit_policy::RateLimitPolicy;
use crate::record::Emergency;
use crate::refusal::Refusal;
use crate::store::{Filter, StoreExt};
use crate::transition::Status;

type Answers = Vec<Result<Arc<Emergency>, Error>>;

/// Creates from each of these drafts at once.
async fn create_together(
    bench: &Bench,
    rules: &InvocationPolicy,
    limits: &RateLimitPolicy,
    drafts: Vec<Draft>,
) -> Answers {
    let tasks: Vec<_> = drafts
        .into_iter()
        .map(|draft| {
            let store = Arc::clone(&bench.store);
            let admission = Admission::new(rules, limits, &draft.profile);
            async move { store.create(&draft, &admission).await }
        })
        .collect();
    bench.suite.together(tasks).await
}

/// Makes this change of this emergency many times at once.
async fn change_together(
    bench: &Bench,
    count: usize,
    expected: Version,
    change: &Change,
) -> Answers {
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let (store, change) = (Arc::clone(&bench.store), change.clone());
            async move { store.update(id(1), expected, &change).await }
        })
        .collect();
    bench.suite.together(tasks).await
}

fn passed(answers: &Answers) -> Vec<Arc<Emergency>> {
    let emergencies = answers.iter().filter_map(|answer| answer.as_ref().ok());
    emergencies.cloned().collect()
}

fn name(number: u64) -> &'static str {
    ["alice", "Alice", "ALICE", "aLiCe"][(number % 4) as usize]
}

/// Of 50 callers under four spellings exactly one begins; the others are told which did.
pub(super) async fn of_50_callers_one_begins(bench: Bench) {
    let drafts = (1..=50)
        .map(|bits| draft(bits, name(bits), "prod"))
        .collect();
    let answers = create_together(&bench, &anybody(), &unlimited(), drafts).await;
    let won = passed(&answers);
    assert_eq!(
        won.len(),
        1,
        "one emergency of a user and profile is active"
    );
    for answer in answers.into_iter().filter(Result::is_err) {
        let refused = refusal(answer, "a second active emergency");
        assert!(
            matches!(refused, Refusal::Active { id, .. } if id == won[0].id),
            "{refused}"
        );
    }
    assert_eq!(bench.list_bits(Status::Active).await, [won[0].id.to_bits()]);
}

/// Of 50 callers with a quota of 3 for the user exactly 3 begin.
pub(super) async fn of_50_callers_a_users_quota_lets_3_begin(bench: Bench) {
    let quota = limits(r#""max_per_user": 3, "quota_window": "24h""#);
    let drafts = (1..=50)
        .map(|bits| draft(bits, name(bits), &format!("prod-{bits}")))
        .collect();
    let answers = create_together(&bench, &anybody(), &quota, drafts).await;
    assert_eq!(passed(&answers).len(), 3, "a quota of 3 is exact");
    for answer in answers.into_iter().filter(Result::is_err) {
        let refused = refusal(answer, "a quota of 3");
        assert!(
            matches!(refused, Refusal::UserQuota { count: 3, .. }),
            "{refused}"
        );
    }
}

/// Of 50 people with a quota of 3 for the profile exactly 3 begin.
pub(super) async fn of_50_people_a_profiles_quota_lets_3_begin(bench: Bench) {
    let quota = limits(r#""max_per_profile": 3, "quota_window": "24h""#);
    let drafts = (1..=50)
        .map(|bits| draft(bits, &format!("user-{bits}"), "prod"))
        .collect();
    let answers = create_together(&bench, &anybody(), &quota, drafts).await;
    assert_eq!(passed(&answers).len(), 3, "a quota of 3 is exact");
    assert_eq!(bench.list_bits(profile("prod")).await.len(), 3);
}

/// Of 20 callers with one id one wins, and 19 are told that it exists.
pub(super) async fn of_20_callers_with_one_id_one_wins(bench: Bench) {
    let drafts = (0..20)
        .map(|n| draft(1, &format!("user-{n}"), &format!("prod-{n}")))
        .collect();
    let answers = create_together(&bench, &anybody(), &unlimited(), drafts).await;
    let won = passed(&answers);
    assert_eq!(won.len(), 1, "an id is taken once");
    let told = answers
        .iter()
        .filter(|answer| matches!(answer, Err(Error::AlreadyExists { .. })));
    assert_eq!(told.count(), 19, "the others are told so");
    assert_eq!(
        bench.get(1).await,
        won[0],
        "the winner's emergency is there"
    );
}

/// Of 20 callers with one second factor one begins.
pub(super) async fn of_20_callers_with_one_second_factor_one_begins(bench: Bench) {
    let shown = |bits| {
        let mut draft = draft(bits, "alice", &format!("prod-{bits}"));
        draft.mfa = Some(proof("push-1", "alice", bits, start()));
        draft
    };
    let answers = create_together(
        &bench,
        &anybody(),
        &unlimited(),
        (1..=20).map(shown).collect(),
    )
    .await;
    assert_eq!(passed(&answers).len(), 1, "a second factor is used once");
}

/// 20 calls of one creation make one emergency and get one result.
pub(super) async fn of_20_calls_of_one_creation_all_get_one_result(bench: Bench) {
    let mut draft = draft(1, "alice", "prod");
    draft.idempotency_key = Some(operation(7));
    let answers = create_together(&bench, &anybody(), &unlimited(), vec![draft; 20]).await;
    let got = passed(&answers);
    assert_eq!(got.len(), 20, "a repeat is answered: {answers:?}");
    assert!(
        got.iter().all(|emergency| *emergency == got[0]),
        "and alike"
    );
    assert_eq!(bench.changes(None).await.len(), 1, "one change was made");
}

/// 20 calls of one change make it once and get one result.
pub(super) async fn of_20_calls_of_one_change_all_get_one_result(bench: Bench) {
    let read = bench.begin(1, "alice", "prod").await.updated_at;
    let change = note("bob", "once").with_idempotency_key(operation(7));
    let answers = change_together(&bench, 20, read, &change).await;
    let got = passed(&answers);
    assert_eq!(got.len(), 20, "a repeat is answered: {answers:?}");
    assert!(
        got.iter().all(|emergency| *emergency == got[0]),
        "and alike"
    );
    assert_eq!(bench.get(1).await.history.len(), 2, "one change was made");
}

/// Of 50 updates of the same version one wins, and the others are told which version it made.
pub(super) async fn of_50_updates_of_one_version_one_wins(bench: Bench) {
    let expected = bench.begin(1, "alice", "prod").await.updated_at;
    let answers = change_together(&bench, 50, expected, &note("bob", "mine")).await;
    let won = passed(&answers);
    assert_eq!(won.len(), 1, "the first writer wins, and no other");
    let actual = won[0].updated_at;
    for answer in answers.iter().filter(|answer| answer.is_err()) {
        assert!(
            matches!(answer, Err(Error::Conflict(found)) if *found == Conflict { expected, actual }),
            "a loser is told which version won: {answer:?}"
        );
    }
    assert_eq!(bench.get(1).await, won[0]);
}

/// 50 notes at once through `update_with`, with 50 tries: none is lost.
pub(super) async fn of_50_notes_none_is_lost(bench: Bench) {
    bench.begin(1, "alice", "prod").await;
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            let store = Arc::clone(&bench.store);
            async move {
                let retry =
                    Retry::default().with_tries(std::num::NonZeroU32::MIN.saturating_add(49));
                let text = format!("note {number}");
                let by = user("bob");
                let noted = store.update_with(id(1), &retry, |_| Ok(Change::note(&by, &text)));
                noted.await.map(|emergency| emergency.updated_at)
            }
        })
        .collect();
    let answers = bench.suite.together(tasks).await;
    let versions: BTreeSet<_> = answers
        .iter()
        .filter_map(|answer| answer.as_ref().ok())
        .collect();
    assert_eq!(
        versions.len(),
        50,
        "each writer meets at most 49 conflicts: {answers:?}"
    );
    let emergency = bench.get(1).await;
    let texts: BTreeSet<_> = emergency
        .history
        .iter()
        .filter_map(|entry| entry.reason.as_deref())
        .collect();
    assert_eq!(
        (emergency.history.len(), texts.len()),
        (51, 50),
        "a note was lost"
    );
    assert_eq!(
        emergency.note, emergency.history[50].reason,
        "the last writer's text stands"
    );
}

/// Of 50 callers who meet an emergency that is over, one takes its place, and it is expired once.
pub(super) async fn of_50_callers_one_replaces_what_is_over(bench: Bench) {
    bench.begin_short(1, "Alice", "prod").await;
    let drafts = (2..=51)
        .map(|bits| draft(bits, name(bits), "prod"))
        .collect();
    let answers = create_together(&bench, &anybody(), &unlimited(), drafts).await;
    assert_eq!(passed(&answers).len(), 1, "emergencies were stacked");
    let first = bench.get(1).await;
    assert_eq!(
        (first.status, first.history.len()),
        (Status::Expired, 2),
        "expired once"
    );
    assert_eq!(bench.list_bits(Status::Active).await.len(), 1);
}

/// Of 20 reviews of what is over one is made.
pub(super) async fn of_20_reviews_one_is_made(bench: Bench) {
    let emergency = bench.begin_short(1, "alice", "prod").await;
    let answers = change_together(&bench, 20, emergency.updated_at, &review("carol", "prod")).await;
    assert_eq!(passed(&answers).len(), 1, "an emergency is reviewed once");
    let reviewed = bench.get(1).await;
    assert_eq!(reviewed.history.len(), 2, "one review is on record");
}

/// Of 20 deletions one says that the emergency was there.
pub(super) async fn of_20_deletions_one_is_made(bench: Bench) {
    bench.begin_reviewed(1, "alice", "prod").await;
    bench.clock.advance(HOUR);
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let store = Arc::clone(&bench.store);
            async move { store.delete(id(1), &shortest_retention()).await }
        })
        .collect();
    let answers = bench.suite.together(tasks).await;
    let deleted = answers
        .iter()
        .filter(|answer| matches!(answer, Ok(true)))
        .count();
    let absent = answers
        .iter()
        .filter(|answer| matches!(answer, Ok(false)))
        .count();
    assert_eq!((deleted, absent), (1, 19), "it was there once: {answers:?}");
}

/// 50 emergencies begun at once have versions of their own, and the changes tell all of them in order.
pub(super) async fn of_50_emergencies_each_has_its_own_version(bench: Bench) {
    let drafts = (1..=50)
        .map(|bits| draft(bits, &format!("user-{bits}"), "prod"))
        .collect();
    let answers = create_together(&bench, &anybody(), &unlimited(), drafts).await;
    let versions: BTreeSet<_> = passed(&answers)
        .iter()
        .map(|emergency| emergency.updated_at)
        .collect();
    assert_eq!(versions.len(), 50, "a version was issued twice");
    let expected: BTreeSet<_> = (0..50).map(|n| start() + nanos(n)).collect();
    let times: BTreeSet<_> = versions.iter().map(|version| version.time()).collect();
    assert_eq!(times, expected, "each is last + 1 ns");
    let told: Vec<_> = bench
        .changes(None)
        .await
        .iter()
        .map(|change| change.version)
        .collect();
    assert_eq!(
        told,
        versions.into_iter().collect::<Vec<_>>(),
        "all, in order"
    );
}

/// A reader who follows the changes while 25 writers write sees each exactly once, and what it has
/// seen in one place is in every other.
pub(super) async fn a_reader_follows_while_others_write(bench: Bench) {
    let (started, written) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut tasks: Vec<BoxFuture<'static, Vec<Version>>> = Vec::new();
    for bits in 1..=25 {
        let store = Arc::clone(&bench.store);
        let (started, written) = (Arc::clone(&started), Arc::clone(&written));
        tasks.push(Box::pin(async move {
            while !started.load(Ordering::SeqCst) {
                give_way().await;
            }
            let who = format!("user-{bits}");
            let draft = draft(bits, &who, "prod");
            let admission = Admission::new(&anybody(), &unlimited(), &draft.profile);
            let created = store.create(&draft, &admission).await.unwrap();
            let closing = close(&who, "prod");
            let closed = store.update(draft.id, created.updated_at, &closing).await;
            closed.unwrap();
            written.fetch_add(1, Ordering::SeqCst);
            Vec::new()
        }));
    }
    let store = Arc::clone(&bench.store);
    tasks.push(Box::pin(async move {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let last_round = written.load(Ordering::SeqCst) == 25;
            started.store(true, Ordering::SeqCst);
            let changes = store.changes_after(after, 7).await.unwrap();
            for change in &changes {
                let emergency = &change.emergency;
                let listed = async |filter: Filter| {
                    let listing = store.list(&filter, Page::default()).await.unwrap();
                    bits(&listing.items).contains(&emergency.id.to_bits())
                };
                let by_invoker = listed(emergency.invoker.clone().into()).await;
                assert!(
                    by_invoker,
                    "an emergency is told of and not listed by its invoker"
                );
                let closed = listed(Status::Closed.into()).await;
                let told = change.entry.action == Action::Closed;
                assert!(
                    closed || !told,
                    "an emergency is told closed and not listed so"
                );
            }
            after = changes.last().map(|change| change.version).or(after);
            if changes.is_empty() && last_round {
                return seen;
            }
            seen.extend(changes.into_iter().map(|change| change.version));
            give_way().await;
        }
    }));
    let seen = bench.suite.together(tasks).await.concat();
    let all: Vec<_> = bench
        .changes(None)
        .await
        .iter()
        .map(|change| change.version)
        .collect();
    assert_eq!(all.len(), 50, "25 writers made 50 changes");
    assert_eq!(seen, all, "a change was skipped or told twice");
}

/// A reader sees what one creation changes all at once: the new emergency, the override, the expiry.
pub(super) async fn a_reader_never_sees_half_a_step(bench: Bench) {
    let first = bench.begin_short(1, "alice", "prod").await.updated_at;
    let (done, rounds) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let reader = |_| -> BoxFuture<'static, ()> {
        let store = Arc::clone(&bench.store);
        let (done, rounds) = (Arc::clone(&done), Arc::clone(&rounds));
        Box::pin(async move {
            while !done.load(Ordering::SeqCst) {
                let seen = store.changes_after(Some(first), 0).await.unwrap().len();
                assert!(
                    matches!(seen, 0 | 3),
                    "half of a creation was seen: {seen} of 3 changes"
                );
                let active = store
                    .list(&Status::Active.into(), Page::default())
                    .await
                    .unwrap();
                assert_eq!(
                    active.items.len(),
                    1,
                    "one of both is marked active, always"
                );
                rounds.fetch_add(1, Ordering::SeqCst);
                give_way().await;
            }
        })
    };
    let mut tasks: Vec<_> = (0..4).map(reader).collect();
    let store = Arc::clone(&bench.store);
    tasks.push(Box::pin(async move {
        let admission = Admission::new(&reviewed_first(), &unlimited(), &profile("prod"));
        let admission = admission.with_review_override(&user("carol"), "they are asleep");
        while rounds.load(Ordering::SeqCst) < 10 {
            give_way().await;
        }
        let created = store.create(&draft(2, "alice", "prod"), &admission).await;
        done.store(true, Ordering::SeqCst);
        assert!(created.is_ok(), "the override lets it begin: {created:?}");
    }));
    bench.suite.together(tasks).await;
    assert_eq!(bench.changes(Some(first)).await.len(), 3);
}
