//! Documents of every kind that the project has, and each of them spoilt in every place.
#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};

use countersign_breakglass::{
    InvocationDocument, InvocationPolicy, RateLimitDocument, RateLimitPolicy,
};
use countersign_policy::{Policy, PolicyDocument};
use countersign_request::{ApprovalDocument, ApprovalPolicy};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A kind of document.
pub struct Kind {
    pub name: &'static str,
    /// Where there are documents of it: JSON, or lines of JSON with a field `policy`.
    places: &'static [&'static str],
    /// One with every field.
    full: &'static str,
    /// What the parser says: nothing, or why not.
    pub refusal: fn(&Value) -> Option<String>,
}

pub const KINDS: [Kind; 4] = [
    Kind {
        name: "policy",
        places: &[
            "docs/demo/policy.json",
            "docs/demo/policy-afternoon.json",
            "fuzz/corpus/policy",
            "crates/policy/tests/corpus/policy-validate.jsonl",
            "crates/policy/tests/corpus/policy-evaluate.jsonl",
        ],
        full: "fuzz/corpus/policy/every-field.json",
        refusal: |json| {
            Policy::from_json(json.to_string().as_bytes())
                .err()
                .map(|error| error.to_string())
        },
    },
    Kind {
        name: "approvals",
        places: &[
            "docs/demo/approvals.json",
            "fuzz/corpus/approvals",
            "crates/request/tests/corpus/request-approval.jsonl",
        ],
        full: "fuzz/corpus/approvals/every-field.json",
        refusal: |json| {
            ApprovalPolicy::from_json(json.to_string().as_bytes())
                .err()
                .map(|error| error.to_string())
        },
    },
    Kind {
        name: "invocation",
        places: &[
            "docs/demo/invocation.json",
            "fuzz/corpus/breakglass",
            "crates/breakglass/tests/corpus/breakglass-authorize.jsonl",
        ],
        full: "fuzz/corpus/breakglass/invocation.json",
        refusal: |json| {
            InvocationPolicy::from_json(json.to_string().as_bytes())
                .err()
                .map(|error| error.to_string())
        },
    },
    Kind {
        name: "limits",
        places: &[
            "docs/demo/limits.json",
            "fuzz/corpus/breakglass",
            "crates/breakglass/tests/corpus/breakglass-rate-limit.jsonl",
        ],
        full: "fuzz/corpus/breakglass/limits.json",
        refusal: |json| {
            RateLimitPolicy::from_json(json.to_string().as_bytes())
                .err()
                .map(|error| error.to_string())
        },
    },
];

impl Kind {
    /// Every document of the kind that the project keeps, and those spoilt from one with every
    /// field.
    pub fn documents(&self) -> Vec<Value> {
        let mut documents: Vec<Value> = self.places.iter().flat_map(|place| read(place)).collect();
        let full = fs::read(root().join(self.full)).unwrap();
        let full: Value = serde_json::from_slice(&full).unwrap();
        documents.extend(spoilt(&full));
        documents
    }
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The documents of a place; what is not JSON, no schema is asked about.
fn read(place: &str) -> Vec<Value> {
    let path = root().join(place);
    if path.is_dir() {
        let files = fs::read_dir(path).unwrap();
        let texts = files.map(|file| fs::read(file.unwrap().path()).unwrap());
        return texts
            .filter_map(|text| serde_json::from_slice(&text).ok())
            .collect();
    }
    let text = fs::read_to_string(&path).unwrap();
    if place.ends_with(".json") {
        return vec![serde_json::from_str(&text).unwrap()];
    }
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|mut line| line["policy"].take()).collect()
}

