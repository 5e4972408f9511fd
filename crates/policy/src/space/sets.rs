//! The sets that each part of a query is taken from: names, memberships, moments of the week, ways
//! of asking.
//!
//! All are values: an operation gives a new set. What is large in them is shared, so that a copy
//! costs little.

use std::rc::Rc;
use std::sync::Arc;

use chrono::Weekday;
use countersign_core::window::{Tz, Window};

/// A name's number in a [`Space`](super::Space).
pub(crate) type Id = u32;

/// Sorted, without repetition.
type Ids = Rc<[Id]>;

fn meet(left: &[Id], right: &[Id]) -> bool {
    let (few, many) = if left.len() < right.len() {
        (left, right)
    } else {
        (right, left)
    };
    if few.first() > many.last() || few.last() < many.first() {
        return false;
    }
    let mut rest = many;
    few.iter().any(|id| {
        // Both are sorted: what is before this name is before all that follow it.
        let before = rest.partition_point(|other| other < id);
        rest = rest.get(before..).unwrap_or_default();
        rest.first() == Some(id)
    })
}

fn within(inner: &[Id], outer: &[Id]) -> bool {
    inner.len() <= outer.len()
        && (inner.first() >= outer.first() && inner.last() <= outer.last() || inner.is_empty())
        && inner.iter().all(|id| outer.binary_search(id).is_ok())
}

fn common(left: &Ids, right: &Ids) -> Ids {
    let (few, many) = if left.len() < right.len() {
        (left, right)
    } else {
        (right, left)
    };
    let both = |id: &Id| many.binary_search(id).is_ok();
    few.iter().copied().filter(both).collect()
}

fn without(left: &Ids, right: &Ids) -> Ids {
    if !meet(left, right) {
        return Rc::clone(left);
    }
    let kept = |id: &Id| right.binary_search(id).is_err();
    left.iter().copied().filter(kept).collect()
}

fn either(left: &Ids, right: &Ids) -> Ids {
    if within(right, left) {
        return Rc::clone(left);
    }
    ids(left.iter().chain(right.iter()).copied())
}

/// Sorts numbers and leaves out repetitions.
pub(crate) fn ids(ids: impl Iterator<Item = Id>) -> Ids {
    let mut ids: Vec<Id> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into()
}

/// A set of names, out of more than can be listed.
///
/// Invariant: `AllBut` is never empty, whatever it lists: there is always a name that no rule has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Names {
    Only(Ids),
    AllBut(Ids),
}

impl Names {
    pub(crate) fn all() -> Self {
        Names::AllBut(Rc::default())
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Names::Only(ids) if ids.is_empty())
    }

    pub(crate) fn and(&self, other: &Self) -> Self {
        match (self, other) {
            (Names::Only(left), Names::Only(right)) => Names::Only(common(left, right)),
            (Names::Only(ids), Names::AllBut(not)) | (Names::AllBut(not), Names::Only(ids)) => {
                Names::Only(without(ids, not))
            }
            (Names::AllBut(left), Names::AllBut(right)) => Names::AllBut(either(left, right)),
        }
    }

    pub(crate) fn minus(&self, other: &Self) -> Self {
        self.and(&other.complement())
    }

    pub(crate) fn or(&self, other: &Self) -> Self {
        self.complement().and(&other.complement()).complement()
    }

    fn complement(&self) -> Self {
        match self {
            Names::Only(ids) => Names::AllBut(Rc::clone(ids)),
            Names::AllBut(ids) => Names::Only(Rc::clone(ids)),
        }
    }

    pub(crate) fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Names::Only(left), Names::Only(right)) => meet(left, right),
            (Names::Only(ids), Names::AllBut(not)) | (Names::AllBut(not), Names::Only(ids)) => {
                !within(ids, not)
            }
            (Names::AllBut(_), Names::AllBut(_)) => true,
        }
    }

    pub(crate) fn within(&self, other: &Self) -> bool {
        match (self, other) {
            (Names::Only(inner), Names::Only(outer)) => within(inner, outer),
            (Names::Only(inner), Names::AllBut(not)) => !meet(inner, not),
            (Names::AllBut(_), Names::Only(_)) => false,
            (Names::AllBut(inner_not), Names::AllBut(outer_not)) => within(outer_not, inner_not),
        }
    }

    /// How many names are listed: what an operation costs.
    pub(crate) fn listed(&self) -> usize {
        let (Names::Only(ids) | Names::AllBut(ids)) = self;
        ids.len()
    }
}

