//! What a rule demands of a request, decided in the step that creates it, and again when it is
//! approved; and access that ends with the policy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use countersign_request::{
    Change, Draft, Error, PolicyDigest, Refusal, Request, Status, Terms, TextError,
};
use serde_json::{Value, json};
use support::{HOUR, NANOSECOND, World, draft, id, profile, rules, start, user};

const POLICY: PolicyDigest = PolicyDigest::from_bytes([7; 32]);
const OTHER: PolicyDigest = PolicyDigest::from_bytes([8; 32]);

/// A world whose one rule lets bob approve and says this as well.
fn world(field: &str, value: Value) -> World {
    let mut rule = json!({"name": "production", "approvers": ["bob"]});
    rule[field] = value;
    World {
        policy: rules(&json!({"version": "1", "rules": [rule]}).to_string()),
        ..World::new()
    }
}

/// Creates it under the rule of its profile; a refusal must store nothing.
fn create(world: &World, draft: &Draft) -> Result<Arc<Request>, Refusal> {
    let terms = Terms::of(&world.policy, &draft.profile);
    let result = world.store.sync().create(draft, &terms);
    world.sound();
    match result {
        Ok(request) => Ok(request),
        Err(Error::Refused(refusal)) => {
            let stored = world.store.sync().get(draft.id);
            assert!(stored.is_err(), "refused and stored");
            Err(refusal)
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_rule_gives_access_for_so_long_and_not_a_nanosecond_more() {
    let world = world("max_duration", json!("1h"));
    assert!(create(&world, &draft(1)).is_ok());
    let longer = Draft {
        duration: HOUR + Duration::from_nanos(1),
        ..draft(2)
    };
    let refusal = create(&world, &longer).unwrap_err();
    assert!(matches!(&refusal, Refusal::TooLong { most, .. } if *most == HOUR));
    let message = refusal.to_string();
    assert!(
        message.contains("`production`") && message.contains("at most `1h`"),
        "{message}"
    );
}

#[test]
fn the_limits_of_the_store_hold_whatever_a_rule_gives() {
    let world = world("max_duration", json!("9h"));
    let terms = Terms::of(&world.policy, &profile("prod"));
    let nine = Draft {
        duration: 9 * HOUR,
        ..draft(1)
    };
    let error = world.store.sync().create(&nine, &terms).unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
}

#[test]
fn a_rule_demands_so_many_characters_of_a_justification() {
    let world = world("min_justification_characters", json!(20));
    let saying = |bits, justification: &str| {
        let justification = justification.to_owned();
        create(
            &world,
            &Draft {
                justification,
                ..draft(bits)
            },
        )
    };
    assert!(saying(1, &"é1".repeat(10)).is_ok());
    let refusal = saying(2, &format!("{}x", "é1".repeat(9))).unwrap_err();
    let problem = TextError::TooShort {
        characters: 19,
        least: 20,
    };
    let rule = Arc::from("production");
    assert_eq!(refusal, Refusal::Justification { rule, problem });
    assert!(
        refusal.to_string().contains("write at least 20"),
        "{refusal}"
    );
}

#[test]
fn a_rule_demands_a_ticket() {
    let world = world("ticket_required", json!(true));
    let refusal = create(&world, &draft(1)).unwrap_err();
    assert!(
        matches!(refusal, Refusal::TicketRequired { .. }),
        "{refusal}"
    );
    let ticket = Some("OPS-4711".to_owned());
    assert!(create(&world, &Draft { ticket, ..draft(1) }).is_ok());
    let world = self::world("ticket_required", json!(false));
    assert!(create(&world, &draft(1)).is_ok());
}

#[test]
fn a_rule_shortens_the_time_to_decide_and_never_lengthens_it() {
    let short = world("decide_within", json!("30m"));
    let request = create(&short, &draft(1)).unwrap();
    assert_eq!(request.decide_by, start() + HOUR / 2);
    short.clock.set(request.decide_by);
    let refusal = short.refusal(1, &short.approve("bob"));
    assert!(matches!(refusal, Refusal::TooLate { .. }), "{refusal}");
    short.clock.set(request.decide_by - NANOSECOND);
    // The refused step used up no version, so the time before it can still be reached.
    assert!(short.change(1, &short.approve("bob")).is_ok());
    let long = world("decide_within", json!("25h"));
    let request = create(&long, &draft(1)).unwrap();
    assert_eq!(request.decide_by, start() + 24 * HOUR);
}

#[test]
fn nobody_can_approve_is_decided_in_the_step_at_its_time() {
    let world = World {
        policy: rules(
            r#"{"version": "1", "rules": [{"name": "own", "profiles": ["prod"],
                "approvers": ["alice"],
                "auto_approve": {"time": {"hours": {"start": "09:00", "end": "10:00"}}}}]}"#,
        ),
        ..World::new()
    };
    assert!(
        create(&world, &draft(1)).is_ok(),
        "the rule approves by itself"
    );
    world.clock.set(start() + HOUR - NANOSECOND);
    assert!(create(&world, &draft(2)).is_ok());
    world.clock.set(start() + HOUR);
    let note = Change::note(&user("bob"), "the hour has struck");
    world.change(1, &note).unwrap();
    // The step's time is the store's, which stands still while its clock steps back a little.
    world.clock.set(start() + HOUR - NANOSECOND);
    let refusal = create(&world, &draft(3)).unwrap_err();
    assert!(
        matches!(refusal, Refusal::NobodyCanApprove { .. }),
        "{refusal}"
    );
    let no_rule = Draft {
        profile: profile("dev"),
        ..draft(4)
    };
    let refusal = create(&world, &no_rule).unwrap_err();
    assert!(
        matches!(refusal, Refusal::NobodyCanApprove { .. }),
        "{refusal}"
    );
}

