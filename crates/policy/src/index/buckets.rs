//! A hash table that is built once: as many buckets as items, and the items in the order of their
//! buckets. It takes 4 bytes beyond each item, whatever the items are, and one word to see that
//! a bucket is empty.

/// Items, found by hash.
#[derive(Debug)]
pub(super) struct Buckets<T> {
    /// Where each bucket begins in `items`, and where the last ends.
    starts: Box<[u32]>,
    items: Box<[T]>,
}

impl<T> Buckets<T> {
    /// None if there are more than 2³¹ items.
    pub(super) fn build(mut items: Vec<T>, hash: impl Fn(&T) -> u64) -> Option<Self> {
        let buckets = items.len();
        if buckets > 1 << 31 {
            return None;
        }
        items.sort_by_cached_key(|item| bucket(hash(item), buckets));
        let mut starts = Vec::with_capacity(buckets + 1);
        for (item, place) in items.iter().zip(0_u32..) {
            let bucket = bucket(hash(item), buckets);
            starts.resize(starts.len().max(bucket + 1), place);
        }
        starts.resize(buckets + 1, u32::try_from(buckets).ok()?);
        Some(Self {
            starts: starts.into(),
            items: items.into(),
        })
    }

    /// Where the item is that has this hash and of which `is` holds, and the item.
    #[inline]
    pub(super) fn find(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<(u32, &T)> {
        let bucket = bucket(hash, self.items.len());
        let &[start, end] = self.starts.get(bucket..bucket + 2)? else {
            return None;
        };
        let items = self.items.get(start as usize..end as usize)?;
        (start..).zip(items).find(|(_, item)| is(item))
    }

    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.items.get_mut(place as usize)
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.items)
    }
}

/// Spreads hashes over the buckets by their upper half, without a division.
#[inline]
fn bucket(hash: u64, buckets: usize) -> usize {
    (((hash >> 32) * buckets as u64) >> 32) as usize
}

#[cfg(test)]
#[cfg(not(countersign_loom))]
mod tests {
    use super::*;

    fn spread(number: &u64) -> u64 {
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn every_item_is_found_and_no_other() {
        for count in [0, 1, 2, 3, 7, 100, 1_000] {
            for hash in [
                spread,
                |_: &u64| 0,
                |_: &u64| u64::MAX,
                |number: &u64| (number % 3) << 62,
            ] {
                let table = Buckets::build((0..count).collect(), hash).unwrap();
                for number in 0..count {
                    let (place, item) = table.find(hash(&number), |item| *item == number).unwrap();
                    assert_eq!((table.items[place as usize], *item), (number, number));
                }
                assert_eq!(table.find(hash(&count), |item| *item == count), None);
            }
        }
    }
}
