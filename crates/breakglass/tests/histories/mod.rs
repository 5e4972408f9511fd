//! Histories of any store under load, recorded on several threads and checked against the
//! sequential specification.
//!
//! What an admission looks at decides into which parts a history can be taken. Where only users
//! have a quota, emergencies of two users never meet, whatever their profiles: the one active emergency,
//! the pause and the quota are all of one user. Where only profiles have a quota, emergencies for two
//! profiles never meet. What couples the parts is the clock, whose every move is in each part, and
//! the order of versions, which is checked over the whole store. Where both have a quota, histories
//! are checked whole.
//!
//! [`Subject`] says how a store is opened; the tests of another crate can include this file with
//! `#[path]`.
#![allow(dead_code, reason = "a test file may use a part")]

#[path = "../specification/mod.rs"]
pub mod specification;
#[path = "../common/subject.rs"]
mod subject;

use std::ops::Range;
use std::sync::Arc;

use countersign_breakglass::Status;
use countersign_core::sync::history::load::{Campaign, Load, Random, check_versions, record};
use countersign_core::sync::history::{Operation, Recorder};

pub use subject::Subject;

use specification::{
    Answer, Call, Harness, Naive, OF_BOTH, OF_PROFILES, OF_USERS, WITH_PROOF, Wish, clock,
};

pub type History = Vec<Operation<Call, Answer>>;

pub const USERS: Range<u64> = OF_USERS..OF_USERS + 16;
pub const PROFILES: Range<u64> = OF_PROFILES..OF_PROFILES + 16;
/// One second factor of one user, and reviews that are due to another.
pub const DEBTS: Range<u64> = WITH_PROOF..OF_USERS;
pub const BOTH: Range<u64> = OF_BOTH..OF_BOTH + 8;

pub fn choose(random: &mut Random, last: Option<&Answer>, ids: &Range<u64>) -> Call {
    let id = ids.start + random.below(ids.end - ids.start);
    let wish = Wish::ALL[random.below(Wish::ALL.len() as u64) as usize];
    // The operations of a group of four ids are in the part of that group.
    let key = |id: u64, random: &mut Random| {
        let group = ids.start + (id - ids.start) / 4;
        10 * group + random.below(5)
    };
    match random.below(100) {
        0..24 => Call::Invoke(id),
        24..27 => Call::InvokeOnce(id, key(id, random)),
        27..30 => Call::InvokeOverriding(id),
        30..44 => Call::Change(id, wish),
        44..56 => match last.and_then(Answer::emergency) {
            Some(emergency) => {
                let (id, version) = (emergency.id.to_bits(), emergency.updated_at);
                match random.below(3) {
                    0 => Call::ChangeOnce(id, version, wish, key(id, random)),
                    _ => Call::ChangeAt(id, version, wish),
                }
            }
            None => Call::Get(id),
        },
        56..66 => Call::Get(id),
        66..75 => Call::Delete(id),
        75..79 => Call::FindGrant(id),
        79..82 => Call::ActiveAt(id, random.below(40) as u32),
        82..86 => Call::ListOf(id),
        86..90 => Call::ListFor(id),
        90 => Call::Due,
        91 => Call::List(Status::ALL[random.below(3) as usize]),
        92..94 => Call::AwaitingReview,
        94 => match random.below(3) {
            0 => Call::Ended(random.below(40) as u32),
            _ => Call::ExpireDue,
        },
        95 => {
            let seen = last.and_then(Answer::emergency);
            Call::ChangesSince(seen.map(|emergency| emergency.updated_at), 5)
        }
        // No length in the rules is a multiple of 7 hours, so that nothing ends on a moved clock.
        _ => Call::Pass(7),
    }
}

fn of_the_store<S: Subject>(load: Load, ids: Range<u64>) -> History {
    let (clock, now) = clock();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let (store, subject) = runtime.unwrap().block_on(S::open(now));
    let harness = Arc::new(Harness::over(clock, store));
    // Where reads are of snapshots, the clock stands still during each call.
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
                    Call::Pass(_) | Call::Back(_) => {
                        let _moving = steady.write().await;
                        harness.perform(call).await
                    }
                    _ if S::READS_SNAPSHOTS => {
                        let _steady = steady.read().await;
                        harness.perform(call).await
                    }
                    _ => harness.perform(call).await,
                }
            }
        },
    );
    subject.audit(&harness.store).unwrap();
    history
}

/// The calls about a group of four ids, and every move of the clock. `foreign` reads more than
/// that.
fn part(history: &History, ids: Range<u64>, foreign: fn(Call) -> bool) -> History {
    let belongs = |emergency: &Operation<Call, Answer>| {
        let id = match (emergency.call, &emergency.answer) {
            (Call::Pass(_) | Call::Back(_), _) => return true,
            // Which it was, the answer says.
            (Call::ExpireDue, answer) => answer.emergency().map(|marked| marked.id.to_bits()),
            (call, _) => call.id(),
        };
        id.is_some_and(|id| ids.contains(&id)) && !foreign(emergency.call)
    };
    history
        .iter()
        .filter(|emergency| belongs(emergency))
        .cloned()
        .collect()
}

pub fn parts(history: &History, ids: &Range<u64>) -> Vec<History> {
    let foreign: fn(Call) -> bool = match ids.start {
        OF_USERS => |call| matches!(call, Call::ListFor(_)),
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
            .filter(|emergency| emergency.call.writes())
            .filter_map(|emergency| {
                let written = emergency.answer.emergency()?;
                Some((emergency.began, emergency.ended, written.updated_at))
            }),
    )
}

/// Records `short` histories about these ids, or as many as are asked for, and checks them in
/// parts.
pub fn are_linearizable<S: Subject>(name: &'static str, ids: Range<u64>, short: u64) {
    Campaign::new(name, short).run(|campaign, seed| {
        let (tasks, calls) = (16, 40);
        let history = of_the_store::<S>(Load { tasks, calls, seed }, ids.clone());
        for part in parts(&history, &ids) {
            campaign.check(Naive::part(), &part);
        }
        versions(&history).unwrap();
    });
}

/// Records shorter histories about these ids, and checks them as a whole, with every version.
pub fn are_linearizable_as_a_whole<S: Subject>(name: &'static str, ids: Range<u64>, short: u64) {
    Campaign::new(name, short).run(|campaign, seed| {
        let (tasks, calls) = (S::TASKS_OF_A_WHOLE, 8);
        let history = of_the_store::<S>(Load { tasks, calls, seed }, ids.clone());
        campaign.check(Naive::whole(), &history);
        versions(&history).unwrap();
    });
}
