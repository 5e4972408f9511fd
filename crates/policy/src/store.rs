//! Policies that are kept: the contract of a store, and what can be built on it.
//!
//! A store keeps policies by name, each with its last versions, and with each who put it, why and
//! when. [`Store`] is the least that a store implements; [`StoreExt`] is what everyone gets for it.
//! [`EngineStore`](crate::EngineStore) is the crate's own, over any engine, and
//! [`InMemory`](crate::InMemory) is that in memory. The feature `conformance` has the contract as
//! cases, to be run on any store.
//!
//! What holds of every store:
//!
//! - A put is conditional and atomic: of several callers who have read the same version, one wins,
//!   and the others are told which version won.
//! - A version is issued by the store and never twice: not with a clock that stands still or runs
//!   backwards, not after a policy is deleted and put again.
//! - A call that fails changes nothing, so the same call can be made again; only an outcome of
//!   [`Outcome::Unknown`] leaves that open. With an idempotency key a repeat is safe even then.
//! - A put that changes nothing makes no version.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;

use countersign_core::documents::{self, Content};
pub use countersign_core::documents::{Attribution, AttributionError, Document, Expected, Removal};
pub use countersign_core::engine::{ErrorKind, Failure, Outcome};
use countersign_core::future::BoxFuture;
use countersign_core::id::IdempotencyKey;
use countersign_core::names::{NameError, check_name};
use countersign_core::retry::Retry;
use countersign_core::time::ClockError;
use countersign_core::version::{Conflict, Version};
use thiserror::Error;

use crate::digest::PolicyDigest;
use crate::loader::{LoadError, Loader};
use crate::policy::Policy;

