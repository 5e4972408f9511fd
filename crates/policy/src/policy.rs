//! The policy: a document that has been checked and compiled, and what it answers.
//!
//! What always holds of a [`Policy`]:
//!
//! - It has at least one rule; rule names differ; nothing in it is left to be checked, so
//!   evaluation cannot fail.
//! - It never changes. Its digest is that of its canonical JSON, which reads back as an equal
//!   policy.
//! - The rule that decides is the first that matches; [`crate::index`] finds it without asking
//!   the others.
//!
//! The document is not kept: [`Policy::document`] writes it anew from the compiled rules.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::decision::{Allow, Decision, Denial, Deny, Matched, RequireApproval};
use crate::digest::{DigestWriter, PolicyDigest};
use crate::document::PolicyDocument;
use crate::error::{DocumentError, MAX_DOCUMENT_BYTES, Problem, RuleError, syntax};
use crate::index::Index;
use crate::names::Names;
use crate::query::Query;
use crate::rule::Rule;
use crate::vocabulary::{Effect, Mode};

/// The version of the document format.
const FORMAT_VERSION: &str = "1";

/// A checked, compiled and immutable policy: the only thing that can be evaluated.
///
/// Cloning shares the rules and their index. Two policies are equal if they have the same rules in
/// the same order, however their documents were laid out.
///
/// ```
/// use countersign_policy::{User, Policy, Profile, Query};
///
/// let policy = Policy::from_json(br#"{"version": "1", "rules": [
///     {"name": "engineers", "effect": "allow", "conditions": {"users": ["alice"], "profiles": ["dev"]}}
/// ]}"#)?;
/// let at = "2026-03-02T09:00:00Z".parse()?;
/// let query = |profile| Ok::<_, countersign_policy::NameError>(
///     Query::new(User::new("alice")?, Profile::new(profile)?, at));
/// assert!(policy.decide(&query("dev")?).is_allowed());
/// assert!(!policy.decide(&query("prod")?).is_allowed());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Policy {
    digest: PolicyDigest,
    rules: Arc<[Rule]>,
    /// None if the rules are few enough to be asked one by one.
    index: Option<Arc<Index>>,
}

impl Policy {
    /// Reads, checks and compiles a JSON document.
    ///
    /// # Errors
    /// [`DocumentError`] names what is wrong and how to put it right: size and encoding, then
    /// syntax and fields, then the first rule at fault, then names that two rules share.
    pub fn from_json(json: &[u8]) -> Result<Self, DocumentError> {
        let bytes = json.len();
        if bytes > MAX_DOCUMENT_BYTES {
            return Err(DocumentError::TooLarge { bytes });
        }
        let json = std::str::from_utf8(json).map_err(|error| DocumentError::NotUtf8 {
            at: error.valid_up_to(),
        })?;
        if json.starts_with('\u{feff}') {
            return Err(DocumentError::ByteOrderMark);
        }
        let document: PolicyDocument =
            serde_json::from_str(json).map_err(|error| syntax(&error))?;
        document.try_into()
    }

    /// Answers a query: the first rule that matches decides, and where none matches access is
    /// denied.
    ///
    /// Allocates nothing and cannot fail. The time it takes does not grow with rules that name
    /// other people or other profiles.
    pub fn decide<'p>(&'p self, query: &Query) -> Decision<'p> {
        let first = match &self.index {
            Some(index) => index.first(&self.rules, query),
            None => {
                let mut rules = self.rules.iter().enumerate();
                rules.find(|(_, rule)| rule.matches(query))
            }
        };
        match first {
            Some((index, rule)) => self.outcome(Matched::new(index, rule), rule.is_hard(), query),
            None => self.deny(Denial::NoRule),
        }
    }

    pub(crate) fn outcome<'p>(
        &'p self,
        rule: Matched<'p>,
        hard: bool,
        query: &Query,
    ) -> Decision<'p> {
        let server = query.mode() == Some(Mode::Server);
        let tracked = query.session_table().is_some();
        match rule.effect {
            Effect::Allow => self.allow(rule),
            Effect::Deny => self.deny(Denial::Rule { rule, hard }),
            Effect::RequireApproval => Decision::RequireApproval(RequireApproval {
                rule,
                max_duration: rule.max_server_duration,
                policy: self.digest,
            }),
            Effect::RequireServer if server => self.allow(rule),
            Effect::RequireServerSession if server && tracked => self.allow(rule),
            Effect::RequireServerSession if server => {
                self.deny(Denial::SessionTrackingRequired { rule })
            }
            Effect::RequireServer | Effect::RequireServerSession => {
                self.deny(Denial::ServerModeRequired {
                    rule,
                    session_tracking_required: rule.effect == Effect::RequireServerSession,
                })
            }
        }
    }

    fn allow<'p>(&self, rule: Matched<'p>) -> Decision<'p> {
        Decision::Allow(Allow {
            rule: Some(rule),
            max_duration: rule.max_server_duration,
            grant: None,
            policy: self.digest,
        })
    }

    fn deny<'p>(&self, why: Denial<'p>) -> Decision<'p> {
        Decision::Deny(Deny {
            why,
            policy: self.digest,
        })
    }

    /// The rules, in the order in which they are asked. At least one.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What identifies the policy by its content: the SHA-256 of its canonical JSON, which is
    /// what `serde_json::to_vec` gives for the policy.
    ///
    /// The same for documents that say the same in another layout: white space, order of fields,
    /// `90m` for `1h30m`, order of days and modes, `UTC` for no zone, `false` for no `hard`.
    /// The order of rules and of names counts.
    pub fn digest(&self) -> PolicyDigest {
        self.digest
    }

    /// The policy as a document, in canonical form. Written anew at each call.
    ///
    /// ```
    /// use countersign_policy::Policy;
    ///
    /// let policy: Policy = r#"{"rules": [
    ///     {"effect": "deny", "hard": true, "name": "freeze", "conditions": {"time": {"days": ["sunday"]}}}
    /// ], "version": "1"}"#.parse()?;
    /// assert_eq!(Policy::try_from(policy.document())?, policy);
    /// # Ok::<(), countersign_policy::DocumentError>(())
    /// ```
    pub fn document(&self) -> PolicyDocument {
        PolicyDocument {
            version: FORMAT_VERSION.to_owned(),
            rules: self.rules.iter().map(Rule::to_document).collect(),
        }
    }
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest && self.rules == other.rules
    }
}

