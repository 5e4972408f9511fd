//! The three kinds of documents.

use std::fmt::Debug;

use countersign_breakglass::{
    DocumentError as BreakGlassError, InvocationDocument, InvocationPolicy, RateLimitDocument,
    RateLimitPolicy,
};
use countersign_policy::{DocumentError as PolicyError, Policy, PolicyDocument};
use countersign_request::{ApprovalDocument, ApprovalPolicy, DocumentError as ApprovalError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::assert_message;

/// A policy reads back from its canonical JSON as itself, under the same digest; a refusal names
/// the field.
pub fn policy(data: &[u8]) {
    written_as_read::<PolicyDocument>(data);
    let read = Policy::from_json(data);
    match &read {
        Ok(policy) => {
            let json = serde_json::to_vec(policy).expect("a policy cannot be written");
            let again = Policy::from_json(&json).expect("the canonical JSON is refused");
            assert_eq!(&again, policy, "a policy reads back as another");
            assert_eq!(
                again.digest(),
                policy.digest(),
                "the same policy has two digests"
            );
            let twice = serde_json::to_vec(&again).expect("a policy cannot be written");
            assert_eq!(twice, json, "there are two canonical forms");
            assert_eq!(
                Policy::try_from(policy.document()).as_ref(),
                Ok(policy),
                "the document of a policy means another"
            );
        }
        Err(error) => {
            assert_message(&error.to_string());
            if let PolicyError::Rule(rule) = error {
                assert_field(&error.to_string(), &rule.field);
            }
        }
    }
    let by_serde = serde_json::from_slice::<Policy>(data);
    let only_from_json = matches!(
        read,
        Err(PolicyError::TooLarge { .. } | PolicyError::ByteOrderMark)
    );
    assert!(
        only_from_json || by_serde.is_ok() == read.is_ok(),
        "serde and from_json disagree: {by_serde:?}, {read:?}"
    );
}

/// Approval rules read back from what is written of them; a refusal names the field.
pub fn approvals(data: &[u8]) {
    written_as_read::<ApprovalDocument>(data);
    read_back(data, ApprovalPolicy::from_json, |error| match error {
        ApprovalError::Rule(rule) => Some(&rule.field),
        _ => None,
    });
}

/// Invocation and rate-limit rules read back from what is written of them; a refusal names the
/// field. The same text is read as both.
pub fn breakglass(data: &[u8]) {
    fn field(error: &BreakGlassError) -> Option<&String> {
        match error {
            BreakGlassError::Rule(rule) => Some(&rule.field),
            _ => None,
        }
    }
    written_as_read::<InvocationDocument>(data);
    written_as_read::<RateLimitDocument>(data);
    read_back(data, InvocationPolicy::from_json, field);
    read_back(data, RateLimitPolicy::from_json, field);
}

fn read_back<T, E>(data: &[u8], read: fn(&[u8]) -> Result<T, E>, field: fn(&E) -> Option<&String>)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
    E: std::error::Error,
{
    match read(data) {
        Ok(rules) => {
            let json = serde_json::to_vec(&rules).expect("rules cannot be written");
            let again = read(&json).expect("what was written is refused");
            assert_eq!(again, rules, "rules read back as others");
        }
        Err(error) => {
            let message = error.to_string();
            assert_message(&message);
            if let Some(field) = field(&error) {
                assert_field(&message, field);
            }
            assert!(
                serde_json::from_slice::<T>(data).is_err(),
                "serde reads what from_json refuses: {message}"
            );
        }
    }
}

/// A document that is read is written as it was read, whether or not it means anything.
fn written_as_read<D>(data: &[u8])
where
    D: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let Ok(document) = serde_json::from_slice::<D>(data) else {
        return;
    };
    let json = serde_json::to_vec(&document).expect("a document cannot be written");
    let again: D = serde_json::from_slice(&json).expect("what was written is refused");
    assert_eq!(again, document, "a document reads back as another");
}

fn assert_field(message: &str, field: &str) {
    assert!(
        !field.is_empty() && message.contains(&format!("`{field}`")),
        "the message does not name the field `{field}`: {message}"
    );
}
