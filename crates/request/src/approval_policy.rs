//! Approval rules: who may decide requests for which profile, and when nobody needs to.
//!
//! An [`ApprovalPolicy`] is a checked [`ApprovalDocument`]; it cannot be changed. The first rule
//! whose profiles include the one asked for applies, and no other. Where no rule applies nobody
//! can approve.

use std::collections::{BTreeSet, HashMap};
use std::str::FromStr;
use std::sync::Arc;

use countersign_core::names::{Profile, User};
use serde::{Deserialize, Serialize};

use crate::document::{ApprovalDocument, DocumentError, Problem, RuleError};
use crate::rule::ApprovalRule;

/// The most bytes of a document that are read: 64 MiB.
const MAX_DOCUMENT_BYTES: usize = 64 << 20;

/// Checked approval rules.
///
/// ```
/// use countersign_request::{ApprovalPolicy, Profile};
///
/// let policy: ApprovalPolicy = r#"{"version": "1", "rules": [
///     {"name": "production", "profiles": ["prod"], "approvers": ["bob", "carol"]}]}"#.parse()?;
/// let rule = policy.rule_for(&Profile::new("prod")?).ok_or("no rule")?;
/// assert_eq!(rule.name(), "production");
/// assert!(policy.rule_for(&Profile::new("dev")?).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ApprovalDocument", into = "ApprovalDocument")]
pub struct ApprovalPolicy {
    document: Arc<ApprovalDocument>,
    rules: Arc<[Arc<ApprovalRule>]>,
}

impl ApprovalPolicy {
    /// Reads and checks a JSON document.
    ///
    /// # Errors
    /// [`DocumentError`] names the line, or the rule and field, the value and the fix.
    pub fn from_json(json: &[u8]) -> Result<Self, DocumentError> {
        if json.len() > MAX_DOCUMENT_BYTES {
            return Err(DocumentError::TooLarge {
                bytes: json.len(),
                most: MAX_DOCUMENT_BYTES,
            });
        }
        Self::try_from(serde_json::from_slice::<ApprovalDocument>(json)?)
    }

    /// The rule that applies to a profile: the first that names it, or names none.
    pub fn rule_for(&self, profile: &Profile) -> Option<&Arc<ApprovalRule>> {
        self.rules.iter().find(|rule| rule.applies_to(profile))
    }

    /// The profiles whose requests this user may decide, as far as rules can say: none if a rule
    /// without profiles names them, so that any profile may be among them. A profile for which an
    /// earlier rule applies may be among them too; [`ApprovalPolicy::rule_for`] says.
    pub fn profiles_decided_by(&self, user: &User) -> Option<BTreeSet<Profile>> {
        let mut decided = BTreeSet::new();
        for rule in self.rules.iter() {
            match (rule.names_approver(user), rule.profiles()) {
                (true, None) => return None,
                // No later rule applies to anything.
                (false, None) => break,
                (true, Some(profiles)) => decided.extend(profiles.iter().cloned()),
                (false, Some(_)) => {}
            }
        }
        Some(decided)
    }

    /// The rules, in order.
    pub fn rules(&self) -> &[Arc<ApprovalRule>] {
        &self.rules
    }
}

impl FromStr for ApprovalPolicy {
    type Err = DocumentError;

    fn from_str(json: &str) -> Result<Self, Self::Err> {
        Self::from_json(json.as_bytes())
    }
}

impl TryFrom<ApprovalDocument> for ApprovalPolicy {
    type Error = DocumentError;

    fn try_from(document: ApprovalDocument) -> Result<Self, Self::Error> {
        if document.version != "1" {
            return Err(DocumentError::Version {
                value: document.version,
            });
        }
        if document.rules.is_empty() {
            return Err(DocumentError::NoRules);
        }
        let mut names = HashMap::new();
        let mut rules = Vec::with_capacity(document.rules.len());
        for (index, rule) in document.rules.iter().enumerate() {
            let compiled = ApprovalRule::compile(rule).and_then(|compiled| {
                match names.insert(rule.name.as_str(), index) {
                    None => Ok(compiled),
                    Some(first) => {
                        let value = rule.name.clone();
                        Err(("name".into(), Problem::DuplicateName { value, first }))
                    }
                }
            });
            let compiled = compiled.map_err(|(field, problem)| RuleError {
                index,
                name: rule.name.clone(),
                field,
                problem,
            })?;
            rules.push(Arc::new(compiled));
        }
        Ok(Self {
            document: Arc::new(document),
            rules: rules.into(),
        })
    }
}

impl From<ApprovalPolicy> for ApprovalDocument {
    fn from(policy: ApprovalPolicy) -> Self {
        Arc::unwrap_or_clone(policy.document)
    }
}
