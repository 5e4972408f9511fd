//! Everything that a naive engine keeps.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DurationRound, TimeDelta};
use countersign_core::engine::conformance::{Key, Note, NoteId};
use countersign_core::engine::{Rank, Record};
use countersign_core::time::Timeline;
use countersign_core::version::Version;

use crate::faults::Fault;

/// Everything that there is.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub notes: BTreeMap<NoteId, Arc<Note>>,
    pub places: BTreeSet<(Key, Reverse<Rank>, NoteId)>,
    pub log: BTreeMap<Version, NoteId>,
    pub holders: BTreeMap<Key, NoteId>,
    /// What was removed, the last one last.
    pub removed: Vec<Arc<Note>>,
    pub timeline: Timeline,
}

impl State {
    /// Puts a note in its place, or removes it.
    pub fn apply(&mut self, fault: Fault, id: NoteId, note: Option<Arc<Note>>) {
        let was_removed = self.removed.iter().any(|removed| removed.id == id);
        if fault == Fault::RemovedIdTaken && was_removed && note.is_some() {
            return;
        }
        let note = note.map(|note| kept(fault, note));
        let mut entries = note.as_deref().map(entries_of).unwrap_or_default();
        if fault == Fault::OneOfAKind {
            let mut texts = entries
                .iter()
                .filter(|(key, _)| matches!(key, Key::Text(_)));
            let last = texts.next_back().cloned();
            entries.retain(|(key, _)| !matches!(key, Key::Text(_)));
            entries.extend(last);
        }
        if let Some(before) = self.notes.get(&id).cloned() {
            let stays = match note {
                Some(_) => fault == Fault::OldPlacesStay,
                None => fault == Fault::RemovedHasPlaces,
            };
            for (key, rank) in entries_of(&before) {
                let here = entries.iter_mut().find(|(of, _)| *of == key);
                if let (Some(here), Fault::OldRanksStay) = (here, fault) {
                    here.1 = rank;
                    continue;
                }
                if !stays {
                    self.places
                        .retain(|place| (&place.0, place.2) != (&key, id));
                }
            }
            let keeps = [Fault::LogCountsRemoved, Fault::OldLogStays].contains(&fault);
            if !keeps || note.is_some() {
                self.log.retain(|version, of| {
                    *of != id || !before.edits.iter().any(|edit| edit.version == *version)
                });
            }
            if note.is_none() {
                let mut keys = Vec::new();
                match fault {
                    Fault::HoldersForgotten => {}
                    Fault::AllOutlasts => before.index(&mut |key, _| keys.push(key)),
                    _ => before.outlasting(&mut |key| keys.push(key)),
                }
                for key in keys {
                    match fault {
                        Fault::FirstHolderStays => drop(self.holders.entry(key).or_insert(id)),
                        _ => drop(self.holders.insert(key, id)),
                    }
                }
                self.removed.push(before);
            }
        }
        let Some(note) = note else {
            self.notes.remove(&id);
            return;
        };
        let places = entries.into_iter();
        self.places
            .extend(places.map(|(key, rank)| (key, Reverse(rank), id)));
        note.changes(&mut |version| self.log.extend([(version, id)]));
        self.notes.insert(id, note);
    }
}

/// What is kept of a note.
fn kept(fault: Fault, note: Arc<Note>) -> Arc<Note> {
    let text = |text: &str| match fault {
        Fault::TextsCut => text.chars().take(255).collect(),
        Fault::TextsAscii => text.replace(|c: char| !c.is_ascii(), "?"),
        _ => text.to_owned(),
    };
    let mut kept = (*note).clone();
    kept.author = text(&kept.author);
    kept.seal = kept.seal.as_deref().map(text);
    if fault == Fault::EmptyIsNone {
        kept.seal = kept.seal.filter(|seal| !seal.is_empty());
    }
    if fault == Fault::HistoryOf100 {
        kept.edits.drain(..kept.edits.len().saturating_sub(100));
    }
    for edit in &mut kept.edits {
        let edit = Arc::make_mut(edit);
        edit.text = text(&edit.text);
        edit.shelf = edit.shelf.as_deref().map(text);
        if fault == Fault::TimesInMicroseconds {
            edit.at = edit.at.duration_trunc(TimeDelta::microseconds(1)).unwrap();
        }
    }
    Arc::new(kept)
}

fn entries_of(note: &Note) -> Vec<(Key, Rank)> {
    let mut entries = Vec::new();
    note.index(&mut |key, rank| entries.push((key, rank)));
    entries
}
