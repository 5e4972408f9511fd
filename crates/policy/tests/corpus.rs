//! The decision corpus: what an independent implementation of the same rules answered.
//!
//! Reads every file of a kind in the directory that `COUNTERSIGN_CORPUS` names, or the project's
//! own copy. Prints how many cases it ran and how many fell on a known difference.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout
)]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_policy::{
    ConditionsDocument, Decision, DocumentError, Mode, NameError, Policy, Problem, Profile, Query,
    RuleDocument, User,
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EvaluateLine {
    policy: Value,
    cases: Vec<EvaluateCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EvaluateCase {
    request: EvaluateRequest,
    decision: EvaluateDecision,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EvaluateRequest {
    user: String,
    profile: String,
    time: DateTime<Utc>,
    mode: Option<String>,
    session_table: Option<String>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct EvaluateDecision {
    effect: String,
    rule_index: i64,
    matched_rule: String,
    reason: String,
    requires_server_mode: bool,
    requires_session_tracking: bool,
    session_table: String,
    max_server_duration: String,
}

impl EvaluateDecision {
    fn of(decision: &Decision<'_>) -> Self {
        let effect = match decision {
            Decision::Allow(_) => "allow",
            Decision::Deny(_) => "deny",
            Decision::RequireApproval(_) => "require_approval",
        };
        let rule = decision.rule();
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let length = rule.and_then(|rule| rule.max_server_duration);
        Self {
            effect: effect.to_owned(),
            rule_index: rule.map_or(-1, |rule| i64::try_from(rule.index).unwrap()),
            matched_rule: text(rule.map(|rule| rule.name)),
            reason: text(decision.reason()),
            requires_server_mode: decision.requires_server_mode(),
            requires_session_tracking: decision.requires_session_tracking(),
            session_table: text(rule.and_then(|rule| rule.session_table)),
            max_server_duration: duration_text(length.unwrap_or_default()),
        }
    }
}

/// As the corpus writes durations: no unit that is zero, `0s` for none.
fn duration_text(length: Duration) -> String {
    let seconds = length.as_secs();
    let units = [
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let text: String = units
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if text.is_empty() { "0s".into() } else { text }
}

fn query(request: &EvaluateRequest) -> Result<Query, NameError> {
    let user = User::new(&request.user)?;
    let profile = Profile::new(&request.profile)?;
    let mut query = Query::new(user, profile, request.time);
    if let Some(mode) = &request.mode {
        query = query.with_mode(mode.parse::<Mode>().unwrap());
    }
    if let Some(table) = &request.session_table {
        query = query.with_session_table(table);
    }
    Ok(query)
}

/// The policy with rules at its end that concern nobody in the corpus: too many to be asked one by
/// one, so that an index finds the rule.
fn with_more_rules(policy: &Policy) -> Policy {
    let mut document = policy.document();
    document.rules.extend((0..20).map(|number| RuleDocument {
        name: format!("nobody's {number}"),
        effect: "allow".to_owned(),
        conditions: ConditionsDocument {
            users: Some(vec!["nobody in the corpus".to_owned()]),
            ..ConditionsDocument::default()
        },
        reason: None,
        hard: None,
        max_server_duration: None,
        session_table: None,
    }));
    Policy::try_from(document).unwrap()
}

/// Each case is asked of the policy and of a longer one, so that both ways of deciding answer it.
#[test]
fn corpus_policy_evaluate() {
    let (mut cases, mut refused_names, mut refused_policies) = (0, 0, 0);
    for (place, line) in lines("policy-evaluate") {
        let line: EvaluateLine = serde_json::from_str(&line).expect(&place);
        let json = line.policy.to_string();
        let policy = match Policy::from_json(json.as_bytes()) {
            Ok(policy) => policy,
            Err(error) if is_stricter(&error) => {
                cases += line.cases.len();
                refused_policies += line.cases.len();
                continue;
            }
            Err(error) => panic!("{place}: {error}"),
        };
        let indexed = with_more_rules(&policy);
        for (number, case) in line.cases.iter().enumerate() {
            cases += 1;
            // Known difference: names that the identity provider cannot have given are refused
            // before anything is asked; the corpus lets them meet rules for everyone.
            let Ok(query) = query(&case.request) else {
                refused_names += 1;
                continue;
            };
            for policy in [&policy, &indexed] {
                let decision = EvaluateDecision::of(&policy.decide(&query));
                assert_eq!(decision, case.decision, "{place}, case {number}: {query:?}");
            }
        }
    }
    println!(
        "corpus policy-evaluate: {cases} cases; known differences: {refused_names} with a name that \
         is refused, {refused_policies} with a policy that is refused"
    );
    assert!(cases > 0, "the corpus holds no case of policy-evaluate");
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValidateLine {
    policy: Value,
    kind: String,
    valid: bool,
}

#[test]
fn corpus_policy_validate() {
    let (mut cases, mut stricter) = (0, 0);
    for (place, line) in lines("policy-validate") {
        let line: ValidateLine = serde_json::from_str(&line).expect(&place);
        cases += 1;
        match Policy::from_json(line.policy.to_string().as_bytes()) {
            Ok(policy) => {
                assert!(line.valid, "{place}: a policy with {} is valid", line.kind);
                assert_eq!(
                    policy.digest(),
                    Policy::try_from(policy.document()).unwrap().digest()
                );
            }
            Err(error) => {
                if line.valid && is_stricter(&error) {
                    stricter += 1;
                    continue;
                }
                assert!(!line.valid, "{place}: {error}");
                assert!(
                    names_fault(&error, &line.kind),
                    "{place}: {}: {error}",
                    line.kind
                );
            }
        }
    }
    println!("corpus policy-validate: {cases} cases; known differences: {stricter} refused");
    assert!(cases > 0, "the corpus holds no case of policy-validate");
}

/// Known difference: unknown fields, empty lists, duplicate rule names and names that cannot be
/// are errors; the corpus accepts them.
fn is_stricter(error: &DocumentError) -> bool {
    match error {
        DocumentError::Syntax { message, .. } => message.contains("unknown field"),
        DocumentError::Rule(rule) => match &rule.problem {
            Problem::EmptyList | Problem::DuplicateName { .. } => true,
            Problem::Name(_) => rule.field != "name",
            _ => false,
        },
        _ => false,
    }
}

/// Whether the error is about what was spoilt. A kind that is not known here may be about
/// anything.
fn names_fault(error: &DocumentError, kind: &str) -> bool {
    let field = match kind {
        "no rules" => {
            return match error {
                DocumentError::NoRules => true,
                DocumentError::Syntax { message, .. } => message.contains("null"),
                _ => false,
            };
        }
        "unsupported version" => return matches!(error, DocumentError::Version { .. }),
        "missing name" => "name",
        "bad effect" => "effect",
        "no conditions" => "conditions",
        "bad weekday" => "conditions.time.days",
        "bad start hour" => "conditions.time.hours.start",
        "bad end hour" => "conditions.time.hours.end",
        "bad timezone" => "conditions.time.timezone",
        _ => return true,
    };
    matches!(error, DocumentError::Rule(rule) if rule.field == field)
}

/// The lines of every file of a kind, each with the place it stands in.
fn lines(kind: &str) -> Vec<(String, String)> {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let directory = std::env::var_os("COUNTERSIGN_CORPUS").map_or(own, PathBuf::from);
    let entries = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("`{}` cannot be read: {error}", directory.display()));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(kind) && name.ends_with(".jsonl")
        })
        .collect();
    files.sort();
    assert!(
        !files.is_empty(),
        "`{}` has no file `{kind}*.jsonl`: add one, or correct COUNTERSIGN_CORPUS",
        directory.display()
    );
    let mut lines = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            if !line.trim().is_empty() {
                let place = format!("{}:{}", file.display(), number + 1);
                lines.push((place, line.to_owned()));
            }
        }
    }
    lines
}
