//! Rules that list many names on both sides: each name has the set of the wide rules that list it.
//!
//! A set is a sorted list, or, where that takes no more than [`MOST_BYTES_A_PLACE`] bytes for each
//! rule in it, a bit for every wide rule. Intersecting two sets then takes a step for each rule in
//! the shorter list, or one for each 64 wide rules; a list that is searched is short.

use super::search::Search;
use super::side::{Hit, NONE, Side};

/// How many bytes of bits a rule in a set may take; 24 keeps the index within 64 bytes a name.
const MOST_BYTES_A_PLACE: usize = 24;

/// The length of a set that is bits.
const BITS: u32 = u32::MAX;

/// All wide rules.
#[derive(Debug)]
pub(super) struct Wide {
    /// Their numbers, in order. Sets hold places in this.
    rules: Box<[u32]>,
    sets: Box<[Stored]>,
    lists: Box<[u32]>,
    bits: Box<[u64]>,
}

/// Where a set is: in `lists`, or in `bits` if its length is [`BITS`].
#[derive(Debug, Clone, Copy)]
struct Stored {
    start: u32,
    length: u32,
}

#[derive(Debug, Clone, Copy)]
enum Set<'i> {
    List(&'i [u32]),
    Bits(&'i [u64]),
}

impl Wide {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Asks the wide rules that list both, in order, up to the first that holds.
    #[inline]
    pub(super) fn search(&self, subject: Hit<'_>, object: Hit<'_>, search: &mut Search<'_, '_>) {
        if let (Some(one), Some(other)) = (self.set(subject), self.set(object)) {
            self.intersect(one, other, search);
        }
    }

    fn intersect(&self, one: Set<'_>, other: Set<'_>, search: &mut Search<'_, '_>) {
        let mut ask = |place: u32| match self.rules.get(place as usize) {
            Some(number) => search.ask(*number),
            None => true,
        };
        match (one, other) {
            (Set::List(list), Set::Bits(bits)) | (Set::Bits(bits), Set::List(list)) => {
                let has = |place: u32| {
                    let word = bits.get(place as usize / 64);
                    word.is_some_and(|word| word >> (place % 64) & 1 == 1)
                };
                let _ = list.iter().any(|place| has(*place) && ask(*place));
            }
            (Set::Bits(one), Set::Bits(other)) => {
                for ((one, other), start) in one.iter().zip(other).zip((0_u32..).step_by(64)) {
                    let mut both = one & other;
                    while both != 0 {
                        if ask(start + both.trailing_zeros()) {
                            return;
                        }
                        both &= both - 1;
                    }
                }
            }
            (Set::List(one), Set::List(other)) => {
                let (mut left, mut right) = (0, 0);
                while let (Some(a), Some(b)) = (one.get(left), other.get(right)) {
                    if a == b && ask(*a) {
                        return;
                    }
                    // Without branches: which list is behind cannot be predicted.
                    left += usize::from(a <= b);
                    right += usize::from(b <= a);
                }
            }
        }
    }

    #[inline]
    fn set(&self, hit: Hit<'_>) -> Option<Set<'_>> {
        let Stored { start, length } = *self.sets.get(hit.rules.wide as usize)?;
        let start = start as usize;
        if length == BITS {
            let words = self.rules.len().div_ceil(64);
            self.bits.get(start..start + words).map(Set::Bits)
        } else {
            self.lists
                .get(start..start + length as usize)
                .map(Set::List)
        }
    }

    #[cfg(test)]
    #[cfg(not(countersign_loom))]
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.rules)
            + size_of_val(&*self.sets)
            + size_of_val(&*self.lists)
            + size_of_val(&*self.bits)
    }
}

/// Wide rules as they are met.
#[derive(Debug, Default)]
pub(super) struct WideBuilder {
    rules: Vec<u32>,
    /// Key and place, for each name listed.
    subjects: Vec<(u32, u32)>,
    objects: Vec<(u32, u32)>,
}

impl WideBuilder {
    /// Adds a rule behind those before it. None if there are too many.
    pub(super) fn add(&mut self, rule: u32, subjects: &[u32], objects: &[u32]) -> Option<()> {
        let place = u32::try_from(self.rules.len()).ok()?;
        self.rules.push(rule);
        self.subjects
            .extend(subjects.iter().map(|key| (*key, place)));
        self.objects.extend(objects.iter().map(|key| (*key, place)));
        Some(())
    }

    /// Makes the sets and tells each name which is its own. None if there are too many.
    pub(super) fn build<S: AsRef<str> + Clone, O: AsRef<str> + Clone>(
        mut self,
        subjects: &mut Side<S>,
        objects: &mut Side<O>,
    ) -> Option<Wide> {
        let mut sets = Vec::new();
        let mut lists = Vec::new();
        let mut bits = Vec::new();
        let words = self.rules.len().div_ceil(64);
        // Keys with places in order, so sorting by both leaves each set in order.
        self.subjects.sort_unstable();
        self.objects.sort_unstable();
        let mut make = |set: &[(u32, u32)]| {
            let number = u32::try_from(sets.len())
                .ok()
                .filter(|number| *number != NONE)?;
            let places = set.iter().map(|(_, place)| *place);
            sets.push(if words * 8 <= set.len() * MOST_BYTES_A_PLACE {
                let start = bits.len();
                bits.resize(start + words, 0_u64);
                for place in places {
                    *bits.get_mut(start + place as usize / 64)? |= 1 << (place % 64);
                }
                Stored {
                    start: u32::try_from(start).ok()?,
                    length: BITS,
                }
            } else {
                let start = lists.len();
                lists.extend(places);
                Stored {
                    start: u32::try_from(start).ok()?,
                    length: u32::try_from(set.len()).ok()?,
                }
            });
            Some(number)
        };
        for set in self.subjects.chunk_by(|a, b| a.0 == b.0) {
            subjects.rules_mut(set.first()?.0)?.wide = make(set)?;
        }
        for set in self.objects.chunk_by(|a, b| a.0 == b.0) {
            objects.rules_mut(set.first()?.0)?.wide = make(set)?;
        }
        Some(Wide {
            rules: self.rules.into(),
            sets: sets.into(),
            lists: lists.into(),
            bits: bits.into(),
        })
    }
}
