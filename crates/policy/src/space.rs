//! The space of all queries, cut up by what rules can tell apart.
//!
//! A query is a point with six coordinates: user, the user's groups, profile, the profile's
//! groups, moment, and way of asking (mode, tracked or not). A [`Region`] is a product of six sets.
//! What a rule matches is a region, and what is left of a region when a rule has taken its part is
//! a few regions.
//!
//! - **People and profiles** are sets of names out of more than any policy has: "anyone but
//!   `alice`" is never empty.
//! - **Groups** are sets of sets: "in one of these, in one of those, in none of that". To find out
//!   whether a region is reached at all it is enough to look at people with one group for each
//!   clause. For a rule that matches a user in fewer groups also matches one in more, so of two
//!   people who meet the clauses, the one in fewer groups is taken by fewer other rules.
//! - **Moments** are minutes of the week on the wall clock of each zone that a region names; a
//!   window depends on nothing else. Every minute of the week comes in most weeks, so within one
//!   zone a region that names a minute holds a real moment. Across zones it need not.
//!
//! Nothing here speaks of effects. What is concluded here is put before the policy itself, with a
//! witness, before anybody hears of it.

use std::collections::HashMap;
use std::hash::Hash;

use chrono::{
    DateTime, Datelike, Days, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc,
};
use countersign_core::names::{Group, NameError, Profile, User};
use countersign_core::window::{Tz, Window};

use crate::query::Query;
use crate::rule::Rule;

mod cover;
mod crossing;
mod sets;
mod ways;

pub(crate) use cover::{Effort, Exhausted, Wanted, outside};
pub(crate) use crossing::Crossing;
pub(crate) use sets::{Id, Members, Names, Times, Week, ids};
pub use ways::Ways;

/// A set of queries: all that have each coordinate in its set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Region {
    pub(crate) people: Names,
    pub(crate) groups: Members,
    pub(crate) profiles: Names,
    pub(crate) profile_groups: Members,
    pub(crate) ways: Ways,
    pub(crate) times: Times,
}

