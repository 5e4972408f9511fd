//! The ways of asking that a policy tells apart: each mode or none, with the session tracked or not.

use crate::query::Mode;

/// A set of ways of asking: each mode or none, with the session tracked or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ways(u8);

impl Ways {
    /// Each way, those without a mode first.
    pub(crate) fn each() -> impl Iterator<Item = (Option<Mode>, bool)> {
        modes().flat_map(|mode| [(mode, false), (mode, true)])
    }

    pub(crate) fn of(has: impl Fn(Option<Mode>, bool) -> bool) -> Self {
        let ways = Self::each().filter(|(mode, tracked)| has(*mode, *tracked));
        Self(ways.fold(0, |bits, (mode, tracked)| bits | Self::bit(mode, tracked)))
    }

    fn bit(mode: Option<Mode>, tracked: bool) -> u8 {
        let mode = mode.map_or(0, |mode| 1 + mode as u8);
        1 << (2 * mode + u8::from(tracked))
    }

    /// Whether a query with this mode, or without if none, whose session is tracked or not, is
    /// asked in one of these ways.
    pub(crate) fn has(self, mode: Option<Mode>, tracked: bool) -> bool {
        self.0 & Self::bit(mode, tracked) != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The first way, if there is one.
    pub(crate) fn first(self) -> Option<(Option<Mode>, bool)> {
        Self::each().find(|(mode, tracked)| self.has(*mode, *tracked))
    }
}

fn modes() -> impl Iterator<Item = Option<Mode>> {
    [None].into_iter().chain(Mode::ALL.into_iter().map(Some))
}
