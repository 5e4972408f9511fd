//! The search for the first rule that holds, among lists of candidates.

use super::cells::{is_certain, number};
use crate::query::Query;
use crate::rule::Rule;

/// How many lists are merged at once; more are searched one lot after the other.
const LISTS: usize = 8;

/// The query, and the best of the rules that were asked.
pub(super) struct Search<'r, 'q> {
    rules: &'r [Rule],
    query: &'q Query,
    /// The least rule found to hold; all rules, if none was.
    best: usize,
}

impl<'r, 'q> Search<'r, 'q> {
    pub(super) fn new(rules: &'r [Rule], query: &'q Query) -> Self {
        Self {
            rules,
            query,
            best: rules.len(),
        }
    }

    /// Asks the rules of one list, in order, up to the first that holds.
    #[inline]
    pub(super) fn run_one(&mut self, list: &[u32]) {
        let _ = list.iter().any(|item| self.ask(*item));
    }

    /// Asks the rules of several lists, in the order of the rules, up to the first that holds.
    pub(super) fn run(&mut self, lists: &mut [&[u32]]) {
        loop {
            let heads = lists
                .iter_mut()
                .filter_map(|list| Some((*list.first()?, list)));
            let Some((item, list)) = heads.min_by_key(|(item, _)| number(*item)) else {
                return;
            };
            *list = list.get(1..).unwrap_or_default();
            if self.ask(item) {
                return;
            }
        }
    }

    /// Asks the rule in an item of a list. True if no later one needs to be asked.
    #[inline]
    pub(super) fn ask(&mut self, item: u32) -> bool {
        let number = number(item) as usize;
        if number >= self.best {
            return true;
        }
        let holds = is_certain(item)
            || self
                .rules
                .get(number)
                .is_some_and(|rule| rule.conditions().hold_beyond_names(self.query));
        if holds {
            self.best = number;
        }
        holds
    }

    /// The answer, once every list has been searched.
    #[inline]
    pub(super) fn found(&self) -> Option<(usize, &'r Rule)> {
        Some((self.best, self.rules.get(self.best)?))
    }
}

/// Lists that wait to be searched together.
pub(super) struct Waiting<'i> {
    lists: [&'i [u32]; LISTS],
    count: usize,
}

impl<'i> Waiting<'i> {
    pub(super) fn new() -> Self {
        Self {
            lists: [&[]; LISTS],
            count: 0,
        }
    }

    /// Adds a list; if there is no room, those that wait are searched first.
    pub(super) fn add(&mut self, list: &'i [u32], search: &mut Search<'_, '_>) {
        if list.is_empty() {
            return;
        }
        if self.count == LISTS {
            self.run(search);
        }
        if let Some(place) = self.lists.get_mut(self.count) {
            *place = list;
            self.count += 1;
        }
    }

    /// Searches those that wait.
    pub(super) fn run(&mut self, search: &mut Search<'_, '_>) {
        let count = std::mem::take(&mut self.count);
        search.run(self.lists.get_mut(..count).unwrap_or_default());
    }
}
