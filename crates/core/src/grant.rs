//! Grants: what an approval or an emergency hands to the policy decision.
//!
//! A [`Grant`] is plain data. `countersign-request` and `countersign-breakglass` make grants,
//! `countersign-policy` combines them with a decision; neither knows the other. A grant is for one
//! exact user and one exact profile until one moment, and nothing here extends it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::names::{Profile, User};

/// Where a grant comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantKind {
    /// An approved request.
    Approval,
    /// An active break-glass emergency.
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
    /// A user: the approver of a request, the invoker of an emergency.
    User(User),
    /// A rule, without a user: an automatic approval.
    Rule(Arc<str>),
}

impl fmt::Display for GrantedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GrantedBy::User(user) => write!(f, "{user}"),
            GrantedBy::Rule(rule) => write!(f, "rule `{rule}`"),
        }
    }
}

/// Access of one user to one profile until one moment.
///
/// ```
/// use chrono::{DateTime, Utc};
/// use countersign_core::grant::{Grant, GrantKind, GrantedBy};
/// use countersign_core::names::{User, Profile};
///
/// let until: DateTime<Utc> = "2026-03-02T10:00:00Z".parse()?;
/// let alice = User::new("alice")?;
/// let prod = Profile::new("prod")?;
/// let bob = GrantedBy::User(User::new("bob")?);
/// let grant = Grant {
///     kind: GrantKind::Approval,
///     user: alice.clone(),
///     profile: prod.clone(),
///     granted_by: bob,
///     until,
///     policy: None,
///     ends_with_policy: false,
/// };
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
    pub user: User,
    /// What it opens: this exact name.
    pub profile: Profile,
    /// Who or what granted it.
    pub granted_by: GrantedBy,
    /// The first moment at which it no longer holds.
    pub until: DateTime<Utc>,
    /// The access policy under which it was asked for, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyDigest>,
    /// Whether it is pinned: it holds under that policy only, and under none if that is not known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends_with_policy: bool,
}

impl Grant {
    /// Whether the grant is for this user and profile and still holds at `at`.
    pub fn covers(&self, user: &User, profile: &Profile, at: DateTime<Utc>) -> bool {
        self.user == *user && self.profile == *profile && at < self.until
    }

    /// Whether the grant holds while the access policy with this digest is in force: always,
    /// unless it is pinned to another.
    ///
    /// ```
    /// # use countersign_core::grant::*;
    /// # fn example(grant: &mut Grant, before: PolicyDigest, after: PolicyDigest) {
    /// (grant.policy, grant.ends_with_policy) = (Some(before), true);
    /// assert!(grant.holds_under(before) && !grant.holds_under(after));
    /// # }
    /// ```
    pub fn holds_under(&self, policy: PolicyDigest) -> bool {
        !self.ends_with_policy || self.policy == Some(policy)
    }
}

/// What identifies an access policy by its content: a SHA-256, made by `countersign-policy`.
///
/// A decision carries it, so that a log says which policy decided; a grant carries it, so that it
/// can end with the policy under which it was asked for. Shown, parsed and serialised as 64
/// lowercase hexadecimal digits.
///
/// ```
/// use countersign_core::grant::PolicyDigest;
///
/// let digest = PolicyDigest::from_bytes([0xab; 32]);
/// assert_eq!(digest.to_string(), "ab".repeat(32));
/// assert_eq!(digest.to_string().parse(), Ok(digest));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyDigest([u8; 32]);

impl PolicyDigest {
    /// The digest with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolicyDigest({self})")
    }
}

/// A text that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a policy digest: write exactly 64 lowercase hexadecimal digits")]
pub struct ParseDigestError {
    /// The text that was given (at most its first 64 characters, escaped).
    pub text: String,
}

impl FromStr for PolicyDigest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let nibble = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let parse = || {
            let mut bytes = [0; 32];
            if text.len() != 2 * bytes.len() {
                return None;
            }
            for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                let &[high, low] = pair else { return None };
                *byte = nibble(high)? << 4 | nibble(low)?;
            }
            Some(Self(bytes))
        };
        parse().ok_or_else(|| ParseDigestError {
            text: text.chars().take(64).flat_map(char::escape_debug).collect(),
        })
    }
}

impl Serialize for PolicyDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PolicyDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_covers_its_user_and_profile_until_its_last_nanosecond() {
        let until = DateTime::from_timestamp_nanos(1_000);
        let user = User::new("alice").unwrap();
        let profile = Profile::new("prod").unwrap();
        let grant = Grant {
            kind: GrantKind::Approval,
            user: user.clone(),
            profile: profile.clone(),
            granted_by: GrantedBy::Rule("office-hours".into()),
            until,
            policy: None,
            ends_with_policy: false,
        };
        assert!(grant.covers(&user, &profile, DateTime::from_timestamp_nanos(999)));
        assert!(!grant.covers(&user, &profile, until));
        let other = User::new("Alice").unwrap();
        assert!(!grant.covers(&other, &profile, DateTime::from_timestamp_nanos(0)));
        let other = Profile::new("prod2").unwrap();
        assert!(!grant.covers(&user, &other, DateTime::from_timestamp_nanos(0)));
    }

    #[test]
    fn a_pinned_grant_holds_under_its_own_policy_alone() {
        let [one, two] = [1, 2].map(|byte| PolicyDigest::from_bytes([byte; 32]));
        let grant = |policy, ends_with_policy| Grant {
            kind: GrantKind::Approval,
            user: User::new("alice").unwrap(),
            profile: Profile::new("prod").unwrap(),
            granted_by: GrantedBy::Rule("office-hours".into()),
            until: DateTime::from_timestamp_nanos(1_000),
            policy,
            ends_with_policy,
        };
        assert!(grant(Some(one), true).holds_under(one));
        assert!(!grant(Some(one), true).holds_under(two));
        assert!(!grant(None, true).holds_under(one), "pinned to nothing");
        assert!(grant(Some(one), false).holds_under(two));
        assert!(grant(None, false).holds_under(two));
    }

    #[test]
    fn a_grant_written_before_policies_were_named_still_reads() {
        let json = r#"{"kind":"approval","user":"alice","profile":"prod",
            "granted_by":{"user":"bob"},"until":"2026-03-02T10:00:00Z"}"#;
        let grant: Grant = serde_json::from_str(json).unwrap();
        assert_eq!((grant.policy, grant.ends_with_policy), (None, false));
        let written = serde_json::to_value(&grant).unwrap();
        assert_eq!(
            written,
            serde_json::from_str::<serde_json::Value>(json).unwrap()
        );
    }

    #[test]
    fn digests_are_parsed_strictly() {
        let good = "0f".repeat(32);
        let digest: PolicyDigest = good.parse().unwrap();
        assert_eq!(digest.as_bytes(), &[0x0f; 32]);
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, format!("\"{good}\""));
        assert_eq!(serde_json::from_str::<PolicyDigest>(&json).unwrap(), digest);
        for bad in [
            String::new(),
            "0f".repeat(31),
            "0f".repeat(33),
            format!("{}0", "0f".repeat(31)),
            "0F".repeat(32),
            "0g".repeat(32),
            "é".repeat(32),
            format!("+{}", "0".repeat(63)),
        ] {
            let error = bad.parse::<PolicyDigest>().unwrap_err();
            assert!(error.to_string().contains("64 lowercase"), "{error}");
            assert!(serde_json::from_value::<PolicyDigest>(bad.into()).is_err());
        }
    }
}
