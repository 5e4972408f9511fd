//! Who may declare an emergency, for which profile, why, when and for how long.
//!
//! An [`InvocationPolicy`] is checked and resolved once; asking it parses nothing, allocates
//! nothing and cannot fail. The first rule for the profile decides, and no rule means no.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::names::{Person, Profile};
use countersign_core::window::Window;
use serde::{Deserialize, Serialize};

use crate::change::Refusal;
use crate::document::{
    DocumentError, Fault, InvocationDocument, InvocationRuleDocument, MfaDocument, Problem,
    compile_length, compile_list, compile_rules, compile_window, parse_json, shown,
};
use crate::record::{Draft, ReasonCode};

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
/// use countersign_breakglass::{InvocationPolicy, MfaMethod, Person};
///
/// let policy: InvocationPolicy = r#"{"version": "1", "rules": [{
///     "name": "root", "users": ["alice"], "mfa": {"required": true, "methods": ["totp"]}
/// }]}"#.parse()?;
/// let rule = &policy.rules()[0];
/// assert!(rule.names_invoker(&Person::new("alice")?));
/// assert!(!rule.names_invoker(&Person::new("Alice")?), "names match exactly");
/// assert!(rule.requires_mfa() && !rule.allows_method(MfaMethod::Sms));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvocationRule {
    name: Arc<str>,
    profiles: Option<Vec<Profile>>,
    users: Option<Vec<Person>>,
    reason_codes: Option<Vec<ReasonCode>>,
    time: Option<Window>,
    max_duration: Option<Duration>,
    requires_mfa: bool,
    methods: Vec<MfaMethod>,
    responders: Vec<Person>,
}

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

    /// Whether the rule lets this person, exactly so spelt, declare an emergency: it names them, or
    /// names nobody.
    pub fn names_invoker(&self, person: &Person) -> bool {
        let users = self.users.as_ref();
        users.is_none_or(|users| users.contains(person))
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

    /// Who may close an emergency besides the person who declared it.
    pub fn responders(&self) -> &[Person] {
        &self.responders
    }

    /// Whether the rule names this person, exactly so spelt, as a responder.
    pub fn names_responder(&self, person: &Person) -> bool {
        self.responders.contains(person)
    }

    /// Whether the rule lets this draft become an emergency at `at`.
    ///
    /// # Errors
    /// [`Refusal`]: the first that holds of [`Refusal::Person`], [`Refusal::ReasonCode`],
    /// [`Refusal::Time`], [`Refusal::Duration`], [`Refusal::MfaRequired`].
    pub(crate) fn check(&self, draft: &Draft, at: DateTime<Utc>) -> Result<(), Refusal> {
        let rule = || self.shared_name();
        if !self.names_invoker(&draft.invoker) {
            return Err(Refusal::Person {
                rule: rule(),
                person: draft.invoker.clone(),
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
        if self.requires_mfa {
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
        let (requires_mfa, methods) = compile_mfa(mfa.as_ref())?;
        Ok(Self {
            name: name.as_str().into(),
            profiles: compile_list("profiles", profiles, Profile::new)?,
            users: compile_list("users", users, Person::new)?,
            reason_codes: compile_list("allowed_reason_codes", allowed_reason_codes, str::parse)?,
            time: time.as_ref().map(compile_window).transpose()?,
            max_duration: compile_length("max_duration", max_duration)?,
            requires_mfa,
            methods,
            responders: compile_list("responders", responders, Person::new)?.unwrap_or_default(),
        })
    }
}

fn compile_mfa(mfa: Option<&MfaDocument>) -> Result<(bool, Vec<MfaMethod>), Fault> {
    let required = mfa.is_some_and(|mfa| mfa.required);
    let methods = match mfa {
        None => None,
        Some(mfa) => compile_list("mfa.methods", &mfa.methods, str::parse)?,
    };
    Ok((required, methods.unwrap_or(MfaMethod::ALL.to_vec())))
}

/// A way of showing a second factor.
///
/// ```
/// use countersign_breakglass::MfaMethod;
///
/// assert_eq!("totp".parse(), Ok(MfaMethod::Totp));
/// assert!("TOTP".parse::<MfaMethod>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(description = "A way of showing a second factor.")
)]
#[serde(rename_all = "snake_case")]
pub enum MfaMethod {
    /// A code that the person's own device makes from the time.
    Totp,
    /// A code sent to the person's telephone.
    Sms,
}

impl MfaMethod {
    /// Every method, in the order of their declaration.
    pub const ALL: [MfaMethod; 2] = [MfaMethod::Totp, MfaMethod::Sms];

    /// The method as documents write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            MfaMethod::Totp => "totp",
            MfaMethod::Sms => "sms",
        }
    }
}

impl fmt::Display for MfaMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for MfaMethod {
    type Err = Problem;

    /// Reads the method as documents write it; [`Problem::UnknownMethod`] otherwise.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut methods = MfaMethod::ALL.into_iter();
        methods
            .find(|method| method.as_str() == text)
            .ok_or_else(|| Problem::UnknownMethod { value: shown(text) })
    }
}
