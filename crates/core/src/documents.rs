//! Named documents that are kept with their versions: the mechanism below the stores of policies.
//!
//! A document has a name, and under it versions, each with its content, who put it, why, and when.
//! What an engine keeps is a [`Kept`] version; the [`steps`] put, remove and read them, over any
//! [`Engine`](crate::engine::Engine). The domain crates own their traits, their errors and their
//! words over it, and say what a document is ([`Content`]).
//!
//! What always holds:
//!
//! - A version never changes. A put makes a new one, and says which it replaces.
//! - A put of what is there already makes no version, and says so ([`Put::Unchanged`]).
//! - A put or a removal that is repeated with its idempotency key, because its answer was lost, is
//!   answered with the first result for as long as that is kept, whatever came after it.
//! - The newest version of every name is kept, and of a name that was removed its removal. So whoever
//!   follows the stream of changes knows in the end what is there, however far behind they were.
//!
//! What is not here: what a document means, and who may put one.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::IdempotencyKey;
use crate::names::{TextError, User, check_length};
use crate::time::ClockError;
use crate::version::{Conflict, Version};

mod record;
pub mod steps;
mod written;

pub use record::{DocumentId, Kept, Key, Unread};

/// The most characters of a reason.
pub const MAX_REASON_CHARACTERS: usize = 1_000;

/// The most characters of a ticket reference.
pub const MAX_TICKET_CHARACTERS: usize = 128;

/// What a document says.
///
/// - Two are the same exactly if their digests are.
/// - `read` gives back what `write` has written, with the same digest.
pub trait Content: Send + Sync + Sized + 'static {
    /// What identifies it by what it says.
    type Digest: Copy + Eq + fmt::Debug + Send + Sync + 'static;

    /// Its digest.
    fn digest(&self) -> Self::Digest;

    /// It as text, for engines that keep text.
    ///
    /// # Errors
    /// What is wrong with it.
    fn write(&self) -> Result<String, String>;

    /// Reads such a text.
    ///
    /// # Errors
    /// What is wrong with it: somebody else has written it.
    fn read(text: &str) -> Result<Self, String>;
}

/// Who makes a change to a document, and why; and the key by which a repeat of it is known.
///
/// The author is whom the host has authenticated; nothing here checks that.
///
/// ```
/// use countersign_core::documents::Attribution;
/// use countersign_core::names::User;
///
/// let attribution = Attribution::by(User::new("alice")?)
///     .with_reason("the database has moved")
///     .with_ticket("OPS-4711");
/// assert_eq!(attribution.ticket.as_deref(), Some("OPS-4711"));
/// assert_eq!(attribution.check(), Ok(()));
/// # Ok::<(), countersign_core::names::NameError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Attribution {
    /// Who makes it, if the host says.
    pub author: Option<User>,
    /// Why: 1 to 1,000 characters.
    pub reason: Option<Arc<str>>,
    /// A reference in the host's ticket system: 1 to 128 characters.
    pub ticket: Option<Arc<str>>,
    /// The key of the call, so that a repeat gets the first result.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl Attribution {
    /// To nobody, without a word: the default.
    pub const NOBODY: Self = Self {
        author: None,
        reason: None,
        ticket: None,
        idempotency_key: None,
    };

    /// To this author.
    pub fn by(author: User) -> Self {
        Self {
            author: Some(author),
            ..Self::default()
        }
    }

    /// The same with a reason.
    #[must_use]
    pub fn with_reason(self, reason: impl Into<Arc<str>>) -> Self {
        let reason = Some(reason.into());
        Self { reason, ..self }
    }

    /// The same with a reference in the host's ticket system.
    #[must_use]
    pub fn with_ticket(self, ticket: impl Into<Arc<str>>) -> Self {
        let ticket = Some(ticket.into());
        Self { ticket, ..self }
    }

    /// The same with the key of the call.
    #[must_use]
    pub fn with_idempotency_key(self, idempotency_key: IdempotencyKey) -> Self {
        let idempotency_key = Some(idempotency_key);
        Self {
            idempotency_key,
            ..self
        }
    }

    /// Checks the texts.
    ///
    /// # Errors
    /// [`AttributionError`], of the reason first.
    pub fn check(&self) -> Result<(), AttributionError> {
        if let Some(reason) = &self.reason {
            check_length(reason, 1, MAX_REASON_CHARACTERS).map_err(AttributionError::Reason)?;
        }
        if let Some(ticket) = &self.ticket {
            check_length(ticket, 1, MAX_TICKET_CHARACTERS).map_err(AttributionError::Ticket)?;
        }
        Ok(())
    }
}

/// Why an attribution does not do. Correct the text that is named, or leave it out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AttributionError {
    /// The reason.
    #[error("`reason`: {0}")]
    Reason(TextError),
    /// The ticket reference.
    #[error("`ticket`: {0}")]
    Ticket(TextError),
}

/// One version of a named document: an immutable snapshot.
///
/// ```
/// use countersign_core::documents::Document;
/// use countersign_core::version::Version;
///
/// let stored = Document::new("main".into(), Version::from_nanos(1), "a content");
/// assert_eq!((&*stored.name, stored.replaces), ("main", None));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Document<C> {
    /// The name that it is kept under.
    pub name: Arc<str>,
    /// The version, assigned by the store. It orders, and is no time.
    pub version: Version,
    /// The version that it took the place of; none if there was no document of the name.
    pub replaces: Option<Version>,
    /// When, by the store's clock.
    pub at: DateTime<Utc>,
    /// Who put it, and why.
    pub attribution: Attribution,
    /// What it says.
    pub content: C,
}

