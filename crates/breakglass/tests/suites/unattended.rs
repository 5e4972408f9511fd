//! What nobody does: workflows that mark what is over and delete what is old, while people review.

use std::collections::BTreeSet;

use countersign_breakglass::*;
use countersign_core::sync::suite;

use super::Subject;
use super::common::{HOUR, id, review};
use super::gated::retry;
use super::ground::Ground;

/// 10 mark what is over, 5 delete what ended, and 20 review one each of 20 emergencies that are over:
/// each emergency is marked once, reviewed once and deleted once, and nobody is told of those who were
/// faster.
///
/// Fails without: a workflow that passes over what somebody has changed, or that is gone.
pub fn concurrent_expire_and_delete<S: Subject>() {
    suite::run("concurrent_expire_and_delete", |suite| async move {
        let ground = Ground::<S>::new().await;
        let mut end = ground.clock.now();
        for bits in 1..=20 {
            end = ground
                .begin(bits, &format!("user-{bits}"), "prod")
                .await
                .expires_at;
        }
        ground.clock.set(end + HOUR);
        let free = RateLimitPolicy::unlimited();
        let tasks = (0..35).map(|n| {
            let (store, workflow) = (ground.store.clone(), ground.workflow(&free));
            async move {
                match n {
                    0..10 => (workflow.expire_due(0).await.unwrap(), 0),
                    10..15 => {
                        let deleted = workflow.delete_ended_before(end + HOUR, 0);
                        (Vec::new(), deleted.await.unwrap())
                    }
                    _ => {
                        let review = review("carol", "prod");
                        let (on, retry) = (id(n - 14), retry(50));
                        let reviewed = store.update_with(on, &retry, |_| Ok(review.clone()));
                        reviewed.await.unwrap();
                        (Vec::new(), 0)
                    }
                }
            }
        });
        let mut marked = Vec::new();
        let mut deleted = 0;
        for (expired, gone) in suite.together(tasks).await {
            marked.extend(expired);
            deleted += gone;
        }
        let workflow = ground.workflow(&free);
        marked.extend(workflow.expire_due(0).await.unwrap());
        let rest = workflow.delete_ended_before(end + HOUR, 0).await;
        deleted += rest.unwrap();
        let ids: BTreeSet<_> = marked.iter().map(|emergency| emergency.id).collect();
        assert_eq!((marked.len(), ids.len()), (20, 20), "each is marked once");
        assert!(marked.iter().all(|one| one.status == Status::Expired));
        assert_eq!(deleted, 20, "each is deleted once");
        for status in Status::ALL {
            assert!(ground.listed(status).await.is_empty(), "none is left");
        }
        ground.sound();
    });
}
