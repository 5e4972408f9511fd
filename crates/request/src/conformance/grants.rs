//! Looking for access: whose, for what, until when, and under which policy.

use super::ground::*;
use crate::approval_policy::ApprovalPolicy;
use crate::change::Change;
use crate::draft::Draft;
use crate::terms::Terms;
use crate::transition::Status;

/// Access is found until its last nanosecond.
pub async fn access_is_found_until_it_is_over(ground: Ground) {
    let approved = ground.approved(1).await;
    let until = approved.access_until.expect("approved");
    assert_eq!(ground.prod(approved.changed_at()).await, Some(1), "at once");
    assert_eq!(ground.prod(until - NANOSECOND).await, Some(1), "to the end");
    assert_eq!(ground.prod(until).await, None, "and no longer");
}

/// Only an approved request gives access.
pub async fn only_what_is_approved_gives_access(ground: Ground) {
    for (bits, status) in (1..).zip(Status::ALL) {
        let name = format!("user-{bits}");
        let draft = draft_of(bits, &name);
        let created = ground.create(&draft).await;
        let release = crate::Change::release(&user(&name), None);
        match status {
            Status::Pending => {}
            Status::Denied => drop(ground.change(bits, &deny("bob")).await),
            Status::Cancelled => {
                let cancel = crate::Change::cancel(&user(&name), None);
                ground.change(bits, &cancel).await;
            }
            Status::Expired => {
                ground.clock.set(created.decide_by);
                ground.change(bits, &crate::Change::expire()).await;
            }
            Status::Approved => drop(ground.change(bits, &approve("bob")).await),
            Status::Revoked => {
                ground.change(bits, &approve("bob")).await;
                ground.change(bits, &revoke("bob")).await;
            }
            Status::Released => {
                ground.change(bits, &approve("bob")).await;
                ground.change(bits, &release).await;
            }
            Status::Ended => drop(ground.ended_by_the_clock(&draft).await),
        }
        let (requester, profile) = (&draft.requester, &draft.profile);
        let found = ground.store.find_grant(requester, profile, None).await;
        let found = found.expect("grants can be looked for");
        let gives = status == Status::Approved;
        assert_eq!(
            found.is_some(),
            gives,
            "{status}: only what is approved gives access"
        );
        let request = ground.get(bits).await;
        if let Some(approval) = &request.approval {
            let then = ground.access_at(requester, profile, None, approval.at);
            assert_eq!(then.await.is_some(), gives, "{status}: nor did it");
        }
    }
}

/// Of several the longest is found; when it is taken back, the next.
pub async fn the_longest_access_is_found(ground: Ground) {
    for (bits, hours) in [(1, 2), (2, 5), (3, 1), (4, 4)] {
        let draft = Draft {
            duration: HOUR * hours,
            ..draft(bits)
        };
        ground.create(&draft).await;
        ground.change(bits, &approve("bob")).await;
    }
    let at = start() + NANOSECOND * 20;
    assert_eq!(ground.prod(at).await, Some(2), "the longest");
    ground.change(2, &revoke("bob")).await;
    assert_eq!(ground.prod(at).await, Some(4), "what is revoked hides none");
    ground.change(4, &release()).await;
    assert_eq!(
        ground.prod(at).await,
        Some(1),
        "what is released hides none"
    );
    assert_eq!(
        ground.prod(start() + HOUR).await,
        Some(1),
        "a shorter one is over"
    );
}