/// A place that keeps policies by name and version.
///
/// A store is a [`Loader`]: `load` gives the current version's policy;
/// [`Error::into_load_error`] says how its errors are to be told.
///
/// Every method:
///
/// - checks the name first: [`Error::InvalidName`] unless it is a name as
///   [`User::new`](crate::User::new) takes it.
/// - may give [`Error::Backend`] if the engine fails.
/// - does its work when the future is polled, nothing if it never is, and all or nothing if it is
///   dropped before it is done.
///
/// ```
/// use std::sync::Arc;
/// use countersign_policy::{Attribution, Expected, InMemory, User, Policy, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store: Arc<dyn Store> = Arc::new(InMemory::default());
/// let policy: Policy = r#"{"version": "1", "rules": [
///     {"name": "readers", "effect": "allow", "conditions": {"profiles": ["readonly"]}}
/// ]}"#.parse()?;
/// let by = Attribution::by(User::new("alice")?).with_reason("everyone may read");
/// let first = store.put("main", Expected::Absent, Arc::new(policy), &by).await?.into_stored();
/// assert_eq!(store.get("main").await?, first);
/// assert_eq!(store.load("main").await?.digest(), first.digest());
/// # Ok(())
/// # }
/// ```
pub trait Store: Loader {
    /// Puts a policy, if what is there is what the caller expects.
    ///
    /// - Gives what is stored, with the version that the store has just assigned: later than any
    ///   it has ever assigned. With it are kept who put it, why and when, and which version it
    ///   replaces.
    /// - A policy that is there already, by its digest, at the version expected, makes no version:
    ///   [`Put::Unchanged`] with what is there, which stays as it was put.
    /// - With an [idempotency key](Attribution::idempotency_key) a repeat gets the first result,
    ///   whatever was put since and whatever the repeat expects, for as long as that version is
    ///   kept. A put that made no version or failed leaves no trace of its key.
    /// - Keeps the versions before it, up to the store's limit
    ///   ([`Limits::max_versions`]); the oldest go first.
    /// - [`Error::InvalidAttribution`]: a text of the attribution is not valid.
    /// - [`Error::IdempotencyKeyReused`]: the key is that of a put of another policy, or by another
    ///   attribution, or of a deletion.
    /// - [`Error::AlreadyExists`]: the policy is expected to be absent and is there.
    /// - [`Error::NotFound`]: a version is expected and there is no such policy.
    /// - [`Error::Conflict`]: another version is there than is expected.
    /// - [`Error::Clock`]: the store's clock gives no version.
    fn put<'a>(
        &'a self,
        name: &'a str,
        expected: Expected,
        policy: Arc<Policy>,
        attribution: &'a Attribution,
    ) -> BoxFuture<'a, Result<Put, Error>>;

    /// Gets a policy's current version.
    ///
    /// - [`Error::NotFound`]: there is no such policy.
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Stored>, Error>>;

    /// Gets one version of a policy.
    ///
    /// - [`Error::NotFound`]: there is no such policy.
    /// - [`Error::VersionNotFound`]: the policy never had this version, has had too many since,
    ///   or was deleted and put again since.
    fn get_version<'a>(
        &'a self,
        name: &'a str,
        version: Version,
    ) -> BoxFuture<'a, Result<Arc<Stored>, Error>>;

    /// Gets the versions of a policy that are kept, newest first. At least one.
    ///
    /// - [`Error::NotFound`]: there is no such policy.
    fn versions<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Arc<Stored>>, Error>>;

    /// Lists the policies by name, in the order of the names' bytes.
    ///
    /// - Names put or deleted between two pages are in or out; all others are listed exactly once.
    /// - The name that a page begins after need not be there any more; if it is not a name,
    ///   [`Error::InvalidName`].
    fn list<'a>(&'a self, page: &'a NamePage) -> BoxFuture<'a, Result<NameListing, Error>>;

    /// Deletes a policy with all its versions, if its current version is the expected one. That it
    /// was deleted, by whom, why and when, is kept and told by
    /// [`changes_after`](Store::changes_after), until a policy of the name is deleted again.
    ///
    /// - With an [idempotency key](Attribution::idempotency_key) a repeat is answered as the first
    ///   was.
    /// - [`Error::InvalidAttribution`]: a text of the attribution is not valid.
    /// - [`Error::IdempotencyKeyReused`]: the key is that of another change.
    /// - [`Error::NotFound`]: there is no such policy.
    /// - [`Error::Conflict`]: another version is there than is expected.
    fn delete<'a>(
        &'a self,
        name: &'a str,
        expected: Version,
        attribution: &'a Attribution,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// Gets what was changed after version `after`, of all policies, in the order in which it was
    /// made; from the beginning if `after` is none. A limit of 0 means 100, more than 1,000 means
    /// 1,000.
    ///
    /// - The next call begins after the [version](Changed::version) of the last change.
    /// - Versions that are not kept any more are passed over, and so is the deletion of a policy
    ///   that was deleted again since. What is never passed over is what is there: the current
    ///   version of each policy, and that a policy is gone.
    fn changes_after<'a>(
        &'a self,
        after: Option<Version>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Changed>, Error>>;
}

/// What a put did, with the version that is there after it.
pub type Put = documents::Put<Arc<Stored>>;

/// One change of a store: a version that was put, or a policy that was deleted.
pub type Changed = documents::Changed<Policy>;

/// One version of a stored policy: an immutable snapshot, with who put it, why and when.
///
/// ```
/// use std::sync::Arc;
/// use countersign_policy::{Policy, Stored, Version};
///
/// let policy: Policy = r#"{"version": "1", "rules": [
///     {"name": "readers", "effect": "allow", "conditions": {"profiles": ["readonly"]}}
/// ]}"#.parse()?;
/// let stored = Stored::new("main".into(), Version::from_nanos(1), Arc::new(policy));
/// assert_eq!(stored.digest(), stored.content.digest());
/// # Ok::<(), countersign_policy::DocumentError>(())
/// ```
pub type Stored = documents::Stored<Policy>;

impl Content for Policy {
    type Digest = PolicyDigest;

