//! Callers at the same time: fifty tasks at a barrier, on four threads, with exact counts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ground::*;
use crate::draft::Draft;
use crate::error::Error;
use crate::record::Request;
use crate::store::StoreExt;
use crate::transition::Status;
use countersign_core::version::Version;

/// Creates drafts at the same time.
async fn create_together(ground: &Ground, drafts: Vec<Draft>) -> Vec<Result<Arc<Request>, Error>> {
    let tasks = drafts.into_iter().map(|draft| {
        let store = Arc::clone(&ground.store);
        async move { store.create(&draft, &terms(&draft)).await }
    });
    ground.suite.together(tasks).await
}

/// Of 50 creations of 50 requests each is there, with a version of its own.
pub async fn fifty_creations_are_all_made(ground: Ground) {
    let results = create_together(&ground, (1..=50).map(draft).collect()).await;
    let mut created: Vec<_> = results.into_iter().map(|r| r.expect("created")).collect();
    let versions: BTreeSet<_> = created.iter().map(|r| r.updated_at).collect();
    assert_eq!(versions.len(), 50, "each has a version of its own");
    created.sort_by_key(|request| request.id);
    let content = ground.content().await;
    assert_eq!(
        content.requests, created,
        "each is there, as it was answered"
    );
}

/// Of 20 creations with one id exactly one is made, and the others are told.
pub async fn one_id_is_created_once(ground: Ground) {
    let named = |n: u64| draft_of(1, &format!("user-{n}"));
    let results = create_together(&ground, (0..20).map(named).collect()).await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1, "an id is created once");
    for result in lost {
        demand!(
            result,
            Err(Error::AlreadyExists { .. }),
            "the others are told"
        );
    }
    let winner = won
        .into_iter()
        .next()
        .expect("one has won")
        .expect("created");
    assert_eq!(
        ground.content().await.requests,
        [winner],
        "what was answered stays"
    );
}

/// Of 20 creations in one operation exactly one is made, and all get its result.
pub async fn one_operation_creates_once(ground: Ground) {
    let drafts = (0..20).map(|_| draft_in(1, 1)).collect();
    let results = create_together(&ground, drafts).await;
    let first = ground.get(1).await;
    for result in results {
        assert_eq!(result.expect("answered"), first, "all get the one result");
    }
    assert_eq!(ground.content().await.changes.len(), 1, "it was made once");
}

/// Of 20 changes in one operation exactly one is made, and all get its result.
pub async fn one_operation_changes_once(ground: Ground) {
    let version = ground.create(&draft(1)).await.updated_at;
    let tasks = (0..20).map(|_| {
        let store = Arc::clone(&ground.store);
        let change = note("bob", "seen").with_idempotency_key(operation(1));
        async move { store.update(id(1), version, &change).await }
    });
    let results = ground.suite.together(tasks).await;
    let first = ground.get(1).await;
    assert_eq!(first.history.len(), 2, "it was made once");
    for result in results {
        assert_eq!(result.expect("answered"), first, "all get the one result");
    }
}

/// Of 20 creations of different requests in one operation one is made; the others are told.
pub async fn one_operation_is_of_one_request(ground: Ground) {
    let drafts = (1..=20).map(|bits| draft_in(bits, 1)).collect();
    let results = create_together(&ground, drafts).await;
    let made = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(made, 1, "an operation creates one request");
    for result in results.into_iter().filter(Result::is_err) {
        demand!(
            result,
            Err(Error::IdempotencyKeyReused { .. }),
            "the others are told"
        );
    }
    assert_eq!(
        ground.content().await.requests.len(),
        1,
        "only one is there"
    );
}

/// Of 25 approvals and 25 denials of one version exactly one is made; 49 meet its version.
pub async fn one_of_fifty_decides(ground: Ground) {
    let version = ground.create(&draft_for(1, "many")).await.updated_at;
    let tasks = (0..50).map(|n| {
        let store = Arc::clone(&ground.store);
        let by = format!("approver-{n}");
        let change = if n % 2 == 0 {
            approve_for("many", &by)
        } else {
            deny_for("many", &by)
        };
        async move { store.update(id(1), version, &change).await }
    });
    let results = ground.suite.together(tasks).await;
    let decided = ground.get(1).await;
    assert_eq!(decided.history.len(), 2, "a request is decided once");
    let mut won = 0;
    for result in results {
        match result {
            Ok(request) => {
                assert_eq!(request, decided, "the winner's answer is what is kept");
                won += 1;
            }
            Err(Error::Conflict(conflict)) => assert_eq!(
                (conflict.expected, conflict.actual),
                (version, decided.updated_at),
                "a loser is told the version that the winner made"
            ),
            Err(error) => panic!("the losers meet a conflict: {error}"),
        }
    }
    assert_eq!(won, 1, "the first wins, and no other");
    ground.content().await;
}

