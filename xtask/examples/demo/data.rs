//! The files of a directory, read and checked before anything is played.
//!
//! An error names file, line, field and fix.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_breakglass as breakglass;
use countersign_breakglass::{InvocationPolicy, RateLimitPolicy};
use countersign_policy as policy;
use countersign_policy::Policy;
use countersign_request as request;
use countersign_request::ApprovalPolicy;

use crate::place;
use crate::step::{Action, Reader, Step};

/// Everything that a directory holds.
#[derive(Debug)]
pub struct Data {
    /// The rules of all three crates.
    pub rules: Rules,
    /// The day, in order.
    pub steps: Vec<Step>,
    /// The documents with which the day begins, as written, by their file.
    pub texts: BTreeMap<String, String>,
    directory: PathBuf,
}

/// The rules of all three crates.
#[derive(Debug)]
pub struct Rules {
    /// The policy with which the day begins.
    pub policy: Arc<Policy>,
    /// Policies that come into force during the day, by their file.
    pub later: BTreeMap<String, Arc<Policy>>,
    /// Who approves.
    pub approvals: Arc<ApprovalPolicy>,
    /// Who may declare an emergency.
    pub invocation: Arc<InvocationPolicy>,
    /// How often.
    pub limits: Arc<RateLimitPolicy>,
}

impl Data {
    /// The file with the steps, as messages name it.
    pub fn day_file(&self) -> String {
        self.directory.join(DAY).display().to_string()
    }
}

const DAY: &str = "day.jsonl";

/// Reads and checks a directory.
pub fn read(directory: &Path) -> Result<Data, DataError> {
    let mut documents = Documents {
        directory,
        texts: BTreeMap::new(),
    };
    let policy = documents.read("policy.json", Policy::from_json)?;
    let approvals = documents.read("approvals.json", ApprovalPolicy::from_json)?;
    let invocation = documents.read("invocation.json", InvocationPolicy::from_json)?;
    let limits = documents.read("limits.json", RateLimitPolicy::from_json)?;
    let texts = documents.texts.clone();
    let mut steps = day(&directory.join(DAY))?;
    let mut later = BTreeMap::new();
    for step in &mut steps {
        if let Action::Policy { file: name } = &step.action {
            let policy = documents.read(name, Policy::from_json)?;
            later.insert(name.clone(), Arc::new(policy));
            let text = documents.texts.get(name).map(String::as_str);
            step.text = format!("{}\n{}", step.text, text.unwrap_or_default());
        }
    }
    Ok(Data {
        rules: Rules {
            policy: Arc::new(policy),
            later,
            approvals: Arc::new(approvals),
            invocation: Arc::new(invocation),
            limits: Arc::new(limits),
        },
        steps,
        texts,
        directory: directory.to_owned(),
    })
}

fn day(file: &Path) -> Result<Vec<Step>, DataError> {
    let text = read_text(file)?;
    let mut reader = Reader::default();
    let mut steps = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        if text.trim().is_empty() {
            continue;
        }
        let step = reader.read(line, text);
        steps.push(step.map_err(|message| DataError::new(file, line, message))?);
    }
    if steps.is_empty() {
        let message = "there is no step: write one JSON object a line, with `at` and `do`";
        return Err(DataError::new(file, 1, message.into()));
    }
    Ok(steps)
}

/// Reads the documents of a directory, and keeps their texts.
struct Documents<'d> {
    directory: &'d Path,
    texts: BTreeMap<String, String>,
}

impl Documents<'_> {
    fn read<T, E: Placed>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Result<T, DataError> {
        let file = self.directory.join(name);
        let text = read_text(&file)?;
        let document = parse(text.as_bytes()).map_err(|error| match error.place() {
            Place::Line(line) => {
                // The message begins with line and column already.
                let message = error.to_string();
                let rest = message.split_once(", ").map_or(&*message, |(_, rest)| rest);
                DataError::new(&file, line, format!("{rest}: correct it there"))
            }
            Place::Field(path) => {
                DataError::new(&file, place::line_of(&text, &path), error.to_string())
            }
        })?;
        self.texts.insert(name.to_owned(), text);
        Ok(document)
    }
}

fn read_text(file: &Path) -> Result<String, DataError> {
    let bytes = std::fs::read(file).map_err(|source| DataError {
        file: file.to_owned(),
        line: None,
        message: format!("cannot be read ({source}): write it, or name another `--data DIR`"),
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to());
        let newlines = good
            .unwrap_or_default()
            .iter()
            .filter(|byte| **byte == b'\n');
        DataError::new(
            file,
            1 + newlines.count(),
            "is not UTF-8: save it as UTF-8".into(),
        )
    })
}

/// Where in a document an error lies.
enum Place {
    /// On this line.
    Line(usize),
    /// At the field with this path.
    Field(String),
}

/// An error of a document that knows where it lies. The three crates share the shape of their
/// errors and not the type, so each has its own implementation.
trait Placed: fmt::Display {
    fn place(&self) -> Place;
}

fn rule_field(index: usize, field: &str) -> Place {
    Place::Field(format!("rules[{index}].{field}"))
}

impl Placed for policy::DocumentError {
    fn place(&self) -> Place {
        match self {
            policy::DocumentError::Syntax { line, .. } => Place::Line(*line),
            policy::DocumentError::Rule(rule) => rule_field(rule.index, &rule.field),
            policy::DocumentError::Version { .. } => Place::Field("version".into()),
            policy::DocumentError::NoRules => Place::Field("rules".into()),
            _ => Place::Field(String::new()),
        }
    }
}

impl Placed for request::DocumentError {
    fn place(&self) -> Place {
        match self {
            request::DocumentError::Syntax { line, .. } => Place::Line(*line),
            request::DocumentError::Rule(rule) => rule_field(rule.index, &rule.field),
            request::DocumentError::Version { .. } => Place::Field("version".into()),
            request::DocumentError::NoRules => Place::Field("rules".into()),
            request::DocumentError::TooLarge { .. } => Place::Field(String::new()),
        }
    }
}

impl Placed for breakglass::DocumentError {
    fn place(&self) -> Place {
        match self {
            breakglass::DocumentError::Syntax { line, .. } => Place::Line(*line),
            breakglass::DocumentError::Rule(rule) => rule_field(rule.index, &rule.field),
            breakglass::DocumentError::Version { .. } => Place::Field("version".into()),
            breakglass::DocumentError::NoRules => Place::Field("rules".into()),
            _ => Place::Field(String::new()),
        }
    }
}

/// A file that cannot be played.
#[derive(Debug)]
pub struct DataError {
    file: PathBuf,
    line: Option<usize>,
    message: String,
}

impl DataError {
    fn new(file: &Path, line: usize, message: String) -> Self {
        Self {
            file: file.to_owned(),
            line: Some(line.max(1)),
            message,
        }
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for DataError {}
