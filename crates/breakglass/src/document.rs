//! Invocation and rate-limit rules as documents say them, and what can be wrong with those.
//!
//! The types here are plain serde types, for any format; nothing in them is checked beyond their
//! shape. [`InvocationPolicy`](crate::InvocationPolicy) and
//! [`RateLimitPolicy`](crate::RateLimitPolicy) are what they mean. Codes, methods, days, durations
//! and counts are kept as they were given, so that the check can name the rule, the field, the
//! value and the fix.

use countersign_core::names::NameError;
use countersign_core::window::duration::{DurationText, ParseDurationError};
#[cfg(feature = "schema")]
use countersign_core::window::schema;
use countersign_core::window::{WindowDocument, WindowError, document};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

mod compile;

pub(crate) use compile::{
    Fault, compile_length, compile_list, compile_rules, compile_window, parse_json, shown,
};

/// The document of invocation rules, version `1`.
///
/// ```
/// use countersign_breakglass::{InvocationDocument, InvocationPolicy};
///
/// let document: InvocationDocument = serde_json::from_str(
///     r#"{"version": "1", "rules": [{"name": "on-call", "users": ["alice"]}]}"#,
/// )?;
/// let policy = InvocationPolicy::try_from(document)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(
        title = "Countersign invocation rules",
        description = "Who may declare an emergency for which profile, why, when and for how long. The first rule whose profiles include the one asked for applies; no rule means no.",
        deny_unknown_fields
    )
)]
pub struct InvocationDocument {
    /// `1`.
    #[cfg_attr(feature = "schema", schemars(with = "schema::FormatVersion"))]
    pub version: String,
    /// The rules; the first whose profiles include the one asked for applies.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub rules: Vec<InvocationRuleDocument>,
}

impl<'de> Deserialize<'de> for InvocationDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, expecting = "a document of invocation rules")]
        struct Fields {
            #[serde(deserialize_with = "read::version")]
            version: String,
            #[serde(deserialize_with = "document::rules")]
            rules: Vec<InvocationRuleDocument>,
        }

        let Fields { version, rules } = document::object(deserializer)?;
        Ok(Self { version, rules })
    }
}

/// One invocation rule. It states at least one of `profiles`, `users`, `allowed_reason_codes`,
/// `time`, `max_duration` and `mfa`.
///
/// ```
/// use countersign_breakglass::InvocationRuleDocument;
///
/// let misspelt = r#"{"name": "a", "user": ["alice"]}"#;
/// let error = serde_json::from_str::<InvocationRuleDocument>(misspelt).unwrap_err();
/// assert!(error.to_string().starts_with("unknown field `user`, expected one of"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(description = "One invocation rule. It states something besides its name, who responds and who reviews.", extend("anyOf" = [{"required": ["profiles"]}, {"required": ["users"]}, {"required": ["allowed_reason_codes"]}, {"required": ["time"]}, {"required": ["max_duration"]}, {"required": ["mfa"]}])))]
#[serde(deny_unknown_fields)]
pub struct InvocationRuleDocument {
    /// What the rule is called: unique, 1 to 256 characters.
    #[serde(deserialize_with = "read::name")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::Name"))]
    pub name: String,
    /// The profiles it is for; every profile if absent.
    #[serde(
        default,
        deserialize_with = "read::profiles",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<schema::Name>", length(min = 1))
    )]
    pub profiles: Option<Vec<String>>,
    /// Who may invoke; anyone if absent.
    #[serde(
        default,
        deserialize_with = "read::users",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<schema::Name>", length(min = 1))
    )]
    pub users: Option<Vec<String>>,
    /// For which of `incident`, `maintenance`, `security`, `recovery`, `other`; for any if absent.
    #[serde(
        default,
        deserialize_with = "read::allowed_reason_codes",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<crate::ReasonCode>", length(min = 1))
    )]
    pub allowed_reason_codes: Option<Vec<String>>,
    /// When; at any time if absent.
    #[serde(
        default,
        deserialize_with = "read::time",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "WindowDocument"))]
    pub time: Option<WindowDocument>,
    /// The longest access; what the store allows if absent.
    #[serde(
        default,
        deserialize_with = "read::max_duration",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "schema::Length"))]
    pub max_duration: Option<DurationText>,
    /// Whether a second factor must be shown; not if absent.
    #[serde(
        default,
        deserialize_with = "read::mfa",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "MfaDocument"))]
    pub mfa: Option<MfaDocument>,
    /// Who may close an emergency besides the one who invoked it; nobody else if absent.
    #[serde(
        default,
        deserialize_with = "read::responders",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<schema::Name>", length(min = 1))
    )]
    pub responders: Option<Vec<String>>,
    /// Who reviews an emergency that is over, never their own; the responders if absent.
    #[serde(
        default,
        deserialize_with = "read::reviewers",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<schema::Name>", length(min = 1))
    )]
    pub reviewers: Option<Vec<String>>,
    /// Whether the invoker's earlier emergencies must be reviewed first; they need not if absent.
    #[serde(
        default,
        deserialize_with = "read::after_review",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "bool"))]
    pub after_review: Option<bool>,
}

