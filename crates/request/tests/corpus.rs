//! The decision corpus: what an independent implementation of the same rules answered.
//!
//! Each test reads every file of its kind in the directory that `COUNTERSIGN_CORPUS` names, or the
//! copy beside this file, prints how many cases it ran, and counts the cases in which Countersign
//! differs on purpose; any other difference fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_request::{
    ApprovalPolicy, Change, DocumentError, Draft, InMemory, Limits, ManualClock, Problem, Profile,
    Rejection, Request, RequestId, Stamp, Status, Terms, User, ValidationError, Version,
};
use serde_json::Value;

/// Cases run, and known differences by what they are.
#[derive(Default)]
struct Tally {
    cases: usize,
    differences: BTreeMap<&'static str, usize>,
}

impl Tally {
    fn differs(&mut self, why: &'static str) {
        *self.differences.entry(why).or_default() += 1;
    }

    /// Prints the counts; none at all is a failure.
    fn report(&self, kind: &str) {
        println!("corpus {kind}: {} cases", self.cases);
        for (why, count) in &self.differences {
            println!("corpus {kind}: {count} known differences: {why}");
        }
        assert!(self.cases > 0, "no case of {kind} was run");
    }
}

/// Every line of every file of this kind, with its place.
fn lines(kind: &str) -> Vec<(String, Value)> {
    let directory = match std::env::var_os("COUNTERSIGN_CORPUS") {
        Some(directory) => PathBuf::from(directory),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus"),
    };
    let entries = std::fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", directory.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with(kind) && path.is_file()
    });
    files.sort();
    assert!(
        !files.is_empty(),
        "no file in {} begins with `{kind}`",
        directory.display()
    );
    let mut lines = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() {
                continue;
            }
            let place = format!("{}:{number}", path.display());
            let value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{place}: {e}"));
            lines.push((place, value));
        }
    }
    lines
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("no text `{field}` in {value}"))
}

fn truth(value: &Value, field: &str) -> bool {
    value[field]
        .as_bool()
        .unwrap_or_else(|| panic!("no boolean `{field}` in {value}"))
}

/// A length as the record format writes it: whole units and fractions of a second.
fn length(text: &str) -> Option<Duration> {
    countersign_core::window::duration::deserialize(Value::from(text)).ok()
}

/// A request of `requester` for `duration`, pending since `at`.
fn pending(requester: &User, profile: &Profile, duration: Duration, at: DateTime<Utc>) -> Request {
    let draft = Draft {
        id: RequestId::from_bits(1),
        requester: requester.clone(),
        profile: profile.clone(),
        duration,
        justification: "a case of the corpus".into(),
        ticket: None,
        policy: None,
        idempotency_key: None,
    };
    let limits = Limits {
        max_duration: Duration::from_secs(366 * 24 * 3600),
        ..Limits::default()
    };
    let anybody = r#"{"version": "1", "rules": [{"name": "any", "approvers": ["one", "two"]}]}"#;
    let terms = Terms::of(&anybody.parse().unwrap(), profile);
    Request::create(&draft, &limits, &terms, Stamp::at(at)).unwrap()
}

/// Whether the document is refused for what the corpus lets pass and Countersign does not.
fn refused_on_purpose(error: &DocumentError) -> bool {
    match error {
        DocumentError::Syntax { message, .. } => message.contains("unknown field"),
        DocumentError::Rule(rule) => matches!(
            rule.problem,
            Problem::Empty { .. } | Problem::DuplicateName { .. }
        ),
        _ => false,
    }
}

#[test]
fn corpus_request_approval() {
    let mut tally = Tally::default();
    for (place, line) in lines("request-approval") {
        let cases = line["cases"].as_array().expect("cases");
        let policy = match ApprovalPolicy::from_json(line["policy"].to_string().as_bytes()) {
            Ok(policy) => policy,
            Err(error) => {
                assert!(refused_on_purpose(&error), "{place}: {error}");
                tally.cases += cases.len();
                for _ in cases {
                    tally.differs("the document is refused");
                }
                continue;
            }
        };
        for (number, case) in cases.iter().enumerate() {
            tally.cases += 1;
            approval_case(&mut tally, &policy, case, &format!("{place} case {number}"));
        }
    }
    tally.report("request-approval");
}