/// A set of sets of groups: those with one of each clause's groups, and none of the forbidden.
///
/// Invariant: no clause holds a forbidden group, and no clause is within another; clauses are
/// sorted. So the set is empty exactly if a clause is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Members {
    clauses: Vec<Ids>,
    forbidden: Ids,
}

impl Members {
    pub(crate) fn any() -> Self {
        Self {
            clauses: Vec::new(),
            forbidden: Rc::default(),
        }
    }

    pub(crate) fn of_one(groups: Ids) -> Self {
        Self {
            clauses: vec![groups],
            forbidden: Rc::default(),
        }
    }

    pub(crate) fn clauses(&self) -> &[Ids] {
        &self.clauses
    }

    pub(crate) fn forbidden(&self) -> &[Id] {
        &self.forbidden
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.clauses.iter().any(|clause| clause.is_empty())
    }

    pub(crate) fn and(&self, other: &Self) -> Self {
        let forbidden = either(&self.forbidden, &other.forbidden);
        let mut both = Self {
            clauses: Vec::with_capacity(self.clauses.len() + other.clauses.len()),
            forbidden: Rc::clone(&forbidden),
        };
        for clause in self.clauses.iter().chain(&other.clauses) {
            both.demand(without(clause, &forbidden));
        }
        both
    }

    /// Those that lack all of these groups.
    pub(crate) fn without(&self, groups: &Ids) -> Self {
        let mut rest = Self {
            clauses: Vec::with_capacity(self.clauses.len()),
            forbidden: either(&self.forbidden, groups),
        };
        for clause in &self.clauses {
            rest.demand(without(clause, groups));
        }
        rest
    }

    fn demand(&mut self, clause: Ids) {
        if self.clauses.iter().any(|other| within(other, &clause)) {
            return;
        }
        self.clauses.retain(|other| !within(&clause, other));
        let place = self.clauses.partition_point(|other| *other < clause);
        self.clauses.insert(place, clause);
    }

    /// Whether some of them have one of these groups.
    pub(crate) fn meets(&self, groups: &Ids) -> bool {
        !within(groups, &self.forbidden)
    }

    /// Whether a clause names one of these groups. Without that, to be without these groups is
    /// nothing more to ask: whoever meets the clauses can leave the groups.
    pub(crate) fn may_need(&self, groups: &Ids) -> bool {
        self.clauses.iter().any(|clause| meet(clause, groups))
    }

    pub(crate) fn within(&self, other: &Self) -> bool {
        let stronger = |clause: &Ids| self.clauses.iter().any(|own| within(own, clause));
        within(&other.forbidden, &self.forbidden) && other.clauses.iter().all(stronger)
    }

    pub(crate) fn listed(&self) -> usize {
        self.clauses.iter().map(|ids| ids.len()).sum::<usize>() + self.forbidden.len()
    }
}

const MINUTES_A_DAY: usize = 24 * 60;
const MINUTES_A_WEEK: usize = 7 * MINUTES_A_DAY;
const WORDS: usize = MINUTES_A_WEEK.div_ceil(64);
const FULL: [u64; WORDS] = {
    let mut words = [u64::MAX; WORDS];
    words[WORDS - 1] = (1 << (MINUTES_A_WEEK % 64)) - 1;
    words
};

/// A set of minutes of the week on a wall clock. Minute 0 is Monday's first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Week(Arc<[u64; WORDS]>);

impl Week {
    pub(crate) fn full() -> Self {
        Self(Arc::new(FULL))
    }

    pub(crate) fn of_window(window: &Window) -> Self {
        Self::of(|minute| {
            let day = u8::try_from(minute / MINUTES_A_DAY).ok();
            let day = day.and_then(|day| Weekday::try_from(day).ok());
            let minute = u16::try_from(minute % MINUTES_A_DAY).ok();
            day.zip(minute)
                .is_some_and(|(day, minute)| window.contains_local(day, minute))
        })
    }

    fn of(has: impl Fn(usize) -> bool) -> Self {
        let mut words = [0; WORDS];
        for (number, word) in words.iter_mut().enumerate() {
            for bit in 0..64 {
                let minute = number * 64 + bit;
                if minute < MINUTES_A_WEEK && has(minute) {
                    *word |= 1 << bit;
                }
            }
        }
        Self(Arc::new(words))
    }

