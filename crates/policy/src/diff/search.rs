//! How the changes are found: for each pair of an old and a new rule with different outcomes, what
//! both match and no rule before either of them takes.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::{Change, Difference, Direction, LocalTimes, NameSet, Outcome, Subjects};
use crate::decision::{Decision, Matched, OwnedDenial, Verdict};
use crate::policy::Policy;
use crate::query::Query;
use crate::space::{
    Crossing, Effort, Exhausted, Id, Members, Names, Region, Space, Wanted, Ways, outside,
};

/// How much is looked for. Whatever is cut short is not complete, and says so.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// How much work is done for one pair of policies.
    pub(super) effort: u64,
    /// How much of it may go into one pair of rules.
    pub(super) effort_a_pair: u64,
    /// How many regions are told at most.
    pub(super) regions: usize,
}

/// Some seconds of work, and more changes than anybody reads.
pub(super) const BOUNDS: Bounds = Bounds {
    effort: 200_000_000,
    effort_a_pair: 2_000_000,
    regions: 10_000,
};

/// With how many of the last regions a region is tried to be joined.
const TRIED_REGIONS: usize = 256;

pub(super) fn diff(old: &Policy, new: &Policy, bounds: Bounds) -> Difference {
    let mut space = Space::default();
    let (old_regions, new_regions) = (regions(&mut space, old), regions(&mut space, new));
    let mut outcomes = Outcomes::default();
    let search = Search {
        old: Side::new(old, old_regions, &space, &mut outcomes),
        new: Side::new(new, new_regions, &space, &mut outcomes),
        space,
        outcomes,
        found: HashMap::new(),
        count: 0,
        complete: true,
        effort: Effort::new(bounds.effort),
        bounds,
    };
    search.run()
}

/// What each rule matches, and last what is left to "no rule": everything.
fn regions(space: &mut Space, policy: &Policy) -> Vec<Region> {
    let rules = policy.rules().iter().map(|rule| space.region(rule));
    rules.chain([Region::everything()]).collect()
}

/// One of the two policies.
struct Side<'p> {
    policy: &'p Policy,
    /// One for each rule, and one for "no rule" at the end.
    regions: Vec<Region>,
    crossing: Crossing,
    /// For each region, what comes of each of [`Ways::each`].
    outcomes: Vec<Vec<usize>>,
}

impl<'p> Side<'p> {
    fn new(
        policy: &'p Policy,
        regions: Vec<Region>,
        space: &Space,
        outcomes: &mut Outcomes,
    ) -> Self {
        let ways = Ways::each().filter_map(|(mode, tracked)| {
            let ways = Ways::of(|other_mode, other| (other_mode, other) == (mode, tracked));
            let region = Region::everything();
            space.query(&Region { ways, ..region })
        });
        let ways: Vec<Query> = ways.collect();
        let mut outcomes_of = |decide: &dyn Fn(&Query) -> Outcome| -> Vec<usize> {
            ways.iter()
                .map(|way| outcomes.number(decide(way)))
                .collect()
        };
        let rules = policy.rules().iter().enumerate();
        let mut of_regions: Vec<Vec<usize>> = rules
            .map(|(index, rule)| {
                let matched = Matched::new(index, rule);
                let decide = |way: &Query| policy.outcome(matched, rule.is_hard(), way);
                outcomes_of(&|way| Outcome::of(&decide(way)))
            })
            .collect();
        of_regions.push(outcomes_of(&|_| Outcome::no_rule()));
        Self {
            policy,
            crossing: Crossing::new(&regions),
            regions,
            outcomes: of_regions,
        }
    }

    /// The first place of each region.
    fn firsts(&self) -> HashMap<&Region, usize> {
        let places = self.regions.iter().enumerate().rev();
        places.map(|(place, region)| (region, place)).collect()
    }
}

impl Outcome {
    fn no_rule() -> Self {
        Self {
            verdict: Verdict::Deny,
            denial: Some(OwnedDenial::NoRule),
            requires_session_tracking: false,
            max_duration: None,
            session_table: None,
        }
    }
}

