//! Random sequences of calls, compared with the plainest way of saying the same rules: over a list
//! of what happened, without an index. What every call answers, what every list holds, and what
//! every emergency was at each of its versions must agree.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::*;
use countersign_breakglass::*;
use proptest::prelude::*;

const PEOPLE: [&str; 4] = ["alice", "Alice", "bob", "carol"];
const PROFILES: [&str; 2] = ["prod", "dev"];
const SECOND: i64 = 1_000_000_000;

/// `carol` and `Alice` respond, `bob` and `carol` review.
const RULE: &str = r#""users": ["alice", "Alice", "bob", "carol"], "after_review": true,
    "mfa": {"required": false, "methods": ["totp"], "max_age": "4s"},
    "responders": ["carol", "Alice"], "reviewers": ["bob", "carol"]"#;
const LIMITS: &str = r#""cooldown": "2s", "max_per_user": 2, "max_per_profile": 3,
    "escalation_threshold": 1, "quota_window": "20s""#;

/// A second factor: its name, whose, for which emergency, verified how many nanoseconds before now.
type Shown = (u8, usize, u64, i64);

#[derive(Debug, Clone)]
enum Call {
    Invoke {
        who: usize,
        what: usize,
        emergency: u64,
        seconds: u64,
        shown: Option<Shown>,
        overriding: Option<usize>,
        idempotency_key: Option<u64>,
    },
    Change {
        emergency: u64,
        kind: Kind,
        idempotency_key: Option<u64>,
    },
    Delete(u64),
    Pass(u64),
    /// The clock steps back by so many seconds, within what is tolerated.
    Back(u64),
    /// One of the operations before again, as it was.
    Repeat(usize),
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Close(usize),
    Expire,
    Note(usize),
    Review(usize, usize),
}

fn shown() -> impl Strategy<Value = Shown> {
    let ages = prop_oneof![
        3 => Just(0),
        1 => Just(4 * SECOND),
        1 => Just(4 * SECOND + 1),
        1 => Just(-60 * SECOND),
        1 => Just(-60 * SECOND - 1),
    ];
    (0_u8..4, 0_usize..4, 0_u64..5, ages)
}

fn call() -> impl Strategy<Value = Call> {
    let idempotency_key = || prop::option::weighted(0.3, 0_u64..4);
    let kind = prop_oneof![
        2 => (0_usize..4).prop_map(Kind::Close),
        1 => Just(Kind::Expire),
        1 => (0_usize..4).prop_map(Kind::Note),
        3 => (0_usize..4, 0_usize..3).prop_map(|(by, outcome)| Kind::Review(by, outcome)),
    ];
    let invoke = (
        (0_usize..4, 0_usize..2, 0_u64..5, 1_u64..6),
        prop::option::weighted(0.3, shown()),
        prop::option::weighted(0.6, 0_usize..4),
        idempotency_key(),
    );
    prop_oneof![
        4 => invoke.prop_map(|((who, what, emergency, seconds), shown, overriding, idempotency_key)| {
            Call::Invoke { who, what, emergency, seconds, shown, overriding, idempotency_key }
        }),
        5 => (0_u64..5, kind, idempotency_key())
            .prop_map(|(emergency, kind, idempotency_key)| Call::Change { emergency, kind, idempotency_key }),
        1 => (0_u64..5).prop_map(Call::Delete),
        1 => (0_usize..64).prop_map(Call::Repeat),
        3 => prop_oneof![Just(0), Just(1_u64), Just(3), Just(25)].prop_map(Call::Pass),
        1 => prop_oneof![Just(1_u64), Just(4), Just(59)].prop_map(Call::Back),
    ]
}

/// What the model knows of an emergency.
#[derive(Debug, Clone)]
struct Known {
    who: usize,
    what: usize,
    created: i64,
    expires: i64,
    status: Status,
    ended: i64,
    reviewed: bool,
    versions: Vec<i64>,
}

#[derive(Debug, Default)]
struct Model {
    now: i64,
    last: Option<i64>,
    /// The time of the last step.
    last_at: Option<i64>,
    emergencies: BTreeMap<u64, Known>,
    /// The second factors that were ever used.
    used: Vec<u8>,
    /// Of each operation the emergency, the call without its operation, and the result.
    operations: BTreeMap<u64, (u64, String, Arc<Emergency>)>,
}

fn same(one: usize, other: usize) -> bool {
    PEOPLE[one].eq_ignore_ascii_case(PEOPLE[other])
}

/// What comes of a call, in one word.
type Word = &'static str;

