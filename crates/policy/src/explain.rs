//! Why a policy answers as it does: each rule that was asked, and what it failed on.
//!
//! - An [`Explanation`] asks the rules as a decision does, in the same order, and stops where the
//!   decision stops. It says nothing that [`Policy::decide`] does not act on.
//! - It borrows and allocates nothing until it is shown or written; what is shown or written is
//!   bounded, however many rules there are and however long their lists.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use countersign_core::names::{Group, Profile, User};
use countersign_core::window::Window;
use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

use crate::decision::Decision;
use crate::listed::Listed;
use crate::policy::Policy;
use crate::query::Query;
use crate::rule::{Modes, Rule};
use crate::vocabulary::Mode;

/// How many rules are shown before those that are for other people or profiles are only counted,
/// and how many are shown at most.
const SHOWN_RULES: usize = 32;

impl Policy {
    /// Says why the policy answers a query as it does: rule by rule, in order, matched or the
    /// first condition that failed.
    ///
    /// Costs nothing until it is read, and then one walk over the rules, so it can be logged with
    /// every denial.
    ///
    /// ```
    /// use countersign_policy::{User, Policy, Profile, Query};
    ///
    /// let policy: Policy = r#"{"version": "1", "rules": [
    ///     {"name": "on-call", "effect": "allow", "conditions": {"users": ["alice"]}},
    ///     {"name": "nights", "effect": "allow", "conditions": {
    ///         "time": {"hours": {"start": "22:00", "end": "06:00"}, "timezone": "Europe/London"}}},
    ///     {"name": "prod", "effect": "deny", "conditions": {"profiles": ["prod"]}},
    ///     {"name": "dev", "effect": "allow", "conditions": {"profiles": ["dev"]}}
    /// ]}"#.parse()?;
    /// let query = Query::new(User::new("bob")?, Profile::new("prod")?, "2026-03-02T09:00:00Z".parse()?);
    /// assert_eq!(policy.explain(&query).to_string(), "\
    /// rule 0 `on-call`: the user is `bob`, the rule is for `alice`
    /// rule 1 `nights`: it is 2026-03-02T09:00:00Z, locally Monday 09:00, the rule is for 22:00-06:00 Europe/London
    /// rule 2 `prod`: matches and decides: deny
    /// rules after it, not asked: 1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn explain<'a>(&'a self, query: &'a Query) -> Explanation<'a> {
        Explanation {
            policy: self,
            query,
        }
    }
}

/// Why a policy answers a query as it does. Made by [`Policy::explain`].
///
/// Shown, it is one line a rule. Serialised, it is one object. Both hold every rule that was asked
/// if these are at most 32; of more, the first 32 that are for the query's user and profile and
/// the one that decides, and the number of the others.
///
/// ```
/// use countersign_policy::{User, Policy, Profile, Query};
///
/// let policy: Policy = r#"{"version": "1", "rules": [
///     {"name": "on-call", "effect": "allow", "conditions": {"users": ["alice"]}}
/// ]}"#.parse()?;
/// let query = Query::new(User::new("bob")?, Profile::new("prod")?, "2026-03-02T09:00:00Z".parse()?);
/// assert_eq!(
///     serde_json::to_string(&policy.explain(&query))?,
///     r#"{"decided_by":null,"asked":1,"not_asked":0,"left_out":0,"rules":[{"index":0,"name":"on-call","failed":"users","query":"bob","rule":["alice"]}]}"#,
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use = "an explanation that nobody reads explains nothing"]
pub struct Explanation<'a> {
    policy: &'a Policy,
    query: &'a Query,
}