impl Eq for Policy {}

/// The digest and the number of rules: a policy may be large.
impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("digest", &self.digest)
            .field("rules", &self.rules.len())
            .finish()
    }
}

impl FromStr for Policy {
    type Err = DocumentError;

    /// As [`Policy::from_json`].
    fn from_str(json: &str) -> Result<Self, Self::Err> {
        Self::from_json(json.as_bytes())
    }
}

impl TryFrom<PolicyDocument> for Policy {
    type Error = DocumentError;

    /// Checks and compiles a document, from whatever format it was read.
    fn try_from(document: PolicyDocument) -> Result<Self, Self::Error> {
        if document.version != FORMAT_VERSION {
            return Err(DocumentError::Version {
                value: document.version,
            });
        }
        let mut names = Names::default();
        let rules = document.rules.into_iter().enumerate();
        let rules: Arc<[Rule]> = rules
            .map(|(index, rule)| Rule::compile(index, rule, &mut names))
            .collect::<Result<_, _>>()?;
        if rules.is_empty() {
            return Err(DocumentError::NoRules);
        }
        check_names_differ(&rules)?;
        let digest = digest_of(&rules);
        let index = Index::build(&rules, names).map(Arc::new);
        Ok(Self {
            digest,
            rules,
            index,
        })
    }
}

impl Serialize for Policy {
    /// Writes the policy as a document, in canonical form.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Canonical(&self.rules).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Policy {
    /// Reads, checks and compiles a document.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let document = PolicyDocument::deserialize(deserializer)?;
        document.try_into().map_err(serde::de::Error::custom)
    }
}

/// Rules that are written as [`Policy::document`] would be, one at a time.
struct Canonical<'a>(&'a [Rule]);

impl Serialize for Canonical<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Rules<'a>(&'a [Rule]);

        impl Serialize for Rules<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(self.0.iter().map(Rule::to_document))
            }
        }

        let mut document = serializer.serialize_struct("PolicyDocument", 2)?;
        document.serialize_field("version", FORMAT_VERSION)?;
        document.serialize_field("rules", &Rules(self.0))?;
        document.end()
    }
}

fn check_names_differ(rules: &[Rule]) -> Result<(), RuleError> {
    let mut places = HashMap::with_capacity(rules.len());
    for (index, rule) in rules.iter().enumerate() {
        match places.entry(rule.name()) {
            Entry::Vacant(place) => {
                place.insert(index);
            }
            Entry::Occupied(first) => {
                return Err(RuleError {
                    index,
                    name: rule.name().to_owned(),
                    field: "name".to_owned(),
                    problem: Problem::DuplicateName {
                        first: *first.get(),
                    },
                });
            }
        }
    }
    Ok(())
}

fn digest_of(rules: &[Rule]) -> PolicyDigest {
    let mut writer = DigestWriter::default();
    let written = serde_json::to_writer(&mut writer, &Canonical(rules));
    debug_assert!(
        written.is_ok(),
        "the canonical JSON of a policy cannot be written"
    );
    writer.finish()
}
