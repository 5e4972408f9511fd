//! The index: which rules a query has to ask.
//!
//! Each rule says for whom it is (its *subjects*: users; else groups; else anyone) and for what (its
//! *objects*: profiles; else groups of profiles; else anything). A query is about few subjects and
//! objects, itself and its groups, and only the rules that name one of each can match. The index
//! finds those; what else a rule asks for (mode, time, groups beside users) is asked of the rule.
//!
//! - A rule is put in one *cell* for each pair of its subjects and objects, "any" being one too.
//!   Cells of two names are in a hash table, those of one name beside the name. A cell lists its
//!   rules in order, and ends at the first that asks for nothing else.
//! - A rule with many names on both sides would have too many cells. It is *wide*: each of its names
//!   has it in a set ([`wide`]), and the sets of a query's subject and object are intersected.
//! - The answer is the least rule found that holds. Cells are merged in the order of the rules, so
//!   that no rule after the answer is asked; wide rules come last, and only those before the answer.
//!
//! What always holds:
//!
//! - The answer is that of asking every rule in order ([`crate::Rule::matches`]).
//! - Asking allocates nothing, and what it costs does not grow with rules that name neither the
//!   query's subjects nor its objects. Wide rules that name one of both cost a few bits each.
//! - At most 64 bytes for each name that the document lists, and 4 for each rule that lists none:
//!   28 for a name that differs from those before; and either 28 for the cells of a rule, of which
//!   each takes 14 and there are at most [`MOST_CELLS_A_NAME`] for each name, or 32 for a wide
//!   rule's place in the set of a name.
//!
//! Names are found by hashes with known seeds. Whoever writes the document could choose names that
//! collide under all of them; their policy is then asked rule by rule, and is slow and right. A
//! query changes nothing and finds every slot in one step.

use countersign_core::names::{Group, Profile, User};

use self::cells::{Cell, Cells};
use self::search::{Search, Waiting};
use self::side::{ANY, Hit, Side};
use self::wide::{Wide, WideBuilder};
use crate::names::Names;
use crate::query::Query;
use crate::rule::Rule;

mod cells;
mod search;
mod side;
mod table;
#[cfg(test)]
#[cfg(not(countersign_loom))]
mod tests;
mod wide;

/// Up to how many rules and names a policy is asked rule by rule, which is then faster.
const FEW_RULES: usize = 3;
const FEW_NAMES: usize = 12;

/// How many cells a rule may have for each name that it lists, before it is wide.
const MOST_CELLS_A_NAME: usize = 2;

/// How many subjects, and objects, of a query are looked at together.
const BATCH: usize = 8;

/// Finds the first rule that matches a query.
#[derive(Debug)]
pub(crate) struct Index {
    subjects: Side<User>,
    objects: Side<Profile>,
    cells: Cells,
    wide: Wide,
}

impl Index {
    /// Indexes rules whose names are `names`. None if they are few enough to be asked one by one,
    /// or more than 2³⁰, or if names collide under every seed.
    pub(crate) fn build(rules: &[Rule], names: Names) -> Option<Self> {
        let listed = rules.iter().map(names_listed).sum::<usize>();
        if rules.len() <= FEW_RULES && listed <= FEW_NAMES {
            return None;
        }
        let mut subjects = Side::build(names.people, names.groups)?;
        let mut objects = Side::build(names.profiles, names.profile_groups)?;
        let mut cells = Vec::new();
        let mut wide = WideBuilder::default();
        let (mut who, mut what) = (Vec::new(), Vec::new());
        for (rule, number) in rules.iter().zip(0_u32..) {
            let conditions = rule.conditions();
            subjects.keys_of(conditions.users(), conditions.groups(), &mut who);
            objects.keys_of(
                conditions.profiles(),
                conditions.profile_groups(),
                &mut what,
            );
            let all = who.len().saturating_mul(what.len());
            let any = who == [ANY] || what == [ANY];
            if any || all <= MOST_CELLS_A_NAME * (who.len() + what.len()) {
                let pairs = who
                    .iter()
                    .flat_map(|who| what.iter().map(move |what| (*who, *what)));
                cells.extend(pairs.map(|(subject, object)| Cell {
                    subject,
                    object,
                    rule: number,
                }));
            } else {
                wide.add(number, &who, &what)?;
            }
        }
        let wide = wide.build(&mut subjects, &mut objects)?;
        let cells = Cells::build(rules, cells, &mut subjects, &mut objects)?;
        Some(Self {
            subjects,
            objects,
            cells,
            wide,
        })
    }