    fn digest(&self) -> PolicyDigest {
        Policy::digest(self)
    }

    fn write(&self) -> Result<String, String> {
        serde_json::to_string(self).map_err(|error| error.to_string())
    }

    fn read(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

/// What is bounded in a store.
///
/// ```
/// use countersign_policy::store::Limits;
///
/// assert_eq!(Limits::default().max_versions.get(), 100);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many versions of a policy are kept, the current one included: 100 unless set.
    pub max_versions: NonZeroUsize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_versions: NonZeroUsize::MIN.saturating_add(99),
        }
    }
}

/// Which part of the list of names is wanted.
///
/// ```
/// use countersign_policy::store::NamePage;
///
/// let page = NamePage::default();
/// assert_eq!((page.effective_limit(), page.after), (100, None));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamePage {
    /// The most names to give: 0 means 100, more than 1,000 means 1,000.
    pub limit: usize,
    /// The last name of the page before; the start of the list if none.
    pub after: Option<Arc<str>>,
}

impl NamePage {
    /// Names for a limit of 0.
    pub const DEFAULT_LIMIT: usize = 100;
    /// The most names that one page holds.
    pub const MAX_LIMIT: usize = 1_000;

    /// The most names that the page will hold: from 1 to 1,000.
    pub fn effective_limit(&self) -> usize {
        match self.limit {
            0 => Self::DEFAULT_LIMIT,
            limit => limit.min(Self::MAX_LIMIT),
        }
    }
}

/// One page of the list of names.
///
/// ```
/// use countersign_policy::store::NameListing;
///
/// let empty = NameListing { items: Vec::new(), next: None };
/// assert!(empty.next.is_none(), "there is no further page");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameListing {
    /// The current version of each policy, in the order of the names' bytes.
    pub items: Vec<Arc<Stored>>,
    /// What the next page begins after; none if this is the last.
    pub next: Option<Arc<str>>,
}

/// Why a store did not do what was asked.
///
/// ```
/// use countersign_policy::store::{Error, ErrorKind};
///
/// let error = Error::NotFound { name: "main".into() };
/// assert_eq!(error.to_string(), "there is no policy `main`: put it, or correct the name");
/// assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, "not_found"));
/// ```
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such policy. Put it with [`Expected::Absent`], or correct the name.
    #[error("there is no policy `{name}`: put it, or correct the name")]
    NotFound {
        /// The name that was asked for.
        name: Arc<str>,
    },
    /// The policy has no such version any more, or never had. Choose one that
    /// [`Store::versions`] lists.
    #[error("policy `{name}` has no version `{version}`: choose one that is kept")]
    VersionNotFound {
        /// The name that was asked for.
        name: Arc<str>,
        /// The version that was asked for.
        version: Version,
    },
    /// The policy was to be created and is there. Read it, and put over the version that is there
    /// if that is what is wanted.
    #[error("policy `{name}` is there already, at version `{actual}`: read it and decide again")]
    AlreadyExists {
        /// The name that was given.
        name: Arc<str>,
        /// The version that is there.
        actual: Version,
    },
    /// Another version is there than was expected. Read it again, decide again, put again;
    /// [`StoreExt::update_with`] does that.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The key is that of another change. Mint a key for each call, and repeat the call as it was.
    #[error(
        "idempotency key `{idempotency_key}` is that of another change, of policy `{name}`: mint \
         another key for another call"
    )]
    IdempotencyKeyReused {
        /// The key.
        idempotency_key: IdempotencyKey,
        /// The policy that it changed.
        name: Arc<str>,
    },
    /// A text of the attribution is not valid. Correct it, or leave it out.
    #[error("the attribution is not valid: {0}")]
    InvalidAttribution(AttributionError),
    /// The name is not one. Correct it.
    #[error("the policy's name is not valid: {0}")]
    InvalidName(NameError),
    /// The store's clock gives no version. Set the clock right.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The engine failed.
    #[error(transparent)]
    Backend(#[from] Failure),
}

