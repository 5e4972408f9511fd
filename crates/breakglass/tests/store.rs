//! The store in memory against the contract of `Store`: every method's good case, each of its
//! errors in their order, and each limit.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use common::*;
use countersign_breakglass::*;

fn close(by: &str) -> Change {
    Change::close(&anybody(), &profile("prod"), &person(by), "it is over")
}

fn note(text: &str) -> Change {
    Change::note(&person("dave"), text)
}

#[test]
fn an_event_begins_active_at_its_creation_with_derived_times() {
    let bench = Bench::default();
    let mut wanted = draft(1, "alice", "prod");
    wanted.ticket = Some("INC-4711".into());
    wanted.request_id = Some("0c495841982c3107".into());
    let event = bench
        .create(&wanted, &RateLimitPolicy::unlimited())
        .unwrap();
    let at = Version::of(start()).unwrap();
    let created = HistoryEntry {
        action: Action::Created,
        actor: Actor::Person(person("alice")),
        reason: None,
        from: None,
        to: at,
    };
    let expected = Event {
        id: id(1),
        invoker: person("alice"),
        profile: profile("prod"),
        duration: HOUR,
        reason_code: ReasonCode::Incident,
        justification: JUSTIFICATION.into(),
        ticket: Some("INC-4711".into()),
        request_id: Some("0c495841982c3107".into()),
        escalate: false,
        created_at: start(),
        expires_at: start() + TimeDelta::hours(1),
        status: Status::Active,
        note: None,
        updated_at: at,
        history: vec![Arc::new(created)],
    };
    assert_eq!(*event, expected);
    assert_eq!(bench.get(1), event);
}

#[test]
fn a_taken_id_is_refused_whatever_else_the_draft_says() {
    let bench = Bench::default();
    let before = bench.begin(1, "alice", "prod");
    let mut wrong = draft(1, "bob", "dev");
    wrong.duration = Duration::ZERO;
    let nobody = invocation(r#""users": ["nobody"]"#);
    let admission = Admission::new(&nobody, &RateLimitPolicy::unlimited(), &wrong.profile);
    let error = bench.store.sync().create(&wrong, &admission).unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { id: taken } if taken == id(1)));
    assert_eq!(bench.get(1), before);

    // Then the fields, and only then the admission.
    wrong.id = id(2);
    let error = bench.store.sync().create(&wrong, &admission).unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    wrong.duration = HOUR;
    let error = bench.store.sync().create(&wrong, &admission).unwrap_err();
    assert!(
        matches!(error, Error::Refused(Refusal::Person { .. })),
        "{error}"
    );
}

fn invalid(bench: &Bench, draft: &Draft) -> ValidationError {
    match bench.create(draft, &RateLimitPolicy::unlimited()) {
        Err(Error::Invalid(error)) => error,
        other => panic!("not refused for a field: {other:?}"),
    }
}

#[test]
fn durations_are_more_than_zero_and_at_most_four_hours() {
    let bench = Bench::default();
    let most = 4 * HOUR;
    for (bits, good) in [(1, NANO), (2, most)] {
        let mut draft = draft(bits, "alice", &format!("prod-{bits}"));
        draft.duration = good;
        let event = bench.create(&draft, &RateLimitPolicy::unlimited()).unwrap();
        assert_eq!(event.remaining(event.created_at), good);
    }
    for given in [Duration::ZERO, most + NANO, Duration::MAX] {
        let mut draft = draft(3, "alice", "prod");
        draft.duration = given;
        let error = invalid(&bench, &draft);
        assert_eq!(error, ValidationError::Duration { given, most });
        assert!(error.to_string().contains("at most `4h`"), "{error}");
    }
    assert!(bench.store.sync().get(id(3)).is_err());
}

