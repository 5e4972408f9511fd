//! The kit for engines: what [`countersign_core::engine`](crate::engine) promises, as cases that every
//! engine must pass.
//!
//! - One line, [`engine_conformance_tests!`](crate::engine_conformance_tests), makes each case a test of
//!   its own. The cases are listed once, in this module; no engine can leave one out.
//! - A case is given an empty engine ([`Subject`]) that keeps notes, a record with indexes of every
//!   kind, and whose time is a [`ManualClock`]. It runs on four threads, and fails with the property
//!   that the engine broke. One that hangs fails after two minutes; apart from that no case depends on
//!   how fast the machine is.
//! - Cases look at what a job can see. So they cannot see what becomes of a read that fails, which
//!   nobody here can make fail, nor whether a change survives the loss of power.
//!
//! An engine that passes can have the stores of the domain crates made over it; their own kits try the
//! rest. That each case can fail is shown by the test `engine_mutants` of this crate: engines with one
//! wrong line each, all of which the kit refuses.
//!
//! ```
//! use std::sync::Arc;
//! use countersign_core::clock::ManualClock;
//! use countersign_core::engine::conformance::{Note, Subject};
//! use countersign_core::future::BoxFuture;
//! use countersign_core::table::Table;
//!
//! struct Memory(Arc<Table<Note>>);
//!
//! impl Subject for Memory {
//!     type Engine = Table<Note>;
//!
//!     fn open(clock: Arc<ManualClock>) -> BoxFuture<'static, Self> {
//!         Box::pin(async move { Memory(Arc::new(Table::new(clock))) })
//!     }
//!
//!     fn engine(&self) -> Arc<Table<Note>> {
//!         self.0.clone()
//!     }
//!
//!     fn reopen(self) -> BoxFuture<'static, Self> {
//!         Box::pin(async move { self })
//!     }
//! }
//!
//! countersign_core::engine_conformance_tests!(Memory);
//! ```

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "an engine that breaks its contract fails its test"
)]

mod changes;
mod drawn;
mod ground;
mod holders;
mod note;
mod reading;
mod records;
mod reopening;
mod steps;
mod time;
mod together;
mod versions;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::clock::ManualClock;
use crate::engine::Engine;
use crate::future::BoxFuture;
use crate::sync::suite;

use ground::Ground;
pub use note::{Edit, Key, Note, NoteId};

/// How the kit gets an engine.
///
/// Implement it for a value that keeps what the engine needs, such as a directory that is removed when
/// the value is dropped. Many are open at the same time: no two may share anything.
pub trait Subject: Sized + Send + Sync + 'static {
    /// What is tried.
    type Engine: Engine<Note, Error: fmt::Debug>;

    /// An empty engine whose time is `clock`, with the usual
    /// [`CLOCK_TOLERANCE`](crate::time::CLOCK_TOLERANCE).
    fn open(clock: Arc<ManualClock>) -> BoxFuture<'static, Self>;

    /// The engine.
    fn engine(&self) -> Arc<Self::Engine>;

    /// Closes the engine and opens again what it keeps, with the same clock, as after a restart of the
    /// process. An engine in memory gives itself.
    fn reopen(self) -> BoxFuture<'static, Self>;
}

