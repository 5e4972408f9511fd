//! Groups with thresholds: how a document says them, when they are met, and what a record shows of
//! approvals that are not enough yet.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::sync::Arc;

use countersign_request::{
    Action, Actor, ApprovalPolicy, Change, DocumentError, Error, GrantedBy, Page, Problem, Refusal,
    Request, Status, User,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{HOUR, World, draft, id, profile, user};

/// Two of four from operations, one of two from security; carol is in both.
const TWO_GROUPS: &str = r#"{"version": "1", "rules": [{"name": "production", "groups": [
    {"name": "operations", "approvers": ["bob", "carol", "dave", "erin"], "threshold": 2},
    {"name": "security", "approvers": ["carol", "frank"]}]}]}"#;

fn with_groups(groups: Value) -> Result<ApprovalPolicy, DocumentError> {
    let rule = json!({"name": "r", "groups": groups});
    json!({"version": "1", "rules": [rule]}).to_string().parse()
}

/// The document is refused at this field, with a message that has all these parts.
#[track_caller]
fn refused(rule: Value, field: &str, parts: &[&str]) -> Problem {
    let mut rule = rule;
    rule["name"] = json!("spoilt");
    let document = json!({"version": "1", "rules": [rule]}).to_string();
    let error = document.parse::<ApprovalPolicy>().unwrap_err();
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "no `{part}` in: {message}");
    }
    match error {
        DocumentError::Rule(error) => {
            assert_eq!(error.field, field, "{message}");
            error.problem
        }
        other => panic!("{other}"),
    }
}

// The document

#[test]
fn a_document_with_groups_means_what_it_says_and_goes_through_serde() {
    let policy: ApprovalPolicy = TWO_GROUPS.parse().unwrap();
    let rule = &policy.rules()[0];
    let names: Vec<_> = rule.approvers().iter().map(User::as_str).collect();
    assert_eq!(
        names,
        ["bob", "carol", "dave", "erin", "frank"],
        "each once"
    );
    let groups: Vec<_> = rule
        .groups()
        .iter()
        .map(|group| (group.name(), group.approvers().len(), group.threshold()))
        .collect();
    assert_eq!(groups, [("operations", 4, 2), ("security", 2, 1)]);
    assert!(!rule.counts_in_every_group());
    assert_eq!(rule.revokers(), rule.approvers());
    let written = serde_json::to_string(&policy).unwrap();
    assert!(!written.contains("null"), "{written}");
    assert_eq!(
        serde_json::from_str::<ApprovalPolicy>(&written).unwrap(),
        policy
    );
}

#[test]
fn who_approves_is_said_in_one_form_only() {
    let group = json!([{"name": "g", "approvers": ["bob"]}]);
    let both = refused(
        json!({"approvers": ["bob"], "groups": group}),
        "groups",
        &["`approvers` is given as well", "leave `groups` out"],
    );
    assert_eq!(both, Problem::BothForms);
    let neither = refused(json!({}), "approvers", &["missing", "name who may decide"]);
    assert!(matches!(neither, Problem::Missing { .. }));
    let none = refused(
        json!({"groups": []}),
        "groups",
        &["it is empty", "name who"],
    );
    assert!(matches!(none, Problem::Empty { .. }));
    for value in [true, false] {
        let alone = refused(
            json!({"approvers": ["bob"], "count_in_every_group": value}),
            "count_in_every_group",
            &["no groups", "leave it out"],
        );
        assert_eq!(alone, Problem::WithoutGroups);
    }
    assert!(with_groups(group).is_ok());
}