/// The outcomes of both policies, numbered, so that they are quickly compared.
#[derive(Default)]
struct Outcomes {
    numbers: HashMap<Outcome, usize>,
    all: Vec<Outcome>,
}

impl Outcomes {
    fn number(&mut self, outcome: Outcome) -> usize {
        if let Some(number) = self.numbers.get(&outcome) {
            return *number;
        }
        self.numbers.insert(outcome.clone(), self.all.len());
        self.all.push(outcome);
        self.all.len() - 1
    }
}

struct Search<'p> {
    space: Space,
    old: Side<'p>,
    new: Side<'p>,
    outcomes: Outcomes,
    /// What changes, by the outcomes before and after.
    found: HashMap<(usize, usize), Vec<Region>>,
    count: usize,
    complete: bool,
    effort: Effort,
    bounds: Bounds,
}

impl Search<'_> {
    fn run(mut self) -> Difference {
        if self.pairs().is_err() {
            self.complete = false;
        }
        let mut found: Vec<_> = std::mem::take(&mut self.found).into_iter().collect();
        found.sort_by_key(|(outcomes, _)| *outcomes);
        let mut changes = Vec::new();
        for ((before, after), regions) in found {
            for region in regions {
                match self.change(before, after, &region) {
                    Some(change) => changes.push(change),
                    None => self.complete = false,
                }
            }
        }
        changes.sort_by_key(|change| change.direction);
        Difference {
            changes,
            complete: self.complete,
        }
    }

    /// Goes through the pairs that may be decided by an old and a new rule. Where both policies
    /// have the same region, no query gets past it in either; so a rule is only paired with what
    /// comes no later than its like in the other policy.
    fn pairs(&mut self) -> Result<(), Exhausted> {
        let (old_firsts, new_firsts) = (self.old.firsts(), self.new.firsts());
        let place = |firsts: &HashMap<&Region, usize>, region: &Region| firsts.get(region).copied();
        let ends: Vec<usize> = self
            .old
            .regions
            .iter()
            .map(|region| place(&new_firsts, region).unwrap_or(usize::MAX))
            .collect();
        let likes: Vec<usize> = self
            .new
            .regions
            .iter()
            .map(|region| place(&old_firsts, region).unwrap_or(usize::MAX))
            .collect();
        for (old, end) in ends.into_iter().enumerate() {
            let Some(region) = self.old.regions.get(old).cloned() else {
                continue;
            };
            let end = end.saturating_add(1).min(self.new.regions.len());
            let effort = &mut self.effort;
            let old_crossing = self
                .old
                .crossing
                .before(&region, old, &self.old.regions, effort)?;
            let new_crossing = self
                .new
                .crossing
                .before(&region, end, &self.new.regions, effort)?;
            for &new in &new_crossing {
                if likes.get(new).is_some_and(|like| *like >= old) {
                    self.pair((old, &old_crossing), (new, &new_crossing))?;
                }
            }
        }
        Ok(())
    }

    /// Finds what is decided by these two rules, and differently. Each comes with the rules of its
    /// policy among which are all that come before it and meet both.
    fn pair(
        &mut self,
        (old, old_crossing): (usize, &[usize]),
        (new, new_crossing): (usize, &[usize]),
    ) -> Result<(), Exhausted> {
        self.effort.spend(8)?;
        let regions = self.old.regions.get(old).zip(self.new.regions.get(new));
        let outcomes = self.old.outcomes.get(old).zip(self.new.outcomes.get(new));
        let Some(((old_region, new_region), (before, after))) = regions.zip(outcomes) else {
            return Ok(());
        };
        let both_ways = old_region.ways.and(new_region.ways);
        let mut differing: Vec<((usize, usize), Ways)> = Vec::new();
        for ((mode, tracked), pair) in
            Ways::each().zip(before.iter().copied().zip(after.iter().copied()))
        {
            if pair.0 == pair.1 || !both_ways.has(mode, tracked) {
                continue;
            }
            let way = Ways::of(|other_mode, other| (other_mode, other) == (mode, tracked));
            match differing.iter_mut().find(|(other, _)| *other == pair) {
                Some((_, ways)) => *ways = ways.or(way),
                None => differing.push((pair, way)),
            }
        }
        if differing.is_empty() {
            return Ok(());
        }
        let both = old_region.and(new_region);
        let earlier = |places: &[usize], end: usize| -> Vec<usize> {
            let places = places.iter().copied();
            places.take_while(|place| *place < end).collect()
        };
        let mut rules: Vec<&Region> = Vec::new();
        for (side, places) in [
            (&self.old, earlier(old_crossing, old)),
            (&self.new, earlier(new_crossing, new)),
        ] {
            self.effort.spend(2 * places.len())?;
            let regions = places.iter().filter_map(|place| side.regions.get(*place));
            rules.extend(regions.filter(|rule| both.meets(rule)));
        }
        for (pair, ways) in differing {
            let region = Region {
                ways,
                ..both.clone()
            };
            if region.is_empty() {
                continue;
            }
            let mut pieces = Vec::new();
            let mut portion = self.effort.portion(self.bounds.effort_a_pair);
            let space = &self.space;
            let most = self.bounds.regions.saturating_sub(self.count);
            let result = outside(
                region,
                &rules,
                Wanted::All,
                &mut portion,
                |piece, effort| {
                    // Within one zone there is a moment for certain.
                    if piece.times.zones().len() > 1 {
                        effort.spend(piece.cost_of_query())?;
                        if space.query(piece).is_none() {
                            return Ok(ControlFlow::Continue(()));
                        }
                    }
                    if pieces.len() == most {
                        return Ok(ControlFlow::Break(()));
                    }
                    effort.spend(piece.listed())?;
                    pieces.push(piece.clone());
                    Ok(ControlFlow::Continue(()))
                },
            );
            self.effort.give_back(portion);
            self.complete &= result.is_ok_and(|outside| outside.stopped.is_none());
            let found = self.found.entry(pair).or_default();
            for piece in pieces {
                self.effort.spend(8 * found.len().min(TRIED_REGIONS))?;
                self.count += 1;
                add(found, piece);
            }
        }
        Ok(())
    }

    /// The change, if its witness bears it out.
    fn change(&self, before: usize, after: usize, region: &Region) -> Option<Change> {
        let (before, after) = (
            self.outcomes.all.get(before)?,
            self.outcomes.all.get(after)?,
        );
        let witness = self.space.query(region)?;
        let answers = |policy: &Policy| -> Outcome {
            let decision: Decision<'_> = policy.decide(&witness);
            Outcome::of(&decision)
        };
        let shown = answers(self.old.policy) == *before && answers(self.new.policy) == *after;
        debug_assert!(shown, "a witness does not show a change: {witness}");
        let times = region.times.zones().iter().map(|(zone, week)| LocalTimes {
            zone: *zone,
            week: week.clone(),
        });
        shown.then(|| Change {
            direction: Direction::of(before, after),
            who: self.subjects(&region.people, &region.groups, Space::people),
            what: self.subjects(&region.profiles, &region.profile_groups, Space::profiles),
            times: times.collect(),
            ways: region.ways,
            before: before.clone(),
            after: after.clone(),
            witness,
        })
    }

    fn subjects<T>(
        &self,
        names: &Names,
        members: &Members,
        of: impl Fn(&Space, &[Id]) -> Vec<T>,
    ) -> Subjects<T> {
        let clauses = members.clauses().iter();
        Subjects {
            names: match names {
                Names::Only(ids) => NameSet::Only(of(&self.space, ids)),
                Names::AllBut(ids) => NameSet::AllBut(of(&self.space, ids)),
            },
            in_groups: clauses.map(|ids| self.space.groups(ids)).collect(),
            not_in_groups: self.space.groups(members.forbidden()),
        }
    }
}

