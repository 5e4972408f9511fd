//! The search for the first rule that holds, among lists of candidates.

use super::cells::rule_number;
use crate::query::Query;
use crate::rule::Rule;

/// How many lists are merged at once; more are searched one lot after the other.
const LISTS: usize = 12;

/// Candidates, and the best of those that were asked.
pub(super) struct Search<'i, 'r, 'q> {
    rules: &'r [Rule],
    query: &'q Query,
    /// The least rule found to hold; all rules, if none was.
    best: usize,
    lists: [&'i [u32]; LISTS],
    waiting: usize,
}

impl<'i, 'r, 'q> Search<'i, 'r, 'q> {
    pub(super) fn new(rules: &'r [Rule], query: &'q Query) -> Self {
        Self {
            rules,
            query,
            best: rules.len(),
            lists: [&[]; LISTS],
            waiting: 0,
        }
    }

    /// Adds a list of rules, in their order.
    #[inline]
    pub(super) fn add(&mut self, list: &'i [u32]) {
        if list.is_empty() {
            return;
        }
        if self.waiting == LISTS {
            self.run();
        }
        if let Some(place) = self.lists.get_mut(self.waiting) {
            *place = list;
            self.waiting += 1;
        }
    }

    /// Asks the rules of the lists that were added, in order, up to the first that holds.
    #[inline]
    pub(super) fn run(&mut self) {
        let Some(lists) = self.lists.get_mut(..self.waiting) else {
            return;
        };
        self.waiting = 0;
        loop {
            let heads = lists.iter_mut().filter_map(|list| {
                let head = rule_number(*list.first()?);
                Some((head, list))
            });
            let Some((number, list)) = heads.min_by_key(|(head, _)| *head) else {
                return;
            };
            *list = list.get(1..).unwrap_or_default();
            if ask(self.rules, self.query, &mut self.best, number) {
                return;
            }
        }
    }

    /// Asks one rule. True if no later one needs to be asked.
    #[inline]
    pub(super) fn ask(&mut self, number: u32) -> bool {
        ask(self.rules, self.query, &mut self.best, number)
    }

    /// The answer, once every list has been searched.
    pub(super) fn found(&self) -> Option<(usize, &'r Rule)> {
        Some((self.best, self.rules.get(self.best)?))
    }
}

#[inline]
fn ask(rules: &[Rule], query: &Query, best: &mut usize, number: u32) -> bool {
    let number = number as usize;
    if number >= *best {
        return true;
    }
    let holds = rules
        .get(number)
        .is_some_and(|rule| rule.conditions().hold_beyond_names(query));
    if holds {
        *best = number;
    }
    holds
}