impl Model {
    /// The time of the next step: it stands still rather than run backwards.
    fn at(&self) -> i64 {
        self.last_at
            .map_or(self.now, |last_at| self.now.max(last_at))
    }

    /// The version of the next step.
    fn version(&self) -> i64 {
        self.last.map_or(self.now, |last| self.now.max(last + 1))
    }

    fn written(&mut self, version: i64) {
        self.last_at = Some(self.at());
        self.last = Some(version);
    }

    fn unreviewed_and_over<'a>(
        &'a self,
        at: i64,
        wanted: impl Fn(&Known) -> bool + 'a,
    ) -> Vec<u64> {
        let mut found: Vec<(i64, u64)> = self
            .emergencies
            .iter()
            .filter(|(_, known)| !known.reviewed && wanted(known))
            .filter(|(_, known)| known.status != Status::Active || known.expires <= at)
            .map(|(emergency, known)| (known.ended, *emergency))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, emergency)| emergency).collect()
    }

    fn invoke(&mut self, call: &Call) -> Word {
        let Call::Invoke {
            who,
            what,
            emergency,
            seconds,
            shown,
            overriding,
            ..
        } = *call
        else {
            panic!("{call:?}");
        };
        if self.emergencies.contains_key(&emergency) {
            return "exists";
        }
        let at = self.at();
        if let Some((name, whose, of, age)) = shown {
            let verified = self.now - age;
            let used = self.used.contains(&name);
            let future = verified > at + 60 * SECOND;
            if whose != who || of != emergency || future || at - verified > 4 * SECOND || used {
                return "proof";
            }
        }
        let mine = |known: &&Known| same(known.who, who);
        let here = |known: &&Known| known.what == what;
        let mut both = self.emergencies.values().filter(mine).filter(here);
        if both.any(|known| known.status == Status::Active && known.expires > at) {
            return "active";
        }
        let due = !self
            .unreviewed_and_over(at, |known| same(known.who, who))
            .is_empty();
        match overriding {
            None if due => return "due",
            Some(by) if due && same(by, who) => return "own override",
            Some(by) if due && ![1, 3].contains(&by) => return "not an overrider",
            _ => {}
        }
        let mut both = self.emergencies.values().filter(mine).filter(here);
        if both.any(|known| at < known.created + 2 * SECOND) {
            return "cooldown";
        }
        let recent = |known: &&Known| known.created > at - 20 * SECOND;
        let count = self
            .emergencies
            .values()
            .filter(mine)
            .filter(recent)
            .count();
        if count >= 2 {
            return "user";
        }
        if self
            .emergencies
            .values()
            .filter(here)
            .filter(recent)
            .count()
            >= 3
        {
            return "profile";
        }
        let version = self.version();
        let mut versions = vec![version];
        if due {
            versions.push(version + 1);
        }
        let mut last = version + i64::from(due);
        for known in self.emergencies.values_mut() {
            let replaced = same(known.who, who) && known.what == what;
            if replaced && known.status == Status::Active {
                last += 1;
                known.status = Status::Expired;
                known.versions.push(last);
            }
        }
        let expires = at + i64::try_from(seconds).unwrap() * SECOND;
        self.written(last);
        self.used.extend(shown.map(|(name, ..)| name));
        let known = Known {
            who,
            what,
            created: at,
            expires,
            status: Status::Active,
            ended: expires,
            reviewed: false,
            versions,
        };
        self.emergencies.insert(emergency, known);
        if count >= 1 { "escalated" } else { "made" }
    }

    fn change(&mut self, emergency: u64, kind: Kind) -> Word {
        let (at, version) = (self.at(), self.version());
        let Some(known) = self.emergencies.get_mut(&emergency) else {
            return "not found";
        };
        match kind {
            Kind::Close(_) | Kind::Expire if known.status != Status::Active => {
                return "transition";
            }
            Kind::Close(by) => {
                if by != known.who && ![1, 3].contains(&by) {
                    return "not a responder";
                }
                if at >= known.expires {
                    return "over";
                }
                known.status = Status::Closed;
                known.ended = at;
            }
            Kind::Expire => {
                if at < known.expires {
                    return "not due";
                }
                known.status = Status::Expired;
            }
            Kind::Note(_) => {}
            Kind::Review(by, _) => {
                if same(by, known.who) {
                    return "own review";
                }
                if ![2, 3].contains(&by) {
                    return "not a reviewer";
                }
                if known.reviewed {
                    return "reviewed";
                }
                if known.status == Status::Active && at < known.expires {
                    return "not due";
                }
                known.reviewed = true;
            }
        }
        known.versions.push(version);
        self.written(version);
        "made"
    }

    fn delete(&mut self, emergency: u64) -> Word {
        let at = self.at();
        match self.emergencies.get(&emergency) {
            None => "absent",
            Some(known) if known.status == Status::Active => "not terminal",
            Some(known) if !known.reviewed => "unreviewed",
            Some(known) if at < known.ended + 20 * SECOND => "kept",
            Some(_) => {
                self.written(self.version());
                self.emergencies.remove(&emergency);
                self.operations.retain(|_, (of, ..)| *of != emergency);
                "made"
            }
        }
    }
}

