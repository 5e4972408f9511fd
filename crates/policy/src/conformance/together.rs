//! Many callers at once: one wins, nothing is lost, and futures do all or nothing.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use countersign_core::clock::Clock;
use countersign_core::future::BoxFuture;
use countersign_core::retry::Retry;
use countersign_core::version::Conflict;

use super::bench::*;
use crate::policy::Policy;
use crate::store::{Attribution, Error, Expected, NamePage, Put, StoreExt, Stored};

type Answers = Vec<Result<Put, Error>>;

/// Puts 50 policies of different users at once.
async fn put_together(
    bench: &Bench,
    name: impl Fn(usize) -> String,
    expected: Expected,
) -> Answers {
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            let store = Arc::clone(&bench.store);
            let (name, policy) = (name(number), some(&format!("user {number}")));
            async move {
                store
                    .put(&name, expected, policy, &Attribution::NOBODY)
                    .await
            }
        })
        .collect();
    bench.suite.together(tasks).await
}

fn winners(answers: &Answers) -> Vec<Arc<Stored>> {
    answers
        .iter()
        .filter_map(|answer| answer.as_ref().ok())
        .map(|put| Arc::clone(put.stored()))
        .collect()
}

/// Of 50 callers who put over one version one wins, and the others are told which version won.
pub(super) async fn of_50_puts_over_one_version_one_wins(bench: Bench) {
    let expected = bench.create("main", "alice").await.version;
    let answers = put_together(&bench, |_| "main".to_owned(), Expected::Version(expected)).await;
    let won = winners(&answers);
    assert_eq!(won.len(), 1, "two writers replaced the same version");
    let actual = won[0].version;
    for answer in answers.iter().filter(|answer| answer.is_err()) {
        assert!(
            matches!(answer, Err(Error::Conflict(found)) if *found == Conflict { expected, actual }),
            "a loser is told which version won: {answer:?}"
        );
    }
    assert_eq!(bench.get("main").await, won[0]);
    assert_eq!(bench.versions("main").await.len(), 2);
}

/// Of 50 callers who put what is absent one wins, and the others are told that it is there.
pub(super) async fn of_50_creations_one_wins(bench: Bench) {
    let answers = put_together(&bench, |_| "main".to_owned(), Expected::Absent).await;
    let won = winners(&answers);
    assert_eq!(won.len(), 1, "two writers created the same policy");
    for answer in answers.iter().filter(|answer| answer.is_err()) {
        assert!(
            matches!(answer, Err(Error::AlreadyExists { actual, .. }) if *actual == won[0].version),
            "a loser is told that it is there: {answer:?}"
        );
    }
    assert_eq!(bench.versions("main").await, won);
}

/// 50 policies put at once all have versions of their own, and all are there.
pub(super) async fn of_50_policies_each_has_its_own_version(bench: Bench) {
    let answers = put_together(&bench, |number| format!("{number:02}"), Expected::Absent).await;
    let versions: BTreeSet<_> = winners(&answers)
        .iter()
        .map(|stored| stored.version)
        .collect();
    assert_eq!(versions.len(), 50, "a version was issued twice");
    assert_eq!(bench.list(0, None).await.items, winners(&answers));
}

/// 50 changes at once through `update_with_retry`, with 50 tries: none is lost.
pub(super) async fn of_50_updates_none_is_lost(bench: Bench) {
    bench.create("main", "alice").await;
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            let store = Arc::clone(&bench.store);
            async move {
                let retry = Retry::default().with_tries(NonZeroU32::MIN.saturating_add(49));
                let added = format!("user {number}");
                let update = |stored: &Stored| {
                    let mut document = stored.content.document();
                    let users = document.rules[0].conditions.users.get_or_insert_default();
                    users.push(added.clone());
                    Ok::<_, Error>(Arc::new(Policy::try_from(document).unwrap()))
                };
                store
                    .update_with_retry("main", &Attribution::NOBODY, &retry, update)
                    .await
            }
        })
        .collect();
    let answers = bench.suite.together(tasks).await;
    assert_eq!(
        winners(&answers).len(),
        50,
        "each writer meets at most 49 conflicts: {answers:?}"
    );
    let document = bench.get("main").await.content.document();
    let users = document.rules[0]
        .conditions
        .users
        .clone()
        .unwrap_or_default();
    assert_eq!(users.len(), 51, "a change was lost");
    assert_eq!(bench.versions("main").await.len(), 51);
}

/// Of 20 deletions of one version one is made.
pub(super) async fn of_20_deletions_one_is_made(bench: Bench) {
    let version = bench.create("main", "alice").await.version;
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let store = Arc::clone(&bench.store);
            async move { store.delete("main", version, &Attribution::NOBODY).await }
        })
        .collect();
    let answers = bench.suite.together(tasks).await;
    let absent = answers
        .iter()
        .filter(|answer| matches!(answer, Err(Error::NotFound { .. })));
    assert_eq!(absent.count(), 19, "it was there once: {answers:?}");
}

