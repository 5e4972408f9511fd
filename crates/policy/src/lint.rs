//! What is probably wrong with a policy that is well formed: rules that nothing reaches, denials
//! that come too late, rules written twice.
//!
//! - Every [`Finding`] has a witness, a query that shows it, and the policy itself has been asked:
//!   a finding that its witness does not bear out is not made.
//! - Within one time zone "unreachable" is exact: it is said of a rule if and only if no query
//!   reaches the rule. Across zones it may be missed, and is never said wrongly, because a window
//!   is only ever held against windows of its own zone.
//! - The work is bounded. What it did not suffice for is listed apart, and is not a finding.
//!
//! A window that never opens needs no finding: such a document is refused.

use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::policy::Policy;
use crate::query::Query;

mod search;

/// How much work is done for one policy: some seconds.
const EFFORT: u64 = 200_000_000;

/// How many rules a finding names at most as those that come first.
const NAMED_RULES: usize = 8;

impl Policy {
    /// Looks for rules that do not do what their author probably meant.
    ///
    /// Findings are in the order of the rules. The work grows with the number of rules that
    /// overlap, and is bounded.
    ///
    /// ```
    /// use countersign_policy::{FindingKind, Policy, Severity};
    ///
    /// let policy: Policy = r#"{"version": "1", "rules": [
    ///     {"name": "mornings", "effect": "allow", "conditions": {
    ///         "profiles": ["prod"], "time": {"hours": {"start": "00:00", "end": "12:00"}}}},
    ///     {"name": "afternoons", "effect": "allow", "conditions": {
    ///         "profiles": ["prod"], "time": {"hours": {"start": "12:00", "end": "00:00"}}}},
    ///     {"name": "not mallory", "effect": "deny", "conditions": {
    ///         "users": ["mallory"], "profiles": ["prod"]}}
    /// ]}"#.parse()?;
    /// let report = policy.lint();
    /// let unreachable = &report.findings()[0];
    /// assert_eq!(unreachable.kind.code(), "unreachable-rule");
    /// assert_eq!(unreachable.rule.name, "not mallory");
    /// assert!(policy.rules()[2].matches(&unreachable.witness), "the rule is for the witness");
    /// assert!(policy.decide(&unreachable.witness).is_allowed(), "and another rule decides");
    ///
    /// let swallowed = &report.findings()[1];
    /// assert!(matches!(swallowed.kind, FindingKind::SwallowedDeny { .. }));
    /// assert_eq!(swallowed.severity, Severity::Warning);
    /// # Ok::<(), countersign_policy::DocumentError>(())
    /// ```
    pub fn lint(&self) -> LintReport {
        search::lint(self, EFFORT)
    }
}

/// What [`Policy::lint`] found. Shown, one line a finding; serialised, one object.
///
/// ```
/// use countersign_policy::Policy;
///
/// let policy: Policy = r#"{"version": "1", "rules": [
///     {"name": "dev", "effect": "allow", "conditions": {"profiles": ["dev"]}}
/// ]}"#.parse()?;
/// let report = policy.lint();
/// assert!(report.findings().is_empty() && report.undecided().is_empty());
/// assert_eq!(serde_json::to_string(&report)?, r#"{"findings":[],"undecided":[]}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[must_use = "findings that nobody reads mend nothing"]
pub struct LintReport {
    findings: Vec<Finding>,
    undecided: Vec<RulePlace>,
}

impl LintReport {
    /// What was found, in the order of the rules.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The rules of which it is not known whether there is more to be found: they overlap with
    /// others in too many ways for the work that is done.
    pub fn undecided(&self) -> &[RulePlace] {
        &self.undecided
    }
}

impl fmt::Display for LintReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        for rule in &self.undecided {
            writeln!(f, "undecided: {rule} overlaps with others in too many ways")?;
        }
        Ok(())
    }
}

/// Something that is probably wrong, with a query that shows it.
///
/// ```
/// use countersign_policy::Policy;
///
/// let policy: Policy = r#"{"version": "1", "rules": [
///     {"name": "a", "effect": "allow", "conditions": {"users": ["alice", "bob"]}},
///     {"name": "b", "effect": "allow", "conditions": {"users": ["alice"], "profiles": ["dev"]}}
/// ]}"#.parse()?;
/// let report = policy.lint();
/// assert_eq!(report.findings().len(), 1);
/// assert_eq!(
///     report.findings()[0].to_string(),
///     "warning: unreachable-rule: rule 1 `b` never decides: rule 0 `a` takes every query that it \
///      is for, such as `alice` for `dev` at 2026-03-02T09:00:00Z, no mode",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// How likely it is that nobody meant it.
    pub severity: Severity,
    /// The rule that it is about.
    pub rule: RulePlace,
    /// A query that the rule matches and that another decides.
    pub witness: Query,
}

