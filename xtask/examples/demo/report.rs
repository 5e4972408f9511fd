//! The lines and the table at the end, for people or as JSON.

use std::collections::BTreeMap;
use std::io::{self, Write};

use chrono::NaiveDate;
use countersign_policy::CacheStats;
use serde::Serialize;

use crate::step::Step;
use crate::world::{Outcome, Tone};

/// Writes what happens as it happens, and counts.
pub struct Report<'w> {
    json: bool,
    colour: bool,
    output: &'w mut dyn Write,
    day: Option<NaiveDate>,
    /// By verb, in the order of their first appearance: how often each outcome was.
    counts: Vec<(&'static str, BTreeMap<String, usize>)>,
}

/// A step as `--json` writes it.
#[derive(Serialize)]
struct Line<'a> {
    at: String,
    #[serde(rename = "do")]
    verb: &'a str,
    actor: &'a str,
    what: &'a str,
    outcome: &'a str,
    why: &'a str,
}

const GREEN: &str = "32";
const RED: &str = "31";
const YELLOW: &str = "33";
const FAINT: &str = "2";
const BOLD: &str = "1";

impl<'w> Report<'w> {
    /// A report without lines.
    pub fn new(json: bool, colour: bool, output: &'w mut dyn Write) -> Self {
        Self {
            json,
            colour: colour && !json,
            output,
            day: None,
            counts: Vec::new(),
        }
    }

    /// Counts what came of a step, for the table.
    pub fn count(&mut self, step: &Step, outcome: &Outcome) {
        let place = self
            .counts
            .iter()
            .position(|(known, _)| *known == step.verb);
        let place = place.unwrap_or_else(|| {
            self.counts.push((step.verb, BTreeMap::new()));
            self.counts.len() - 1
        });
        if let Some((_, kinds)) = self.counts.get_mut(place) {
            *kinds.entry(outcome.kind.clone()).or_default() += 1;
        }
    }

    /// Says, in the place of their lines, that steps were played before.
    pub fn before(&mut self, steps: &[Step]) -> io::Result<()> {
        let Some(last) = steps.last().filter(|_| !self.json) else {
            return Ok(());
        };
        let until = last.at.format("%A, %-d %B %Y, %H:%M:%S");
        let count = steps.len();
        let text = format!("steps played before: {count}, until {until}");
        writeln!(self.output, "{}", self.painted(FAINT, &text))
    }

    /// Says what is left of the day, and how to go on.
    pub fn left(&mut self, steps: usize, kept: bool) -> io::Result<()> {
        if self.json || steps == 0 {
            return Ok(());
        }
        let how = match kept {
            true => "start the same command again to go on",
            false => "add `--store sqlite:PATH` to go on another time",
        };
        writeln!(self.output, "steps left to play: {steps}; {how}")
    }

    /// Writes what came of a step.
    pub fn step(&mut self, step: &Step, outcome: &Outcome) -> io::Result<()> {
        if self.json {
            let line = Line {
                at: step.at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
                verb: step.verb,
                actor: &outcome.actor,
                what: &outcome.what,
                outcome: &outcome.kind,
                why: &outcome.why,
            };
            serde_json::to_writer(&mut *self.output, &line)?;
            return writeln!(self.output);
        }
        let day = step.at.date_naive();
        if self.day.replace(day) != Some(day) {
            let title = self.painted(BOLD, &day.format("%A, %-d %B %Y (UTC)").to_string());
            writeln!(self.output, "{title}")?;
        }
        let (mark, colour) = match outcome.tone {
            Tone::Yes => ("+", GREEN),
            Tone::No => ("x", RED),
            Tone::Waiting => ("?", YELLOW),
            Tone::Plain => (" ", FAINT),
        };
        let time = self.painted(FAINT, &step.at.format("%H:%M:%S").to_string());
        let kind = self.painted(colour, &outcome.kind.replace('_', " "));
        let mark = self.painted(colour, mark);
        let Outcome {
            actor, what, why, ..
        } = outcome;
        let deed = one_line(&format!("{actor:<9} {what}"));
        let why = one_line(why);
        let line = format!("{time} {mark} {deed:<58} {kind}");
        if why.is_empty() {
            writeln!(self.output, "{line}")
        } else {
            writeln!(self.output, "{line}: {why}")
        }
    }

    /// Writes the table, unless the lines are for a program.
    pub fn summary(&mut self, expected: usize, cache: CacheStats) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        let title = self.painted(BOLD, "verb       steps  outcomes");
        writeln!(self.output, "\n{title}")?;
        let mut total = 0_usize;
        for (verb, kinds) in &self.counts {
            let steps: usize = kinds.values().sum();
            total += steps;
            let kinds: Vec<String> = kinds
                .iter()
                .map(|(kind, count)| format!("{count} {}", kind.replace('_', " ")))
                .collect();
            writeln!(self.output, "{verb:<10} {steps:>5}  {}", kinds.join(" · "))?;
        }
        writeln!(
            self.output,
            "{:<10} {total:>5}  {expected} as expected",
            "all"
        )?;
        let CacheStats { hits, loads, .. } = cache;
        writeln!(self.output, "policy cache: {hits} hits, {loads} loads")
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A text without control characters: what a file says can neither break a line nor paint it.
pub fn one_line(text: &str) -> String {
    let mut line = String::new();
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_debug());
        } else {
            line.push(character);
        }
    }
    line
}
