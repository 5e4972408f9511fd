//! A kept version, and what it is looked up by.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

use super::{Attribution, Content, Document, DocumentError, Removal, Stored};
use crate::engine::{Rank, Record};
use crate::id::IdempotencyKey;
use crate::version::Version;

/// What an engine keeps: one version of one document.
///
/// Invariant: of a name there are versions or a removal that is the newest of it, or both, and then
/// the removal is older than all of them. There is at most one removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept<D: Content> {
    /// A version with what it says.
    Ready(Arc<Stored<D>>),
    /// A version of which what it says was not read yet.
    Unread(Arc<Document<Unread<D::Digest>>>),
    /// The removal of a name.
    Removed(Arc<Removal>),
}

/// What an engine that keeps text has of a content until somebody wants to know what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread<G> {
    /// The digest that it was put with.
    pub digest: G,
    /// The text.
    pub text: Arc<str>,
}

impl<D: Content> Kept<D> {
    /// The name that it is of.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Kept::Ready(stored) => &stored.name,
            Kept::Unread(stored) => &stored.name,
            Kept::Removed(removal) => &removal.name,
        }
    }

    /// The version that it took the place of.
    pub fn replaces(&self) -> Option<Version> {
        match self {
            Kept::Ready(stored) => stored.replaces,
            Kept::Unread(stored) => stored.replaces,
            Kept::Removed(removal) => removal.replaces,
        }
    }

    /// Who made it, and why.
    pub fn attribution(&self) -> &Attribution {
        match self {
            Kept::Ready(stored) => &stored.attribution,
            Kept::Unread(stored) => &stored.attribution,
            Kept::Removed(removal) => &removal.attribution,
        }
    }

    /// The digest of what it says; none of a removal.
    pub fn digest(&self) -> Option<D::Digest> {
        match self {
            Kept::Ready(stored) => Some(stored.digest()),
            Kept::Unread(stored) => Some(stored.content.digest),
            Kept::Removed(_) => None,
        }
    }

    /// It with what it says; none of a removal.
    ///
    /// # Errors
    /// [`DocumentError::Unreadable`].
    pub fn stored(&self) -> Result<Option<Arc<Stored<D>>>, DocumentError> {
        match self {
            Kept::Ready(stored) => Ok(Some(Arc::clone(stored))),
            Kept::Unread(unread) => Ok(Some(Arc::new(unread.try_map(|content| {
                let unreadable = |found| DocumentError::Unreadable {
                    name: Arc::clone(&unread.name),
                    version: unread.version,
                    found,
                };
                let read = D::read(&content.text).map_err(unreadable)?;
                match read.digest() == content.digest {
                    true => Ok(Arc::new(read)),
                    false => Err(unreadable("its digest is another".to_owned())),
                }
            })?))),
            Kept::Removed(_) => Ok(None),
        }
    }
}

/// What identifies a version over all documents. Ids are in the order of the bytes of their names,
/// and then newest first, and so are their texts.
///
/// ```
/// use countersign_core::documents::DocumentId;
/// use countersign_core::version::Version;
///
/// let [older, newer] = [1, 2].map(|nanos| DocumentId::new("main", Version::from_nanos(nanos)));
/// assert!(newer < older && newer.to_string() < older.to_string());
/// assert_eq!(older.to_string().parse(), Ok(older));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId {
    name: Arc<str>,
    /// How far the version is from the last that there can be.
    distance: u64,
}

impl DocumentId {
    /// Of this version of this name.
    pub fn new(name: impl Into<Arc<str>>, version: Version) -> Self {
        let distance = i64::MAX.wrapping_sub(version.as_nanos());
        Self {
            name: name.into(),
            distance: distance as u64,
        }
    }

    /// After every version of this name, and before the next name.
    pub(super) fn after_name(name: Arc<str>) -> Self {
        Self {
            name,
            distance: u64::MAX,
        }
    }

    /// The name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The version.
    pub fn version(&self) -> Version {
        Version::from_nanos(i64::MAX.wrapping_sub(self.distance as i64))
    }
}

/// The name, a tab, and 16 hexadecimal digits. No character of a name comes before a tab.
impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\t{:016x}", self.name, self.distance)
    }
}

impl FromStr for DocumentId {
    type Err = ParseDocumentIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (name, digits) = text.rsplit_once('\t')?;
            let id = Self {
                name: name.into(),
                distance: u64::from_str_radix(digits, 16).ok()?,
            };
            // In one spelling only.
            (id.to_string() == text).then_some(id)
        };
        parse().ok_or(ParseDocumentIdError)
    }
}

/// A text that is not a [`DocumentId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not the id of a version of a document")]
pub struct ParseDocumentIdError;

/// What versions are looked up by. Serde writes no two alike, for engines that keep keys so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Key {
    /// The versions of a name; newest first. No removals.
    Name(Arc<str>),
    /// The versions of all names; by name, and newest first. No removals.
    Names,
    /// The removal of a name.
    Removal(Arc<str>),
    /// What the call with this key has made.
    IdempotencyKey(IdempotencyKey),
}

impl Key {
    /// What everything with the key [`Key::Names`] ranks: it is ordered by its ids.
    pub fn names_rank() -> Rank {
        Rank::from_i64(0)
    }
}

impl<D: Content> Record for Kept<D> {
    type Id = DocumentId;
    type Key = Key;

    fn id(&self) -> DocumentId {
        DocumentId::new(Arc::clone(self.name()), self.version())
    }

    fn version(&self) -> Version {
        match self {
            Kept::Ready(stored) => stored.version,
            Kept::Unread(stored) => stored.version,
            Kept::Removed(removal) => removal.version,
        }
    }

    fn index(&self, entry: &mut dyn FnMut(Key, Rank)) {
        let (name, newest_first) = (self.name(), Rank::newest_first(self.version()));
        match self {
            Kept::Removed(_) => entry(Key::Removal(Arc::clone(name)), newest_first),
            Kept::Ready(_) | Kept::Unread(_) => {
                entry(Key::Name(Arc::clone(name)), newest_first);
                entry(Key::Names, Key::names_rank());
            }
        }
        if let Some(idempotency_key) = self.attribution().idempotency_key {
            entry(Key::IdempotencyKey(idempotency_key), newest_first);
        }
    }

    fn least_id() -> DocumentId {
        DocumentId {
            name: "".into(),
            distance: 0,
        }
    }
}