/// The document with each of its values taken away, doubled, or replaced by each of many, and with
/// an unknown field in each object.
fn spoilt(document: &Value) -> Vec<Value> {
    let long = |count| Value::from("x".repeat(count));
    let others = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(-1),
        json!(1.0),
        json!(1.5),
        json!(4_294_967_296_u64),
        json!(u64::MAX),
        json!(""),
        json!(" "),
        json!("a"),
        json!("1"),
        json!("a b"),
        json!(" a"),
        json!("a "),
        json!("\u{a0}a"),
        json!("a\u{2003}"),
        json!("\u{feff}a"),
        json!("a\u{85}b"),
        json!("a\nb"),
        json!("a\0"),
        json!("日本"),
        json!("allow"),
        json!("deny"),
        json!("Allow"),
        json!("cli"),
        json!("totp"),
        json!("incident"),
        json!("monday"),
        json!("Monday"),
        json!("UTC"),
        json!("Mars/Olympus"),
        json!("europe/london"),
        json!("00:00"),
        json!("23:59"),
        json!("24:00"),
        json!("9:00"),
        json!("09:60"),
        json!("22:00"),
        json!("09:00 "),
        json!("1h"),
        json!("1h30m"),
        json!("007s"),
        json!("0s"),
        json!("0h0m"),
        json!("1m1h"),
        json!("1.5h"),
        json!("1d"),
        json!("87600h"),
        json!("87600h1s"),
        json!("1h "),
        json!("1H"),
        json!("99999999999999999999h"),
        long(256),
        long(257),
        long(1_000),
        long(1_001),
        json!([]),
        json!([[]]),
        json!([""]),
        json!(["a"]),
        json!(["a", "a"]),
        json!(["a", " b"]),
        json!([1]),
        json!([null]),
        json!(["monday"]),
        json!(["monday", "monday"]),
        json!(["cli"]),
        json!(["incident"]),
        json!(["totp"]),
        json!({}),
        json!({"a": 1}),
        json!({"required": true}),
        json!({"days": ["monday"]}),
        json!({"timezone": "UTC"}),
        json!({"users": ["a"]}),
        json!({"hours": {"start": "09:00", "end": "09:00"}}),
        json!({"hours": {"start": "22:00", "end": "06:00"}}),
    ];
    let mut all = Vec::new();
    // The rules after the first are there for their names.
    let of_others = |place: &String| place.starts_with("/rules/") && !place.starts_with("/rules/0");
    let mut places = places(document, "");
    places.retain(|place| !of_others(place) || place.ends_with("/name"));
    for place in &places {
        for other in &others {
            let mut spoilt = document.clone();
            *spoilt.pointer_mut(place).unwrap() = other.clone();
            all.push(spoilt);
        }
        let mut spoilt = document.clone();
        match spoilt.pointer_mut(place).unwrap() {
            Value::Object(fields) => drop(fields.insert("unknown".to_owned(), json!(1))),
            Value::Array(entries) => entries.extend_from_within(..),
            _ => continue,
        }
        all.push(spoilt);
    }
    for place in places.iter().filter(|place| !place.is_empty()) {
        let (parent, last) = place.rsplit_once('/').unwrap();
        let mut spoilt = document.clone();
        match spoilt.pointer_mut(parent).unwrap() {
            Value::Object(fields) => drop(fields.remove(last)),
            Value::Array(entries) => drop(entries.remove(last.parse().unwrap())),
            _ => unreachable!("only objects and lists hold values"),
        }
        all.push(spoilt);
    }
    // Each field alone with the rule's name, and each two fields.
    if let Some(rule) = document.pointer("/rules/0").and_then(Value::as_object) {
        for one in rule.keys() {
            for other in rule.keys() {
                let kept = rule
                    .iter()
                    .filter(|(field, _)| ["name", one, other].contains(&field.as_str()));
                let kept: serde_json::Map<_, _> = kept
                    .map(|(field, value)| (field.clone(), value.clone()))
                    .collect();
                all.push(json!({"version": "1", "rules": [kept]}));
            }
        }
    }
    all
}

/// The places of all values.
fn places(value: &Value, place: &str) -> Vec<String> {
    let mut all = vec![place.to_owned()];
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                all.extend(places(value, &format!("{place}/{field}")));
            }
        }
        Value::Array(entries) => {
            for (number, value) in entries.iter().enumerate() {
                all.extend(places(value, &format!("{place}/{number}")));
            }
        }
        _ => {}
    }
    all
}

/// Reads a document of a kind with any format's reader and checks it: what it is when written as
/// JSON, or why not.
pub trait Format {
    fn read<T: DeserializeOwned>(&self, text: &str) -> Result<T, String>;

    fn canonical(&self, kind: &Kind, text: &str) -> Result<Value, String> {
        fn written<D, P>(document: Result<D, String>) -> Result<Value, String>
        where
            D: Serialize + TryInto<P, Error: ToString>,
        {
            let document = document?;
            let json = serde_json::to_value(&document).unwrap();
            let checked: Result<P, D::Error> = document.try_into();
            checked.map(|_| json).map_err(|error| error.to_string())
        }
        match kind.name {
            "policy" => written::<PolicyDocument, Policy>(self.read(text)),
            "approvals" => written::<ApprovalDocument, ApprovalPolicy>(self.read(text)),
            "invocation" => written::<InvocationDocument, InvocationPolicy>(self.read(text)),
            "limits" => written::<RateLimitDocument, RateLimitPolicy>(self.read(text)),
            other => unreachable!("`{other}` is no kind"),
        }
    }
}
