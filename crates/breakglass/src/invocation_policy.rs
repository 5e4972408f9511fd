//! Who may declare an emergency, for which profile, why, when and for how long.
//!
//! An [`InvocationPolicy`] is checked and resolved once; asking it parses nothing, allocates
//! nothing and cannot fail. The first rule for the profile decides, and no rule means no.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::names::{Profile, User};
use countersign_core::window::Window;
use serde::{Deserialize, Serialize};

use crate::document::{
    DocumentError, Fault, InvocationDocument, InvocationRuleDocument, Problem, compile_length,
    compile_list, compile_rules, compile_window, parse_json,
};
use crate::draft::Draft;
use crate::mfa::MfaMethod;
use crate::refusal::Refusal;
use crate::vocabulary::ReasonCode;

/// The rules of who may declare an emergency.
///
/// Names match exactly.
///
/// ```
/// use countersign_breakglass::{InvocationPolicy, Profile};
///
/// let policy: InvocationPolicy = r#"{"version": "1", "rules": [{
///     "name": "on-call", "profiles": ["prod"], "users": ["alice", "bob"],
///     "allowed_reason_codes": ["incident", "security"], "max_duration": "2h",
///     "responders": ["carol"]
/// }]}"#.parse()?;
/// let rule = policy.rule_for(&Profile::new("prod")?).map(|rule| rule.name());
/// assert_eq!(rule, Some("on-call"));
/// assert!(policy.rule_for(&Profile::new("staging")?).is_none(), "no rule means no");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "InvocationDocument", into = "InvocationDocument")]
pub struct InvocationPolicy {
    document: Arc<InvocationDocument>,
    rules: Arc<[Arc<InvocationRule>]>,
}

impl InvocationPolicy {
    /// Reads a document.
    ///
    /// # Errors
    /// [`DocumentError`] names the place or the rule, the field, the value and the fix.
    pub fn from_json(json: &[u8]) -> Result<Self, DocumentError> {
        Self::try_from(parse_json::<InvocationDocument>(json)?)
    }

    /// The rule that applies to a profile: the first that names it, or names none.
    pub fn rule_for(&self, profile: &Profile) -> Option<&Arc<InvocationRule>> {
        self.rules.iter().find(|rule| rule.applies_to(profile))
    }

    /// The rules, in order.
    pub fn rules(&self) -> &[Arc<InvocationRule>] {
        &self.rules
    }

    /// The longest that any rule takes a second factor for: while it is younger, the emergency that it
    /// was used for must be remembered.
    pub fn longest_proof_age(&self) -> Duration {
        let ages = self.rules.iter().map(|rule| rule.max_proof_age);
        ages.max().unwrap_or_default()
    }
}

impl FromStr for InvocationPolicy {
    type Err = DocumentError;

    fn from_str(json: &str) -> Result<Self, Self::Err> {
        Self::from_json(json.as_bytes())
    }
}

impl TryFrom<InvocationDocument> for InvocationPolicy {
    type Error = DocumentError;

    fn try_from(document: InvocationDocument) -> Result<Self, Self::Error> {
        let InvocationDocument { version, rules } = &document;
        let rules = compile_rules(version, rules, |rule| &rule.name, InvocationRule::compile)?;
        Ok(Self {
            document: Arc::new(document),
            rules,
        })
    }
}

impl From<InvocationPolicy> for InvocationDocument {
    fn from(policy: InvocationPolicy) -> Self {
        Arc::unwrap_or_clone(policy.document)
    }
}

/// One rule of an [`InvocationPolicy`].
///
/// ```
/// use countersign_breakglass::{InvocationPolicy, MfaMethod, User};
///
/// let policy: InvocationPolicy = r#"{"version": "1", "rules": [{
///     "name": "root", "users": ["alice"], "mfa": {"required": true, "methods": ["totp"]}
/// }]}"#.parse()?;
/// let rule = &policy.rules()[0];
/// assert!(rule.names_invoker(&User::new("alice")?));
/// assert!(!rule.names_invoker(&User::new("Alice")?), "names match exactly");
/// assert!(rule.requires_mfa() && !rule.allows_method(MfaMethod::Sms));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvocationRule {
    name: Arc<str>,
    profiles: Option<Vec<Profile>>,
    users: Option<Vec<User>>,
    reason_codes: Option<Vec<ReasonCode>>,
    time: Option<Window>,
    max_duration: Option<Duration>,
    requires_mfa: bool,
    methods: Vec<MfaMethod>,
    max_proof_age: Duration,
    responders: Vec<User>,
    reviewers: Option<Vec<User>>,
    after_review: bool,
}

/// How old a second factor may be where the rule does not say.
const DEFAULT_PROOF_AGE: Duration = Duration::from_secs(5 * 60);

impl InvocationRule {
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

    /// Whether the rule lets this user, exactly so spelt, declare an emergency: it names them, or
    /// names nobody.
    pub fn names_invoker(&self, user: &User) -> bool {
        let users = self.users.as_ref();
        users.is_none_or(|users| users.contains(user))
    }

    /// Whether an emergency may have this reason.
    pub fn allows_reason_code(&self, code: ReasonCode) -> bool {
        let codes = self.reason_codes.as_ref();
        codes.is_none_or(|codes| codes.contains(&code))
    }

