//! Histories of the store in memory under load, recorded on several threads and checked against
//! the sequential specification; and stores that must be rejected. `cargo xtask linearizability`
//! runs the long form.
#![cfg(not(any(countersign_loom, countersign_shuttle)))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod histories;

use std::sync::{Arc, Mutex};

use countersign_core::sync::history::load::{Load, record};
use countersign_core::sync::history::{Recorder, explain};
use countersign_request::{BoxFuture, Clock, InMemory};

use histories::specification::{Answer, Call, IDS, Naive, PEOPLE};
use histories::{choose, part};

struct Memory;

impl histories::Subject for Memory {
    type Store = InMemory;

    fn open(clock: Arc<dyn Clock>) -> BoxFuture<'static, (InMemory, Self)> {
        Box::pin(async move { (InMemory::new(clock), Memory) })
    }

    fn audit(&self, store: &InMemory) -> Result<(), String> {
        store.audit()
    }
}

#[test]
fn histories_are_linearizable() {
    histories::are_linearizable::<Memory>("request", 20);
}

#[test]
fn whole_histories_are_linearizable_with_exact_versions() {
    histories::are_linearizable_as_a_whole::<Memory>("request_whole", 40);
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

/// Whether one of `rounds` histories of a store is rejected as a whole, and one in parts.
///
/// That no order explains a history is known when all have been looked through, and they are more
/// than can be once it is long. So the histories of a broken store are short, and many.
fn is_rejected(fault: Fault, tasks: u64, calls: usize, rounds: u64) -> (bool, bool) {
    let (mut whole, mut in_parts) = (false, false);
    for seed in 0..rounds {
        let states = Mutex::new((Naive::whole(), Naive::whole()));
        let broken = Arc::new(Broken { fault, states });
        let history = record(
            Load { tasks, calls, seed },
            &Arc::new(Recorder::new()),
            |random, last| choose(random, last, IDS),
            move |call| {
                let broken = Arc::clone(&broken);
                async move { broken.perform(call).await }
            },
        );
        whole |= explain(Naive::whole(), &history).is_err();
        in_parts |= (0..PEOPLE).any(|user| explain(Naive::part(), &part(&history, user)).is_err());
        if whole && in_parts {
            break;
        }
    }
    (whole, in_parts)
}

#[test]
fn stores_that_are_not_linearizable_are_rejected() {
    let unbroken = is_rejected(Fault::None, 16, 32, 3);
    assert_eq!(unbroken, (false, false), "the unbroken one is accepted");
    for fault in [Fault::ReadsOneWriteBehind, Fault::CheckOutsideTheStep] {
        assert_eq!(is_rejected(fault, 8, 20, 200), (true, true), "{fault:?}");
    }
}
