//! Rules, compiled: what a rule of a document means, with everything resolved once.
//!
//! Which rule decides is [`crate::policy`]'s business; what the decision then is, is
//! [`crate::decision`]'s. Here is whether one rule matches.
//!
//! What always holds of a [`Rule`]:
//!
//! - It has a name and at least one condition; no list in it is empty.
//! - Only a deny rule is hard.
//! - Matching parses nothing, allocates nothing and cannot fail.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use countersign_core::names::{Group, NameError, Profile, User, check_name};
use countersign_core::window::duration::DurationText;
use countersign_core::window::{Window, WindowDocument};
use serde::{Serialize, Serializer};

use crate::document::{ConditionsDocument, RuleDocument};
use crate::error::{Problem, RuleError};
use crate::names::{Names, Set, name_in};
use crate::query::Query;
use crate::vocabulary::{Effect, MAX_REASON_CHARACTERS, Mode};

/// One rule of a [`Policy`](crate::Policy).
///
/// ```
/// use countersign_policy::{Effect, Policy};
///
/// let policy: Policy = r#"{"version": "1", "rules": [
///     {"name": "prod", "effect": "require_approval", "conditions": {"profiles": ["prod"]}}
/// ]}"#.parse()?;
/// let rule = &policy.rules()[0];
/// assert_eq!((rule.name(), rule.effect()), ("prod", Effect::RequireApproval));
/// # Ok::<(), countersign_policy::DocumentError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    name: Box<str>,
    effect: Effect,
    hard: bool,
    conditions: Conditions,
    reason: Option<Box<str>>,
    max_server_duration: Option<Duration>,
    session_table: Option<Box<str>>,
}

impl Rule {
    /// The rule's name, unlike every other in its policy.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the rule does when it matches.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Whether not even an emergency overrides the rule's denial; false unless it is a deny rule.
    pub fn is_hard(&self) -> bool {
        self.hard
    }

    /// When the rule matches.
    pub fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// What a user is told.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The longest that a credential given under this rule may live, in whole seconds.
    pub fn max_server_duration(&self) -> Option<Duration> {
        self.max_server_duration
    }

    /// The table in which the host is to track the session. Never empty.
    pub fn session_table(&self) -> Option<&str> {
        self.session_table.as_deref()
    }

    /// Whether every condition of the rule holds for the query.
    pub fn matches(&self, query: &Query) -> bool {
        self.conditions.hold(query)
    }

    /// Checks and compiles the rule at `index` of a document, whose names so far are `names`.
    pub(crate) fn compile(
        index: usize,
        document: RuleDocument,
        names: &mut Names,
    ) -> Result<Self, RuleError> {
        let RuleDocument {
            name,
            effect,
            conditions,
            reason,
            hard,
            max_server_duration,
            session_table,
        } = document;
        let compile = || {
            check_rule_name(&name)?;
            let effect: Effect = effect.parse().map_err(in_field("effect"))?;
            let conditions = Conditions::compile(conditions, names)?;
            check_reason(reason.as_deref())?;
            check_hard(hard, effect)?;
            check_session_table(session_table.as_deref())?;
            let max_server_duration = max_server_duration
                .map(|text| text.parse().map_err(in_field("max_server_duration")))
                .transpose()?;
            Ok(Self {
                name: name.as_str().into(),
                effect,
                hard: hard == Some(true),
                conditions,
                reason: reason.map(Into::into),
                max_server_duration,
                session_table: session_table.map(Into::into),
            })
        };
        compile().map_err(|fault: Fault| RuleError {
            index,
            name: name.clone(),
            field: fault.field,
            problem: fault.problem,
        })
    }

    /// The rule as a document says it, in its canonical form.
    pub(crate) fn to_document(&self) -> RuleDocument {
        RuleDocument {
            name: self.name.to_string(),
            effect: self.effect.as_str().to_owned(),
            conditions: self.conditions.to_document(),
            reason: self.reason().map(str::to_owned),
            hard: self.hard.then_some(true),
            max_server_duration: self.max_server_duration.map(DurationText::of),
            session_table: self.session_table().map(str::to_owned),
        }
    }
}

