//! Grants: what an approval or an emergency hands to the policy decision.
//!
//! A [`Grant`] is plain data. `countersign-request` and `countersign-breakglass` make grants,
//! `countersign-policy` combines them with a decision; neither knows the other. A grant is for one
//! exact person and one exact profile until one moment, and nothing here extends it.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::names::{Person, Profile};

/// Where a grant comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantKind {
    /// An approved request.
    Approval,
    /// An active break-glass event.
    Emergency,
}

impl fmt::Display for GrantKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GrantKind::Approval => "approval",
            GrantKind::Emergency => "emergency",
        })
    }
}

/// Who or what granted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantedBy {
    /// A person: the approver of a request, the invoker of an emergency.
    Person(Person),
    /// A rule, without a person: an automatic approval.
    Rule(Arc<str>),
}

impl fmt::Display for GrantedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GrantedBy::Person(person) => write!(f, "{person}"),
            GrantedBy::Rule(rule) => write!(f, "rule `{rule}`"),
        }
    }
}

/// Access of one person to one profile until one moment.
///
/// ```
/// use chrono::{DateTime, Utc};
/// use countersign_core::grant::{Grant, GrantKind, GrantedBy};
/// use countersign_core::names::{Person, Profile};
///
/// let until: DateTime<Utc> = "2026-03-02T10:00:00Z".parse()?;
/// let alice = Person::new("alice")?;
/// let prod = Profile::new("prod")?;
/// let bob = GrantedBy::Person(Person::new("bob")?);
/// let grant = Grant { kind: GrantKind::Approval, person: alice.clone(), profile: prod.clone(), granted_by: bob, until };
///
/// let now = "2026-03-02T09:00:00Z".parse()?;
/// assert!(grant.covers(&alice, &prod, now));
/// assert!(!grant.covers(&alice, &prod, until));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// An approval or an emergency.
    pub kind: GrantKind,
    /// Who may use it: this exact name.
    pub person: Person,
    /// What it opens: this exact name.
    pub profile: Profile,
    /// Who or what granted it.
    pub granted_by: GrantedBy,
    /// The first moment at which it no longer holds.
    pub until: DateTime<Utc>,
}

impl Grant {
    /// Whether the grant is for this person and profile and still holds at `at`.
    pub fn covers(&self, person: &Person, profile: &Profile, at: DateTime<Utc>) -> bool {
        self.person == *person && self.profile == *profile && at < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_covers_its_person_and_profile_until_its_last_nanosecond() {
        let until = DateTime::from_timestamp_nanos(1_000);
        let person = Person::new("alice").unwrap();
        let profile = Profile::new("prod").unwrap();
        let grant = Grant {
            kind: GrantKind::Approval,
            person: person.clone(),
            profile: profile.clone(),
            granted_by: GrantedBy::Rule("office-hours".into()),
            until,
        };
        assert!(grant.covers(&person, &profile, DateTime::from_timestamp_nanos(999)));
        assert!(!grant.covers(&person, &profile, until));
        let other = Person::new("Alice").unwrap();
        assert!(!grant.covers(&other, &profile, DateTime::from_timestamp_nanos(0)));
        let other = Profile::new("prod2").unwrap();
        assert!(!grant.covers(&person, &other, DateTime::from_timestamp_nanos(0)));
    }
}