impl<'a> Explanation<'a> {
    /// The rules that were asked, in order: those that failed, then the one that matched, if any
    /// did. Asks each rule when it is reached.
    pub fn steps(&self) -> Steps<'a> {
        Steps {
            rules: self.policy.rules(),
            index: 0,
            query: self.query,
        }
    }

    /// What the policy answers.
    pub fn decision(&self) -> Decision<'a> {
        self.policy.decide(self.query)
    }

    /// What was asked.
    pub fn query(&self) -> &'a Query {
        self.query
    }

    /// Passes over the rules once, and looks at those for other people or profiles only as far as
    /// it takes to know that.
    fn summary(&self) -> Summary<'a> {
        let rules = self.policy.rules();
        let decided_by = self.decision().rule().map(|rule| rule.index);
        let asked = decided_by.map_or(rules.len(), |index| index + 1);
        let shown: Vec<Step<'a>> = if asked <= SHOWN_RULES {
            self.steps().collect()
        } else {
            let failed = rules.iter().enumerate().take(asked);
            let failed = failed.filter(|(index, rule)| {
                decided_by != Some(*index) && rule.conditions().hold_by_name(self.query)
            });
            let decided = decided_by.and_then(|index| Some((index, rules.get(index)?)));
            let near = failed.take(SHOWN_RULES).chain(decided);
            near.map(|(index, rule)| Step::new(index, rule, self.query))
                .collect()
        };
        Summary {
            decided_by,
            asked,
            not_asked: rules.len() - asked,
            left_out: asked - shown.len(),
            shown,
        }
    }
}

/// What is said of the rules as a whole.
struct Summary<'a> {
    decided_by: Option<usize>,
    asked: usize,
    not_asked: usize,
    left_out: usize,
    shown: Vec<Step<'a>>,
}

/// The rules that a decision asks, one after the other. Made by [`Explanation::steps`].
#[derive(Debug, Clone)]
pub struct Steps<'a> {
    rules: &'a [Rule],
    index: usize,
    query: &'a Query,
}

impl<'a> Iterator for Steps<'a> {
    type Item = Step<'a>;

    fn next(&mut self) -> Option<Step<'a>> {
        let rule = self.rules.get(self.index)?;
        let step = Step::new(self.index, rule, self.query);
        match step.unmet {
            Some(_) => self.index += 1,
            None => self.rules = &[],
        }
        Some(step)
    }
}

/// One rule that was asked.
///
/// ```
/// use countersign_policy::{User, Policy, Profile, Query, Unmet};
///
/// let policy: Policy = r#"{"version": "1", "rules": [
///     {"name": "cli", "effect": "allow", "conditions": {"mode": ["cli"]}},
///     {"name": "bob", "effect": "allow", "conditions": {"users": ["bob"]}}
/// ]}"#.parse()?;
/// let query = Query::new(User::new("bob")?, Profile::new("prod")?, "2026-03-02T09:00:00Z".parse()?);
/// let mut steps = policy.explain(&query).steps();
/// let first = steps.next().ok_or("two rules")?;
/// assert!(matches!(first.unmet, Some(Unmet::Mode { asked: None, .. })));
/// assert_eq!(first.to_string(), "rule 0 `cli`: no mode is given, the rule is for cli");
/// assert!(steps.next().is_some_and(|step| step.unmet.is_none()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    /// The rule's place in the policy, counted from 0.
    pub index: usize,
    /// The rule.
    pub rule: &'a Rule,
    /// The first of its conditions that the query does not meet; none if the rule matched, and so
    /// decided.
    pub unmet: Option<Unmet<'a>>,
}

impl<'a> Step<'a> {
    fn new(index: usize, rule: &'a Rule, query: &'a Query) -> Self {
        Self {
            index,
            rule,
            unmet: rule.unmet(query),
        }
    }
}

