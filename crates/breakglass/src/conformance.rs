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
//! use countersign_breakglass::conformance::Subject;
//! use countersign_breakglass::{BoxFuture, InMemory, ManualClock, Store};
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
//! countersign_breakglass::conformance_tests!(Memory);
//! ```

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a store that breaks its contract fails its test"
)]

mod admitting;
mod bench;
mod changing;
mod correcting;
mod creating;
mod deleting;
mod factors;
mod futures;
mod limiting;
mod listing;
mod operations;
mod pages;
mod reopening;
mod reviewing;
mod standing;
mod streaming;
mod together;
mod versions;
mod waiting;

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
            creating {
                an_emergency_says_what_its_draft_said
                the_first_version_is_the_moment_of_creation
                the_history_begins_with_the_creation
                texts_of_any_script_are_kept
                every_reason_code_is_kept
                a_taken_id_is_refused_before_anything_else
                an_id_is_free_again_after_deletion
                an_invalid_field_is_refused_before_any_rule
                fields_are_taken_up_to_their_limits
                only_what_the_rules_allow_begins
            }
            admitting {
                an_active_emergency_blocks_until_it_is_over
                an_active_emergency_blocks_every_spelling
                an_active_emergency_blocks_nobody_else
                a_closed_emergency_blocks_nothing
                an_emergency_that_is_over_is_expired_by_the_next
                an_emergency_of_another_spelling_is_expired_too
                emergencies_of_others_are_left_as_they_are
                a_refused_creation_expires_nothing
                refusals_come_in_their_order
            }
            limiting {
                a_pause_ends_at_its_nanosecond
                a_pause_is_after_the_newest_emergency
                a_pause_is_for_user_and_profile
                a_users_quota_counts_all_profiles
                a_profiles_quota_counts_all_people
                an_emergency_leaves_the_window_at_its_nanosecond
                a_quota_says_when_enough_have_left
                a_refused_creation_is_not_counted
                an_escalation_begins_at_its_threshold
                a_quota_carries_the_escalation
            }
            factors {
                a_second_factor_is_used_once
                second_factors_are_compared_exactly
                a_refused_creation_uses_no_second_factor
                a_second_factor_is_fresh_to_the_nanosecond
                an_emergency_keeps_its_second_factor
            }
            reviewing {
                a_review_that_is_due_blocks_the_next
                the_review_that_is_due_longest_is_named
                an_override_is_recorded_in_the_same_step
                an_override_replaces_what_is_over
                only_another_responder_overrides
                an_override_that_is_not_needed_leaves_no_trace
                every_review_must_be_made
            }
            changing {
                what_is_not_there_is_not_found
                an_update_at_another_version_is_a_conflict
                the_errors_of_an_update_come_in_their_order
                an_emergency_is_closed_before_it_is_over
                an_emergency_expires_at_its_nanosecond
                notes_are_kept_whatever_the_status
                an_emergency_is_reviewed_once
                every_outcome_of_a_review_is_kept
                a_last_status_never_changes
                identity_never_changes
                the_history_is_whole
                a_change_leaves_other_emergencies_alone
                update_with_passes_on_every_error
            }
            operations {
                a_repeated_creation_gives_its_first_result
                a_repeated_override_gives_its_first_result
                a_repeated_change_gives_its_first_result
                an_operation_makes_one_thing
                a_failed_call_leaves_no_trace_of_its_operation
                a_deleted_emergency_takes_its_operations
                operations_do_not_run_together
            }
            deleting {
                deleting_says_whether_it_was_there
                what_is_not_marked_over_is_not_deleted
                what_awaits_its_review_is_not_deleted
                what_a_rule_looks_back_at_is_kept
                a_deleted_emergency_is_gone_from_every_list
                a_deletion_leaves_other_emergencies_alone
                a_deleted_emergency_leaves_quotas_and_pauses
                a_deleted_emergency_leaves_its_second_factor
            }
            listing {
                lists_are_newest_first
                filters_match_names_exactly
                lists_give_emergencies_whole
                a_limit_counts_what_is_wanted
                an_emergency_is_active_until_its_nanosecond
                the_active_emergency_is_found_by_exact_names
                the_active_emergency_is_found_among_older_ones
                what_is_due_comes_earliest_first
                what_awaits_review_comes_in_the_order_of_ending
                what_ended_was_over_before
                lists_keep_their_order_over_a_correction
            }
            streaming {
                changes_come_in_the_order_of_their_making
                a_change_comes_with_entry_and_emergency
                a_reader_sees_each_change_once
                a_reader_continues_with_what_is_made_next
                everything_that_a_creation_changes_is_told
                what_changes_nothing_is_not_told
                what_is_deleted_takes_its_changes
            }
            versions {
                versions_grow_while_the_clock_stands
                versions_grow_while_the_clock_steps_back
                versions_follow_the_clock
                a_version_is_not_reissued_after_delete
            }
            standing {
                the_rules_see_time_stand_still
                a_small_step_back_shortens_no_pause
                a_clock_that_cannot_be_right_grants_nothing
                the_first_and_the_last_time_there_is_grant
                an_empty_store_learns_nothing_from_a_wrong_clock
            }
            correcting {
                what_begins_after_a_correction_lasts_what_was_asked_for
                what_began_in_the_wrong_time_never_gives_access
                what_a_correction_has_ended_is_marked_by_the_clock
                what_began_an_hour_ahead_is_in_force_in_its_time
                whatever_gives_access_can_be_closed
                what_had_ended_unmarked_is_in_force_again
                what_is_dated_ahead_blocks_nothing
                a_correction_is_made_once
                a_read_makes_a_correction
            }
            waiting {
                a_pause_counts_from_the_correction
                a_pause_after_a_correction_is_after_the_newest
                a_quota_counts_from_the_correction
                an_escalation_counts_from_the_correction
                a_second_factor_is_good_after_a_correction
                a_review_is_due_since_the_correction
                retention_counts_from_the_correction
                deletion_waits_for_an_hour_after_a_jump
                deletion_goes_on_an_hour_after_a_corrected_jump
                nothing_is_deleted_by_a_clock_that_cannot_be_right
                corrections_are_known_after_reopening
            }
            futures {
                nothing_happens_before_the_first_poll
                a_dropped_call_is_made_wholly_or_not_at_all
            }
            together {
                of_50_callers_one_begins
                of_50_callers_a_users_quota_lets_3_begin
                of_50_people_a_profiles_quota_lets_3_begin
                of_20_callers_with_one_id_one_wins
                of_20_callers_with_one_second_factor_one_begins
                of_20_calls_of_one_creation_all_get_one_result
                of_20_calls_of_one_change_all_get_one_result
                of_50_updates_of_one_version_one_wins
                of_50_notes_none_is_lost
                of_50_callers_one_replaces_what_is_over
                of_20_reviews_one_is_made
                of_20_deletions_one_is_made
                of_50_emergencies_each_has_its_own_version
                a_reader_follows_while_others_write
                a_reader_never_sees_half_a_step
            }
            reopening {
                everything_is_there_after_reopening
                an_empty_store_is_empty_after_reopening
                versions_go_on_after_reopening
                quotas_and_pauses_are_known_after_reopening
                active_emergencies_are_known_after_reopening
                second_factors_are_known_after_reopening
                reviews_are_due_after_reopening
                operations_are_known_after_reopening
                readers_go_on_after_reopening
                what_is_gone_stays_gone_after_reopening
            }
            pages {
                pages_hold_everything_once
                lists_over_two_profiles_hold_all_of_both
                lists_over_twenty_profiles_hold_all_of_each
                a_page_continues_where_the_last_one_ended
                a_page_of_a_status_continues_through_changes
                a_cursor_is_a_place
                pages_pass_over_no_tie
                what_awaits_review_can_be_followed
                a_page_of_0_is_100_and_none_is_above_1000
                limits_of_what_ended_are_the_same
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
/// use countersign_breakglass::conformance::{CASES, Subject, run};
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
