//! Histories of the store under load, recorded on several threads and checked against the
//! sequential specification; and stores that must be rejected. `cargo xtask linearizability` runs
//! the long form.
//!
//! What an admission looks at decides into which parts a history can be taken. Where only persons
//! have a quota, events of two persons never meet, whatever their profiles: the one active event,
//! the pause and the quota are all of one person. Where only profiles have a quota, events for two
//! profiles never meet. What couples the parts is the clock, whose every move is in each part, and
//! the order of versions, which is checked over the whole store. Where both have a quota, histories
//! are checked whole.
#![cfg(not(any(countersign_loom, countersign_shuttle)))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::ops::Range;
use std::sync::{Arc, Mutex};

use countersign_breakglass::Status;
use countersign_core::sync::history::load::{Campaign, Load, Random, check_versions, record};
use countersign_core::sync::history::{Event, Recorder, explain};

use specification::{
    Answer, Call, Harness, Naive, OF_BOTH, OF_PERSONS, OF_PROFILES, WITH_PROOF, Wish,
};

mod specification;

type History = Vec<Event<Call, Answer>>;

const PERSONS: Range<u64> = OF_PERSONS..OF_PERSONS + 16;
const PROFILES: Range<u64> = OF_PROFILES..OF_PROFILES + 16;
/// One second factor of one person, and reviews that are due to another.
const DEBTS: Range<u64> = WITH_PROOF..OF_PERSONS;
const BOTH: Range<u64> = OF_BOTH..OF_BOTH + 8;

fn choose(random: &mut Random, last: Option<&Answer>, ids: &Range<u64>) -> Call {
    let id = ids.start + random.below(ids.end - ids.start);
    let wish = Wish::ALL[random.below(Wish::ALL.len() as u64) as usize];
    // The operations of a group of four ids are in the part of that group.
    let operation = |id: u64, random: &mut Random| {
        let group = ids.start + (id - ids.start) / 4;
        10 * group + random.below(5)
    };
    match random.below(100) {
        0..24 => Call::Invoke(id),
        24..27 => Call::InvokeOnce(id, operation(id, random)),
        27..30 => Call::InvokeOverriding(id),
        30..44 => Call::Change(id, wish),
        44..56 => match last.and_then(Answer::event) {
            Some(event) => {
                let (id, version) = (event.id.to_bits(), event.updated_at);
                match random.below(3) {
                    0 => Call::ChangeOnce(id, version, wish, operation(id, random)),
                    _ => Call::ChangeAt(id, version, wish),
                }
            }
            None => Call::Get(id),
        },
        56..66 => Call::Get(id),
        66..75 => Call::Delete(id),
        75..82 => Call::FindActive(id, random.below(40) as u32),
        82..86 => Call::ListOf(id),
        86..90 => Call::ListFor(id),
        90..92 => Call::List(Status::ALL[random.below(3) as usize]),
        92..94 => Call::AwaitingReview(random.below(40) as u32),
        94 => Call::Ended(random.below(40) as u32),
        95 => {
            let seen = last.and_then(Answer::event);
            Call::ChangesSince(seen.map(|event| event.updated_at), 5)
        }
        // No length in the rules is a multiple of 7 hours, so that nothing ends on a moved clock
        // and the order of versions within a few microseconds decides nothing.
        _ => Call::Pass(7),
    }
}

fn of_the_store(load: Load, ids: Range<u64>) -> History {
    let harness = Arc::new(Harness::new());
    // A step that replaces an event reads the clock twice, and the specification knows of one
    // moment only: the clock stands still meanwhile.
    let steady = Arc::new(tokio::sync::RwLock::new(()));
    let performing = Arc::clone(&harness);
    let history = record(
        load,
        &Arc::new(Recorder::new()),
        move |random, last| choose(random, last, &ids),
        move |call| {
            let (harness, steady) = (Arc::clone(&performing), Arc::clone(&steady));
            async move {
                match call {
                    Call::Pass(_) => {
                        let _moving = steady.write().await;
                        harness.perform(call).await
                    }
                    Call::Invoke(_) | Call::InvokeOnce(..) | Call::InvokeOverriding(_) => {
                        let _steady = steady.read().await;
                        harness.perform(call).await
                    }
                    _ => harness.perform(call).await,
                }
            }
        },
    );
    harness.store.audit().unwrap();
    history
}

/// The calls about a group of four ids, and every move of the clock. `foreign` reads more than
/// that.
fn part(history: &History, ids: Range<u64>, foreign: fn(Call) -> bool) -> History {
    let belongs = |call: Call| match call {
        Call::Pass(_) => true,
        _ => call.id().is_some_and(|id| ids.contains(&id)) && !foreign(call),
    };
    history
        .iter()
        .filter(|event| belongs(event.call))
        .cloned()
        .collect()
}

