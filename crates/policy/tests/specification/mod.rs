//! What a cache may answer for one name, as one caller after another would see it.
//!
//! A load is no single step: it begins, asks the source, and ends. So the source's part is in the
//! history as calls of its own ([`Call::Asked`] and [`Call::Read`]), and the end of a load, which
//! nobody sees, is put before the first answer that shows it. What is required:
//!
//! - Whoever waited gets what the load brought, as if all of them had called at the moment at which
//!   it ended; errors are given to them and to nobody later.
//! - A hit is what was published last, younger than the time to live.
//! - A stale policy is what was published last, within its bound, and only after a load that failed
//!   and was not answered "not found".
//! - Nothing that the source was asked for before an invalidation is seen after it.
//!
//! Where it is looser than one register of the time and one of what is published:
//!
//! - The time that a call goes by may be that of any moment within the call, and need not be that of
//!   the moment at which it looks at what is published. When a load began is known up to the time
//!   at which the source was asked; every answer that shows it narrows that down.
//! - Loads of one name may overlap, because one that was overtaken before it asked cannot be told
//!   from another. That there is one load at a time is shown by models and by exact counts.

use std::collections::BTreeMap;

use countersign_core::sync::history::Specification;

/// Nanoseconds of the cache's manual ticks.
pub const TIME_TO_LIVE: u64 = 100;
pub const STALE_IF_ERROR: u64 = 150;
pub const RETRY_AFTER: u64 = 20;

/// What the source holds for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Content {
    Policy,
    Failing,
    Missing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    Get(u8),
    Load(u8),
    Invalidate(u8),
    InvalidateAll,
    /// Changes the source.
    Set(u8, Content),
    /// Lets ticks go by.
    Advance(u64),
    /// The cache asks the source; each time has its number.
    Asked(u8, u64),
    /// The source looks at what it holds.
    Read(u8, u64),
}

impl Call {
    /// Whether it can be seen by those who ask for a name.
    pub fn concerns(self, name: u8) -> bool {
        match self {
            Call::Get(of)
            | Call::Load(of)
            | Call::Invalidate(of)
            | Call::Set(of, _)
            | Call::Asked(of, _)
            | Call::Read(of, _) => of == name,
            Call::InvalidateAll => true,
            Call::Advance(_) => false,
        }
    }
}

/// What was answered, with the ticks before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub ticks: Span,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Done,
    Nothing,
    /// What the source brought when it was asked for the time of this number.
    Fresh {
        load: u64,
        age: u64,
    },
    Stale {
        load: u64,
        age: u64,
    },
    Failed(u64),
    Missing,
    Superseded,
    Holds(Content),
}

/// From the first to the second, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span(pub u64, pub u64);

impl Span {
    fn narrow(&mut self, other: Span) -> bool {
        *self = Span(self.0.max(other.0), self.1.min(other.1));
        self.0 <= self.1
    }

    fn before(self, age: u64) -> Span {
        Span(self.0.saturating_sub(age), self.1.saturating_sub(age))
    }
}