fn approval_case(tally: &mut Tally, policy: &ApprovalPolicy, case: &Value, place: &str) {
    let names = (
        Profile::new(text(case, "profile")),
        User::new(text(case, "requester")),
        User::new(text(case, "approver")),
    );
    let (Ok(profile), Ok(requester), Ok(approver)) = names else {
        tally.differs("a name is refused before there is a request");
        return;
    };
    let at: DateTime<Utc> = text(case, "time").parse().unwrap();
    let duration = length(text(case, "duration")).unwrap();
    let rule = policy.rule_for(&profile);
    let name = rule.map_or("", |rule| rule.name());
    assert_eq!(name, text(case, "rule"), "{place}: the rule");

    let automatic = truth(case, "auto_approve");
    let holds = rule
        .and_then(|rule| rule.auto_approval())
        .is_some_and(|auto| auto.holds(&requester, duration, at));
    assert_eq!(holds, automatic, "{place}: automatic approval");
    let request = pending(&requester, &profile, duration, at);
    let stamp = Stamp::at(at);
    let by_rule = request.apply(&Change::approve_by_rule(policy, &profile), stamp);
    assert_eq!(by_rule.is_ok(), automatic, "{place}: approved by the rule");

    let named = truth(case, "can_approve");
    let names_approver = rule.is_some_and(|rule| rule.names_approver(&approver));
    assert_eq!(names_approver, named, "{place}: named as an approver");
    let approved = request
        .apply(&Change::approve(policy, &profile, &approver, None), stamp)
        .is_ok();
    if named && approver.same_user(&requester) {
        tally.differs("the approver is the requester");
        assert!(!approved, "{place}: approved by the requester");
    } else {
        assert_eq!(approved, named, "{place}: approved by a user");
    }
}

#[test]
fn corpus_request_validate() {
    let mut tally = Tally::default();
    for (place, line) in lines("request-validate") {
        tally.cases += 1;
        let record = &line["record"];
        let kind = text(&line, "kind");
        let expected = truth(&line, "valid");
        let valid = match read(record) {
            Ok(request) => Limits::default()
                .validate(&request)
                .map_err(|error| match error {
                    ValidationError::Duration { .. } => "duration",
                    ValidationError::Justification(_) => "justification",
                    ValidationError::Ticket(_) => "ticket",
                }),
            Err(field) => Err(field),
        };
        if expected && valid.is_err() && differs_on_purpose(&mut tally, record) {
            continue;
        }
        assert_eq!(valid.is_ok(), expected, "{place}: {kind}: {valid:?}");
        if let Err(field) = valid {
            assert!(
                kind.starts_with(field),
                "{place}: `{field}` is named, `{kind}` was spoilt"
            );
        }
    }
    tally.report("request-validate");
}

/// The record as a request; the field that does not parse otherwise.
fn read(record: &Value) -> Result<Request, &'static str> {
    let requester = User::new(text(record, "requester")).map_err(|_| "requester")?;
    let profile = Profile::new(text(record, "profile")).map_err(|_| "profile")?;
    let duration = length(text(record, "duration")).ok_or("duration")?;
    let updated_at: Version = text(record, "updated_at").parse().map_err(|_| "updated")?;
    Ok(Request {
        id: text(record, "id").parse().map_err(|_| "id")?,
        requester,
        profile,
        duration,
        justification: text(record, "justification").into(),
        ticket: record["ticket"].as_str().map(Arc::from),
        created: text(record, "created_at").parse().map_err(|_| "created")?,
        created_at: text(record, "created_at").parse().map_err(|_| "created")?,
        decide_by: text(record, "expires_at").parse().map_err(|_| "expires")?,
        status: serde_json::from_value(record["status"].clone()).map_err(|_| "status")?,
        policy: None,
        ends_with_policy: false,
        approvals: Vec::new(),
        approval: None,
        access_until: None,
        note: None,
        updated_at,
        history: Vec::new(),
    })
}