/// 50 notes through `update_with` are all written, each once.
pub async fn fifty_notes_are_all_written(ground: Ground) {
    ground.create(&draft(1)).await;
    let tasks = (0..50).map(|n| {
        let store = Arc::clone(&ground.store);
        async move {
            let (retry, note) = (retry(), note("bob", &format!("note {n}")));
            let written = store.update_with(id(1), &retry, |_| Ok(note.clone())).await;
            written.expect("there are tries enough").updated_at
        }
    });
    let versions = ground.suite.together(tasks).await;
    let request = ground.get(1).await;
    let texts: BTreeSet<_> = request
        .history
        .iter()
        .filter_map(|e| e.reason.clone())
        .collect();
    assert_eq!(texts.len(), 50, "no note is lost");
    assert_eq!(request.history.len(), 51, "no note is written twice");
    let made: BTreeSet<Version> = request.history.iter().skip(1).map(|e| e.to).collect();
    assert_eq!(
        made,
        versions.into_iter().collect(),
        "each has its own version"
    );
    ground.content().await;
}

/// Of 20 deletions of one request exactly one says that it was there.
pub async fn one_of_twenty_deletes(ground: Ground) {
    ground.with_status(1, Status::Denied).await;
    let tasks = (0..20).map(|_| {
        let store = Arc::clone(&ground.store);
        async move { store.delete(id(1), None).await.expect("no error") }
    });
    let results = ground.suite.together(tasks).await;
    let deleted = results.into_iter().filter(|was_there| *was_there).count();
    assert_eq!(deleted, 1, "it was there for one of them");
    assert!(ground.content().await.requests.is_empty(), "it is gone");
}

/// A reader who follows the changes of 50 writers is told each once, in order, and skips none.
pub async fn a_follower_skips_no_change(ground: Ground) {
    let finished = Arc::new(AtomicU64::new(0));
    let tasks = (0..51).map(|n| {
        let (store, finished) = (Arc::clone(&ground.store), Arc::clone(&finished));
        async move {
            let mut seen: Vec<Version> = Vec::new();
            if n > 0 {
                let created = store.create(&draft(n), &terms(&draft(n))).await;
                let version = created.expect("created").updated_at;
                let noted = store.update(id(n), version, &note("bob", "seen")).await;
                noted.expect("nobody else changes it");
                finished.fetch_add(1, Ordering::SeqCst);
                return seen;
            }
            // A store that tells too much is left before it tells without end.
            while seen.len() <= 100 {
                let last_look = finished.load(Ordering::SeqCst) == 50;
                let told = store.changes_after(seen.last().copied(), 7).await;
                let told = told.expect("changes can be read");
                if told.is_empty() && last_look {
                    break;
                }
                seen.extend(told.iter().map(|changed| changed.version));
                give_way().await;
            }
            seen
        }
    });
    let seen = ground.suite.together(tasks).await.swap_remove(0);
    let all = ground.all_changes(None, 0).await;
    let all: Vec<_> = all.iter().map(|changed| changed.version).collect();
    assert_eq!(all.len(), 100, "every change was made");
    assert_eq!(seen, all, "each change once, in order, and none skipped");
}

/// Readers among writers see whole requests, each in the lists where it belongs.
pub async fn readers_see_whole_requests(ground: Ground) {
    let tasks = (0..50).map(|n| {
        let store = Arc::clone(&ground.store);
        async move {
            if n < 25 {
                let draft = draft(n);
                let created = store.create(&draft, &terms(&draft)).await.expect("created");
                let noted = note("bob", "seen").with_idempotency_key(operation(n));
                let noted = store.update(id(n), created.updated_at, &noted).await;
                let version = noted.expect("nobody else changes it").updated_at;
                let approved = store.update(id(n), version, &approve("bob")).await;
                approved.expect("nobody else changes it");
                return;
            }
            for _ in 0..10 {
                for status in [Status::Pending, Status::Approved] {
                    let listing = store.list(&status.into(), crate::Page::default()).await;
                    for request in listing.expect("a list can be read").items {
                        assert_eq!(request.status, status, "in the list of its status");
                        let last = request.history.last().map(|entry| entry.to);
                        assert_eq!(last, Some(request.updated_at), "with its history");
                        let read = store
                            .get(request.id)
                            .await
                            .expect("what is listed is there");
                        assert!(read.updated_at >= request.updated_at, "never older");
                    }
                }
            }
        }
    });
    ground.suite.together(tasks).await;
    let content = ground.content().await;
    assert_eq!(content.requests.len(), 25, "every request is there");
    assert_eq!(content.changes.len(), 75, "every change was made");
}
