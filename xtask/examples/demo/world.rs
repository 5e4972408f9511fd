//! The three crates wired together as a service would, and each step played on them.
//!
//! What a service would do differently: take its clock from the system
//! (`countersign_policy::SystemClock`), its ids and its operations' ids from the operating system
//! (the default of both workflows, `IdempotencyKey::random`).
//!
//! A step can be played again, if the program ended before it was noted that it was played: ids and
//! operations follow from the step's number, so what it has written already is not written twice and
//! is answered as the first time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use countersign_breakglass as breakglass;
use countersign_policy as policy;
use countersign_policy::{
    Attribution, CacheConfig, CachedLoader, Clock, Expected, Group, LoadError, ManualClock,
    ManualTicks, Policy, Profile, Stored, User,
};
use countersign_request as request;
use serde::{Deserialize, Serialize};

use crate::data::Rules;
use crate::step::{About, Action, Step};
use crate::stores::{Entries, Stores};
use crate::upkeep::Read;
use crate::{attempts, emergencies, requests, upkeep};

/// The name under which the policy is kept.
pub const POLICY: &str = "main";

/// How long a policy is served from the cache.
const TIME_TO_LIVE: Duration = Duration::from_secs(600);

/// The kind of outcome when a store is down: the step is not over, and can be played again.
pub const STORE_FAILED: &str = "store_failed";

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// In one word, such as `allowed` or `own_request`; what a step's `expect` is compared with.
    pub kind: String,
    /// Whether the user got what they wanted.
    pub tone: Tone,
    /// Who, for the line.
    pub actor: String,
    /// What they did, for the line.
    pub what: String,
    /// Why it came out so.
    pub why: String,
}

impl Outcome {
    /// Whether a store was down in any of its calls.
    pub fn store_failed(&self) -> bool {
        self.kind.split(", ").any(|kind| kind == STORE_FAILED)
    }
}

/// Whether the user got what they wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tone {
    Yes,
    No,
    /// Somebody else has to do something first, or some of several got it.
    Waiting,
    /// Nobody wanted anything.
    Plain,
}

/// What a step came to, before the line says who and what.
pub type Answer = (Tone, String, String);

/// The service.
pub struct World {
    pub clock: Arc<ManualClock>,
    /// What the service asks: the cache in front of the store of policies.
    pub cache: CachedLoader,
    ticks: Arc<ManualTicks>,
    pub requests: request::Workflow,
    pub emergencies: breakglass::Workflow,
    pub stores: Stores,
    /// What the identity provider says.
    pub directory: Directory,
    /// What the service itself has to remember.
    pub kept: Kept,
    later: BTreeMap<String, Arc<Policy>>,
    first: Option<Arc<Policy>>,
}

/// What the service has to remember besides its records, to go on after a restart.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Kept {
    /// What the steps call the records.
    pub labels: Labels,
    /// How far the changes have been dealt with.
    pub read: Read,
    /// What was written by the end of the last step.
    pub entries: Entries,
}

/// The ids behind the labels.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Labels {
    pub requests: BTreeMap<String, request::RequestId>,
    pub emergencies: BTreeMap<String, breakglass::EmergencyId>,
}

/// Who and what is in which group.
#[derive(Debug, Default)]
pub struct Directory {
    people: BTreeMap<User, Vec<Group>>,
    profiles: BTreeMap<Profile, Vec<Group>>,
}

impl Directory {
    /// The groups of a user.
    pub fn groups_of(&self, user: &User) -> Vec<Group> {
        self.people.get(user).cloned().unwrap_or_default()
    }

    /// The groups of a profile.
    pub fn groups_of_profile(&self, profile: &Profile) -> Vec<Group> {
        self.profiles.get(profile).cloned().unwrap_or_default()
    }
}

