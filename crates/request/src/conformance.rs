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
//! That each case can fail is shown by the test `mutants` of this crate: stores with one wrong line
//! each, all of which the kit refuses.
//!
//! ```
//! use std::sync::Arc;
//! use countersign_request::conformance::Subject;
//! use countersign_request::{BoxFuture, InMemory, ManualClock, Store};
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
//! countersign_request::conformance_tests!(Memory);
//! ```

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a store that breaks its contract fails its test"
)]

mod changing;
mod corrections;
mod creation;
mod deciding;
mod deletion;
mod grants;
mod ground;
mod lists;
mod operations;
mod polling;
mod queues;
mod reading;
mod refusals;
mod reopening;
mod stream;
mod time;
mod together;
mod versions;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use countersign_core::clock::ManualClock;
use countersign_core::future::BoxFuture;
use countersign_core::sync::suite;

use crate::store::Store;
use ground::Ground;

/// How the kit gets a store.
///
/// Implement it for a value that keeps what the store needs, such as a directory that is removed
/// when the value is dropped. Many are open at the same time: no two may share anything.
pub trait Subject: Sized + Send + 'static {
    /// An empty store whose time is `clock`, with the default [`Limits`](crate::Limits).
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
        $crate::__conformance_cases! { $crate::__conformance_tests, $subject }
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

