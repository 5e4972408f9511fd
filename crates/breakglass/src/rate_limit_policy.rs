//! How often emergencies may be declared, and from when on they are conspicuous.
//!
//! A [`RateLimitPolicy`] is checked and resolved once. It holds numbers only; what they are
//! compared with, and in which order, is [`Admission`](crate::Admission)'s business. The first
//! rule for the profile applies, and no rule means no limits.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use countersign_core::names::Profile;
use countersign_core::window::duration;
use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::document::{
    DocumentError, Fault, Problem, RateLimitDocument, RateLimitRuleDocument, compile_length,
    compile_list, compile_rules, parse_json,
};

/// The rules of how often emergencies may be declared.
///
/// ```
/// use countersign_breakglass::{Profile, RateLimitPolicy};
///
/// let policy: RateLimitPolicy = r#"{"version": "1", "rules": [{
///     "name": "production", "profiles": ["prod"], "cooldown": "30m",
///     "max_per_user": 2, "max_per_profile": 5, "quota_window": "24h", "escalation_threshold": 1
/// }]}"#.parse()?;
/// let rule = policy.rule_for(&Profile::new("prod")?).ok_or("no rule")?;
/// assert_eq!(rule.max_per_user().map(|most| most.get()), Some(2));
/// assert!(policy.rule_for(&Profile::new("staging")?).is_none(), "no limits");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RateLimitDocument", into = "RateLimitDocument")]
pub struct RateLimitPolicy {
    document: Arc<RateLimitDocument>,
    rules: Arc<[Arc<RateLimitRule>]>,
}

impl RateLimitPolicy {
    /// Reads a document.
    ///
    /// # Errors
    /// [`DocumentError`] names the place or the rule, the field, the value and the fix.
    pub fn from_json(json: &[u8]) -> Result<Self, DocumentError> {
        Self::try_from(parse_json::<RateLimitDocument>(json)?)
    }

    /// Rules that limit nothing. There is no document of them: one without rules is refused when
    /// it is read.
    ///
    /// ```
    /// use countersign_breakglass::RateLimitPolicy;
    ///
    /// assert!(RateLimitPolicy::unlimited().rules().is_empty());
    /// ```
    pub fn unlimited() -> Self {
        let document = RateLimitDocument {
            version: "1".to_owned(),
            rules: Vec::new(),
        };
        Self {
            document: Arc::new(document),
            rules: Arc::new([]),
        }
    }

    /// The rule that applies to a profile: the first that names it, or names none.
    pub fn rule_for(&self, profile: &Profile) -> Option<&Arc<RateLimitRule>> {
        self.rules.iter().find(|rule| rule.applies_to(profile))
    }

    /// The rules, in order.
    pub fn rules(&self) -> &[Arc<RateLimitRule>] {
        &self.rules
    }

    /// The longest time over which any rule looks back: a record that is over and older than this
    /// can be deleted without changing what any rule decides.
    ///
    /// ```
    /// use std::time::Duration;
    /// use countersign_breakglass::RateLimitPolicy;
    ///
    /// let policy: RateLimitPolicy = r#"{"version": "1", "rules": [
    ///     {"name": "a", "cooldown": "30m"},
    ///     {"name": "b", "max_per_user": 2, "quota_window": "24h"}]}"#.parse()?;
    /// assert_eq!(policy.longest_look_back(), Duration::from_secs(24 * 3600));
    /// # Ok::<(), countersign_breakglass::DocumentError>(())
    /// ```
    pub fn longest_look_back(&self) -> Duration {
        let lengths = self
            .rules
            .iter()
            .flat_map(|rule| [rule.cooldown, rule.quota_window]);
        lengths.flatten().max().unwrap_or_default()
    }
}

impl FromStr for RateLimitPolicy {
    type Err = DocumentError;

    fn from_str(json: &str) -> Result<Self, Self::Err> {
        Self::from_json(json.as_bytes())
    }
}

impl TryFrom<RateLimitDocument> for RateLimitPolicy {
    type Error = DocumentError;

    fn try_from(document: RateLimitDocument) -> Result<Self, Self::Error> {
        let RateLimitDocument { version, rules } = &document;
        let rules = compile_rules(version, rules, |rule| &rule.name, RateLimitRule::compile)?;
        Ok(Self {
            document: Arc::new(document),
            rules,
        })
    }
}

impl From<RateLimitPolicy> for RateLimitDocument {
    fn from(policy: RateLimitPolicy) -> Self {
        Arc::unwrap_or_clone(policy.document)
    }
}