    pub(crate) fn has(&self, minute: usize) -> bool {
        let word = self.0.get(minute / 64).copied().unwrap_or(0);
        word & (1 << (minute % 64)) != 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn is_full(&self) -> bool {
        *self.0 == FULL
    }

    pub(crate) fn and(&self, other: &Self) -> Self {
        self.combine(other, |left, right| left & right)
    }

    pub(crate) fn or(&self, other: &Self) -> Self {
        self.combine(other, |left, right| left | right)
    }

    pub(crate) fn minus(&self, other: &Self) -> Self {
        self.combine(other, |left, right| left & !right)
    }

    fn combine(&self, other: &Self, of: impl Fn(u64, u64) -> u64) -> Self {
        let mut words = *self.0;
        for (word, other) in words.iter_mut().zip(other.0.iter()) {
            *word = of(*word, *other);
        }
        Self(Arc::new(words))
    }

    pub(crate) fn meets(&self, other: &Self) -> bool {
        let mut words = self.0.iter().zip(other.0.iter());
        words.any(|(left, right)| left & right != 0)
    }

    pub(crate) fn within(&self, other: &Self) -> bool {
        let mut words = self.0.iter().zip(other.0.iter());
        words.all(|(inner, outer)| inner & !outer == 0)
    }

    /// The stretches of minutes, each with its first minute and the first after it.
    pub(crate) fn spans(&self) -> Vec<(usize, usize)> {
        let mut spans: Vec<(usize, usize)> = Vec::new();
        for minute in (0..MINUTES_A_WEEK).filter(|minute| self.has(*minute)) {
            match spans.last_mut() {
                Some((_, end)) if *end == minute => *end = minute + 1,
                _ => spans.push((minute, minute + 1)),
            }
        }
        spans
    }
}

/// A set of moments: those at which each of these zones' wall clocks shows one of its minutes.
///
/// Invariant: each zone is there once, in the order of their names, and none with a full week.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Times(Vec<(Tz, Week)>);

impl Times {
    pub(crate) fn always() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn of(zone: Tz, week: Week) -> Self {
        Self::always().set(zone, week)
    }

    pub(crate) fn zones(&self) -> &[(Tz, Week)] {
        &self.0
    }

    /// Whether no moment is among them for certain. Across zones there may be none all the same.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().any(|(_, week)| week.is_empty())
    }

    fn week(&self, zone: Tz) -> Option<&Week> {
        let known = self.0.iter().find(|(other, _)| *other == zone);
        known.map(|(_, week)| week)
    }

    fn set(&self, zone: Tz, week: Week) -> Self {
        let mut times = self.clone();
        times.0.retain(|(other, _)| *other != zone);
        if !week.is_full() {
            let place = times
                .0
                .partition_point(|(other, _)| other.name() < zone.name());
            times.0.insert(place, (zone, week));
        }
        times
    }

    pub(crate) fn and(&self, other: &Self) -> Self {
        other.0.iter().fold(self.clone(), |times, (zone, week)| {
            let week = match times.week(*zone) {
                Some(own) => own.and(week),
                None => week.clone(),
            };
            times.set(*zone, week)
        })
    }

    /// Those at which the zone's wall clock shows none of these minutes.
    pub(crate) fn without(&self, zone: Tz, week: &Week) -> Self {
        let rest = match self.week(zone) {
            Some(own) => own.minus(week),
            None => Week::full().minus(week),
        };
        self.set(zone, rest)
    }

    /// Whether some moment may be in both; it is certain only within one zone.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        other.0.iter().all(|(zone, week)| match self.week(*zone) {
            Some(own) => own.meets(week),
            None => !week.is_empty(),
        })
    }

    /// Whether all are certainly among the others.
    pub(crate) fn within(&self, other: &Self) -> bool {
        other.0.iter().all(|(zone, week)| match self.week(*zone) {
            Some(own) => own.within(week),
            None => false,
        })
    }

    /// Both together, if they differ in one zone at most.
    pub(crate) fn or(&self, other: &Self) -> Option<Self> {
        let differs = |zone: &Tz| self.week(*zone) != other.week(*zone);
        let mut zones = self
            .0
            .iter()
            .chain(&other.0)
            .map(|(zone, _)| *zone)
            .filter(differs);
        let Some(zone) = zones.next() else {
            return Some(self.clone());
        };
        if zones.any(|another| another != zone) {
            return None;
        }
        let both = match (self.week(zone), other.week(zone)) {
            (Some(left), Some(right)) => left.or(right),
            _ => Week::full(),
        };
        Some(self.set(zone, both))
    }
}
