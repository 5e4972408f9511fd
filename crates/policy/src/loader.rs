//! Where policies come from: the trait that a source implements, and why it may give none.
//!
//! Caching is not here, nor is any source; [`Store`](crate::Store) is a loader that can also be
//! written.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use countersign_core::future::BoxFuture;
use thiserror::Error;

use crate::error::DocumentError;
use crate::policy::Policy;

/// A source of policies by name.
///
/// ```
/// use std::sync::Arc;
/// use countersign_policy::{BoxFuture, LoadError, Loader, Policy};
///
/// struct Directory(std::path::PathBuf);
///
/// impl Loader for Directory {
///     fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Policy>, LoadError>> {
///         Box::pin(async move {
///             let file = self.0.join(name).with_extension("json");
///             let json = std::fs::read(file).map_err(|error| match error.kind() {
///                 std::io::ErrorKind::NotFound => LoadError::NotFound { name: name.into() },
///                 _ => LoadError::failed(name, error),
///             })?;
///             let policy = Policy::from_json(&json).map_err(|error| LoadError::invalid(name, error))?;
///             Ok(Arc::new(policy))
///         })
///     }
/// }
/// ```
pub trait Loader: Send + Sync {
    /// Loads the policy with this name.
    ///
    /// - Gives the policy as it is at some moment between call and return.
    /// - May be called at the same time for the same or another name.
    /// - May be dropped before it is done; that harms nothing.
    /// - [`LoadError::NotFound`]: the source answered, and there is no such policy. Never for a
    ///   source that could not be asked: a cache may go on serving an old policy through a
    ///   failure, and must not when the policy is gone.
    /// - [`LoadError::Invalid`]: the source gave a document that is no policy.
    /// - [`LoadError::Failed`]: the source could not be asked or gave no answer.
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Policy>, LoadError>>;
}

impl<L: Loader + ?Sized> Loader for Arc<L> {
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Policy>, LoadError>> {
        (**self).load(name)
    }
}

impl<L: Loader + ?Sized> Loader for Box<L> {
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Policy>, LoadError>> {
        (**self).load(name)
    }
}

impl<L: Loader + ?Sized> Loader for &L {
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Policy>, LoadError>> {
        (**self).load(name)
    }
}

/// Why there is no policy. Whatever the cause: without a policy, access is not given.
///
/// Cheap to clone: everyone who waited for the same load gets the same error.
///
/// ```
/// use countersign_policy::LoadError;
///
/// let error = LoadError::NotFound { name: "prod".into() };
/// assert_eq!(error.to_string(), "there is no policy `prod`: create it, or correct the name");
/// assert_eq!(error.name(), "prod");
/// ```
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The source answered that there is no such policy. Create it or correct the name; trying
    /// again does not help.
    #[error("there is no policy `{name}`: create it, or correct the name")]
    NotFound {
        /// The name that was asked for.
        name: Arc<str>,
    },
    /// The source gave a document that is no policy. Correct the document; trying again does not
    /// help until then.
    #[error("policy `{name}` is not valid: {cause}")]
    Invalid {
        /// The name that was asked for.
        name: Arc<str>,
        /// What is wrong with the document. This error says it, and has no source besides.
        cause: Arc<DocumentError>,
    },
    /// The source could not be asked or gave no answer. Try again later; look at the source.
    #[error("policy `{name}` could not be loaded: {cause}")]
    Failed {
        /// The name that was asked for.
        name: Arc<str>,
        /// What the source says. This error says it too, and has no source besides.
        cause: Arc<dyn StdError + Send + Sync>,
    },
    /// The source took longer than the cache allows. Try again later; look at the source, or allow
    /// more.
    #[error("policy `{name}` was not loaded within {after:?}: try again, or allow more time")]
    TimedOut {
        /// The name that was asked for.
        name: Arc<str>,
        /// How long the load was allowed to take.
        after: Duration,
    },
    /// The load ended without an outcome: its task panicked or was aborted, or the runtime is
    /// shutting down. Try again; the next call begins a new load.
    #[error("the load of policy `{name}` ended unfinished: try again")]
    Aborted {
        /// The name that was asked for.
        name: Arc<str>,
    },
    /// The call was made outside a tokio runtime, which a load needs. Call from inside one.
    #[error("policy `{name}` cannot be loaded outside a tokio runtime: call from inside one")]
    NoRuntime {
        /// The name that was asked for.
        name: Arc<str>,
    },
    /// The name was invalidated again and again while it was being loaded. Try again.
    #[error("policy `{name}` was invalidated while it was being loaded: try again")]
    Superseded {
        /// The name that was asked for.
        name: Arc<str>,
    },
}

impl LoadError {
    /// The source could not be asked or gave no answer.
    pub fn failed(name: &str, cause: impl StdError + Send + Sync + 'static) -> Self {
        LoadError::Failed {
            name: name.into(),
            cause: Arc::new(cause),
        }
    }

    /// The source gave a document that is no policy.
    pub fn invalid(name: &str, cause: DocumentError) -> Self {
        LoadError::Invalid {
            name: name.into(),
            cause: Arc::new(cause),
        }
    }

    /// The name of the policy that was asked for.
    pub fn name(&self) -> &str {
        match self {
            LoadError::NotFound { name }
            | LoadError::Invalid { name, .. }
            | LoadError::Failed { name, .. }
            | LoadError::TimedOut { name, .. }
            | LoadError::Aborted { name }
            | LoadError::NoRuntime { name }
            | LoadError::Superseded { name } => name,
        }
    }
}
