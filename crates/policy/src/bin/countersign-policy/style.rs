//! Colours, or none.

use std::ffi::OsStr;

use countersign_policy::{Decision, Direction, Severity};

use crate::arguments::Color;

/// Whether what is written is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    colored: bool,
}

/// A colour of the terminal, by its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Bold.
    Bold,
    /// Bold red.
    Red,
    /// Bold green.
    Green,
    /// Bold yellow.
    Yellow,
    /// Bold blue.
    Blue,
}

impl Style {
    /// As the user wants it; failing that on a terminal, unless `NO_COLOR` is set and not empty.
    pub fn new(color: Color, is_terminal: bool, no_color: Option<&OsStr>) -> Self {
        let refused = no_color.is_some_and(|value| !value.is_empty());
        let colored = match color {
            Color::Auto => is_terminal && !refused,
            Color::Always => true,
            Color::Never => false,
        };
        Self { colored }
    }

    /// The text in a colour, if there are colours.
    pub fn paint(self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Bold => "1",
            Paint::Red => "1;31",
            Paint::Green => "1;32",
            Paint::Yellow => "1;33",
            Paint::Blue => "1;34",
        };
        if self.colored {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// A line that begins with a word and a sign, the word in a colour.
    pub fn paint_start(self, paint: Paint, line: &str, sign: char) -> String {
        match line.find(sign).and_then(|at| line.split_at_checked(at)) {
            Some((word, rest)) => self.paint(paint, word) + rest,
            None => self.paint(paint, line),
        }
    }
}

impl From<&Decision<'_>> for Paint {
    fn from(decision: &Decision<'_>) -> Self {
        match decision {
            Decision::Allow(_) => Paint::Green,
            Decision::RequireApproval(_) => Paint::Yellow,
            Decision::Deny(_) => Paint::Red,
        }
    }
}

impl From<Severity> for Paint {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Note => Paint::Blue,
            Severity::Warning => Paint::Yellow,
        }
    }
}

impl From<Direction> for Paint {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Gains => Paint::Green,
            Direction::Loses => Paint::Red,
            Direction::Changes => Paint::Yellow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_colours_on_a_terminal_that_does_not_refuse_them() {
        let colored = |color, is_terminal, no_color: Option<&str>| {
            Style::new(color, is_terminal, no_color.map(OsStr::new)).colored
        };
        assert!(colored(Color::Auto, true, None));
        assert!(
            colored(Color::Auto, true, Some("")),
            "an empty NO_COLOR is none"
        );
        assert!(!colored(Color::Auto, true, Some("1")));
        assert!(!colored(Color::Auto, false, None));
        assert!(colored(Color::Always, false, Some("1")));
        assert!(!colored(Color::Never, true, None));
    }
}