#[test]
fn justifications_have_20_to_1000_characters_and_say_something() {
    let bench = Bench::default();
    let attempt = |bits: u64, text: &str| {
        let mut draft = draft(bits, "alice", &format!("prod-{bits}"));
        draft.justification = text.to_owned();
        bench.create(&draft, &RateLimitPolicy::unlimited())
    };
    let error = |text: &str| match attempt(99, text) {
        Err(Error::Invalid(ValidationError::Justification(error))) => error,
        other => panic!("not refused for its justification: {other:?}"),
    };
    assert_eq!(JUSTIFICATION.chars().count(), 20);
    assert!(attempt(1, JUSTIFICATION).is_ok());
    assert!(
        attempt(2, &"äö".repeat(500)).is_ok(),
        "characters, not bytes"
    );
    let (least, most) = (20, 1_000);
    let characters = 19;
    assert_eq!(
        error(&JUSTIFICATION[1..]),
        TextError::TooShort { characters, least }
    );
    let characters = 1_001;
    assert_eq!(
        error(&format!("{}x", "äö".repeat(500))),
        TextError::TooLong { characters, most }
    );
    for silent in [
        " ".repeat(20),
        "a".repeat(30),
        "a ".repeat(30),
        "\n\t".repeat(20),
    ] {
        assert_eq!(error(&silent), TextError::SaysNothing);
    }
    assert_eq!(
        error(""),
        TextError::TooShort {
            characters: 0,
            least
        }
    );
    let ten_megabytes = "ab".repeat(5 << 20);
    assert!(matches!(error(&ten_megabytes), TextError::TooLong { .. }));
}

#[test]
fn references_have_1_to_128_characters() {
    let bench = Bench::default();
    for (bits, reference, good) in [
        (1, String::new(), false),
        (2, "x".to_owned(), true),
        (3, "ä".repeat(128), true),
        (4, "ä".repeat(129), false),
    ] {
        let wanted = format!("prod-{bits}");
        let mut with_ticket = draft(bits, "alice", &wanted);
        with_ticket.ticket = Some(reference.clone());
        let mut with_request = draft(bits + 10, "bob", &wanted);
        with_request.request_id = Some(reference);
        if good {
            for draft in [with_ticket, with_request] {
                bench.create(&draft, &RateLimitPolicy::unlimited()).unwrap();
            }
        } else {
            let error = invalid(&bench, &with_ticket);
            assert!(matches!(error, ValidationError::Ticket(_)), "{error}");
            let error = invalid(&bench, &with_request);
            assert!(matches!(error, ValidationError::RequestId(_)), "{error}");
        }
    }
}

#[test]
fn other_limits_can_be_set_and_do_not_stop_reading() {
    let clock = Arc::new(ManualClock::at(start()));
    let strict = Limits {
        max_duration: NANO,
        min_justification_characters: 1,
        max_justification_characters: 3,
    };
    let store = InMemory::with_limits(clock, strict.clone());
    let mut wanted = draft(1, "alice", "prod");
    wanted.duration = NANO;
    wanted.justification = "abc".into();
    let admission = admission(&RateLimitPolicy::unlimited(), "prod");
    let event = store.sync().create(&wanted, &admission).unwrap();
    assert_eq!(strict.validate(&event), Ok(()));
    let error = Limits::default().validate(&event).unwrap_err();
    assert!(
        matches!(error, ValidationError::Justification(_)),
        "{error}"
    );
    let json = serde_json::to_string(&*event).unwrap();
    assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), *event);
}

#[test]
fn a_refusal_writes_nothing_and_uses_no_version_up() {
    let bench = Bench::default();
    let active = bench.begin(1, "alice", "prod");
    let again = draft(2, "alice", "prod");
    let refusal = refusal(bench.create(&again, &RateLimitPolicy::unlimited()));
    let retry_at = active.expires_at;
    assert_eq!(
        refusal,
        Refusal::Active {
            id: id(1),
            retry_at
        }
    );
    assert!(matches!(
        bench.store.sync().get(id(2)),
        Err(Error::NotFound { .. })
    ));
    assert_eq!(bench.get(1), active);
    let next = bench.begin(3, "alice", "dev");
    assert_eq!(next.updated_at.as_nanos(), active.updated_at.as_nanos() + 1);
}

#[test]
fn one_active_event_for_a_person_and_a_profile_but_several_otherwise() {
    let bench = Bench::default();
    bench.begin(1, "alice", "prod");
    bench.begin(2, "alice", "dev");
    bench.begin(3, "bob", "prod");
    let other_case = draft(4, "ALICE", "prod");
    let refusal = refusal(bench.create(&other_case, &RateLimitPolicy::unlimited()));
    assert!(matches!(refusal, Refusal::Active { .. }), "{refusal}");
    bench.update(1, &close("alice")).unwrap();
    bench
        .create(&other_case, &RateLimitPolicy::unlimited())
        .unwrap();
}