#[test]
fn thresholds_are_from_one_to_the_number_of_different_members() {
    let threshold = |members: Value, threshold: u32| json!([{"name": "g", "approvers": members, "threshold": threshold}]);
    for (members, given, people) in [
        (json!(["bob"]), 0, 1),
        (json!(["bob", "carol"]), 3, 2),
        (json!(["bob", "bob"]), 2, 1),
        (json!(["bob", "BOB"]), 2, 1),
        (json!(["bob"]), u32::MAX, 1),
    ] {
        let problem = refused(
            json!({"groups": threshold(members, given)}),
            "groups[0].threshold",
            &[&format!("it is {given}"), &format!("write 1 to {people}")],
        );
        let members = people;
        assert_eq!(
            problem,
            Problem::Threshold {
                threshold: given,
                members
            }
        );
    }
    for given in [1, 2] {
        assert!(with_groups(threshold(json!(["bob", "carol"]), given)).is_ok());
    }
    for (bad, says) in [
        (json!(-1), "`-1`"),
        (json!("2"), "\"2\""),
        (json!(1.5), "`1.5`"),
        (Value::Null, "null"),
    ] {
        let group = json!([{"name": "g", "approvers": ["bob"], "threshold": bad}]);
        let error = with_groups(group).unwrap_err().to_string();
        for part in ["`groups`", "`threshold`", says] {
            assert!(error.contains(part), "no {part} in: {error}");
        }
    }
}

#[test]
fn groups_have_names_of_their_own_members_in_one_spelling_and_are_eight_at_most() {
    let group = |name: &str, members: Value| json!({"name": name, "approvers": members});
    let twice = refused(
        json!({"groups": [group("a", json!(["bob"])), group("a", json!(["carol"]))]}),
        "groups[1].name",
        &["group 0 is called `a` already"],
    );
    assert!(matches!(twice, Problem::DuplicateGroup { first: 0, .. }));
    let spelt = refused(
        json!({"groups": [group("a", json!(["bob"])), group("b", json!(["Bob", "carol"]))]}),
        "groups[1].approvers",
        &["`Bob` and `bob` are the same user", "in one way only"],
    );
    assert!(matches!(spelt, Problem::TwoSpellings { .. }));
    refused(
        json!({"groups": [group("a ", json!(["bob"]))]}),
        "groups[0].name",
        &["white space"],
    );
    refused(
        json!({"groups": [group("a", json!([]))]}),
        "groups[0].approvers",
        &["it is empty", "name who is in the group"],
    );
    refused(
        json!({"groups": [group("a", json!(["bob", ""]))]}),
        "groups[0].approvers[1]",
        &["the name is empty"],
    );
    let many = |count: usize| -> Value {
        (0..count)
            .map(|n| group(&format!("g{n}"), json!([format!("user-{n}")])))
            .collect()
    };
    assert!(with_groups(many(8)).is_ok());
    let problem = refused(json!({"groups": many(9)}), "groups", &["at most 8"]);
    assert!(matches!(problem, Problem::TooManyGroups { groups: 9, .. }));
    for (bad, says) in [
        (json!([["g", ["bob"], 1]]), "invalid type: sequence"),
        (
            json!([{"name": "g", "approvers": ["bob"], "members": []}]),
            "`members`",
        ),
        (json!([{"name": "g"}]), "missing field `approvers`"),
        (json!([{"approvers": ["bob"]}]), "missing field `name`"),
        (json!({"name": "g"}), "invalid type: map"),
        (Value::Null, "null"),
    ] {
        let error = with_groups(bad).unwrap_err().to_string();
        assert!(
            error.contains("`groups`") && error.contains(says),
            "{error}"
        );
    }
}

#[test]
fn groups_that_nobody_could_ever_meet_are_refused() {
    let groups = json!([
        {"name": "a", "approvers": ["bob", "carol"], "threshold": 2},
        {"name": "b", "approvers": ["carol"]}]);
    let problem = refused(
        json!({"groups": groups}),
        "groups",
        &[
            "if everybody approved",
            "add people",
            "`count_in_every_group`",
        ],
    );
    assert_eq!(problem, Problem::CannotBeMet);
    let rule = json!({"name": "r", "groups": groups, "count_in_every_group": true});
    let document = json!({"version": "1", "rules": [rule]}).to_string();
    assert!(document.parse::<ApprovalPolicy>().is_ok());
}