fn word(error: &Error) -> Word {
    match error {
        Error::AlreadyExists { .. } => "exists",
        Error::NotFound { .. } => "not found",
        Error::InvalidTransition { .. } => "transition",
        Error::NotTerminal { .. } => "not terminal",
        Error::IdempotencyKeyReused { .. } => "reused",
        Error::Refused(refusal) => match refusal {
            Refusal::MfaProof { .. } => "proof",
            Refusal::Active { .. } => "active",
            Refusal::ReviewDue { .. } => "due",
            Refusal::OwnOverride { .. } => "own override",
            Refusal::NotAnOverrider { .. } => "not an overrider",
            Refusal::Cooldown { .. } => "cooldown",
            Refusal::UserQuota { .. } => "user",
            Refusal::ProfileQuota { .. } => "profile",
            Refusal::NotAResponder { .. } => "not a responder",
            Refusal::AccessOver { .. } => "over",
            Refusal::NotDue { .. } => "not due",
            Refusal::OwnReview { .. } => "own review",
            Refusal::NotAReviewer { .. } => "not a reviewer",
            Refusal::ReviewedAlready { .. } => "reviewed",
            Refusal::Unreviewed { .. } => "unreviewed",
            Refusal::Kept { .. } => "kept",
            other => panic!("{other}"),
        },
        other => panic!("{other}"),
    }
}

/// The store and the model beside it.
struct Pair {
    bench: Bench,
    model: Model,
    policy: InvocationPolicy,
    limits: RateLimitPolicy,
    returned: Vec<Arc<Emergency>>,
    named: Vec<Call>,
}

impl Pair {
    fn new() -> Self {
        let model = Model {
            now: start().timestamp_nanos_opt().unwrap(),
            ..Model::default()
        };
        Self {
            bench: Bench::default(),
            model,
            policy: invocation(RULE),
            limits: limits(LIMITS),
            returned: Vec::new(),
            named: Vec::new(),
        }
    }

    /// Makes a call on both, and gives what came of it on each.
    fn play(&mut self, call: &Call) -> (String, String) {
        match call {
            Call::Pass(seconds) => {
                self.bench.clock.advance(Duration::from_secs(*seconds));
                self.model.now += i64::try_from(*seconds).unwrap() * SECOND;
                (String::new(), String::new())
            }
            Call::Back(seconds) => {
                let now = self.model.now - i64::try_from(*seconds).unwrap() * SECOND;
                if self
                    .model
                    .last_at
                    .is_none_or(|last| now >= last - 60 * SECOND)
                {
                    self.bench.clock.step_back(Duration::from_secs(*seconds));
                    self.model.now = now;
                }
                (String::new(), String::new())
            }
            Call::Repeat(number) => {
                let number = number.checked_rem(self.named.len());
                match number.map(|number| self.named[number].clone()) {
                    Some(call) => self.play(&call),
                    None => (String::new(), String::new()),
                }
            }
            Call::Delete(emergency) => {
                let retention = Retention::new(&self.policy, &self.limits);
                let got = match self.bench.store.sync().delete(id(*emergency), &retention) {
                    Ok(true) => "made",
                    Ok(false) => "absent",
                    Err(error) => word(&error),
                };
                (got.to_owned(), self.model.delete(*emergency).to_owned())
            }
            Call::Invoke {
                emergency,
                idempotency_key,
                ..
            }
            | Call::Change {
                emergency,
                idempotency_key,
                ..
            } => {
                self.named.extend(idempotency_key.map(|_| call.clone()));
                self.play_operation(call, *emergency, *idempotency_key)
            }
        }
    }