impl From<documents::DocumentError> for Error {
    fn from(error: documents::DocumentError) -> Self {
        use documents::DocumentError as Found;
        match error {
            Found::NotFound { name } => Error::NotFound { name },
            Found::VersionNotFound { name, version } => Error::VersionNotFound { name, version },
            Found::AlreadyExists { name, actual } => Error::AlreadyExists { name, actual },
            Found::Conflict(conflict) => Error::Conflict(conflict),
            Found::IdempotencyKeyReused {
                idempotency_key,
                name,
            } => Error::IdempotencyKeyReused {
                idempotency_key,
                name,
            },
            Found::Attribution(error) => Error::InvalidAttribution(error),
            Found::Clock(error) => Error::Clock(error),
            // What the engine keeps is not what was put.
            error => Error::Backend(Failure::new(error, Outcome::NotApplied)),
        }
    }
}

impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Error {
    /// What kind of thing went wrong: what a service decides its answer by.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::NotFound { .. } | Error::VersionNotFound { .. } => ErrorKind::NotFound,
            Error::AlreadyExists { .. }
            | Error::Conflict(_)
            | Error::IdempotencyKeyReused { .. } => ErrorKind::Conflict,
            Error::InvalidName(_) | Error::InvalidAttribution(_) => ErrorKind::Invalid,
            Error::Clock(_) | Error::Backend(_) => ErrorKind::Unavailable,
        }
    }

    /// The error as one word, for programs and metrics. It stays when texts are reworded.
    pub fn code(&self) -> &'static str {
        match self {
            Error::NotFound { .. } => "not_found",
            Error::VersionNotFound { .. } => "version_not_found",
            Error::AlreadyExists { .. } => "already_exists",
            Error::Conflict(_) => "conflict",
            Error::IdempotencyKeyReused { .. } => "idempotency_key_reused",
            Error::InvalidAttribution(_) => "invalid_attribution",
            Error::InvalidName(_) => "invalid_name",
            Error::Clock(_) => "clock",
            Error::Backend(_) => "backend",
        }
    }

    /// Whether the same call may succeed later although nobody changes anything. After a conflict it
    /// does not: read again first.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::Backend(failure) if failure.is_retryable)
    }

    /// The error as a [`Loader`] tells it. For engines: `load` is `get` with its errors told so.
    ///
    /// Only [`Error::NotFound`] and [`Error::InvalidName`] become [`LoadError::NotFound`]: under a
    /// name that is none there cannot be a policy. All others become [`LoadError::Failed`].
    ///
    /// ```
    /// use countersign_policy::{LoadError, store::Error};
    ///
    /// let error = Error::NotFound { name: "main".into() };
    /// assert!(matches!(error.into_load_error("main"), LoadError::NotFound { .. }));
    /// ```
    pub fn into_load_error(self, name: &str) -> LoadError {
        match self {
            Error::NotFound { .. } | Error::InvalidName(_) => {
                LoadError::NotFound { name: name.into() }
            }
            Error::Backend(failure) => LoadError::Failed {
                name: name.into(),
                cause: failure.source,
            },
            error => LoadError::failed(name, error),
        }
    }
}

/// Checks the name of a policy, as every store does first.
///
/// # Errors
/// [`Error::InvalidName`].
///
/// ```
/// use countersign_policy::store::check_policy_name;
///
/// assert!(check_policy_name("main").is_ok());
/// assert!(check_policy_name("main\n").is_err());
/// ```
pub fn check_policy_name(name: &str) -> Result<(), Error> {
    check_name(name).map_err(Error::InvalidName)
}

