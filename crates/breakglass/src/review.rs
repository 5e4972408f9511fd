//! The review: what somebody else finds when an emergency is over, and the override that lets the
//! next begin before that.
//!
//! Whether a review is due changes nothing about access. It is a debt: the emergency stays in the list
//! of what awaits review and is not deleted, and a rule may let its invoker declare no other
//! emergency until it is paid.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::names::User;
use serde::{Deserialize, Serialize};

use crate::vocabulary::EmergencyId;

/// What a reviewer found. Each of them ends the wait for a review; what follows from it is the
/// host's business.
///
/// ```
/// use countersign_breakglass::ReviewOutcome;
///
/// assert_eq!(ReviewOutcome::NeedsFollowUp.to_string(), "needs_follow_up");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewOutcome {
    /// It was an emergency, and what was done was called for.
    Justified,
    /// It was not, or more was done than was called for.
    NotJustified,
    /// Something is left to be done or found out; the text says what.
    NeedsFollowUp,
}

impl ReviewOutcome {
    /// Every outcome, in the order of their declaration.
    pub const ALL: [ReviewOutcome; 3] = [
        ReviewOutcome::Justified,
        ReviewOutcome::NotJustified,
        ReviewOutcome::NeedsFollowUp,
    ];

    /// The outcome as records write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ReviewOutcome::Justified => "justified",
            ReviewOutcome::NotJustified => "not_justified",
            ReviewOutcome::NeedsFollowUp => "needs_follow_up",
        }
    }
}

impl fmt::Display for ReviewOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What somebody other than the invoker found when the emergency was over.
///
/// ```
/// use countersign_breakglass::{User, Review, ReviewOutcome};
///
/// let review = Review {
///     by: User::new("bob")?,
///     outcome: ReviewOutcome::Justified,
///     text: "the primary was down, see INC-88".into(),
///     at: "2026-03-03T09:00:00Z".parse()?,
/// };
/// assert_eq!(review.to_string(), "justified, says bob: \"the primary was down, see INC-88\"");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Review {
    /// Who reviewed it.
    pub by: User,
    /// What they found.
    pub outcome: ReviewOutcome,
    /// What they say about it.
    pub text: Arc<str>,
    /// When.
    pub at: DateTime<Utc>,
}

impl fmt::Display for Review {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, says {}: {:?}", self.outcome, self.by, self.text)
    }
}

/// A responder's word that lets an emergency begin although an earlier one of the same user
/// awaits its review.
///
/// ```
/// use countersign_breakglass::{EmergencyId, User, ReviewOverride};
///
/// let given = ReviewOverride {
///     by: User::new("carol")?,
///     reason: "the reviewers are asleep and the site is down".into(),
///     unreviewed: EmergencyId::from_bits(255),
/// };
/// assert!(given.to_string().starts_with("REVIEW OVERRIDDEN by carol"));
/// # Ok::<(), countersign_breakglass::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReviewOverride {
    /// Who gave it: a responder whom the rule named, and not the invoker.
    pub by: User,
    /// Why.
    pub reason: Arc<str>,
    /// The emergency whose review was not waited for: of several the one that was over first.
    pub unreviewed: EmergencyId,
}

impl fmt::Display for ReviewOverride {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            by,
            reason,
            unreviewed,
        } = self;
        write!(
            f,
            "REVIEW OVERRIDDEN by {by} (emergency {unreviewed} awaits one): {reason:?}"
        )
    }
}
