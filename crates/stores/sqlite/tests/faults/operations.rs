//! What the writing process does, as values: each operation can be printed, read back and done
//! again, by whichever process, and is then the same call with the same content.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use countersign_breakglass as breakglass;
use countersign_request as request;
use countersign_request::{IdempotencyKey, ManualClock, Profile, User, Version};
use countersign_sqlite::{Database, EmergencyStore, OpenError, Options, RequestStore, Synchronous};

use breakglass::Store as _;
use request::Store as _;

const APPROVALS: &str = r#"{"version": "1", "rules": [
    {"name": "groups", "profiles": ["staging"], "groups": [
        {"name": "one", "approvers": ["bob", "carol"], "threshold": 1},
        {"name": "two", "approvers": ["dave"], "threshold": 1}]},
    {"name": "rest", "approvers": ["bob", "carol"], "revokers": ["dave"]}]}"#;

const WHO: &str = r#"{"version": "1", "rules": [
    {"name": "anyone", "users": ["alice", "Alice", "bob", "carol"],
     "responders": ["dave"], "reviewers": ["dave"]}]}"#;

/// How many emergencies a user, and a profile, may have in [`QUOTA_WINDOW`].
pub const MAX_PER_USER: usize = 5;
pub const MAX_PER_PROFILE: usize = 6;
pub const QUOTA_WINDOW: Duration = Duration::from_secs(3600);

const OFTEN: &str = r#"{"version": "1", "rules": [
    {"name": "counted", "max_per_user": 5, "max_per_profile": 6, "quota_window": "1h"}]}"#;

pub const PEOPLE: [&str; 4] = ["alice", "Alice", "bob", "carol"];
pub const PROFILES: [&str; 4] = ["production", "staging", "development", "billing"];

/// The two stores of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Of {
    Request,
    Emergency,
}

impl Of {
    pub const ALL: [Of; 2] = [Of::Request, Of::Emergency];

    /// As its tables begin.
    pub fn table(self) -> &'static str {
        match self {
            Of::Request => "request",
            Of::Emergency => "emergency",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Create,
    Approve,
    ApproveToo,
    Deny,
    Cancel,
    Release,
    Revoke,
    Close,
    Review,
    Note,
    Delete,
}

const VERBS: [Verb; 11] = [
    Verb::Create,
    Verb::Approve,
    Verb::ApproveToo,
    Verb::Deny,
    Verb::Cancel,
    Verb::Release,
    Verb::Revoke,
    Verb::Close,
    Verb::Review,
    Verb::Note,
    Verb::Delete,
];

/// One call that writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    pub of: Of,
    pub verb: Verb,
    /// The record.
    pub id: u64,
    /// The id of the operation; a deletion takes none.
    pub idempotency_key: u64,
    /// The version that a change expects.
    pub expected: i64,
    /// Whose record, as a place in [`PEOPLE`].
    pub user: usize,
    /// What it is for, as a place in [`PROFILES`].
    pub profile: usize,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:?} {} {} {} {} {}",
            self.of.table(),
            self.verb,
            self.id,
            self.idempotency_key,
            self.expected,
            self.user,
            self.profile
        )
    }
}

impl FromStr for Operation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let mut words = text.split(' ');
            let of = words.next()?;
            let verb = words.next()?;
            Some(Self {
                of: Of::ALL.into_iter().find(|known| known.table() == of)?,
                verb: VERBS
                    .into_iter()
                    .find(|known| format!("{known:?}") == verb)?,
                id: words.next()?.parse().ok()?,
                idempotency_key: words.next()?.parse().ok()?,
                expected: words.next()?.parse().ok()?,
                user: words.next()?.parse().ok()?,
                profile: words.next()?.parse().ok()?,
            })
        };
        parse().ok_or_else(|| format!("`{text}` is no operation"))
    }
}