/// A condition that a query does not meet, with the query's value and the rule's.
///
/// Of several, the first in the order of these cases is given.
///
/// ```
/// use countersign_policy::{User, Policy, Profile, Query, Unmet};
///
/// let policy: Policy = r#"{"version": "1", "rules": [
///     {"name": "r", "effect": "allow", "conditions": {"users": ["alice"], "profiles": ["dev"]}}
/// ]}"#.parse()?;
/// let query = Query::new(User::new("bob")?, Profile::new("prod")?, "2026-03-02T09:00:00Z".parse()?);
/// let unmet = policy.rules()[0].unmet(&query).ok_or("neither is met")?;
/// assert_eq!(unmet.field(), "profiles");
/// assert_eq!(unmet.to_string(), "the profile is `prod`, the rule is for `dev`");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmet<'a> {
    /// The rule is for other profiles.
    Profile {
        /// The query's.
        asked: &'a Profile,
        /// The rule's.
        wanted: &'a [Profile],
    },
    /// The rule is for other people.
    User {
        /// The query's.
        asked: &'a User,
        /// The rule's.
        wanted: &'a [User],
    },
    /// The rule is for other modes.
    Mode {
        /// The query's, if it has one.
        asked: Option<Mode>,
        /// The rule's.
        wanted: Modes,
    },
    /// The user is in none of the rule's groups.
    Groups {
        /// The query's.
        asked: &'a [Group],
        /// The rule's.
        wanted: &'a [Group],
    },
    /// The profile is in none of the rule's groups.
    ProfileGroups {
        /// The query's.
        asked: &'a [Group],
        /// The rule's.
        wanted: &'a [Group],
    },
    /// The rule is for another time.
    Time {
        /// The query's.
        asked: DateTime<Utc>,
        /// The rule's.
        wanted: &'a Window,
    },
}

impl Unmet<'_> {
    /// The condition's field in a document: `users`, `time` and so on.
    pub fn field(&self) -> &'static str {
        match self {
            Unmet::Profile { .. } => "profiles",
            Unmet::User { .. } => "users",
            Unmet::Mode { .. } => "mode",
            Unmet::Groups { .. } => "groups",
            Unmet::ProfileGroups { .. } => "profile_groups",
            Unmet::Time { .. } => "time",
        }
    }
}

impl Rule {
    /// The first condition that the query does not meet, in the order of [`Unmet`]'s cases; none
    /// if and only if the rule [matches](Rule::matches).
    pub fn unmet<'a>(&'a self, query: &'a Query) -> Option<Unmet<'a>> {
        fn lacks<'r, T: PartialEq>(list: Option<&'r [T]>, value: &T) -> Option<&'r [T]> {
            list.filter(|list| !list.contains(value))
        }
        fn differ<'r>(list: Option<&'r [Group]>, groups: &[Group]) -> Option<&'r [Group]> {
            list.filter(|list| !groups.iter().any(|group| list.contains(group)))
        }
        let conditions = self.conditions();
        if let Some(wanted) = lacks(conditions.profiles(), query.profile()) {
            let asked = query.profile();
            return Some(Unmet::Profile { asked, wanted });
        }
        if let Some(wanted) = lacks(conditions.users(), query.user()) {
            let asked = query.user();
            return Some(Unmet::User { asked, wanted });
        }
        if let Some(wanted) = conditions.modes() {
            let asked = query.mode();
            if !asked.is_some_and(|mode| wanted.has(mode)) {
                return Some(Unmet::Mode { asked, wanted });
            }
        }
        if let Some(wanted) = differ(conditions.groups(), query.groups()) {
            let asked = query.groups();
            return Some(Unmet::Groups { asked, wanted });
        }
        if let Some(wanted) = differ(conditions.profile_groups(), query.profile_groups()) {
            let asked = query.profile_groups();
            return Some(Unmet::ProfileGroups { asked, wanted });
        }
        let asked = query.at();
        let wanted = conditions.time()?;
        (!wanted.contains(asked)).then_some(Unmet::Time { asked, wanted })
    }
}

/// One line a rule, then what came of it.
impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let summary = self.summary();
        for step in &summary.shown {
            if step.unmet.is_none() && summary.left_out > 0 {
                writeln!(f, "rules not shown: {}", summary.left_out)?;
            }
            write!(f, "{step}")?;
            if step.unmet.is_some() {
                writeln!(f)?;
            }
        }
        match summary.decided_by {
            Some(_) if summary.not_asked == 0 => Ok(()),
            Some(_) => write!(f, "\nrules after it, not asked: {}", summary.not_asked),
            None => {
                if summary.left_out > 0 {
                    writeln!(f, "rules not shown: {}", summary.left_out)?;
                }
                f.write_str("no rule matches: deny")
            }
        }
    }
}