/// The conditions of a [`Rule`]. All that are given must hold; a list holds if one of its entries
/// does.
///
/// ```
/// use countersign_policy::{User, Policy};
///
/// let policy: Policy = r#"{"version": "1", "rules": [
///     {"name": "readers", "effect": "allow", "conditions": {"users": ["alice", "bob"]}}
/// ]}"#.parse()?;
/// let conditions = policy.rules()[0].conditions();
/// assert_eq!(conditions.users().map(<[User]>::len), Some(2));
/// assert_eq!(conditions.profiles(), None, "every profile");
/// # Ok::<(), countersign_policy::DocumentError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditions {
    users: Option<Box<[User]>>,
    groups: Option<Box<[Group]>>,
    profiles: Option<Box<[Profile]>>,
    profile_groups: Option<Box<[Group]>>,
    time: Option<Window>,
    modes: Option<Modes>,
}

impl Conditions {
    /// The people it is for; everyone if none.
    pub fn users(&self) -> Option<&[User]> {
        self.users.as_deref()
    }

    /// The groups of which a user must be in one; none if that does not matter.
    pub fn groups(&self) -> Option<&[Group]> {
        self.groups.as_deref()
    }

    /// The profiles it is for; every profile if none.
    pub fn profiles(&self) -> Option<&[Profile]> {
        self.profiles.as_deref()
    }

    /// The groups of which a profile must be in one; none if that does not matter.
    pub fn profile_groups(&self) -> Option<&[Group]> {
        self.profile_groups.as_deref()
    }

    /// When it applies; always if none.
    pub fn time(&self) -> Option<&Window> {
        self.time.as_ref()
    }

    /// The modes it is for; every mode, and queries without one, if none.
    pub fn modes(&self) -> Option<Modes> {
        self.modes
    }

    /// Whether it is for queries of this mode. A rule with modes is not for a query without.
    pub fn allow_mode(&self, mode: Option<Mode>) -> bool {
        self.modes
            .is_none_or(|modes| mode.is_some_and(|mode| modes.has(mode)))
    }

    /// Whether the rule asks for nothing but its names; see [`Conditions::hold_beyond_names`].
    pub(crate) fn ask_names_only(&self) -> bool {
        self.modes.is_none()
            && self.time.is_none()
            && !(self.users.is_some() && self.groups.is_some())
            && !(self.profiles.is_some() && self.profile_groups.is_some())
    }

    /// Whether the conditions hold of a query that the rule's names are known to include: its
    /// users, or if it has none its groups; its profiles, or if it has none their groups.
    pub(crate) fn hold_beyond_names(&self, query: &Query) -> bool {
        self.allow_mode(query.mode())
            && (self.users.is_none() || share(self.groups(), query.groups()))
            && (self.profiles.is_none() || share(self.profile_groups(), query.profile_groups()))
            && self.time().is_none_or(|window| window.contains(query.at()))
    }

    /// Whether the profile and the user, as far as they are named, are the query's.
    pub(crate) fn hold_by_name(&self, query: &Query) -> bool {
        fn includes<T: PartialEq>(list: Option<&[T]>, value: &T) -> bool {
            list.is_none_or(|list| list.contains(value))
        }
        includes(self.profiles(), query.profile()) && includes(self.users(), query.user())
    }

    fn hold(&self, query: &Query) -> bool {
        self.hold_by_name(query)
            && self.allow_mode(query.mode())
            && share(self.groups(), query.groups())
            && share(self.profile_groups(), query.profile_groups())
            && self.time().is_none_or(|window| window.contains(query.at()))
    }

    fn compile(document: ConditionsDocument, known: &mut Names) -> Result<Self, Fault> {
        if document == ConditionsDocument::default() {
            return Err(Fault::new("conditions", Problem::NoConditions));
        }
        let ConditionsDocument {
            users,
            groups,
            profiles,
            profile_groups,
            time,
            mode,
        } = document;
        Ok(Self {
            users: compile_names("conditions.users", users, &mut known.people)?,
            groups: compile_names("conditions.groups", groups, &mut known.groups)?,
            profiles: compile_names("conditions.profiles", profiles, &mut known.profiles)?,
            profile_groups: compile_names(
                "conditions.profile_groups",
                profile_groups,
                &mut known.profile_groups,
            )?,
            time: time.map(|window| compile_window(&window)).transpose()?,
            modes: mode.map(|modes| Modes::compile(&modes)).transpose()?,
        })
    }

    fn to_document(&self) -> ConditionsDocument {
        fn texts<T: ToString>(names: Option<&[T]>) -> Option<Vec<String>> {
            Some(names?.iter().map(T::to_string).collect())
        }
        ConditionsDocument {
            users: texts(self.users()),
            groups: texts(self.groups()),
            profiles: texts(self.profiles()),
            profile_groups: texts(self.profile_groups()),
            time: self.time().map(Window::to_document),
            mode: self.modes.map(Modes::to_document),
        }
    }
}