/// What a call answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The record that the call made: its version, and a digest of all that it says.
    Done {
        version: i64,
        sum: u64,
    },
    Deleted,
    /// There was nothing to delete.
    Absent,
    /// The contract's own errors: nothing was changed.
    Refused(String),
    /// The engine failed.
    Failed(String),
    /// A writing process that breaks its promise says so before the call.
    Early,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Done { version, sum } => write!(f, "done {version} {sum}"),
            Answer::Deleted => f.write_str("deleted"),
            Answer::Absent => f.write_str("absent"),
            Answer::Refused(why) => write!(f, "refused {}", why.replace('\n', " ")),
            Answer::Failed(why) => write!(f, "failed {}", why.replace('\n', " ")),
            Answer::Early => f.write_str("early"),
        }
    }
}

impl FromStr for Answer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let done = || {
            let (version, sum) = rest.split_once(' ')?;
            Some(Answer::Done {
                version: version.parse().ok()?,
                sum: sum.parse().ok()?,
            })
        };
        match word {
            "done" => done().ok_or_else(|| format!("`{text}` is no answer")),
            "deleted" => Ok(Answer::Deleted),
            "absent" => Ok(Answer::Absent),
            "refused" => Ok(Answer::Refused(rest.to_owned())),
            "failed" => Ok(Answer::Failed(rest.to_owned())),
            "early" => Ok(Answer::Early),
            _ => Err(format!("`{text}` is no answer")),
        }
    }
}

/// A digest of all that a record says; the same in every process of this program.
pub fn sum(record: &impl fmt::Debug) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{record:?}").hash(&mut hasher);
    hasher.finish()
}

/// Both stores of one file.
pub struct Stores {
    pub requests: RequestStore,
    pub emergencies: EmergencyStore,
    pub clock: Arc<ManualClock>,
    approvals: request::ApprovalPolicy,
    who: breakglass::InvocationPolicy,
    often: breakglass::RateLimitPolicy,
}

impl Stores {
    /// Opens the file; the clock stands so many minutes after the beginning of the tests' time.
    pub fn open(path: &Path, synchronous: Synchronous, minutes: u64) -> Result<Self, OpenError> {
        let options = Options {
            synchronous,
            // However slow the machine is, waiting for the other process does not fail.
            busy_timeout: Duration::from_secs(120),
            ..Options::default()
        };
        let database = Database::open(path, &options)?;
        let start = crate::common::at(crate::common::START);
        let clock = Arc::new(ManualClock::at(start + Duration::from_secs(60 * minutes)));
        Ok(Self {
            requests: RequestStore::new(&database, clock.clone()),
            emergencies: EmergencyStore::new(&database, clock.clone()),
            clock,
            approvals: APPROVALS.parse().unwrap(),
            who: WHO.parse().unwrap(),
            often: OFTEN.parse().unwrap(),
        })
    }

    /// Makes the call.
    pub async fn perform(&self, operation: &Operation) -> Answer {
        match operation.of {
            Of::Request => self.on_request(operation).await,
            Of::Emergency => self.on_emergency(operation).await,
        }
    }

    async fn on_request(&self, operation: &Operation) -> Answer {
        let id = request::RequestId::from_bits(operation.id);
        let (owner, profile) = (operation.owner(), operation.profile());
        let (bob, dave) = (named("bob"), named("dave"));
        let text = operation.text();
        let approvals = &self.approvals;
        let change = match operation.verb {
            Verb::Create => {
                let draft = request::Draft {
                    id,
                    requester: owner,
                    duration: Duration::from_secs(1800),
                    justification: text,
                    ticket: Some(format!("OPS-{}", operation.idempotency_key % 1000)),
                    policy: None,
                    idempotency_key: Some(operation.id()),
                    profile,
                };
                let terms = request::Terms::of(approvals, &draft.profile);
                return of_request(self.requests.create(&draft, &terms).await);
            }
            Verb::Delete => {
                return match self.requests.delete(id, None).await {
                    Ok(true) => Answer::Deleted,
                    Ok(false) => Answer::Absent,
                    Err(error) => of_request(Err(error)),
                };
            }
            Verb::Approve => {
                request::Change::approve(approvals, &profile, &bob, Some(text.as_str()))
            }
            Verb::ApproveToo => request::Change::approve(approvals, &profile, &dave, None),
            Verb::Deny => request::Change::deny(approvals, &profile, &bob, Some(text.as_str())),
            Verb::Revoke => request::Change::revoke(approvals, &profile, &dave, None),
            Verb::Cancel => request::Change::cancel(&owner, None),
            Verb::Release => request::Change::release(&owner, None),
            Verb::Note => request::Change::note(&bob, &text),
            Verb::Close | Verb::Review => return Answer::Refused("not of requests".to_owned()),
        };
        let change = change.with_idempotency_key(operation.id());
        let expected = Version::from_nanos(operation.expected);
        of_request(self.requests.update(id, expected, &change).await)
    }

