//! Approval rules as a document says them, and what can be wrong with it.
//!
//! The types here are plain serde types, for any format; nothing in them is checked beyond their
//! shape. [`ApprovalPolicy`](crate::ApprovalPolicy) is what they mean.

use countersign_core::names::NameError;
use countersign_core::window::duration::{DurationText, ParseDurationError};
#[cfg(feature = "schema")]
use countersign_core::window::schema;
use countersign_core::window::{WindowDocument, WindowError, document};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

/// The document of approval rules, version `1`.
///
/// ```
/// use countersign_request::{ApprovalDocument, ApprovalPolicy};
///
/// let document: ApprovalDocument = serde_json::from_str(
///     r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob"]}]}"#,
/// )?;
/// let policy = ApprovalPolicy::try_from(document)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(
        title = "Countersign approval rules",
        description = "Who may decide requests for which profile. The first rule whose profiles include the one asked for applies; where none does nobody can approve.",
        deny_unknown_fields
    )
)]
pub struct ApprovalDocument {
    /// `1`.
    #[cfg_attr(feature = "schema", schemars(with = "schema::FormatVersion"))]
    pub version: String,
    /// The rules; the first whose profiles include the one asked for applies.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub rules: Vec<ApprovalRuleDocument>,
}

impl<'de> Deserialize<'de> for ApprovalDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, expecting = "a document of approval rules")]
        struct Fields {
            #[serde(deserialize_with = "field::version")]
            version: String,
            #[serde(deserialize_with = "document::rules")]
            rules: Vec<ApprovalRuleDocument>,
        }

        let Fields { version, rules } = document::object(deserializer)?;
        Ok(Self { version, rules })
    }
}

/// One approval rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(extend("oneOf" = [{"required": ["approvers"]}, {"required": ["groups"]}]))
)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRuleDocument {
    /// What the rule is called: unique, 1 to 256 characters.
    #[serde(deserialize_with = "field::name")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::Name"))]
    pub name: String,
    /// The profiles it is for; every profile if absent.
    #[serde(
        default,
        deserialize_with = "field::profiles",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<schema::Name>", length(min = 1))
    )]
    pub profiles: Option<Vec<String>>,
    /// Who may decide: any one of them. Either this or `groups`.
    #[serde(
        default,
        deserialize_with = "field::approvers",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<schema::Name>", length(min = 1))
    )]
    pub approvers: Option<Vec<String>>,
    /// Groups of people who all must approve, each with its threshold: 1 to 8 of them.
    #[serde(
        default,
        deserialize_with = "groups",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<ApprovalGroupDocument>", length(min = 1, max = 8))
    )]
    pub groups: Option<Vec<ApprovalGroupDocument>>,
    /// Whether a user who is in several groups counts in each; in one of them only if absent.
    #[serde(
        default,
        deserialize_with = "field::count_in_every_group",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "bool"))]
    pub count_in_every_group: Option<bool>,
    /// Who may take access back; the approvers if absent.
    #[serde(
        default,
        deserialize_with = "field::revokers",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<schema::Name>", length(min = 1))
    )]
    pub revokers: Option<Vec<String>>,
    /// The longest access; the store's limit if absent.
    #[serde(
        default,
        deserialize_with = "field::max_duration",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "schema::Length"))]
    pub max_duration: Option<DurationText>,
    /// How long a request may wait for its decision; the store's limit if absent.
    #[serde(
        default,
        deserialize_with = "field::decide_within",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "schema::Length"))]
    pub decide_within: Option<DurationText>,
    /// The fewest characters of a justification, at least 1; the store's limit if absent.
    #[serde(
        default,
        deserialize_with = "field::min_justification_characters",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "u32", range(min = 1)))]
    pub min_justification_characters: Option<u32>,
    /// Whether a request must name a ticket; it need not if absent.
    #[serde(
        default,
        deserialize_with = "field::ticket_required",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "bool"))]
    pub ticket_required: Option<bool>,
    /// Whether access ends when the access policy changes under which it was asked for; it does
    /// not if absent.
    #[serde(
        default,
        deserialize_with = "field::ends_with_policy",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "bool"))]
    pub ends_with_policy: Option<bool>,
    /// When nobody has to decide; never if absent.
    #[serde(
        default,
        deserialize_with = "field::auto_approve",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "AutoApproveDocument"))]
    pub auto_approve: Option<AutoApproveDocument>,
}

/// One group of approvers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ApprovalGroupDocument {
    /// What the group is called: unique in its rule, 1 to 256 characters.
    #[serde(deserialize_with = "field::name")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::Name"))]
    pub name: String,
    /// Who is in it.
    #[serde(deserialize_with = "group_field::approvers")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<schema::Name>", length(min = 1))
    )]
    pub approvers: Vec<String>,
    /// How many of them must approve, from 1 to all; 1 if absent.
    #[serde(
        default,
        deserialize_with = "field::threshold",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "u32", range(min = 1)))]
    pub threshold: Option<u32>,
}