/// What an invocation rule says of a second factor.
///
/// ```
/// use countersign_breakglass::MfaDocument;
///
/// let mfa: MfaDocument = serde_json::from_str(r#"{"required": true, "methods": ["totp"]}"#)?;
/// assert!(mfa.required);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(description = "What is said of a second factor.")
)]
#[serde(deny_unknown_fields)]
pub struct MfaDocument {
    /// Whether one must be shown.
    #[serde(deserialize_with = "read::required")]
    pub required: bool,
    /// Which of `totp` and `sms` will do; either if absent.
    #[serde(
        default,
        deserialize_with = "read::methods",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<crate::MfaMethod>", length(min = 1))
    )]
    pub methods: Option<Vec<String>>,
    /// How old it may be when the emergency begins; 5 minutes if absent.
    #[serde(
        default,
        deserialize_with = "read::max_age",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "schema::Length"))]
    pub max_age: Option<DurationText>,
}

/// The document of rate-limit rules, version `1`.
///
/// ```
/// use countersign_breakglass::{RateLimitDocument, RateLimitPolicy};
///
/// let document: RateLimitDocument = serde_json::from_str(
///     r#"{"version": "1", "rules": [{"name": "all", "max_per_user": 2, "quota_window": "24h"}]}"#,
/// )?;
/// let policy = RateLimitPolicy::try_from(document)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(
        title = "Countersign rate limits",
        description = "How often emergencies may be declared. The first rule whose profiles include the one asked for applies; no rule means no limits.",
        deny_unknown_fields
    )
)]
pub struct RateLimitDocument {
    /// `1`.
    #[cfg_attr(feature = "schema", schemars(with = "schema::FormatVersion"))]
    pub version: String,
    /// The rules; the first whose profiles include the one asked for applies.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub rules: Vec<RateLimitRuleDocument>,
}

impl<'de> Deserialize<'de> for RateLimitDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, expecting = "a document of rate-limit rules")]
        struct Fields {
            #[serde(deserialize_with = "read::version")]
            version: String,
            #[serde(deserialize_with = "document::rules")]
            rules: Vec<RateLimitRuleDocument>,
        }

        let Fields { version, rules } = document::object(deserializer)?;
        Ok(Self { version, rules })
    }
}

/// One rate-limit rule. It states at least one of `cooldown`, `max_per_user`, `max_per_profile`
/// and `escalation_threshold`; the last three need a `quota_window`.
///
/// ```
/// use countersign_breakglass::RateLimitRuleDocument;
///
/// let rule = RateLimitRuleDocument {
///     name: "all".to_owned(),
///     cooldown: Some("30m".into()),
///     ..RateLimitRuleDocument::default()
/// };
/// assert_eq!(serde_json::to_string(&rule)?, r#"{"name":"all","cooldown":"30m"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(description = "One rate-limit rule. What counts needs a `quota_window`, and a `quota_window` something that counts.", extend("anyOf" = [{"required": ["cooldown"]}, {"required": ["max_per_user"]}, {"required": ["max_per_profile"]}, {"required": ["escalation_threshold"]}], "dependentRequired" = {"max_per_user": ["quota_window"], "max_per_profile": ["quota_window"], "escalation_threshold": ["quota_window"]}, "dependentSchemas" = {"quota_window": {"anyOf": [{"required": ["max_per_user"]}, {"required": ["max_per_profile"]}, {"required": ["escalation_threshold"]}]}})))]
#[serde(deny_unknown_fields)]
pub struct RateLimitRuleDocument {
    /// What the rule is called: unique, 1 to 256 characters.
    #[serde(deserialize_with = "read::name")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::Name"))]
    pub name: String,
    /// The profiles it is for; every profile if absent.
    #[serde(
        default,
        deserialize_with = "read::profiles",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<schema::Name>", length(min = 1))
    )]
    pub profiles: Option<Vec<String>>,
    /// How long after one emergency the same user must wait for the next on the same profile.
    #[serde(
        default,
        deserialize_with = "read::cooldown",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "schema::Length"))]
    pub cooldown: Option<DurationText>,
    /// The most emergencies of one user over all profiles: at least 1.
    #[serde(
        default,
        deserialize_with = "read::max_per_user",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "std::num::NonZeroU32", range(max = u32::MAX)))]
    pub max_per_user: Option<serde_json::Number>,
    /// The most emergencies of one profile over all people: at least 1.
    #[serde(
        default,
        deserialize_with = "read::max_per_profile",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "std::num::NonZeroU32", range(max = u32::MAX)))]
    pub max_per_profile: Option<serde_json::Number>,
    /// The time over which emergencies are counted, back from now.
    #[serde(
        default,
        deserialize_with = "read::quota_window",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "schema::Length"))]
    pub quota_window: Option<DurationText>,
    /// How many emergencies of one user before this one make it conspicuous: at least 1.
    #[serde(
        default,
        deserialize_with = "read::escalation_threshold",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "std::num::NonZeroU32", range(max = u32::MAX)))]
    pub escalation_threshold: Option<serde_json::Number>,
}

