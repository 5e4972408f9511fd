//! Grants, notes, deletion and lists at their limits: the last value that is taken and the first
//! that is not, and nothing changed after a failure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::time::Duration;

use countersign_request::{
    Action, Actor, Change, Cursor, Draft, Error, Filter, GrantKind, GrantedBy, Page, Refusal,
    Status, TextError,
};
use support::{HOUR, NANOSECOND, World, draft, id, profile, start, user};

// Grants

#[test]
fn a_grant_holds_from_the_approval_until_the_last_nanosecond() {
    let (world, request) = World::approved();
    let (alice, prod) = (user("alice"), profile("prod"));
    let until = request.access_until.unwrap();
    assert_eq!(until, request.changed_at() + HOUR);
    let find = |at| world.access("alice", "prod", at);
    for at in [request.changed_at(), until - NANOSECOND] {
        assert_eq!(find(at), Some(request.clone()));
        let grant = request.grant(at).unwrap();
        assert_eq!(grant.kind, GrantKind::Approval);
        assert_eq!(grant.granted_by, GrantedBy::User(user("bob")));
        assert_eq!((&grant.user, &grant.profile), (&alice, &prod));
        assert_eq!(grant.until, until);
    }
    for at in [until, until + NANOSECOND] {
        assert_eq!((find(at), request.grant(at)), (None, None));
    }
    let revoked = world.change(1, &world.revoke("bob")).unwrap();
    let now = revoked.changed_at();
    assert_eq!((find(now), revoked.grant(now)), (None, None));
}

#[test]
fn of_several_grants_the_one_that_lasts_longest_is_found() {
    let world = World::new();
    for (bits, hours) in [(1, 2), (2, 3), (3, 1)] {
        let duration = hours * HOUR;
        world.create(&Draft {
            duration,
            ..draft(bits)
        });
        world.change(bits, &world.approve("bob")).unwrap();
    }
    let find = |at| {
        let found = world.access("alice", "prod", at);
        found.map(|request| request.id.to_bits())
    };
    assert_eq!(find(start()), Some(2));
    world.change(2, &world.revoke("carol")).unwrap();
    assert_eq!(find(start()), Some(1));
    assert_eq!(find(world.get(3).access_until.unwrap()), Some(1));
    assert_eq!(find(world.get(1).access_until.unwrap()), None);
}

#[test]
fn nothing_but_an_approved_request_is_a_grant() {
    for status in Status::ALL {
        let (world, request) = World::with_status(status);
        let at = request.changed_at();
        let found = world.access("alice", "prod", at);
        assert_eq!(found.is_some(), status == Status::Approved);
        assert_eq!(request.grant(at).is_some(), status == Status::Approved);
    }
}

// Reasons, notes, history