#[test]
fn terms_are_for_one_profile() {
    let world = World::new();
    let terms = Terms::of(&world.policy, &profile("dev"));
    let error = world.store.sync().create(&draft(1), &terms).unwrap_err();
    assert!(
        matches!(error, Error::Refused(Refusal::OtherProfile { .. })),
        "{error}"
    );
    assert!(world.store.sync().get(id(1)).is_err());
}

#[test]
fn what_a_rule_demands_holds_when_it_approves_too() {
    // Created while nothing was demanded; decided when something is.
    for (field, value, holds) in [
        ("max_duration", json!("59m"), false),
        ("max_duration", json!("1h"), true),
        ("ticket_required", json!(true), false),
        ("min_justification_characters", json!(25), false),
        ("min_justification_characters", json!(24), true),
        ("ends_with_policy", json!(true), false),
    ] {
        let world = world(field, value);
        world.create(&draft(1));
        let result = world.change(1, &world.approve("bob"));
        assert_eq!(result.is_ok(), holds, "{field}: {result:?}");
        if !holds {
            assert!(matches!(result, Err(Error::Refused(_))), "{field}");
            assert!(
                world.change(1, &world.deny("bob")).is_ok(),
                "it can be denied"
            );
        }
    }
}

#[test]
fn revokers_are_those_whom_the_rule_names() {
    let world = world("revokers", json!(["rita"]));
    world.create(&draft(1));
    world.change(1, &world.approve("bob")).unwrap();
    for somebody in ["bob", "Rita", "alice"] {
        let refusal = world.refusal(1, &world.revoke(somebody));
        let (user, rule) = (user(somebody), Arc::from("production"));
        assert_eq!(refusal, Refusal::NotARevoker { user, rule });
    }
    let refusal = world.refusal(1, &Change::release(&user("rita"), None));
    assert!(matches!(refusal, Refusal::NotTheRequester { .. }));
    let revoked = world.change(1, &world.revoke("rita")).unwrap();
    assert_eq!(revoked.status, Status::Revoked);
    let rule = &world.policy.rules()[0];
    assert_eq!(rule.revokers(), [user("rita")]);
    assert!(!rule.names_approver(&user("rita")));
}

