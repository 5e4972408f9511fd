//! The decision corpus: thousands of cases that an independent implementation has answered.
//!
//! Each test reads every file whose name begins with its kind in the directory that the
//! environment variable `COUNTERSIGN_CORPUS` names, or else in `tests/corpus`. Where Countersign
//! differs on purpose the test says so and counts those cases.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout
)]

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::*;
use countersign_breakglass::*;
use serde_json::{Value, json};

/// Every line of every file of this kind, and what the test has counted.
struct Corpus {
    kind: &'static str,
    lines: Vec<Value>,
    cases: usize,
    differences: BTreeMap<&'static str, usize>,
}

impl Corpus {
    fn read(kind: &'static str) -> Self {
        let directory = match std::env::var_os("COUNTERSIGN_CORPUS") {
            Some(directory) => PathBuf::from(directory),
            None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus"),
        };
        let entries = std::fs::read_dir(&directory)
            .unwrap_or_else(|error| panic!("the corpus `{}`: {error}", directory.display()));
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let mut lines = Vec::new();
        for path in paths {
            let name = path.file_name().unwrap().to_string_lossy();
            if !name.starts_with(kind) || !path.is_file() {
                continue;
            }
            let text = std::fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("the corpus `{}`: {error}", path.display()));
            for (number, line) in text.lines().enumerate() {
                if !line.trim().is_empty() {
                    let line = serde_json::from_str(line);
                    lines.push(line.unwrap_or_else(|error| {
                        panic!("{}, line {}: {error}", path.display(), number + 1)
                    }));
                }
            }
        }
        Self {
            kind,
            lines,
            cases: 0,
            differences: BTreeMap::new(),
        }
    }

    fn differs(&mut self, how: &'static str) {
        *self.differences.entry(how).or_default() += 1;
    }

    fn finish(self) {
        println!("{}: {} cases", self.kind, self.cases);
        for (how, count) in &self.differences {
            println!("  {count} known differences: {how}");
        }
        assert!(self.cases > 0, "no case of {} was run", self.kind);
    }
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

fn moment(value: &Value, field: &str) -> DateTime<Utc> {
    time(text(value, field))
}

/// A length that, unlike a document's, may be zero.
fn length(text: &str) -> Duration {
    let json = json!({ "duration": text });
    #[derive(serde::Deserialize)]
    struct Length {
        #[serde(with = "countersign_core::window::duration")]
        duration: Duration,
    }
    serde_json::from_value::<Length>(json).unwrap().duration
}

/// Names are checked when they are built: what the corpus has besides is counted and left out.
fn names(invoker: &str, wanted: &str) -> Option<(User, Profile)> {
    Some((User::new(invoker).ok()?, Profile::new(wanted).ok()?))
}

const NAME: &str = "a name that is refused when it is built";

#[test]
fn corpus_breakglass_authorize() {
    let mut corpus = Corpus::read("breakglass-authorize");
    for line in std::mem::take(&mut corpus.lines) {
        let policy = InvocationPolicy::from_json(line["policy"].to_string().as_bytes()).unwrap();
        for case in line["cases"].as_array().unwrap() {
            corpus.cases += 1;
            let Some((invoker, wanted)) = names(text(case, "user"), text(case, "profile")) else {
                corpus.differs(NAME);
                continue;
            };
            let rule = policy.rule_for(&wanted);
            assert_eq!(rule.map_or("", |rule| rule.name()), case["rule"], "{case}");
            let names = rule.is_some_and(|rule| rule.names_invoker(&invoker));
            assert_eq!(names, case["can_invoke"], "{case}");
            if let Some(rule) = rule {
                assert_eq!(rule.requires_mfa(), case["requires_mfa"], "{case}");
                let methods = MfaMethod::ALL.map(|method| rule.allows_method(method));
                assert_eq!(methods[0], case["totp_allowed"], "{case}");
                assert_eq!(methods[1], case["sms_allowed"], "{case}");
            }

            let mut draft = draft(1, "nobody", "nothing");
            draft.invoker = invoker;
            draft.profile = wanted;
            draft.duration = length(text(case, "duration"));
            draft.reason_code = text(case, "reason_code").parse().unwrap();
            let admission = Admission::new(&policy, &RateLimitPolicy::unlimited(), &draft.profile);
            let decision = admission.decide(&draft, &Observed::default(), moment(case, "time"));
            if matches!(decision, Err(Refusal::MfaRequired { .. })) {
                corpus.differs("allowed but for a second factor, and refused until it is shown");
                assert_eq!(case["requires_mfa"], true, "{case}");
            }
            // The second factor is the last thing that is asked for.
            let allowed = matches!(decision, Ok(_) | Err(Refusal::MfaRequired { .. }));
            assert_eq!(allowed, case["allowed"], "{case}: {decision:?}");
        }
    }
    corpus.finish();
}