impl<C> Document<C> {
    /// The first of its name, put by nobody at the time of its version. For implementations of a
    /// domain's store and for their tests.
    pub fn new(name: Arc<str>, version: Version, content: C) -> Self {
        Self {
            name,
            version,
            replaces: None,
            at: version.time(),
            attribution: Attribution::default(),
            content,
        }
    }

    /// The same in the place of another version.
    #[must_use]
    pub fn replacing(self, replaces: Option<Version>) -> Self {
        Self { replaces, ..self }
    }

    /// The same with this attribution, put at this time.
    #[must_use]
    pub fn put_by(self, attribution: Attribution, at: DateTime<Utc>) -> Self {
        Self {
            attribution,
            at,
            ..self
        }
    }

    /// The same with what `read` makes of its content.
    ///
    /// # Errors
    /// What `read` returns.
    pub fn try_map<T, E>(&self, read: impl FnOnce(&C) -> Result<T, E>) -> Result<Document<T>, E> {
        Ok(Document {
            name: Arc::clone(&self.name),
            version: self.version,
            replaces: self.replaces,
            at: self.at,
            attribution: self.attribution.clone(),
            content: read(&self.content)?,
        })
    }
}

impl<D: Content> Document<Arc<D>> {
    /// The digest of what it says.
    pub fn digest(&self) -> D::Digest {
        self.content.digest()
    }
}

/// A version with what it says.
pub type Stored<D> = Document<Arc<D>>;

/// The removal of a name with all its versions. `replaces` is the last of them.
pub type Removal = Document<()>;

/// What must be there for a put to be made.
///
/// ```
/// use countersign_core::documents::Expected;
/// use countersign_core::version::Version;
///
/// assert_ne!(Expected::Absent, Expected::Version(Version::from_nanos(1)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expected {
    /// Nothing: the put creates.
    Absent,
    /// This version: the put replaces it.
    Version(Version),
}

/// What a put did.
///
/// ```
/// use countersign_core::documents::Put;
///
/// let put = Put::Unchanged("what is there");
/// assert!(put.is_unchanged());
/// assert_eq!(put.into_stored(), "what is there");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put<S> {
    /// It made this version.
    Written(S),
    /// It made none: this version, which was expected, says the same already. Whose put that was, and
    /// why, stays as it is.
    Unchanged(S),
}

impl<S> Put<S> {
    /// The version that is there after it.
    pub fn into_stored(self) -> S {
        match self {
            Put::Written(stored) | Put::Unchanged(stored) => stored,
        }
    }

    /// The version that is there after it.
    pub fn stored(&self) -> &S {
        match self {
            Put::Written(stored) | Put::Unchanged(stored) => stored,
        }
    }

    /// Whether it made no version.
    pub fn is_unchanged(&self) -> bool {
        matches!(self, Put::Unchanged(_))
    }
}

/// One change, as whoever follows a store is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed<D> {
    /// A version was put.
    Put(Arc<Stored<D>>),
    /// A name was removed with all its versions.
    Removed(Arc<Removal>),
}

impl<D> Changed<D> {
    /// Its place among all changes: what the next call begins after.
    pub fn version(&self) -> Version {
        match self {
            Changed::Put(stored) => stored.version,
            Changed::Removed(removal) => removal.version,
        }
    }

    /// The name that it is about.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Changed::Put(stored) => &stored.name,
            Changed::Removed(removal) => &removal.name,
        }
    }
}

/// Why a step or a read gives nothing, besides failures of the engine. A domain crate makes its own
/// error of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// There is no document of this name.
    #[error("there is no document `{name}`")]
    NotFound {
        /// The name that was asked for.
        name: Arc<str>,
    },
    /// The document does not have this version any more, or never had.
    #[error("document `{name}` has no version `{version}`")]
    VersionNotFound {
        /// The name that was asked for.
        name: Arc<str>,
        /// The version that was asked for.
        version: Version,
    },
    /// The document was to be created and is there.
    #[error("document `{name}` is there already, at version `{actual}`")]
    AlreadyExists {
        /// The name that was given.
        name: Arc<str>,
        /// The version that is there.
        actual: Version,
    },
    /// Another version is there than was expected.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The key is that of another change.
    #[error("idempotency key `{idempotency_key}` is that of another change, of document `{name}`")]
    IdempotencyKeyReused {
        /// The key.
        idempotency_key: IdempotencyKey,
        /// The document that it changed.
        name: Arc<str>,
    },
    /// The attribution does not do.
    #[error(transparent)]
    Attribution(#[from] AttributionError),
    /// The clock gives no version.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// What the engine keeps is no document of this kind: somebody else has written it.
    #[error("version `{version}` of document `{name}` cannot be read: {found}")]
    Unreadable {
        /// The name that it is kept under.
        name: Arc<str>,
        /// The version.
        version: Version,
        /// What is wrong with it.
        found: String,
    },
}

#[cfg(test)]
#[cfg(not(any(countersign_loom, countersign_shuttle)))]
mod tests;