/// ``rule 3 `prod`: the user is `bob`, the rule is for `alice` ``.
impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, effect) = (self.rule.name(), self.rule.effect());
        write!(f, "rule {} `{name}`: ", self.index)?;
        match &self.unmet {
            Some(unmet) => unmet.fmt(f),
            None => write!(f, "matches and decides: {effect}"),
        }
    }
}

/// What the query has, and what the rule is for; long lists are shortened.
impl fmt::Display for Unmet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Unmet::Profile { asked, wanted } => {
                let wanted = Listed(wanted);
                write!(f, "the profile is `{asked}`, the rule is for {wanted}")
            }
            Unmet::User { asked, wanted } => {
                let wanted = Listed(wanted);
                write!(f, "the user is `{asked}`, the rule is for {wanted}")
            }
            Unmet::Mode { asked, wanted } => {
                match asked {
                    Some(mode) => write!(f, "the mode is {mode}")?,
                    None => f.write_str("no mode is given")?,
                }
                write!(f, ", the rule is for {wanted}")
            }
            Unmet::Groups { asked, wanted } => membership(f, "user", asked, wanted),
            Unmet::ProfileGroups { asked, wanted } => membership(f, "profile", asked, wanted),
            Unmet::Time { asked, wanted } => {
                let utc = asked.to_rfc3339_opts(SecondsFormat::AutoSi, true);
                let local = asked.with_timezone(&wanted.zone()).format("%A %H:%M");
                write!(f, "it is {utc}, locally {local}, the rule is for {wanted}")
            }
        }
    }
}

fn membership(
    f: &mut fmt::Formatter<'_>,
    who: &str,
    asked: &[Group],
    wanted: &[Group],
) -> fmt::Result {
    let wanted = Listed(wanted);
    if asked.is_empty() {
        return write!(f, "the {who} is in no group, the rule is for {wanted}");
    }
    let asked = Listed(asked);
    write!(f, "the {who} is in {asked}, the rule is for {wanted}")
}

impl Serialize for Explanation<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let summary = self.summary();
        let mut object = serializer.serialize_struct("Explanation", 5)?;
        object.serialize_field("decided_by", &summary.decided_by)?;
        object.serialize_field("asked", &summary.asked)?;
        object.serialize_field("not_asked", &summary.not_asked)?;
        object.serialize_field("left_out", &summary.left_out)?;
        object.serialize_field("rules", &summary.shown)?;
        object.end()
    }
}

/// One flat object: `index`, `name`, and either `matched` with the effect, or `failed` with the
/// field, `query` with the query's value and `rule` with the rule's (lists to 16 names, the rest
/// counted in `query_more` and `rule_more`).
impl Serialize for Step<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("index", &self.index)?;
        object.serialize_entry("name", self.rule.name())?;
        let Some(unmet) = &self.unmet else {
            object.serialize_entry("matched", &self.rule.effect())?;
            return object.end();
        };
        object.serialize_entry("failed", unmet.field())?;
        match *unmet {
            Unmet::Profile { asked, wanted } => {
                object.serialize_entry("query", asked)?;
                list(&mut object, "rule", "rule_more", wanted)?;
            }
            Unmet::User { asked, wanted } => {
                object.serialize_entry("query", asked)?;
                list(&mut object, "rule", "rule_more", wanted)?;
            }
            Unmet::Mode { asked, wanted } => {
                object.serialize_entry("query", &asked)?;
                object.serialize_entry("rule", &wanted)?;
            }
            Unmet::Groups { asked, wanted } | Unmet::ProfileGroups { asked, wanted } => {
                list(&mut object, "query", "query_more", asked)?;
                list(&mut object, "rule", "rule_more", wanted)?;
            }
            Unmet::Time { asked, wanted } => {
                object.serialize_entry("query", &asked)?;
                object.serialize_entry("rule", &format_args!("{wanted}"))?;
            }
        }
        object.end()
    }
}

fn list<M: SerializeMap, T: fmt::Display>(
    object: &mut M,
    field: &'static str,
    more: &'static str,
    names: &[T],
) -> Result<(), M::Error> {
    let names = Listed(names);
    object.serialize_entry(field, &names.logged())?;
    match names.left_out() {
        0 => Ok(()),
        count => object.serialize_entry(more, &count),
    }
}
