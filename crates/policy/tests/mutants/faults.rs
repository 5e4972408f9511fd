//! The faults: one list, which gives each its place and its runner.

use countersign_policy::conformance::run;

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
    /// The last version is that of the newest policy that is there.
    VersionReissuedAfterDelete,
    /// After a restart versions begin anew.
    VersionsForgottenOnReopening,
    /// After a restart only the current version is there.
    HistoryForgottenOnReopening,
    /// Versions are kept to the microsecond.
    TruncatedTimes,
    /// Names are not checked.
    NamesUnchecked,
    /// Names are not told apart by case.
    NamesFoldCase,
    /// The version is looked at in one step and the policy put in another.
    CheckThenPut,
    /// A put does not look at the version.
    LastWriterWins,
    /// A put creates what is absent, whatever is expected.
    AbsentIsCreated,
    /// A policy that is there is replaced though it is expected to be absent.
    PresentIsReplaced,
    /// Whoever creates what is there is told its first version.
    FirstVersionTold,
    /// The same policy put again makes a version.
    SameIsAVersion,
    /// A put that makes no version does not say so.
    UnchangedIsNotSaid,
    /// The same policy makes no version over whatever is expected.
    SameBeforeExpected,
    /// A policy that any version has makes no version.
    EarlierIsTheSame,
    /// Whoever puts the same policy is from then on who put it.
    SameTakesTheAttribution,
    /// A version is kept too many.
    OneVersionTooMany,
    /// Of too many versions the newest before the current one goes first.
    NewestGoFirst,
    /// Versions come oldest first.
    OldestFirst,
    /// A version is found that another policy has.
    VersionOfAnother,
    /// A policy that is deleted leaves its versions to the next of its name.
    DeleteKeepsVersions,
    /// A deletion does not look at the version.
    DeleteAnyVersion,
    /// A deletion takes all policies whose names begin so.
    DeleteByPrefix,
    /// Names are in the order of their letters, whatever their case.
    ListFoldsCase,
    /// The list is of first versions.
    ListOfFirstVersions,
    /// A page begins after the name only if that is there.
    CursorNeedsItsName,
    /// A page begins with the name that it is to begin after.
    CursorInclusive,
    /// A full page always says that there is another.
    FullPageIsNotLast,
    /// There is no upper limit.
    NoUpperLimit,
    /// The list is brought up to date after the policy.
    ListLags,
    /// A policy that is not there could not be loaded.
    AbsentIsAFailure,
    /// A put is made when it is called, polled or not.
    EagerPut,
    /// A put that fails for want of a version has put nonetheless.
    PutWithoutVersion,
    /// A put forgets the earlier versions of all other policies.
    PutForgetsOthers,
    /// A put takes away what is there before it writes.
    PutInTwoSteps,
    /// A deletion is answered though another was first.
    AbsentIsDeleted,
    /// What is deleted is still listed.
    DeletedIsListed,
    /// Who put it and why is not kept over a restart.
    AttributionForgottenOnReopening,
    /// Reasons are kept to the first line.
    ReasonsCut,
    /// When it was put is the time of its version.
    VersionTakenForTime,
    /// What a version replaces is not kept.
    ReplacesForgotten,
    /// Texts of an attribution are not checked.
    AttributionUnchecked,
    /// Texts of an attribution are checked after what is expected.
    AttributionCheckedLate,
    /// A repeat is a call like any other.
    KeysForgotten,
    /// A repeat gets what is there by now.
    RepeatGetsTheCurrent,
    /// A repeat is known only until the next put.
    OnlyTheLastKeyKnown,
    /// A repeat has to expect what the first expected.
    RepeatJudgedAnew,
    /// A repeat after a restart is a call like any other.
    KeysForgottenOnReopening,
    /// Whatever a key is used for again, it is a repeat.
    KeyOfAnyChange,
    /// A key may put other policies under other names.
    KeysByName,
    /// A key may be used again by somebody else.
    KeyOfAnyone,
    /// A put that made no version takes its key.
    UnchangedTakesItsKey,
    /// A repeated deletion is refused.
    DeletionNotRepeated,
    /// Whether it is a repeat is looked at in one step and the policy put in another.
    RepeatLookedUpBefore,
    /// Deletions are no changes.
    DeletionsUntold,
    /// A deletion is no change any more once the policy is there again.
    DeletionForgottenByThePut,
    /// Deletions are told by nobody.
    DeletionsUnattributed,
    /// Changes are told newest first.
    ChangesNewestFirst,
    /// Changes are told policy by policy.
    ChangesByName,
    /// Changes begin with the place that they are to begin after.
    ChangesInclusive,
    /// Changes are those of current versions.
    ChangesOfCurrent,
    /// Versions that are not kept are told.
    GoneIsTold,
    /// There is no upper limit for changes.
    NoUpperLimitOfChanges,
}