    /// The first of `rules` that matches, and where it is. They are those that were indexed.
    #[inline]
    pub(crate) fn first<'r>(&self, rules: &'r [Rule], query: &Query) -> Option<(usize, &'r Rule)> {
        let mut search = Search::new(rules, query);
        if self.asks_groups(query) {
            self.search_groups(query, &mut search);
        } else {
            self.search_names(query, &mut search);
        }
        search.found()
    }

    /// The search for a query without groups, or among rules without.
    #[inline]
    fn search_names(&self, query: &Query, search: &mut Search<'_, '_>) {
        let subject = self.subjects.find_name(query.user().as_str());
        let object = self.objects.find_name(query.profile().as_str());
        let pair = match (subject, object) {
            (Some(subject), Some(object)) => self.cells.of(subject, object),
            _ => &[],
        };
        let beside = [
            self.cells.of_anyone_and_anything(),
            self.cells.beside(subject),
            self.cells.beside(object),
        ];
        if beside.iter().all(|list| list.is_empty()) {
            search.run_one(pair);
        } else {
            let [all, whoever, whatever] = beside;
            search.run(&mut [all, whoever, whatever, pair]);
        }
        if let (Some(subject), Some(object)) = (subject, object) {
            self.wide.search(subject, object, search);
        }
    }

    /// Whether the groups of the query can change the answer.
    fn asks_groups(&self, query: &Query) -> bool {
        let asks = |groups: &[Group], known: bool| known && !groups.is_empty();
        asks(query.groups(), self.subjects.has_groups())
            || asks(query.profile_groups(), self.objects.has_groups())
    }

    fn search_groups(&self, query: &Query, search: &mut Search<'_, '_>) {
        let subjects = || {
            let user = query.user().as_str();
            self.subjects.find_all(user, query.groups())
        };
        let objects = || {
            let profile = query.profile().as_str();
            self.objects.find_all(profile, query.profile_groups())
        };
        let mut waiting = Waiting::new();
        waiting.add(self.cells.of_anyone_and_anything(), search);
        for hit in subjects().chain(objects()) {
            waiting.add(self.cells.beside(Some(hit)), search);
        }
        for_each_pair(subjects, objects, |subject, object| {
            waiting.add(self.cells.of(subject, object), search);
        });
        waiting.run(search);
        if !self.wide.is_empty() {
            for_each_pair(subjects, objects, |subject, object| {
                self.wide.search(subject, object, search);
            });
        }
    }
}

/// Every pair, without looking each subject's objects up anew: a batch of both is kept.
fn for_each_pair<'i, S, O>(
    subjects: impl Fn() -> S,
    objects: impl Fn() -> O,
    mut visit: impl FnMut(Hit<'i>, Hit<'i>),
) where
    S: Iterator<Item = Hit<'i>>,
    O: Iterator<Item = Hit<'i>>,
{
    let mut subjects = subjects();
    loop {
        let some_subjects: [Option<Hit<'i>>; BATCH] = std::array::from_fn(|_| subjects.next());
        let mut objects = objects();
        loop {
            let some_objects: [Option<Hit<'i>>; BATCH] = std::array::from_fn(|_| objects.next());
            for subject in some_subjects.iter().flatten() {
                for object in some_objects.iter().flatten() {
                    visit(*subject, *object);
                }
            }
            if some_objects.iter().any(Option::is_none) {
                break;
            }
        }
        if some_subjects.iter().any(Option::is_none) {
            break;
        }
    }
}

/// How many names the rule lists.
fn names_listed(rule: &Rule) -> usize {
    let conditions = rule.conditions();
    conditions.users().map_or(0, <[_]>::len)
        + conditions.groups().map_or(0, <[_]>::len)
        + conditions.profiles().map_or(0, <[_]>::len)
        + conditions.profile_groups().map_or(0, <[_]>::len)
}