/// Rate limits know lengths and no dates, and the corpus is older than this release: its lines are
/// played twenty years later.
fn played(value: &Value, field: &str) -> chrono::DateTime<chrono::Utc> {
    moment(value, field) + chrono::TimeDelta::days(20 * 365)
}

/// A store that holds a line's emergencies, at the line's time.
fn store_of(line: &Value) -> Bench {
    let bench = Bench::at(played(line, "now"));
    let mut emergencies: Vec<&Value> = line["events"].as_array().unwrap().iter().collect();
    emergencies.sort_by_key(|emergency| moment(emergency, "created_at"));
    for (emergency, bits) in emergencies.into_iter().zip(1_000..) {
        let Some((invoker, wanted)) = names(text(emergency, "invoker"), text(emergency, "profile"))
        else {
            continue;
        };
        bench.clock.set(played(emergency, "created_at"));
        let mut past = draft(bits, invoker.as_str(), wanted.as_str());
        past.duration = NANO;
        bench.create(&past, &RateLimitPolicy::unlimited()).unwrap();
    }
    bench.clock.set(played(line, "now"));
    bench
}

/// How many emergencies the store counts over `window`: a limit of one tells.
fn counted(bench: &Bench, field: &str, window: &str, draft: &Draft) -> u64 {
    let probe = limits(&format!(r#""{field}": 1, "quota_window": "{window}""#));
    match bench.create(draft, &probe) {
        Ok(_) => 0,
        Err(Error::Refused(
            Refusal::UserQuota { count, .. } | Refusal::ProfileQuota { count, .. },
        )) => count,
        other => panic!("neither created nor counted: {other:?}"),
    }
}

/// The document's rules without what Countersign refuses: an escalation that counts over no time.
fn without_endless_escalation(policy: &Value, corpus: &mut Corpus) -> RateLimitPolicy {
    let mut policy = policy.clone();
    for index in 0..policy["rules"].as_array().unwrap().len() {
        let rule = &policy["rules"][index];
        if rule.get("escalation_threshold").is_some() && rule.get("quota_window").is_none() {
            corpus.differs("a rule that escalates without a quota window, and is refused");
            let alone = json!({"version": "1", "rules": [rule]});
            let error = RateLimitPolicy::from_json(alone.to_string().as_bytes()).unwrap_err();
            let DocumentError::Rule(error) = error else {
                panic!("not about the rule: {error}");
            };
            assert_eq!(error.field, "quota_window");
            let rule = policy["rules"][index].as_object_mut().unwrap();
            rule.remove("escalation_threshold");
        }
    }
    RateLimitPolicy::from_json(policy.to_string().as_bytes()).unwrap()
}

#[test]
fn corpus_breakglass_rate_limit() {
    let mut corpus = Corpus::read("breakglass-rate-limit");
    for line in std::mem::take(&mut corpus.lines) {
        let policy = without_endless_escalation(&line["policy"], &mut corpus);
        for case in line["cases"].as_array().unwrap() {
            corpus.cases += 1;
            let Some((invoker, wanted)) = names(text(case, "invoker"), text(case, "profile"))
            else {
                corpus.differs(NAME);
                continue;
            };
            rate_limit_case(&line, &policy, case, (invoker, wanted), &mut corpus);
        }
    }
    corpus.finish();
}

fn rate_limit_case(
    line: &Value,
    policy: &RateLimitPolicy,
    case: &Value,
    (invoker, wanted): (User, Profile),
    corpus: &mut Corpus,
) {
    let draft = draft(1, invoker.as_str(), wanted.as_str());
    let now = played(line, "now");
    let result = store_of(line).create(&draft, policy);
    let rule = policy.rule_for(&wanted);

    let reason = match &result {
        Ok(_) => "",
        Err(Error::Refused(Refusal::Cooldown { .. })) => "cooldown period not elapsed",
        Err(Error::Refused(Refusal::UserQuota { .. })) => "user quota exceeded",
        Err(Error::Refused(Refusal::ProfileQuota { .. })) => "profile quota exceeded",
        Err(other) => panic!("{case}: {other:?}"),
    };
    assert_eq!(result.is_ok(), case["allowed"], "{case}");
    assert_eq!(reason, case["reason"], "{case}");

    // The counts: those that the corpus made are the store's.
    let window = rule.and_then(|rule| rule.quota_window());
    if let Some(window) = window {
        let window = countersign_core::window::duration::format(window);
        for (field, answer) in [
            ("max_per_user", "user_count"),
            ("max_per_profile", "profile_count"),
        ] {
            let count = counted(&store_of(line), field, &window, &draft);
            if case[answer] == 0 && count > 0 {
                corpus.differs("a count that the corpus leaves at 0");
                let limited = rule.is_some_and(|rule| match field {
                    "max_per_user" => rule.max_per_user().is_some(),
                    _ => rule.max_per_profile().is_some(),
                });
                assert!(!limited || result.is_err(), "{case}: {count}");
            } else {
                assert_eq!(count, case[answer], "{case}");
            }
        }
    }

    match result {
        Ok(emergency) => {
            if case["should_escalate"] == emergency.escalate {
                return;
            }
            corpus.differs("an escalation without a user's quota, which the corpus never makes");
            assert!(emergency.escalate, "{case}");
            assert_eq!(rule.unwrap().max_per_user(), None, "{case}");
        }
        Err(error) => {
            assert_eq!(case["should_escalate"], false, "{case}");
            let refusal = refusal::<()>(Err(error));
            let retry_at = refusal.retry_at().unwrap();
            let waits = (retry_at - now).num_nanoseconds().unwrap();
            if let Refusal::Cooldown { .. } = refusal {
                assert_eq!(waits, case["retry_after_ns"], "{case}");
            } else {
                corpus.differs("a quota's time to try again, which the corpus does not give");
                assert_eq!(case["retry_after_ns"], 0, "{case}");
                assert!(waits > 0, "{case}");
            }
            // The time is right to the nanosecond.
            let bench = store_of(line);
            bench
                .clock
                .set(retry_at - chrono::TimeDelta::nanoseconds(1));
            assert_eq!(
                common::refusal(bench.create(&draft, policy)).retry_at(),
                Some(retry_at),
                "{case}"
            );
            bench.clock.set(retry_at);
            if let Err(Error::Refused(next)) = bench.create(&draft, policy) {
                let same = std::mem::discriminant(&next) == std::mem::discriminant(&refusal);
                assert!(!same, "{case}: {next}");
            }
        }
    }
}

#[test]
fn corpus_breakglass_transitions() {
    let mut corpus = Corpus::read("breakglass-transitions");
    for line in std::mem::take(&mut corpus.lines) {
        corpus.cases += 1;
        let from: Status = serde_json::from_value(line["from"].clone()).unwrap();
        let to: Status = serde_json::from_value(line["to"].clone()).unwrap();
        let transition = from.can_become(to);
        assert_eq!(transition, line["transition_allowed"], "{line}");
        if from == to {
            corpus.differs("an update to the same status, for which there is no call");
            assert_eq!(line["update_allowed"], true, "{line}");
        } else {
            assert_eq!(transition, line["update_allowed"], "{line}");
            assert_eq!(update_allowed(from, to), line["update_allowed"], "{line}");
        }
    }
    corpus.finish();
}

/// Whether a store takes an emergency from one status to another.
fn update_allowed(from: Status, to: Status) -> bool {
    let bench = Bench::default();
    bench.begin(1, "alice", "prod");
    let change = |to| match to {
        Status::Active => None,
        Status::Closed => {
            let (alice, prod) = (user("alice"), profile("prod"));
            Some(Change::close(&anybody(), &prod, &alice, "it is over"))
        }
        Status::Expired => {
            bench.clock.set(bench.get(1).expires_at);
            Some(Change::expire())
        }
    };
    if let Some(change) = change(from) {
        bench.update(1, &change).unwrap();
    }
    match change(to) {
        None => false,
        Some(change) => bench.update(1, &change).is_ok(),
    }
}

#[test]
fn corpus_breakglass_validate() {
    let mut corpus = Corpus::read("breakglass-validate");
    for line in std::mem::take(&mut corpus.lines) {
        corpus.cases += 1;
        let mut record = line["record"].clone();
        let fields = record.as_object_mut().unwrap();
        // The corpus has none of these; whatever they hold is valid.
        fields.insert("created".to_owned(), json!("2026-03-02T09:00:00Z"));
        fields.insert("escalate".to_owned(), json!(false));
        fields.insert("history".to_owned(), json!([]));
        let read = serde_json::from_value::<Emergency>(record);
        let valid = read.is_ok_and(|emergency| Limits::default().validate(&emergency).is_ok());
        assert_eq!(valid, line["valid"], "{}: {line}", line["kind"]);
    }
    corpus.finish();
}