#[test]
fn a_release_ends_the_access_at_once_until_it_is_over_anyway() {
    let (world, request) = World::approved();
    let release = Change::release(&user("alice"), Some("done early"));
    let until = request.access_until.unwrap();
    world.clock.set(until - NANOSECOND);
    let released = world.change(1, &release).unwrap();
    assert_eq!(released.status, Status::Released);
    assert_eq!(released.ended_at(), Some(until - NANOSECOND));
    assert_eq!(released.grant(until - NANOSECOND), None);
    for at in [request.changed_at(), until - NANOSECOND] {
        assert_eq!(world.access("alice", "prod", at), None);
    }
    for late in [until, until + NANOSECOND] {
        let (world, _) = World::approved();
        world.clock.set(late);
        let refusal = world.refusal(1, &release);
        assert_eq!(refusal, Refusal::AccessOver { until });
    }
}

// Access that ends with the policy

fn pinned_world() -> World {
    world("ends_with_policy", json!(true))
}

fn under(policy: PolicyDigest, bits: u64, hours: u32) -> Draft {
    Draft {
        policy: Some(policy),
        duration: HOUR * hours,
        ..draft(bits)
    }
}

#[test]
fn a_pinned_rule_refuses_a_draft_without_a_digest() {
    let world = pinned_world();
    let refusal = create(&world, &draft(1)).unwrap_err();
    assert!(matches!(refusal, Refusal::NotPinned { .. }), "{refusal}");
    assert!(
        refusal.to_string().contains("digest of the policy"),
        "{refusal}"
    );
    let request = create(&world, &under(POLICY, 1, 1)).unwrap();
    assert_eq!(
        (request.policy, request.ends_with_policy),
        (Some(POLICY), true)
    );
    let approved = world.change(1, &world.approve("bob")).unwrap();
    let grant = approved.grant(approved.changed_at()).unwrap();
    assert_eq!((grant.policy, grant.ends_with_policy), (Some(POLICY), true));
    assert!(grant.holds_under(POLICY) && !grant.holds_under(OTHER));
}

#[test]
fn a_digest_alone_pins_nothing() {
    let world = World::new();
    let request = create(&world, &under(POLICY, 1, 1)).unwrap();
    assert_eq!(
        (request.policy, request.ends_with_policy),
        (Some(POLICY), false)
    );
    let approved = world.change(1, &world.approve("bob")).unwrap();
    let grant = approved.grant(approved.changed_at()).unwrap();
    assert!(grant.holds_under(OTHER));
    assert_eq!(
        grant.policy,
        Some(POLICY),
        "it says under which it was asked for"
    );
}

#[tokio::test]
async fn a_grant_that_ended_with_its_policy_hides_no_other() {
    let world = pinned_world();
    for (policy, bits, hours) in [(POLICY, 1, 3), (OTHER, 2, 2)] {
        create(&world, &under(policy, bits, hours)).unwrap();
        world.change(bits, &world.approve("bob")).unwrap();
    }
    let unpinned = World::new();
    world.create(&draft(3));
    world.change(3, &unpinned.approve("bob")).unwrap();
    let workflow = world.workflow();
    let (alice, prod) = (user("alice"), profile("prod"));
    let until = async |policy: Option<PolicyDigest>| {
        let workflow = match policy {
            Some(policy) => workflow.with_access_policy(policy),
            None => workflow.clone(),
        };
        let grant = workflow.find_grant(&alice, &prod).await.unwrap().unwrap();
        (grant.until - start()).num_hours()
    };
    assert_eq!(until(Some(POLICY)).await, 3);
    assert_eq!(until(Some(OTHER)).await, 2);
    let third = PolicyDigest::from_bytes([9; 32]);
    assert_eq!((until(Some(third)).await, until(None).await), (1, 1));
    world.change(2, &world.revoke("bob")).unwrap();
    assert_eq!(until(Some(OTHER)).await, 1, "the one that remains");
}

#[tokio::test]
async fn a_workflow_under_a_policy_puts_it_into_its_drafts() {
    let world = pinned_world();
    let workflow = world.workflow().with_access_policy(POLICY);
    let why = support::WHY;
    let draft = workflow.draft(&user("alice"), &profile("prod"), HOUR, why);
    let submitted = workflow.submit(&draft.unwrap()).await.unwrap();
    assert_eq!(submitted.request.policy, Some(POLICY));
}
