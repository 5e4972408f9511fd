//! The conformance kit: the contract of [`Store`] as cases that every store must pass.
//!
//! - One line, [`conformance_tests!`](crate::conformance_tests), makes each case a test of its own.
//!   The cases are listed once, in this module; no store can leave one out.
//! - A case is given an empty store ([`Subject`]) whose time is a [`ManualClock`], runs on four
//!   threads, and fails with the property that the store broke. One that hangs fails after two
//!   minutes; apart from that no case depends on how fast the machine is.
//! - Cases look at what a caller can see, through the trait alone. So they cannot see what a store
//!   keeps: constraints of a schema, its durability when the machine fails, its cost.
//!
//! The test `mutants` of this crate holds against it stores with one wrong line each, and fails if
//! the kit takes one of them for right.
//!
//! ```
//! use std::sync::Arc;
//! use countersign_policy::conformance::Subject;
//! use countersign_policy::{BoxFuture, InMemory, ManualClock, Store};
//!
//! struct Memory(Arc<InMemory>);
//!
//! impl Subject for Memory {
//!     fn open(clock: Arc<ManualClock>) -> BoxFuture<'static, Self> {
//!         Box::pin(async move { Memory(Arc::new(InMemory::new(clock))) })
//!     }
//!
//!     fn store(&self) -> Arc<dyn Store> {
//!         self.0.clone()
//!     }
//!
//!     fn reopen(self) -> BoxFuture<'static, Self> {
//!         Box::pin(async move { self })
//!     }
//! }
//!
//! countersign_policy::conformance_tests!(Memory);
//! ```

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a store that breaks its contract fails its test"
)]

mod bench;
mod following;
mod keeping;
mod listing;
mod putting;
mod repeating;
mod together;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use countersign_core::clock::ManualClock;
use countersign_core::future::BoxFuture;
use countersign_core::sync::suite;

use crate::store::Store;
use bench::Bench;

/// How the kit gets a store.
///
/// Implement it for a value that keeps what the store needs, such as a directory that is removed
/// when the value is dropped. Many are open at the same time: no two may share anything.
pub trait Subject: Sized + Send + 'static {
    /// An empty store whose time is `clock`, with the default
    /// [`Limits`](crate::store::Limits).
    fn open(clock: Arc<ManualClock>) -> BoxFuture<'static, Self>;

    /// The store.
    fn store(&self) -> Arc<dyn Store>;

    /// Closes the store and opens again what it keeps, with the same clock, as after a restart of
    /// the process. A store in memory gives itself.
    fn reopen(self) -> BoxFuture<'static, Self>;
}

/// Makes every case of the kit a test of its own, of the store that a
/// [`Subject`](crate::conformance::Subject) gives.
///
/// The tests stand where the line stands: give each store a file or module of its own.
/// [`conformance`](crate::conformance) has an example.
#[macro_export]
macro_rules! conformance_tests {
    ($subject:ty) => {
        $crate::__conformance_cases! { __conformance_tests ($subject) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    (($subject:ty) $($topic:ident { $($case:ident)* })*) => {
        $($(
            #[test]
            fn $case() {
                $crate::conformance::run::<$subject>(::core::stringify!($case));
            }
        )*)*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_table {
    (() $($topic:ident { $($case:ident)* })*) => {
        /// The names of all cases.
        pub const CASES: &[&str] = &[$($(stringify!($case)),*),*];

        fn case(name: &str) -> Option<Case> {
            match name {
                $($(stringify!($case) => Some(|bench| Box::pin($topic::$case(bench))),)*)*
                _ => None,
            }
        }
    };
}

/// The one list of the cases, by module, handed to the macro that is named.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_cases {
    ($maker:ident ($($given:tt)*)) => {
        $crate::$maker! { ($($given)*)
            putting {
                a_policy_that_was_put_is_there
                names_are_checked_first
                every_name_is_its_own
                creating_over_a_policy_is_refused
                replacing_what_is_absent_is_refused
                replacing_another_version_is_a_conflict
                the_same_policy_is_no_new_version
                what_is_not_there_is_not_found
                a_put_leaves_other_policies_alone
                content_and_digest_are_preserved
                loading_gives_the_current_policy
            }
            keeping {
                versions_are_kept_newest_first
                a_hundred_versions_are_kept
                a_version_that_is_not_kept_is_not_found
                versions_grow_whatever_the_clock_does
                a_version_is_not_reissued_after_delete
                a_clock_at_its_end_is_an_error
                deleting_takes_every_version
                a_rollback_is_a_new_version
                update_with_passes_on_every_error
            }
            together {
                of_50_puts_over_one_version_one_wins
                of_50_creations_one_wins
                of_50_policies_each_has_its_own_version
                of_50_updates_none_is_lost
                of_20_deletions_one_is_made
                readers_see_versions_in_order
                nothing_happens_before_the_first_poll
                a_dropped_call_is_made_wholly_or_not_at_all
                everything_is_there_after_reopening
                versions_go_on_after_reopening
                an_empty_store_is_empty_after_reopening
            }
            listing {
                names_come_in_the_order_of_their_bytes
                pages_hold_every_name_once
                names_that_come_and_go_harm_no_page
                a_page_begins_after_any_name
                a_page_of_0_is_100_and_none_is_above_1000
                what_is_deleted_is_not_listed
            }
            repeating {
                who_put_it_why_and_when_is_kept
                an_attribution_that_is_not_valid_is_refused
                a_repeated_put_gets_the_first_result
                a_key_of_another_change_is_refused
                a_put_that_made_no_version_leaves_its_key_free
                a_repeated_deletion_is_answered_as_the_first
                of_20_repeats_at_once_one_makes_a_version
            }
            following {
                changes_come_once_in_the_order_of_their_making
                a_deletion_is_a_change_until_the_next
                what_is_there_is_never_passed_over
                a_page_of_changes_of_0_is_100_and_none_is_above_1000
                changes_go_on_after_reopening
            }
        }
    };
}

__conformance_cases! { __conformance_table () }

type Case = fn(Bench) -> Pin<Box<dyn Future<Output = ()>>>;

/// Runs one case. For runners of one's own; [`conformance_tests!`](crate::conformance_tests) is the
/// usual way.
///
/// ```no_run
/// use countersign_policy::conformance::{CASES, Subject, run};
///
/// fn all<S: Subject>() {
///     CASES.iter().for_each(|case| run::<S>(case));
/// }
/// ```
///
/// # Panics
/// If the store breaks the contract, with the property that it broke; if there is no such case; or
/// if the case has not ended after two minutes.
pub fn run<S: Subject>(case: &str) {
    let Some(body) = self::case(case) else {
        panic!("there is no case `{case}`: `CASES` names them all");
    };
    suite::run(case, move |suite| async move {
        body(Bench::open::<S>(suite).await).await;
    });
}