    fn play_operation(
        &mut self,
        call: &Call,
        emergency: u64,
        idempotency_key: Option<u64>,
    ) -> (String, String) {
        let told = match call {
            Call::Invoke { .. } => format!("{:?}", self.draft(call)),
            _ => format!("{call:?}"),
        };
        let result = match call {
            Call::Change { kind, .. } => self.update(emergency, *kind, idempotency_key),
            _ => self.create(call),
        };
        let known =
            idempotency_key.and_then(|idempotency_key| self.model.operations.get(&idempotency_key));
        if let Some((of, first, then)) = known {
            // An override that was not needed is no part of the operation.
            let overridden = then.review_override.as_ref().map(|given| given.by.as_str());
            let same_override = match call {
                Call::Invoke { overriding, .. } => {
                    overridden.is_none() || overriding.map(|by| PEOPLE[by]) == overridden
                }
                _ => true,
            };
            let expected = if *of == emergency && *first == told && same_override {
                format!("{then:?}")
            } else {
                "reused".to_owned()
            };
            let got = match result {
                Ok(emergency) => format!("{emergency:?}"),
                Err(error) => word(&error).to_owned(),
            };
            return (got, expected);
        }
        let expected = match call {
            Call::Change { kind, .. } => self.model.change(emergency, *kind),
            _ => self.model.invoke(call),
        };
        let got = match &result {
            Ok(made) if made.history.len() <= 2 && made.escalate => {
                let created = matches!(call, Call::Invoke { .. });
                if created { "escalated" } else { "made" }
            }
            Ok(_) => "made",
            Err(error) => word(error),
        };
        if let Ok(made) = result {
            self.returned.push(Arc::clone(&made));
            if let Some(idempotency_key) = idempotency_key {
                self.model
                    .operations
                    .insert(idempotency_key, (emergency, told, made));
            }
        }
        (got.to_owned(), expected.to_owned())
    }

    fn draft(&self, call: &Call) -> Draft {
        let Call::Invoke {
            who,
            what,
            emergency,
            seconds,
            shown,
            idempotency_key,
            ..
        } = *call
        else {
            panic!("{call:?}");
        };
        let mut draft = draft(emergency, PEOPLE[who], PROFILES[what]);
        draft.duration = Duration::from_secs(seconds);
        draft.idempotency_key = idempotency_key.map(IdempotencyKey::from_bits);
        draft.mfa = shown.map(|(name, whose, of, age)| {
            let verified_at = DateTime::from_timestamp_nanos(self.model.now - age);
            proof(&name.to_string(), PEOPLE[whose], of, verified_at)
        });
        draft
    }

    fn create(&self, call: &Call) -> Result<Arc<Emergency>, Error> {
        let draft = self.draft(call);
        let mut admission = Admission::new(&self.policy, &self.limits, &draft.profile);
        if let Call::Invoke {
            overriding: Some(by),
            ..
        } = call
        {
            admission = admission.with_review_override(&user(PEOPLE[*by]), "no time");
        }
        self.bench.store.sync().create(&draft, &admission)
    }

    fn update(
        &self,
        emergency: u64,
        kind: Kind,
        idempotency_key: Option<u64>,
    ) -> Result<Arc<Emergency>, Error> {
        let store = self.bench.store.sync();
        let wanted = match self.model.emergencies.get(&emergency) {
            Some(known) => profile(PROFILES[known.what]),
            None => profile("prod"),
        };
        let mut change = match kind {
            Kind::Close(by) => {
                Change::close(&self.policy, &wanted, &user(PEOPLE[by]), "it is over")
            }
            Kind::Expire => Change::expire(),
            Kind::Note(by) => Change::note(&user(PEOPLE[by]), "a note"),
            Kind::Review(by, outcome) => Change::review(
                &self.policy,
                &wanted,
                &user(PEOPLE[by]),
                ReviewOutcome::ALL[outcome],
                "looked at",
            ),
        };
        if let Some(idempotency_key) = idempotency_key {
            change = change.with_idempotency_key(IdempotencyKey::from_bits(idempotency_key));
        }
        let version = match store.get(id(emergency)) {
            Ok(read) => read.updated_at,
            Err(_) => Version::from_nanos(0),
        };
        store.update(id(emergency), version, &change)
    }

