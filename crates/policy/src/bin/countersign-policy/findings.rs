//! `lint`.

use std::io::Read;

use countersign_policy::{Finding, LintReport, RulePlace};
use serde::Serialize;

use crate::Answer;
use crate::arguments::{LintFormat, Linted};
use crate::failure::{Failure, told};
use crate::outline::Outline;
use crate::sarif;
use crate::source::Source;
use crate::style::{Paint, Style};
use crate::text::{Spot, Text};
use crate::{json_line, source::FileName};

/// Looks for what is probably wrong with a policy. Not to know is something to look at, too.
pub fn lint(asked: &Linted, stdin: &mut dyn Read, style: Style) -> Result<Answer, Failure> {
    let source = Source::read(&asked.file, stdin)?;
    let report = source.policy.lint();
    let places = Places::new(&source);
    let text = match asked.format {
        LintFormat::Text => lines(&report, &places, style),
        LintFormat::Json => json(&report, &places)?,
        LintFormat::Sarif => sarif::of_report(&report, &places),
    };
    let mut findings = report.findings().iter();
    Ok(Answer {
        text,
        found: !report.undecided().is_empty()
            || findings.any(|finding| asked.fail_on.is_reached(finding.severity)),
    })
}

/// Where the rules of a policy stand.
#[derive(Debug)]
pub struct Places<'s> {
    /// The file.
    pub file: &'s FileName,
    text: Text<'s>,
    outline: Outline<'s>,
}

impl<'s> Places<'s> {
    fn new(source: &'s Source) -> Self {
        Self {
            file: &source.name,
            text: Text::new(&source.json),
            outline: Outline::new(&source.json),
        }
    }

    /// The place of a rule: that of its name.
    pub fn spot(&self, rule: &RulePlace) -> Spot {
        let span = self.outline.value(&format!("rules[{}].name", rule.index));
        self.text.spot(&span)
    }
}

/// A finding without its severity and code: what is said of the rule.
pub fn sentence(finding: &Finding) -> String {
    let whole = finding.to_string();
    let start = format!("{}: {}: ", finding.severity, finding.kind.code());
    whole.strip_prefix(&start).unwrap_or(&whole).to_owned()
}

/// What is said of a rule for which the work did not suffice.
pub fn undecided(rule: &RulePlace) -> String {
    format!("{rule} overlaps with others in too many ways: whether it ever decides is not known")
}

fn lines(report: &LintReport, places: &Places<'_>, style: Style) -> String {
    let file = places.file.to_string();
    let mut text = String::new();
    for finding in report.findings() {
        let paint = Paint::from(finding.severity);
        let what = style.paint_start(paint, &finding.to_string(), ':');
        let spot = places.spot(&finding.rule);
        text += &told(Some(&file), Some(&spot), &what, paint, style);
    }
    for rule in report.undecided() {
        let what = format!("undecided: {}", undecided(rule));
        let spot = places.spot(rule);
        text += &told(Some(&file), Some(&spot), &what, Paint::Bold, style);
    }
    text
}

fn json(report: &LintReport, places: &Places<'_>) -> Result<String, Failure> {
    #[derive(Serialize)]
    struct Placed<'r, T> {
        line: usize,
        column: usize,
        #[serde(flatten)]
        what: &'r T,
    }

    #[derive(Serialize)]
    struct Report<'r> {
        file: String,
        findings: Vec<Placed<'r, Finding>>,
        undecided: Vec<Placed<'r, RulePlace>>,
    }

    fn placed<'r, T>(what: &'r T, rule: &RulePlace, places: &Places<'_>) -> Placed<'r, T> {
        let Spot { line, column, .. } = places.spot(rule);
        Placed { line, column, what }
    }

    let findings = report.findings().iter();
    let undecided = report.undecided().iter();
    json_line(&Report {
        file: places.file.to_string(),
        findings: findings
            .map(|finding| placed(finding, &finding.rule, places))
            .collect(),
        undecided: undecided.map(|rule| placed(rule, rule, places)).collect(),
    })
}