#[test]
fn get_knows_what_is_there() {
    let bench = Bench::default();
    let event = bench.begin(1, "alice", "prod");
    assert_eq!(bench.store.sync().get(id(1)).unwrap(), event);
    let error = bench.store.sync().get(id(2)).unwrap_err();
    assert_eq!(error.to_string(), "there is no event `0000000000000002`");
}

#[test]
fn update_answers_not_found_then_conflict_then_transition_then_refusal() {
    let bench = Bench::default();
    let event = bench.begin(1, "alice", "prod");
    let stale = Version::from_nanos(event.updated_at.as_nanos() - 1);
    let update = |bits, version, change: &Change| {
        let result = bench.store.sync().update(id(bits), version, change);
        result.unwrap_err()
    };
    let by_stranger = close("mallory");
    let error = update(2, stale, &by_stranger);
    assert!(matches!(error, Error::NotFound { id: missing } if missing == id(2)));
    let conflict = Conflict {
        expected: stale,
        actual: event.updated_at,
    };
    let error = update(1, stale, &by_stranger);
    assert!(
        matches!(error, Error::Conflict(met) if met == conflict),
        "{error}"
    );
    let error = update(1, event.updated_at, &by_stranger);
    assert!(
        matches!(error, Error::Refused(Refusal::NotAResponder { .. })),
        "{error}"
    );
    assert_eq!(bench.get(1), event, "a failed update changed something");

    let closed = bench.update(1, &close("alice")).unwrap();
    let error = update(1, event.updated_at, &by_stranger);
    assert!(matches!(error, Error::Conflict(_)), "{error}");
    let error = update(1, closed.updated_at, &by_stranger);
    let (from, to) = (Status::Closed, Status::Closed);
    assert!(
        matches!(error, Error::InvalidTransition { from: f, to: t } if (f, t) == (from, to)),
        "{error}"
    );
    assert_eq!(bench.get(1), closed, "a failed update changed something");
}

#[test]
fn the_first_writer_wins_and_the_second_is_told() {
    let bench = Bench::default();
    let read = bench.begin(1, "alice", "prod");
    let store = bench.store.sync();
    let won = store
        .update(id(1), read.updated_at, &note("first"))
        .unwrap();
    let lost = store.update(id(1), read.updated_at, &note("second"));
    assert!(matches!(lost, Err(Error::Conflict(c)) if c.actual == won.updated_at));
    assert_eq!(bench.get(1), won);
}

#[test]
fn the_invoker_or_a_named_responder_closes_with_a_reason() {
    for closer in ["alice", "carol"] {
        let bench = Bench::default();
        let before = bench.begin(1, "alice", "prod");
        bench.clock.advance(NANO);
        let closed = bench.update(1, &close(closer)).unwrap();
        let mut expected = (*before).clone();
        expected.status = Status::Closed;
        expected.updated_at = Version::from_nanos(before.updated_at.as_nanos() + 1);
        expected.history.push(Arc::new(HistoryEntry {
            action: Action::Closed,
            actor: Actor::Person(person(closer)),
            reason: Some("it is over".into()),
            from: Some(before.updated_at),
            to: expected.updated_at,
        }));
        assert_eq!(*closed, expected);
        assert_eq!(closed.remaining(start()), Duration::ZERO);
    }
    let bench = Bench::default();
    bench.begin(1, "alice", "prod");
    for other in ["Alice", "CAROL", "bob"] {
        let refusal = refusal(bench.update(1, &close(other)));
        let (person, invoker) = (person(other), person("alice"));
        assert_eq!(refusal, Refusal::NotAResponder { person, invoker });
    }
    // The responders of another profile's rule are none of this event's.
    let elsewhere = Change::close(&anybody(), &profile("dev"), &person("alice"), "it is over");
    let refusal = refusal(bench.update(1, &elsewhere));
    assert!(matches!(refusal, Refusal::OtherProfile { .. }), "{refusal}");
}

