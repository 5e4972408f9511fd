//! The record of the kit: a note with a history, in indexes of every kind.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::engine::{Rank, Record};
use crate::time::Stamp;
use crate::version::Version;

crate::define_id! {
    /// What identifies a note.
    ///
    /// ```
    /// use countersign_core::engine::conformance::NoteId;
    ///
    /// assert_eq!(NoteId::from_bits(1).to_string(), "0000000000000001");
    /// ```
    NoteId
}

/// What the kit has an engine keep. `id`, `author`, `seal` and `created` never change; each change is
/// one more of `edits`.
///
/// ```
/// use countersign_core::engine::Record;
/// use countersign_core::engine::conformance::{Key, Note};
///
/// fn is_on(note: &Note, shelf: &str) -> bool {
///     let mut found = false;
///     note.index(&mut |key, _| found |= key == Key::Shelf(shelf.to_owned()));
///     found
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What identifies it.
    pub id: NoteId,
    /// Who wrote it.
    pub author: String,
    /// What it is still found by when it is removed.
    pub seal: Option<String>,
    /// The version that it was made with.
    pub created: Version,
    /// Every change, oldest first. There is one.
    pub edits: Vec<Arc<Edit>>,
}

/// One change of a note.
///
/// ```
/// # use countersign_core::engine::conformance::Edit;
/// fn is_put_away(edit: &Edit) -> bool {
///     edit.shelf.is_none()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The version that it made.
    pub version: Version,
    /// When.
    pub at: DateTime<Utc>,
    /// Where the note is since.
    pub shelf: Option<String>,
    /// How it ranks there.
    pub rank: i64,
    /// What it says since.
    pub text: String,
}

/// What notes are looked up by. Serde writes no two alike.
///
/// ```
/// use countersign_core::engine::conformance::Key;
///
/// assert_ne!(Key::Author("a".into()), Key::Seal("a".into()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Key {
    /// All of them, newest first.
    All,
    /// Those of an author, newest first.
    Author(String),
    /// Those on a shelf, highest rank first.
    Shelf(String),
    /// Those on any shelf, lowest rank first.
    Queue,
    /// Those that have ever said this, newest first.
    Text(String),
    /// Those with this seal, newest first. It outlasts them.
    Seal(String),
}

impl Note {
    pub(super) fn last(&self) -> Option<&Edit> {
        self.edits.last().map(|edit| &**edit)
    }

    /// The note after one more change.
    pub(super) fn edited(&self, place: &Place, stamp: Stamp) -> Self {
        let mut edited = self.clone();
        edited.edits.push(Arc::new(place.edit(stamp)));
        edited
    }
}

impl Record for Note {
    type Id = NoteId;
    type Key = Key;

    fn id(&self) -> NoteId {
        self.id
    }

    fn version(&self) -> Version {
        self.last().map_or(self.created, |edit| edit.version)
    }

    fn index(&self, entry: &mut dyn FnMut(Key, Rank)) {
        let created = Rank::newest_first(self.created);
        entry(Key::All, created);
        entry(Key::Author(self.author.clone()), created);
        if let Some(Edit {
            shelf: Some(shelf),
            rank,
            ..
        }) = self.last()
        {
            entry(Key::Shelf(shelf.clone()), Rank::from_i64(*rank));
            entry(Key::Queue, Rank::from_i64(!rank));
        }
        let texts: BTreeSet<_> = self.edits.iter().map(|edit| &edit.text).collect();
        for text in texts {
            entry(Key::Text(text.clone()), created);
        }
        self.outlasting(&mut |key| entry(key, created));
    }

    fn changes(&self, change: &mut dyn FnMut(Version)) {
        for edit in &self.edits {
            change(edit.version);
        }
    }

    fn outlasting(&self, key: &mut dyn FnMut(Key)) {
        if let Some(seal) = &self.seal {
            key(Key::Seal(seal.clone()));
        }
    }

    fn least_id() -> NoteId {
        NoteId::MIN
    }
}

/// Where a note goes, and what it says there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub shelf: Option<String>,
    pub rank: i64,
    pub text: String,
}

/// On this shelf, with this rank.
pub(super) fn on(shelf: &str, rank: i64) -> Place {
    Place {
        shelf: Some(shelf.to_owned()),
        rank,
        text: "as before".to_owned(),
    }
}

/// On no shelf.
pub(super) fn off() -> Place {
    Place {
        shelf: None,
        ..on("", 0)
    }
}

impl Place {
    pub(super) fn saying(self, text: &str) -> Self {
        let text = text.to_owned();
        Self { text, ..self }
    }

    fn edit(&self, stamp: Stamp) -> Edit {
        Edit {
            version: stamp.version,
            at: stamp.now.at(),
            shelf: self.shelf.clone(),
            rank: self.rank,
            text: self.text.clone(),
        }
    }
}

/// A note that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft {
    pub id: u64,
    pub author: String,
    pub seal: Option<String>,
    pub place: Place,
}

/// One of `alice`'s, on the shelf `a`.
pub(super) fn note(id: u64) -> Draft {
    Draft {
        id,
        author: "alice".to_owned(),
        seal: None,
        place: on("a", 0),
    }
}

impl Draft {
    pub(super) fn by(self, author: &str) -> Self {
        let author = author.to_owned();
        Self { author, ..self }
    }

    pub(super) fn sealed(self, seal: &str) -> Self {
        let seal = Some(seal.to_owned());
        Self { seal, ..self }
    }

    pub(super) fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    pub(super) fn made(&self, stamp: Stamp) -> Note {
        Note {
            id: NoteId::from_bits(self.id),
            author: self.author.clone(),
            seal: self.seal.clone(),
            created: stamp.version,
            edits: vec![Arc::new(self.place.edit(stamp))],
        }
    }
}
