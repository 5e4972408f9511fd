//! Approval rules: who may decide requests for which profile, and when nobody needs to.
//!
//! An [`ApprovalPolicy`] is a checked [`ApprovalDocument`]; it cannot be changed. The first rule
//! whose profiles include the one asked for applies, and no other. Where no rule applies nobody
//! can approve.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::names::{NameError, Person, Profile};
use countersign_core::window::Window;
use countersign_core::window::duration::ParseDurationError;
use serde::{Deserialize, Serialize};

use crate::document::{
    ApprovalDocument, ApprovalRuleDocument, AutoApproveDocument, DocumentError, Problem, RuleError,
};

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

/// One checked approval rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRule {
    name: Arc<str>,
    profiles: Option<Vec<Profile>>,
    approvers: Vec<Person>,
    auto_approval: Option<AutoApproval>,
}

impl ApprovalRule {
    /// What the rule is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// The profiles that the rule names; every profile if none.
    pub fn profiles(&self) -> Option<&[Profile]> {
        self.profiles.as_deref()
    }

    /// Whether the rule is for this profile: it names it, or names none.
    pub fn applies_to(&self, profile: &Profile) -> bool {
        self.profiles
            .as_ref()
            .is_none_or(|profiles| profiles.contains(profile))
    }

    /// Who may decide: any one of them, but nobody their own request.
    pub fn approvers(&self) -> &[Person] {
        &self.approvers
    }

    /// Whether the rule names this person, exactly so spelt, as an approver.
    pub fn names_approver(&self, person: &Person) -> bool {
        self.approvers.contains(person)
    }

    /// The approvers who could approve a request of `requester`: all but themselves.
    pub fn approvers_for(&self, requester: &Person) -> impl Iterator<Item = &Person> {
        self.approvers
            .iter()
            .filter(|approver| !approver.same_person(requester))
    }

    /// When no person is needed.
    pub fn auto_approval(&self) -> Option<&AutoApproval> {
        self.auto_approval.as_ref()
    }

    fn compile(rule: &ApprovalRuleDocument) -> Result<Self, (String, Problem)> {
        check_rule_name(&rule.name).map_err(|error| ("name".to_owned(), error.into()))?;
        let profiles = match &rule.profiles {
            None => None,
            Some(names) => Some(list(
                names,
                "profiles",
                |name| Profile::new(name),
                "leave it out for every profile",
            )?),
        };
        let approvers = rule.approvers.as_ref().ok_or_else(|| {
            (
                "approvers".to_owned(),
                Problem::Missing {
                    fix: "name who may decide",
                },
            )
        })?;
        let approvers = list(
            approvers,
            "approvers",
            |name| Person::new(name),
            "name who may decide",
        )?;
        let auto_approval = rule
            .auto_approve
            .as_ref()
            .map(AutoApproval::compile)
            .transpose()?;
        Ok(Self {
            name: rule.name.as_str().into(),
            profiles,
            approvers,
            auto_approval,
        })
    }
}

/// When a rule approves without a person: all that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoApproval {
    users: Option<Vec<Person>>,
    time: Option<Window>,
    max_duration: Option<Duration>,
}

impl AutoApproval {
    /// Whether a request of `requester` for `duration` is approved at `at`.
    pub fn holds(&self, requester: &Person, duration: Duration, at: DateTime<Utc>) -> bool {
        self.users
            .as_ref()
            .is_none_or(|users| users.contains(requester))
            && self.time.as_ref().is_none_or(|window| window.contains(at))
            && self.max_duration.is_none_or(|most| duration <= most)
    }

    /// Whether it holds for every request of `requester`, at any time and however long.
    pub(crate) fn always_holds(&self, requester: &Person) -> bool {
        let users = self.users.as_ref();
        users.is_some_and(|users| users.contains(requester))
            && self.time.is_none()
            && self.max_duration.is_none()
    }

    fn compile(document: &AutoApproveDocument) -> Result<Self, (String, Problem)> {
        let AutoApproveDocument {
            users,
            time,
            max_duration,
        } = document;
        if users.is_none() && time.is_none() && max_duration.is_none() {
            let fix = "name users, a time or a duration, or leave it out";
            return Err(("auto_approve".into(), Problem::Empty { fix }));
        }
        let users = match users {
            None => None,
            Some(names) => Some(list(
                names,
                "auto_approve.users",
                |name| Person::new(name),
                "leave it out for anyone",
            )?),
        };
        let time = match time {
            None => None,
            Some(window) => Some(Window::try_from(window).map_err(|error| {
                let field = format!("auto_approve.time.{}", error.field());
                (field.trim_end_matches('.').to_owned(), error.into())
            })?),
        };
        let max_duration = match max_duration {
            None => None,
            Some(text) => {
                let field = || "auto_approve.max_duration".to_owned();
                Some(
                    text.parse()
                        .map_err(|error: ParseDurationError| (field(), error.into()))?,
                )
            }
        };
        Ok(Self {
            users,
            time,
            max_duration,
        })
    }
}

/// Rule names meet what any name meets.
fn check_rule_name(name: &str) -> Result<(), NameError> {
    Profile::new(name).map(drop)
}

fn list<T>(
    names: &[String],
    field: &str,
    parse: impl Fn(&str) -> Result<T, NameError>,
    fix: &'static str,
) -> Result<Vec<T>, (String, Problem)> {
    if names.is_empty() {
        return Err((field.to_owned(), Problem::Empty { fix }));
    }
    let parse = |(place, name): (usize, &String)| {
        parse(name).map_err(|error| (format!("{field}[{place}]"), Problem::Name(error)))
    };
    names.iter().enumerate().map(parse).collect()
}