/// The cache and its source, for one name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Naive {
    source: Content,
    /// Loads that asked and were not overtaken, and whose end nothing has shown yet.
    loads: BTreeMap<u64, Asked>,
    published: Option<Entry>,
    /// The load that ended at this moment, until another call comes between.
    ended: Option<Ended>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Asked {
    /// No later than this did it begin.
    latest: u64,
    /// What the source held, and no earlier than when it ended.
    read: Option<(Content, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Entry {
    load: u64,
    loaded_at: Span,
    /// When a later load failed.
    failed_at: Option<Span>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Ended {
    /// The load, unless the answer does not tell.
    load: Option<u64>,
    brought: Content,
    earliest: u64,
}

impl Naive {
    pub fn new() -> Self {
        Self {
            source: Content::Missing,
            loads: BTreeMap::new(),
            published: None,
            ended: None,
        }
    }

    /// Ends the load of this number, or any, that brought `brought`.
    fn end(&mut self, load: Option<u64>, brought: Content) -> Option<Ended> {
        let fits = |(number, asked): (&u64, &Asked)| {
            let (read, earliest) = asked.read?;
            let fits = read == brought && load.is_none_or(|load| load == *number);
            fits.then_some((*number, asked.latest, earliest))
        };
        let (number, latest, earliest) = self.loads.iter().find_map(fits)?;
        self.loads.remove(&number);
        match brought {
            Content::Policy => {
                self.published = Some(Entry {
                    load: number,
                    loaded_at: Span(0, latest),
                    failed_at: None,
                });
            }
            Content::Missing => self.published = None,
            Content::Failing => {}
        }
        Some(Ended {
            load,
            brought,
            earliest,
        })
    }

    /// The load that has just ended so, if the caller can have waited for it.
    fn waited(&mut self, load: Option<u64>, brought: Content) -> Option<Ended> {
        let fits = |ended: &Ended| ended.load == load && ended.brought == brought;
        if !self.ended.is_some_and(|ended| fits(&ended)) {
            self.ended = self.end(load, brought);
        }
        self.ended
    }

    fn hit(&mut self, load: u64, age: u64, ticks: Span) -> bool {
        if self
            .published
            .as_ref()
            .is_none_or(|entry| entry.load != load)
        {
            self.end(Some(load), Content::Policy);
        }
        self.ended = None;
        let Some(entry) = self.published.as_mut().filter(|entry| entry.load == load) else {
            return false;
        };
        age < TIME_TO_LIVE && entry.loaded_at.narrow(seen(age, ticks))
    }

    fn get(&mut self, answer: &Answer) -> bool {
        match answer.what {
            What::Nothing => {
                self.ended = None;
                let Some(entry) = &mut self.published else {
                    return true;
                };
                let Some(latest) = answer.ticks.1.checked_sub(TIME_TO_LIVE) else {
                    return false;
                };
                entry.loaded_at.narrow(Span(0, latest))
            }
            What::Fresh { load, age } => self.hit(load, age, answer.ticks),
            _ => false,
        }
    }

    fn load(&mut self, answer: &Answer) -> bool {
        let ticks = answer.ticks;
        match answer.what {
            What::Fresh { load, age } => {
                let earliest = match self.waited(Some(load), Content::Policy) {
                    Some(ended) => ended.earliest.min(ticks.0),
                    None => return self.hit(load, age, ticks),
                };
                let mut within = Span(earliest, ticks.1).before(age);
                if age == 0 {
                    // A hit whose time is before the load's has the age zero too.
                    within.1 = u64::MAX;
                }
                let entry = self.published.as_mut();
                entry.is_some_and(|entry| entry.loaded_at.narrow(within))
            }
            What::Stale { load, age } => self.stale(load, age, ticks),
            What::Failed(load) => {
                let loaded_at = self.published.as_ref().map(|entry| entry.loaded_at);
                let too_old = loaded_at.is_none_or(|at| ticks.1 > at.0 + STALE_IF_ERROR);
                self.waited(Some(load), Content::Failing).is_some() && too_old
            }
            What::Missing => self.waited(None, Content::Missing).is_some(),
            // It gave up, which shows nothing.
            What::Superseded => true,
            _ => false,
        }
    }

    fn stale(&mut self, load: u64, age: u64, ticks: Span) -> bool {
        if self
            .published
            .as_ref()
            .is_none_or(|entry| entry.load != load)
        {
            self.end(Some(load), Content::Policy);
        }
        let Some(failed_at) = self.published.as_ref().map(|entry| entry.failed_at) else {
            return false;
        };
        // The source is left alone after a failure; else a load has just failed.
        let alone = failed_at.is_some_and(|at| ticks.0 < at.1 + RETRY_AFTER);
        let mut earliest = ticks.0;
        if !alone {
            let Some(ended) = self.waited(None, Content::Failing) else {
                return false;
            };
            earliest = ended.earliest;
        }
        let Some(entry) = self.published.as_mut().filter(|entry| entry.load == load) else {
            return false;
        };
        if alone {
            // Who waited for the load that failed answers so too.
            earliest = earliest.min(failed_at.map_or(earliest, |at| at.0));
        } else {
            entry.failed_at = Some(Span(earliest, ticks.1));
        }
        let seen = Span(earliest, ticks.1).before(age);
        age <= STALE_IF_ERROR && entry.loaded_at.narrow(seen)
    }
}

/// When a load began that is `age` old at some time within `ticks`. One that began after the time
/// which the call goes by is zero old.
fn seen(age: u64, ticks: Span) -> Span {
    match age {
        0 => Span(ticks.0, u64::MAX),
        _ => ticks.before(age),
    }
}

impl Specification for Naive {
    type Call = Call;
    type Answer = Answer;

    fn explains(&mut self, call: &Call, answer: &Answer) -> bool {
        match *call {
            Call::Get(_) => return self.get(answer),
            Call::Load(_) => return self.load(answer),
            Call::Invalidate(_) | Call::InvalidateAll => {
                self.loads.clear();
                self.published = None;
            }
            Call::Set(_, content) => self.source = content,
            Call::Advance(_) => {}
            Call::Asked(_, load) => {
                let asked = Asked {
                    latest: answer.ticks.1,
                    read: None,
                };
                self.loads.insert(load, asked);
            }
            Call::Read(_, load) => {
                if answer.what != What::Holds(self.source) {
                    return false;
                }
                if let Some(asked) = self.loads.get_mut(&load) {
                    asked.read = Some((self.source, answer.ticks.0));
                }
            }
        }
        self.ended = None;
        true
    }
}
