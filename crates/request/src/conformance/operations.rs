//! Idempotency keys: a repeat gets the first result and changes nothing.

use std::time::Duration;

use super::ground::*;
use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;
use crate::refusal::Refusal;
use crate::transition::Status;
use countersign_core::version::Version;

/// A creation that is repeated gives the first result, whatever came since.
pub async fn a_repeated_creation_gives_the_first_result(ground: Ground) {
    let first = ground.create(&draft_in(1, 1)).await;
    for change in [note("bob", "seen"), approve("bob"), release()] {
        let repeated = ground.without_trace(ground.create(&draft_in(1, 1))).await;
        assert_eq!(repeated, first, "the first result, as it was then");
        ground.change(1, &change).await;
    }
    let repeated = ground.without_trace(ground.create(&draft_in(1, 1))).await;
    assert_eq!(repeated, first, "the first result, whatever came since");
}

/// Each change that is repeated gives its first result, at whatever version it is sent.
pub async fn a_repeated_change_gives_the_first_result(ground: Ground) {
    let changes = [
        (Status::Pending, "prod", approve("bob")),
        (Status::Pending, "dev", approve_by_rule("dev")),
        (Status::Pending, "pair", approve_for("pair", "bob")),
        (Status::Pending, "prod", deny("bob")),
        (Status::Pending, "prod", cancel()),
        (Status::Approved, "prod", revoke("bob")),
        (Status::Approved, "prod", release()),
        (Status::Pending, "prod", note("bob", "seen")),
    ];
    for (bits, (status, name, change)) in (1..).zip(changes) {
        ground.create(&draft_for(bits, name)).await;
        if status == Status::Approved {
            ground.change(bits, &approve("bob")).await;
        }
        let read = ground.get(bits).await.updated_at;
        let change = change.with_idempotency_key(operation(bits));
        let first = ground.change(bits, &change).await;
        let now = ground.change(bits, &note("erin", "later")).await.updated_at;
        for expected in [read, first.updated_at, now, Version::from_nanos(0)] {
            let call = ground.try_update(bits, expected, &change);
            let repeated = ground.without_trace(call).await;
            let repeated = repeated.expect("a repeat is answered");
            assert_eq!(repeated, first, "the first result, at whatever version");
        }
    }
}

/// A repeat gets its answer also where time or rules would refuse a first try.
pub async fn a_repeat_is_not_judged_again(ground: Ground) {
    let first = ground.create(&draft_in(1, 1)).await;
    let approve = approve("bob").with_idempotency_key(operation(2));
    let approved = ground.change(1, &approve).await;
    ground.clock.set(first.decide_by + HOUR);
    let version = approved.updated_at;
    let repeated = ground.try_update(1, version, &approve).await;
    let repeated = repeated.expect("a repeat is not judged again");
    assert_eq!(
        repeated, approved,
        "the first result, though it is too late"
    );
    let nobody = terms_of("nobody");
    let repeated = ground.store.create(&draft_in(1, 1), &nobody).await;
    let repeated = repeated.expect("a repeat is not judged again");
    assert_eq!(repeated, first, "the first result, under whatever terms");
}

/// The operation is in the history, of a creation and of a change.
pub async fn the_history_names_the_operation(ground: Ground) {
    ground.create(&draft_in(1, 0)).await;
    let change = note("bob", "seen").with_idempotency_key(operation(u64::MAX));
    ground.change(1, &change).await;
    let request = ground.change(1, &note("bob", "again")).await;
    let named: Vec<_> = request.history.iter().map(|e| e.idempotency_key).collect();
    assert_eq!(
        named,
        [Some(operation(0)), Some(operation(u64::MAX)), None],
        "each entry names its own operation"
    );
}

/// An operation of one creation is not that of another, whatever differs.
pub async fn a_creation_under_a_used_operation_is_refused(ground: Ground) {
    ground.create(&draft_in(1, 1)).await;
    let same = || draft_in(1, 1);
    let others = [
        Draft {
            id: id(2),
            ..same()
        },
        Draft {
            requester: user("dave"),
            ..same()
        },
        Draft {
            profile: profile("stage"),
            ..same()
        },
        Draft {
            duration: HOUR + Duration::from_nanos(1),
            ..same()
        },
        Draft {
            justification: format!("{WHY}."),
            ..same()
        },
        Draft {
            ticket: Some("OPS-1".into()),
            ..same()
        },
        Draft {
            policy: Some(digest(0)),
            ..same()
        },
    ];
    for draft in others {
        let result = ground.without_trace(ground.try_create(&draft)).await;
        demand!(
            result,
            Err(Error::IdempotencyKeyReused { idempotency_key: used, id: by }) if (used, by) == (operation(1), id(1)),
            "an operation is of one creation, and the error says of which request"
        );
    }
    ground.create(&draft_in(2, 2)).await;
}

