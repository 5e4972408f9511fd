//! How the findings are found: each rule's region, less those of the rules before it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::ControlFlow;
use std::time::Duration;

use super::{Finding, FindingKind, LintReport, NAMED_RULES, RulePlace, Severity};
use crate::policy::Policy;
use crate::query::Query;
use crate::rule::Rule;
use crate::space::{Crossing, Effort, Exhausted, Region, Space, Wanted, Ways, outside};
use crate::vocabulary::{Effect, Mode};

/// How much of the work may go into one rule's question.
const EFFORT_A_QUESTION: u64 = 2_000_000;

/// A cover of more rules than this is not thinned out.
const MOST_THINNED: usize = 64;

pub(super) fn lint(policy: &Policy, effort: u64) -> LintReport {
    let mut space = Space::default();
    let rules = policy.rules().iter();
    let regions: Vec<Region> = rules.map(|rule| space.region(rule)).collect();
    let search = Search {
        policy,
        crossing: Crossing::new(&regions),
        space,
        regions,
        dead: vec![false; policy.rules().len()],
        effort: Effort::new(effort),
    };
    search.run()
}

struct Search<'p> {
    policy: &'p Policy,
    space: Space,
    regions: Vec<Region>,
    crossing: Crossing,
    /// The rules that are known to be unreachable. Without them every query is decided as with
    /// them.
    dead: Vec<bool>,
    effort: Effort,
}

/// What is known of a region that rules before it may take.
enum Known {
    /// The policy decides this query of the region by the rule that was hoped for.
    Reached(Query),
    /// These rules take all of it.
    Covered(Vec<usize>),
    /// Something may be left, but no query was found that shows it: a matter of several zones.
    Open,
}

