//! Histories of the store under load, recorded on several threads and checked against the
//! sequential specification; and stores that must be rejected. `cargo xtask linearizability` runs
//! the long form.
//!
//! The requests of one person are a part of their own: every call but `Pass` and `List` looks at
//! or changes those of one person only. What couples the parts is the clock, whose every move is
//! in each part, and the order of versions, which is checked over the whole store.
#![cfg(not(any(countersign_loom, countersign_shuttle)))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::sync::{Arc, Mutex};

use countersign_core::sync::history::load::{Campaign, Load, Random, check_versions, record};
use countersign_core::sync::history::{Event, Recorder, explain};
use countersign_request::Status;

use specification::{Answer, Call, Harness, IDS, Naive, PEOPLE, Wish};

mod specification;

type History = Vec<Event<Call, Answer>>;

/// Draws a call; `ids` says how many requests there are.
fn choose(random: &mut Random, last: Option<&Answer>, ids: u64) -> Call {
    let id = 1 + random.below(ids);
    let person = random.below(ids.div_ceil(2)) as usize;
    let wish = Wish::ALL[random.below(Wish::ALL.len() as u64) as usize];
    match random.below(100) {
        0..15 => Call::Create(id),
        15..45 => Call::Change(id, wish),
        45..60 => match last.and_then(Answer::request) {
            Some(request) => Call::ChangeAt(request.id.to_bits(), request.updated_at, wish),
            None => Call::Get(id),
        },
        60..75 => Call::Get(id),
        75..83 => Call::Delete(id),
        83..89 => Call::FindGrant(person, random.below(80) as u32),
        89..94 => Call::ListOf(person),
        94..98 => Call::List(Status::ALL[random.below(6) as usize]),
        // No length here is a multiple of 7 hours, so that no deadline falls on a moved clock and
        // the order of versions within a few microseconds decides nothing.
        _ => Call::Pass(7),
    }
}

fn of_the_store(load: Load, ids: u64) -> History {
    let harness = Arc::new(Harness::new());
    let performing = Arc::clone(&harness);
    let history = record(
        load,
        &Arc::new(Recorder::new()),
        move |random, last| choose(random, last, ids),
        move |call| {
            let harness = Arc::clone(&performing);
            async move { harness.perform(call).await }
        },
    );
    harness.store.audit().unwrap();
    history
}

fn part(history: &History, person: usize) -> History {
    let belongs = |call: Call| matches!(call, Call::Pass(_)) || call.person() == Some(person);
    history
        .iter()
        .filter(|event| belongs(event.call))
        .cloned()
        .collect()
}

fn versions(history: &History) -> Result<(), String> {
    check_versions(
        history
            .iter()
            .filter(|event| event.call.writes())
            .filter_map(|event| {
                let request = event.answer.request()?;
                Some((event.began, event.ended, request.updated_at))
            }),
    )
}

#[test]
fn histories_are_linearizable() {
    Campaign::new("request", 20).run(|campaign, seed| {
        let (tasks, calls) = (16, 40);
        let history = of_the_store(Load { tasks, calls, seed }, IDS);
        for person in 0..PEOPLE {
            campaign.check(Naive::part(), &part(&history, person));
        }
        versions(&history).unwrap();
    });
}

#[test]
fn whole_histories_are_linearizable_with_exact_versions() {
    Campaign::new("request_whole", 40).run(|campaign, seed| {
        let (tasks, calls) = (16, 8);
        let history = of_the_store(Load { tasks, calls, seed }, 3);
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
    /// A write is decided before the step that writes it.
    CheckOutsideTheStep,
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
                (Fault::CheckOutsideTheStep, Call::Change(id, _)) => {
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
    let (mut wholes, mut parts) = (0, 0);
    for seed in 0..rounds {
        let states = Mutex::new((Naive::whole(), Naive::whole()));
        let broken = Arc::new(Broken { fault, states });
        let (tasks, calls) = (16, 32);
        let history = record(
            Load { tasks, calls, seed },
            &Arc::new(Recorder::new()),
            |random, last| choose(random, last, IDS),
            move |call| {
                let broken = Arc::clone(&broken);
                async move { broken.perform(call).await }
            },
        );
        let whole = explain(Naive::whole(), &history);
        let in_parts =
            (0..PEOPLE).any(|person| explain(Naive::part(), &part(&history, person)).is_err());
        wholes += u64::from(whole.is_err());
        parts += u64::from(in_parts);
    }
    (wholes, parts)
}

#[test]
fn stores_that_are_not_linearizable_are_rejected() {
    assert_eq!(
        rejected(Fault::None, 3),
        (0, 0),
        "the unbroken one is accepted"
    );
    for fault in [Fault::ReadsOneWriteBehind, Fault::CheckOutsideTheStep] {
        let (wholes, parts) = rejected(fault, 3);
        assert!(
            wholes > 0 && parts > 0,
            "{fault:?}: {wholes} and {parts} of 3"
        );
    }
}
