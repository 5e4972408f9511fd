//! Deciding requests: deadlines to the nanosecond, access from the approval on, approvals in part.

use std::time::Duration;

use super::ground::*;
use crate::change::Change;
use crate::history::Action;
use crate::refusal::Refusal;
use crate::transition::Status;

/// The last nanosecond before the deadline is in time.
pub async fn the_last_nanosecond_is_in_time(ground: Ground) {
    for (bits, change) in [(1, approve("bob")), (2, deny("bob"))] {
        let created = ground.create(&draft(bits)).await;
        ground.clock.set(created.decide_by - NANOSECOND);
        let decided = ground.change(bits, &change).await;
        assert_eq!(Some(decided.status), change.target(), "in time");
    }
}

/// At the deadline it is too late to decide.
pub async fn the_deadline_is_too_late(ground: Ground) {
    let created = ground.create(&draft(1)).await;
    ground.clock.set(created.decide_by);
    for change in [approve("bob"), deny("bob")] {
        let refusal = ground.refusal(1, &change).await;
        let decide_by = created.decide_by;
        assert_eq!(refusal, Refusal::TooLate { decide_by }, "too late");
    }
}

/// A request expires at its deadline and not a nanosecond before.
pub async fn a_request_expires_at_its_deadline(ground: Ground) {
    let created = ground.create(&draft(1)).await;
    let decide_by = created.decide_by;
    ground.clock.set(decide_by - NANOSECOND);
    let refusal = ground.refusal(1, &Change::expire()).await;
    assert_eq!(refusal, Refusal::NotDue { decide_by }, "not yet");
    ground.clock.set(decide_by);
    let expired = ground.change(1, &Change::expire()).await;
    assert_eq!(expired.status, Status::Expired, "expired at the deadline");
}

/// Access begins at the approval and lasts for what was asked.
pub async fn access_begins_at_the_approval(ground: Ground) {
    ground.create(&draft(1)).await;
    ground.clock.advance(HOUR * 5);
    let approved = ground.change(1, &approve("bob")).await;
    assert_eq!(
        approved.access_until,
        Some(start() + HOUR * 6),
        "access lasts from the approval for what was asked"
    );
    let approval = approved.approval.clone();
    assert_eq!(approval.map(|a| a.at), Some(ground.now()), "and says when");
    assert_eq!(approved.approval.as_ref(), approved.approvals.last());
}

/// Access can be ended until its last nanosecond, and not after.
pub async fn access_can_be_ended_until_it_is_over(ground: Ground) {
    for (first, second, change) in [(1, 2, revoke("bob")), (3, 4, release())] {
        let until = ground.approved(first).await.access_until.expect("approved");
        let over = ground
            .approved(second)
            .await
            .access_until
            .expect("approved");
        ground.clock.set(until - NANOSECOND);
        let ended = ground.change(first, &change).await;
        assert_eq!(Some(ended.status), change.target(), "it was not over");
        assert_eq!(
            ended.access_until,
            Some(until),
            "the record says what it was"
        );
        ground.clock.set(over);
        let refusal = ground.refusal(second, &change).await;
        assert_eq!(refusal, Refusal::AccessOver { until: over }, "it is over");
    }
}

/// An approval in part is kept, leaves the request pending, and gives no access.
pub async fn an_approval_in_part_is_kept(ground: Ground) {
    ground.create(&draft_for(1, "pair")).await;
    let part = ground.change(1, &approve_for("pair", "bob")).await;
    assert_eq!(
        part.status,
        Status::Pending,
        "others have to approve it too"
    );
    assert_eq!((&part.approval, part.access_until), (&None, None));
    assert_eq!(part.approvals.len(), 1, "the approval is kept");
    assert_eq!(part.history[1].action, Action::ApprovedInPart);
    assert_eq!(ground.listed(Status::Pending).await, [1], "still pending");
    assert_eq!(ground.grant("pair", None, start()).await, None, "no access");
    assert_eq!(
        ground.list_expirable(part.decide_by, 0).await,
        [1],
        "still to be decided"
    );
}

/// The approval that meets the last group begins the access.
pub async fn the_last_group_begins_the_access(ground: Ground) {
    ground.create(&draft_for(1, "pair")).await;
    ground.change(1, &approve_for("pair", "bob")).await;
    ground.clock.advance(Duration::from_secs(90));
    let whole = ground.change(1, &approve_for("pair", "dave")).await;
    assert_eq!(whole.status, Status::Approved, "all groups have approved");
    assert_eq!(whole.access_until, Some(ground.now() + HOUR), "from now");
    let by: Vec<_> = whole.approving_people().map(|p| p.as_str()).collect();
    assert_eq!(by, ["bob", "dave"], "every approval is kept, in order");
    assert_eq!(ground.grant("pair", None, ground.now()).await, Some(1));
}

/// A user approves once, under any spelling, and counts for one group.
pub async fn a_user_counts_once(ground: Ground) {
    ground.create(&draft_for(1, "pair")).await;
    let part = ground.change(1, &approve_for("pair", "carol")).await;
    assert_eq!(part.status, Status::Pending, "carol counts for one group");
    let refusal = ground.refusal(1, &approve_for("pair", "carol")).await;
    demand!(
        refusal,
        Refusal::AlreadyApproved { .. },
        "a user approves once"
    );
    let whole = ground.change(1, &approve_for("pair", "bob")).await;
    assert_eq!(whole.status, Status::Approved, "bob meets the other group");
}

/// One denial denies, whoever has approved before; what they did is kept.
pub async fn one_denial_denies(ground: Ground) {
    ground.create(&draft_for(1, "pair")).await;
    ground.change(1, &approve_for("pair", "bob")).await;
    let denied = ground.change(1, &deny_for("pair", "dave")).await;
    assert_eq!(denied.status, Status::Denied, "one denial denies");
    assert_eq!(denied.approvals.len(), 1, "the approval in part is kept");
    assert_eq!(ground.grant("pair", None, start()).await, None, "no access");
}

/// A rule that approves is recorded as a rule, never as a user.
pub async fn a_rule_approves_as_a_rule(ground: Ground) {
    ground.create(&draft_for(1, "dev")).await;
    let approved = ground.change(1, &approve_by_rule("dev")).await;
    let by = approved.approval.as_ref().map(|a| a.by.to_string());
    assert_eq!(by.as_deref(), Some("rule `automatic`"), "by the rule");
    assert_eq!(approved.approving_people().count(), 0, "by nobody");
    assert_eq!(ground.grant("dev", None, start()).await, Some(1), "access");
}
