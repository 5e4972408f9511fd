//! The faults: each is one wrong line of the naive store.

use countersign_request::conformance::run;

use crate::naive::Mutant;

macro_rules! faults {
    ($($fault:ident: $what:literal,)*) => {
        /// What is wrong with a store.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Fault {
            Nothing,
            $($fault,)*
        }

        const ALL: &[Fault] = &[Fault::Nothing, $(Fault::$fault,)*];

        /// Every fault, what it is in words, and what runs a case on the store that has it.
        pub const MUTANTS: &[(Fault, &str, fn(&str))] = &[
            $((Fault::$fault, $what, run::<Mutant<{ Fault::$fault as usize }>>),)*
        ];
    };
}

impl Fault {
    pub const fn numbered(number: usize) -> Self {
        ALL[number]
    }
}

faults! {
    // Versions and times
    ClockToken: "a version is the clock's time",
    FloorOfTheRecord: "versions grow for each request alone",
    FloorOfWhatIsThere: "the floor of versions falls when a request is deleted",
    VersionsInMilliseconds: "versions are cut to milliseconds",
    VersionOfTheImpossible: "a reading that can be no time makes a version",
    RulesSeeTheClock: "the rules are asked at the clock's time, within the tolerance too",
    RulesSeeTheVersion: "the rules are asked at the version's time",
    CreatedAtTheVersion: "created_at is the version's time, not the step's",
    DeadlinesInMicroseconds: "deadlines are cut to microseconds",
    AccessInMilliseconds: "the end of access is cut to milliseconds",
    RulesSeeTheNext: "the rules are asked a nanosecond later, too",
    // Clocks that are wrong
    AtOfTheVersion: "an entry's time is that of its version",
    NowIsTheClock: "now is what the clock shows",
    NeverBack: "time never runs back, however far the clock does",
    ToleranceOff: "each step back of the clock is a correction",
    ToleranceOpen: "a step back by the tolerance itself is a correction",
    FailureCorrects: "a call that fails uses a version up",
    ImpossibleGrants: "a clock that can be no time grants",
    ImpossibleGrantsInPart: "a clock that can be no time approves",
    ImpossibleIsFound: "grants are found by a clock that can be no time",
    ImpossibleDeletes: "a clock that can be no time deletes",
    ImpossibleEndsNothing: "nothing can be ended by a clock that can be no time",
    ImpossibleIsATime: "any reading is a time",
    ClockBeforeTransition: "that nothing is granted is told before the status",
    ClockAfterRefused: "that nothing is granted is told after the rules",
    ClockBeforeInvalid: "that nothing is granted is told before a field",
    AheadInForce: "access that has not begun is in force",
    AheadInForceLater: "access dated ahead is in force when the clock gets there",
    VoidAtOnce: "access dated ahead has ended for good at once",
    VoidTooEarly: "access dated an hour ahead has ended for good",
    VoidByTheLast: "a later correction brings back what one before it has ended",
    VoidNotDue: "access that a correction has ended is not due",
    VoidBeforeDue: "access that a correction has ended is listed before what is due",
    VoidThoughOver: "access that is over by time can be marked as ended by a correction",
    VoidHidesShorter: "access that a correction has ended hides what is shorter",
    VoidLive: "access that a correction has ended is not over",
    AheadIsApproved: "what is dated ahead can be approved",
    AheadIsApprovedInPart: "what is dated ahead can be approved in part",
    AheadNotDue: "what is pending and dated ahead is not due",
    AheadIsOpen: "what is pending and dated ahead is open",
    PartAheadForgotten: "an approval in part that is dated ahead does not count",
    EndingSeesTheVersion: "whether access is over is looked at by the version's time",
    EndedAhead: "what ended while the clock was ahead ends when it is there",
    RetainedAhead: "what ended while the clock was ahead is retained until it is old",
    JumpOff: "what looks old after a jump is deleted",
    JumpOfADay: "a day between two steps is a jump",
    JumpWaitsForItself: "a jump that was corrected waits for itself",
    ListedByTime: "lists are by the time of creation",
    WaitsByTime: "what waits is by the time of creation",
    // Creation
    NotEmpty: "a fresh store holds what another has left",
    BeginsWithANote: "a request begins with its justification as a note",
    CheckThenCreate: "whether an id is free is looked at before the step",
    TakenIdOverwritten: "a taken id is written over",
    TakenIdFreeWhenOver: "the id of what is over is free",
    InvalidBeforeTaken: "fields are looked at before the id",
    RefusedBeforeInvalid: "terms are looked at before fields",
    LimitsOff: "the limits of fields are not looked at",
    LimitsInBytes: "a justification has at most 500 bytes",
    TermsOff: "the terms are not looked at",
    RefusalWritten: "a refused creation is written all the same",
    RuleLengthensTheWindow: "the rule's time to decide replaces the store's, shorter or not",
    PinForgotten: "whether access ends with its policy is not kept",
    TicketForgotten: "the ticket is not kept",
    TextsInAscii: "what is not ASCII is replaced",
    TextsCut: "texts are cut after 255 characters",
    IdsOf63Bits: "the highest bit of an id is not looked at",
    // Changes
    LockOff: "the expected version is not looked at",
    CheckThenUpdate: "the version is compared before the step",
    NewerIsFine: "an expected version that is too high is accepted",
    ConflictWithoutWinner: "a conflict names the caller's version as the winner's",
    ConflictForWhatIsMissing: "what is not there is a conflict",
    RulesBeforeConflict: "the rules are asked before versions are compared",
    RefusedBeforeTransition: "an approver is looked up before the status",
    FailureWritten: "a refused change moves the version",
    TwoSteps: "status and history are written in two steps",
    IdentityRewritten: "a reason becomes the justification",
    DeadlineRewritten: "each change moves the deadline",
    HistoryEndsWithTheRequest: "the history is dropped when a request ends",
    HistoryOf100: "the history keeps the last 100 entries",
    FromForgotten: "entries do not keep the version before",
    ReasonsForgotten: "entries do not keep reasons",
    ActorsForgotten: "entries do not keep who it was",
    ApprovalInPartForgotten: "approvals in part are not kept",
    NoteAfterTheEndForgotten: "a note after the end is not kept",
    // Operations
    OperationOff: "operations are not looked for",
    OperationForgotten: "operations of changes are not kept",
    OperationOutsideTheStep: "an operation is looked for before the step",
    OperationAfterTheId: "a creation looks at the id before the operation",
    OperationAfterTheVersion: "a change compares versions before it looks for the operation",
    OperationOfOneRequest: "an operation is looked for in the named request alone",
    OperationOfAnything: "what an operation was for is not compared",
    OperationAnswersNow: "a repeat gets the request as it is now",
    OperationOfAFailure: "an operation is remembered though its call failed",
    OperationsSurviveDeletion: "operations of what is deleted are remembered",
    // Deletion
    DeletesAnything: "what is not over can be deleted",
    AccessOverTooLate: "at the end of its access a request is not over yet",
    RetainedTooLittle: "what ended at the time itself is deleted",
    RetentionOff: "when a request ended is not looked at",
    RetainedBeforeLive: "that it ended too late is told of what is not over",
    MissingIsAnError: "deleting what is not there fails",
    MissingWasThere: "deleting what is not there says that it was",
    CheckThenDelete: "whether it is there is looked at before the step",
    DeletedTold: "changes of what is deleted are still told",
    // Lists
    MissingIsTheNext: "what is not there is answered with another request",
    IndexAfterTheRecord: "lists lag behind by one write",
    LimitBeforeFilter: "a limit counts what is not listed",
    ZeroIsNone: "a limit of 0 gives nothing",
    LimitOff: "there is no greatest limit",
    LimitOf999: "the greatest limit is 999",
    ZeroIsMost: "a limit of 0 gives 1,000",
    NextOnTheLastPage: "the last page names a next one",
    NextNever: "no page names a next one",
    OldestFirst: "lists begin with the oldest",
    LastChangedFirst: "lists are by the last change",
    CursorOfTheRecord: "a cursor needs the request that it names",
    CursorSkipsTies: "a cursor skips what has the same time",
    CursorRepeats: "a page begins with the last request of the one before",
    IdsSigned: "ids are ordered as signed numbers",
    NamesOfAnyCase: "names are compared without regard to case",
    NamesAsPatterns: "names are compared as patterns with `_`",
    // Grants
    FirstGrant: "the first grant is given, not the longest",
    LargestOfEquals: "of grants that last as long, that of the largest id is given",
    GrantToItsEnd: "access is given at its end",
    GrantOfAnyProfile: "the profile is not compared",
    GrantOfAnySpelling: "the user is compared without regard to case",
    GrantAfterItsEnd: "what is revoked or released gives access",
    PinOff: "pinned access holds under every policy",
    PinOfUnknown: "pinned access holds where the policy is not known",
    PinHidesShorter: "pinned access that does not hold hides what is shorter",
    PolicyPins: "access that names a policy is pinned to it",
    // Queues
    DueTooLate: "what is due is listed after its deadline",
    DueTooEarly: "what is not due is listed",
    DueByCreation: "what is due is by creation",
    DueWhenDecided: "what is decided is due",
    WaitingNewestFirst: "what waits is newest first",
    WaitingByProfile: "what waits is by profile",
    WaitingHidesOverdue: "what is past its deadline does not wait",
    NoProfileIsAny: "an empty set of profiles is all of them",
    WaitingReadsAhead: "of several profiles the first 16 of each wait",
    WaitingOf16Profiles: "what waits is looked for under 16 profiles",
    OpenToItsEnd: "what is open is open at its end",
    OpenByCreation: "what is open is by creation",
    EndedAtItsTime: "what ended at a time ended before it",
    EndedWhenMarked: "an expired request ended when it was marked",
    EndedWhenTouched: "a request ended at its last change",
    EndedByCreation: "what ended is by creation",
    // The stream
    ChangesFromTheVersion: "the change of the version itself is told again",
    ChangesSkipTheNext: "a change a nanosecond later is skipped",
    ChangesOfTheLast: "only the last change of each request is told",
    ChangesByRequest: "changes are by request",
    ChangesAsTheyWere: "changes are told with the request as it was",
    VersionBeforeTheStep: "versions are issued before the step that writes",
    // Polling
    WorkBeforeThePoll: "a call is done when it is made",
    ReadBeforeThePoll: "what is read is read when the call is made",
    // Reopening
    VersionsBeginAnew: "after a restart versions begin with the clock",
    FloorOfWhatIsLeft: "after a restart the floor is what is there",
    LastWriteLost: "the last write is lost in a restart",
    OperationsLost: "operations are lost in a restart",
    DeletedComesBack: "what was deleted is back after a restart",
    GrantsLost: "access is not found after a restart",
    StreamBeginsAnew: "after a restart all changes are told again",
    PagesBeginAnew: "after a restart pages begin anew",
    TimeLost: "after a restart time begins with the clock",
    CorrectionLost: "corrections are lost in a restart",
    CorrectionsLost: "all corrections but the last are lost in a restart",
    JumpLost: "a jump is lost in a restart",
    RefusalsForget: "a step that is refused forgets what it has found out about the clock",
    LooksForget: "a read forgets that the clock was corrected",
}
