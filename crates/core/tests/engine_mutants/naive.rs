//! A naive engine, and what each fault makes of it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::thread::yield_now;

use countersign_core::clock::{Clock, ManualClock};
use countersign_core::engine::conformance::{Edit, Note, NoteId, Subject};
use countersign_core::engine::{Engine, Put, Record};
use countersign_core::future::BoxFuture;
use countersign_core::time::{CLOCK_TOLERANCE, EARLIEST, Now, Timeline, Writer};
use countersign_core::version::Version;

use crate::faults::Fault;
use crate::state::State;
use crate::step::Step;
use crate::view::View;

/// How often a mutant lets others go first, in the hope that they do what it must not see.
const PATIENCE: usize = 1_000;

/// How often where nobody seems to be there.
const FEW: usize = 10;

/// The naive engine with the fault that is being tried: one at a time, so that the kit is compiled once.
pub struct Mutant(Arc<Naive>);

impl Subject for Mutant {
    type Engine = Naive;

    fn open(clock: Arc<ManualClock>) -> BoxFuture<'static, Self> {
        let naive = Naive::new(Fault::tried(), clock);
        Box::pin(async move { Self(Arc::new(naive)) })
    }

    fn engine(&self) -> Arc<Naive> {
        Arc::clone(&self.0)
    }

    fn reopen(self) -> BoxFuture<'static, Self> {
        self.0.reopen();
        Box::pin(async move { self })
    }
}

/// Steps are made one after another on a copy of everything.
#[derive(Debug)]
pub struct Naive {
    pub fault: Fault,
    clock: Arc<ManualClock>,
    steps: Mutex<()>,
    pub state: Mutex<Arc<State>>,
    /// The state without the last step.
    pub late: Mutex<Arc<State>>,
    is_poisoned: Mutex<bool>,
    /// How many steps are under way.
    under_way: AtomicUsize,
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Naive {
    fn new(fault: Fault, clock: Arc<ManualClock>) -> Self {
        let mut state = State::default();
        if fault == Fault::NotEmpty {
            let mut timeline = Timeline::new();
            let now = timeline.now(clock.now(), Writer::ONLY, CLOCK_TOLERANCE);
            let version = timeline.stamp(&now).unwrap().version;
            let edit = Edit {
                version,
                at: now.at(),
                shelf: None,
                rank: 0,
                text: "left".to_owned(),
            };
            let left = Note {
                id: NoteId::from_bits(1_000),
                author: "somebody".to_owned(),
                seal: None,
                created: version,
                edits: vec![Arc::new(edit)],
            };
            state.apply(fault, left.id, Some(Arc::new(left)));
        }
        Self {
            fault,
            clock,
            steps: Mutex::default(),
            late: Mutex::default(),
            state: Mutex::new(Arc::new(state)),
            is_poisoned: Mutex::new(false),
            under_way: AtomicUsize::new(0),
        }
    }

    pub fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn reopen(&self) {
        let mut state = lock(&self.state);
        let state = Arc::make_mut(&mut state);
        let timeline = state.timeline;
        let (version, at) = (timeline.version(), timeline.last_at());
        let last = version.zip(at);
        match self.fault {
            Fault::ReopenedEmpty => *state = State::default(),
            Fault::ReopenedOneLess => {
                let last = state.notes.values().max_by_key(|note| note.version());
                if let Some(id) = last.map(|note| note.id) {
                    state.apply(self.fault, id, None);
                }
            }
            Fault::ReopenedHolders => state.holders.clear(),
            Fault::ReopenedRemoved => {
                for note in std::mem::take(&mut state.removed) {
                    state.apply(self.fault, note.id, Some(note));
                }
            }
            Fault::ReopenedVersions => {
                let there = state.notes.values().map(|note| note.version()).max();
                if let Some((version, at)) = there.zip(at) {
                    state.timeline = timeline.with_last(version, at, Writer::ONLY);
                }
            }
            Fault::ReopenedLog => {
                let last: BTreeSet<_> = state.notes.values().map(|note| note.version()).collect();
                state.log.retain(|version, _| last.contains(version));
            }
            Fault::ReopenedAt => {
                if let Some(version) = version {
                    let of_versions = Timeline::after_version(version);
                    state.timeline = of_versions.with_corrections(timeline.correction());
                }
            }
            Fault::ReopenedCorrections | Fault::ReopenedLastCorrection => {
                if let Some((version, at)) = last {
                    let kept = timeline.correction();
                    let kept = kept.filter(|_| self.is(Fault::ReopenedLastCorrection));
                    let new = Timeline::after(version, at, Writer::ONLY).with_corrections(kept);
                    state.timeline = new.with_jump(timeline.jumped_at());
                }
            }
            Fault::ReopenedJump => state.timeline = timeline.with_jump(None),
            _ => {}
        }
    }

    pub fn judge(&self, timeline: &Timeline) -> Now {
        let reading = self.clock.now();
        let now = timeline.now(reading, Writer::ONLY, CLOCK_TOLERANCE);
        let stands_still = now.at() != reading && now.granting().is_ok();
        match self.fault {
            Fault::NowIsTheClock if stands_still => Now::at_given(reading),
            Fault::ImpossibleGrants if now.granting().is_err() => Now::at_given(reading),
            _ => now,
        }
    }

    fn view(&self) -> View<'_> {
        View::of(self, Arc::clone(&lock(&self.state)))
    }