/// What every [`Store`] can do besides.
///
/// ```
/// use std::sync::Arc;
/// use countersign_policy::{Attribution, Expected, InMemory, User, Policy, Store, StoreExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = InMemory::default();
/// let policy: Policy = r#"{"version": "1", "rules": [
///     {"name": "readers", "effect": "allow", "conditions": {"profiles": ["readonly"]}}
/// ]}"#.parse()?;
/// let by = Attribution::by(User::new("alice")?);
/// let first = store.put("main", Expected::Absent, Arc::new(policy), &by).await?.into_stored();
///
/// let second = store
///     .update_with("main", &by, |stored| {
///         let mut document = stored.content.document();
///         document.rules[0].reason = Some("everyone may read".to_owned());
///         Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Arc::new(Policy::try_from(document)?))
///     })
///     .await
///     .map_err(|error| error.to_string())?
///     .into_stored();
///
/// let third = store.rollback("main", second.version, first.version, &by).await?.into_stored();
/// assert_eq!(third.digest(), first.digest());
/// assert!(third.version > second.version);
/// # Ok(())
/// # }
/// ```
pub trait StoreExt: Store {
    /// Reads a policy, lets `update` make another of it, and puts that over the version read; on
    /// conflict all of it again, at most 10 times in all, with the pauses of [`Retry::default`].
    ///
    /// As [`update_with_retry`](StoreExt::update_with_retry).
    fn update_with<'a, E, F>(
        &'a self,
        name: &'a str,
        attribution: &'a Attribution,
        update: F,
    ) -> BoxFuture<'a, Result<Put, E>>
    where
        E: From<Error> + Send + 'a,
        F: FnMut(&Stored) -> Result<Arc<Policy>, E> + Send + 'a,
    {
        Box::pin(async move {
            let retry = Retry::default();
            self.update_with_retry(name, attribution, &retry, update)
                .await
        })
    }

    /// Reads a policy, lets `update` make another of it, and puts that over the version read; on
    /// conflict waits and does all of it again, as often as `retry` says.
    ///
    /// - Gives what was put, or what is there if `update` changes nothing. It may be called several
    ///   times, each time with what is then stored; nothing is put that was not made from the
    ///   version it replaces.
    /// - An error of `update` ends it at once; nothing is put.
    /// - [`Error::Conflict`]: others came first at every try.
    /// - All others as [`Store::get`] and [`Store::put`]; not tried again.
    fn update_with_retry<'a, E, F>(
        &'a self,
        name: &'a str,
        attribution: &'a Attribution,
        retry: &'a Retry,
        mut update: F,
    ) -> BoxFuture<'a, Result<Put, E>>
    where
        E: From<Error> + Send + 'a,
        F: FnMut(&Stored) -> Result<Arc<Policy>, E> + Send + 'a,
    {
        Box::pin(async move {
            let mut backoff = retry.start();
            loop {
                let stored = self.get(name).await?;
                let policy = update(&stored)?;
                let expected = Expected::Version(stored.version);
                match self.put(name, expected, policy, attribution).await {
                    Err(Error::Conflict(conflict)) => {
                        if !backoff.wait().await {
                            return Err(Error::Conflict(conflict).into());
                        }
                    }
                    result => return Ok(result?),
                }
            }
        })
    }

    /// Puts the policy of an earlier version again, as a new version.
    ///
    /// - Gives what was put; the versions in between stay. If that is the current policy already,
    ///   none is put.
    /// - [`Error::VersionNotFound`]: `to` is not kept; nothing is put.
    /// - [`Error::Conflict`]: the policy is not at version `expected` any more; nothing is put.
    /// - All others as [`Store::get_version`] and [`Store::put`].
    fn rollback<'a>(
        &'a self,
        name: &'a str,
        expected: Version,
        to: Version,
        attribution: &'a Attribution,
    ) -> BoxFuture<'a, Result<Put, Error>> {
        Box::pin(async move {
            let earlier = self.get_version(name, to).await?;
            let policy = Arc::clone(&earlier.content);
            self.put(name, Expected::Version(expected), policy, attribution)
                .await
        })
    }
}

impl<S: Store + ?Sized> StoreExt for S {}
