//! What changes for whom when one policy takes the place of another.
//!
//! - Two policies mean the same if they answer every query alike: verdict, kind of denial, longest
//!   lifetime, session table. Names of rules, reasons and order do not matter where they change
//!   no answer.
//! - Every [`Change`] has a witness, and both policies have been asked.
//! - Within one time zone the changes are exact: together they hold every query that is answered
//!   otherwise, and no other. Across zones a change may be missed if it shows on no day within two
//!   years, and may be told too widely; its witness is right.
//! - The work is bounded; [`Difference::is_complete`] says whether it sufficed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::names::{Group, Profile, User};
use countersign_core::window::Tz;
use serde::Serialize;

use crate::decision::{Decision, Denial, OwnedDenial, Verdict, serialize_length};
use crate::policy::Policy;
use crate::query::Query;
use crate::space::{Ways, Week, minute_of_week};

mod search;
mod shown;

impl Policy {
    /// Says who gains and who loses access to what, and under which condition, if `new` takes the
    /// place of this policy. Empty if both mean the same.
    ///
    /// Gains come first, then losses, then other changes.
    ///
    /// ```
    /// use countersign_policy::{Direction, Policy};
    ///
    /// let old: Policy = r#"{"version": "1", "rules": [
    ///     {"name": "dev", "effect": "allow", "conditions": {"profiles": ["dev"]}}
    /// ]}"#.parse()?;
    /// let new: Policy = r#"{"version": "1", "rules": [
    ///     {"name": "not bob", "effect": "deny", "conditions": {"users": ["bob"]}},
    ///     {"name": "dev", "effect": "allow", "conditions": {"profiles": ["dev", "test"]}}
    /// ]}"#.parse()?;
    /// let difference = old.diff(&new);
    /// let told: Vec<String> = difference.changes().iter().map(|change| change.to_string()).collect();
    /// assert_eq!(told, [
    ///     "gains: anyone but `bob` for `test`: deny, no matching rule -> allow",
    ///     "loses: `bob` for `dev`: allow -> deny",
    ///     "changes: `bob` for any profile but `dev`: deny, no matching rule -> deny",
    /// ]);
    /// let lost = &difference.changes()[1];
    /// assert_eq!(lost.direction, Direction::Loses);
    /// assert!(old.decide(&lost.witness).is_allowed() && !new.decide(&lost.witness).is_allowed());
    /// assert!(old.diff(&old).is_empty());
    /// # Ok::<(), countersign_policy::DocumentError>(())
    /// ```
    pub fn diff(&self, new: &Policy) -> Difference {
        search::diff(self, new, search::BOUNDS)
    }
}

/// What [`Policy::diff`] found. Shown, one line a change; serialised, one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    changes: Vec<Change>,
    complete: bool,
}

impl Difference {
    /// The changes: gains, losses, others.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Whether these are all changes. If not, the policies differ in too many ways for the work
    /// that is done, and what is said is right but not all.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether both policies mean the same, for certain within one time zone.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.complete
    }
}

/// What changes for some people, profiles, times and ways of asking: all of them together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Whether access is gained or lost.
    pub direction: Direction,
    /// For whom.
    pub who: Subjects<User>,
    /// To what.
    pub what: Subjects<Profile>,
    /// When: at each of these at once; always if none.
    pub times: Vec<LocalTimes>,
    /// How it is asked for.
    pub ways: Ways,
    /// What the old policy answers.
    pub before: Outcome,
    /// What the new policy answers.
    pub after: Outcome,
    /// A query for which it is so.
    pub witness: Query,
}

impl Change {
    /// Whether it is a change for this query.
    pub fn covers(&self, query: &Query) -> bool {
        self.who.cover(query.user(), query.groups())
            && self.what.cover(query.profile(), query.profile_groups())
            && self.ways.has(query.mode(), query.session_table().is_some())
            && self.times.iter().all(|times| times.contains(query.at()))
    }
}

/// Whether a [`Change`] gives or takes access. Allow is more than an approval required, and that is
/// more than deny.
///
/// ```
/// use countersign_policy::Direction;
///
/// assert_eq!(Direction::Gains.to_string(), "gains");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// There is more access than before.
    Gains,
    /// There is less access than before.
    Loses,
    /// The verdict stays; its terms or the kind of denial change.
    Changes,
}

impl Direction {
    fn of(before: &Outcome, after: &Outcome) -> Self {
        let access = |outcome: &Outcome| match outcome.verdict {
            Verdict::Deny => 0,
            Verdict::RequireApproval => 1,
            Verdict::Allow => 2,
        };
        match access(after).cmp(&access(before)) {
            std::cmp::Ordering::Greater => Direction::Gains,
            std::cmp::Ordering::Less => Direction::Loses,
            std::cmp::Ordering::Equal => Direction::Changes,
        }
    }
}