#[test]
fn what_else_a_rule_demands_is_checked_where_it_is_read() {
    let with = |field: &str, value: Value| {
        let mut rule = json!({"approvers": ["bob"]});
        rule[field] = value;
        rule
    };
    let zero = with("min_justification_characters", json!(0));
    let field = "min_justification_characters";
    assert_eq!(
        refused(zero, field, &["it is 0", "leave it out"]),
        Problem::Zero
    );
    for field in ["max_duration", "decide_within"] {
        refused(with(field, json!("0s")), field, &["longer than zero"]);
    }
    refused(with("revokers", json!([])), "revokers", &["it is empty"]);
    refused(
        with("revokers", json!(["a", ""])),
        "revokers[1]",
        &["is empty"],
    );
    for field in ["ticket_required", "ends_with_policy"] {
        let document = json!({"version": "1", "rules": [
            {"name": "r", "approvers": ["bob"], field: "yes"}]});
        let error = document.to_string().parse::<ApprovalPolicy>().unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains(field) && message.contains("boolean"),
            "{message}"
        );
    }
}

// Approvals

fn world() -> World {
    let world = World {
        policy: TWO_GROUPS.parse().unwrap(),
        ..World::new()
    };
    world.create(&draft(1));
    world
}

#[test]
fn approvals_in_part_are_part_of_the_record_until_the_last_group_is_met() {
    let world = world();
    let created = world.get(1);
    world.clock.advance(HOUR);
    let why = Change::approve(&world.policy, &profile("prod"), &user("bob"), Some("ok"));
    let first = world.change(1, &why).unwrap();
    assert_eq!((first.status, &first.approval), (Status::Pending, &None));
    assert_eq!((first.access_until, first.approvals.len()), (None, 1));
    let approval = &first.approvals[0];
    assert_eq!(approval.by, GrantedBy::User(user("bob")));
    assert_eq!(approval.at, first.changed_at());
    assert_eq!(approval.version, first.updated_at);
    assert_eq!(approval.reason.as_deref(), Some("ok"));
    assert!(first.updated_at > created.updated_at, "another version");
    let entry = first.history.last().unwrap();
    assert_eq!(entry.action, Action::ApprovedInPart);
    assert_eq!(entry.actor, Actor::User(user("bob")));
    assert_eq!(first.grant(first.changed_at()), None);

    // Carol would be enough for security, but operations then lack one.
    let second = world.change(1, &world.approve("carol")).unwrap();
    assert_eq!(second.status, Status::Pending);
    world.clock.advance(HOUR);
    let third = world.change(1, &world.approve("erin")).unwrap();
    assert_eq!(third.status, Status::Approved);
    assert_eq!(third.approvals.len(), 3);
    assert_eq!(third.approval.as_ref(), third.approvals.last());
    let now = third.changed_at();
    assert_eq!(
        third.access_until,
        Some(now + HOUR),
        "from the last approval"
    );
    let grant = third.grant(now).unwrap();
    assert_eq!(grant.granted_by, GrantedBy::User(user("erin")));
    assert_eq!(third.history.last().unwrap().action, Action::Approved);
}

#[test]
fn one_denial_denies_whoever_has_approved_already() {
    for denier in ["frank", "bob"] {
        let world = world();
        world.change(1, &world.approve("bob")).unwrap();
        let denied = world.change(1, &world.deny(denier)).unwrap();
        assert_eq!(denied.status, Status::Denied);
        assert_eq!(denied.approvals.len(), 1, "the record keeps it");
        let error = world.change(1, &world.approve("carol")).unwrap_err();
        assert!(matches!(error, Error::InvalidTransition { .. }), "{error}");
    }
}

#[test]
fn approvals_count_under_the_rules_in_force() {
    // Bob is no longer named when carol approves; erin is, and nobody else is needed.
    let mut world = world();
    world.change(1, &world.approve("bob")).unwrap();
    world.policy = r#"{"version": "1", "rules": [{"name": "production", "groups": [
        {"name": "operations", "approvers": ["carol", "erin"], "threshold": 2}]}]}"#
        .parse()
        .unwrap();
    let carol = world.change(1, &world.approve("carol")).unwrap();
    assert_eq!(carol.status, Status::Pending, "bob does not count any more");
    let erin = world.change(1, &world.approve("erin")).unwrap();
    assert_eq!((erin.status, erin.approvals.len()), (Status::Approved, 3));
}