/// Of several that last as long, the one with the smallest id, pinned or not.
pub async fn of_equals_the_smallest_id_is_found(ground: Ground) {
    let pinned = |bits| Draft {
        policy: Some(digest(1)),
        ..draft_for(bits, "pinned")
    };
    let free = Draft {
        profile: profile("pinned"),
        ..draft(2)
    };
    for bits in [3, 1] {
        ground.create(&pinned(bits)).await;
    }
    ground.approved(9).await;
    ground.approved(5).await;
    // Under terms that do not pin.
    let terms = Terms::of(&lax(), &free.profile);
    let created = ground.store.create(&free, &terms).await;
    created.expect("the terms let it");
    for bits in [3, 2, 1] {
        let by = Change::approve(&lax(), &free.profile, &user("bob"), None);
        ground.change(bits, &by).await;
    }
    assert_eq!(ground.prod(start()).await, Some(5), "the smallest id");
    let policy = Some(digest(1));
    for left in [1, 2, 3] {
        let found = ground.grant("pinned", policy, start()).await;
        assert_eq!(found, Some(left), "the smallest id, pinned or not");
        ground.change(left, &release()).await;
    }
}

/// Rules that demand nothing.
fn lax() -> ApprovalPolicy {
    let rules = r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob"]}]}"#;
    rules.parse().expect("the rules are valid")
}

/// Access is of exactly one user to exactly one profile.
pub async fn access_is_for_exactly_one_user_and_profile(ground: Ground) {
    ground.approved(1).await;
    for (name, to) in [
        ("Alice", "prod"),
        ("dave", "prod"),
        ("alice", "PROD"),
        ("alice", "stage"),
    ] {
        let (user, profile) = (user(name), profile(to));
        let found = ground.store.find_grant(&user, &profile, None).await;
        let found = found.expect("grants can be looked for");
        assert_eq!(found, None, "no access for {name} to {to}");
        let found = ground.access_at(&user, &profile, None, start()).await;
        assert_eq!(found, None, "no access for {name} to {to}");
    }
    assert_eq!(ground.prod(start()).await, Some(1), "but for alice to prod");
}

/// Access that is pinned holds under its policy and under no other.
pub async fn pinned_access_holds_under_its_policy(ground: Ground) {
    let pinned = Draft {
        policy: Some(digest(1)),
        ..draft_for(1, "pinned")
    };
    ground.create(&pinned).await;
    ground.change(1, &approve_for("pinned", "bob")).await;
    let at = start() + NANOSECOND;
    let under = |policy| ground.grant("pinned", policy, at);
    assert_eq!(under(Some(digest(1))).await, Some(1), "under its policy");
    assert_eq!(under(Some(digest(2))).await, None, "under no other");
    assert_eq!(under(None).await, None, "not under one that is not known");
}

/// Access that names a policy and is not pinned holds under every policy.
pub async fn access_that_is_not_pinned_holds_under_every_policy(ground: Ground) {
    let named = Draft {
        policy: Some(digest(1)),
        ..draft(1)
    };
    ground.create(&named).await;
    ground.change(1, &approve("bob")).await;
    for policy in [None, Some(digest(1)), Some(digest(2))] {
        let found = ground.grant("prod", policy, start()).await;
        assert_eq!(found, Some(1), "it is not pinned");
    }
}

/// Pinned access that does not hold hides no shorter access that does.
pub async fn pinned_access_hides_no_shorter_one(ground: Ground) {
    for (bits, byte, hours) in [(1, 1, 2), (2, 2, 4), (3, 3, 3)] {
        let pinned = Draft {
            duration: HOUR * hours,
            policy: Some(digest(byte)),
            ..draft_for(bits, "pinned")
        };
        ground.create(&pinned).await;
        ground.change(bits, &approve_for("pinned", "bob")).await;
    }
    for byte in [1, 2, 3] {
        let found = ground.grant("pinned", Some(digest(byte)), start()).await;
        assert_eq!(found, Some(u64::from(byte)), "each under its own policy");
    }
}

/// Access that is taken back is over at once, and no other with it.
pub async fn what_is_taken_back_is_over_at_once(ground: Ground) {
    ground.approved(1).await;
    ground.approved(2).await;
    let revoked = ground.change(2, &revoke("carol")).await;
    let now = revoked.changed_at();
    assert_eq!(ground.prod(now).await, Some(1), "the other access stays");
    ground.change(1, &release()).await;
    assert_eq!(ground.prod(now).await, None, "nothing is left");
}