#[test]
fn the_invoker_can_close_even_where_no_rule_is_left() {
    let bench = Bench::default();
    bench.begin(1, "alice", "prod");
    let elsewhere =
        invocation(r#""profiles": ["dev"], "users": ["alice"], "responders": ["carol"]"#);
    let close = |by: &str| Change::close(&elsewhere, &profile("prod"), &person(by), "it is over");
    let refusal = refusal(bench.update(1, &close("carol")));
    assert!(
        matches!(refusal, Refusal::NotAResponder { .. }),
        "{refusal}"
    );
    assert!(bench.update(1, &close("alice")).is_ok());
}

#[test]
fn reasons_and_notes_have_limits_and_a_reason_says_something() {
    let long = "äö".repeat(500);
    let longer = format!("{long}x");
    let bench = Bench::default();
    bench.begin(1, "alice", "prod");
    let close = |text: &str| Change::close(&anybody(), &profile("prod"), &person("alice"), text);
    for bad in ["", " ", "xxxxx", "\n\n", &longer] {
        let refusal = refusal(bench.update(1, &close(bad)));
        assert!(matches!(refusal, Refusal::Reason(_)), "{refusal}");
    }
    for bad in ["", &longer] {
        let refusal = refusal(bench.update(1, &note(bad)));
        assert!(matches!(refusal, Refusal::Reason(_)), "{refusal}");
    }
    assert_eq!(bench.get(1).history.len(), 1);
    assert!(bench.update(1, &note("x")).is_ok());
    assert!(bench.update(1, &note(&long)).is_ok());
    assert!(bench.update(1, &close(&long)).is_ok());
    let bench = Bench::default();
    bench.begin(1, "alice", "prod");
    assert!(bench.update(1, &close("ok")).is_ok());
}

#[test]
fn closing_ends_where_expiry_begins_to_the_nanosecond() {
    let bench = Bench::default();
    let expires_at = bench.begin(1, "alice", "prod").expires_at;
    let just_before = expires_at - TimeDelta::nanoseconds(1);

    bench.clock.set(just_before);
    let refusal_of_expiry = refusal(bench.update(1, &Change::expire()));
    assert_eq!(refusal_of_expiry, Refusal::NotDue { expires_at });
    assert_eq!(refusal_of_expiry.retry_at(), Some(expires_at));
    let other = Bench::default();
    other.begin(1, "alice", "prod");
    other.clock.set(just_before);
    assert!(other.update(1, &close("alice")).is_ok());

    bench.clock.set(expires_at);
    let refusal_of_close = refusal(bench.update(1, &close("alice")));
    assert_eq!(refusal_of_close, Refusal::AccessOver { expires_at });
    let expired = bench.update(1, &Change::expire()).unwrap();
    assert_eq!(expired.status, Status::Expired);
    let entry = expired.history.last().unwrap();
    assert_eq!(
        (entry.action, &entry.actor),
        (Action::Expired, &Actor::Time)
    );
    assert_eq!((entry.to.time(), &entry.reason), (expires_at, &None));
}

#[test]
fn notes_may_be_written_whatever_the_status_and_change_nothing_else() {
    let bench = Bench::default();
    let before = bench.begin(1, "alice", "prod");
    bench.update(1, &note("first")).unwrap();
    bench.update(1, &close("alice")).unwrap();
    let after = bench.update(1, &note("second")).unwrap();
    assert_eq!(after.note.as_deref(), Some("second"));
    assert_eq!(after.status, Status::Closed);
    let texts: Vec<_> = after.history.iter().map(|e| e.reason.as_deref()).collect();
    assert_eq!(
        texts,
        [None, Some("first"), Some("it is over"), Some("second")]
    );
    let chain = after
        .history
        .windows(2)
        .all(|pair| pair[1].from == Some(pair[0].to));
    assert!(chain, "each change begins where the one before ended");
    assert_eq!(after.history.last().unwrap().to, after.updated_at);
    let identity = |event: &Event| {
        (
            (
                event.id,
                event.invoker.clone(),
                event.profile.clone(),
                event.duration,
            ),
            (
                event.justification.clone(),
                event.reason_code,
                event.created_at,
            ),
            (event.expires_at, event.escalate),
        )
    };
    assert_eq!(identity(&after), identity(&before));

    let bench = Bench::default();
    let expires_at = bench.begin(1, "alice", "prod").expires_at;
    bench.clock.set(expires_at);
    bench.update(1, &Change::expire()).unwrap();
    let noted = bench.update(1, &note("late")).unwrap();
    assert_eq!(noted.status, Status::Expired);
}

#[test]
fn notes_fill_the_history_to_1000_entries_and_status_changes_go_on() {
    let bench = Bench::default();
    bench.begin(1, "alice", "prod");
    for number in 0..999 {
        let version = bench.get(1).updated_at;
        let store = bench.store.sync();
        store
            .update(id(1), version, &note(&format!("{number}")))
            .unwrap();
    }
    assert_eq!(bench.get(1).history.len(), 1_000);
    let refusal = refusal(bench.update(1, &note("one too many")));
    assert_eq!(refusal, Refusal::HistoryFull { entries: 1_000 });
    let closed = bench.update(1, &close("alice")).unwrap();
    assert_eq!(closed.history.len(), 1_001);
}

#[test]
fn only_terminal_events_are_deleted_and_absent_is_fine() {
    let bench = Bench::default();
    let store = bench.store.sync();
    store.delete(id(1)).unwrap();
    let expires_at = bench.begin(1, "alice", "prod").expires_at;
    for now in [start(), expires_at, expires_at + TimeDelta::days(365)] {
        bench.clock.set(now);
        let error = store.delete(id(1)).unwrap_err();
        assert!(
            matches!(error, Error::NotTerminal { id: kept, status: Status::Active } if kept == id(1)),
            "{error}"
        );
    }
    bench.update(1, &Change::expire()).unwrap();
    store.delete(id(1)).unwrap();
    assert!(matches!(store.get(id(1)), Err(Error::NotFound { .. })));
    store.delete(id(1)).unwrap();

    bench.begin(2, "alice", "prod");
    bench.update(2, &close("alice")).unwrap();
    store.delete(id(2)).unwrap();
    bench.store.audit().unwrap();
    let all = store
        .list(&Filter::Invoker(person("alice")), Page::default())
        .unwrap();
    assert!(all.items.is_empty());
}

#[test]
fn an_id_can_be_used_again_after_its_event_is_deleted_and_versions_go_on() {
    let bench = Bench::default();
    bench.begin(1, "alice", "prod");
    let closed = bench.update(1, &close("alice")).unwrap();
    bench.store.sync().delete(id(1)).unwrap();
    bench.clock.step_back(HOUR);
    let again = bench.begin(1, "alice", "prod");
    assert!(again.updated_at > closed.updated_at);
    let stale = bench
        .store
        .sync()
        .update(id(1), closed.updated_at, &note("x"));
    assert!(
        matches!(stale, Err(Error::Conflict(_))),
        "a version came back"
    );
}

fn ids(listing: &Listing) -> Vec<u64> {
    listing
        .items
        .iter()
        .map(|event| event.id.to_bits())
        .collect()
}

#[test]
fn lists_are_newest_first_by_invoker_profile_and_status() {
    let bench = Bench::default();
    for (bits, invoker, wanted) in [
        (5, "alice", "prod"),
        (1, "bob", "prod"),
        (9, "alice", "dev"),
        (3, "Alice", "ops"),
    ] {
        bench.begin(bits, invoker, wanted);
    }
    bench.update(1, &note("touched")).unwrap();
    bench.update(5, &close("alice")).unwrap();
    let list = |filter: Filter| ids(&bench.store.sync().list(&filter, Page::default()).unwrap());
    assert_eq!(list(person("alice").into()), [9, 5]);
    assert_eq!(list(person("Alice").into()), [3], "names match exactly");
    assert_eq!(list(person("nobody").into()), [0; 0]);
    assert_eq!(
        list(profile("prod").into()),
        [1, 5],
        "by creation, not by change"
    );
    assert_eq!(list(Status::Active.into()), [3, 9, 1]);
    assert_eq!(list(Status::Closed.into()), [5]);
    assert_eq!(list(Status::Expired.into()), [0; 0]);
}

#[test]
fn pages_meet_whatever_happens_in_between() {
    let bench = Bench::default();
    for bits in 1..=7 {
        bench.begin(bits, "alice", &format!("prod-{bits}"));
    }
    let filter = Filter::Invoker(person("alice"));
    let store = bench.store.sync();
    let first = store.list(&filter, Page::first(3)).unwrap();
    assert_eq!(ids(&first), [7, 6, 5]);
    let cursor = first.next.unwrap();
    let text = cursor.to_string();
    let closing = Change::close(
        &anybody(),
        &profile("prod-5"),
        &person("alice"),
        "it is over",
    );
    bench.update(5, &closing).unwrap();
    store.delete(id(5)).unwrap();
    bench.begin(8, "alice", "prod-8");
    let second = store
        .list(&filter, Page::after(text.parse().unwrap(), 3))
        .unwrap();
    assert_eq!(ids(&second), [4, 3, 2]);
    let third = store
        .list(&filter, Page::after(second.next.unwrap(), 3))
        .unwrap();
    assert_eq!((ids(&third), third.next), (vec![1], None));
}

#[test]
fn a_page_of_0_is_100_and_none_is_above_1000() {
    let bench = Bench::default();
    let admission = admission(&RateLimitPolicy::unlimited(), "prod");
    for bits in 1..=1_001 {
        let draft = draft(bits, &format!("user-{bits}"), "prod");
        bench.store.sync().create(&draft, &admission).unwrap();
    }
    let filter = Filter::Profile(profile("prod"));
    for (limit, expected) in [
        (0, 100),
        (1, 1),
        (1_000, 1_000),
        (1_001, 1_000),
        (usize::MAX, 1_000),
    ] {
        let listing = bench
            .store
            .sync()
            .list(&filter, Page::first(limit))
            .unwrap();
        assert_eq!(listing.items.len(), expected);
        assert!(listing.next.is_some());
    }
    let far = start() + TimeDelta::days(1);
    for (limit, expected) in [(0, 100), (7, 7), (usize::MAX, 1_000)] {
        assert_eq!(bench.store.sync().due(far, limit).unwrap().len(), expected);
    }
}

#[test]
fn the_active_event_is_found_for_exactly_its_person_and_profile_until_it_is_over() {
    let bench = Bench::default();
    let event = bench.begin(1, "alice", "prod");
    let find = |who: &str, what: &str, at: DateTime<Utc>| {
        let found = bench
            .store
            .sync()
            .find_active(&person(who), &profile(what), at);
        found.unwrap().map(|event| event.id.to_bits())
    };
    let last = event.expires_at - TimeDelta::nanoseconds(1);
    assert_eq!(find("alice", "prod", start()), Some(1));
    assert_eq!(find("alice", "prod", last), Some(1));
    assert_eq!(find("alice", "prod", event.expires_at), None);
    assert_eq!(
        find("Alice", "prod", start()),
        None,
        "a grant is for the exact name"
    );
    assert_eq!(find("alice", "PROD", start()), None);
    assert_eq!(find("bob", "prod", start()), None);

    let grant = event.grant(last).unwrap();
    let alice = person("alice");
    assert_eq!(
        (grant.kind, grant.until),
        (GrantKind::Emergency, event.expires_at)
    );
    assert_eq!((&grant.person, &grant.profile), (&alice, &event.profile));
    assert_eq!(grant.granted_by, GrantedBy::Person(alice));
    assert_eq!(event.grant(event.expires_at), None);
    assert_eq!(event.remaining(last), NANO);
    assert_eq!(event.remaining(event.expires_at), Duration::ZERO);

    let closed = bench.update(1, &close("alice")).unwrap();
    assert_eq!(find("alice", "prod", start()), None);
    assert_eq!(closed.grant(start()), None);
}

#[test]
fn what_is_due_comes_earliest_first_from_the_nanosecond_on_which_it_is_over() {
    let bench = Bench::default();
    for (bits, hours) in [(1, 3), (2, 1), (3, 2)] {
        let mut draft = draft(bits, "alice", &format!("prod-{bits}"));
        draft.duration = hours * HOUR;
        bench.create(&draft, &RateLimitPolicy::unlimited()).unwrap();
    }
    let due = |at: DateTime<Utc>| -> Vec<u64> {
        let due = bench.store.sync().due(at, 0).unwrap();
        due.iter().map(|event| event.id.to_bits()).collect()
    };
    let ends = bench.get(3).expires_at;
    assert_eq!(due(start()), [0; 0]);
    assert_eq!(due(ends - TimeDelta::nanoseconds(1)), [2]);
    assert_eq!(due(ends), [2, 3]);
    assert_eq!(due(start() + TimeDelta::hours(9)), [2, 3, 1]);
    bench.clock.set(ends);
    bench.update(2, &Change::expire()).unwrap();
    assert_eq!(due(ends), [3]);
}

#[test]
fn a_clock_beyond_what_can_be_stored_is_an_error_and_changes_nothing() {
    #[derive(Debug)]
    struct Far;
    impl Clock for Far {
        fn now(&self) -> DateTime<Utc> {
            DateTime::<Utc>::MAX_UTC
        }
    }
    let store = InMemory::new(Arc::new(Far));
    let admission = admission(&RateLimitPolicy::unlimited(), "prod");
    let error = store.sync().create(&draft(1, "alice", "prod"), &admission);
    assert!(matches!(
        error,
        Err(Error::Clock(VersionError::OutOfRange { .. }))
    ));
    assert!(store.sync().get(id(1)).is_err());
}

#[test]
fn the_end_of_time_neither_panics_nor_wraps() {
    let end = Version::from_nanos(i64::MAX).time();
    let bench = Bench::at(end - TimeDelta::minutes(1));
    let event = bench
        .create(
            &draft(1, "alice", "prod"),
            &limits(r#""cooldown": "87600h", "max_per_user": 1, "quota_window": "87600h""#),
        )
        .unwrap();
    assert!(event.expires_at > end);
    assert!(event.is_active(end));
    let bench = Bench::at(Version::from_nanos(i64::MIN).time());
    let windows = limits(r#""max_per_user": 1, "quota_window": "87600h""#);
    bench.create(&draft(1, "alice", "prod"), &windows).unwrap();
}

#[tokio::test]
async fn update_with_reads_again_after_a_conflict_and_gives_up_after_its_tries() {
    let bench = Bench::default();
    bench.begin(1, "alice", "prod");
    let store: &dyn Store = &*bench.store;
    let retry = Retry::default().with_sleep(Arc::new(NoSleep));
    let calls = AtomicU32::new(0);
    // Somebody else writes after each of the first two reads.
    let noted = store
        .update_with(id(1), &retry, |event| {
            if calls.fetch_add(1, Ordering::SeqCst) < 2 {
                bench.update(1, &note("somebody else")).unwrap();
            }
            let entries = event.history.len();
            Ok(note(&format!("after {entries} entries")))
        })
        .await
        .unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    assert_eq!(noted.note.as_deref(), Some("after 3 entries"));

    let calls = AtomicU32::new(0);
    let result = store
        .update_with(id(1), &retry, |_| {
            calls.fetch_add(1, Ordering::SeqCst);
            bench.update(1, &note("always first")).unwrap();
            Ok(note("never"))
        })
        .await;
    assert!(matches!(result, Err(Error::Conflict(_))));
    assert_eq!(calls.load(Ordering::SeqCst), 10);

    let result = store.update_with(id(2), &retry, |_| Ok(note("x"))).await;
    assert!(matches!(result, Err(Error::NotFound { .. })));
    let result = store
        .update_with(id(1), &retry, |event| Err(Error::NotFound { id: event.id }))
        .await;
    assert!(
        matches!(result, Err(Error::NotFound { .. })),
        "the closure's own error"
    );
}

#[tokio::test]
async fn nothing_happens_before_a_future_is_polled_and_all_methods_are_reachable() {
    let bench = Bench::default();
    let store: Arc<dyn Store> = bench.store.clone();
    let admission = admission(&RateLimitPolicy::unlimited(), "prod");
    let wanted = draft(1, "alice", "prod");
    drop(store.create(&wanted, &admission));
    assert!(store.get(id(1)).await.is_err());
    let event = store.create(&wanted, &admission).await.unwrap();
    assert_eq!(store.get(id(1)).await.unwrap(), event);
    let (alice, prod) = (person("alice"), profile("prod"));
    assert!(
        store
            .find_active(&alice, &prod, start())
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(store.due(event.expires_at, 0).await.unwrap().len(), 1);
    let filter = Filter::from(alice);
    assert_eq!(
        store
            .list(&filter, Page::default())
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    store
        .update(id(1), event.updated_at, &close("alice"))
        .await
        .unwrap();
    store.delete(id(1)).await.unwrap();
    assert!(store.get(id(1)).await.is_err());
}

#[test]
fn errors_of_an_engine_say_whether_the_change_was_made() {
    let backend = |outcome| Error::Backend {
        source: "the disk is full".into(),
        retryable: false,
        outcome,
    };
    assert_eq!(
        backend(Outcome::NotApplied).to_string(),
        "the store failed and nothing was changed: the disk is full"
    );
    let unknown = backend(Outcome::Unknown);
    assert!(unknown.to_string().contains("may or may not"), "{unknown}");
    assert!(std::error::Error::source(&unknown).is_some());
}

#[test]
fn malformed_ids_are_refused() {
    for bad in [
        "",
        "abc",
        "0123456789ABCDEF",
        "0123456789abcdeg",
        "0123456789abcdef0",
        "\0",
    ] {
        assert!(bad.parse::<EventId>().is_err(), "{bad:?}");
    }
    assert_eq!("0123456789abcdef".parse(), Ok(id(0x0123_4567_89ab_cdef)));
}
