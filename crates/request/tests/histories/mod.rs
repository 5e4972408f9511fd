//! Histories of any store under load, recorded on several threads and checked against the
//! sequential specification.
//!
//! The requests of one user are a part of their own: every call but `Pass` and `List` looks at
//! or changes those of one user only. What couples the parts is the clock, whose every move is
//! in each part, and the order of versions, which is checked over the whole store.
//!
//! [`Subject`] says how a store is opened; the tests of another crate can include this file with
//! `#[path]`.
#![allow(dead_code, reason = "a test file may use a part")]

#[path = "../specification/mod.rs"]
pub mod specification;
#[path = "../support/subject.rs"]
mod subject;

use std::sync::Arc;

use countersign_core::sync::history::load::{Campaign, Load, Random, check_versions, record};
use countersign_core::sync::history::{Operation, Recorder};
use countersign_request::Status;

pub use subject::Subject;

use specification::{Answer, Call, Harness, IDS, Naive, OTHER, OWN, PEOPLE, Wish, clock, user_of};

pub type History = Vec<Operation<Call, Answer>>;

/// Draws a call; `ids` says how many requests there are.
pub fn choose(random: &mut Random, last: Option<&Answer>, ids: u64) -> Call {
    let id = 1 + random.below(ids);
    let user = random.below(ids.div_ceil(2)) as usize;
    let wish = Wish::ALL[random.below(Wish::ALL.len() as u64) as usize];
    // The operations of a user are in the part of that user.
    let key = |id: u64, random: &mut Random| 10 * id.div_ceil(2) + random.below(5);
    match random.below(100) {
        0..12 => Call::Create(id),
        12..15 => Call::CreateOnce(id, key(id, random)),
        15..42 => Call::Change(id, wish),
        42..60 => match last.and_then(Answer::request) {
            Some(request) => {
                let (id, version) = (request.id.to_bits(), request.updated_at);
                match random.below(3) {
                    0 => Call::ChangeOnce(id, version, wish, key(id, random)),
                    _ => Call::ChangeAt(id, version, wish),
                }
            }
            None => Call::Get(id),
        },
        60..74 => Call::Get(id),
        74..80 => Call::Delete(id),
        80..82 => Call::DeleteOld(id, random.below(80) as u32),
        82..85 => Call::FindGrant(user),
        85 | 86 => match random.below(3) {
            0 => Call::AccessAt(user, random.below(80) as u32),
            1 => Call::FindGrantUnder(user, OWN),
            _ => Call::FindGrantUnder(user, OTHER),
        },
        87..90 => Call::ListOf(user),
        90..93 => Call::Open(user),
        93 => Call::List(Status::ALL[random.below(8) as usize]),
        94 => match random.below(3) {
            0 => Call::Due,
            _ => Call::ExpireDue,
        },
        95 => Call::Waiting(random.below(2) == 0),
        96 => Call::Ended(random.below(80) as u32),
        97 => {
            let seen = last.and_then(Answer::request);
            Call::ChangesSince(seen.map(|request| request.updated_at), 5)
        }
        // No length here is a multiple of 7 hours, so that no deadline falls on a moved clock and
        // the order of versions within a few microseconds decides nothing.
        _ => Call::Pass(7),
    }
}

fn of_the_store<S: Subject>(load: Load, ids: u64) -> History {
    let (clock, now) = clock();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let (store, subject) = runtime.unwrap().block_on(S::open(now));
    let harness = Arc::new(Harness::over(clock, store));
    let performing = Arc::clone(&harness);
    let steady = Arc::new(tokio::sync::RwLock::new(()));
    let history = record(
        load,
        &Arc::new(Recorder::new()),
        move |random, last| choose(random, last, ids),
        move |call| {
            let (harness, steady) = (Arc::clone(&performing), Arc::clone(&steady));
            async move {
                match call {
                    _ if !S::READS_SNAPSHOTS => harness.perform(call).await,
                    Call::Pass(_) => {
                        let _moving = steady.write().await;
                        harness.perform(call).await
                    }
                    _ => {
                        let _steady = steady.read().await;
                        harness.perform(call).await
                    }
                }
            }
        },
    );
    subject.audit(&harness.store).unwrap();
    history
}

pub fn part(history: &History, user: usize) -> History {
    let of_it = |operation: &Operation<Call, Answer>| match (operation.call, &operation.answer) {
        // Whose it is, the answer says.
        (Call::ExpireDue, answer) => answer
            .request()
            .map(|request| user_of(request.id.to_bits())),
        (call, _) => call.user(),
    };
    history
        .iter()
        .filter(|operation| {
            matches!(operation.call, Call::Pass(_)) || of_it(operation) == Some(user)
        })
        .cloned()
        .collect()
}

fn versions(history: &History) -> Result<(), String> {
    check_versions(
        history
            .iter()
            .filter(|operation| operation.call.writes())
            .filter_map(|operation| {
                let request = operation.answer.request()?;
                Some((operation.began, operation.ended, request.updated_at))
            }),
    )
}

/// Records `short` histories, or as many as are asked for, and checks those of each user.
pub fn are_linearizable<S: Subject>(name: &'static str, short: u64) {
    Campaign::new(name, short).run(|campaign, seed| {
        let (tasks, calls) = (16, 40);
        let history = of_the_store::<S>(Load { tasks, calls, seed }, IDS);
        for user in 0..PEOPLE {
            campaign.check(Naive::part(), &part(&history, user));
        }
        versions(&history).unwrap();
    });
}

/// Records shorter histories of fewer requests, and checks them as a whole, with every version.
pub fn are_linearizable_as_a_whole<S: Subject>(name: &'static str, short: u64) {
    Campaign::new(name, short).run(|campaign, seed| {
        let (tasks, calls) = (S::TASKS_OF_A_WHOLE, 8);
        let history = of_the_store::<S>(Load { tasks, calls, seed }, 3);
        campaign.check(Naive::whole(), &history);
        versions(&history).unwrap();
    });
}
