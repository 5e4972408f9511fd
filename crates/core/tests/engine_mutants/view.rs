//! A snapshot of a naive engine.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;

use countersign_core::engine::conformance::{Key, Note, NoteId};
use countersign_core::engine::{
    Cursor, List, Listing, Page, Pick, Range, Rank, Reads, Record, Snapshot, Start,
};
use countersign_core::version::Version;

use crate::faults::Fault;
use crate::naive::{Naive, lock};
use crate::state::State;

/// A snapshot.
#[derive(Debug)]
pub struct View<'a> {
    pub naive: &'a Naive,
    pub state: Arc<State>,
    is_nested: Cell<bool>,
}

impl<'a> View<'a> {
    pub fn of(naive: &'a Naive, state: Arc<State>) -> Self {
        Self {
            naive,
            state,
            is_nested: Cell::new(false),
        }
    }

    pub fn is(&self, fault: Fault) -> bool {
        self.naive.is(fault)
    }

    fn state(&self) -> Arc<State> {
        if self.is(Fault::LiveSnapshot) {
            self.naive.wait_for_another();
            return lock(&self.naive.state).clone();
        }
        match self.is(Fault::NestedSeesNothing) && self.is_nested.get() {
            true => Arc::default(),
            false => Arc::clone(&self.state),
        }
    }

    fn found(&self, key: &Key, range: &Range<NoteId>) -> Vec<(Rank, Option<Arc<Note>>)> {
        let (fault, state) = (self.naive.fault, self.state());
        let mut places: Vec<_> = state.places.iter().collect();
        places.retain(|(of, ..)| is_same(fault, key, of));
        places.sort_by_key(|(_, rank, id)| (*rank, *id));
        match fault {
            Fault::LowestFirst => places.sort_by_key(|(_, rank, id)| (rank.0, *id)),
            Fault::LargestIdFirst => places.sort_by_key(|(_, rank, id)| (*rank, Reverse(*id))),
            Fault::IdsSigned => {
                places.sort_by_key(|(_, rank, id)| (*rank, id.to_bits() as i64));
            }
            Fault::EndsLeftOut => {
                places.retain(|(_, rank, _)| ![i64::MIN, i64::MAX].contains(&rank.0.as_i64()))
            }
            _ => {}
        }
        let there: BTreeSet<_> = places.iter().map(|(_, rank, id)| (rank.0, *id)).collect();
        places.retain(|(_, rank, id)| {
            let rank = rank.0;
            let has_begun = match range.start {
                Start::First => true,
                Start::At(first) if fault == Fault::AtIsAfter => rank < first,
                Start::At(first) => rank <= first,
                Start::After(place, last) => match fault {
                    Fault::AfterIsAt => (Reverse(rank), *id) >= (Reverse(place), last),
                    Fault::AfterTheRank => rank < place,
                    Fault::AfterNeedsAPlace if !there.contains(&(place, last)) => true,
                    _ => (Reverse(rank), *id) > (Reverse(place), last),
                },
            };
            let is_above = |floor: Rank| match fault {
                Fault::AboveIsAt => rank >= floor,
                Fault::FloorOverflows => rank.as_i64() >= floor.as_i64().wrapping_add(1),
                _ => rank > floor,
            };
            has_begun && range.above.is_none_or(is_above)
        });
        let found = places.into_iter();
        found
            .map(|(_, rank, id)| (rank.0, state.notes.get(id).cloned()))
            .collect()
    }
}

