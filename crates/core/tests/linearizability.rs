//! Histories of the table under load, recorded on several threads and checked against the
//! sequential specification; and a table that must be rejected. `cargo xtask linearizability` runs
//! the long form.
//!
//! Histories are checked whole: lists of a colour look at every record.
#![cfg(not(any(countersign_loom, countersign_shuttle)))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::sync::{Arc, Mutex};

use countersign_core::sync::history::load::{Campaign, Load, Random, check_versions, record};
use countersign_core::sync::history::{Operation, Recorder, explain};
use countersign_core::table::View;

use specification::{Answer, Call, Item, Naive, call, store};

mod specification;

type History = Vec<Operation<Call, Answer>>;

fn item(answer: &Answer) -> Option<&Item> {
    match answer {
        Answer::Item(item) => item.as_ref(),
        _ => None,
    }
}

fn choose(random: &mut Random, last: Option<&Answer>) -> Call {
    let (id, colour) = (random.below(6) as u8, random.below(3) as u8);
    match random.below(100) {
        0..20 => Call::Create(id),
        20..40 => Call::Repaint(id, colour),
        40..55 => match last.and_then(item) {
            Some(item) => Call::Update(item.id, item.written, colour),
            None => Call::Get(id),
        },
        55..75 => Call::Get(id),
        75..85 => Call::Delete(id),
        85..95 => Call::List(colour),
        _ => Call::MoveClock(random.below(2_000) as i64 - 1_000),
    }
}

#[test]
fn histories_are_linearizable_with_exact_versions() {
    Campaign::new("table", 40).run(|campaign, seed| {
        let store = Arc::new(store());
        let calling = Arc::clone(&store);
        let (tasks, calls) = (16, 40);
        let history = record(
            Load { tasks, calls, seed },
            &Arc::new(Recorder::new()),
            choose,
            move |made| std::future::ready(call(&calling, &made)),
        );
        store.table.read(View::audit).unwrap();
        campaign.check(Naive::new(), &history);
        let writes = |operation: &&Operation<Call, Answer>| {
            matches!(
                operation.call,
                Call::Create(_) | Call::Update(..) | Call::Repaint(..)
            )
        };
        let issued = history.iter().filter(writes).filter_map(|operation| {
            Some((
                operation.began,
                operation.ended,
                item(&operation.answer)?.written,
            ))
        });
        check_versions(issued).unwrap();
    });
}

/// The specification under a lock is a table, here with lists from before the last write.
#[test]
fn a_table_with_lists_one_write_old_is_rejected() {
    let states = Arc::new(Mutex::new((Naive::new(), Naive::new())));
    let broken = move |made: Call| {
        let mut states = states.lock().unwrap();
        if let Call::List(_) = made {
            return states.0.apply(made);
        }
        let before = states.1.clone();
        let answer = states.1.apply(made);
        if states.1 != before {
            states.0 = before;
        }
        answer
    };
    let load = Load {
        tasks: 16,
        calls: 40,
        seed: 1,
    };
    let history: History = record(load, &Arc::new(Recorder::new()), choose, move |made| {
        std::future::ready(broken(made))
    });
    let unexplained = explain(Naive::new(), &history).unwrap_err();
    assert!(
        unexplained
            .open
            .iter()
            .any(|operation| operation.contains("List"))
    );
}

#[test]
fn versions_that_repeat_or_go_back_are_found() {
    let version = countersign_core::version::Version::from_nanos;
    let issued = |first: (u64, u64, i64), second: (u64, u64, i64)| {
        check_versions([first, second].map(|(began, ended, at)| (began, ended, version(at))))
    };
    assert!(issued((0, 1, 10), (2, 3, 11)).is_ok());
    assert!(issued((0, 2, 11), (1, 3, 10)).is_ok(), "they overlap");
    assert!(
        issued((0, 1, 11), (2, 3, 10)).is_err(),
        "the later one is smaller"
    );
    assert!(issued((0, 1, 10), (2, 3, 10)).is_err(), "issued twice");
}
