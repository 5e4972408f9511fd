//! Nothing but the project's documents, so that every example in them is compiled and run as a doc
//! test of this library. The commands are the program beside it.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/architecture.md")]
mod architecture {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/benchmarks.md")]
mod benchmarks {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/demo.md")]
mod demo {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/policy.md")]
mod policy {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/policy-tool.md")]
mod policy_tool {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/concurrency.md")]
mod concurrency {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/lint.md")]
mod lint {}

#[cfg(all(doctest, feature = "documents"))]
#[doc = include_str!("../../docs/documents.md")]
mod documents {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/requests.md")]
mod requests {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/breakglass.md")]
mod breakglass {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/backends.md")]
mod backends {}

#[doc = include_str!("../../docs/concepts.md")]
mod concepts {}