impl World {
    /// A service with these rules. `clock` is the one that the stores use.
    pub fn new(rules: Rules, clock: Arc<ManualClock>, stores: Stores) -> Self {
        let requests = request::Workflow::new(stores.requests.clone(), rules.approvals);
        let emergencies =
            breakglass::Workflow::new(stores.emergencies.clone(), rules.invocation, rules.limits);
        let policies = Arc::new(stores.policies.clone());
        let ticks = Arc::new(ManualTicks::new());
        let config = CacheConfig {
            time_to_live: TIME_TO_LIVE,
            ..CacheConfig::default()
        };
        Self {
            clock,
            cache: CachedLoader::with_config(policies, config, ticks.clone()),
            ticks,
            requests,
            emergencies,
            stores,
            directory: Directory::default(),
            kept: Kept::default(),
            later: rules.later,
            first: Some(rules.policy),
        }
    }

    /// Goes on after these steps, which were played before. What they said is in the stores; only
    /// groups come from the files again.
    pub async fn go_on_after(&mut self, steps: &[Step], kept: Kept) {
        self.kept = kept;
        for step in steps {
            if let Action::Directory { .. } = &step.action {
                self.act(step).await;
            }
        }
    }

    /// Sets the clock to the step's time and plays it.
    pub async fn play(&mut self, step: &Step) -> Outcome {
        let outcome = self.act(step).await;
        match upkeep::written(self).await {
            Ok(entries) => self.kept.entries = entries.unwrap_or_default(),
            // The step is over, and its end cannot be noted.
            Err(answer) => {
                return Outcome {
                    kind: answer.1,
                    why: answer.2,
                    ..outcome
                };
            }
        }
        outcome
    }

    async fn act(&mut self, step: &Step) -> Outcome {
        let passed = (step.at - self.clock.now()).to_std().unwrap_or_default();
        self.clock.set(step.at);
        self.ticks.advance(passed);
        let ids = Arc::new(request::SequenceRandom::starting_at(first_id(step)));
        let idempotency_key = idempotency_key(first_id(step));
        self.requests = self.requests.with_random(ids.clone());
        self.requests = self.requests.with_idempotency_key(idempotency_key);
        self.emergencies = self
            .emergencies
            .with_random(ids)
            .with_idempotency_key(idempotency_key);
        if let Some(policy) = self.first.take() {
            if let Err(error) = self.put_first_policy(policy).await {
                return outcome("service", "starts", refused(&error));
            }
        }
        match &step.action {
            Action::Directory { people, profiles } => {
                self.directory.people.clone_from(people);
                self.directory.profiles.clone_from(profiles);
                let why = format!(
                    "{} people, {} profiles in groups",
                    people.len(),
                    profiles.len()
                );
                outcome("directory", "is read", (Tone::Plain, "read".into(), why))
            }
            Action::Policy { file } => {
                let answer = self.change_policy(file).await;
                outcome("operator", format!("puts {file} in force"), answer)
            }
            Action::Attempt {
                who,
                profile,
                mode,
                session_table,
            } => attempts::attempt(self, who, profile, *mode, session_table.as_deref()).await,
            Action::Request { .. } => requests::submit(self, &step.action).await,
            Action::Decide {
                decision,
                who,
                request,
                reason,
                idempotency_key,
            } => {
                let (reason, idempotency_key) = (reason.as_deref(), idempotency_key.as_deref());
                requests::decide(self, *decision, who, request, reason, idempotency_key).await
            }
            Action::Pending { who } => requests::pending(self, who).await,
            Action::Open { who } => requests::open(self, who).await,
            Action::Invoke { .. } => emergencies::invoke(self, &step.action).await,
            Action::Close {
                who,
                emergency,
                reason,
            } => emergencies::close(self, who, emergency, reason).await,
            Action::Review {
                who,
                emergency,
                outcome,
                text,
            } => emergencies::review(self, who, emergency, *outcome, text).await,
            Action::ToReview => emergencies::to_review(self).await,
            Action::Delete { before } => upkeep::delete(self, *before).await,
            Action::Note {
                who,
                about: About::Request(label),
                text,
            } => requests::note(self, who, label, text).await,
            Action::Note {
                who,
                about: About::Emergency(label),
                text,
            } => emergencies::note(self, who, label, text).await,
            Action::Expire => upkeep::expire(self).await,
            Action::Follow => upkeep::follow(self).await,
        }
    }