impl Search<'_> {
    fn run(mut self) -> LintReport {
        let (mut findings, mut undecided) = (Vec::new(), Vec::new());
        let mut firsts = HashMap::new();
        for (index, rule) in self.policy.rules().iter().enumerate() {
            let mut given_up = false;
            match self.question(|search| search.unreachable(index)) {
                Ok(finding) => findings.extend(finding),
                Err(Exhausted) => given_up = true,
            }
            if rule.effect() == Effect::Deny {
                match self.question(|search| search.swallowed(index)) {
                    Ok(found) => findings.extend(found),
                    Err(Exhausted) => given_up = true,
                }
            }
            if given_up {
                undecided.push(self.place(index));
            }
            match firsts.entry(Likeness::new(rule, self.regions.get(index))) {
                Entry::Vacant(entry) => {
                    entry.insert(index);
                }
                Entry::Occupied(entry) => findings.extend(self.duplicate(index, *entry.get())),
            }
        }
        LintReport {
            findings,
            undecided,
        }
    }

    /// Asks something within a bounded part of the effort.
    fn question<T>(
        &mut self,
        ask: impl FnOnce(&mut Self) -> Result<T, Exhausted>,
    ) -> Result<T, Exhausted> {
        let portion = self.effort.portion(EFFORT_A_QUESTION);
        let rest = std::mem::replace(&mut self.effort, portion);
        let answer = ask(self);
        self.effort.give_back(rest);
        answer
    }

    fn unreachable(&mut self, index: usize) -> Result<Option<Finding>, Exhausted> {
        let Some(region) = self.regions.get(index).cloned() else {
            return Ok(None);
        };
        let crossing = self.crossing(&region, index)?;
        let Known::Covered(cover) = self.reach(&region, index, &crossing)? else {
            return Ok(None);
        };
        let cover = self.thinned(&region, cover)?;
        if let Some(dead) = self.dead.get_mut(index) {
            *dead = true;
        }
        let taken_by = cover.into_iter().map(|index| self.place(index)).collect();
        let kind = FindingKind::UnreachableRule { taken_by };
        self.effort.spend(region.cost_of_query())?;
        let witness = self.space.query(&region);
        Ok(witness.and_then(|witness| self.finding(index, kind, Severity::Warning, witness)))
    }

    /// At most two findings: the earlier rules that are for more than the denial, and those that
    /// are exceptions from it.
    fn swallowed(&mut self, index: usize) -> Result<Vec<Finding>, Exhausted> {
        let Some((region, deny)) = self.regions.get(index).cloned().zip(self.rule(index)) else {
            return Ok(Vec::new());
        };
        let hard = deny.is_hard();
        let mut found: [(Severity, Vec<usize>, Option<Query>); 2] = [
            (Severity::Warning, Vec::new(), None),
            (Severity::Note, Vec::new(), None),
        ];
        let crossing = self.crossing(&region, index)?;
        for &earlier in &crossing {
            let Some((own, rule)) = self.regions.get(earlier).zip(self.rule(earlier)) else {
                continue;
            };
            let exception = !hard && own.within(&region);
            let [warned, noted] = &mut found;
            let (_, by, witness) = if exception { noted } else { warned };
            let ways = ways_in(rule.effect()).and(own.ways).and(region.ways);
            if by.len() == NAMED_RULES || ways.is_empty() {
                continue;
            }
            let both = Region {
                ways,
                ..own.and(&region)
            };
            if let Known::Reached(query) = self.reach(&both, earlier, &crossing)? {
                by.push(earlier);
                witness.get_or_insert(query);
            }
        }
        let findings = found.into_iter().filter_map(|(severity, by, witness)| {
            let by = by.into_iter().map(|index| self.place(index)).collect();
            self.finding(index, FindingKind::SwallowedDeny { by }, severity, witness?)
        });
        Ok(findings.collect())
    }

    fn duplicate(&mut self, index: usize, first: usize) -> Option<Finding> {
        let of = self.place(first);
        let witness = self.space.query(self.regions.get(index)?)?;
        let alike = self.rule(first)?.matches(&witness);
        let kind = FindingKind::DuplicateRule { of };
        self.finding(index, kind, Severity::Warning, witness)
            .filter(|_| alike)
    }

    /// The finding, if its witness bears it out: the rule is for it, and another decides.
    fn finding(
        &self,
        index: usize,
        kind: FindingKind,
        severity: Severity,
        witness: Query,
    ) -> Option<Finding> {
        let decided = self.policy.decide(&witness).rule()?.index;
        let shown = decided < index && self.rule(index)?.matches(&witness);
        debug_assert!(shown, "a witness does not show {kind:?}");
        shown.then(|| Finding {
            kind,
            severity,
            rule: self.place(index),
            witness,
        })
    }

    /// Whether the rule at `index`, whose region holds `region`, decides a query of it. Of the
    /// rules before it, all that meet the region are among `crossing`.
    fn reach(
        &mut self,
        region: &Region,
        index: usize,
        crossing: &[usize],
    ) -> Result<Known, Exhausted> {
        let mut earlier = Vec::new();
        for place in crossing.iter().copied().take_while(|place| *place < index) {
            self.effort.spend(2)?;
            let rule = self.regions.get(place);
            if rule.is_some_and(|rule| region.meets(rule)) {
                earlier.push(place);
            }
        }
        // Most rules are reached, and by most of their queries: it is worth trying one whose names
        // are in few other rules before anything is cut up.
        let likely = self.crossing.rarest(region);
        let witness = Witness {
            policy: self.policy,
            space: &self.space,
            index,
            earlier: &earlier,
        };
        if let Some(query) = witness.of(&likely, &mut self.effort)? {
            return Ok(Known::Reached(query));
        }
        // Within one zone the dead rules take nothing that the others leave. Across zones they may
        // be what shows that nothing is left.
        let is_live = |place: &usize| !self.dead.get(*place).copied().unwrap_or(false);
        let live: Vec<usize> = earlier.iter().copied().filter(is_live).collect();
        let known = self.left_by(&live, region, index)?;
        if matches!(known, Known::Open) && live.len() < earlier.len() {
            return self.left_by(&earlier, region, index);
        }
        Ok(known)
    }

    fn left_by(
        &mut self,
        earlier: &[usize],
        region: &Region,
        index: usize,
    ) -> Result<Known, Exhausted> {
        let rules = regions_of(&self.regions, earlier);
        let witness = Witness {
            policy: self.policy,
            space: &self.space,
            index,
            earlier,
        };
        let mut open = false;
        let effort = &mut self.effort;
        let outside = outside(
            region.clone(),
            &rules,
            Wanted::Any,
            effort,
            |piece, effort| {
                Ok(match witness.of(piece, effort)? {
                    Some(query) => ControlFlow::Break(query),
                    None => {
                        open = true;
                        ControlFlow::Continue(())
                    }
                })
            },
        )?;
        Ok(match outside.stopped {
            Some(query) => Known::Reached(query),
            None if open => Known::Open,
            None => {
                let took = outside.took.into_iter();
                Known::Covered(
                    took.filter_map(|place| earlier.get(place).copied())
                        .collect(),
                )
            }
        })
    }

    /// The rules before `index` that meet the region.
    fn crossing(&mut self, region: &Region, index: usize) -> Result<Vec<usize>, Exhausted> {
        self.crossing
            .before(region, index, &self.regions, &mut self.effort)
    }

    /// The cover without the rules that it does not need.
    fn thinned(&mut self, region: &Region, cover: Vec<usize>) -> Result<Vec<usize>, Exhausted> {
        if cover.len() > MOST_THINNED {
            return Ok(cover);
        }
        let mut thin = cover.clone();
        for index in cover.into_iter().rev() {
            let fewer: Vec<usize> = thin.iter().copied().filter(|own| *own != index).collect();
            let rules = regions_of(&self.regions, &fewer);
            let left = outside(
                region.clone(),
                &rules,
                Wanted::Any,
                &mut self.effort,
                |_, _| Ok(ControlFlow::Break(())),
            )?;
            if left.stopped.is_none() {
                thin = fewer;
            }
        }
        Ok(thin)
    }

    fn rule(&self, index: usize) -> Option<&Rule> {
        self.policy.rules().get(index)
    }

    fn place(&self, index: usize) -> RulePlace {
        RulePlace {
            index,
            name: self.rule(index).map_or("", Rule::name).to_owned(),
        }
    }
}