/// Readers meanwhile see one version or the next, whole, and never an older one again.
pub(super) async fn readers_see_versions_in_order(bench: Bench) {
    let mut last = bench.create("main", "user 0").await.version;
    let (done, rounds) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let reader = |_| -> BoxFuture<'static, ()> {
        let store = Arc::clone(&bench.store);
        let (done, rounds) = (Arc::clone(&done), Arc::clone(&rounds));
        Box::pin(async move {
            let mut seen = None;
            while !done.load(Ordering::SeqCst) {
                let current = store.get("main").await.unwrap();
                assert!(Some(current.version) >= seen, "an older version came back");
                seen = Some(current.version);
                let versions = store.versions("main").await.unwrap();
                let newest = versions.first().map(|stored| stored.version);
                assert!(
                    newest >= seen,
                    "the current version is not among the versions"
                );
                let listed = store.list(&NamePage::default()).await.unwrap().items;
                assert!(listed[0].version >= current.version, "the list lags behind");
                rounds.fetch_add(1, Ordering::SeqCst);
                give_way().await;
            }
        })
    };
    let mut tasks: Vec<_> = (0..4).map(reader).collect();
    let store = Arc::clone(&bench.store);
    tasks.push(Box::pin(async move {
        for number in 1..=30 {
            let met = rounds.load(Ordering::SeqCst);
            while rounds.load(Ordering::SeqCst) == met {
                give_way().await;
            }
            let (expected, policy) = (Expected::Version(last), some(&format!("user {number}")));
            let put = store
                .put("main", expected, policy, &Attribution::NOBODY)
                .await;
            last = put
                .expect("the only writer meets no conflict")
                .stored()
                .version;
        }
        done.store(true, Ordering::SeqCst);
    }));
    bench.suite.together(tasks).await;
}

/// Nothing happens before the first poll.
pub(super) async fn nothing_happens_before_the_first_poll(bench: Bench) {
    let stored = bench.create("main", "alice").await;
    let before = bench.contents().await;
    let (store, expected) = (&bench.store, Expected::Version(stored.version));
    drop(store.put("other", Expected::Absent, some("bob"), &Attribution::NOBODY));
    drop(store.put("main", expected, some("bob"), &Attribution::NOBODY));
    drop(store.delete("main", stored.version, &Attribution::NOBODY));
    bench
        .assert_unchanged(&before, "a call that was never polled")
        .await;
    let put = store.put("main", expected, some("bob"), &Attribution::NOBODY);
    bench.clock.advance(HOUR);
    let version = put.await.unwrap().stored().version;
    assert_eq!(
        version.time(),
        bench.clock.now(),
        "the step is made after the first poll"
    );
}

/// A call that is dropped on its way is made wholly or not at all, and harms nothing after it.
pub(super) async fn a_dropped_call_is_made_wholly_or_not_at_all(bench: Bench) {
    let first = bench.create("main", "alice").await;
    let expected = Expected::Version(first.version);
    let mut call = bench
        .store
        .put("main", expected, some("bob"), &Attribution::NOBODY);
    poll_fn(|context| {
        let _ = call.as_mut().poll(context);
        Poll::Ready(())
    })
    .await;
    drop(call);
    let versions = bench.versions("main").await;
    assert!(
        matches!(versions.len(), 1 | 2),
        "half of a put was made: {versions:?}"
    );
    let retry = Retry::default();
    let next = bench
        .store
        .update_with_retry("main", &Attribution::NOBODY, &retry, |_| {
            Ok::<_, Error>(some("carol"))
        });
    let next = next.await.expect("the store goes on").into_stored();
    assert_eq!(bench.get("main").await, next);
}

/// Everything is there after a restart, and versions go on.
pub(super) async fn everything_is_there_after_reopening(bench: Bench) {
    bench.create("main", "alice").await;
    bench.clock.advance(NANO);
    let second = bench.next("main", "bob").await;
    bench.create("other", "carol").await;
    let before = bench.contents().await;
    let bench = bench.reopen().await;
    bench.assert_unchanged(&before, "reopening").await;
    assert_eq!(bench.store.load("main").await.unwrap(), second.content);
    let listing = bench.list(1, None).await;
    let bench = bench.reopen().await;
    let rest = bench.list(1, listing.next.as_deref()).await;
    assert_eq!(names(&rest), ["other"], "a page continues");
    let third = bench.replace("main", second.version, "carol").await;
    assert!(
        third.is_ok(),
        "a version that was read before still fits: {third:?}"
    );
}

/// Versions go on after a restart, though the clock has stepped back and the newest policy is gone.
pub(super) async fn versions_go_on_after_reopening(bench: Bench) {
    let first = bench.create("main", "alice").await.version;
    bench
        .store
        .delete("main", first, &Attribution::NOBODY)
        .await
        .unwrap();
    let bench = bench.reopen().await;
    bench.clock.step_back(HOUR);
    let second = bench.create("main", "alice").await.version;
    assert!(
        second > first,
        "version {first} was issued again or passed under"
    );
    let got = bench.store.get_version("main", first).await;
    assert!(
        matches!(got, Err(Error::VersionNotFound { .. })),
        "what is gone stays gone: {got:?}"
    );
}

/// An empty store can be reopened.
pub(super) async fn an_empty_store_is_empty_after_reopening(bench: Bench) {
    let bench = bench.reopen().await;
    assert_eq!(bench.list(0, None).await.items, []);
    assert_eq!(bench.create("main", "alice").await.version.time(), start());
}