/// One rule of a [`RateLimitPolicy`]. It limits or watches something, and has a quota window if
/// and only if it counts.
///
/// ```
/// use std::time::Duration;
/// use countersign_breakglass::RateLimitPolicy;
///
/// let policy: RateLimitPolicy = r#"{"version": "1", "rules": [
///     {"name": "all", "cooldown": "30m"}]}"#.parse()?;
/// let rule = &policy.rules()[0];
/// assert_eq!(rule.cooldown(), Some(Duration::from_secs(1_800)));
/// assert_eq!(rule.quota_window(), None);
/// # Ok::<(), countersign_breakglass::DocumentError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimitRule {
    name: Arc<str>,
    profiles: Option<Vec<Profile>>,
    cooldown: Option<Duration>,
    max_per_user: Option<NonZeroU32>,
    max_per_profile: Option<NonZeroU32>,
    quota_window: Option<Duration>,
    escalation_threshold: Option<NonZeroU32>,
}

impl RateLimitRule {
    /// What the rule is called; no other rule of its policy is called so.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// Whether the rule is for this profile: it names it, or names none.
    pub fn applies_to(&self, profile: &Profile) -> bool {
        let profiles = self.profiles.as_ref();
        profiles.is_none_or(|profiles| profiles.contains(profile))
    }

    /// How long after one emergency the same user must wait for the next on the same profile.
    pub fn cooldown(&self) -> Option<Duration> {
        self.cooldown
    }

    /// The most emergencies of one user over all profiles within the quota window.
    pub fn max_per_user(&self) -> Option<NonZeroU32> {
        self.max_per_user
    }

    /// The most emergencies of one profile over all people within the quota window.
    pub fn max_per_profile(&self) -> Option<NonZeroU32> {
        self.max_per_profile
    }

    /// The time over which emergencies are counted, back from now.
    pub fn quota_window(&self) -> Option<Duration> {
        self.quota_window
    }

    /// How many emergencies of one user within the quota window make the next conspicuous.
    pub fn escalation_threshold(&self) -> Option<NonZeroU32> {
        self.escalation_threshold
    }

    fn compile(document: &RateLimitRuleDocument) -> Result<Self, Fault> {
        let RateLimitRuleDocument {
            name,
            profiles,
            cooldown,
            max_per_user,
            max_per_profile,
            quota_window,
            escalation_threshold,
        } = document;
        let rule = Self {
            name: name.as_str().into(),
            profiles: compile_list("profiles", profiles, Profile::new)?,
            cooldown: compile_length("cooldown", cooldown)?,
            max_per_user: compile_count("max_per_user", max_per_user)?,
            max_per_profile: compile_count("max_per_profile", max_per_profile)?,
            quota_window: compile_length("quota_window", quota_window)?,
            escalation_threshold: compile_count("escalation_threshold", escalation_threshold)?,
        };
        let counts = rule.max_per_user.is_some()
            || rule.max_per_profile.is_some()
            || rule.escalation_threshold.is_some();
        match (counts, rule.quota_window) {
            (true, None) => {
                let fix = "write the time over which to count, such as `24h`";
                Err(Fault::new("quota_window", Problem::Missing { fix }))
            }
            (false, Some(_)) => {
                let fix =
                    "state max_per_user, max_per_profile or escalation_threshold, or leave it out";
                Err(Fault::new("quota_window", Problem::Unused { fix }))
            }
            (false, None) if rule.cooldown.is_none() => {
                let fix = "state cooldown, max_per_user, max_per_profile or escalation_threshold";
                Err(Fault::new("cooldown", Problem::Missing { fix }))
            }
            _ => Ok(rule),
        }
    }
}

fn compile_count(field: &str, count: &Option<Number>) -> Result<Option<NonZeroU32>, Fault> {
    let parse = |number: &Number| {
        let count = number.as_u64().and_then(|count| u32::try_from(count).ok());
        count.and_then(NonZeroU32::new).ok_or_else(|| {
            let value = number.to_string();
            Fault::new(field, Problem::Count { value })
        })
    };
    count.as_ref().map(parse).transpose()
}

/// That a user has declared so many emergencies that somebody should be told. Whom to tell, and
/// how, is the host's business; nothing is blocked by it.
///
/// ```
/// use std::time::Duration;
/// use countersign_breakglass::Escalation;
///
/// let escalation = Escalation {
///     rule: "daily".into(),
///     count: 3,
///     threshold: 2.try_into()?,
///     window: Duration::from_secs(24 * 3600),
/// };
/// assert_eq!(escalation.to_string(), "rule `daily`: 3 emergencies before within 24h, 2 are many");
/// # Ok::<(), std::num::TryFromIntError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Escalation {
    /// The rate-limit rule whose threshold was reached.
    pub rule: Arc<str>,
    /// How many emergencies of the same user, over all profiles, there were in the window
    /// before.
    pub count: u64,
    /// From how many on somebody is to be told.
    pub threshold: NonZeroU32,
    /// The time over which they were counted.
    #[serde(with = "duration")]
    pub window: Duration,
}

impl fmt::Display for Escalation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule,
            count,
            threshold,
            window,
        } = self;
        let window = duration::format(*window);
        write!(
            f,
            "rule `{rule}`: {count} emergencies before within {window}, {threshold} are many"
        )
    }
}