/// Makes every case of the kit for engines a test of its own, of the engine that a
/// [`Subject`](crate::engine::conformance::Subject) gives.
///
/// The tests stand where the line stands: give each engine a file or module of its own.
/// [`conformance`](crate::engine::conformance) has an example.
#[macro_export]
macro_rules! engine_conformance_tests {
    ($subject:ty) => {
        $crate::__engine_conformance_cases! { $crate::__engine_conformance_tests, $subject }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __engine_conformance_tests {
    (($subject:ty) $($topic:ident { $($case:ident)* })*) => {
        $($(
            #[test]
            fn $case() {
                $crate::engine::conformance::run::<$subject>(::core::stringify!($case));
            }
        )*)*
    };
}

macro_rules! table {
    (() $($topic:ident { $($case:ident)* })*) => {
        /// The names of all cases.
        pub const CASES: &[&str] = &[$($(stringify!($case)),*),*];

        fn case<S: Subject>(name: &str) -> Option<Case<S>> {
            match name {
                $($(stringify!($case) => Some(|ground| Box::pin($topic::$case(ground))),)*)*
                _ => None,
            }
        }
    };
}

/// Every case, once: gives the list to a macro, with what that macro needs besides.
#[doc(hidden)]
#[macro_export]
macro_rules! __engine_conformance_cases {
    ($then:path, $($given:tt)*) => {
        $then! {
            ($($given)*)
            steps {
                a_step_writes_all_that_it_staged
                a_step_that_fails_changes_nothing
                a_step_that_panics_changes_nothing
                a_step_reads_the_store_before_it
                a_step_sees_every_step_before_it
                what_is_put_last_is_kept
                what_is_put_and_removed_is_gone
                what_is_put_is_given_back
                an_answer_is_of_the_run_that_is_written
                the_lock_tells_what_it_finds
            }
            versions {
                versions_grow_with_a_clock_that_stands_still
                versions_grow_with_a_clock_that_steps_back
                versions_follow_a_clock_that_goes_on
                versions_of_what_is_removed_are_not_issued_again
                the_stamps_of_a_step_grow
                a_step_that_fails_uses_no_version_up
                a_reading_that_is_no_time_leaves_versions
            }
            time {
                a_step_has_one_time
                time_stands_still_within_the_tolerance
                looking_moves_no_time
                a_snapshot_has_the_time_of_the_next_step
                a_step_remembers_a_correction
                a_step_that_writes_nothing_remembers_a_correction
                a_step_that_fails_remembers_a_correction
                a_snapshot_remembers_a_correction
                a_snapshot_is_read_after_the_correction_it_finds
                a_correction_has_a_version_of_its_own
                a_jump_is_remembered_by_a_step_that_writes_nothing
            }
            records {
                an_empty_engine_has_nothing
                a_record_is_kept_whole
                a_put_moves_a_record
                a_removed_record_is_found_nowhere
                a_record_is_found_by_each_of_its_keys
                keys_are_told_apart
                a_removed_id_begins_anew
            }
            reading {
                the_highest_rank_comes_first
                ids_have_no_sign
                ranks_go_to_both_ends
                a_range_has_two_ends
                a_place_need_not_be_there
                a_scan_ends_when_it_is_told
                want_changes_nothing
                a_scan_can_read_on
                many_are_read_in_order
                several_keys_are_merged_in_one_order
                pages_meet
            }
            holders {
                who_has_a_key_holds_it
                a_holder_outlasts_its_removal
                what_does_not_outlast_is_held_by_nobody
                who_takes_a_key_holds_it
            }
            changes {
                changes_come_in_the_order_of_their_making
                a_change_comes_with_its_record_as_it_is
                changes_go_on_after_any_version
                a_limit_of_changes_is_exact
                what_is_removed_has_no_changes
                what_is_made_again_has_its_new_changes
            }
            drawn {
                drawn_steps_leave_what_they_wrote
                drawn_steps_go_on_across_reopening
            }
            together {
                fifty_steps_are_all_made
                one_of_fifty_takes_an_id
                versions_of_steps_that_meet_differ
                a_snapshot_agrees_with_itself
                readers_see_whole_steps
                nothing_happens_before_the_first_poll
                a_call_that_is_dropped_is_whole
            }
            reopening {
                everything_is_there_after_reopening
                what_is_removed_stays_removed
                versions_go_on_after_reopening
                changes_go_on_after_reopening
                the_last_time_outlives_reopening
                a_correction_outlives_reopening
                every_correction_outlives_reopening
                a_jump_outlives_reopening
            }
        }
    };
}

crate::__engine_conformance_cases! { table, }

type Case<S> = fn(Ground<S>) -> Pin<Box<dyn Future<Output = ()>>>;

/// Runs one case. For runners of one's own;
/// [`engine_conformance_tests!`](crate::engine_conformance_tests) is the usual way.
///
/// ```no_run
/// use countersign_core::engine::conformance::{CASES, Subject, run};
///
/// fn all<S: Subject>() {
///     CASES.iter().for_each(|case| run::<S>(case));
/// }
/// ```
///
/// # Panics
/// If the engine breaks its promises, with the property that it broke; if there is no such case; or if
/// the case has not ended after two minutes.
pub fn run<S: Subject>(case: &str) {
    let Some(body) = self::case::<S>(case) else {
        panic!("there is no case `{case}`: `CASES` names them all");
    };
    suite::run(case, move |suite| async move {
        body(Ground::new(suite).await).await;
    });
}
