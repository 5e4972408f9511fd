//! Policy documents as they are written: plain serde types, read strictly, not yet checked.
//!
//! What a document means, and whether it means anything, is decided when it is made a
//! [`Policy`](crate::Policy). Effects, days, modes and durations are texts here, so that the check
//! can name the rule, the field, the value and the fix.
//!
//! - Unknown fields, fields given twice, an explicit `null` and lists for objects are errors: a
//!   misspelt `user` must never become a rule for everyone.
//! - A type error names the field it is in, whatever format is read.
//! - What is absent is not written; what was read is written back.

use countersign_core::window::WindowDocument;
use countersign_core::window::document;
use countersign_core::window::duration::DurationText;
#[cfg(feature = "schema")]
use countersign_core::window::schema;
use serde::{Deserialize, Deserializer, Serialize};

/// A policy document: what a policy file holds.
///
/// Public so that users of other formats (YAML, TOML) can bring their own parser: read this with
/// it, then `Policy::try_from(document)`. For JSON use [`Policy::from_json`](crate::Policy::from_json),
/// which also limits the size.
///
/// ```
/// use countersign_policy::{Policy, PolicyDocument};
///
/// let document: PolicyDocument = serde_json::from_value(serde_json::json!({
///     "version": "1",
///     "rules": [{"name": "readers", "effect": "allow", "conditions": {"profiles": ["readonly"]}}],
/// }))?;
/// let policy = Policy::try_from(document)?;
/// assert_eq!(policy.rules().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(
        title = "Countersign policy",
        description = "Who may use which profile, when and under what condition. The first rule that matches decides; where none matches access is denied.",
        deny_unknown_fields
    )
)]
pub struct PolicyDocument {
    /// The version of the format: `1`.
    #[cfg_attr(feature = "schema", schemars(with = "schema::FormatVersion"))]
    pub version: String,
    /// The rules; the first that matches decides. At least one.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub rules: Vec<RuleDocument>,
}

impl<'de> Deserialize<'de> for PolicyDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, expecting = "a policy document")]
        struct Fields {
            #[serde(deserialize_with = "read::version")]
            version: String,
            #[serde(deserialize_with = "document::rules")]
            rules: Vec<RuleDocument>,
        }

        let Fields { version, rules } = document::object(deserializer)?;
        Ok(Self { version, rules })
    }
}

/// One rule as a document says it.
///
/// ```
/// use countersign_policy::RuleDocument;
///
/// let misspelt = r#"{"name": "a", "effect": "allow", "conditions": {"user": ["alice"]}}"#;
/// let error = serde_json::from_str::<RuleDocument>(misspelt).unwrap_err();
/// assert!(error.to_string().starts_with("`conditions`: unknown field `user`, expected one of `users`"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(description = "A rule: what happens when all its conditions hold.", extend("dependentSchemas" = {"hard": {"properties": {"effect": {"const": "deny"}}}})))]
#[serde(deny_unknown_fields, expecting = "a rule")]
pub struct RuleDocument {
    /// The rule's name, unlike every other in the document.
    #[serde(deserialize_with = "read::name")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::Name"))]
    pub name: String,
    /// `allow`, `deny`, `require_approval`, `require_server` or `require_server_session`.
    #[serde(deserialize_with = "read::effect")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::Effect"))]
    pub effect: String,
    /// When the rule applies. At least one condition.
    #[serde(default, deserialize_with = "read::conditions")]
    #[cfg_attr(feature = "schema", schemars(!default))]
    pub conditions: ConditionsDocument,
    /// What a user is told: at most 1,000 characters.
    #[serde(
        default,
        deserialize_with = "read::reason",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "String", length(max = crate::MAX_REASON_CHARACTERS)))]
    pub reason: Option<String>,
    /// Whether not even an emergency overrides the denial; false if absent. Deny rules only.
    #[serde(
        default,
        deserialize_with = "read::hard",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "bool"))]
    pub hard: Option<bool>,
    /// The longest that a credential given under this rule may live: `1h30m`.
    #[serde(
        default,
        deserialize_with = "read::max_server_duration",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "schema::Length"))]
    pub max_server_duration: Option<DurationText>,
    /// The table in which the host is to track the session.
    #[serde(
        default,
        deserialize_with = "read::session_table",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "schema::Name"))]
    pub session_table: Option<String>,
}

/// The conditions of a rule as a document says them. All that are given must hold; a list holds if
/// any of its entries does.
///
/// ```
/// use countersign_policy::ConditionsDocument;
///
/// let conditions = ConditionsDocument {
///     users: Some(vec!["alice".to_owned()]),
///     ..ConditionsDocument::default()
/// };
/// assert_eq!(serde_json::to_string(&conditions)?, r#"{"users":["alice"]}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(description = "When a rule applies: all that are given must hold, and a list holds if one of its entries does.", extend("minProperties" = 1)))]
#[serde(deny_unknown_fields, expecting = "an object of conditions")]
pub struct ConditionsDocument {
    /// The people it is for; everyone if absent.
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
    /// The groups of people it is for: being in one of them is enough.
    #[serde(
        default,
        deserialize_with = "read::groups",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<schema::Name>", length(min = 1))
    )]
    pub groups: Option<Vec<String>>,
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
    /// The groups of profiles it is for: being in one of them is enough.
    #[serde(
        default,
        deserialize_with = "read::profile_groups",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<schema::Name>", length(min = 1))
    )]
    pub profile_groups: Option<Vec<String>>,
    /// When it applies; always if absent.
    #[serde(
        default,
        deserialize_with = "read::time",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "WindowDocument"))]
    pub time: Option<WindowDocument>,
    /// Ways of asking that it is for: `server`, `cli`, `credential_process`; every way, and a
    /// query that names none, if absent.
    #[serde(
        default,
        deserialize_with = "read::mode",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<crate::Mode>", length(min = 1))
    )]
    pub mode: Option<Vec<String>>,
}

mod read {
    countersign_core::field_readers! {
        required: version name effect conditions;
        optional:
            reason hard max_server_duration session_table
            users groups profiles profile_groups time mode;
    }
}