    async fn change_policy(&self, file: &str) -> Answer {
        let Some(policy) = self.later.get(file) else {
            return failed(&format_args!("`{file}` was not read"));
        };
        match self.put_policy(Arc::clone(policy)).await {
            Ok(stored) => {
                let digest: String = stored.digest().to_string().chars().take(12).collect();
                let rules = stored.content.rules().len();
                let why = format!("{rules} rules, digest {digest}…");
                (Tone::Plain, "in_force".into(), why)
            }
            Err(error) => refused(&error),
        }
    }

    /// Puts the policy with which the day begins. Whatever is there already was put by this day.
    async fn put_first_policy(&self, policy: Arc<Policy>) -> Result<(), policy::store::Error> {
        let policies = &self.stores.policies;
        let put = policies.put(POLICY, Expected::Absent, policy, &Attribution::NOBODY);
        match put.await {
            Ok(_) | Err(policy::store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Puts a policy over the one that is there, unless that is the same.
    async fn put_policy(&self, policy: Arc<Policy>) -> Result<Arc<Stored>, policy::store::Error> {
        let policies = &self.stores.policies;
        let expected = Expected::Version(policies.get(POLICY).await?.version);
        let put = policies
            .put(POLICY, expected, policy, &Attribution::NOBODY)
            .await?;
        // If it is unchanged, the step was begun before and not ended.
        if !put.is_unchanged() {
            // From here on nobody is served the policy before; without this, it would be served
            // until its time to live is over.
            self.cache.invalidate(POLICY);
        }
        Ok(put.into_stored())
    }
}

/// The ids of a step's requests or emergencies are this one and those that follow.
fn first_id(step: &Step) -> u64 {
    u64::from(step.number) << 32
}

/// The operation in which a request or an emergency of this id is created. The operations that the
/// day's files name do not have the first bit.
pub fn idempotency_key(id: u64) -> request::IdempotencyKey {
    request::IdempotencyKey::from_bits(id | 1 << 63)
}

/// A line of the report.
pub fn outcome(actor: impl ToString, what: impl ToString, answer: Answer) -> Outcome {
    let (tone, kind, why) = answer;
    Outcome {
        kind,
        tone,
        actor: actor.to_string(),
        what: what.to_string(),
        why,
    }
}

/// Something that no rule foresees: a clock out of range, a store that is down.
pub fn failed(error: &dyn std::fmt::Display) -> Answer {
    (Tone::No, "failed".into(), error.to_string())
}

/// A policy that was not put.
fn refused(error: &policy::store::Error) -> Answer {
    match error {
        policy::store::Error::Backend(_) => store_failed(error),
        _ => failed(error),
    }
}

/// A policy that was not loaded: nobody is decided about without one.
pub fn not_loaded(error: &LoadError) -> Answer {
    match error {
        LoadError::NotFound { .. } => failed(error),
        _ => store_failed(error),
    }
}

fn store_failed(error: &dyn std::fmt::Display) -> Answer {
    (Tone::No, STORE_FAILED.into(), error.to_string())
}

/// A time of the day for a line: `14:05`, with the date if it is another day than `now`.
pub fn clock_time(
    time: chrono::DateTime<chrono::Utc>,
    now: chrono::DateTime<chrono::Utc>,
) -> String {
    // Records made within one tick of the clock differ by nanoseconds; people think in seconds.
    let format = if time.date_naive() == now.date_naive() {
        "%H:%M"
    } else {
        "%a %H:%M"
    };
    time.format(format).to_string()
}
