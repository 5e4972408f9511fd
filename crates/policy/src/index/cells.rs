//! Cells: the rules for one subject and one object, in the order of the rules.
//!
//! A list of one rule is kept where the list would be looked up; longer ones are in one array, each
//! behind its length.

use super::side::{ANY, Hit, NONE, Side};
use super::table::Table;
use crate::rule::Rule;

/// Marks a list of one.
const SINGLE: u32 = 1 << 31;

/// Marks a rule that asks for nothing but its names.
const CERTAIN: u32 = 1 << 30;

/// The number of the rule in an item of a list.
#[inline]
pub(super) fn number(item: u32) -> u32 {
    item & (CERTAIN - 1)
}

/// Whether the rule in an item of a list holds without being asked.
#[inline]
pub(super) fn is_certain(item: u32) -> bool {
    item & CERTAIN != 0
}

/// One rule for one subject and one object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) subject: u32,
    pub(super) object: u32,
    pub(super) rule: u32,
}

/// All cells.
#[derive(Debug)]
pub(super) struct Cells {
    pairs: Table<Pair>,
    lists: Box<[u32]>,
    anyone_and_anything: u32,
}

#[derive(Debug, Clone)]
struct Pair {
    subject: u32,
    object: u32,
    list: u32,
}

impl Cells {
    /// From cells in the order of the rules; those with [`ANY`] go beside the name on the other
    /// side. None if there are too many.
    pub(super) fn build<S: AsRef<str> + Clone, O: AsRef<str> + Clone>(
        rules: &[Rule],
        mut cells: Vec<Cell>,
        subjects: &mut Side<S>,
        objects: &mut Side<O>,
    ) -> Option<Self> {
        if rules.len() >= CERTAIN as usize {
            return None;
        }
        // Stable, so that each cell's rules stay in order.
        cells.sort_by_key(|cell| (cell.subject, cell.object));
        let mut pairs = Vec::new();
        let mut lists = Vec::new();
        let mut anyone_and_anything = NONE;
        for cell in cells.chunk_by(|a, b| (a.subject, a.object) == (b.subject, b.object)) {
            let numbers = cell.iter().map(|cell| cell.rule);
            let list = push_list(&mut lists, items(rules, numbers))?;
            let Some(&Cell {
                subject, object, ..
            }) = cell.first()
            else {
                continue;
            };
            match (subject, object) {
                (ANY, ANY) => anyone_and_anything = list,
                (ANY, object) => objects.rules_mut(object)?.alone = list,
                (subject, ANY) => subjects.rules_mut(subject)?.alone = list,
                (subject, object) => pairs.push(Pair {
                    subject,
                    object,
                    list,
                }),
            }
        }
        Some(Self {
            pairs: Table::build(&pairs, |pair, seed| hash(pair.subject, pair.object, seed))?,
            lists: lists.into(),
            anyone_and_anything,
        })
    }

    /// The rules that name neither a subject nor an object.
    pub(super) fn of_anyone_and_anything(&self) -> &[u32] {
        self.list(&self.anyone_and_anything)
    }

    /// The rules for this and anything on the other side.
    #[inline]
    pub(super) fn beside<'i>(&'i self, hit: Option<Hit<'i>>) -> &'i [u32] {
        hit.map_or(&[], |hit| self.list(&hit.rules.alone))
    }

    /// The rules for this subject and this object.
    #[inline]
    pub(super) fn of(&self, subject: Hit<'_>, object: Hit<'_>) -> &[u32] {
        let (subject, object) = (subject.key, object.key);
        let is = |pair: &Pair| pair.subject == subject && pair.object == object;
        match self.pairs.find(|seed| hash(subject, object, seed), is) {
            Some((_, pair)) => self.list(&pair.list),
            None => &[],
        }
    }

    #[inline]
    fn list<'i>(&'i self, list: &'i u32) -> &'i [u32] {
        if *list == NONE {
            return &[];
        }
        if *list & SINGLE != 0 {
            return std::slice::from_ref(list);
        }
        let behind = self
            .lists
            .get(*list as usize..)
            .and_then(<[_]>::split_first);
        let found = behind.and_then(|(length, items)| items.get(..*length as usize));
        found.unwrap_or(&[])
    }

    #[cfg(test)]
    #[cfg(not(countersign_loom))]
    pub(super) fn heap_bytes(&self) -> usize {
        self.pairs.heap_bytes() + size_of_val(&*self.lists)
    }
}

/// The items of a cell: the rules that can ever be the answer, none after one that is certain.
fn items(rules: &[Rule], numbers: impl Iterator<Item = u32>) -> impl Iterator<Item = u32> {
    let items = numbers.map(|number| match rules.get(number as usize) {
        Some(rule) if rule.conditions().ask_names_only() => number | CERTAIN,
        _ => number,
    });
    let mut decided = false;
    items.take_while(move |item| !std::mem::replace(&mut decided, is_certain(*item)))
}

fn push_list(lists: &mut Vec<u32>, mut items: impl Iterator<Item = u32>) -> Option<u32> {
    let first = items.next()?;
    let Some(second) = items.next() else {
        return Some(first | SINGLE);
    };
    let start = u32::try_from(lists.len())
        .ok()
        .filter(|start| *start < SINGLE)?;
    lists.extend([0, first, second]);
    lists.extend(items);
    let length = lists.len() - (start as usize + 1);
    *lists.get_mut(start as usize)? = u32::try_from(length).ok()?;
    Some(start)
}

/// Folds the product of both keys, so that every bit of either reaches the upper half.
#[inline]
fn hash(subject: u32, object: u32, seed: u64) -> u64 {
    let key = (u64::from(subject) << 32 | u64::from(object)) ^ 0x9e37_79b9_7f4a_7c15;
    let product = u128::from(key.wrapping_add(seed)) * 0xd6e8_feb8_6659_fd93;
    (product >> 64) as u64 ^ product as u64
}