    /// Compares all that the store holds and lists with the model, and with what it returned.
    fn compare(&self) -> Result<(), TestCaseError> {
        let (store, model) = (self.bench.store.sync(), &self.model);
        self.bench.store.audit().unwrap();
        for (emergency, known) in &model.emergencies {
            let stored = store.get(id(*emergency)).unwrap();
            prop_assert_eq!(stored.status, known.status);
            prop_assert_eq!(stored.review.is_some(), known.reviewed);
            let nanos = |time: DateTime<Utc>| time.timestamp_nanos_opt().unwrap();
            prop_assert_eq!(nanos(stored.ended_at()), known.ended);
            let versions: Vec<_> = stored.history.iter().map(|e| e.to.as_nanos()).collect();
            prop_assert_eq!(&versions, &known.versions);
            prop_assert_eq!(stored.as_of(stored.updated_at), Some((*stored).clone()));
        }
        let mut changes: Vec<_> = model
            .emergencies
            .iter()
            .flat_map(|(emergency, known)| {
                known.versions.iter().map(|version| (*version, *emergency))
            })
            .collect();
        changes.sort_unstable();
        let mut read = Vec::new();
        let mut last = None;
        loop {
            let page = store.changes_after(last, 3).unwrap();
            let Some(end) = page.last() else { break };
            last = Some(end.version);
            for changed in page {
                prop_assert_eq!(changed.entry.to, changed.version);
                read.push((changed.version.as_nanos(), changed.emergency.id.to_bits()));
            }
        }
        prop_assert_eq!(read, changes);
        for made in &self.returned {
            let stored = store.get(made.id).ok();
            // After a deletion the id may have another emergency.
            let stored = stored.filter(|emergency| emergency.created == made.created);
            if let Some(stored) = stored {
                let then = stored.as_of(made.updated_at);
                prop_assert_eq!(then.as_ref(), Some(&**made), "what it was");
            }
        }
        let at = model.at();
        let mut waiting = Vec::new();
        let mut page = Page::first(2);
        loop {
            let listing = store.list_awaiting_review(page).unwrap();
            waiting.extend(listing.items.iter().map(|emergency| emergency.id.to_bits()));
            let Some(next) = listing.next else { break };
            page = Page::after(next, 2);
        }
        prop_assert_eq!(waiting, model.unreviewed_and_over(at, |_| true));
        let marked = |known: &&Known| known.status == Status::Active && known.expires <= at;
        let due = store.list_expirable(0).unwrap();
        prop_assert_eq!(due.len(), model.emergencies.values().filter(marked).count());
        for (who, what) in (0..4).flat_map(|who| (0..2).map(move |what| (who, what))) {
            let access = |known: &&Known| {
                let own = known.who == who && known.what == what;
                own && known.status == Status::Active && known.expires > at
            };
            let until = model
                .emergencies
                .values()
                .find(access)
                .map(|known| known.expires);
            let (who, what) = (user(PEOPLE[who]), profile(PROFILES[what]));
            let grant = store.find_grant(&who, &what).unwrap();
            let got = grant.map(|grant| grant.until.timestamp_nanos_opt().unwrap());
            prop_assert_eq!(got, until);
        }
        for behind in [0, 1, 4 * SECOND] {
            let at = at - behind;
            let time = DateTime::from_timestamp_nanos(at);
            let mut ended: Vec<_> = model
                .emergencies
                .iter()
                .filter(|(_, known)| known.reviewed && known.status != Status::Active)
                .filter(|(_, known)| known.ended < at)
                .map(|(emergency, known)| (known.ended, *emergency))
                .collect();
            ended.sort_unstable();
            let got: Vec<_> = store.list_ended(time, 0).unwrap();
            let got: Vec<_> = got.iter().map(|emergency| emergency.id.to_bits()).collect();
            let ended: Vec<_> = ended.into_iter().map(|(_, emergency)| emergency).collect();
            prop_assert_eq!(got, ended);
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn random_calls_come_out_as_the_plain_rules_say(calls in prop::collection::vec(call(), 1..60)) {
        let mut pair = Pair::new();
        for call in &calls {
            let (got, expected) = pair.play(call);
            prop_assert_eq!(got, expected, "{:?}", call);
            pair.compare()?;
        }
    }
}

#[test]
fn random_calls_reach_every_outcome() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeMap::new();
    for _ in 0..600 {
        let calls = prop::collection::vec(call(), 60);
        let calls = calls.new_tree(&mut runner).unwrap().current();
        let mut pair = Pair::new();
        for call in &calls {
            let (got, _) = pair.play(call);
            *seen.entry(got).or_insert(0_u64) += 1;
        }
    }
    for word in [
        "made",
        "escalated",
        "exists",
        "not found",
        "transition",
        "not terminal",
        "reused",
        "proof",
        "active",
        "due",
        "own override",
        "not an overrider",
        "cooldown",
        "user",
        "profile",
        "not a responder",
        "over",
        "not due",
        "own review",
        "not a reviewer",
        "reviewed",
        "unreviewed",
        "kept",
        "absent",
    ] {
        assert!(
            seen.contains_key(word),
            "no sequence comes to `{word}`: {seen:?}"
        );
    }
    let repeats = seen
        .keys()
        .filter(|word| word.starts_with("Emergency"))
        .count();
    assert!(repeats > 100, "{repeats} repeats were answered again");
}
