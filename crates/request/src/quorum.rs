//! Groups with thresholds: whether the people who have approved are enough, as one pure function.
//!
//! Where a user counts for one group only, people must be divided among the groups so that each
//! reaches its threshold. By Hall's theorem that is possible if and only if every set of groups has
//! as many approvers among its members as its thresholds add up to. So the answer depends on who
//! has approved and on nothing else: not on the order, not on a choice that somebody made.

use std::collections::{BTreeMap, HashMap, HashSet};

use countersign_core::names::User;

/// The most groups of one rule: sets of groups are kept in the bits of a byte.
pub(crate) const MAX_GROUPS: usize = 8;

/// The thresholds of a rule's groups and who is in which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quorum {
    thresholds: Vec<u32>,
    /// The groups of each user, the first group in the lowest bit.
    groups_of: HashMap<User, u8>,
    in_every_group: bool,
}

impl Quorum {
    /// `groups` are at most [`MAX_GROUPS`], each with its threshold.
    pub(crate) fn new<'a>(
        groups: impl IntoIterator<Item = (u32, &'a [User])>,
        in_every_group: bool,
    ) -> Self {
        let (mut thresholds, mut groups_of) = (Vec::new(), HashMap::new());
        for (bit, (threshold, members)) in groups.into_iter().enumerate().take(MAX_GROUPS) {
            thresholds.push(threshold);
            for member in members {
                *groups_of.entry(member.clone()).or_default() |= 1_u8 << bit;
            }
        }
        Self {
            thresholds,
            groups_of,
            in_every_group,
        }
    }

    /// Whether a group has this user, exactly so spelt.
    pub(crate) fn names(&self, user: &User) -> bool {
        self.groups_of.contains_key(user)
    }

    /// Whether the approval of exactly these people meets every group. Who is in no group does not
    /// count, and who is given twice counts once.
    pub(crate) fn is_met<'a>(&self, people: impl Iterator<Item = &'a User>) -> bool {
        let mut known = HashSet::new();
        let mut counts = BTreeMap::<u8, u64>::new();
        for user in people {
            if let Some(groups) = self.groups_of.get(user) {
                if known.insert(user.case_folded()) {
                    *counts.entry(*groups).or_default() += 1;
                }
            }
        }
        let sets = 1_u16..1 << self.thresholds.len();
        sets.filter(|set| !self.in_every_group || set.is_power_of_two())
            .all(|set| {
                let members = counts
                    .iter()
                    .filter(|(groups, _)| u16::from(**groups) & set != 0);
                let needed = (0..)
                    .zip(&self.thresholds)
                    .filter(|(bit, _)| set >> bit & 1 == 1);
                let members: u64 = members.map(|(_, count)| count).sum();
                members >= needed.map(|(_, threshold)| u64::from(*threshold)).sum()
            })
    }
}