macro_rules! table {
    (() $($topic:ident { $($case:ident)* })*) => {
        /// The names of all cases.
        pub const CASES: &[&str] = &[$($(stringify!($case)),*),*];

        fn case(name: &str) -> Option<Case> {
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
macro_rules! __conformance_cases {
    ($then:path, $($given:tt)*) => {
        $then! {
            ($($given)*)
            creation {
                a_created_request_is_what_its_draft_says
                a_request_begins_pending
                times_of_a_request_begin_with_the_clock
                a_history_begins_with_the_creation
                a_rule_shortens_the_time_to_decide
                a_rule_pins_the_request
                a_taken_id_is_refused
                an_id_of_what_is_over_is_taken
                a_taken_id_is_told_first
                fields_have_exact_limits
                terms_are_asked_at_creation
                invalid_is_told_before_refused
                every_id_can_be_used
            }
            reading {
                what_is_not_there_is_not_found
                an_empty_store_has_nothing
                what_is_returned_is_a_snapshot
                names_match_exactly
                long_names_are_kept
                times_are_kept_to_the_nanosecond
                times_far_away_are_kept
            }
            changing {
                each_change_is_one_entry
                reasons_are_kept
                the_identity_never_changes
                notes_can_be_written_at_any_time
                a_long_history_is_kept_whole
                a_stale_version_is_a_conflict
                every_change_makes_a_version
                not_found_is_told_before_conflict
                conflict_is_told_before_the_rules
                transition_is_told_before_refused
                a_status_leads_only_where_it_may
                a_function_changes_what_it_has_read
            }
            refusals {
                nobody_approves_their_own
                only_approvers_decide
                only_who_may_ends_a_request
                a_rule_approves_only_what_it_says
                reasons_have_exact_limits
            }
            deciding {
                the_last_nanosecond_is_in_time
                the_deadline_is_too_late
                a_request_expires_at_its_deadline
                access_begins_at_the_approval
                access_can_be_ended_until_it_is_over
                an_approval_in_part_is_kept
                the_last_group_begins_the_access
                a_user_counts_once
                one_denial_denies
                a_rule_approves_as_a_rule
            }
            versions {
                versions_grow_with_a_clock_that_stands_still
                versions_grow_with_a_clock_that_steps_back
                versions_follow_a_clock_that_goes_on
                versions_of_what_is_deleted_are_not_issued_again
            }
            time {
                entries_keep_the_time_of_their_step
                now_is_the_time_of_the_next_step
                a_step_back_within_the_tolerance_reopens_nothing
                a_correction_is_remembered_by_whoever_finds_it
                a_clock_that_can_be_no_time_grants_nothing
                a_clock_that_can_be_no_time_ends_access
                the_clock_is_told_in_its_order
                deletion_waits_for_an_hour_after_a_jump
                a_corrected_jump_waits_from_the_correction
            }
            corrections {
                what_is_approved_lasts_what_was_asked_for
                what_was_granted_in_the_wrong_time_is_not_in_force
                what_the_clock_reaches_within_the_hour_is_in_force
                what_a_correction_has_ended_is_marked
                what_is_void_is_over_and_can_be_taken_back
                what_is_void_hides_no_shorter_one
                another_correction_brings_nothing_back
                what_is_granted_can_be_taken_back_at_any_clock
                what_was_asked_for_in_the_wrong_time_is_due
                what_is_void_comes_after_what_is_due
                what_was_over_by_the_wrong_time_alone_is_not
                what_ended_in_the_wrong_time_ended_at_the_correction
                an_approval_in_part_in_the_wrong_time_counts
                lists_keep_their_order_over_a_correction
            }
            deletion {
                what_is_deleted_is_gone
                deleting_what_is_not_there_is_no_error
                whatever_ended_can_be_deleted
                what_is_not_over_stays
                access_can_be_deleted_when_it_is_over
                what_ended_too_late_is_retained
                not_over_is_told_before_retained
                a_deleted_id_begins_anew
            }
            grants {
                access_is_found_until_it_is_over
                only_what_is_approved_gives_access
                the_longest_access_is_found
                of_equals_the_smallest_id_is_found
                access_is_for_exactly_one_user_and_profile
                pinned_access_holds_under_its_policy
                access_that_is_not_pinned_holds_under_every_policy
                pinned_access_hides_no_shorter_one
                what_is_taken_back_is_over_at_once
            }
            lists {
                a_list_holds_what_it_is_of
                a_list_follows_each_change
                lists_are_in_order
                pages_hold_each_request_once
                the_last_page_has_no_next
                a_cursor_outlives_a_change
                a_cursor_outlives_a_deletion
                a_cursor_outlives_a_creation
                a_cursor_is_a_place
                a_page_shows_the_list_as_it_is
                limits_are_exact
                limits_of_what_ended_are_exact
                a_limit_counts_what_is_listed
                lists_over_two_profiles_hold_all_of_both
                lists_over_twenty_profiles_hold_all_of_each
            }
            queues {
                what_waits_is_merged_oldest_first
                nothing_waits_for_no_profile
                what_is_decided_waits_no_longer
                what_is_open_is_open_to_its_last_nanosecond
                what_is_open_comes_by_its_end
                what_is_due_is_due_at_its_deadline
                what_is_due_comes_earliest_first
                what_ended_is_listed_after_its_end
                an_end_stays_where_it_was
                what_ended_comes_earliest_first
            }
            operations {
                a_repeated_creation_gives_the_first_result
                a_repeated_change_gives_the_first_result
                a_repeat_is_not_judged_again
                the_history_names_the_operation
                a_creation_under_a_used_operation_is_refused
                a_change_under_a_used_operation_is_refused
                a_used_operation_is_told_first
                a_failed_call_leaves_no_operation
                a_deleted_request_takes_its_operations
                a_repeat_after_a_deletion_is_not_found
                without_an_operation_nothing_is_a_repeat
            }
            stream {
                every_change_is_told_in_order
                a_change_is_told_with_its_request
                changes_go_on_from_any_version
                changes_can_be_read_in_pieces
                changes_go_on_across_deletions
                only_changes_are_told
                a_reader_is_told_what_comes_next
            }
            polling {
                nothing_happens_before_the_first_poll
                a_call_takes_effect_after_its_first_poll
                a_call_that_is_dropped_is_whole
            }
            together {
                fifty_creations_are_all_made
                one_id_is_created_once
                one_operation_creates_once
                one_operation_changes_once
                one_operation_is_of_one_request
                one_of_fifty_decides
                fifty_notes_are_all_written
                one_of_twenty_deletes
                a_follower_skips_no_change
                readers_see_whole_requests
            }
            reopening {
                everything_is_there_after_a_restart
                access_is_found_after_a_restart
                versions_grow_across_a_restart
                versions_of_what_is_deleted_outlive_a_restart
                the_time_outlives_a_restart
                corrections_outlive_a_restart
                a_jump_outlives_a_restart
                operations_are_known_after_a_restart
                the_lock_outlives_a_restart
                changes_go_on_across_a_restart
                pages_go_on_across_a_restart
                what_is_deleted_stays_deleted
            }
        }
    };
}

crate::__conformance_cases! { table, }

type Case = fn(Ground) -> Pin<Box<dyn Future<Output = ()>>>;

/// Runs one case. For runners of one's own; [`conformance_tests!`](crate::conformance_tests) is the
/// usual way.
///
/// ```no_run
/// use countersign_request::conformance::{CASES, Subject, run};
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
        body(Ground::new::<S>(suite).await).await;
    });
}
