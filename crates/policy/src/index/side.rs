//! One side of the rules: whom they are for, or what. A name or a group of the side has a number,
//! its *key*, and beside it the rules for it and anything on the other side.

use std::hash::BuildHasher;

use countersign_core::names::Group;
use foldhash::fast::FixedState;

use super::table::Table;

/// The key of a rule's side that names nothing.
pub(super) const ANY: u32 = u32::MAX;

/// No list, and no set.
pub(super) const NONE: u32 = u32::MAX;

/// Where the rules of one key are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// The list of those that name nothing on the other side.
    pub(super) alone: u32,
    /// The set of the wide ones.
    pub(super) wide: u32,
}

#[derive(Debug, Clone)]
struct Entry<N> {
    name: N,
    rules: Rules,
}

/// The names of one side, and the groups of such names.
#[derive(Debug)]
pub(super) struct Side<N> {
    names: Table<Entry<N>>,
    groups: Table<Entry<Group>>,
}

/// A key that a query is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit<'i> {
    pub(super) key: u32,
    pub(super) rules: &'i Rules,
}

impl<N: AsRef<str> + Clone> Side<N> {
    /// The names that the rules list, each once. None if they are too many for their keys.
    pub(super) fn build(
        names: impl IntoIterator<Item = N>,
        groups: impl IntoIterator<Item = Group>,
    ) -> Option<Self> {
        Some(Self {
            names: table(names)?,
            groups: table(groups)?,
        })
    }

    /// The keys of a rule with these lists, in order and each once: its names if it has any, else
    /// its groups, else [`ANY`].
    pub(super) fn keys_of(
        &self,
        names: Option<&[N]>,
        groups: Option<&[Group]>,
        keys: &mut Vec<u32>,
    ) {
        keys.clear();
        match (names, groups) {
            (Some(names), _) => keys.extend(
                names
                    .iter()
                    .filter_map(|name| self.find_name(name.as_ref()))
                    .map(|hit| hit.key),
            ),
            (None, Some(groups)) => keys.extend(
                groups
                    .iter()
                    .filter_map(|group| self.find_group(group))
                    .map(|hit| hit.key),
            ),
            (None, None) => keys.push(ANY),
        }
        keys.sort_unstable();
        keys.dedup();
    }

    #[inline]
    pub(super) fn find_name(&self, name: &str) -> Option<Hit<'_>> {
        let (key, rules) = find(&self.names, name)?;
        Some(Hit { key, rules })
    }

    fn find_group(&self, group: &Group) -> Option<Hit<'_>> {
        let (place, rules) = find(&self.groups, group.as_str())?;
        let key = self.first_group() + place;
        Some(Hit { key, rules })
    }

    /// The keys of a name and of the groups it is in, as far as any rule lists them.
    pub(super) fn find_all(&self, name: &str, groups: &[Group]) -> impl Iterator<Item = Hit<'_>> {
        let groups = groups.iter().filter_map(|group| self.find_group(group));
        self.find_name(name).into_iter().chain(groups)
    }

    pub(super) fn has_groups(&self) -> bool {
        self.groups.places() > 0
    }

    /// The rules of a key, to be set while the index is built.
    pub(super) fn rules_mut(&mut self, key: u32) -> Option<&mut Rules> {
        match key.checked_sub(self.first_group()) {
            None => self.names.get_mut(key).map(|entry| &mut entry.rules),
            Some(place) => self.groups.get_mut(place).map(|entry| &mut entry.rules),
        }
    }

    /// The keys of groups follow those of names; a table has less than 2³¹ places.
    fn first_group(&self) -> u32 {
        self.names.places() as u32
    }

    #[cfg(test)]
    #[cfg(not(countersign_loom))]
    pub(super) fn heap_bytes(&self) -> usize {
        self.names.heap_bytes() + self.groups.heap_bytes()
    }
}

fn table<N: AsRef<str> + Clone>(names: impl IntoIterator<Item = N>) -> Option<Table<Entry<N>>> {
    let rules = Rules {
        alone: NONE,
        wide: NONE,
    };
    let entries = names.into_iter().map(|name| Entry { name, rules });
    let entries: Vec<_> = entries.collect();
    Table::build(&entries, |entry, seed| hash(entry.name.as_ref(), seed))
}

#[inline]
fn find<'i, N: AsRef<str>>(table: &'i Table<Entry<N>>, name: &str) -> Option<(u32, &'i Rules)> {
    let is = |entry: &Entry<N>| entry.name.as_ref() == name;
    let (place, entry) = table.find(|seed| hash(name, seed), is)?;
    Some((place, &entry.rules))
}

#[inline]
fn hash(name: &str, seed: u64) -> u64 {
    FixedState::with_seed(seed).hash_one(name)
}
