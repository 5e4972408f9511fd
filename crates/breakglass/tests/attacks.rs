//! Attacks on the rules of an emergency, a test for each, named after it. Every attack fails, and
//! leaves what is stored as it was; its twin, one nanosecond, one count or one name away, succeeds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::sync::{Arc, Barrier};
use std::time::Duration;

use chrono::TimeDelta;
use common::*;
use countersign_breakglass::*;

fn unlimited() -> RateLimitPolicy {
    RateLimitPolicy::unlimited()
}

fn nanos(count: i64) -> TimeDelta {
    TimeDelta::nanoseconds(count)
}

fn close(by: &str, reason: &str) -> Change {
    Change::close(&anybody(), &profile("prod"), &user(by), reason)
}

/// Creates by invocation rules of one rule, without limits.
fn create(bench: &Bench, rule: &str, draft: &Draft) -> Result<Arc<Emergency>, Error> {
    let admission = Admission::new(&invocation(rule), &unlimited(), &draft.profile);
    let result = bench.store.sync().create(draft, &admission);
    bench.store.audit().unwrap();
    result
}

/// Everything that the store holds, to see that a refusal changed nothing.
fn contents(bench: &Bench) -> Vec<Changed> {
    bench.store.sync().changes_after(None, 1_000).unwrap()
}

/// Runs `call` on this many threads that start together, and gives the answers.
fn together<T: Send>(threads: u64, call: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(usize::try_from(threads).unwrap());
    let call = |number| {
        barrier.wait();
        call(number)
    };
    let call = &call;
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|number| scope.spawn(move || call(number)))
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

#[test]
fn stacking_through_an_emergency_that_is_over_but_marked_active() {
    let bench = Bench::default();
    let first = bench.begin(1, "alice", "prod");
    bench.clock.set(first.expires_at);
    let admission = admission(&unlimited(), "prod");
    let answers = together(8, |number| {
        let name = ["alice", "ALICE"][usize::try_from(number % 2).unwrap()];
        let draft = draft(number + 2, name, "prod");
        bench.store.sync().create(&draft, &admission)
    });
    let won = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(won, 1, "emergencies were stacked");
    assert_eq!(bench.get(1).status, Status::Expired);
    bench.store.audit().unwrap();
}

