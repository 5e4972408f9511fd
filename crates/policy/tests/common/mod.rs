//! What several tests build: documents, policies and queries from little text.
#![allow(dead_code)]

use chrono::{DateTime, Utc};
use countersign_policy::{
    DocumentError, Grant, GrantKind, GrantedBy, Policy, Problem, Profile, Query, RuleError, User,
};
use serde_json::{Value, json};

pub mod small;
pub mod store;

/// A document with these rules.
pub fn document(rules: &Value) -> String {
    json!({"version": "1", "rules": rules}).to_string()
}

/// A rule that is as good as any.
pub fn good_rule(name: &str) -> Value {
    json!({"name": name, "effect": "allow", "conditions": {"users": ["alice"]}})
}

/// A policy with these rules.
pub fn policy(rules: &Value) -> Policy {
    document(rules).parse().unwrap()
}

/// A policy with one rule that allows, with these conditions.
pub fn allowing(conditions: Value) -> Policy {
    policy(&json!([{"name": "only", "effect": "allow", "conditions": conditions}]))
}

/// What reading a document says.
pub fn read(json: &str) -> Result<Policy, DocumentError> {
    Policy::from_json(json.as_bytes())
}

/// What reading a policy says whose second rule has this field set (`null` removes it).
pub fn read_with(field: &str, value: Value) -> Result<Policy, DocumentError> {
    let mut rule = json!({"name": "second", "effect": "deny", "conditions": {"users": ["bob"]}});
    match value {
        Value::Null => drop(rule.as_object_mut().unwrap().remove(field)),
        value => rule[field] = value,
    }
    let first = json!({"name": "first", "effect": "allow", "conditions": {"users": ["alice"]}});
    read(&document(&json!([first, rule])))
}

/// What reading a policy says whose second rule has this one condition.
pub fn read_if(condition: &str, value: Value) -> Result<Policy, DocumentError> {
    read_with("conditions", json!({ condition: value }))
}

/// The fault of the second rule: where and what. Checks that the message names rule, field and,
/// if there is one to name, the value, in one line of bounded length.
pub fn fault(result: Result<Policy, DocumentError>, value: &str) -> (String, Problem) {
    let error = result.expect_err("the document was taken for a policy");
    let message = error.to_string();
    assert!(message.contains("rule 1 `"), "no rule in: {message}");
    assert!(message.contains(value), "no `{value}` in: {message}");
    assert_one_line(&message);
    let DocumentError::Rule(RuleError {
        index: 1,
        field,
        problem,
        ..
    }) = error
    else {
        panic!("not the second rule's fault: {error:?}");
    };
    assert!(message.contains(&format!("`{field}`: ")), "{message}");
    assert!(
        !message.ends_with('.') && message.contains(": "),
        "{message}"
    );
    (field, problem)
}

/// The message of a syntax error; checks that it is one line of bounded length.
pub fn syntax(result: Result<Policy, DocumentError>) -> String {
    let error = result.expect_err("the document was taken for a policy");
    assert_one_line(&error.to_string());
    let DocumentError::Syntax { message, .. } = error else {
        panic!("not an error of syntax: {error:?}");
    };
    message
}

pub fn assert_one_line(message: &str) {
    assert!(message.chars().all(|c| !c.is_control()), "{message:?}");
    let characters = message.chars().count();
    assert!(characters < 2_000, "a message of {characters} characters");
}

pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub fn user(name: &str) -> User {
    User::new(name).unwrap()
}

pub fn profile(name: &str) -> Profile {
    Profile::new(name).unwrap()
}

/// A query of a Monday morning.
pub fn query(who: &str, what: &str) -> Query {
    Query::new(user(who), profile(what), at("2026-03-02T09:00:00Z"))
}

pub fn grant(kind: GrantKind, who: &str, what: &str, until: DateTime<Utc>) -> Grant {
    Grant {
        kind,
        user: user(who),
        profile: profile(what),
        granted_by: GrantedBy::User(user("carol")),
        until,
        policy: None,
        ends_with_policy: false,
    }
}
