//! The ways of asking that a policy tells apart: each mode or none, with the session tracked or not.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::vocabulary::Mode;

/// A set of ways of asking: each mode or none, with the session tracked or not.
///
/// ```
/// use countersign_policy::{Mode, Policy};
///
/// let policy = |effect: &str| -> Result<Policy, _> {
///     format!(r#"{{"version": "1", "rules": [
///         {{"name": "prod", "effect": "{effect}", "conditions": {{"profiles": ["prod"]}}}}
///     ]}}"#).parse()
/// };
/// let difference = policy("allow")?.diff(&policy("require_server")?);
/// let ways = difference.changes()[0].ways;
/// assert!(ways.has(None, true) && !ways.has(Some(Mode::Server), true));
/// assert_eq!(ways.to_string(), "no mode, mode cli, mode credential_process");
/// # Ok::<(), countersign_policy::DocumentError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ways(u8);

impl Ways {
    pub(crate) const ALL: Ways = Ways(0xff);

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
    pub fn has(self, mode: Option<Mode>, tracked: bool) -> bool {
        self.0 & Self::bit(mode, tracked) != 0
    }

    /// Whether they are all ways there are.
    pub fn is_all(self) -> bool {
        self == Self::ALL
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
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

/// `mode server, no mode untracked`; `any way` if it is all.
impl fmt::Display for Ways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str("any way");
        }
        let mut separator = "";
        for mode in modes() {
            let suffix = match (self.has(mode, false), self.has(mode, true)) {
                (false, false) => continue,
                (true, true) => "",
                (true, false) => " untracked",
                (false, true) => " tracked",
            };
            f.write_str(separator)?;
            match mode {
                Some(mode) => write!(f, "mode {mode}{suffix}")?,
                None => write!(f, "no mode{suffix}")?,
            }
            separator = ", ";
        }
        Ok(())
    }
}

/// As it is shown.
impl Serialize for Ways {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