/// When a request is approved by nobody, by the rule alone: all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("minProperties" = 1)))]
#[serde(deny_unknown_fields)]
pub struct AutoApproveDocument {
    /// Who must ask; anyone if absent.
    #[serde(
        default,
        deserialize_with = "field::users",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<schema::Name>", length(min = 1))
    )]
    pub users: Option<Vec<String>>,
    /// When; any time if absent.
    #[serde(
        default,
        deserialize_with = "field::time",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "WindowDocument"))]
    pub time: Option<WindowDocument>,
    /// The longest access; any if absent.
    #[serde(
        default,
        deserialize_with = "field::max_duration",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "schema::Length"))]
    pub max_duration: Option<DurationText>,
}

/// Readers of the fields, which add the field's name to what is wrong with its value: the reader of
/// the format names the place alone.
mod field {
    countersign_core::field_readers! {
        required: version name;
        optional: profiles approvers count_in_every_group revokers max_duration decide_within
            min_justification_characters ticket_required ends_with_policy threshold auto_approve
            users time;
    }
}

/// The same for the approvers of a group, which must be there.
mod group_field {
    countersign_core::field_readers! {
        required: approvers;
        optional: ;
    }
}

/// Reads the groups, each of them as an object only.
fn groups<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<ApprovalGroupDocument>>, D::Error> {
    struct Group(ApprovalGroupDocument);

    impl<'de> Deserialize<'de> for Group {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            document::object(deserializer).map(Self)
        }
    }

    let groups: Vec<Group> = Vec::deserialize(deserializer)
        .map_err(|error| serde::de::Error::custom(format_args!("`groups`: {error}")))?;
    Ok(Some(groups.into_iter().map(|group| group.0).collect()))
}

/// Why a document of approval rules is refused. Correct the document; what was in force before
/// stays in force.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
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
    #[error("`version` is `{}`: write \"1\"", printable(.value))]
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
        let message = printable(message);
        DocumentError::Syntax {
            line,
            column,
            message,
        }
    }
}

/// The most characters of a text from a document that a message repeats.
const MAX_SHOWN_CHARACTERS: usize = 1_000;

/// A text that came from a document, as a message may show it: on one line, control characters
/// escaped, cut where it is very long.
fn printable(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars().take(MAX_SHOWN_CHARACTERS) {
        if character.is_control() {
            shown.extend(character.escape_debug());
        } else {
            shown.push(character);
        }
    }
    if text.chars().nth(MAX_SHOWN_CHARACTERS).is_some() {
        shown.push('…');
    }
    shown
}

/// A rule that cannot be: which, which field of it, and why.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("rule {index} `{}`: `{field}`: {}", printable(.name), printable(&.problem.to_string()))]
pub struct RuleError {
    /// The rule's place in the list, from 0.
    pub index: usize,
    /// The rule's name as given.
    pub name: String,
    /// The field, with the fields around it: `auto_approve.time`.
    pub field: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a field of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
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
    /// Approvers in both forms, of which only one can be meant.
    #[error("`approvers` is given as well: put everybody into groups, or leave `groups` out")]
    BothForms,
    /// A threshold that says nothing or cannot be reached.
    #[error("it is {threshold} and {members} people are in the group: write 1 to {members}")]
    Threshold {
        /// What was given.
        threshold: u32,
        /// How many different people are in the group.
        members: usize,
    },
    /// More groups than a rule may have.
    #[error("it has {groups} groups: write at most {most}")]
    TooManyGroups {
        /// How many it has.
        groups: usize,
        /// How many may be.
        most: usize,
    },
    /// Another group of the rule has the same name.
    #[error("group {first} is called `{value}` already: give each group its own name")]
    DuplicateGroup {
        /// The name.
        value: String,
        /// The place of the other group, from 0.
        first: usize,
    },
    /// One user in two spellings, of whom only one approval would count.
    #[error("`{value}` and `{first}` are the same user: write the name in one way only")]
    TwoSpellings {
        /// The name.
        value: String,
        /// The other spelling of it.
        first: String,
    },
    /// Groups that nobody can meet.
    #[error(
        "if everybody approved, not all groups would be met, since each user counts for one \
         group: add people, lower a threshold, or set `count_in_every_group`"
    )]
    CannotBeMet,
    /// A field that is about groups in a rule without any.
    #[error("the rule has no groups: leave it out, or write `groups` instead of `approvers`")]
    WithoutGroups,
    /// A number that demands nothing.
    #[error("it is 0: write at least 1, or leave it out")]
    Zero,
    /// Another rule has the same name.
    #[error("rule {first} is called `{value}` already: give each rule its own name")]
    DuplicateName {
        /// The name.
        value: String,
        /// The place of the other rule, from 0.
        first: usize,
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
