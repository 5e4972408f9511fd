//! Changing requests: what each change leaves, the optimistic lock, and the order of the errors.

use super::ground::*;
use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;
use crate::history::{Action, Actor};
use crate::record::Request;
use crate::refusal::Refusal;
use crate::store::StoreExt;
use crate::transition::Status;
use countersign_core::version::{Conflict, Version};

/// Every change, on a request that it can be made to, with what it leaves.
fn changes() -> [(Status, &'static str, Change, Action, Actor); 9] {
    let by = |name: &str| Actor::User(user(name));
    let (alice, bob) = (by("alice"), by("bob"));
    let (pending, approved) = (Status::Pending, Status::Approved);
    let rule = Actor::Rule("automatic".into());
    [
        (
            pending,
            "prod",
            approve("bob"),
            Action::Approved,
            bob.clone(),
        ),
        (
            pending,
            "dev",
            approve_by_rule("dev"),
            Action::Approved,
            rule,
        ),
        (pending, "prod", deny("bob"), Action::Denied, bob.clone()),
        (pending, "prod", cancel(), Action::Cancelled, alice.clone()),
        (
            pending,
            "prod",
            Change::expire(),
            Action::Expired,
            Actor::Time,
        ),
        (
            approved,
            "prod",
            revoke("bob"),
            Action::Revoked,
            bob.clone(),
        ),
        (approved, "prod", release(), Action::Released, alice),
        (
            approved,
            "prod",
            Change::end_void(),
            Action::Ended,
            Actor::Clock,
        ),
        (pending, "prod", note("bob", "seen"), Action::Noted, bob),
    ]
}

/// Brings a pending request to where a change can be made to it.
async fn ready(ground: &Ground, pending: &Request, status: Status, action: Action) {
    match (status, action) {
        (_, Action::Ended) => {
            ground.approved_ahead(pending, HOUR * 8).await;
            ground.clock.advance(HOUR);
        }
        (Status::Approved, _) => {
            ground.change(pending.id.to_bits(), &approve("bob")).await;
        }
        (_, Action::Expired) => ground.clock.set(pending.decide_by),
        _ => {}
    }
}

/// Each change is one entry: what, by whom, and from which version to which, and when.
pub async fn each_change_is_one_entry(ground: Ground) {
    for (bits, (status, name, change, action, actor)) in (1..).zip(changes()) {
        let created = ground.create(&draft_for(bits, name)).await;
        ready(&ground, &created, status, action).await;
        let before = ground.get(bits).await;
        let after = ground.change(bits, &change).await;
        let (new, old) = after
            .history
            .split_last()
            .expect("a history is never empty");
        assert_eq!(*old, before.history, "{action:?}: earlier entries stay");
        assert_eq!((new.action, &new.actor), (action, &actor), "what, by whom");
        assert_eq!(new.from, Some(before.updated_at), "{action:?}: from");
        assert_eq!(new.to, after.updated_at, "{action:?}: to");
        assert_eq!(new.at, ground.now(), "{action:?}: when");
        let leads_to = action.status().unwrap_or(status);
        assert_eq!(after.status, leads_to, "{action:?}: the status");
    }
}

/// The reason that an actor gives is in the history, and with an approval in the approval.
pub async fn reasons_are_kept(ground: Ground) {
    let why = "it's \"late\";\n-- 東京";
    ground.create(&draft_for(1, "many")).await;
    let rules = r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob"]}]}"#;
    let rules = rules.parse().unwrap();
    let many = profile("many");
    let approve = Change::approve(&rules, &many, &user("bob"), Some(why));
    let approved = ground.change(1, &approve).await;
    assert_eq!(approved.approvals[0].reason.as_deref(), Some(why));
    let release = Change::release(&user("alice"), Some("done"));
    let released = ground.change(1, &release).await;
    let reasons: Vec<_> = released
        .history
        .iter()
        .map(|e| e.reason.as_deref())
        .collect();
    assert_eq!(
        reasons,
        [None, Some(why), Some("done")],
        "each entry keeps the reason of its actor"
    );
}

/// Who asked for what, for how long and why, never changes.
pub async fn the_identity_never_changes(ground: Ground) {
    for (bits, (status, name, change, action, _)) in (1..).zip(changes()) {
        let draft = Draft {
            ticket: Some("OPS-1".into()),
            policy: Some(digest(1)),
            ..draft_for(bits, name)
        };
        let created = ground.create(&draft).await;
        ready(&ground, &created, status, action).await;
        let after = ground.change(bits, &change).await;
        assert_eq!(
            identity(&after),
            identity(&created),
            "{action:?}: the identity of a request never changes"
        );
    }
}

/// Notes are written whatever the status; the last one stands, the history keeps all.
pub async fn notes_can_be_written_at_any_time(ground: Ground) {
    for (bits, status) in (1..).zip(Status::ALL) {
        let before = ground.with_status(bits, status).await;
        ground.change(bits, &note("dave", "first")).await;
        let after = ground.change(bits, &note("erin", "second")).await;
        assert_eq!(
            after.note.as_deref(),
            Some("second"),
            "the last note stands"
        );
        assert_eq!(after.status, status, "a note leaves the status alone");
        assert_eq!(after.access_until, before.access_until, "and the access");
        let notes = &after.history[before.history.len()..];
        let notes: Vec<_> = notes.iter().map(|e| e.reason.as_deref()).collect();
        assert_eq!(notes, [Some("first"), Some("second")], "all are kept");
    }
}

/// A long history is kept whole, in order.
pub async fn a_long_history_is_kept_whole(ground: Ground) {
    ground.create(&draft(1)).await;
    for number in 0..120 {
        ground
            .change(1, &note("bob", &format!("note {number}")))
            .await;
    }
    let history = &ground.get(1).await.history;
    assert_eq!(history.len(), 121, "every change is an entry");
    for (number, entry) in history[1..].iter().enumerate() {
        let text = format!("note {number}");
        assert_eq!(entry.reason.as_deref(), Some(text.as_str()), "in order");
        assert_eq!(entry.from, Some(history[number].to), "without a gap");
    }
}

/// A change at a stale version is refused, with the version that it should have been.
pub async fn a_stale_version_is_a_conflict(ground: Ground) {
    let stale = ground.create(&draft(1)).await.updated_at;
    let actual = ground.change(1, &note("bob", "seen")).await.updated_at;
    for expected in [
        stale,
        Version::from_nanos(actual.as_nanos() + 1),
        Version::from_nanos(actual.as_nanos() - 1),
        Version::from_nanos(0),
    ] {
        let approve = approve("bob");
        let call = ground.try_update(1, expected, &approve);
        let result = ground.without_trace(call).await;
        demand!(
            result,
            Err(Error::Conflict(conflict)) if conflict == (Conflict { expected, actual }),
            "a stale version is a conflict, with the version that the record has"
        );
    }
    let result = ground.try_update(1, actual, &approve("bob")).await;
    assert!(
        result.is_ok(),
        "the version that the record has is accepted"
    );
}

/// Every change makes a new version, a note and an approval in part too.
pub async fn every_change_makes_a_version(ground: Ground) {
    let created = ground.create(&draft_for(1, "pair")).await;
    let noted = ground.change(1, &note("alice", "seen")).await;
    let in_part = ground.change(1, &approve_for("pair", "bob")).await;
    for stale in [created.updated_at, noted.updated_at] {
        let result = ground.try_update(1, stale, &cancel()).await;
        demand!(
            result,
            Err(Error::Conflict(_)),
            "what was read before a change is stale"
        );
    }
    assert!(created.updated_at < noted.updated_at, "versions grow");
    assert!(noted.updated_at < in_part.updated_at, "versions grow");
}

/// What is not there cannot be changed, whatever else is wrong.
pub async fn not_found_is_told_before_conflict(ground: Ground) {
    let version = ground.create(&draft(1)).await.updated_at;
    for change in [approve("bob"), approve("mallory"), note("bob", "seen")] {
        let call = ground.try_update(2, version, &change);
        let result = ground.without_trace(call).await;
        demand!(result, Err(Error::NotFound { id: missing }) if missing == id(2), "not found first, by its id");
    }
}

/// A stale change is a conflict, even if it could not be made anyway.
pub async fn conflict_is_told_before_the_rules(ground: Ground) {
    let stale = ground.create(&draft(1)).await.updated_at;
    ground.change(1, &deny("bob")).await;
    let result = ground.try_update(1, stale, &approve("bob")).await;
    demand!(
        result,
        Err(Error::Conflict(_)),
        "conflict before invalid transition"
    );
    let stale = ground.create(&draft(2)).await.updated_at;
    ground.change(2, &note("bob", "seen")).await;
    let result = ground.try_update(2, stale, &approve("mallory")).await;
    demand!(result, Err(Error::Conflict(_)), "conflict before refused");
}

/// A status that leads nowhere is told before what a rule forbids.
pub async fn transition_is_told_before_refused(ground: Ground) {
    ground.create(&draft(1)).await;
    ground.change(1, &deny("bob")).await;
    let result = ground.try_change(1, &approve("mallory")).await;
    demand!(
        result,
        Err(Error::InvalidTransition {
            from: Status::Denied,
            to: Status::Approved,
            ..
        }),
        "invalid transition before refused"
    );
}

/// From each status only the transitions that there are; no others change anything.
pub async fn a_status_leads_only_where_it_may(ground: Ground) {
    let changes = [
        (Status::Approved, approve("carol")),
        (Status::Denied, deny("carol")),
        (Status::Expired, Change::expire()),
        (Status::Cancelled, cancel()),
        (Status::Revoked, revoke("carol")),
        (Status::Released, release()),
        (Status::Ended, Change::end_void()),
    ];
    for (bits, status) in (1..).zip(Status::ALL) {
        ground.with_status(bits, status).await;
        for (target, change) in &changes {
            if status.can_become(*target) {
                continue;
            }
            let call = ground.try_change(bits, change);
            let result = ground.without_trace(call).await;
            demand!(
                result,
                Err(Error::InvalidTransition { from, to, .. }) if (from, to) == (status, *target),
                "a status leads only where it may"
            );
        }
    }
}

/// A change that a function makes is made from the record as it is; its error is passed on.
pub async fn a_function_changes_what_it_has_read(ground: Ground) {
    let read = ground.create(&draft(1)).await;
    let retry = retry();
    let call = ground.store.update_with(id(1), &retry, |request| {
        assert_eq!(*request, *read, "the function is given the record");
        Err(Error::Refused(Refusal::OwnRequest { user: user("x") }))
    });
    let result = ground.without_trace(call).await;
    demand!(
        result,
        Err(Error::Refused(Refusal::OwnRequest { .. })),
        "its error is passed on"
    );
    let call = ground
        .store
        .update_with(id(1), &retry, |_| Ok(note("bob", "seen")));
    let changed = call.await.expect("the change is made");
    assert_eq!(changed.note.as_deref(), Some("seen"));
    let call = ground
        .store
        .update_with(id(2), &retry, |_| Ok(note("bob", "seen")));
    demand!(
        call.await,
        Err(Error::NotFound { .. }),
        "what is not there is not found"
    );
}