#[tokio::test]
async fn an_inbox_leaves_out_what_one_has_approved() {
    let world = world();
    let workflow = world.workflow();
    let inbox = async |name: &str| {
        let listing = workflow.inbox(&user(name), Page::default()).await.unwrap();
        listing.items.len()
    };
    assert_eq!((inbox("bob").await, inbox("frank").await), (1, 1));
    workflow.approve(id(1), &user("bob"), None).await.unwrap();
    assert_eq!((inbox("bob").await, inbox("frank").await), (0, 1));
    workflow.deny(id(1), &user("frank"), None).await.unwrap();
    assert_eq!((inbox("bob").await, inbox("frank").await), (0, 0));
}

#[tokio::test]
async fn a_rule_may_approve_what_people_have_approved_in_part() {
    let mut world = world();
    world.change(1, &world.approve("bob")).unwrap();
    world.policy = r#"{"version": "1", "rules": [{"name": "quick", "approvers": ["carol"],
        "auto_approve": {"users": ["alice"]}}]}"#
        .parse()
        .unwrap();
    let by_rule = Change::approve_by_rule(&world.policy, &profile("prod"));
    let approved = world.change(1, &by_rule).unwrap();
    let by: Vec<_> = approved
        .approvals
        .iter()
        .map(|approval| &approval.by)
        .collect();
    let (bob, rule) = (
        GrantedBy::User(user("bob")),
        GrantedBy::Rule("quick".into()),
    );
    assert_eq!(by, [&bob, &rule]);
    assert_eq!(
        approved.approval.as_ref().map(|approval| &approval.by),
        Some(&rule)
    );
    assert_eq!(
        approved.approving_people().collect::<Vec<_>>(),
        [&user("bob")]
    );
}

#[tokio::test]
async fn a_group_that_needs_the_requester_cannot_be_met() {
    let world = World {
        policy: r#"{"version": "1", "rules": [{"name": "pair", "groups": [
            {"name": "both", "approvers": ["alice", "bob"], "threshold": 2}]}]}"#
            .parse()
            .unwrap(),
        ..World::new()
    };
    let submitted = world.workflow().submit(&draft(1)).await;
    assert!(matches!(
        submitted,
        Err(Error::Refused(Refusal::NobodyCanApprove { .. }))
    ));
    let mut other = draft(2);
    other.requester = user("zoe");
    let submitted = world.workflow().submit(&other).await.unwrap();
    assert_eq!(submitted.approvers, [user("alice"), user("bob")]);
}

// Who is enough, against brute force

const PEOPLE: [&str; 6] = ["p0", "p1", "p2", "p3", "p4", "p5"];

/// The groups as sets of people, with thresholds.
type Groups = Vec<(Vec<usize>, usize)>;

fn groups() -> impl Strategy<Value = Groups> {
    let group = prop::collection::btree_set(0..PEOPLE.len(), 1..=4).prop_flat_map(|members| {
        let members: Vec<_> = members.into_iter().collect();
        let most = members.len();
        (Just(members), 1..=most)
    });
    prop::collection::vec(group, 1..=4)
}

fn policy(groups: &Groups, in_every_group: bool) -> Result<ApprovalPolicy, DocumentError> {
    let groups: Vec<_> = groups
        .iter()
        .enumerate()
        .map(|(n, (members, threshold))| {
            let approvers: Vec<_> = members.iter().map(|member| PEOPLE[*member]).collect();
            json!({"name": format!("g{n}"), "approvers": approvers, "threshold": threshold})
        })
        .collect();
    let rule = json!({"name": "r", "groups": groups, "count_in_every_group": in_every_group});
    json!({"version": "1", "rules": [rule]}).to_string().parse()
}

