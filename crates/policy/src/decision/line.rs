//! A decision in one readable line, for the borrowed and the owned form alike.
//!
//! Control characters are escaped: the line stays one line.

use std::fmt;
use std::time::Duration;

use countersign_core::grant::Grant;
use countersign_core::window::duration::format;

use super::owned::{OwnedDenial, Verdict};
use super::{Decision, Matched, OwnedDecision};
use crate::error::escape;

pub(crate) struct Line<'a> {
    pub(crate) verdict: Verdict,
    pub(crate) denial: Option<OwnedDenial>,
    pub(crate) requires_session_tracking: bool,
    pub(crate) rule: Option<Matched<'a>>,
    pub(crate) max_duration: Option<Duration>,
    pub(crate) grant: Option<&'a Grant>,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.verdict, self.denial) {
            (Verdict::Allow, _) => "allow",
            (Verdict::RequireApproval, _) => "approval required",
            (Verdict::Deny, None | Some(OwnedDenial::Rule)) => "deny",
            (Verdict::Deny, Some(OwnedDenial::NoRule)) => "deny, no matching rule",
            (Verdict::Deny, Some(OwnedDenial::HardRule)) => "deny, even in an emergency",
            (Verdict::Deny, Some(OwnedDenial::ServerModeRequired))
                if self.requires_session_tracking =>
            {
                "deny, server mode and session tracking required"
            }
            (Verdict::Deny, Some(OwnedDenial::ServerModeRequired)) => "deny, server mode required",
            (Verdict::Deny, Some(OwnedDenial::SessionTrackingRequired)) => {
                "deny, session tracking required"
            }
        })?;
        if let Some(length) = self.max_duration {
            write!(f, ", for at most {}", format(length))?;
        }
        if let Some(grant) = self.grant {
            write!(f, ", {} by ", grant.kind)?;
            escape(f, &grant.granted_by.to_string())?;
        }
        match self.rule {
            Some(rule) => write!(f, ", {rule}"),
            None => Ok(()),
        }
    }
}

/// In one line, for people and logs: ``allow, for at most 1h, rule 3 `on-call`: be careful``.
impl fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verdict, denial, max_duration, grant) = match *self {
            Decision::Allow(allow) => (Verdict::Allow, None, allow.max_duration, allow.grant),
            Decision::Deny(deny) => (Verdict::Deny, Some(deny.why.into()), None, None),
            Decision::RequireApproval(needed) => {
                (Verdict::RequireApproval, None, needed.max_duration, None)
            }
        };
        let line = Line {
            verdict,
            denial,
            requires_session_tracking: self.requires_session_tracking(),
            rule: self.rule(),
            max_duration,
            grant,
        };
        line.fmt(f)
    }
}

/// As [`Decision`] is shown.
impl fmt::Display for OwnedDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = Line {
            verdict: self.verdict,
            denial: self.denial,
            requires_session_tracking: self.requires_session_tracking,
            rule: self.rule.as_ref().map(|rule| rule.as_matched()),
            max_duration: self.max_duration,
            grant: self.grant.as_ref(),
        };
        line.fmt(f)
    }
}

/// The rule's place, name and reason: ``rule 3 `night-shift`: ask the operator``.
impl fmt::Display for Matched<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} `{}`", self.index, self.name)?;
        if let Some(reason) = self.reason {
            f.write_str(": ")?;
            escape(f, reason)?;
        }
        Ok(())
    }
}
