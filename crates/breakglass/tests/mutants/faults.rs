//! The faults: one list, which gives each its place and its runner.

use countersign_breakglass::conformance::run;

use crate::store::Mutant;

macro_rules! faults {
    ($($(#[doc = $wrong:literal])+ $fault:ident,)*) => {
        /// What is wrong with a store.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Fault {
            /// Nothing.
            None,
            $($(#[doc = $wrong])+ $fault,)*
        }

        /// Each fault, with what runs a case on a store that has it.
        pub const MUTANTS: &[(Fault, fn(&str))] =
            &[$((Fault::$fault, run::<Mutant<{ Fault::$fault as usize }>>),)*];
    };
}

faults! {
    /// The version is the clock's time, whatever was issued before.
    ClockToken,
    /// The last version is that of the newest emergency that is there.
    VersionReissuedAfterDelete,
    /// After a restart versions begin anew.
    VersionsForgottenOnReopening,
    /// Times are kept to the microsecond.
    TruncatedTimes,
    /// Everything is looked at in one step and written in another.
    CheckThenCreate,
    /// What the admission looks at is read before the step that writes.
    AdmissionBeforeStep,
    /// The lists are brought up to date after the record.
    IndexAfterRecord,
    /// Rules are asked before the fields are checked.
    RulesBeforeFields,
    /// The fields are checked before the id.
    FieldsBeforeId,
    /// The id is looked at before the operation.
    IdBeforeOperation,
    /// What is over is left marked active when another emergency takes its place.
    OverLeftActive,
    /// What is over is marked expired though the creation is refused.
    OverExpiredThoughRefused,
    /// The expiry of what is replaced has the version of the new emergency.
    ExpiryWithoutVersion,
    /// The override is not recorded.
    FollowUpForgotten,
    /// A creation is made when it is called, polled or not.
    EagerCreate,
    /// The active emergency is looked for under the same spelling only.
    ActiveByExactName,
    /// A user's emergencies are counted under the same spelling only.
    QuotaByExactName,
    /// An emergency that is as old as the window still counts.
    QuotaWindowInclusive,
    /// Only emergencies marked active count.
    QuotaOfActiveOnly,
    /// A user's emergencies on other profiles do not count.
    QuotaOfOneProfile,
    /// The time to try again is that at which the oldest leaves the window.
    QuotaRetryFromOldest,
    /// A pause is for all profiles of a user.
    CooldownOfUser,
    /// A pause is after the first emergency.
    CooldownFromOldest,
    /// A second factor is forgotten when its emergency is over.
    ProofForgottenWhenOver,
    /// A second factor is looked for among the same user's.
    ProofOfOneUser,
    /// Reviews are due for the same profile only.
    ReviewOfOneProfile,
    /// Of several reviews that are due the last is named.
    ReviewNewestNamed,
    /// An update does not look at the version.
    LastWriterWins,
    /// An update looks at the version in one step and writes in another.
    CheckThenUpdate,
    /// The status is looked at before the version.
    StatusBeforeVersion,
    /// A note rewrites the justification.
    IdentityRewritten,
    /// The history is cut when the emergency is over.
    HistoryDeletedAtEnd,
    /// A change does not keep its operation.
    LostOperation,
    /// A creation that failed has used up its operation.
    FailureLeavesOperation,
    /// Nothing is kept but what is not over.
    RetentionIgnored,
    /// What is not there cannot be deleted.
    AbsentIsAnError,
    /// What was deleted still counts.
    QuotaOutlivesEmergency,
    /// The second factor of what was deleted is good again.
    ProofGoesWithEmergency,
    /// The limit is applied before the filter.
    LimitBeforeFilter,
    /// There is no upper limit.
    NoUpperLimit,
    /// Lists are in the order of the last change.
    ListByChange,
    /// A page whose last emergency is gone begins anew.
    CursorNeedsItsEmergency,
    /// Of several profiles the first 16 of each await review.
    AwaitingReadsAhead,
    /// A list shows the emergencies of 16 profiles.
    ListOf16Profiles,
    /// A full page always says that there is another.
    FullPageIsNotLast,
    /// A page of what awaits review begins after all that were over at the cursor's time.
    CursorSkipsTies,
    /// Filters do not tell spellings apart.
    FilterFoldsCase,
    /// The active emergency is the one marked so.
    ActiveThoughOver,
    /// The active emergency is found under any spelling.
    ActiveUnderAnySpelling,
    /// What is over at the very moment is not due.
    DueExclusive,
    /// What awaits review comes newest first.
    AwaitingNewestFirst,
    /// Only what is marked over awaits review.
    AwaitingMarkedOnly,
    /// What was over at the very moment has ended.
    EndedInclusive,
    /// What awaits its review has ended too.
    EndedUnreviewed,
    /// The change at the reader's version is told again.
    StreamInclusive,
    /// Of each emergency the last change is told.
    StreamOfLastChanges,
    /// Changes are told emergency by emergency.
    StreamByEmergency,
    /// After a restart operations are forgotten.
    OperationsForgottenOnReopening,
    /// After a restart second factors are forgotten.
    ProofsForgottenOnReopening,
    /// After a restart quotas begin anew.
    QuotasForgottenOnReopening,
    /// The ticket is not kept.
    TicketForgotten,
    /// A creation has no entry of its operation.
    CreationWithoutOperation,
    /// Texts are kept in ASCII.
    TextsInAscii,
    /// Every reason code but the first is another.
    ReasonCodeForgotten,
    /// Deleted ids are taken for ever.
    IdOutlivesEmergency,
    /// Fields are not checked.
    FieldsUnchecked,
    /// Fields at their limits are refused.
    FieldsBelowLimits,
    /// The rules of the invocation are not asked.
    RulesUnasked,
    /// An emergency blocks at the moment of its end too.
    ActiveAtItsEnd,
    /// An emergency blocks all of its profile.
    ActiveBlocksEveryone,
    /// A closed emergency still blocks.
    ClosedBlocks,
    /// Whatever of a profile is over is expired by the next creation.
    OverOfOthersExpired,
    /// A pause lasts a nanosecond longer.
    CooldownTooLong,
    /// A refused creation counts.
    RefusedCounts,
    /// Ids of second factors are not told apart by case.
    ProofFoldsCase,
    /// A refused creation uses its second factor.
    RefusedUsesProof,
    /// A second factor is checked a nanosecond later than the step.
    ProofCheckedLate,
    /// The second factor is forgotten when its emergency is closed.
    ProofNotKept,
    /// A review is due whether an emergency awaits one or not.
    ReviewAlwaysDue,
    /// What is not there is told to be at another version.
    AbsentIsAConflict,
    /// A review marks the emergency as over.
    ReviewMarksOver,
    /// Every review is taken for a justification.
    OutcomeForgotten,
    /// A last status can be left.
    LastStatusLeft,
    /// A change is made to all emergencies of the user.
    ChangesAllOfUser,
    /// What is read is not what is there, but what was there before the last change.
    ReadsBehind,
    /// Operations outlive their emergency.
    OperationOutlivesEmergency,
    /// What is over is deleted, marked so or not.
    DeleteWhatIsDue,
    /// A deletion leaves the emergency in the lists.
    DeletedIsListed,
    /// The active emergency is the first of its user and profile, if that is active.
    ActiveOldestOnly,
    /// A version is the last plus a nanosecond, however late it is.
    VersionIgnoresClock,
    /// A restart uses up a version.
    ReopeningUsesVersion,
    /// A restart brings back what was deleted.
    DeletedIsBackOnReopening,
    /// There is no upper limit to what has ended.
    NoUpperLimitOfEnded,
    /// Lists are in the order of dates, not of versions.
    ListByDate,
    /// Rules judge by the time of the version.
    TimeByVersion,
    /// Any step back of the clock is a correction.
    NoTolerance,
    /// No step back of the clock is a correction.
    NeverCorrected,
    /// A correction has no version of its own.
    CorrectionTakesNoVersion,
    /// A call that is refused forgets the correction that it found.
    CorrectionForgottenByRefusals,
    /// A read forgets the correction that it found.
    ReadsMakeNoCorrection,
    /// After a restart the clock was never corrected.
    CorrectionForgottenOnReopening,
    /// What began in the wrong time gives access when that time comes.
    WrongTimeComesBack,
    /// What began in the wrong time has ended at the correction.
    EndedAtOnce,
    /// What is dated ahead gives access.
    DatedAheadIsInForce,
    /// What began in the wrong time is not due.
    DueWithoutVoid,
    /// What a correction has ended is marked by time.
    MarkedByTime,
    /// What was over by a wrong clock cannot be closed.
    OverByLatest,
    /// What was over by a wrong clock stays so, marked or not.
    EndedByLatest,
    /// A pause counts from the wrong date.
    CooldownFromDate,
    /// A pause counts from the wrong date when that has come.
    CooldownOnlyWhileAhead,
    /// A pause is after what is dated latest.
    CooldownFromDatedLatest,
    /// A quota counts from wrong dates.
    QuotaFromDate,
    /// An escalation counts from wrong dates.
    EscalationFromDate,
    /// A second factor is as old as it is by the latest time that was seen.
    ProofByLatest,
    /// A review is due since the wrong date.
    ReviewSinceDate,
    /// What was over in the wrong time is kept from its wrong date on.
    RetentionFromDate,
    /// What was over in the wrong time has ended at its wrong date.
    EndedByDate,
    /// A clock that cannot be right is taken for the nearest that can.
    ImplausibleTaken,
    /// Nothing is ended by a clock that cannot be right.
    ImplausibleEndsNothing,
    /// The first and the last time that can be right are taken for wrong.
    EdgesRefused,
    /// An empty store takes its last version from a clock that cannot be right.
    EmptyStoreLearns,
    /// What is old by any clock is deleted.
    DeletesByAnyClock,
    /// A jump of the clock is forgotten once it is made.
    JumpIgnored,
    /// A deletion that is refused forgets the jump that it found.
    JumpForgottenByRefusals,
    /// A jump that was corrected still keeps everything.
    JumpOutlivesCorrection,
    /// After a restart the clock has never jumped.
    JumpForgottenOnReopening,
}
