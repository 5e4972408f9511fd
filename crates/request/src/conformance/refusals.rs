//! What the rules forbid stays undone: the store asks them, in its step, and passes on what they say.

use super::ground::*;
use crate::change::Change;
use crate::draft::Draft;
use crate::refusal::Refusal;

/// Nobody approves their own request, under any spelling.
pub async fn nobody_approves_their_own(ground: Ground) {
    for (bits, name) in [(1, "bob"), (2, "BOB")] {
        ground.create(&draft_of(bits, name)).await;
        let refusal = ground.refusal(bits, &approve("bob")).await;
        demand!(
            refusal,
            Refusal::OwnRequest { .. },
            "nobody approves their own"
        );
        ground.change(bits, &approve("carol")).await;
    }
}

/// Only those whom the rule names decide, and only by a rule for the request's profile.
pub async fn only_approvers_decide(ground: Ground) {
    ground.create(&draft(1)).await;
    for change in [approve("mallory"), approve("Bob"), deny("mallory")] {
        let refusal = ground.refusal(1, &change).await;
        demand!(
            refusal,
            Refusal::NotAnApprover { .. },
            "only approvers decide"
        );
    }
    let refusal = ground.refusal(1, &approve_for("stage", "bob")).await;
    demand!(
        refusal,
        Refusal::OtherProfile { .. },
        "rules for another profile do not count"
    );
    ground.change(1, &approve("bob")).await;
}

/// Only the requester cancels or releases, only whom the rule names revokes.
pub async fn only_who_may_ends_a_request(ground: Ground) {
    ground.create(&draft(1)).await;
    let refusal = ground.refusal(1, &Change::cancel(&user("bob"), None)).await;
    demand!(
        refusal,
        Refusal::NotTheRequester { .. },
        "only the requester cancels"
    );
    ground.change(1, &approve("bob")).await;
    let refusal = ground
        .refusal(1, &Change::release(&user("bob"), None))
        .await;
    demand!(
        refusal,
        Refusal::NotTheRequester { .. },
        "only the requester releases"
    );
    let refusal = ground.refusal(1, &revoke("mallory")).await;
    demand!(refusal, Refusal::NotARevoker { .. }, "only revokers revoke");
    ground.create(&draft_for(2, "pair")).await;
    ground.change(2, &approve_for("pair", "bob")).await;
    ground.change(2, &approve_for("pair", "dave")).await;
    let refusal = ground.refusal(2, &revoke_for("pair", "bob")).await;
    demand!(
        refusal,
        Refusal::NotARevoker { .. },
        "an approver is no revoker where others are named"
    );
    ground.change(2, &revoke_for("pair", "erin")).await;
}

/// A rule approves by itself only what it says.
pub async fn a_rule_approves_only_what_it_says(ground: Ground) {
    let long = Draft {
        duration: HOUR * 2,
        ..draft_for(1, "dev")
    };
    ground.create(&long).await;
    ground.create(&draft(2)).await;
    let refusal = ground.refusal(1, &approve_by_rule("dev")).await;
    demand!(
        refusal,
        Refusal::NotAutomatic { .. },
        "the rule's conditions have to hold"
    );
    let refusal = ground.refusal(2, &approve_by_rule("prod")).await;
    demand!(
        refusal,
        Refusal::NotAutomatic { .. },
        "a rule without the clause approves nothing"
    );
    ground.create(&draft_for(3, "dev")).await;
    ground.change(3, &approve_by_rule("dev")).await;
}

/// A reason or note is not empty and not too long.
pub async fn reasons_have_exact_limits(ground: Ground) {
    ground.create(&draft(1)).await;
    for text in [String::new(), "é".repeat(1_001)] {
        let refusal = ground.refusal(1, &note("bob", &text)).await;
        demand!(
            refusal,
            Refusal::Reason(_),
            "a note that is empty or too long is refused"
        );
    }
    for text in ["x".to_owned(), "é".repeat(1_000)] {
        let noted = ground.change(1, &note("bob", &text)).await;
        assert_eq!(noted.note.as_deref(), Some(text.as_str()), "kept whole");
    }
}