fn share(list: Option<&[Group]>, groups: &[Group]) -> bool {
    list.is_none_or(|list| groups.iter().any(|group| list.contains(group)))
}

/// A set of modes, not empty. Shown and serialised in the order of [`Mode::ALL`].
///
/// ```
/// use countersign_policy::{Mode, Policy};
///
/// let policy: Policy = r#"{"version": "1", "rules": [
///     {"name": "r", "effect": "allow", "conditions": {"mode": ["cli", "server"]}}
/// ]}"#.parse()?;
/// let modes = policy.rules()[0].conditions().modes().ok_or("two")?;
/// assert!(modes.has(Mode::Cli) && !modes.has(Mode::CredentialProcess));
/// assert_eq!(modes.to_string(), "server, cli");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Modes(u8);

impl Modes {
    fn bit(mode: Mode) -> u8 {
        1 << mode as u8
    }

    /// Whether `mode` is among them.
    pub fn has(self, mode: Mode) -> bool {
        self.0 & Self::bit(mode) != 0
    }

    /// The modes, in the order of [`Mode::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Mode> {
        Mode::ALL.into_iter().filter(move |mode| self.has(*mode))
    }

    fn compile(texts: &[String]) -> Result<Self, Fault> {
        let mut modes = Self(0);
        for (index, text) in texts.iter().enumerate() {
            let mode: Mode = text
                .parse()
                .map_err(in_field(format!("conditions.mode[{index}]")))?;
            modes.0 |= Self::bit(mode);
        }
        if modes == Self(0) {
            return Err(Fault::new("conditions.mode", Problem::EmptyList));
        }
        Ok(modes)
    }

    fn to_document(self) -> Vec<String> {
        self.iter().map(|mode| mode.as_str().to_owned()).collect()
    }
}

impl fmt::Display for Modes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, mode) in self.iter().enumerate() {
            let separator = if place == 0 { "" } else { ", " };
            write!(f, "{separator}{mode}")?;
        }
        Ok(())
    }
}

impl Serialize for Modes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// A field of a rule and what is wrong with it.
struct Fault {
    field: String,
    problem: Problem,
}

impl Fault {
    fn new(field: impl Into<String>, problem: impl Into<Problem>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

fn in_field<E: Into<Problem>>(field: impl Into<String>) -> impl FnOnce(E) -> Fault {
    move |problem| Fault::new(field, problem)
}

fn check_rule_name(name: &str) -> Result<(), Fault> {
    check_name(name).map_err(|error| match error {
        NameError::Empty => Fault::new("name", Problem::EmptyName),
        error => Fault::new("name", error),
    })
}

fn check_reason(reason: Option<&str>) -> Result<(), Fault> {
    let characters = reason.map_or(0, |reason| reason.chars().count());
    if characters > MAX_REASON_CHARACTERS {
        return Err(Fault::new("reason", Problem::LongReason { characters }));
    }
    Ok(())
}

fn check_hard(hard: Option<bool>, effect: Effect) -> Result<(), Fault> {
    if hard.is_some() && effect != Effect::Deny {
        return Err(Fault::new("hard", Problem::HardOnNonDeny { effect }));
    }
    Ok(())
}

fn check_session_table(table: Option<&str>) -> Result<(), Fault> {
    match table.map(check_name) {
        None | Some(Ok(())) => Ok(()),
        Some(Err(NameError::Empty)) => Err(Fault::new("session_table", Problem::EmptySessionTable)),
        Some(Err(error)) => Err(Fault::new("session_table", error)),
    }
}

fn compile_names<N>(
    field: &str,
    names: Option<Vec<String>>,
    known: &mut Set<N>,
) -> Result<Option<Box<[N]>>, Fault>
where
    N: TryFrom<String, Error = NameError> + Borrow<str> + Hash + Eq + Clone,
{
    let Some(names) = names else {
        return Ok(None);
    };
    if names.is_empty() {
        return Err(Fault::new(field, Problem::EmptyList));
    }
    let names = names.into_iter().enumerate();
    let names = names.map(|(index, name)| {
        name_in(known, name).map_err(|error| Fault::new(format!("{field}[{index}]"), error))
    });
    names.collect::<Result<_, _>>().map(Some)
}

fn compile_window(document: &WindowDocument) -> Result<Window, Fault> {
    Window::try_from(document).map_err(|error| {
        let field = match error.field() {
            "" => "conditions.time".to_owned(),
            field => format!("conditions.time.{field}"),
        };
        Fault::new(field, error)
    })
}
