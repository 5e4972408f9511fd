//! The boxed future that store and loader traits return, so that they stay dyn-compatible.
//!
//! Only types live here; nothing in this module runs anything.

use std::future::Future;
use std::pin::Pin;

/// A boxed, sendable future that may borrow from its caller for `'a`.
///
/// ```
/// use countersign_core::future::BoxFuture;
///
/// fn answer<'a>(text: &'a str) -> BoxFuture<'a, usize> {
///     Box::pin(async move { text.len() })
/// }
/// # drop(answer("x"));
/// ```
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