/// Counts what the corpus lets pass and Countersign refuses; false if nothing explains it.
fn differs_on_purpose(tally: &mut Tally, record: &Value) -> bool {
    let untrimmed = |field| {
        let name = text(record, field);
        name != name.trim() || name.chars().any(char::is_control)
    };
    let mut said: Vec<char> = text(record, "justification").chars().collect();
    said.retain(|character| !character.is_whitespace());
    said.dedup();
    if untrimmed("requester") || untrimmed("profile") {
        tally.differs("a name has white space at an end or a control character");
    } else if said.len() < 2 {
        tally.differs("the justification says nothing");
    } else {
        return false;
    }
    true
}

/// A store with one request that has the status, and the clock at a time at which what leads to
/// `to` is due.
fn stored(from: Status, to: Status) -> (InMemory, Arc<Request>, ApprovalPolicy) {
    let policy: ApprovalPolicy =
        r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob"]}]}"#
            .parse()
            .unwrap();
    let start: DateTime<Utc> = "2026-03-02T09:00:00Z".parse().unwrap();
    let clock = Arc::new(ManualClock::at(start));
    let store = InMemory::new(clock.clone());
    let draft = Draft {
        id: RequestId::from_bits(1),
        requester: User::new("alice").unwrap(),
        profile: Profile::new("prod").unwrap(),
        duration: Duration::from_secs(8 * 3600),
        justification: "a case of the corpus".into(),
        ticket: None,
        policy: None,
        idempotency_key: None,
    };
    let mut request = store
        .sync()
        .create(&draft, &Terms::of(&policy, &draft.profile))
        .unwrap();
    let reached = [Status::Approved, from];
    let steps: &[Status] = match from {
        Status::Pending => &[],
        Status::Revoked | Status::Released => &reached,
        _ => reached.get(1..).unwrap(),
    };
    for step in steps {
        if *step == Status::Expired {
            clock.set(request.decide_by);
        }
        let change = change_to(*step, &policy).unwrap();
        request = store
            .sync()
            .update(request.id, request.updated_at, &change)
            .unwrap();
    }
    if to == Status::Expired {
        clock.set(request.decide_by);
    }
    assert_eq!(request.status, from);
    (store, request, policy)
}

/// A change to the status by somebody who may make it; none leads back to pending.
fn change_to(status: Status, policy: &ApprovalPolicy) -> Option<Change> {
    let (alice, bob) = (User::new("alice").unwrap(), User::new("bob").unwrap());
    let prod = Profile::new("prod").unwrap();
    Some(match status {
        Status::Pending => return None,
        Status::Approved => Change::approve(policy, &prod, &bob, None),
        Status::Denied => Change::deny(policy, &prod, &bob, None),
        Status::Expired => Change::expire(),
        Status::Cancelled => Change::cancel(&alice, None),
        Status::Revoked => Change::revoke(policy, &prod, &bob, None),
        Status::Released => Change::release(&alice, None),
        Status::Ended => Change::end_void(),
    })
}

#[test]
fn corpus_request_transitions() {
    let mut tally = Tally::default();
    for (place, line) in lines("request-transitions") {
        tally.cases += 1;
        let status = |field| -> Status { serde_json::from_value(line[field].clone()).unwrap() };
        let (from, to) = (status("from"), status("to"));
        let allowed = truth(&line, "transition_allowed");
        assert_eq!(from.can_become(to), allowed, "{place}: {from} to {to}");

        let (store, request, policy) = stored(from, to);
        let updated = match change_to(to, &policy) {
            None => false,
            Some(change) => {
                let pure = request.apply(&change, Stamp::at(request.changed_at()));
                let refused = matches!(pure, Err(Rejection::InvalidTransition { .. }));
                assert_ne!(refused, allowed, "{place}: {pure:?}");
                store
                    .sync()
                    .update(request.id, request.updated_at, &change)
                    .is_ok()
            }
        };
        if from == to && truth(&line, "update_allowed") {
            tally.differs("no call writes a status over itself");
            assert!(!updated, "{place}: {from} was written over itself");
        } else {
            assert_eq!(updated, truth(&line, "update_allowed"), "{place}");
        }
    }
    tally.report("request-transitions");
}