mod read {
    countersign_core::field_readers! {
        required: version name required;
        optional: profiles users allowed_reason_codes time max_duration mfa responders reviewers
            after_review methods max_age
            cooldown max_per_user max_per_profile quota_window escalation_threshold;
    }
}

/// The most bytes of a document that are read: 64 MiB.
const MAX_DOCUMENT_BYTES: usize = 64 * 1024 * 1024;

/// Why a document of rules is refused. Correct the document; what was in force before stays in
/// force.
///
/// ```
/// use countersign_breakglass::RateLimitPolicy;
///
/// let json = br#"{"version": "1", "rules": [{"name": "all", "max_per_user": 3}]}"#;
/// let error = RateLimitPolicy::from_json(json).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "rule 0 `all`: `quota_window`: it is missing: write the time over which to count, such as `24h`",
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// More bytes than are read.
    #[error("the document has {bytes} bytes: at most {most} are read")]
    TooLarge {
        /// How many it has.
        bytes: usize,
        /// How many may be.
        most: usize,
    },
    /// Not JSON, not the document's shape, an unknown or missing field.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// Not version `1`.
    #[error("`version` is `{value}`: write \"1\"")]
    Version {
        /// What was given.
        value: String,
    },
    /// A document without rules.
    #[error("`rules` is empty: write at least one rule")]
    NoRules,
    /// A rule that cannot be.
    #[error(transparent)]
    Rule(#[from] RuleError),
}

impl From<serde_json::Error> for DocumentError {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let message = error.to_string();
        let place = format!(" at line {line} column {column}");
        let message = message.strip_suffix(&place).unwrap_or(&message);
        DocumentError::Syntax {
            line,
            column,
            message: shown(message),
        }
    }
}

/// A rule that cannot be: which, which field of it, and why.
///
/// ```
/// use countersign_breakglass::{DocumentError, InvocationPolicy};
///
/// let json = br#"{"version": "1", "rules": [{"name": "on-call", "users": ["alice", ""]}]}"#;
/// let Err(DocumentError::Rule(error)) = InvocationPolicy::from_json(json) else {
///     panic!("a rule with an empty name was read");
/// };
/// assert_eq!((error.index, error.name.as_str(), error.field.as_str()), (0, "on-call", "users[1]"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("rule {index} `{name}`: `{field}`: {}", shown(&.problem.to_string()))]
pub struct RuleError {
    /// The rule's place in the list, from 0.
    pub index: usize,
    /// The rule's name as given (at most its first 256 characters, escaped).
    pub name: String,
    /// The field, with the fields around it: `time.hours.start`, `users[3]`.
    pub field: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a field of a rule.
///
/// ```
/// use countersign_breakglass::{Problem, ReasonCode};
///
/// let problem = "outage".parse::<ReasonCode>().unwrap_err();
/// assert_eq!(problem, Problem::UnknownReasonCode { value: "outage".into() });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// Not there, but needed.
    #[error("it is missing: {fix}")]
    Missing {
        /// What to write.
        fix: &'static str,
    },
    /// A list or object without anything in it.
    #[error("it is empty: {fix}")]
    Empty {
        /// What to write.
        fix: &'static str,
    },
    /// Given, but nothing in the rule uses it.
    #[error("nothing in the rule uses it: {fix}")]
    Unused {
        /// What to write.
        fix: &'static str,
    },
    /// Another rule has the same name.
    #[error("rule {first} is called `{value}` already: give each rule its own name")]
    DuplicateName {
        /// The name.
        value: String,
        /// The place of the other rule, from 0.
        first: usize,
    },
    /// Not a reason code.
    #[error(
        "`{value}` is not a reason code: write incident, maintenance, security, recovery or other"
    )]
    UnknownReasonCode {
        /// What was given (at most its first 64 characters, escaped).
        value: String,
    },
    /// Not a method of showing a second factor.
    #[error("`{value}` is not a method: write totp or sms")]
    UnknownMethod {
        /// What was given (at most its first 64 characters, escaped).
        value: String,
    },
    /// Not a count that can limit anything.
    #[error("`{value}` is not a limit: write a whole number from 1 to 4294967295")]
    Count {
        /// What was given.
        value: String,
    },
    /// Not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Not a time window.
    #[error(transparent)]
    Window(#[from] WindowError),
    /// Not a duration.
    #[error(transparent)]
    Duration(#[from] ParseDurationError),
}