#[test]
fn reasons_and_notes_have_1_to_1000_characters() {
    let (alice, bob, prod) = (user("alice"), user("bob"), profile("prod"));
    type Make<'a> = Box<dyn Fn(&World, &str) -> Change + 'a>;
    let makes: [(Status, Make<'_>); 5] = [
        (
            Status::Pending,
            Box::new(|world, text| Change::approve(&world.policy, &prod, &bob, Some(text))),
        ),
        (
            Status::Pending,
            Box::new(|world, text| Change::deny(&world.policy, &prod, &bob, Some(text))),
        ),
        (
            Status::Pending,
            Box::new(|_, text| Change::cancel(&alice, Some(text))),
        ),
        (
            Status::Approved,
            Box::new(|world, text| Change::revoke(&world.policy, &prod, &bob, Some(text))),
        ),
        (Status::Denied, Box::new(|_, text| Change::note(&bob, text))),
    ];
    for (status, make) in &makes {
        for characters in [1, 1_000] {
            let (world, _) = World::with_status(*status);
            let text = "語".repeat(characters);
            let changed = world.change(1, &make(&world, &text)).unwrap();
            let entry = changed.history.last().unwrap();
            assert_eq!(entry.reason.as_deref(), Some(text.as_str()));
        }
        for (characters, problem) in [
            (
                0,
                TextError::TooShort {
                    characters: 0,
                    least: 1,
                },
            ),
            (
                1_001,
                TextError::TooLong {
                    characters: 1_001,
                    most: 1_000,
                },
            ),
        ] {
            let (world, _) = World::with_status(*status);
            let refusal = world.refusal(1, &make(&world, &"x".repeat(characters)));
            assert_eq!(refusal, Refusal::Reason(problem));
            assert!(
                refusal
                    .to_string()
                    .starts_with("the reason or note: it has")
            );
        }
    }
}

#[test]
fn notes_fill_a_history_up_to_1000_entries_and_changes_of_status_go_on() {
    let (world, _) = World::pending();
    let sync = world.store.sync();
    let mut request = world.get(1);
    for number in 1..1_000 {
        let note = Change::note(&user("bob"), &format!("note {number}"));
        request = sync.update(id(1), request.updated_at, &note).unwrap();
    }
    assert_eq!(request.history.len(), 1_000);
    assert_eq!(request.note.as_deref(), Some("note 999"));
    let note = Change::note(&user("bob"), "one too many");
    let refusal = world.refusal(1, &note);
    assert_eq!(refusal, Refusal::HistoryFull { entries: 1_000 });
    assert!(refusal.to_string().contains("write it in the ticket"));
    world.change(1, &world.approve("bob")).unwrap();
    let revoked = world.change(1, &world.revoke("carol")).unwrap();
    assert_eq!(revoked.history.len(), 1_002);
    assert_eq!(revoked.note.as_deref(), Some("note 999"));
    assert!(matches!(
        world.refusal(1, &note),
        Refusal::HistoryFull { entries: 1_002 }
    ));
}

#[test]
fn history_says_who_when_why_and_between_which_versions() {
    let (world, created) = World::pending();
    world.clock.advance(HOUR);
    let (bob, prod) = (user("bob"), profile("prod"));
    let change = Change::approve(&world.policy, &prod, &bob, Some("go ahead"));
    let approved = world.change(1, &change).unwrap();
    let entry = approved.history.last().unwrap();
    assert_eq!(entry.action, Action::Approved);
    assert_eq!(entry.actor, Actor::User(bob));
    assert_eq!(entry.reason.as_deref(), Some("go ahead"));
    assert_eq!(entry.from, Some(created.updated_at));
    assert_eq!(entry.to, approved.updated_at);
    assert_eq!(entry.to.time(), start() + HOUR);
    assert_eq!(entry.at, start() + HOUR);
    assert_eq!(approved.history[0], created.history[0]);
    assert_eq!(
        created.status,
        Status::Pending,
        "a snapshot stays as it was"
    );
}

// Deletion

#[test]
fn delete_takes_what_is_over_and_does_not_mind_what_is_absent() {
    let world = World::new();
    assert!(world.delete(7).is_ok());
    for status in [
        Status::Denied,
        Status::Expired,
        Status::Cancelled,
        Status::Revoked,
        Status::Released,
    ] {
        let (world, request) = World::with_status(status);
        assert!(request.is_terminal(request.changed_at()));
        assert!(world.delete(1).is_ok(), "{status}");
        assert!(world.delete(1).is_ok(), "a second time");
        let listed = world.store.sync().list(&status.into(), Page::default());
        assert!(listed.unwrap().items.is_empty());
    }
}

#[test]
fn delete_refuses_what_is_not_over() {
    let (world, request) = World::pending();
    for at in [start(), request.decide_by, request.decide_by + HOUR] {
        world.clock.set(at);
        let error = world.delete(1).unwrap_err();
        assert!(matches!(error, Error::NotTerminal { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains("is pending and not over"), "{message}");
    }
    let (world, request) = World::approved();
    let until = request.access_until.unwrap();
    world.clock.set(until - NANOSECOND);
    let error = world.delete(1).unwrap_err();
    let status = Status::Approved;
    assert!(matches!(error, Error::NotTerminal { status: s, .. } if s == status));
    assert!(!request.is_terminal(until - NANOSECOND));
    assert!(request.is_terminal(until));
    world.clock.set(until);
    assert!(world.delete(1).is_ok());
}

// Lists

/// A world with so many pending requests, each a second after the one before.
fn crowd(count: u64) -> World {
    let world = World::new();
    for bits in 1..=count {
        world.create(&draft(bits));
        world.clock.advance(Duration::from_secs(1));
    }
    world
}

fn listed(world: &World, filter: &Filter, page: Page) -> (Vec<u64>, Option<Cursor>) {
    let listing = world.store.sync().list(filter, page).unwrap();
    let items = &listing.items;
    (
        items.iter().map(|item| item.id.to_bits()).collect(),
        listing.next,
    )
}

#[test]
fn lists_are_newest_first_under_every_filter() {
    let world = crowd(3);
    world.create(&Draft {
        requester: user("Alice"),
        profile: profile("PROD"),
        ..draft(4)
    });
    world.change(2, &world.approve("bob")).unwrap();
    let all = |filter: Filter| listed(&world, &filter, Page::default()).0;
    assert_eq!(all(user("alice").into()), [3, 2, 1]);
    assert_eq!(all(user("Alice").into()), [4], "names match exactly");
    assert_eq!(all(profile("prod").into()), [3, 2, 1]);
    assert_eq!(all(profile("PROD").into()), [4]);
    assert_eq!(all(Status::Pending.into()), [4, 3, 1]);
    assert_eq!(all(Status::Approved.into()), [2]);
    assert_eq!(all(Status::Revoked.into()), [0; 0]);
    assert_eq!(all(user("nobody").into()), [0; 0]);
}

#[test]
fn lists_hold_100_by_default_and_1000_at_most() {
    let world = crowd(1_001);
    let filter = Filter::from(Status::Pending);
    for (limit, holds) in [
        (0, 100),
        (1, 1),
        (1_000, 1_000),
        (1_001, 1_000),
        (usize::MAX, 1_000),
    ] {
        let (items, next) = listed(&world, &filter, Page::first(limit));
        assert_eq!(items.len(), holds, "limit {limit}");
        assert_eq!(items.first(), Some(&1_001));
        let (rest, end) = listed(&world, &filter, Page::after(next.unwrap(), 1_001));
        assert_eq!(rest.first(), Some(&(1_001 - holds as u64)), "limit {limit}");
        assert_eq!(rest.len(), (1_001 - holds).min(1_000));
        assert_eq!(end.is_some(), rest.last() != Some(&1));
    }
    let at = world.get(1_001).decide_by;
    for (limit, holds) in [(0, 100), (1_000, 1_000), (1_001, 1_000)] {
        let due = world.at(at, |store| store.list_expirable(limit)).unwrap();
        assert_eq!(due.len(), holds, "due, limit {limit}");
    }
}

#[test]
fn a_cursor_continues_whatever_happens_in_between() {
    let world = crowd(6);
    let filter = Filter::from(Status::Pending);
    let (items, next) = listed(&world, &filter, Page::first(2));
    assert_eq!(items, [6, 5]);
    let text = next.unwrap().to_string();
    let next: Cursor = text.parse().unwrap();
    // A newer one, one that leaves the list, and the one that the cursor names is gone.
    world.create(&draft(7));
    world.change(4, &world.deny("bob")).unwrap();
    world.change(5, &world.deny("bob")).unwrap();
    world.delete(5).unwrap();
    let (items, next) = listed(&world, &filter, Page::after(next, 2));
    assert_eq!(items, [3, 2]);
    let (items, next) = listed(&world, &filter, Page::after(next.unwrap(), 2));
    assert_eq!((items, next), (vec![1], None));
    for bad in [
        "",
        "soon,1",
        "2026-03-02T09:00:00Z",
        "2026-03-02T09:00:00Z,1",
    ] {
        let error = bad.parse::<Cursor>().unwrap_err().to_string();
        assert!(error.contains("is not a cursor"), "{error}");
    }
}
