//! Findings as SARIF 2.1.0 (OASIS), which code hosts show at their line.
//!
//! One run. Each finding is a result at the name of its rule, with the other rules as related
//! locations. A document that is not a policy is a result too, at the place of the error. Columns
//! count characters.

use countersign_policy::{Finding, LintReport, RulePlace, Severity};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::findings::{Places, sentence, undecided};
use crate::source::FileName;
use crate::text::Spot;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// What a document that is no policy is called.
const BAD_INPUT: &str = "bad-input";

/// The rules of the report in their order: code, level, what it says, what to do.
const RULES: [(&str, &str, &str, &str); 4] = [
    (
        BAD_INPUT,
        "error",
        "The document is not a policy.",
        "Correct what the message names. Nothing of the document is used until then.",
    ),
    (
        "unreachable-rule",
        "warning",
        "Earlier rules take every query that the rule is for, so that it never decides.",
        "Remove the rule, or put it before those that are named.",
    ),
    (
        "swallowed-deny",
        "warning",
        "Earlier rules give access to some of what the rule denies.",
        "Put the denial before them, unless they are meant as its exceptions.",
    ),
    (
        "duplicate-rule",
        "warning",
        "The rule is another but for its name.",
        "Remove one of the two.",
    ),
];

/// What lint found.
pub fn of_report(report: &LintReport, places: &Places<'_>) -> String {
    let results = report.findings().iter();
    let notes = report.undecided().iter();
    log(
        results.map(|finding| result_of(finding, places)).collect(),
        json!({
            "executionSuccessful": true,
            "toolExecutionNotifications": notes.map(|rule| json!({
                "level": "note",
                "message": {"text": undecided(rule)},
                "locations": [location_of(rule, places)],
            })).collect::<Vec<Value>>(),
        }),
    )
}

/// Why lint could not look.
pub fn of_failure(failure: &Failure) -> String {
    let mut result = result(BAD_INPUT, "error", &failure.message);
    if let Some(file) = &failure.file {
        insert(
            &mut result,
            "locations",
            json!([location(file, failure.spot.as_ref())]),
        );
    }
    log(vec![result], json!({"executionSuccessful": false}))
}

fn log(results: Vec<Value>, invocation: Value) -> String {
    let rules = RULES.map(|(id, level, what, help)| {
        json!({
            "id": id,
            "shortDescription": {"text": what},
            "help": {"text": help},
            "defaultConfiguration": {"level": level},
        })
    });
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": env!("CARGO_BIN_NAME"),
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [invocation],
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

fn result_of(finding: &Finding, places: &Places<'_>) -> Value {
    let level = match finding.severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
    };
    let mut result = result(finding.kind.code(), level, &sentence(finding));
    insert(
        &mut result,
        "locations",
        json!([location_of(&finding.rule, places)]),
    );
    let others = (1..).zip(finding.kind.others());
    let related = others.map(|(id, rule): (usize, _)| {
        let mut location = location_of(rule, places);
        insert(&mut location, "id", json!(id));
        insert(&mut location, "message", json!({"text": rule.to_string()}));
        location
    });
    insert(&mut result, "relatedLocations", related.collect());
    result
}

fn result(code: &str, level: &str, message: &str) -> Value {
    json!({
        "ruleId": code,
        "ruleIndex": RULES.iter().position(|(id, ..)| *id == code),
        "level": level,
        "message": {"text": message},
    })
}

fn location_of(rule: &RulePlace, places: &Places<'_>) -> Value {
    location(places.file, Some(&places.spot(rule)))
}

fn location(file: &FileName, spot: Option<&Spot>) -> Value {
    let mut place = json!({"artifactLocation": {"uri": file.uri()}});
    if let Some(spot) = spot {
        let mut region = json!({"startLine": spot.line, "startColumn": spot.column});
        if spot.end_column > spot.column {
            insert(&mut region, "endColumn", spot.end_column.into());
        }
        insert(&mut place, "region", region);
    }
    json!({"physicalLocation": place})
}

fn insert(object: &mut Value, key: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
}
