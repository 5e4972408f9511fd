//! Which rules of a policy may share a query with a region, found by the names that they list.

use std::collections::HashMap;

use super::Region;
use super::cover::{Effort, Exhausted};
use super::sets::{Id, Names};

/// The rules of one policy by the people and the profiles that they list.
#[derive(Debug)]
pub(crate) struct Crossing {
    people: Lists,
    profiles: Lists,
}

impl Crossing {
    pub(crate) fn new(regions: &[Region]) -> Self {
        Self {
            people: Lists::new(regions.iter().map(|region| &region.people)),
            profiles: Lists::new(regions.iter().map(|region| &region.profiles)),
        }
    }

    /// The places of the rules before `end` whose regions, which are `regions`, meet this one. In
    /// order.
    pub(crate) fn before(
        &self,
        region: &Region,
        end: usize,
        regions: &[Region],
        effort: &mut Effort,
    ) -> Result<Vec<usize>, Exhausted> {
        let people = self.people.count(&region.people);
        let profiles = self.profiles.count(&region.profiles);
        let count = people.min(profiles);
        let places = if count >= end {
            (0..end).collect()
        } else if people == count {
            self.people.rules(&region.people)
        } else {
            self.profiles.rules(&region.profiles)
        };
        effort.spend(places.len())?;
        let mut met = Vec::new();
        for place in places.into_iter().take_while(|place| *place < end) {
            let Some(rule) = regions.get(place) else {
                continue;
            };
            effort.spend(1 + region.cost_to_compare(rule))?;
            if region.meets(rule) {
                met.push(place);
            }
        }
        Ok(met)
    }

    /// The part of the region with those of its people and profiles that the fewest rules list.
    pub(crate) fn rarest(&self, region: &Region) -> Region {
        Region {
            people: self.people.rarest(&region.people),
            profiles: self.profiles.rarest(&region.profiles),
            ..region.clone()
        }
    }
}

/// For each name the places of the rules that list it, and those of the rules that list none.
#[derive(Debug)]
struct Lists {
    listing: HashMap<Id, Vec<usize>>,
    for_all: Vec<usize>,
}

impl Lists {
    fn new<'r>(names: impl Iterator<Item = &'r Names>) -> Self {
        let mut lists = Self {
            listing: HashMap::new(),
            for_all: Vec::new(),
        };
        for (place, names) in names.enumerate() {
            match names {
                Names::Only(ids) => {
                    for id in ids.iter() {
                        lists.listing.entry(*id).or_default().push(place);
                    }
                }
                Names::AllBut(_) => lists.for_all.push(place),
            }
        }
        lists
    }

    fn mentions(&self, id: Id) -> usize {
        self.listing.get(&id).map_or(0, Vec::len)
    }

    /// At most so many rules are for one of these names.
    fn count(&self, names: &Names) -> usize {
        match names {
            Names::Only(ids) => {
                let listing: usize = ids.iter().map(|id| self.mentions(*id)).sum();
                listing + self.for_all.len()
            }
            Names::AllBut(_) => usize::MAX,
        }
    }

    /// The rules that are for one of these names, in order.
    fn rules(&self, names: &Names) -> Vec<usize> {
        let mut places = self.for_all.clone();
        if let Names::Only(ids) = names {
            for id in ids.iter() {
                places.extend(self.listing.get(id).into_iter().flatten());
            }
        }
        places.sort_unstable();
        places.dedup();
        places
    }

    fn rarest(&self, names: &Names) -> Names {
        match names {
            Names::Only(ids) => {
                let rarest = ids.iter().min_by_key(|id| self.mentions(**id));
                Names::Only(rarest.copied().into_iter().collect())
            }
            Names::AllBut(_) => names.clone(),
        }
    }
}