    fn read<T, E>(&self, job: &mut impl FnMut(&View<'_>) -> Result<T, E>) -> Result<T, E> {
        job(&self.view())
    }

    fn read_now<T, E>(
        &self,
        job: &mut impl FnMut(&View<'_>, &Now) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut state = lock(&self.state);
        let found = self.judge(&state.timeline);
        let mut now = found;
        let mut timeline = state.timeline;
        if found.makes_correction().is_some() {
            timeline = self.noticed(timeline, &found);
            now = self.judge(&timeline);
        }
        if !self.is(Fault::CorrectionOfSnapshot) {
            Arc::make_mut(&mut state).timeline = timeline;
        }
        drop(state);
        let mut view = self.view();
        match self.fault {
            Fault::SnapshotBefore => now = found,
            Fault::SnapshotIsTheClock => now = Now::at_given(self.clock.now()),
            Fault::SnapshotOfNothing if found.makes_correction().is_some() => {
                view.state = Arc::default();
            }
            _ => {}
        }
        job(&view, &now)
    }

    fn noticed(&self, before: Timeline, now: &Now) -> Timeline {
        let mut timeline = before;
        timeline.notice(now);
        match (before.version(), timeline.last_at()) {
            (Some(version), Some(at)) if self.is(Fault::CorrectionWithoutVersion) => {
                timeline.with_last(version, at, Writer::ONLY)
            }
            _ => timeline,
        }
    }

    /// Makes a step; gives what is still to be written.
    fn make<T, E>(
        &self,
        job: &mut impl FnMut(&mut Step<'_>) -> Result<T, E>,
    ) -> (Result<T, E>, Vec<Put<Note>>) {
        let _one = (!self.is(Fault::LostUpdates)).then(|| lock(&self.steps));
        assert!(!*lock(&self.is_poisoned), "a step panicked before");
        let mut step = Step::of(self.view());
        let result = catch_unwind(AssertUnwindSafe(|| job(&mut step)));
        let result = match result {
            Ok(result) => result,
            Err(panic) => {
                *lock(&self.is_poisoned) = self.is(Fault::PanicPoisons);
                if self.is(Fault::PanicWritten) {
                    self.write_out(step.timeline, step.staged);
                }
                drop(_one);
                resume_unwind(panic);
            }
        };
        let result = match self.fault {
            Fault::AnswersTheSecondRun => job(&mut Step::of(self.view())),
            _ => result,
        };
        if self.is(Fault::LostUpdates) {
            self.wait_for_another();
        }
        let Step {
            view,
            now,
            timeline,
            mut staged,
            ..
        } = step;
        let before = view.state.timeline;
        let writes = !staged.is_empty() && (result.is_ok() || self.is(Fault::FailureWritten));
        if !writes {
            staged.clear();
        }
        let after = now.map(|now| self.after(before, timeline, &now, writes, result.is_ok()));
        (result, self.write_out(after.unwrap_or(before), staged))
    }

    /// What is remembered of time after a step.
    fn after(
        &self,
        before: Timeline,
        timeline: Timeline,
        now: &Now,
        writes: bool,
        is_ok: bool,
    ) -> Timeline {
        let corrects = now.makes_correction().is_some();
        let with_last = |version: Option<Version>, at| match version {
            Some(version) => before.with_last(version, at, Writer::ONLY),
            None => before,
        };
        match self.fault {
            Fault::CorrectionForgotten if writes && corrects => match timeline.version() {
                Some(version) => Timeline::after(version, now.at(), Writer::ONLY),
                None => timeline,
            },
            _ if writes => timeline,
            Fault::FailureUsesVersions if !is_ok => {
                with_last(timeline.version(), before.last_at().unwrap_or(now.at()))
            }
            Fault::FailureMovesTime if !is_ok => with_last(before.version(), now.at()),
            Fault::LookingMovesTime if is_ok => with_last(before.version(), now.at()),
            Fault::CorrectionOfFailure if !is_ok => before,
            Fault::CorrectionOfNothing if is_ok && corrects => before,
            Fault::JumpForgotten if !corrects => before,
            _ => self.noticed(before, now),
        }
    }

    /// Writes what was staged; gives what a fault leaves for later.
    fn write_out(&self, timeline: Timeline, mut staged: Vec<Put<Note>>) -> Vec<Put<Note>> {
        let mut rest = Vec::new();
        match self.fault {
            Fault::FirstAlone => staged.truncate(1),
            Fault::RemovalsForgotten => staged.retain(|(_, note)| note.is_some()),
            Fault::RemovalsFirst => staged.sort_by_key(|(_, note)| note.is_some()),
            Fault::FirstPutStays => {
                let mut seen = BTreeSet::new();
                staged.retain(|(id, note)| seen.insert(*id) || note.is_none());
            }
            Fault::DroppedInPart if staged.len() > 1 => rest = staged.split_off(1),
            _ => {}
        }
        let removes = staged.iter().any(|(_, note)| note.is_none());
        let mut state = lock(&self.state);
        if timeline != state.timeline || !staged.is_empty() {
            *lock(&self.late) = Arc::clone(&state);
        }
        Arc::make_mut(&mut state).timeline = timeline;
        for (number, (id, note)) in staged.into_iter().enumerate() {
            if self.is(Fault::TwoSteps) && number > 0 {
                drop(state);
                (0..FEW * 10).for_each(|_| yield_now());
                state = lock(&self.state);
            }
            Arc::make_mut(&mut state).apply(self.fault, id, note);
        }
        if let (true, Some(at)) = (
            self.is(Fault::VersionOfWhatIsThere) && removes,
            timeline.last_at(),
        ) {
            let there = state.notes.values().map(|note| note.version()).max();
            let least = Version::of(EARLIEST).unwrap();
            let state = Arc::make_mut(&mut state);
            state.timeline = timeline.with_last(there.unwrap_or(least), at, Writer::ONLY);
        }
        rest
    }

    /// Waits until another step is made, as long as there is one under way.
    pub fn wait_for_another(&self) {
        let before = lock(&self.state).timeline.version();
        for turn in 0..PATIENCE {
            let is_quiet = turn > FEW && self.under_way.load(Ordering::SeqCst) == 0;
            if is_quiet || lock(&self.state).timeline.version() != before {
                return;
            }
            yield_now();
        }
    }
}

impl Engine<Note> for Naive {
    type Error = Infallible;
    type View<'a> = View<'a>;
    type Step<'a> = Step<'a>;

    async fn read<T, E, F>(&self, mut job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Infallible> + Send + 'static,
        F: for<'a> FnMut(&View<'a>) -> Result<T, E> + Send + 'static,
    {
        Naive::read(self, &mut |view| job(view))
    }

    async fn read_now<T, E, F>(&self, mut job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Infallible> + Send + 'static,
        F: for<'a> FnMut(&View<'a>, &Now) -> Result<T, E> + Send + 'static,
    {
        Naive::read_now(self, &mut |view, now| job(view, now))
    }

    fn write<T, E, F>(&self, mut job: F) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<Infallible> + Send + 'static,
        F: for<'a> FnMut(&mut Step<'a>) -> Result<T, E> + Send + 'static,
    {
        let eager = self.is(Fault::EagerWrites);
        let made = eager.then(|| self.make(&mut |step| job(step)));
        async move {
            let (result, rest) = match made {
                Some(made) => made,
                None => {
                    self.under_way.fetch_add(1, Ordering::SeqCst);
                    let made = self.make(&mut |step| job(step));
                    self.under_way.fetch_sub(1, Ordering::SeqCst);
                    made
                }
            };
            if !rest.is_empty() {
                let mut has_waited = false;
                poll_fn(|context| {
                    context.waker().wake_by_ref();
                    match std::mem::replace(&mut has_waited, true) {
                        true => Poll::Ready(()),
                        false => Poll::Pending,
                    }
                })
                .await;
                let mut state = lock(&self.state);
                let state = Arc::make_mut(&mut state);
                for (id, note) in rest {
                    state.apply(self.fault, id, note);
                }
            }
            result
        }
    }
}