fn regions_of<'r>(regions: &'r [Region], indices: &[usize]) -> Vec<&'r Region> {
    let regions = indices.iter().filter_map(|index| regions.get(*index));
    regions.collect()
}

/// Finds queries that one rule decides, with the matching that decisions use.
struct Witness<'s> {
    policy: &'s Policy,
    space: &'s Space,
    index: usize,
    /// The rules before it that may match what it is asked of.
    earlier: &'s [usize],
}

impl Witness<'_> {
    /// A query of the region that the rule decides, if the one that is tried is.
    fn of(&self, region: &Region, effort: &mut Effort) -> Result<Option<Query>, Exhausted> {
        effort.spend(region.cost_of_query() + self.earlier.len())?;
        let rules = self.policy.rules();
        let matches = |index: usize, query: &Query| {
            let rule = rules.get(index);
            rule.is_some_and(|rule| rule.matches(query))
        };
        let decided = |query: &Query| {
            matches(self.index, query) && !self.earlier.iter().any(|index| matches(*index, query))
        };
        Ok(self.space.query(region).filter(decided))
    }
}

/// The ways of asking in which a rule with this effect gives access by itself.
fn ways_in(effect: Effect) -> Ways {
    Ways::of(|mode, tracked| match effect {
        Effect::Allow => true,
        Effect::Deny | Effect::RequireApproval => false,
        Effect::RequireServer => mode == Some(Mode::Server),
        Effect::RequireServerSession => mode == Some(Mode::Server) && tracked,
    })
}

/// What two rules share that are alike but for their name.
#[derive(PartialEq, Eq, Hash)]
struct Likeness<'p> {
    effect: Effect,
    hard: bool,
    region: Option<Region>,
    reason: Option<&'p str>,
    max_server_duration: Option<Duration>,
    session_table: Option<&'p str>,
}

impl<'p> Likeness<'p> {
    fn new(rule: &'p Rule, region: Option<&Region>) -> Self {
        Self {
            effect: rule.effect(),
            hard: rule.is_hard(),
            region: region.cloned(),
            reason: rule.reason(),
            max_server_duration: rule.max_server_duration(),
            session_table: rule.session_table(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Rules whose lists overlap in so many ways that nobody can say quickly what is left of the
    /// last rule.
    fn puzzle(names: usize, rules: usize) -> Policy {
        let mut state = 1_u64;
        let mut some = || -> Vec<String> {
            let mut random = |_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % 3 > 0
            };
            let chosen = (0..names).map(|number| (number, random(number)));
            chosen
                .filter(|(_, chosen)| *chosen)
                .map(|(number, _)| format!("n{number}"))
                .collect()
        };
        let mut rules: Vec<Value> = (0..rules)
            .map(|number| {
                json!({"name": format!("rule {number}"), "effect": "allow", "conditions": {
                    "users": some(), "profiles": some(), "groups": some(), "profile_groups": some()}})
            })
            .collect();
        let all: Vec<String> = (0..names).map(|number| format!("n{number}")).collect();
        rules.push(json!({"name": "last", "effect": "deny", "conditions": {
            "users": all, "profiles": all, "groups": all, "profile_groups": all}}));
        json!({"version": "1", "rules": rules})
            .to_string()
            .parse()
            .unwrap()
    }

    #[test]
    fn work_is_bounded_and_what_it_did_not_suffice_for_is_no_finding() {
        let policy = puzzle(60, 60);
        let report = lint(&policy, 100_000);
        assert!(!report.undecided().is_empty(), "it is too easy");
        let open = |index| report.undecided().iter().any(|rule| rule.index == index);
        for finding in report.findings() {
            assert!(!open(finding.rule.index), "{finding}, and it is not known");
        }
        let shown = report.to_string();
        assert!(
            shown.contains("overlaps with others in too many ways"),
            "{shown}"
        );
        assert_eq!(lint(&policy, 0).undecided().len(), 61);
    }

    #[test]
    fn what_one_question_leaves_of_the_work_is_there_for_the_next() {
        let report = lint(&puzzle(3, 1), 100_000);
        assert_eq!(report.undecided(), []);
    }
}