/// Tries every way to give each user one group, or none.
fn can_be_divided(groups: &Groups, people: &[usize]) -> bool {
    fn divide(groups: &Groups, people: &[usize], counts: &mut Vec<usize>) -> bool {
        let Some((user, rest)) = people.split_first() else {
            let enough = groups.iter().zip(&*counts);
            return enough
                .into_iter()
                .all(|((_, threshold), count)| count >= threshold);
        };
        for group in 0..groups.len() {
            if groups[group].0.contains(user) {
                counts[group] += 1;
                let met = divide(groups, rest, counts);
                counts[group] -= 1;
                if met {
                    return true;
                }
            }
        }
        divide(groups, rest, counts)
    }
    divide(groups, people, &mut vec![0; groups.len()])
}

fn meets_each(groups: &Groups, people: &[usize]) -> bool {
    groups.iter().all(|(members, threshold)| {
        let count = members.iter().filter(|member| people.contains(member));
        count.count() >= *threshold
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rule_is_met_if_people_can_be_divided_among_its_groups(
        groups in groups(),
        in_every_group: bool,
        order in Just((0..PEOPLE.len()).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let met = |people: &[usize]| {
            if in_every_group {
                meets_each(&groups, people)
            } else {
                can_be_divided(&groups, people)
            }
        };
        let everybody: Vec<_> = (0..PEOPLE.len()).collect();
        let policy = policy(&groups, in_every_group);
        prop_assert_eq!(policy.is_ok(), met(&everybody), "what can never be met is refused");
        let Ok(policy) = policy else { return Ok(()) };
        let rule = &policy.rules()[0];
        let named: Vec<_> = PEOPLE.iter().map(|name| user(name)).collect();
        let requester = user("alice");
        // Every subset, in two orders, with and without a requester among them.
        for set in 0_u32..1 << PEOPLE.len() {
            let people: Vec<_> = order.iter().copied().filter(|p| set >> p & 1 == 1).collect();
            let names: Vec<_> = people.iter().map(|p| &named[*p]).collect();
            let expected = met(&people);
            prop_assert_eq!(rule.is_met_by(&requester, names.iter().copied()), expected);
            prop_assert_eq!(rule.is_met_by(&requester, names.iter().rev().copied()), expected);
            let twice = names.iter().chain(&names).copied();
            prop_assert_eq!(rule.is_met_by(&requester, twice), expected, "nobody counts twice");
            let others: Vec<_> = people.iter().copied().filter(|p| *p != 0).collect();
            prop_assert_eq!(rule.is_met_by(&user("P0"), names.iter().copied()), met(&others));
        }
    }

    #[test]
    fn a_request_is_approved_by_the_same_people_in_whichever_order(
        groups in groups(),
        in_every_group: bool,
        first in Just((0..PEOPLE.len()).collect::<Vec<_>>()).prop_shuffle(),
        count in 1..=PEOPLE.len(),
    ) {
        let Ok(policy) = policy(&groups, in_every_group) else { return Ok(()) };
        let people: Vec<_> = first[..count].iter().map(|p| user(PEOPLE[*p])).collect();
        let approved_by = |people: &[User]| -> Arc<Request> {
            let world = World::new();
            world.create(&draft(1));
            for by in people {
                let change = Change::approve(&policy, &profile("prod"), by, None);
                match world.change(1, &change) {
                    Ok(_)
                    | Err(Error::InvalidTransition { .. } | Error::Refused(Refusal::NotAnApprover { .. })) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            world.get(1)
        };
        let forward = approved_by(&people);
        let backward: Vec<_> = people.iter().rev().cloned().collect();
        let backward = approved_by(&backward);
        prop_assert_eq!(forward.status, backward.status);
        let met = policy.rules()[0].is_met_by(&user("alice"), &people);
        prop_assert_eq!(forward.status == Status::Approved, met);
        prop_assert_eq!(forward.access_until.is_some(), met);
    }
}
