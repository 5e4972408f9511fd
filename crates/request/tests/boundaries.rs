//! Creating and deciding at the limits: the last value that is taken and the first that is not,
//! each error in its order, and nothing changed after a failure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_request::{
    Action, Actor, Change, Conflict, Draft, Error, GrantedBy, InMemory, Limits, ManualClock,
    Refusal, RequestId, Status, TextError, ValidationError, Version,
};
use support::{HOUR, NANOSECOND, WHY, World, draft, id, profile, rules, start, terms, user};

// Creation

/// Creates it in an empty store and says what is wrong with it; a failure must store nothing.
fn checked(draft: &Draft) -> Result<(), ValidationError> {
    let world = World::new();
    match world.try_create(draft) {
        Ok(request) => {
            assert_eq!(Limits::default().validate(&request), Ok(()));
            assert_eq!(world.get(draft.id.to_bits()), request);
            Ok(())
        }
        Err(Error::Invalid(error)) => {
            let stored = world.store.sync().get(draft.id);
            assert!(matches!(stored, Err(Error::NotFound { .. })), "{stored:?}");
            world.sound();
            Err(error)
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn create_starts_pending_and_derives_every_time() {
    let world = World::new();
    let wanted = Draft {
        ticket: Some("OPS-4711".into()),
        ..draft(1)
    };
    let request = world.create(&wanted);
    assert_eq!(request.id, wanted.id);
    assert_eq!(request.requester, wanted.requester);
    assert_eq!(request.profile, wanted.profile);
    assert_eq!(request.duration, wanted.duration);
    assert_eq!(&*request.justification, WHY);
    assert_eq!(request.ticket.as_deref(), Some("OPS-4711"));
    assert_eq!(request.status, Status::Pending);
    assert_eq!(request.created_at, start());
    assert_eq!(request.updated_at.time(), start());
    assert_eq!(
        (request.created, request.changed_at()),
        (request.updated_at, start())
    );
    assert_eq!(request.decide_by, start() + 24 * HOUR);
    assert_eq!(
        (&request.approval, request.access_until, &request.note),
        (&None, None, &None)
    );
    assert_eq!(request.history.len(), 1);
    let created = &request.history[0];
    assert_eq!(created.action, Action::Created);
    assert_eq!(created.actor, Actor::User(user("alice")));
    assert_eq!((created.from, created.to), (None, request.updated_at));
    world.sound();
}

#[test]
fn create_takes_durations_up_to_eight_hours() {
    let lasting = |duration| {
        checked(&Draft {
            duration,
            ..draft(1)
        })
    };
    assert_eq!(lasting(Duration::from_nanos(1)), Ok(()));
    assert_eq!(lasting(8 * HOUR), Ok(()));
    for given in [
        Duration::ZERO,
        8 * HOUR + Duration::from_nanos(1),
        Duration::MAX,
    ] {
        let error = lasting(given).unwrap_err();
        let most = 8 * HOUR;
        assert_eq!(error, ValidationError::Duration { given, most });
        let message = error.to_string();
        let says = ["`duration`", "more than zero", "at most `8h`"];
        assert!(says.iter().all(|part| message.contains(part)), "{message}");
    }
}

#[test]
fn create_takes_justifications_of_10_to_500_characters_that_say_something() {
    let saying = |justification: String| {
        checked(&Draft {
            justification,
            ..draft(1)
        })
    };
    let of = |characters: usize, character: &str| format!("x{}", character.repeat(characters - 1));
    for character in ["y", "é", "語", "🔑"] {
        let short = TextError::TooShort {
            characters: 9,
            least: 10,
        };
        let long = TextError::TooLong {
            characters: 501,
            most: 500,
        };
        assert_eq!(
            saying(of(9, character)),
            Err(ValidationError::Justification(short))
        );
        assert_eq!(saying(of(10, character)), Ok(()), "{character}");
        assert_eq!(saying(of(500, character)), Ok(()), "{character}");
        assert_eq!(
            saying(of(501, character)),
            Err(ValidationError::Justification(long))
        );
    }
    for nothing in [
        "          ",
        "aaaaaaaaaaaa",
        "a a a a a a",
        "\t\n\t\n\u{3000}\t\n\t\n\t",
    ] {
        let error = saying(nothing.into()).unwrap_err();
        assert_eq!(
            error,
            ValidationError::Justification(TextError::SaysNothing),
            "{nothing:?}"
        );
        assert!(error.to_string().contains("`justification`"), "{error}");
        assert!(error.to_string().contains("two different"), "{error}");
    }
    assert_eq!(saying("aaaaaaaaab".into()), Ok(()));
    assert!(saying(String::new()).is_err());
}

#[test]
fn create_takes_tickets_of_1_to_128_characters() {
    let with = |ticket: Option<String>| checked(&Draft { ticket, ..draft(1) });
    assert_eq!(with(None), Ok(()));
    assert_eq!(with(Some("T".into())), Ok(()));
    assert_eq!(with(Some("語".repeat(128))), Ok(()));
    let error = with(Some(String::new())).unwrap_err();
    let short = TextError::TooShort {
        characters: 0,
        least: 1,
    };
    assert_eq!(error, ValidationError::Ticket(short));
    let error = with(Some("T".repeat(129))).unwrap_err();
    assert!(error.to_string().contains("`ticket`"), "{error}");
    assert!(error.to_string().contains("at most 128"), "{error}");
}

#[test]
fn create_asks_for_a_free_id_first_and_leaves_the_other_request_alone() {
    let (world, first) = World::pending();
    let spoilt = Draft {
        duration: Duration::ZERO,
        requester: user("dave"),
        ..draft(1)
    };
    for again in [draft(1), spoilt] {
        let error = world.try_create(&again).unwrap_err();
        assert!(
            matches!(error, Error::AlreadyExists { id } if id == first.id),
            "{error}"
        );
        assert!(error.to_string().contains("0000000000000001"), "{error}");
    }
    assert_eq!(world.get(1), first);
    world.sound();
}

#[test]
fn limits_of_a_store_are_its_own() {
    let limits = Limits {
        decision_window: Duration::from_nanos(1),
        max_duration: Duration::from_secs(1),
        min_justification_characters: 2,
        max_justification_characters: 3,
    };
    let store = InMemory::new(Arc::new(ManualClock::at(start()))).with_limits(limits);
    let small = Draft {
        duration: Duration::from_secs(1),
        justification: "why".into(),
        ..draft(1)
    };
    let request = store.sync().create(&small, &terms("prod")).unwrap();
    assert_eq!(request.decide_by, start() + NANOSECOND);
    let error = store.sync().create(&draft(2), &terms("prod")).unwrap_err();
    assert!(error.to_string().contains("at most `1s`"), "{error}");
}

#[test]
fn a_clock_outside_what_a_version_holds_is_an_error_that_changes_nothing() {
    for end in [DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC] {
        let (world, request) = World::pending();
        world.create(&draft(3));
        let denied = world.change(3, &world.deny("bob")).unwrap();
        world.clock.set(end);
        let error = world.try_create(&draft(2)).unwrap_err();
        assert!(matches!(error, Error::Clock(_)), "{error}");
        assert!(error.to_string().contains("set the clock"), "{error}");
        let error = world.change(1, &world.approve("bob")).unwrap_err();
        assert!(matches!(error, Error::Clock(_)), "{error}");
        assert!(matches!(world.delete(3), Err(Error::Clock(_))));
        assert_eq!((world.get(1), world.get(3)), (request, denied.clone()));
        // A version is always left for what grants nothing.
        let note = Change::note(&user("bob"), "the clock has run to its end");
        let noted = world.change(1, &note).unwrap();
        let next = denied.updated_at.as_nanos() + 1;
        assert_eq!(noted.updated_at.as_nanos(), next);
        assert_eq!(noted.changed_at(), denied.changed_at());
    }
}

// Reading and the order of errors

#[test]
fn get_says_which_request_there_is_not() {
    let (world, request) = World::pending();
    assert_eq!(world.get(1), request);
    let error = world.store.sync().get(id(2)).unwrap_err();
    assert_eq!(error.to_string(), "there is no request `0000000000000002`");
}

#[test]
fn malformed_ids_name_the_text_and_the_form() {
    for text in [
        "",
        "1",
        "000000000000000g",
        "00000000000000FF",
        "0000000000000001 ",
        "00000000000000010",
        "-000000000000001",
        "０000000000000001",
        "000000000000000\0",
    ] {
        let error = text.parse::<RequestId>().unwrap_err().to_string();
        assert!(error.contains("16 lowercase"), "{error}");
        assert!(!error.contains('\0'), "{error:?}");
    }
    assert_eq!("00000000000000ff".parse::<RequestId>().unwrap(), id(255));
}

#[test]
fn update_reports_not_found_then_conflict_then_transition_then_refusal() {
    let (world, stale) = World::with_status(Status::Denied);
    let stale = Version::from_nanos(stale.updated_at.as_nanos() - 1);
    // By the requester, with a reason that is too long: everything is wrong with it.
    let policy = &world.policy;
    let long = "x".repeat(1_001);
    let change = Change::approve(policy, &profile("prod"), &user("alice"), Some(&long));

    let error = world.update(2, stale, &change).unwrap_err();
    assert!(matches!(error, Error::NotFound { id } if id == RequestId::from_bits(2)));
    let error = world.update(1, stale, &change).unwrap_err();
    assert!(matches!(error, Error::Conflict(_)), "{error}");
    let error = world.change(1, &change).unwrap_err();
    let (from, to) = (Status::Denied, Status::Approved);
    assert!(
        matches!(error, Error::InvalidTransition { from: f, to: t, .. } if (f, t) == (from, to)),
        "{error}"
    );
    assert_eq!(
        error.to_string(),
        "the request cannot become approved: bob denied it at `2026-03-02 09:00:00 UTC`"
    );

    let (world, _) = World::pending();
    assert!(matches!(
        world.change(1, &change),
        Err(Error::Refused(Refusal::Reason(_)))
    ));
}

#[test]
fn conflict_carries_the_version_of_the_winner() {
    let (world, request) = World::pending();
    let winner = world
        .update(1, request.updated_at, &world.deny("carol"))
        .unwrap();
    let error = world
        .update(1, request.updated_at, &world.approve("bob"))
        .unwrap_err();
    let expected = Conflict {
        expected: request.updated_at,
        actual: winner.updated_at,
    };
    assert!(matches!(&error, Error::Conflict(conflict) if *conflict == expected));
    assert!(error.to_string().contains("read it again"), "{error}");
    let ahead = Version::from_nanos(winner.updated_at.as_nanos() + 1);
    let note = Change::note(&user("bob"), "not yet issued");
    assert!(matches!(
        world.update(1, ahead, &note),
        Err(Error::Conflict(_))
    ));
}

#[test]
fn every_pair_of_statuses_that_is_not_allowed_is_refused_through_the_store() {
    let mut allowed = Vec::new();
    for from in Status::ALL {
        for to in Status::ALL {
            let (world, request) = World::with_status(from);
            if to == Status::Expired {
                world.clock.set(request.decide_by);
            }
            if (from, to) == (Status::Approved, Status::Ended) {
                // It was approved an hour ahead and a little, and that has been corrected.
                let note = Change::note(&user("bob"), "the clock was ahead");
                world
                    .clock
                    .step_back(HOUR + 2 * support::NANOSECOND.to_std().unwrap());
                world.change(1, &note).unwrap();
                world.clock.advance(HOUR);
            }
            let change = match to {
                Status::Pending => continue, // no change leads there
                Status::Approved => world.approve("carol"),
                Status::Denied => world.deny("carol"),
                Status::Expired => Change::expire(),
                Status::Cancelled => Change::cancel(&user("alice"), None),
                Status::Revoked => world.revoke("carol"),
                Status::Released => Change::release(&user("alice"), None),
                Status::Ended => Change::end_void(),
            };
            assert_eq!(change.target(), Some(to));
            match world.change(1, &change) {
                Ok(after) => {
                    assert_eq!(after.status, to);
                    allowed.push((from, to));
                }
                Err(Error::InvalidTransition { from: f, to: t, .. }) => {
                    assert_eq!((f, t), (from, to))
                }
                Err(other) => panic!("{from} to {to}: {other}"),
            }
        }
    }
    let pending = |to| (Status::Pending, to);
    assert_eq!(
        allowed,
        [
            pending(Status::Approved),
            pending(Status::Denied),
            pending(Status::Expired),
            pending(Status::Cancelled),
            (Status::Approved, Status::Revoked),
            (Status::Approved, Status::Released),
            (Status::Approved, Status::Ended)
        ]
    );
    let note = Change::note(&user("dave"), "seen");
    for status in Status::ALL {
        let (world, request) = World::with_status(status);
        let noted = world.change(1, &note).unwrap();
        assert_eq!(
            (noted.status, noted.note.as_deref()),
            (status, Some("seen"))
        );
        assert_eq!(noted.history.len(), request.history.len() + 1);
    }
}

#[test]
fn a_rule_by_itself_cannot_approve_what_is_decided() {
    for status in Status::ALL {
        if status == Status::Pending {
            continue;
        }
        let (world, _) = World::with_status(status);
        let change = Change::approve_by_rule(&world.policy, &profile("prod"));
        let error = world.change(1, &change).unwrap_err();
        assert!(matches!(error, Error::InvalidTransition { .. }), "{error}");
    }
}

// The deadline of the decision

#[test]
fn a_decision_is_taken_until_the_last_nanosecond_before_the_deadline() {
    for (decide, status) in [
        (
            World::approve as fn(&World, &str) -> Change,
            Status::Approved,
        ),
        (World::deny, Status::Denied),
    ] {
        let (world, request) = World::pending();
        world.clock.set(request.decide_by - NANOSECOND);
        let decided = world.change(1, &decide(&world, "bob")).unwrap();
        assert_eq!(decided.status, status);

        for late in [request.decide_by, request.decide_by + NANOSECOND] {
            let (world, request) = World::pending();
            world.clock.set(late);
            let decide_by = request.decide_by;
            let refusal = world.refusal(1, &decide(&world, "bob"));
            assert_eq!(refusal, Refusal::TooLate { decide_by });
            assert!(refusal.to_string().contains("submit a new request"));
        }
    }
}

#[test]
fn a_rule_approves_by_itself_until_the_last_nanosecond_before_the_deadline() {
    let automatic = Draft {
        profile: profile("dev"),
        ..draft(1)
    };
    for (after_deadline, holds) in [(-1, true), (0, false), (1, false)] {
        let world = World::new();
        let request = world.create(&automatic);
        let change = Change::approve_by_rule(&world.policy, &profile("dev"));
        world
            .clock
            .set(request.decide_by + NANOSECOND * after_deadline);
        if holds {
            let approved = world.change(1, &change).unwrap();
            let approval = approved.approval.as_ref().unwrap();
            assert_eq!(approval.by, GrantedBy::Rule("development".into()));
            let entry = approved.history.last().unwrap();
            assert_eq!(entry.actor, Actor::Rule("development".into()));
        } else {
            let decide_by = request.decide_by;
            assert_eq!(world.refusal(1, &change), Refusal::TooLate { decide_by });
        }
    }
}

#[test]
fn a_rule_approves_by_itself_up_to_its_longest_duration() {
    let automatic = |duration| Draft {
        profile: profile("dev"),
        duration,
        ..draft(1)
    };
    let world = World::new();
    let change = Change::approve_by_rule(&world.policy, &profile("dev"));
    world.create(&automatic(HOUR));
    assert!(world.change(1, &change).is_ok());

    let world = World::new();
    world.create(&automatic(HOUR + Duration::from_nanos(1)));
    let refusal = world.refusal(1, &change);
    assert!(matches!(refusal, Refusal::NotAutomatic { .. }));
    let message = refusal.to_string();
    assert!(message.contains("`development`"), "{message}");
    assert!(message.contains("an approver has to decide"), "{message}");
}

#[test]
fn a_rule_approves_by_itself_only_inside_its_window() {
    let policy = rules(
        r#"{"version": "1", "rules": [{"name": "office", "approvers": ["bob"], "auto_approve":
            {"time": {"days": ["monday"], "hours": {"start": "09:00", "end": "10:00"}}}}]}"#,
    );
    let change = Change::approve_by_rule(&policy, &profile("prod"));
    let opens = start();
    for (at, holds) in [
        (opens, true),
        (opens + HOUR - NANOSECOND, true),
        (opens + HOUR, false),
        (opens + HOUR + NANOSECOND, false),
    ] {
        let world = World::new();
        world.clock.set(opens - HOUR);
        world.create(&draft(1));
        world.clock.set(at);
        assert_eq!(world.change(1, &change).is_ok(), holds, "{at}");
    }
    let world = World::new();
    world.clock.set(opens - HOUR);
    world.create(&draft(1));
    world.clock.set(opens - NANOSECOND);
    assert!(matches!(
        world.refusal(1, &change),
        Refusal::NotAutomatic { .. }
    ));
}