    async fn on_emergency(&self, operation: &Operation) -> Answer {
        let id = breakglass::EmergencyId::from_bits(operation.id);
        let (owner, profile) = (operation.owner(), operation.profile());
        let text = operation.text();
        let change = match operation.verb {
            Verb::Create => {
                let draft = breakglass::Draft {
                    id,
                    idempotency_key: Some(operation.id()),
                    invoker: owner,
                    duration: Duration::from_secs(600),
                    reason_code: breakglass::ReasonCode::Incident,
                    justification: text,
                    ticket: None,
                    request_id: None,
                    mfa: None,
                    profile,
                };
                let admission = breakglass::Admission::new(&self.who, &self.often, &draft.profile);
                return of_emergency(self.emergencies.create(&draft, &admission).await);
            }
            Verb::Close => breakglass::Change::close(&self.who, &profile, &owner, &text),
            Verb::Review => {
                let outcome = breakglass::ReviewOutcome::ALL[0];
                breakglass::Change::review(&self.who, &profile, &named("dave"), outcome, &text)
            }
            Verb::Note => breakglass::Change::note(&named("dave"), &text),
            _ => return Answer::Refused("not of emergencies".to_owned()),
        };
        let change = change.with_idempotency_key(operation.id());
        let expected = Version::from_nanos(operation.expected);
        of_emergency(self.emergencies.update(id, expected, &change).await)
    }

    /// The heads of both ledgers, as text.
    pub async fn heads(&self) -> [String; 2] {
        let requests = self.requests.head().await;
        let emergencies = self.emergencies.head().await;
        [
            requests.unwrap().to_string(),
            emergencies.unwrap().to_string(),
        ]
    }
}

impl Operation {
    pub fn id(&self) -> IdempotencyKey {
        IdempotencyKey::from_bits(self.idempotency_key)
    }

    fn owner(&self) -> User {
        named(PEOPLE[self.user])
    }

    fn profile(&self) -> Profile {
        Profile::new(PROFILES[self.profile]).unwrap()
    }

    /// What is written into the record; it differs from operation to operation.
    fn text(&self) -> String {
        format!("as the runbook of case {:x} says", self.idempotency_key)
    }
}

fn named(name: &str) -> User {
    User::new(name).unwrap()
}

fn of_request(result: Result<Arc<request::Request>, request::Error>) -> Answer {
    match result {
        Ok(request) => Answer::Done {
            version: request.updated_at.as_nanos(),
            sum: sum(&*request),
        },
        Err(error @ request::Error::Backend(_)) => Answer::Failed(error.to_string()),
        Err(error) => Answer::Refused(error.to_string()),
    }
}

fn of_emergency(result: Result<Arc<breakglass::Emergency>, breakglass::Error>) -> Answer {
    match result {
        Ok(emergency) => Answer::Done {
            version: emergency.updated_at.as_nanos(),
            sum: sum(&*emergency),
        },
        Err(error @ breakglass::Error::Backend(_)) => Answer::Failed(error.to_string()),
        Err(error) => Answer::Refused(error.to_string()),
    }
}
