//! Lists of names as people and logs get them: a few, and how many more there are.

use std::fmt;

use serde::ser::{Serialize, SerializeSeq, Serializer};

/// How many names of a list are shown to people.
const SHOWN_NAMES: usize = 4;

/// How many names of a list are written to a log.
const LOGGED_NAMES: usize = 16;

/// A list of which only the beginning is shown, so that a line is bounded however long the list.
pub(crate) struct Listed<'a, T>(pub(crate) &'a [T]);

impl<'a, T> Listed<'a, T> {
    /// The names that a log gets.
    pub(crate) fn logged(&self) -> Logged<'a, T> {
        Logged(self.0.get(..LOGGED_NAMES).unwrap_or(self.0))
    }

    /// How many names a log does not get.
    pub(crate) fn left_out(&self) -> usize {
        self.0.len().saturating_sub(LOGGED_NAMES)
    }
}

/// `` `a`, `b`, `c`, `d` and 96 more``.
impl<T: fmt::Display> fmt::Display for Listed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, name) in self.0.iter().take(SHOWN_NAMES).enumerate() {
            let separator = if place == 0 { "" } else { ", " };
            write!(f, "{separator}`{name}`")?;
        }
        match self.0.len().saturating_sub(SHOWN_NAMES) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Names that are written as texts.
pub(crate) struct Logged<'a, T>(&'a [T]);

impl<T: fmt::Display> Serialize for Logged<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut names = serializer.serialize_seq(Some(self.0.len()))?;
        for name in self.0 {
            names.serialize_element(&format_args!("{name}"))?;
        }
        names.end()
    }
}
