//! What a request is created from.

use std::time::Duration;

use countersign_core::grant::PolicyDigest;
use countersign_core::id::IdempotencyKey;
use countersign_core::names::{Profile, User};

use crate::vocabulary::RequestId;

/// What a request is created from.
///
/// ```
/// use std::time::Duration;
/// use countersign_request::{Draft, OsRandom, User, Profile, RequestId};
///
/// let draft = Draft {
///     id: RequestId::random(&OsRandom)?,
///     requester: User::new("alice")?,
///     profile: Profile::new("prod")?,
///     duration: Duration::from_secs(3600),
///     justification: "migrate the orders table".into(),
///     ticket: Some("OPS-4711".into()),
///     policy: None,
///     idempotency_key: None,
/// };
/// assert_eq!(draft.ticket.as_deref(), Some("OPS-4711"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The id it shall have: minted first, so that the caller knows it whatever happens.
    pub id: RequestId,
    /// Who asks.
    pub requester: User,
    /// What for.
    pub profile: Profile,
    /// How long access shall last, from the approval: more than zero, at most 8 hours by default.
    pub duration: Duration,
    /// Why: 10 to 500 characters by default, two different ones of which are not white space.
    pub justification: String,
    /// A reference in the host's ticket system: 1 to 128 characters.
    pub ticket: Option<String>,
    /// The access policy under which it is asked for: the digest that `countersign-policy` gives
    /// with the decision. A rule may demand it.
    pub policy: Option<PolicyDigest>,
    /// The key of the call, so that a repeat is known for one.
    pub idempotency_key: Option<IdempotencyKey>,
}
