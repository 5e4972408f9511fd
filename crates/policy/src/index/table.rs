//! A hash table that is built once and never probes twice.
//!
//! Items are divided into small groups by their hash. Each group has a *pilot*, a number that sends
//! every item of it to a slot of its own; looking up reads one pilot and one slot, which holds the
//! item or some other one. Finding the pilots takes longer than filling a usual table, and looking
//! up less: there is no loop for a processor to mispredict, and hardly a slot is empty.
//!
//! It takes ten ninths of its items, and half a byte for each.

/// How many items share a pilot, on average.
const GROUP: usize = 4;

/// How many seeds are tried for one that sends no two items to the same hash.
const SEEDS: u64 = 8;

/// Items, found by hash.
#[derive(Debug)]
pub(super) struct Table<T> {
    seed: u64,
    pilots: Box<[u16]>,
    /// Those that would be empty hold a copy of an item, which nothing leads to.
    slots: Box<[T]>,
}

impl<T: Clone> Table<T> {
    /// A table of items that differ, found by what `hash` gives for the item and a seed.
    ///
    /// None if there are more than 2³⁰ items, or if under every seed two have the same hash.
    pub(super) fn build(items: &[T], hash: impl Fn(&T, u64) -> u64) -> Option<Self> {
        if items.len() > 1 << 30 {
            return None;
        }
        (0..SEEDS).find_map(|seed| {
            let hashes: Vec<u64> = items.iter().map(|item| hash(item, seed)).collect();
            let Placed { pilots, places } = place(&hashes)?;
            let slots = places.iter().map(|place| items.get(*place as usize));
            let slots = slots.map(|item| item.or(items.first()).cloned());
            Some(Self {
                seed,
                pilots: pilots.into(),
                slots: slots.collect::<Option<_>>()?,
            })
        })
    }
}

impl<T> Table<T> {
    /// Where the item is of which `is` holds, and the item. `hash` gives its hash for a seed.
    #[inline]
    pub(super) fn find(
        &self,
        hash: impl FnOnce(u64) -> u64,
        is: impl FnOnce(&T) -> bool,
    ) -> Option<(u32, &T)> {
        let hash = hash(self.seed);
        let pilot = self.pilots.get(group(hash, self.pilots.len()))?;
        let slot = slot(hash, *pilot, self.slots.len());
        let item = self.slots.get(slot).filter(|item| is(item))?;
        Some((slot as u32, item))
    }

    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.slots.get_mut(place as usize)
    }

    /// The number of places, which is more than that of items unless it is 0.
    pub(super) fn places(&self) -> usize {
        self.slots.len()
    }

    #[cfg(test)]
    #[cfg(not(countersign_loom))]
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.pilots) + size_of_val(&*self.slots)
    }
}

struct Placed {
    pilots: Vec<u16>,
    /// Which item is in each slot; [`EMPTY`] if none.
    places: Vec<u32>,
}

const EMPTY: u32 = u32::MAX;

/// Finds a pilot for each group, the largest first, while most slots are empty. None if some group
/// has none.
fn place(hashes: &[u64]) -> Option<Placed> {
    let count = hashes.len();
    let mut placed = Placed {
        pilots: vec![0; count.div_ceil(GROUP)],
        places: vec![EMPTY; (count * 10).div_ceil(9)],
    };
    let groups = placed.pilots.len();
    let mut items: Vec<(u32, u32)> = hashes
        .iter()
        .zip(0..)
        .map(|(hash, item)| (group(*hash, groups) as u32, item))
        .collect();
    items.sort_unstable();
    let mut members: Vec<&[(u32, u32)]> = items.chunk_by(|a, b| a.0 == b.0).collect();
    members.sort_by_key(|members| std::cmp::Reverse(members.len()));
    let mut slots = Vec::new();
    for members in members {
        let pilot = (0..=u16::MAX).find(|pilot| {
            slots.clear();
            members.iter().all(|(_, item)| {
                let hash = hashes.get(*item as usize).copied().unwrap_or_default();
                let slot = slot(hash, *pilot, placed.places.len());
                let free = placed.places.get(slot) == Some(&EMPTY) && !slots.contains(&slot);
                slots.push(slot);
                free
            })
        })?;
        for ((group, item), slot) in members.iter().zip(&slots) {
            *placed.pilots.get_mut(*group as usize)? = pilot;
            *placed.places.get_mut(*slot)? = *item;
        }
    }
    Some(placed)
}

#[inline]
fn group(hash: u64, groups: usize) -> usize {
    spread(hash, groups)
}

#[inline]
fn slot(hash: u64, pilot: u16, slots: usize) -> usize {
    let turned = hash ^ u64::from(pilot).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    spread(turned.wrapping_mul(0xd6e8_feb8_6659_fd93), slots)
}

/// A number below `most` (0 if that is 0) by the upper half of `hash`, without a division.
#[inline]
fn spread(hash: u64, most: usize) -> usize {
    (((hash >> 32) * most as u64) >> 32) as usize
}

#[cfg(test)]
#[cfg(not(countersign_loom))]
mod tests {
    use super::*;

    type Hash = fn(&u64, u64) -> u64;

    const SPREAD: Hash = |number, seed| (number ^ seed << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);

    #[test]
    fn every_item_is_found_and_no_other() {
        for count in [0, 1, 2, 3, 7, 100, 1_000, 20_000] {
            let items: Vec<u64> = (0..count).collect();
            let table = Table::build(&items, SPREAD).unwrap();
            let find =
                |number: u64| table.find(|seed| SPREAD(&number, seed), |item| *item == number);
            for number in 0..count {
                let (place, item) = find(number).unwrap();
                assert_eq!((table.slots[place as usize], *item), (number, number));
            }
            for number in count..2 * count + 10 {
                assert_eq!(find(number), None);
            }
        }
    }

    #[test]
    fn equal_hashes_need_another_seed() {
        let collides_twice: Hash = |number, seed| if seed < 2 { 7 } else { SPREAD(number, seed) };
        let table = Table::build(&[1, 2, 3], collides_twice).unwrap();
        assert_eq!(table.seed, 2);
        assert!(
            table
                .find(|seed| SPREAD(&2, seed), |item| *item == 2)
                .is_some()
        );
        assert!(Table::build(&[1, 2, 3], |_, _| 7).is_none());
        assert!(Table::build(&[1], |_, _| 7).is_some());
    }
}