impl Region {
    pub(crate) fn everything() -> Self {
        Self {
            people: Names::all(),
            groups: Members::any(),
            profiles: Names::all(),
            profile_groups: Members::any(),
            ways: Ways::ALL,
            times: Times::always(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.people.is_empty()
            || self.profiles.is_empty()
            || self.ways.is_empty()
            || self.groups.is_empty()
            || self.profile_groups.is_empty()
            || self.times.is_empty()
    }

    pub(crate) fn and(&self, other: &Self) -> Self {
        Self {
            people: self.people.and(&other.people),
            groups: self.groups.and(&other.groups),
            profiles: self.profiles.and(&other.profiles),
            profile_groups: self.profile_groups.and(&other.profile_groups),
            ways: self.ways.and(other.ways),
            times: self.times.and(&other.times),
        }
    }

    /// Whether a rule's region may share a query with this one.
    pub(crate) fn meets(&self, rule: &Region) -> bool {
        let clauses = |members: &Members, rule: &Members| {
            rule.clauses().iter().all(|groups| members.meets(groups))
        };
        !self.ways.and(rule.ways).is_empty()
            && self.people.meets(&rule.people)
            && self.profiles.meets(&rule.profiles)
            && clauses(&self.groups, &rule.groups)
            && clauses(&self.profile_groups, &rule.profile_groups)
            && self.times.meets(&rule.times)
    }

    /// Whether a rule that meets the region takes something that cannot be had without its groups.
    fn is_hindered_by(&self, rule: &Region) -> bool {
        let clauses = |members: &Members, rule: &Members| {
            rule.clauses().iter().all(|groups| members.may_need(groups))
        };
        clauses(&self.groups, &rule.groups) && clauses(&self.profile_groups, &rule.profile_groups)
    }

    /// The part that a rule's region does not take, as regions none of which is empty. Those that
    /// differ by groups may overlap; the others do not.
    fn minus(&self, rule: &Region, parts: &mut Vec<Region>) {
        let mut add = |part: Region| {
            if !part.is_empty() {
                parts.push(part);
            }
        };
        let mut inside = self.clone();
        add(Region {
            people: inside.people.minus(&rule.people),
            ..inside.clone()
        });
        inside.people = inside.people.and(&rule.people);
        add(Region {
            profiles: inside.profiles.minus(&rule.profiles),
            ..inside.clone()
        });
        inside.profiles = inside.profiles.and(&rule.profiles);
        add(Region {
            ways: inside.ways.minus(rule.ways),
            ..inside.clone()
        });
        inside.ways = inside.ways.and(rule.ways);
        for (zone, week) in rule.times.zones() {
            add(Region {
                times: inside.times.without(*zone, week),
                ..inside.clone()
            });
        }
        inside.times = inside.times.and(&rule.times);
        for groups in rule.groups.clauses() {
            add(Region {
                groups: inside.groups.without(groups),
                ..inside.clone()
            });
        }
        for groups in rule.profile_groups.clauses() {
            add(Region {
                profile_groups: inside.profile_groups.without(groups),
                ..inside.clone()
            });
        }
    }

    /// Whether every query of this region is certainly in the other.
    pub(crate) fn within(&self, other: &Self) -> bool {
        self.ways.minus(other.ways).is_empty()
            && self.people.within(&other.people)
            && self.profiles.within(&other.profiles)
            && self.groups.within(&other.groups)
            && self.profile_groups.within(&other.profile_groups)
            && self.times.within(&other.times)
    }

    /// Both regions as one, if that is a region: if one is within the other or they differ in one
    /// coordinate that can be joined.
    pub(crate) fn join(&self, other: &Self) -> Option<Region> {
        if self.within(other) {
            return Some(other.clone());
        }
        if other.within(self) {
            return Some(self.clone());
        }
        let same = [
            self.people == other.people,
            self.profiles == other.profiles,
            self.ways == other.ways,
            self.times == other.times,
            self.groups == other.groups,
            self.profile_groups == other.profile_groups,
        ];
        let joined = match same {
            [false, true, true, true, true, true] => Region {
                people: self.people.or(&other.people),
                ..self.clone()
            },
            [true, false, true, true, true, true] => Region {
                profiles: self.profiles.or(&other.profiles),
                ..self.clone()
            },
            [true, true, false, true, true, true] => Region {
                ways: self.ways.or(other.ways),
                ..self.clone()
            },
            [true, true, true, false, true, true] => Region {
                times: self.times.or(&other.times)?,
                ..self.clone()
            },
            _ => return None,
        };
        Some(joined)
    }

    /// How many names it lists.
    pub(crate) fn listed(&self) -> usize {
        let times = 64 * self.times.zones().len();
        let groups = self.groups.listed() + self.profile_groups.listed();
        self.people.listed() + self.profiles.listed() + groups + times
    }

    /// What [`Space::query`] costs, in units of effort.
    pub(crate) fn cost_of_query(&self) -> usize {
        let zones = self.times.zones();
        if zones.len() < 2 {
            return 50 + 1_000 * zones.len();
        }
        let spans: usize = zones.iter().map(|(_, week)| week.spans().len()).sum();
        10 * zones.len() * spans * usize::try_from(SEARCHED_WEEKS).unwrap_or(usize::MAX)
    }

    /// What [`meets`](Region::meets) and [`within`](Region::within) cost, in units of effort.
    fn cost_to_compare(&self, rule: &Region) -> usize {
        let people = self.people.listed().min(rule.people.listed());
        let profiles = self.profiles.listed().min(rule.profiles.listed());
        (people + profiles) / 4
    }
}

/// The names and windows of some policies, numbered, so that their rules can be compared.
#[derive(Debug, Default)]
pub(crate) struct Space {
    people: Table<User>,
    profiles: Table<Profile>,
    groups: Table<Group>,
    weeks: HashMap<Window, Week>,
}

impl Space {
    /// What a rule matches.
    pub(crate) fn region(&mut self, rule: &Rule) -> Region {
        let conditions = rule.conditions();
        let mut members = |groups: Option<&[Group]>| match groups {
            None => Members::any(),
            Some(groups) => {
                Members::of_one(ids(groups.iter().map(|group| self.groups.number(group))))
            }
        };
        let groups = members(conditions.groups());
        let profile_groups = members(conditions.profile_groups());
        let times = match conditions.time() {
            None => Times::always(),
            Some(window) => {
                let week = self.weeks.entry(window.clone());
                let week = week.or_insert_with(|| Week::of_window(window));
                Times::of(window.zone(), week.clone())
            }
        };
        Region {
            people: self.people.names(conditions.users()),
            groups,
            profiles: self.profiles.names(conditions.profiles()),
            profile_groups,
            ways: Ways::of(|mode, _| conditions.allow_mode(mode)),
            times,
        }
    }

    /// A query of the region. None if the region is empty or no moment was found that suits all
    /// its zones.
    pub(crate) fn query(&self, region: &Region) -> Option<Query> {
        let user = self.people.pick(&region.people, "anyone-else", User::new)?;
        let profile = self
            .profiles
            .pick(&region.profiles, "any-other", Profile::new)?;
        let (mode, tracked) = region.ways.first()?;
        let query = Query::new(user, profile, moment(&region.times)?)
            .with_groups(self.members(&region.groups)?)
            .with_profile_groups(self.members(&region.profile_groups)?)
            .with_session_table(if tracked { "sessions" } else { "" });
        Some(match mode {
            Some(mode) => query.with_mode(mode),
            None => query,
        })
    }

    /// One group for each clause.
    fn members(&self, members: &Members) -> Option<Vec<Group>> {
        let mut groups: Vec<Group> = Vec::new();
        for clause in members.clauses() {
            let group = self.groups.name(*clause.first()?)?;
            if !groups.contains(group) {
                groups.push(group.clone());
            }
        }
        Some(groups)
    }

    pub(crate) fn people(&self, ids: &[Id]) -> Vec<User> {
        self.people.all(ids)
    }

    pub(crate) fn profiles(&self, ids: &[Id]) -> Vec<Profile> {
        self.profiles.all(ids)
    }

    pub(crate) fn groups(&self, ids: &[Id]) -> Vec<Group> {
        self.groups.all(ids)
    }
}

/// Names and their numbers.
#[derive(Debug)]
struct Table<T> {
    ids: HashMap<T, Id>,
    names: Vec<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            ids: HashMap::new(),
            names: Vec::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Table<T> {
    fn number(&mut self, name: &T) -> Id {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        // A document of at most 64 MiB has fewer names than this type has numbers.
        let id = Id::try_from(self.names.len()).unwrap_or(Id::MAX);
        self.ids.insert(name.clone(), id);
        self.names.push(name.clone());
        id
    }

    fn names(&mut self, list: Option<&[T]>) -> Names {
        match list {
            None => Names::all(),
            Some(list) => Names::Only(ids(list.iter().map(|name| self.number(name)))),
        }
    }

    fn name(&self, id: Id) -> Option<&T> {
        self.names.get(usize::try_from(id).ok()?)
    }

    fn all(&self, ids: &[Id]) -> Vec<T> {
        let names = ids.iter().filter_map(|id| self.name(*id));
        names.cloned().collect()
    }

    /// A name of the set; where that is not a listed one, one that no rule has.
    fn pick(
        &self,
        names: &Names,
        other: &str,
        new: impl Fn(String) -> Result<T, NameError>,
    ) -> Option<T> {
        match names {
            Names::Only(ids) => self.name(*ids.first()?).cloned(),
            Names::AllBut(_) => {
                let tries = 0..=self.names.len();
                let names = tries.map(|number| match number {
                    0 => other.to_owned(),
                    number => format!("{other}-{number}"),
                });
                let mut names = names.filter_map(|name| new(name).ok());
                names.find(|name| !self.ids.contains_key(name))
            }
        }
    }
}

/// How many weeks are searched for a moment: two years, so that zones that are now in and now out
/// of step with one another are seen in both ways.
const SEARCHED_WEEKS: u64 = 105;

/// A moment of the set, on or after Monday, 2 March 2026, wherever that is.
///
/// A stretch of moments that suit all zones begins where a stretch of one of them does, so looking
/// at these beginnings is enough. (A clock that is put forward or back may begin another; what
/// begins only there is not found.) Within one zone, the first week without such a change has
/// every minute.
fn moment(times: &Times) -> Option<DateTime<Utc>> {
    let monday = NaiveDate::from_ymd_opt(2026, 3, 2)?.and_hms_opt(0, 0, 0)?;
    if times.zones().is_empty() {
        return Some((monday + TimeDelta::hours(9)).and_utc());
    }
    let spans: Vec<(Tz, Vec<(usize, usize)>)> = times
        .zones()
        .iter()
        .map(|(zone, week)| (*zone, week.spans()))
        .collect();
    let suits = |at: &DateTime<Utc>| {
        let mut zones = times.zones().iter();
        zones.all(|(zone, week)| week.has(minute_of_week(at.with_timezone(zone).naive_local())))
    };
    (0..SEARCHED_WEEKS).find_map(|week| {
        let monday = monday.checked_add_days(Days::new(7 * week))?;
        let mut starts = spans.iter().flat_map(|(zone, spans)| {
            spans.iter().filter_map(move |(start, _)| {
                let minutes = TimeDelta::minutes(i64::try_from(*start).ok()?);
                let local = zone.from_local_datetime(&monday.checked_add_signed(minutes)?);
                local.earliest().map(|local| local.to_utc())
            })
        });
        starts.find(suits)
    })
}

/// The minute of the week that a wall clock shows; 0 is Monday's first.
pub(crate) fn minute_of_week(local: NaiveDateTime) -> usize {
    let day = local.weekday().num_days_from_monday();
    let minute = (day * 24 + local.hour()) * 60 + local.minute();
    usize::try_from(minute).unwrap_or(0)
}
