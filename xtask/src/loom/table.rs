//! The tables of models and twins in `docs/concurrency.md`, as `cargo xtask loom --table` prints
//! them.
//!
//! Models say what they are without exploring anything, so that the tables cost little more than
//! building the models. `cargo xtask check` compares the page with them, `cargo xtask fix` writes
//! them into it.

use std::process::Command;

use super::twins::{self, Twin};
use super::{PLACES, Wanted};
use crate::cargo::{Workspace, explore};
use crate::failure::Failure;
use crate::tree;

/// The variable that has models say what they are instead of exploring anything.
pub const LIST: &str = "COUNTERSIGN_LIST_MODELS";

/// The page that has the tables.
const PAGE: &str = "docs/concurrency.md";

/// The lines of the page that the tables stand between.
const BEGIN: &str = "<!-- What follows is printed by `cargo xtask loom --table`. -->\n";
const END: &str = "<!-- What came before is printed by `cargo xtask loom --table`. -->\n";

/// What a model says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    name: String,
    claim: String,
    threads: String,
    operations: String,
    scenarios: u64,
    at_least: u64,
    /// Empty where there is none.
    preemptions: String,
}

/// The tables of all models and twins.
///
/// # Errors
/// If the models do not build, or a twin is to be caught by a model that there is not.
pub fn text(workspace: &Workspace) -> Result<String, Failure> {
    let commands = PLACES.iter().map(|(package, place)| {
        let mut command: Command = super::command(workspace, package, place, &Wanted::default());
        command.env(LIST, "1");
        (*package, command)
    });
    let explored = explore::collect(commands, |line| Some(line.to_owned()))?;
    if !explored.failed.is_empty() {
        let failed = explored.failed.join(", ");
        return Err(Failure::Program(format!("there are failures in: {failed}")));
    }
    let mut models: Vec<Listed> = explored
        .lines
        .iter()
        .filter_map(|line| parse(line))
        .collect();
    models.sort_by_key(|model| (package_of(&model.name), model.name.clone()));
    let twins = twins::read_all(&workspace.root.join(twins::FOLDER))?;
    render(&models, &twins)
}

/// Whether the page has these tables.
pub fn is_on_page(workspace: &Workspace, tables: &str) -> Result<bool, Failure> {
    let page = tree::read(workspace, PAGE)?;
    Ok(replaced(&page, tables)? == page)
}

/// Writes these tables into the page.
pub fn write(workspace: &Workspace, tables: &str) -> Result<(), Failure> {
    let page = replaced(&tree::read(workspace, PAGE)?, tables)?;
    let path = workspace.root.join(PAGE);
    std::fs::write(&path, page)
        .map_err(|error| Failure::Program(format!("{path:?} cannot be written: {error}")))
}

/// The page with these tables in the place of those that it has.
fn replaced(page: &str, tables: &str) -> Result<String, Failure> {
    let parts = page.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = parts
        .ok_or_else(|| Failure::Program(format!("`{PAGE}` lacks a line of these: {BEGIN}{END}")))?;
    Ok(format!("{before}{BEGIN}\n{tables}\n{END}{after}"))
}

/// The place of a model's package in the order of [`PLACES`].
fn package_of(model: &str) -> Option<usize> {
    let package = twins::package_of(model).ok()?;
    PLACES
        .iter()
        .position(|(name, _)| package.first() == Some(name))
}

/// What a model says of itself, out of a line that a run prints.
fn parse(line: &str) -> Option<Listed> {
    let fields = line.get(line.find("listed model\t")?..)?;
    let mut fields = fields.split('\t').skip(1).map(str::to_owned);
    Some(Listed {
        name: fields.next()?,
        claim: fields.next()?,
        threads: fields.next()?,
        operations: fields.next()?,
        scenarios: fields.next()?.parse().ok()?,
        at_least: fields.next()?.parse().ok()?,
        preemptions: fields.next()?,
    })
}

fn render(models: &[Listed], twins: &[Twin]) -> Result<String, Failure> {
    let mut text = String::from(
        "| model | claim | threads | operations | scenarios | executions | preemptions | twins |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for model in models {
        let caught = twins
            .iter()
            .filter(|twin| twin.may_be_caught_by(&model.name));
        let caught: Vec<String> = caught.map(|twin| format!("`{}`", twin.name)).collect();
        let bound = match model.preemptions.as_str() {
            "" => "unbounded".to_owned(),
            bound => format!("at most {bound}"),
        };
        text.push_str(&format!(
            "| `{}` | {} | {} | {} | {} | {} | {bound} | {} |\n",
            model.name,
            model.claim,
            model.threads,
            model.operations,
            grouped(model.scenarios),
            grouped(model.at_least),
            caught.join(", "),
        ));
    }
    text.push_str("\n| twin | what is broken | must be caught by |\n|---|---|---|\n");
    for twin in twins {
        let Twin {
            name,
            model,
            breaks,
            ..
        } = twin;
        if !models
            .iter()
            .any(|model| twin.may_be_caught_by(&model.name))
        {
            return Err(Failure::Program(format!(
                "`{name}` is to be caught by `{model}`, and there is no such model"
            )));
        }
        text.push_str(&format!("| `{name}` | {breaks} | `{model}` |\n"));
    }
    Ok(text)
}

/// A number with a comma before every third digit from its end.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "listed model\ttable_2x2\tit holds\t2\t4\t3321\t90499\t";

    #[test]
    fn what_a_model_says_of_itself_is_read_after_a_progress_dot_as_well() {
        let model = parse(&format!(".{LINE}")).unwrap();
        assert_eq!((&*model.name, &*model.claim), ("table_2x2", "it holds"));
        assert_eq!((model.scenarios, model.at_least), (3_321, 90_499));
        assert_eq!(parse("model table_2x2: begins"), None);
    }

    #[test]
    fn a_row_has_claim_size_and_twins() {
        let twin = |name: &str, model: &str| Twin {
            name: name.to_owned(),
            model: model.to_owned(),
            breaks: "a rule".to_owned(),
            file: String::new(),
            changes: Vec::new(),
        };
        let models = [parse(LINE).unwrap()];
        let text = render(&models, &[twin("a", "table_2x2"), twin("b", "table_")]).unwrap();
        let row = "| `table_2x2` | it holds | 2 | 4 | 3,321 | 90,499 | unbounded | `a`, `b` |\n";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("| `a` | a rule | `table_2x2` |\n"), "{text}");
        let failure = render(&models, &[twin("a", "cache_x")]).unwrap_err();
        assert!(failure.to_string().contains("no such model"), "{failure}");
    }

    #[test]
    fn tables_take_the_place_of_those_on_the_page() {
        let page = format!("before\n{BEGIN}\nold\n\n{END}after\n");
        let changed = replaced(&page, "new\n").unwrap();
        assert_eq!(changed, format!("before\n{BEGIN}\nnew\n\n{END}after\n"));
        assert_eq!(replaced(&changed, "new\n").unwrap(), changed);
        assert!(replaced("no tables", "new").is_err());
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let numbers = [7, 29, 808, 1_157, 20_566, 636_188, 1_000_000];
        let texts = ["7", "29", "808", "1,157", "20,566", "636,188", "1,000,000"];
        assert_eq!(numbers.map(grouped), texts);
    }
}