fn parts(history: &History, ids: &Range<u64>) -> Vec<History> {
    let foreign: fn(Call) -> bool = match ids.start {
        OF_PERSONS => |call| matches!(call, Call::ListFor(_)),
        _ => |call| matches!(call, Call::ListOf(_)),
    };
    let groups = ids.clone().step_by(4);
    groups
        .map(|first| part(history, first..first + 4, foreign))
        .collect()
}

fn versions(history: &History) -> Result<(), String> {
    check_versions(
        history
            .iter()
            .filter(|event| event.call.writes())
            .filter_map(|event| {
                let written = event.answer.event()?;
                Some((event.began, event.ended, written.updated_at))
            }),
    )
}

fn check_in_parts(name: &'static str, ids: Range<u64>) {
    Campaign::new(name, 20).run(|campaign, seed| {
        let (tasks, calls) = (16, 40);
        let history = of_the_store(Load { tasks, calls, seed }, ids.clone());
        for part in parts(&history, &ids) {
            campaign.check(Naive::part(), &part);
        }
        versions(&history).unwrap();
    });
}

#[test]
fn histories_are_linearizable_where_persons_have_a_quota() {
    check_in_parts("breakglass_persons", PERSONS);
}

#[test]
fn histories_are_linearizable_where_profiles_have_a_quota() {
    check_in_parts("breakglass_profiles", PROFILES);
}

#[test]
fn whole_histories_are_linearizable_with_exact_versions() {
    Campaign::new("breakglass_whole", 40).run(|campaign, seed| {
        let (tasks, calls) = (16, 8);
        let history = of_the_store(Load { tasks, calls, seed }, BOTH);
        campaign.check(Naive::whole(), &history);
        versions(&history).unwrap();
    });
}

#[test]
fn whole_histories_are_linearizable_where_reviews_and_second_factors_are_looked_at() {
    Campaign::new("breakglass_debts", 40).run(|campaign, seed| {
        let (tasks, calls) = (16, 8);
        let history = of_the_store(Load { tasks, calls, seed }, DEBTS);
        campaign.check(Naive::whole(), &history);
        versions(&history).unwrap();
    });
}

/// The specification under a lock is a store; so it can be broken in one way at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Reads see what was there before the last write.
    ReadsOneWriteBehind,
    /// An admission is decided before the step that writes the event.
    AdmissionOutsideTheStep,
}

struct Broken {
    fault: Fault,
    /// Before the last write, and now.
    states: Mutex<(Naive, Naive)>,
}

impl Broken {
    async fn perform(&self, call: Call) -> Answer {
        let decided = {
            let mut states = self.states.lock().unwrap();
            let mut after = states.1.clone();
            match (self.fault, call) {
                (Fault::ReadsOneWriteBehind, Call::Get(_)) => return states.0.apply(call),
                (Fault::AdmissionOutsideTheStep, Call::Invoke(id)) => {
                    let answer = after.apply(call);
                    (answer, after, id)
                }
                _ => {
                    let answer = after.apply(call);
                    if after != states.1 {
                        let before = std::mem::replace(&mut states.1, after);
                        states.0 = before;
                    }
                    return answer;
                }
            }
        };
        tokio::task::yield_now().await;
        let (answer, after, id) = decided;
        self.states.lock().unwrap().1.overwrite(after, id);
        answer
    }
}

/// How many of `rounds` histories of a broken store are rejected, as a whole and in parts.
fn rejected(fault: Fault, rounds: u64) -> (u64, u64) {
    let (mut wholes, mut in_parts) = (0, 0);
    for seed in 0..rounds {
        let states = Mutex::new((Naive::whole(), Naive::whole()));
        let broken = Arc::new(Broken { fault, states });
        let (tasks, calls) = (16, 32);
        let history = record(
            Load { tasks, calls, seed },
            &Arc::new(Recorder::new()),
            |random, last| choose(random, last, &PERSONS),
            move |call| {
                let broken = Arc::clone(&broken);
                async move { broken.perform(call).await }
            },
        );
        let part_rejected = |part: &History| explain(Naive::part(), part).is_err();
        wholes += u64::from(explain(Naive::whole(), &history).is_err());
        in_parts += u64::from(parts(&history, &PERSONS).iter().any(part_rejected));
    }
    (wholes, in_parts)
}

#[test]
fn stores_that_are_not_linearizable_are_rejected() {
    assert_eq!(
        rejected(Fault::None, 3),
        (0, 0),
        "the unbroken one is accepted"
    );
    for fault in [Fault::ReadsOneWriteBehind, Fault::AdmissionOutsideTheStep] {
        let (wholes, parts) = rejected(fault, 3);
        assert!(
            wholes > 0 && parts > 0,
            "{fault:?}: {wholes} and {parts} of 3"
        );
    }
}