/// What a [`Finding`] is about.
///
/// ```
/// use countersign_policy::{FindingKind, RulePlace};
///
/// let of = RulePlace { index: 0, name: "prod".into() };
/// assert_eq!(FindingKind::DuplicateRule { of }.code(), "duplicate-rule");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindingKind {
    /// The rule never decides: earlier rules, whatever their effect, take every query that it is
    /// for. Remove it, or put it before them.
    UnreachableRule {
        /// The earlier rules that take all of it, together if there are several. None of them can
        /// be left out, unless they are more than 64.
        taken_by: Vec<RulePlace>,
    },
    /// The rule denies, and earlier rules give access to some of what it denies. Put it before
    /// them, unless they are meant as exceptions.
    ///
    /// A note where the earlier rules are for nothing but what the denial is for: exceptions are
    /// written so. A warning where they are for more, so that the denial looks like the exception
    /// and comes too late; and wherever the denial is hard, because nothing is meant to override
    /// it.
    SwallowedDeny {
        /// The first eight of the earlier rules of which that is so. The witness is decided by the
        /// first.
        by: Vec<RulePlace>,
    },
    /// The rule is another but for its name; lists count as sets. Remove one.
    DuplicateRule {
        /// The first such rule.
        of: RulePlace,
    },
}

impl FindingKind {
    /// What the kind is called in reports, for good: `unreachable-rule`, `swallowed-deny`,
    /// `duplicate-rule`.
    pub fn code(&self) -> &'static str {
        match self {
            FindingKind::UnreachableRule { .. } => "unreachable-rule",
            FindingKind::SwallowedDeny { .. } => "swallowed-deny",
            FindingKind::DuplicateRule { .. } => "duplicate-rule",
        }
    }

    /// The other rules that it is about. At least one.
    pub fn others(&self) -> &[RulePlace] {
        match self {
            FindingKind::UnreachableRule { taken_by } => taken_by,
            FindingKind::SwallowedDeny { by } => by,
            FindingKind::DuplicateRule { of } => std::slice::from_ref(of),
        }
    }
}

/// How likely it is that nobody meant what was found.
///
/// ```
/// use countersign_policy::Severity;
///
/// assert!(Severity::Warning > Severity::Note);
/// assert_eq!(Severity::Warning.to_string(), "warning");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Often meant so. Worth a look.
    Note,
    /// Hardly ever meant so.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
        })
    }
}

/// Which rule of a policy.
///
/// ```
/// use countersign_policy::RulePlace;
///
/// let place = RulePlace { index: 3, name: "prod".into() };
/// assert_eq!(place.to_string(), "rule 3 `prod`");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RulePlace {
    /// The rule's place in the policy, counted from 0.
    pub index: usize,
    /// The rule's name.
    pub name: String,
}

impl fmt::Display for RulePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} `{}`", self.index, self.name)
    }
}

/// In one line, with severity and code.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            severity,
            rule,
            witness,
        } = self;
        write!(f, "{severity}: {}: {rule} ", kind.code())?;
        let others = Others(kind.others());
        match kind {
            FindingKind::UnreachableRule { taken_by } if taken_by.len() == 1 => {
                write!(
                    f,
                    "never decides: {others} takes every query that it is for"
                )?;
            }
            FindingKind::UnreachableRule { .. } => {
                let text = "together take every query that it is for";
                write!(f, "never decides: {others} {text}")?;
            }
            FindingKind::SwallowedDeny { .. } => {
                write!(f, "denies what is allowed by {others} before it")?;
                // No more are looked for.
                if others.0.len() == NAMED_RULES {
                    f.write_str(" and perhaps by more")?;
                }
            }
            FindingKind::DuplicateRule { .. } => write!(f, "is {others} by another name")?,
        }
        write!(f, ", such as {witness}")
    }
}

/// Some rules, as a sentence names them.
struct Others<'a>(&'a [RulePlace]);

impl fmt::Display for Others<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, rule) in self.0.iter().take(NAMED_RULES).enumerate() {
            let separator = if place == 0 { "" } else { ", " };
            write!(f, "{separator}{rule}")?;
        }
        match self.0.len().saturating_sub(NAMED_RULES) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// One flat object, with the sentence that [`Display`](fmt::Display) gives as `message`.
impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Finding", 6)?;
        object.serialize_field("code", self.kind.code())?;
        object.serialize_field("severity", &self.severity)?;
        object.serialize_field("rule", &self.rule)?;
        object.serialize_field("others", self.kind.others())?;
        object.serialize_field("witness", &self.witness)?;
        object.serialize_field("message", &format_args!("{self}"))?;
        object.end()
    }
}