#[test]
fn expiry_begins_at_the_deadline_and_not_a_nanosecond_before() {
    let (world, request) = World::pending();
    let decide_by = request.decide_by;
    world.clock.set(decide_by - NANOSECOND);
    let refusal = world.refusal(1, &Change::expire());
    assert_eq!(refusal, Refusal::NotDue { decide_by });
    assert!(refusal.to_string().contains(&decide_by.to_string()));
    for due in [decide_by, decide_by + NANOSECOND] {
        let (world, _) = World::pending();
        world.clock.set(due);
        let expired = world.change(1, &Change::expire()).unwrap();
        assert_eq!(expired.status, Status::Expired);
        assert_eq!(expired.history.last().unwrap().actor, Actor::Time);
        assert_eq!((expired.access_until, &expired.approval), (None, &None));
    }
}

#[test]
fn due_begins_at_the_deadline_earliest_first_and_counts_only_the_pending() {
    let world = World::new();
    for bits in [3, 1, 2] {
        world.create(&draft(bits));
        world.clock.advance(Duration::from_secs(1));
    }
    let due = |at, limit| -> Vec<u64> {
        let due = world.at(at, |store| store.list_expirable(limit)).unwrap();
        due.iter().map(|request| request.id.to_bits()).collect()
    };
    let last = world.get(2).decide_by;
    assert_eq!(due(last, 0), [3, 1, 2]);
    assert_eq!(due(last - NANOSECOND, 0), [3, 1]);
    assert_eq!(due(last, 2), [3, 1]);
    assert_eq!(due(world.get(3).decide_by, 0), [3]);
    assert_eq!(due(world.get(3).decide_by - NANOSECOND, 0), [0; 0]);
    world.change(3, &world.deny("bob")).unwrap();
    assert_eq!(due(last + HOUR, 0), [1, 2]);
}