    /// When an emergency may be declared; at any time if none.
    pub fn time(&self) -> Option<&Window> {
        self.time.as_ref()
    }

    /// The longest access; what the store allows if none.
    pub fn max_duration(&self) -> Option<Duration> {
        self.max_duration
    }

    /// Whether a second factor must be shown.
    pub fn requires_mfa(&self) -> bool {
        self.requires_mfa
    }

    /// Whether this way of showing a second factor will do.
    pub fn allows_method(&self, method: MfaMethod) -> bool {
        self.methods.contains(&method)
    }

    /// The ways of showing a second factor that will do: all, if the rule names none.
    pub fn methods(&self) -> &[MfaMethod] {
        &self.methods
    }

    /// How old a second factor may be when the emergency begins: 5 minutes, unless the rule says
    /// otherwise.
    pub fn max_proof_age(&self) -> Duration {
        self.max_proof_age
    }

    /// Who may close an emergency besides the user who declared it.
    pub fn responders(&self) -> &[User] {
        &self.responders
    }

    /// Whether the rule names this user, exactly so spelt, as a responder.
    pub fn names_responder(&self, user: &User) -> bool {
        self.responders.contains(user)
    }

    /// Who may review an emergency when it is over: those whom the rule names as reviewers or, if
    /// it names none, its responders. If there are neither, nobody may, and what has begun awaits
    /// its review until the rule in force names somebody.
    pub fn reviewers(&self) -> &[User] {
        self.reviewers.as_deref().unwrap_or(&self.responders)
    }

    /// Whether the rule names this user, exactly so spelt, as a reviewer. Whoever declared the
    /// emergency does not review it all the same.
    pub fn names_reviewer(&self, user: &User) -> bool {
        self.reviewers().contains(user)
    }

    /// Whether nobody may declare an emergency while an earlier one of theirs, for any profile,
    /// awaits its review.
    pub fn after_review(&self) -> bool {
        self.after_review
    }

    /// Whether the rule lets this draft become an emergency at `at`.
    ///
    /// # Errors
    /// [`Refusal`]: the first that holds of [`Refusal::User`], [`Refusal::ReasonCode`],
    /// [`Refusal::Time`], [`Refusal::Duration`], [`Refusal::MfaRequired`].
    pub(crate) fn check(&self, draft: &Draft, at: DateTime<Utc>) -> Result<(), Refusal> {
        let rule = || self.shared_name();
        if !self.names_invoker(&draft.invoker) {
            return Err(Refusal::User {
                rule: rule(),
                user: draft.invoker.clone(),
            });
        }
        if !self.allows_reason_code(draft.reason_code) {
            return Err(Refusal::ReasonCode {
                rule: rule(),
                reason_code: draft.reason_code,
            });
        }
        if let Some(window) = self.time.as_ref().filter(|window| !window.contains(at)) {
            return Err(Refusal::Time {
                rule: rule(),
                at,
                window: window.clone(),
            });
        }
        if let Some(most) = self.max_duration.filter(|most| draft.duration > *most) {
            return Err(Refusal::Duration {
                rule: rule(),
                given: draft.duration,
                most,
            });
        }
        if self.requires_mfa && draft.mfa.is_none() {
            return Err(Refusal::MfaRequired {
                rule: rule(),
                methods: self.methods.clone(),
            });
        }
        Ok(())
    }

    fn compile(document: &InvocationRuleDocument) -> Result<Self, Fault> {
        let InvocationRuleDocument {
            name,
            profiles,
            users,
            allowed_reason_codes,
            time,
            max_duration,
            mfa,
            responders,
            reviewers,
            after_review,
        } = document;
        let restricts = profiles.is_some()
            || users.is_some()
            || allowed_reason_codes.is_some()
            || time.is_some()
            || max_duration.is_some()
            || mfa.is_some();
        if !restricts {
            let fix = "state users, profiles, allowed_reason_codes, time, max_duration or mfa";
            return Err(Fault::new("users", Problem::Missing { fix }));
        }
        let responders = compile_list("responders", responders, User::new)?.unwrap_or_default();
        let reviewers = compile_list("reviewers", reviewers, User::new)?;
        let after_review = after_review.unwrap_or_default();
        if after_review && reviewers.is_none() && responders.is_empty() {
            let fix = "name who reviews, in reviewers or responders";
            return Err(Fault::new("reviewers", Problem::Missing { fix }));
        }
        let mfa = mfa.as_ref();
        let (methods, max_age) = match mfa {
            None => (None, None),
            Some(mfa) => (
                compile_list("mfa.methods", &mfa.methods, str::parse)?,
                compile_length("mfa.max_age", &mfa.max_age)?,
            ),
        };
        Ok(Self {
            name: name.as_str().into(),
            profiles: compile_list("profiles", profiles, Profile::new)?,
            users: compile_list("users", users, User::new)?,
            reason_codes: compile_list("allowed_reason_codes", allowed_reason_codes, str::parse)?,
            time: time.as_ref().map(compile_window).transpose()?,
            max_duration: compile_length("max_duration", max_duration)?,
            requires_mfa: mfa.is_some_and(|mfa| mfa.required),
            methods: methods.unwrap_or(MfaMethod::ALL.to_vec()),
            max_proof_age: max_age.unwrap_or(DEFAULT_PROOF_AGE),
            responders,
            reviewers,
            after_review,
        })
    }
}