impl Reads<Note> for View<'_> {
    type Error = Infallible;

    fn get(&self, id: &NoteId) -> Result<Option<Arc<Note>>, Infallible> {
        Ok(self.state().notes.get(id).cloned())
    }

    fn scan(
        &self,
        key: &Key,
        range: Range<NoteId>,
        want: usize,
        mut each: impl FnMut(Rank, &Arc<Note>) -> ControlFlow<()>,
    ) -> Result<(), Infallible> {
        let mut found = self.found(key, &range);
        match self.naive.fault {
            Fault::WantLimits => found.truncate(want),
            Fault::ScanOf256 => found.truncate(256),
            _ => {}
        }
        let outer = self.is_nested.replace(true);
        let mut has_ended = false;
        for (rank, note) in found {
            let Some(note) = note else { continue };
            let ends = each(rank, &note).is_break();
            if has_ended || ends && !self.is(Fault::ScanGoesOn) {
                break;
            }
            has_ended = ends;
        }
        self.is_nested.set(outer);
        Ok(())
    }

    fn count(&self, key: &Key, range: Range<NoteId>) -> Result<usize, Infallible> {
        let range = match self.naive.fault {
            Fault::CountWithoutFloor => Range {
                above: None,
                ..range
            },
            Fault::CountWithoutStart => Range {
                start: Start::First,
                ..range
            },
            _ => range,
        };
        Ok(self.found(key, &range).len())
    }

    fn holder(&self, key: &Key) -> Result<Option<NoteId>, Infallible> {
        let found = self.found(key, &Range::all());
        let mut present = found.iter().filter_map(|(_, note)| Some(note.as_ref()?.id));
        let present = match self.naive.fault {
            Fault::NoHolders => None,
            Fault::HolderIsTheLast => present.next_back(),
            _ => present.next(),
        };
        let removed = self.state().holders.get(key).copied();
        Ok(match self.naive.fault {
            Fault::RemovedHolds => removed.or(present),
            _ => present.or(removed),
        })
    }

    fn find(
        &self,
        key: &Key,
        range: Range<NoteId>,
        mut is_wanted: impl FnMut(&Note) -> bool,
    ) -> Result<Option<Arc<Note>>, Infallible> {
        let any = self.is(Fault::FindGivesTheFirst);
        let mut found = None;
        self.scan(key, range, 1, |_, note| {
            if !any && !is_wanted(note) {
                return ControlFlow::Continue(());
            }
            found = Some(Arc::clone(note));
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    fn nth(
        &self,
        key: &Key,
        range: Range<NoteId>,
        before: usize,
    ) -> Result<Option<Arc<Note>>, Infallible> {
        let before = before + usize::from(self.is(Fault::NthOneOn));
        let found = self.found(key, &range).into_iter();
        Ok(found.filter_map(|(_, note)| note).nth(before))
    }

    fn pick(
        &self,
        key: &Key,
        range: Range<NoteId>,
        limit: usize,
        mut pick: impl FnMut(&Note) -> Pick,
    ) -> Result<Vec<Arc<Note>>, Infallible> {
        let mut picked = Vec::new();
        for (_, note) in self.found(key, &range) {
            let Some(note) = note else { continue };
            if picked.len() == limit {
                break;
            }
            match pick(&note) {
                Pick::Take => picked.push(note),
                Pick::Stop if !self.is(Fault::PickGoesOn) => break,
                Pick::Skip | Pick::Stop => {}
            }
        }
        Ok(picked)
    }

    fn page<L: List>(
        &self,
        key: &Key,
        range: Range<NoteId>,
        page: &Page<NoteId, L>,
        pick: impl FnMut(&Note) -> Pick,
        place: impl Fn(&Note) -> Cursor<NoteId, L>,
    ) -> Result<Listing<Note, NoteId, L>, Infallible> {
        let start = match range.start {
            Start::After(rank, _) if self.is(Fault::PagesOverlap) => Start::At(rank),
            start => start,
        };
        let range = Range { start, ..range };
        let found = self.pick(key, range, page.effective_limit() + 1, pick)?;
        let mut listing = Listing::cut(found, page, &place);
        if self.is(Fault::LastPageGoesOn) {
            listing.next = listing.items.last().map(|note| place(note));
        }
        Ok(listing)
    }

    fn merged(
        &self,
        keys: &[Key],
        range: Range<NoteId>,
        limit: usize,
    ) -> Result<Vec<Arc<Note>>, Infallible> {
        let mut merged = Vec::new();
        for key in keys {
            let mut found = self.found(key, &range);
            if self.is(Fault::MergedOf16) && keys.len() > 1 {
                found.truncate(16);
            }
            merged.extend(
                found
                    .into_iter()
                    .filter_map(|(rank, note)| Some((rank, note?))),
            );
        }
        if !self.is(Fault::MergedByKey) && keys.len() > 1 {
            merged.sort_by_key(|(rank, note)| (Reverse(*rank), note.id));
        }
        merged.truncate(limit);
        Ok(merged.into_iter().map(|(_, note)| note).collect())
    }
}

impl Snapshot<Note> for View<'_> {
    fn changes_after(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> Result<Vec<(Version, Arc<Note>)>, Infallible> {
        let (fault, state) = (self.naive.fault, self.state());
        let is_after = |version: Version| {
            after.is_none_or(|after| match fault {
                Fault::LogAtTheVersion => version >= after,
                Fault::LogAfterKnown if !state.log.contains_key(&after) => false,
                _ => version > after,
            })
        };
        let limit = limit.saturating_add(usize::from(fault == Fault::LogOneMore));
        let mut log: Vec<_> = state
            .log
            .iter()
            .map(|(version, id)| (*version, *id))
            .collect();
        log.retain(|(version, _)| is_after(*version));
        if fault == Fault::LogByRecord {
            log.sort_by_key(|(_, id)| *id);
        }
        if fault == Fault::LogCountsRemoved {
            log.truncate(limit);
        }
        let mut changes: Vec<_> = log
            .into_iter()
            .filter_map(|(version, id)| Some((version, Arc::clone(state.notes.get(&id)?))))
            .collect();
        match fault {
            Fault::LogOfTheLast => changes.retain(|(version, note)| note.version() == *version),
            Fault::LogOfThePast => {
                for (version, note) in &mut changes {
                    Arc::make_mut(note)
                        .edits
                        .retain(|edit| edit.version <= *version);
                }
            }
            Fault::LogHasRemoved => {
                for note in &state.removed {
                    let edits = note.edits.iter().map(|edit| edit.version);
                    let edits = edits.filter(|version| is_after(*version));
                    changes.extend(edits.map(|version| (version, Arc::clone(note))));
                }
                changes.sort_by_key(|(version, _)| *version);
            }
            _ => {}
        }
        changes.truncate(limit);
        Ok(changes)
    }
}

fn parts(key: &Key) -> (u8, &str) {
    match key {
        Key::All => (0, ""),
        Key::Author(name) => (1, name),
        Key::Shelf(name) => (2, name),
        Key::Queue => (3, ""),
        Key::Text(name) => (4, name),
        Key::Seal(name) => (5, name),
    }
}

fn is_same(fault: Fault, asked: &Key, has: &Key) -> bool {
    let ((kind, asked), (of, has)) = (parts(asked), parts(has));
    match fault {
        Fault::KeysOfAllKinds => (kind == of || kind + of == 3) && asked == has,
        _ if kind != of => false,
        Fault::KeysByPrefix => has.starts_with(asked),
        Fault::KeysWithoutCase => asked.eq_ignore_ascii_case(has),
        Fault::KeysEndAtNul => asked.split('\0').next() == has.split('\0').next(),
        _ => asked == has,
    }
}