/// Adds a region, joined with those it can be joined with.
fn add(regions: &mut Vec<Region>, mut region: Region) {
    loop {
        let first = regions.len().saturating_sub(TRIED_REGIONS);
        let mut tried = regions.iter().enumerate().skip(first);
        let joined = tried.find_map(|(place, other)| Some((place, other.join(&region)?)));
        match joined {
            Some((place, both)) => {
                regions.swap_remove(place);
                region = both;
            }
            None => {
                regions.push(region);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::decision::Verdict;

    /// These rules behind one that every policy here has.
    fn policy(rules: impl IntoIterator<Item = Value>) -> Policy {
        let common = json!({"name": "common", "effect": "deny",
            "conditions": {"users": ["common"], "profiles": ["common"]}});
        let rules: Vec<Value> = std::iter::once(common).chain(rules).collect();
        let document = json!({"version": "1", "rules": rules});
        document.to_string().parse().unwrap()
    }

    /// So many rules, each for a user and a profile of its own and with an outcome of its own.
    fn apart(count: usize) -> Policy {
        let rules = (1..=count).map(|number| {
            json!({"name": format!("r{number}"), "effect": "allow",
                "max_server_duration": format!("{number}s"),
                "conditions": {"users": [format!("u{number}")], "profiles": [format!("p{number}")]}})
        });
        policy(rules)
    }

    /// Lists that overlap in so many ways that what is left of the last rule is in many pieces.
    fn overlapping() -> Policy {
        let some = |rule: usize| -> Vec<String> {
            let chosen = (0..40).filter(|name| (name * 7 + rule * 5 + name * rule) % 3 > 0);
            chosen.map(|name| format!("n{name}")).collect()
        };
        let rules = (0..40).map(|rule| {
            json!({"name": format!("r{rule}"), "effect": "deny", "conditions": {
                "users": some(rule), "profiles": some(rule + 1), "groups": some(rule + 2)}})
        });
        let last = json!({"name": "last", "effect": "allow", "conditions": {"groups": ["n0"]}});
        policy(rules.chain([last]))
    }

    fn assert_is_cut_short(old: &Policy, new: &Policy, difference: &Difference) {
        assert!(!difference.is_complete(), "it says that it is complete");
        assert!(!difference.is_empty(), "it says that both mean the same");
        assert!(
            difference
                .to_string()
                .ends_with("there may be more: the policies differ in too many ways\n")
        );
        assert_eq!(json!(difference)["complete"], false);
        for change in difference.changes() {
            let outcomes = [old, new].map(|policy| Outcome::of(&policy.decide(&change.witness)));
            assert_eq!(
                outcomes,
                [change.before.clone(), change.after.clone()],
                "{change}"
            );
        }
    }

    #[test]
    fn a_diff_cut_short_for_size_does_not_say_that_it_is_complete() {
        let (none, all) = (apart(0), apart(10));
        for (old, new) in [(&none, &all), (&all, &none)] {
            for regions in [0, 1, 9, 10, 11] {
                let found = diff(old, new, Bounds { regions, ..BOUNDS });
                assert_eq!(found.changes().len(), regions.min(10));
                match regions {
                    0..10 => assert_is_cut_short(old, new, &found),
                    _ => assert!(found.is_complete() && !found.to_string().contains("more")),
                }
            }
        }
        let same = diff(
            &all,
            &all,
            Bounds {
                regions: 0,
                ..BOUNDS
            },
        );
        assert!(same.is_complete() && same.is_empty());
    }

    #[test]
    fn pieces_of_one_pair_of_rules_beyond_what_is_told_are_not_forgotten() {
        let (old, new) = (overlapping(), policy([]));
        let regions = 3;
        let found = diff(&old, &new, Bounds { regions, ..BOUNDS });
        assert!(!found.changes().is_empty());
        assert_is_cut_short(&old, &new, &found);
    }

    #[test]
    fn a_diff_cut_short_for_work_does_not_say_that_it_is_complete() {
        let (old, new) = (overlapping(), policy([]));
        for effort in [0, 100, 10_000] {
            let bounds = Bounds { effort, ..BOUNDS };
            assert_is_cut_short(&old, &new, &diff(&old, &new, bounds));
        }
        // Of one pair of rules alone: the others are still told.
        let bounds = Bounds {
            effort_a_pair: 2_000,
            ..BOUNDS
        };
        let found = diff(&old, &new, bounds);
        assert_is_cut_short(&old, &new, &found);
        let denied = |change: &Change| change.before.verdict == Verdict::Deny;
        assert!(found.changes().iter().any(denied), "nothing is told");
    }
}
