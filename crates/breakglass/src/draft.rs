//! What an emergency is created from.

use std::time::Duration;

use countersign_core::id::IdempotencyKey;
use countersign_core::names::{Profile, User};

use crate::mfa::MfaProof;
use crate::vocabulary::{EmergencyId, ReasonCode};

/// What an emergency is created from.
///
/// ```
/// use std::time::Duration;
/// use countersign_breakglass::{Draft, EmergencyId, OsRandom, User, Profile, ReasonCode};
///
/// let draft = Draft {
///     id: EmergencyId::random(&OsRandom)?,
///     idempotency_key: None,
///     invoker: User::new("alice")?,
///     profile: Profile::new("prod")?,
///     duration: Duration::from_secs(3600),
///     reason_code: ReasonCode::Incident,
///     justification: "the orders database does not accept writes".into(),
///     ticket: Some("INC-4711".into()),
///     request_id: None,
///     mfa: None,
/// };
/// assert_eq!(draft.ticket.as_deref(), Some("INC-4711"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The id it shall have: minted first, so that the caller knows it whatever happens.
    pub id: EmergencyId,
    /// The key of the call, so that a repeat of it is known for a repeat.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Who declares it.
    pub invoker: User,
    /// What for.
    pub profile: Profile,
    /// How long access shall last, from the creation: more than zero, at most 4 hours by default.
    pub duration: Duration,
    /// What kind of emergency it is.
    pub reason_code: ReasonCode,
    /// Why: 20 to 1,000 characters by default, two different ones of which are not white space.
    pub justification: String,
    /// A reference in the host's ticket system: 1 to 128 characters.
    pub ticket: Option<String>,
    /// The request for access that came before, if there was one: 1 to 128 characters.
    pub request_id: Option<String>,
    /// The second factor that was shown, if one was. What is shown is checked, demanded or not.
    pub mfa: Option<MfaProof>,
}