/// People or profiles, by name and by group.
///
/// ```
/// use countersign_policy::{Group, NameSet, User, Subjects};
///
/// let group = |name| Group::new(name);
/// let who = Subjects {
///     names: NameSet::AllBut(vec![User::new("bob")?]),
///     in_groups: vec![vec![group("leads")?, group("core")?], vec![group("night")?]],
///     not_in_groups: vec![group("trainees")?],
/// };
/// let told = "anyone but `bob`, in one of `leads`, `core`, in `night`, not in `trainees`";
/// assert_eq!(who.to_string(), told);
/// assert!(who.cover(&User::new("alice")?, &[group("night")?, group("core")?]));
/// assert!(!who.cover(&User::new("alice")?, &[group("core")?]));
/// # Ok::<(), countersign_policy::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subjects<T> {
    /// The names.
    pub names: NameSet<T>,
    /// They are in one group of each of these lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub in_groups: Vec<Vec<Group>>,
    /// They are in none of these groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_in_groups: Vec<Group>,
}

impl<T: PartialEq> Subjects<T> {
    /// Whether somebody or something with this name, in these groups, is among them.
    pub fn cover(&self, name: &T, groups: &[Group]) -> bool {
        let in_one = |list: &Vec<Group>| groups.iter().any(|group| list.contains(group));
        let named = match &self.names {
            NameSet::Only(names) => names.contains(name),
            NameSet::AllBut(names) => !names.contains(name),
        };
        named && self.in_groups.iter().all(in_one) && !in_one(&self.not_in_groups)
    }
}

/// Names that are listed, or all others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NameSet<T> {
    /// These names.
    Only(Vec<T>),
    /// Every name but these; every name if there are none.
    AllBut(Vec<T>),
}

/// Minutes of the week on the wall clock of one zone. Shown by days and hours.
///
/// ```
/// use countersign_policy::Policy;
///
/// let policy = |end: &str| -> Result<Policy, _> {
///     format!(r#"{{"version": "1", "rules": [{{"name": "r", "effect": "allow", "conditions": {{"time":
///         {{"days": ["friday"], "hours": {{"start": "22:00", "end": "{end}"}}}}}}}}]}}"#).parse()
/// };
/// let difference = policy("23:00")?.diff(&policy("06:00")?);
/// let times = &difference.changes()[0].times[0];
/// assert_eq!(times.to_string(), "friday 23:00-24:00; saturday 00:00-06:00 UTC");
/// assert!(times.contains("2026-03-07T05:59:59Z".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalTimes {
    zone: Tz,
    week: Week,
}

impl LocalTimes {
    /// The zone.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// Whether the zone's wall clock shows one of the minutes at `at`.
    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        let local = at.with_timezone(&self.zone).naive_local();
        self.week.has(minute_of_week(local))
    }
}

/// What an answer means, whichever rule gives it.
///
/// ```
/// use countersign_policy::{Outcome, User, Policy, Profile, Query, Verdict};
///
/// let policy: Policy = r#"{"version": "1", "rules": [
///     {"name": "prod", "effect": "require_approval", "max_server_duration": "1h",
///      "conditions": {"profiles": ["prod"]}}
/// ]}"#.parse()?;
/// let query = Query::new(User::new("bob")?, Profile::new("prod")?, "2026-03-02T09:00:00Z".parse()?);
/// let outcome = Outcome::of(&policy.decide(&query));
/// assert_eq!(outcome.verdict, Verdict::RequireApproval);
/// assert_eq!(outcome.to_string(), "approval required, for at most 1h");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Outcome {
    /// Allow, deny or require approval.
    pub verdict: Verdict,
    /// Why access is denied; none unless it is.
    pub denial: Option<OwnedDenial>,
    /// Whether access is denied for want of session tracking.
    pub requires_session_tracking: bool,
    /// The rule's limit of a credential's lifetime; none where no grant gives access.
    #[serde(serialize_with = "serialize_length")]
    pub max_duration: Option<Duration>,
    /// The table in which the session is to be tracked; none where nothing gives access.
    pub session_table: Option<Arc<str>>,
}

impl Outcome {
    /// What a decision means.
    pub fn of(decision: &Decision<'_>) -> Self {
        let (verdict, denial) = match decision {
            Decision::Allow(_) => (Verdict::Allow, None),
            Decision::RequireApproval(_) => (Verdict::RequireApproval, None),
            Decision::Deny(deny) => (Verdict::Deny, Some(deny.why)),
        };
        // A limit counts wherever access is or may yet be given: by an approval, by an emergency.
        let limited = matches!(denial, None | Some(Denial::Rule { hard: false, .. }));
        let tracked = !matches!(denial, Some(Denial::Rule { hard: true, .. }));
        let rule = decision.rule();
        Self {
            verdict,
            denial: denial.map(OwnedDenial::from),
            requires_session_tracking: decision.requires_session_tracking(),
            max_duration: rule
                .filter(|_| limited)
                .and_then(|rule| rule.max_server_duration),
            session_table: rule
                .filter(|_| tracked)
                .and_then(|rule| rule.session_table.map(Arc::from)),
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Gains => "gains",
            Direction::Loses => "loses",
            Direction::Changes => "changes",
        })
    }
}