// Who decides

#[test]
fn cancel_is_for_the_requester_alone_and_has_no_deadline() {
    for somebody in ["bob", "carol", "Alice", "dave"] {
        let (world, _) = World::pending();
        let refusal = world.refusal(1, &Change::cancel(&user(somebody), None));
        let (user, requester) = (user(somebody), user("alice"));
        assert_eq!(refusal, Refusal::NotTheRequester { user, requester });
        assert!(refusal.to_string().contains("only `alice`"), "{refusal}");
    }
    for late in [-1, 0, 1] {
        let (world, request) = World::pending();
        world.clock.set(request.decide_by + NANOSECOND * late);
        let change = Change::cancel(&user("alice"), Some("not needed any more"));
        let cancelled = world.change(1, &change).unwrap();
        assert_eq!(cancelled.status, Status::Cancelled);
        let entry = cancelled.history.last().unwrap();
        assert_eq!(entry.reason.as_deref(), Some("not needed any more"));
    }
}

#[test]
fn revoke_is_for_named_approvers_until_the_access_is_over() {
    let (world, request) = World::approved();
    assert!(matches!(
        world.refusal(1, &world.revoke("dave")),
        Refusal::NotARevoker { .. }
    ));
    let until = request.access_until.unwrap();
    world.clock.set(until - NANOSECOND);
    let revoked = world.change(1, &world.revoke("carol")).unwrap();
    assert_eq!(revoked.status, Status::Revoked);
    assert_eq!(revoked.approval, request.approval, "who approved stays");
    for late in [until, until + NANOSECOND] {
        let (world, _) = World::approved();
        world.clock.set(late);
        let refusal = world.refusal(1, &world.revoke("carol"));
        assert_eq!(refusal, Refusal::AccessOver { until });
        assert!(refusal.to_string().contains("nothing to revoke"));
    }
}