#[test]
fn beginning_again_a_nanosecond_before_the_pause_is_over() {
    let pause = limits(r#""cooldown": "2h""#);
    let bench = Bench::default();
    let first = bench.create(&draft(1, "alice", "prod"), &pause).unwrap();
    let over = first.created_at + TimeDelta::hours(2);
    bench.clock.set(over - nanos(1));
    let before = contents(&bench);
    let refused = refusal(bench.create(&draft(2, "aLICE", "prod"), &pause));
    assert!(
        matches!(refused, Refusal::Cooldown { retry_at, .. } if retry_at == over),
        "{refused}"
    );
    assert_eq!(contents(&bench), before);
    bench.clock.set(over);
    assert!(bench.create(&draft(2, "aLICE", "prod"), &pause).is_ok());
}

#[test]
fn one_more_than_the_quota_or_a_nanosecond_too_early() {
    for limit in ["max_per_user", "max_per_profile"] {
        let quota = limits(&format!(
            r#""{limit}": 2, "escalation_threshold": 2, "quota_window": "24h""#
        ));
        let bench = Bench::default();
        let mut short = draft(1, "alice", "prod");
        short.duration = NANO;
        let first = bench.create(&short, &quota).unwrap();
        bench.clock.advance(HOUR);
        short.id = id(2);
        bench.create(&short, &quota).unwrap();
        bench.clock.advance(HOUR);
        short.id = id(3);
        let refused = refusal(bench.create(&short, &quota));
        let leaves = first.created_at + TimeDelta::hours(24);
        assert_eq!(refused.retry_at(), Some(leaves), "{refused}");
        let (Refusal::UserQuota {
            count, escalation, ..
        }
        | Refusal::ProfileQuota {
            count, escalation, ..
        }) = refused
        else {
            panic!("{refused}");
        };
        let expected = Escalation {
            rule: "limit".into(),
            count: 2,
            threshold: 2.try_into().unwrap(),
            window: 24 * HOUR,
        };
        assert_eq!((count, escalation), (2, Some(expected)));
        bench.clock.set(leaves - nanos(1));
        refusal(bench.create(&short, &quota));
        bench.clock.set(leaves);
        assert!(bench.create(&short, &quota).is_ok(), "{limit}");
    }
}

const MFA: &str = r#""mfa": {"required": true, "methods": ["totp"], "max_age": "90s"}"#;

/// What is wrong with a second factor, shown for emergency 1 by alice now.
fn problem(bench: &Bench, proof: MfaProof) -> ProofProblem {
    let mut draft = draft(1, "alice", "prod");
    draft.mfa = Some(proof);
    let before = contents(bench);
    let refused = refusal(create(bench, MFA, &draft));
    assert_eq!(contents(bench), before);
    match refused {
        Refusal::MfaProof { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

#[test]
fn another_users_second_factor() {
    let bench = Bench::default();
    for other in ["bob", "Alice"] {
        let found = problem(&bench, proof("a", other, 1, start()));
        let user = user(other);
        assert_eq!(found, ProofProblem::OtherUser { user });
    }
}

#[test]
fn a_second_factor_that_was_shown_for_another_emergency() {
    let bench = Bench::default();
    let found = problem(&bench, proof("a", "alice", 2, start()));
    assert_eq!(found, ProofProblem::OtherEmergency { emergency: id(2) });
}

#[test]
fn a_second_factor_by_a_method_that_the_rule_does_not_name() {
    let bench = Bench::default();
    let mut by_sms = proof("a", "alice", 1, start());
    by_sms.method = MfaMethod::Sms;
    let expected = ProofProblem::Method {
        method: MfaMethod::Sms,
        methods: vec![MfaMethod::Totp],
    };
    assert_eq!(problem(&bench, by_sms.clone()), expected);
    // All methods will do if none is named.
    let mut draft = draft(1, "alice", "prod");
    draft.mfa = Some(by_sms);
    assert!(create(&bench, r#""mfa": {"required": true}"#, &draft).is_ok());
}

/// How far the verifier's clock may be ahead.
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_second_factor_that_is_a_nanosecond_too_old_or_from_the_future() {
    let oldest = start() - TimeDelta::seconds(90);
    for (verified_at, good) in [
        (oldest - nanos(1), false),
        (oldest, true),
        (oldest + nanos(1), true),
        (start() - nanos(1), true),
        (start(), true),
        (start() + nanos(1), true),
        (start() + MINUTE, true),
        (start() + MINUTE + nanos(1), false),
    ] {
        let bench = Bench::default();
        let shown = proof("a", "alice", 1, verified_at);
        if good {
            let mut draft = draft(1, "alice", "prod");
            draft.mfa = Some(shown.clone());
            let emergency = create(&bench, MFA, &draft).unwrap();
            assert_eq!(emergency.mfa, Some(shown), "the emergency records it");
            continue;
        }
        let found = problem(&bench, shown);
        let expected = if verified_at > start() {
            ProofProblem::FromTheFuture {
                verified_at,
                at: start(),
                tolerance: MINUTE,
            }
        } else {
            ProofProblem::TooOld {
                verified_at,
                max_age: Duration::from_secs(90),
            }
        };
        assert_eq!(found, expected);
        let later = (verified_at > start()).then(|| verified_at - MINUTE);
        assert_eq!(found.retry_at(), later);
    }
    // Five minutes, where the rule does not say.
    let bench = Bench::default();
    let mut draft = draft(1, "alice", "prod");
    let oldest = start() - TimeDelta::minutes(5);
    draft.mfa = Some(proof("a", "alice", 1, oldest - nanos(1)));
    let rule = r#""mfa": {"required": true}"#;
    assert!(create(&bench, rule, &draft).is_err());
    draft.mfa = Some(proof("a", "alice", 1, oldest));
    assert!(create(&bench, rule, &draft).is_ok());
}

#[test]
fn a_second_factor_that_was_used_before() {
    let bench = Bench::default();
    let mut first = draft(7, "bob", "dev");
    first.mfa = Some(proof("push-1", "bob", 7, start()));
    create(&bench, MFA, &first).unwrap();
    // Whosever it was, for whatever it was, closed or not.
    let found = problem(&bench, proof("push-1", "alice", 1, start()));
    assert_eq!(found, ProofProblem::Used { emergency: id(7) });
    let mut second = draft(1, "alice", "prod");
    second.mfa = Some(proof("push-2", "alice", 1, start()));
    assert!(create(&bench, MFA, &second).is_ok());
}

#[test]
fn a_second_factor_is_checked_where_none_is_demanded_too() {
    let bench = Bench::default();
    let mut draft = draft(1, "alice", "prod");
    draft.mfa = Some(proof("a", "bob", 1, start()));
    let refused = refusal(bench.create(&draft, &unlimited()));
    assert!(matches!(refused, Refusal::MfaProof { .. }), "{refused}");
    draft.mfa = None;
    assert!(bench.create(&draft, &unlimited()).is_ok());
}

#[test]
fn two_invocations_at_once_with_one_second_factor() {
    for _ in 0..50 {
        let bench = Bench::default();
        let answers = together(8, |number| {
            let bits = number + 1;
            let mut draft = draft(bits, "alice", &format!("prod-{number}"));
            draft.mfa = Some(proof("push-1", "alice", bits, start()));
            let admission = Admission::new(&invocation(MFA), &unlimited(), &draft.profile);
            bench.store.sync().create(&draft, &admission)
        });
        let won = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(won, 1, "one proof began {won} emergencies");
        for answer in answers.into_iter().filter(Result::is_err) {
            let refused = refusal(answer);
            let used = matches!(
                &refused,
                Refusal::MfaProof {
                    problem: ProofProblem::Used { .. },
                    ..
                }
            );
            assert!(used, "{refused}");
        }
    }
}

#[test]
fn winning_a_second_factor_back_by_deletion() {
    let bench = Bench::default();
    let mut draft = draft(1, "alice", "prod");
    draft.mfa = Some(proof("push-1", "alice", 1, start()));
    create(&bench, MFA, &draft).unwrap();
    bench.update(1, &close("alice", "it is over")).unwrap();
    bench.update(1, &review("carol", "prod")).unwrap();
    let retention = Retention::new(&invocation(MFA), &unlimited());
    let refused = refusal(bench.store.sync().delete(id(1), &retention));
    assert!(matches!(refused, Refusal::Kept { .. }), "{refused}");
    // When the emergency is deleted the proof stays used, for the same emergency too; and it is too old.
    let until = refused.retry_at().unwrap();
    bench.clock.set(until);
    assert!(bench.store.sync().delete(id(1), &retention).unwrap());
    let again = problem(&bench, proof("push-1", "alice", 1, until));
    assert_eq!(again, ProofProblem::Used { emergency: id(1) });
    bench.clock.advance(NANO);
    let refused = refusal(create(&bench, MFA, &draft));
    let old = matches!(
        &refused,
        Refusal::MfaProof {
            problem: ProofProblem::TooOld { .. },
            ..
        }
    );
    assert!(old, "{refused}");
}

#[test]
fn a_justification_that_says_nothing() {
    let bench = Bench::default();
    for nothing in [
        "",
        " ",
        &" ".repeat(40),
        "x",
        &"x".repeat(40),
        &"x \t\n".repeat(20),
        "\u{a0}\u{2003}\u{3000}                    ",
    ] {
        let mut draft = draft(1, "alice", "prod");
        draft.justification = nothing.to_owned();
        let error = bench.create(&draft, &unlimited()).unwrap_err();
        assert!(
            matches!(error, Error::Invalid(ValidationError::Justification(_))),
            "{nothing:?}: {error}"
        );
    }
    assert_eq!(contents(&bench), []);
    assert!(
        bench
            .create(&draft(1, "alice", "prod"), &unlimited())
            .is_ok()
    );
}

#[test]
fn leaving_a_terminal_state() {
    for closed in [true, false] {
        let bench = Bench::default();
        let expires_at = bench.begin(1, "alice", "prod").expires_at;
        if closed {
            bench.update(1, &close("alice", "it is over")).unwrap();
        }
        bench.clock.set(expires_at);
        if !closed {
            bench.update(1, &Change::expire()).unwrap();
        }
        bench.update(1, &review("carol", "prod")).unwrap();
        let before = bench.get(1);
        for change in [close("alice", "again"), Change::expire()] {
            let error = bench.update(1, &change).unwrap_err();
            assert!(matches!(error, Error::InvalidTransition { .. }), "{error}");
        }
        assert_eq!(bench.get(1), before);
        let noted = bench.update(1, &Change::note(&user("alice"), "more"));
        assert_eq!(
            noted.unwrap().status,
            before.status,
            "a note leaves it alone"
        );
    }
}

#[test]
fn a_decision_on_a_stale_copy() {
    let bench = Bench::default();
    let stale = bench.begin(1, "alice", "prod").updated_at;
    bench
        .update(1, &Change::note(&user("bob"), "not over yet"))
        .unwrap();
    let before = bench.get(1);
    let store = bench.store.sync();
    for change in [close("alice", "it is over"), review("carol", "prod")] {
        let error = store.update(id(1), stale, &change).unwrap_err();
        assert!(
            matches!(error, Error::Conflict(conflict) if conflict.actual == before.updated_at),
            "{error}"
        );
    }
    assert_eq!(bench.get(1), before);
    assert!(bench.update(1, &close("alice", "it is over")).is_ok());
}

#[test]
fn another_emergency_under_the_same_id_between_read_and_write() {
    let bench = Bench::default();
    bench.begin(1, "alice", "prod");
    let read = bench.update(1, &close("alice", "it is over")).unwrap();
    bench.delete(1);
    bench.clock.step_back(2 * HOUR);
    bench.begin(1, "mallory", "prod");
    let error = bench
        .store
        .sync()
        .update(id(1), read.updated_at, &review("carol", "prod"))
        .unwrap_err();
    assert!(matches!(error, Error::Conflict(_)), "{error}");
    // Nor does a change that was made for another profile.
    let bench = Bench::default();
    bench.begin(1, "alice", "dev");
    let refused = refusal(bench.update(1, &close("alice", "it is over")));
    assert!(matches!(refused, Refusal::OtherProfile { .. }), "{refused}");
}

#[test]
fn reviewing_ones_own_emergency_under_another_spelling() {
    let bench = Bench::default();
    bench.begin(1, "alice", "prod");
    let closed = bench.update(1, &close("alice", "it is over")).unwrap();
    let everybody = invocation(r#""users": ["alice"], "reviewers": ["alice", "ALICE", "bob"]"#);
    let review = |by: &str| {
        let (by, prod) = (user(by), profile("prod"));
        Change::review(&everybody, &prod, &by, ReviewOutcome::Justified, "all well")
    };
    for own in ["alice", "ALICE"] {
        let refused = refusal(bench.update(1, &review(own)));
        assert!(matches!(refused, Refusal::OwnReview { .. }), "{refused}");
    }
    assert_eq!(bench.get(1), closed);
    assert!(bench.update(1, &review("bob")).is_ok());
}

#[test]
fn a_review_by_somebody_whom_no_rule_names() {
    let bench = Bench::default();
    bench.begin(1, "alice", "prod");
    bench.update(1, &close("alice", "it is over")).unwrap();
    let nobody = r#""users": ["alice"]"#;
    let only_reviewers = r#""users": ["alice"], "responders": ["carol"], "reviewers": ["dave"]"#;
    for (rule, by, may) in [
        (nobody, "carol", false),
        (only_reviewers, "carol", false),
        (only_reviewers, "Dave", false),
        (only_reviewers, "dave", true),
    ] {
        let (by, prod) = (user(by), profile("prod"));
        let outcome = ReviewOutcome::NotJustified;
        let change = Change::review(&invocation(rule), &prod, &by, outcome, "all well");
        let result = bench.update(1, &change);
        assert_eq!(result.is_ok(), may, "{result:?}");
        if !may {
            let refused = refusal(result);
            assert!(matches!(refused, Refusal::NotAReviewer { .. }), "{refused}");
        }
    }
}

#[test]
fn reviewing_twice() {
    let bench = Bench::default();
    bench.begin(1, "alice", "prod");
    bench.update(1, &close("alice", "it is over")).unwrap();
    let version = bench.get(1).updated_at;
    let answers = together(8, |_| {
        let store = bench.store.sync();
        store.update(id(1), version, &review("carol", "prod"))
    });
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let reviewed = bench.get(1);
    let better = Change::review(
        &anybody(),
        &profile("prod"),
        &user("carol"),
        ReviewOutcome::NotJustified,
        "on second thoughts",
    );
    let refused = refusal(bench.update(1, &better));
    assert!(
        matches!(&refused, Refusal::ReviewedAlready { by, .. } if by.as_str() == "carol"),
        "{refused}"
    );
    assert_eq!(bench.get(1), reviewed);
    let noted = bench.update(1, &Change::note(&user("carol"), "on second thoughts"));
    assert_eq!(noted.unwrap().review, reviewed.review);
}

#[test]
fn a_review_of_what_is_not_over() {
    let bench = Bench::default();
    let emergency = bench.begin(1, "alice", "prod");
    bench.clock.set(emergency.expires_at - nanos(1));
    let refused = refusal(bench.update(1, &review("carol", "prod")));
    assert_eq!(refused.retry_at(), Some(emergency.expires_at), "{refused}");
    bench.clock.set(emergency.expires_at);
    let reviewed = bench.update(1, &review("carol", "prod")).unwrap();
    assert!(!reviewed.awaits_review(emergency.expires_at));
}

const DEBT: &str = r#""users": ["alice", "Alice", "bob"], "after_review": true,
    "responders": ["carol", "alice", "Alice"], "reviewers": ["dave"]"#;

/// A store in which an emergency of alice for another profile is over and not reviewed.
fn in_debt() -> (Bench, Arc<Emergency>) {
    let bench = Bench::default();
    let first = bench.begin(1, "alice", "dev");
    bench.clock.set(first.expires_at);
    (bench, first)
}

#[test]
fn beginning_again_before_the_review_through_an_unmarked_emergency_or_another_spelling() {
    let (bench, first) = in_debt();
    let before = contents(&bench);
    for name in ["alice", "Alice"] {
        let refused = refusal(create(&bench, DEBT, &draft(2, name, "prod")));
        let expected = Refusal::ReviewDue {
            rule: "rule".into(),
            emergency: id(1),
            ended_at: first.expires_at,
        };
        assert_eq!(refused, expected);
    }
    assert_eq!(contents(&bench), before);
    assert!(create(&bench, DEBT, &draft(3, "bob", "prod")).is_ok());
    bench.update(1, &review("carol", "dev")).unwrap();
    assert!(create(&bench, DEBT, &draft(2, "Alice", "prod")).is_ok());
}

#[test]
fn many_invocations_at_once_while_a_review_is_due() {
    let bench = Bench::default();
    let mut short = draft(1, "alice", "prod");
    short.duration = NANO;
    create(&bench, DEBT, &short).unwrap();
    bench.clock.advance(NANO);
    let policy = invocation(DEBT);
    let answers = together(8, |number| {
        let draft = draft(number + 2, "alice", &format!("prod-{number}"));
        let admission = Admission::new(&policy, &unlimited(), &draft.profile);
        bench.store.sync().create(&draft, &admission)
    });
    assert!(answers.iter().all(Result::is_err), "a debt was passed over");
}

/// Creates emergency 2 of alice with an override.
fn overridden(bench: &Bench, by: &str, reason: &str) -> Result<Arc<Emergency>, Error> {
    let draft = draft(2, "alice", "prod");
    let admission = Admission::new(&invocation(DEBT), &unlimited(), &draft.profile)
        .with_review_override(&user(by), reason);
    let result = bench.store.sync().create(&draft, &admission);
    bench.store.audit().unwrap();
    result
}

const BECAUSE: &str = "the reviewers are asleep";

#[test]
fn overriding_a_review_for_oneself() {
    let (bench, _) = in_debt();
    let before = contents(&bench);
    for own in ["alice", "Alice", "ALICE"] {
        let refused = refusal(overridden(&bench, own, BECAUSE));
        assert!(matches!(refused, Refusal::OwnOverride { .. }), "{refused}");
    }
    assert_eq!(contents(&bench), before);
}

#[test]
fn overriding_a_review_without_being_named_or_without_saying_why() {
    let (bench, _) = in_debt();
    let before = contents(&bench);
    for other in ["dave", "Carol", "mallory"] {
        let refused = refusal(overridden(&bench, other, BECAUSE));
        assert!(
            matches!(refused, Refusal::NotAnOverrider { .. }),
            "{refused}"
        );
    }
    for nothing in ["", "   ", "x", "xxxxxxxx"] {
        let refused = refusal(overridden(&bench, "carol", nothing));
        assert!(matches!(refused, Refusal::Reason(_)), "{refused}");
    }
    assert_eq!(contents(&bench), before);
    let emergency = overridden(&bench, "carol", BECAUSE).unwrap();
    assert_eq!(
        emergency.review_override.as_ref().unwrap().unreviewed,
        id(1)
    );
}

#[test]
fn an_override_lifts_nothing_but_the_review() {
    let (bench, _) = in_debt();
    let mut draft = draft(2, "alice", "prod");
    let quota = limits(r#""max_per_user": 1, "quota_window": "24h""#);
    let overriding = |rule: &str, draft: &Draft| {
        let admission = Admission::new(&invocation(rule), &quota, &draft.profile)
            .with_review_override(&user("carol"), BECAUSE);
        refusal(bench.store.sync().create(draft, &admission))
    };
    let refused = overriding(DEBT, &draft);
    assert!(matches!(refused, Refusal::UserQuota { .. }), "{refused}");
    draft.invoker = user("mallory");
    let refused = overriding(DEBT, &draft);
    assert!(matches!(refused, Refusal::User { .. }), "{refused}");
}

#[test]
fn a_replayed_operation_id() {
    let operation = IdempotencyKey::from_bits(9);
    let bench = Bench::default();
    let mut first = draft(1, "alice", "prod");
    first.idempotency_key = Some(operation);
    let created = bench.create(&first, &unlimited()).unwrap();
    let before = contents(&bench);
    // For another emergency, for another user, for a longer time, with another reason, as a change.
    let mut other = first.clone();
    other.id = id(2);
    let mut longer = first.clone();
    longer.duration = 2 * HOUR;
    let mut foreign = first.clone();
    foreign.invoker = user("mallory");
    let mut reworded = first.clone();
    reworded.justification = "something else entirely".into();
    let mut proven = first.clone();
    proven.mfa = Some(proof("a", "alice", 1, start()));
    let reused = |result: Result<Arc<Emergency>, Error>| {
        let error = result.unwrap_err();
        assert!(
            matches!(error, Error::IdempotencyKeyReused { idempotency_key: named, id: of }
                if named == operation && of == id(1)),
            "{error}"
        );
    };
    for draft in [other, longer, foreign, reworded, proven] {
        reused(bench.create(&draft, &unlimited()));
    }
    let closing = close("alice", "it is over").with_idempotency_key(operation);
    reused(bench.update(1, &closing));
    reused(
        bench
            .store
            .sync()
            .update(id(99), created.updated_at, &closing),
    );
    assert_eq!(contents(&bench), before);
    // A replay of the call itself opens nothing: it is told what was, and gets no second access.
    bench.clock.set(created.expires_at);
    bench.update(1, &Change::expire()).unwrap();
    let again = bench.create(&first, &unlimited()).unwrap();
    assert_eq!(again, created);
    let (alice, prod) = (user("alice"), profile("prod"));
    let found = bench
        .store
        .sync()
        .active_at(&alice, &prod, created.expires_at);
    assert_eq!(found.unwrap(), None);
    let granted = bench.store.sync().find_grant(&alice, &prod);
    assert_eq!(granted.unwrap(), None);
}

#[test]
fn the_grant_of_another_user_or_profile_or_a_spent_one() {
    let bench = Bench::default();
    let emergency = bench.begin(1, "alice", "prod");
    let find = |who: &str, what: &str, at| {
        let (who, what) = (user(who), profile(what));
        bench.store.sync().active_at(&who, &what, at).unwrap()
    };
    let last = emergency.expires_at - nanos(1);
    assert!(find("alice", "prod", last).is_some());
    let grant = emergency.grant(last).unwrap();
    for (who, what, at) in [
        ("Alice", "prod", last),
        ("bob", "prod", last),
        ("alice", "PROD", last),
        ("alice", "dev", last),
        ("alice", "prod", emergency.expires_at),
    ] {
        assert_eq!(find(who, what, at), None, "{who} {what} {at}");
        assert!(!grant.covers(&user(who), &profile(what), at));
    }
    let closed = bench.update(1, &close("alice", "it is over")).unwrap();
    assert_eq!(find("alice", "prod", start()), None);
    assert_eq!(closed.grant(start()), None);
}

#[test]
fn winning_a_quota_or_a_pause_back_by_deletion() {
    for rule in [
        r#""max_per_user": 1, "quota_window": "24h""#,
        r#""max_per_profile": 1, "quota_window": "24h""#,
        r#""cooldown": "24h""#,
    ] {
        let limits = limits(rule);
        let retention = retention(&limits);
        let bench = Bench::default();
        bench.create(&draft(1, "alice", "prod"), &limits).unwrap();
        bench.clock.advance(HOUR);
        let expired = bench.update(1, &Change::expire()).unwrap();
        let refused = refusal(bench.store.sync().delete(id(1), &retention));
        assert_eq!(refused, Refusal::Unreviewed { id: id(1) });
        bench.update(1, &review("carol", "prod")).unwrap();

        let until = expired.expires_at + TimeDelta::hours(24);
        for at in [bench.clock.now(), until - nanos(1)] {
            bench.clock.set(at);
            let refused = refusal(bench.store.sync().delete(id(1), &retention));
            assert_eq!(refused, Refusal::Kept { id: id(1), until });
        }
        bench.clock.set(until);
        assert!(bench.store.sync().delete(id(1), &retention).unwrap());
        bench.store.audit().unwrap();
    }
}