/// An operation of one change is not that of another, of whatever request.
pub async fn a_change_under_a_used_operation_is_refused(ground: Ground) {
    ground.create(&draft(1)).await;
    ground.create(&draft(2)).await;
    ground
        .change(1, &note("bob", "seen").with_idempotency_key(operation(1)))
        .await;
    let others = [
        (2, note("bob", "seen")),
        (1, note("bob", "Seen")),
        (1, note("carol", "seen")),
        (1, deny("bob")),
    ];
    for (bits, change) in others {
        let change = change.with_idempotency_key(operation(1));
        let result = ground.without_trace(ground.try_change(bits, &change)).await;
        demand!(
            result,
            Err(Error::IdempotencyKeyReused { idempotency_key: used, id: by }) if (used, by) == (operation(1), id(1)),
            "an operation is of one change, and the error says of which request"
        );
    }
    let result = ground.try_create(&draft_in(3, 1)).await;
    demand!(
        result,
        Err(Error::IdempotencyKeyReused { .. }),
        "creations and changes share operations"
    );
    ground
        .change(2, &note("bob", "seen").with_idempotency_key(operation(2)))
        .await;
}

/// That an operation was used is told before anything else.
pub async fn a_used_operation_is_told_first(ground: Ground) {
    let version = ground.create(&draft_in(1, 1)).await.updated_at;
    ground.create(&draft(2)).await;
    let change = deny("mallory").with_idempotency_key(operation(1));
    let stale = Version::from_nanos(0);
    for (bits, expected) in [(9, version), (1, stale), (2, version), (1, version)] {
        let result = ground.try_update(bits, expected, &change).await;
        demand!(
            result,
            Err(Error::IdempotencyKeyReused { .. }),
            "before not found, conflict and refused"
        );
    }
    let invalid = Draft {
        justification: "x".into(),
        ..draft_in(2, 1)
    };
    let result = ground.try_create(&invalid).await;
    demand!(
        result,
        Err(Error::IdempotencyKeyReused { .. }),
        "before taken and invalid"
    );
}

/// A call that failed leaves no trace of its idempotency key: it is judged anew, and can be another.
pub async fn a_failed_call_leaves_no_operation(ground: Ground) {
    let invalid = Draft {
        duration: Duration::ZERO,
        ..draft_in(1, 1)
    };
    demand!(
        ground.try_create(&invalid).await,
        Err(Error::Invalid(_)),
        "invalid"
    );
    let created = ground.create(&draft_in(1, 1)).await;
    let expire = Change::expire().with_idempotency_key(operation(2));
    let refusal = ground.refusal(1, &expire).await;
    demand!(refusal, Refusal::NotDue { .. }, "not due");
    let stale = Version::from_nanos(0);
    let conflict = ground.try_update(1, stale, &expire).await;
    demand!(conflict, Err(Error::Conflict(_)), "stale");
    demand!(
        ground.try_update(9, stale, &expire).await,
        Err(Error::NotFound { .. }),
        "missing"
    );
    ground.clock.set(created.decide_by);
    let expired = ground.change(1, &expire).await;
    assert_eq!(expired.status, Status::Expired, "it is judged anew");
    demand!(
        ground.try_create(&draft_in(1, 3)).await,
        Err(Error::AlreadyExists { .. }),
        "a taken id"
    );
    ground.create(&draft_in(2, 3)).await;
}

/// A deleted request takes its operations with it.
pub async fn a_deleted_request_takes_its_operations(ground: Ground) {
    ground.create(&draft_in(1, 1)).await;
    ground
        .change(1, &deny("bob").with_idempotency_key(operation(2)))
        .await;
    ground.delete(1).await;
    let again = ground.create(&draft_in(1, 1)).await;
    assert_eq!(again.status, Status::Pending, "it is created anew");
    ground.create(&draft_in(2, 2)).await;
}

/// A repeat of a change of a deleted request finds neither.
pub async fn a_repeat_after_a_deletion_is_not_found(ground: Ground) {
    ground.create(&draft(1)).await;
    let deny = deny("bob").with_idempotency_key(operation(1));
    let denied = ground.change(1, &deny).await;
    ground.delete(1).await;
    let result = ground.try_update(1, denied.updated_at, &deny).await;
    demand!(
        result,
        Err(Error::NotFound { .. }),
        "the operation is gone with its request"
    );
}

/// Without an operation the same call is another call.
pub async fn without_an_operation_nothing_is_a_repeat(ground: Ground) {
    ground.create(&draft_in(1, 1)).await;
    let result = ground.try_create(&draft(1)).await;
    demand!(result, Err(Error::AlreadyExists { .. }), "another creation");
    ground.change(1, &note("bob", "seen")).await;
    let twice = ground.change(1, &note("bob", "seen")).await;
    assert_eq!(twice.history.len(), 3, "two notes that say the same");
}
