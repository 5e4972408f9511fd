//! `decide` and `explain`.

use std::io::Read;

use countersign_policy::{Clock, Decision, Explanation, OwnedDecision, Query, Step};
use serde::Serialize;

use crate::Answer;
use crate::arguments::{Asked, Explained, Format};
use crate::failure::Failure;
use crate::json_line;
use crate::source::Source;
use crate::style::{Paint, Style};

/// Decides a query. Access that is not given is something to look at.
pub fn decide(
    asked: &Asked,
    clock: &dyn Clock,
    stdin: &mut dyn Read,
    style: Style,
) -> Result<Answer, Failure> {
    #[derive(Serialize)]
    struct Decided<'q> {
        query: &'q Query,
        decision: OwnedDecision,
    }

    let source = Source::read(&asked.file, stdin)?;
    let query = query(asked, clock);
    let decision = source.policy.decide(&query);
    let text = match asked.format {
        Format::Text => told(&decision, style) + "\n",
        Format::Json => json_line(&Decided {
            query: &query,
            decision: decision.to_owned(),
        })?,
    };
    Ok(Answer {
        text,
        found: !decision.is_allowed(),
    })
}

/// Explains the answer to a query. Nothing that it says is a finding.
pub fn explain(
    asked: &Explained,
    clock: &dyn Clock,
    stdin: &mut dyn Read,
    style: Style,
) -> Result<Answer, Failure> {
    let source = Source::read(&asked.query.file, stdin)?;
    let query = query(&asked.query, clock);
    let explanation = source.policy.explain(&query);
    let text = match (asked.query.format, asked.all) {
        (Format::Text, false) => lines(&explanation, &explanation.to_string(), style),
        (Format::Text, true) => lines(&explanation, &every_rule(&explanation), style),
        (Format::Json, false) => told_json(&explanation, &explanation)?,
        (Format::Json, true) => {
            let rules = source.policy.rules().len();
            told_json(&explanation, &Whole::new(&explanation, rules))?
        }
    };
    Ok(Answer { text, found: false })
}

fn query(asked: &Asked, clock: &dyn Clock) -> Query {
    let at = asked.at.unwrap_or_else(|| clock.now());
    let mut query = Query::new(asked.user.clone(), asked.profile.clone(), at)
        .with_groups(asked.groups.iter().cloned())
        .with_profile_groups(asked.profile_groups.iter().cloned());
    if let Some(mode) = asked.mode {
        query = query.with_mode(mode);
    }
    match &asked.session_table {
        Some(table) => query.with_session_table(table.clone()),
        None => query,
    }
}

fn told(decision: &Decision<'_>, style: Style) -> String {
    style.paint_start(Paint::from(decision), &decision.to_string(), ',')
}

/// The query, what is said of the rules, and the decision.
fn lines(explanation: &Explanation<'_>, rules: &str, style: Style) -> String {
    let (query, decision) = (explanation.query(), explanation.decision());
    let decision = told(&decision, style);
    format!("{query}\n{rules}\ndecision: {decision}\n")
}

/// A line for each rule that was asked.
fn every_rule(explanation: &Explanation<'_>) -> String {
    let mut lines: Vec<String> = Vec::new();
    lines.extend(explanation.steps().map(|step| step.to_string()));
    if explanation.decision().rule().is_none() {
        lines.push("no rule matches: deny".to_owned());
    }
    lines.join("\n")
}

fn told_json(explanation: &Explanation<'_>, shown: &impl Serialize) -> Result<String, Failure> {
    #[derive(Serialize)]
    struct Explained<'q, S> {
        query: &'q Query,
        decision: OwnedDecision,
        explanation: &'q S,
    }

    json_line(&Explained {
        query: explanation.query(),
        decision: explanation.decision().to_owned(),
        explanation: shown,
    })
}

/// An explanation with every rule that was asked.
#[derive(Serialize)]
struct Whole<'a> {
    decided_by: Option<usize>,
    asked: usize,
    not_asked: usize,
    left_out: usize,
    rules: Vec<Step<'a>>,
}

impl<'a> Whole<'a> {
    fn new(explanation: &Explanation<'a>, of_rules: usize) -> Self {
        let rules: Vec<Step<'a>> = explanation.steps().collect();
        let last = rules.last();
        Self {
            decided_by: last
                .filter(|step| step.unmet.is_none())
                .map(|step| step.index),
            asked: rules.len(),
            not_asked: of_rules - rules.len(),
            left_out: 0,
            rules,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use clap::Parser as _;
    use countersign_policy::ManualClock;

    use super::*;
    use crate::arguments::{Arguments, Command};
    use crate::style::Style;

    #[test]
    fn the_time_is_that_of_the_clock_unless_another_is_given() {
        let json = r#"{"version": "1", "rules": [{"name": "r", "effect": "allow", "conditions":
            {"time": {"hours": {"start": "09:00", "end": "17:00"}}}}]}"#;
        let noon: DateTime<Utc> = "2026-03-02T12:00:00Z".parse().expect("a time");
        let night: DateTime<Utc> = "2026-03-02T00:00:00Z".parse().expect("a time");
        let found = |now, more: &[&str]| {
            let mut typed = vec!["", "decide", "-", "--user", "bob", "--profile", "prod"];
            typed.extend(more);
            let arguments = Arguments::try_parse_from(typed).expect("good arguments");
            let Command::Decide(asked) = arguments.command else {
                unreachable!("`decide` was typed")
            };
            let style = Style::new(arguments.color, false, None);
            decide(&asked, &ManualClock::at(now), &mut json.as_bytes(), style)
                .expect("a policy")
                .found
        };
        assert!(!found(noon, &[]) && found(night, &[]));
        assert!(!found(night, &["--at", "2026-03-02T12:00:00Z"]));
    }
}
