//! A request of Alice's, and the rules that it is made under.

use std::time::Duration;

use countersign_request::{ApprovalPolicy, Draft, RequestId, Terms};

use super::{profile, user};

/// Bob approves everything.
pub fn rules() -> ApprovalPolicy {
    r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob"]}]}"#
        .parse()
        .unwrap()
}

pub fn terms() -> Terms {
    Terms::of(&rules(), &profile("prod"))
}

pub fn draft(id: u64) -> Draft {
    Draft {
        id: RequestId::from_bits(id),
        requester: user("alice"),
        profile: profile("prod"),
        duration: Duration::from_secs(3600),
        justification: "migrate the orders table".into(),
        ticket: None,
        policy: None,
        idempotency_key: None,
    }
}
