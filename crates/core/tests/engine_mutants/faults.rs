//! The faults: each is one wrong line of the naive engine.

use std::sync::atomic::{AtomicUsize, Ordering};

macro_rules! faults {
    ($($fault:ident: $what:literal,)*) => {
        /// What is wrong with an engine.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Fault {
            Nothing,
            $($fault,)*
        }

        /// Every fault, and what it is in words.
        pub const MUTANTS: &[(Fault, &str)] = &[$((Fault::$fault, $what),)*];
    };
}

/// The number of the fault that is being tried, from one on.
static TRIED: AtomicUsize = AtomicUsize::new(0);

impl Fault {
    /// Has all engines that are opened from now on be of the mutant with this number; of none, if there
    /// is none.
    pub fn set_tried(number: Option<usize>) {
        TRIED.store(number.map_or(0, |number| number + 1), Ordering::SeqCst);
    }

    pub fn tried() -> Self {
        let number = TRIED.load(Ordering::SeqCst).checked_sub(1);
        number.map_or(Self::Nothing, |number| MUTANTS[number].0)
    }
}

faults! {
    // Steps
    FirstAlone: "of what a step stages the first alone is written",
    RemovalsForgotten: "removals are not made",
    FailureWritten: "a step that fails is written",
    PanicWritten: "a step that panics is written",
    PanicPoisons: "after a step that panicked no step is made",
    ReadsItsWrites: "a step reads by id what it has staged",
    HoldsItsWrites: "a step sees holders among what it has staged",
    CountsItsWrites: "a step counts what it has staged",
    ScansAStepLate: "a step scans the store without the step before it",
    ReadsAStepLate: "a step reads the store without the step before it",
    FirstPutStays: "of two versions that are staged the first is kept",
    RemovalsFirst: "what is removed is removed before what is put is put",
    PutGivesTheOld: "`put` gives the record that was there",
    AnswersTheSecondRun: "a job is made twice, and the first run is written",
    LockOff: "the optimistic lock compares nothing",
    LockNamesOne: "a conflict names the expected version twice",
    LockMissesNothing: "the optimistic lock makes a conflict of what is missing",
    // Versions
    VersionIsTheClock: "a version is what the clock shows",
    VersionBack: "a correction sets versions back",
    VersionCounts: "a version is the next, whatever the clock shows",
    VersionOfWhatIsThere: "the floor of versions falls when a record is removed",
    OneStampForAStep: "a step has one version",
    FailureUsesVersions: "a step that fails uses its versions up",
    VersionOfTheImpossible: "a reading that can be no time makes a version",
    ImpossibleGrants: "a reading that can be no time is one",
    // Time
    NowReadAgain: "a step reads the clock each time that it is asked",
    StampReadsAgain: "a stamp reads the clock again",
    NowIsTheClock: "now is what the clock shows, within the tolerance too",
    LookingMovesTime: "a step that writes nothing becomes the last",
    FailureMovesTime: "a step that fails becomes the last",
    SnapshotIsTheClock: "the time of a snapshot is what the clock shows",
    CorrectionForgotten: "a step that writes forgets the correction that it has found",
    CorrectionOfNothing: "a step that writes nothing forgets the correction that it has found",
    CorrectionOfFailure: "a step that fails forgets the correction that it has found",
    CorrectionOfSnapshot: "a snapshot forgets the correction that it has found",
    SnapshotBefore: "a snapshot makes the correction that it has found",
    SnapshotOfNothing: "a snapshot that finds a correction sees nothing",
    CorrectionWithoutVersion: "a correction has the version of what is written next",
    JumpForgotten: "a step that writes nothing forgets a jump",
    // Records
    NotEmpty: "a new engine has a record",
    TextsCut: "texts are cut after 255 characters",
    TextsAscii: "texts are kept in ASCII",
    EmptyIsNone: "an empty text is kept as none",
    TimesInMicroseconds: "times are cut to microseconds",
    HistoryOf100: "the last hundred edits are kept",
    OldPlacesStay: "a record stays where it was before",
    OldRanksStay: "a record keeps its rank under a key that it keeps",
    RemovedHasPlaces: "a removed record is still counted",
    OneOfAKind: "of several keys of one kind the last is kept",
    KeysByPrefix: "keys are compared up to the length of the one asked for",
    KeysWithoutCase: "keys are compared without case",
    KeysOfAllKinds: "a shelf is found by an author's name",
    KeysEndAtNul: "keys end at a NUL",
    RemovedIdTaken: "an id that was removed is not taken again",
    OldLogStays: "the log keeps changes of a removed record for the next of its id",
    // Reading
    LowestFirst: "the lowest rank comes first",
    LargestIdFirst: "of equal ranks the largest id comes first",
    IdsSigned: "ids have a sign",
    EndsLeftOut: "ranks at the ends are left out",
    FloorOverflows: "above the highest rank there is everything",
    AtIsAfter: "a range at a rank begins after it",
    AfterIsAt: "a range after a place begins at it",
    AfterTheRank: "a range after a place begins after its rank",
    AfterNeedsAPlace: "after a place that is not there, there is everything",
    AboveIsAt: "a range ends at its floor",
    CountWithoutFloor: "counts have no floor",
    CountWithoutStart: "counts begin with the first",
    NthOneOn: "one more is passed over",
    FindGivesTheFirst: "what is found is the first",
    PickGoesOn: "picking does not stop",
    ScanGoesOn: "a scan goes on for one more",
    WantLimits: "no more is scanned than is wanted",
    NestedSeesNothing: "inside a scan nothing is found",
    ScanOf256: "a scan ends after 256 records",
    MergedByKey: "several keys come one after the other",
    MergedOf16: "of each of several keys the first sixteen are merged",
    PagesOverlap: "a page begins with the last of the one before",
    LastPageGoesOn: "the last page says that there is another",
    // Holders
    NoHolders: "who has a key does not hold it",
    HolderIsTheLast: "the last of a list holds its key",
    HoldersForgotten: "nobody holds a key when they are removed",
    AllOutlasts: "each key outlasts its record",
    FirstHolderStays: "the first that was removed holds its key",
    RemovedHolds: "what was removed holds its key before who has it",
    // Changes
    LogByRecord: "changes come record by record",
    LogOfThePast: "a change comes with its record as it was",
    LogOfTheLast: "of each record the last change is told",
    LogAtTheVersion: "changes begin at the version",
    LogAfterKnown: "after a version that is not there, there is nothing",
    LogOneMore: "one more change is told than is wanted",
    LogHasRemoved: "changes of removed records are told",
    LogCountsRemoved: "changes of removed records count among those wanted",
    // Together
    LostUpdates: "a step reads before it has the lock",
    LiveSnapshot: "each read of a snapshot sees what is there by then",
    TwoSteps: "records are written one by one, and can be read in between",
    EagerWrites: "a step is made when it is called for",
    DroppedInPart: "of a call that is dropped a part is made",
    // Reopening
    ReopenedEmpty: "nothing is kept",
    ReopenedOneLess: "the last record is not kept",
    ReopenedHolders: "holders are not kept",
    ReopenedRemoved: "removals are not kept",
    ReopenedVersions: "versions go on after those of what is there",
    ReopenedLog: "of the log the last changes are kept",
    ReopenedAt: "the last time is not kept",
    ReopenedCorrections: "corrections are not kept",
    ReopenedLastCorrection: "the last correction alone is kept",
    ReopenedJump: "jumps are not kept",
}
