//! The second factor: what a host that has verified one says about it, and when that will do.
//!
//! The host verifies the code, the assertion or the push, with whatever it uses for that, and
//! vouches for the result with an [`MfaProof`]; no signature is checked here. What is checked, in
//! the step that writes the emergency, is that the proof is this user's, for this emergency, by a method
//! that the rule takes, fresh, and that it was never used before.
//!
//! Invariant: a proof that an emergency records held when the emergency began, demanded or not.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::names::{NameError, User, check_name};
use countersign_core::time::earlier;
use countersign_core::window::duration;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::document::{Problem, shown};
use crate::vocabulary::EmergencyId;

/// What identifies one verification of a second factor, as the host's verifier names it: 1 to 256
/// characters, none of them a control character, without white space at its ends.
///
/// It is a text because verifiers have their own: the transaction id of a provider, the challenge
/// of a WebAuthn ceremony in base64url, device and time step of a TOTP code (`phone-7:59104432`;
/// the step, so that one code is one proof however often it is typed in). It is compared exactly,
/// and never is the code itself: it is stored and shown.
///
/// ```
/// use countersign_breakglass::ProofId;
///
/// let id = ProofId::new("phone-7:59104432")?;
/// assert_eq!(id.as_str(), "phone-7:59104432");
/// assert!(ProofId::new("").is_err());
/// # Ok::<(), countersign_breakglass::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProofId(Arc<str>);

impl ProofId {
    /// Checks and takes an id.
    ///
    /// # Errors
    /// [`NameError`] if it is empty, too long, has a control character, or begins or ends with
    /// white space: pass it exactly as the verifier gives it.
    pub fn new(id: impl AsRef<str>) -> Result<Self, NameError> {
        let id = id.as_ref();
        check_name(id)?;
        Ok(Self(id.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProofId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ProofId {
    type Error = NameError;

    fn try_from(id: String) -> Result<Self, Self::Error> {
        Self::new(id)
    }
}

impl From<ProofId> for String {
    fn from(id: ProofId) -> Self {
        id.0.as_ref().to_owned()
    }
}

/// What a host vouches for: that it verified a second factor of this user, for this emergency.
///
/// The emergency's id is minted first ([`Workflow::draft`](crate::Workflow::draft)), so that what the
/// user confirms can name it and the proof is good for that emergency alone.
///
/// A proof is good from `verified_at`, that moment included, until it is as old as the rule's
/// `max_age`, that moment included; one nanosecond later it is not. A `verified_at` that is ahead
/// of the store's clock by no more than the clock's tolerance counts as now; what is further ahead
/// is refused.
///
/// ```
/// use countersign_breakglass::{EmergencyId, MfaMethod, MfaProof, User, ProofId};
///
/// let proof = MfaProof {
///     id: ProofId::new("phone-7:59104432")?,
///     method: MfaMethod::Totp,
///     user: User::new("alice")?,
///     emergency: EmergencyId::from_bits(1),
///     verified_at: "2026-03-02T09:00:00Z".parse()?,
/// };
/// assert!(proof.to_string().starts_with("totp of alice, verified at 2026-03-02"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MfaProof {
    /// What identifies it: never that of another verification.
    pub id: ProofId,
    /// How it was shown.
    pub method: MfaMethod,
    /// Whose it is: the invoker, exactly so spelt.
    pub user: User,
    /// For which emergency.
    pub emergency: EmergencyId,
    /// When the host verified it.
    pub verified_at: DateTime<Utc>,
}

impl fmt::Display for MfaProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            method,
            user,
            verified_at,
            ..
        } = self;
        write!(f, "{method} of {user}, verified at {verified_at} ({id})")
    }
}

/// What is wrong with an [`MfaProof`]. Let the user show their second factor again, for the
/// emergency that is to begin, except where waiting helps.
///
/// ```
/// use countersign_breakglass::{EmergencyId, ProofProblem};
///
/// let problem = ProofProblem::Used { emergency: EmergencyId::from_bits(255) };
/// assert!(problem.to_string().starts_with("it was used for emergency `00000000000000ff`"));
/// assert_eq!(problem.retry_at(), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProofProblem {
    /// It is not the invoker's, exactly so spelt.
    #[error("it is of `{user}`: show one of the user who declares the emergency")]
    OtherUser {
        /// Whose it is.
        user: User,
    },
    /// It was shown for another emergency.
    #[error("it was shown for emergency `{emergency}`: show one for this emergency")]
    OtherEmergency {
        /// For which.
        emergency: EmergencyId,
    },
    /// The rule does not take this method.
    #[error("it was shown by {method}: show one by {}", listed(.methods))]
    Method {
        /// How it was shown.
        method: MfaMethod,
        /// The methods that will do.
        methods: Vec<MfaMethod>,
    },
    /// It was verified later than now, by more than the clock's tolerance.
    #[error(
        "it was verified at `{verified_at}`, and it is `{at}`: set the verifier's clock right, \
         which may be ahead by at most `{}`",
        duration::format(*.tolerance)
    )]
    FromTheFuture {
        /// When the host says that it verified it.
        verified_at: DateTime<Utc>,
        /// The time of the store's step.
        at: DateTime<Utc>,
        /// How far the verifier's clock may be ahead.
        tolerance: Duration,
    },
    /// It was verified too long ago.
    #[error("it was verified at `{verified_at}` and is good for `{}`: show one again", duration::format(*.max_age))]
    TooOld {
        /// When it was verified.
        verified_at: DateTime<Utc>,
        /// The oldest that it may be.
        max_age: Duration,
    },
    /// A proof with this id has been used.
    #[error("it was used for emergency `{emergency}`: show one again")]
    Used {
        /// For which.
        emergency: EmergencyId,
    },
}

impl ProofProblem {
    /// The first moment at which it is no longer so, if time alone mends it.
    pub fn retry_at(&self) -> Option<DateTime<Utc>> {
        match self {
            ProofProblem::FromTheFuture {
                verified_at,
                tolerance,
                ..
            } => Some(earlier(*verified_at, *tolerance)),
            ProofProblem::OtherUser { .. }
            | ProofProblem::OtherEmergency { .. }
            | ProofProblem::Method { .. }
            | ProofProblem::TooOld { .. }
            | ProofProblem::Used { .. } => None,
        }
    }
}

/// Methods for a message: `totp or sms`.
pub(crate) fn listed(methods: &[MfaMethod]) -> String {
    let names: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    names.join(" or ")
}

/// A way of showing a second factor.
///
/// ```
/// use countersign_breakglass::MfaMethod;
///
/// assert_eq!("totp".parse(), Ok(MfaMethod::Totp));
/// assert!("TOTP".parse::<MfaMethod>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(description = "A way of showing a second factor.")
)]
#[serde(rename_all = "snake_case")]
pub enum MfaMethod {
    /// A code that the user's own device makes from the time.
    Totp,
    /// A code sent to the user's telephone.
    Sms,
}

impl MfaMethod {
    /// Every method, in the order of their declaration.
    pub const ALL: [MfaMethod; 2] = [MfaMethod::Totp, MfaMethod::Sms];

    /// The method as documents write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            MfaMethod::Totp => "totp",
            MfaMethod::Sms => "sms",
        }
    }
}

impl fmt::Display for MfaMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for MfaMethod {
    type Err = Problem;

    /// Reads the method as documents write it; [`Problem::UnknownMethod`] otherwise.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut methods = MfaMethod::ALL.into_iter();
        methods
            .find(|method| method.as_str() == text)
            .ok_or_else(|| Problem::UnknownMethod { value: shown(text) })
    }
}
