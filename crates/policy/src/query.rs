//! What is asked: who wants which profile, when, and how.
//!
//! A [`Query`] cannot be malformed: its user, profile and groups are names that have been
//! checked. Nothing here decides.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use countersign_core::names::{Group, Profile, User};
use serde::Serialize;

use crate::listed::Listed;
use crate::vocabulary::Mode;

/// A question to a [`Policy`](crate::Policy): may this user use this profile at this time?
///
/// Groups, mode and session table are optional. A rule that has a condition on one of them does
/// not match a query that lacks it.
///
/// ```
/// use countersign_policy::{Group, Mode, User, Profile, Query};
///
/// let query = Query::new(
///     User::new("alice")?,
///     Profile::new("prod")?,
///     "2026-03-02T09:00:00Z".parse()?,
/// )
/// .with_groups([Group::new("on-call")?])
/// .with_mode(Mode::Server)
/// .with_session_table("sessions");
/// assert_eq!(query.user().as_str(), "alice");
/// assert_eq!(query.session_table(), Some("sessions"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// For logs and findings it is shown in one line, and serialised as one object without what it
/// does not have:
///
/// ```
/// # use countersign_policy::{User, Profile, Query};
/// let query = Query::new(User::new("alice")?, Profile::new("prod")?, "2026-03-02T09:00:00Z".parse()?);
/// assert_eq!(query.to_string(), "`alice` for `prod` at 2026-03-02T09:00:00Z, no mode");
/// assert_eq!(
///     serde_json::to_string(&query)?,
///     r#"{"user":"alice","profile":"prod","at":"2026-03-02T09:00:00Z"}"#,
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Query {
    user: User,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<Group>,
    profile: Profile,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    profile_groups: Vec<Group>,
    at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<Mode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_table: Option<String>,
}

impl Query {
    /// Asks for a user and a profile at a time, without groups, mode or session table.
    pub fn new(user: User, profile: Profile, at: DateTime<Utc>) -> Self {
        Self {
            user,
            groups: Vec::new(),
            profile,
            profile_groups: Vec::new(),
            at,
            mode: None,
            session_table: None,
        }
    }

    /// Sets the groups that the user is in, in place of any set before.
    #[must_use]
    pub fn with_groups(mut self, groups: impl IntoIterator<Item = Group>) -> Self {
        self.groups = groups.into_iter().collect();
        self
    }

    /// Sets the groups that the profile is in, in place of any set before.
    #[must_use]
    pub fn with_profile_groups(mut self, groups: impl IntoIterator<Item = Group>) -> Self {
        self.profile_groups = groups.into_iter().collect();
        self
    }

    /// Sets how access is asked for.
    #[must_use]
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Sets the table in which the session is tracked. Any text satisfies a rule that demands
    /// tracking; the empty text means that it is not tracked.
    #[must_use]
    pub fn with_session_table(mut self, table: impl Into<String>) -> Self {
        self.session_table = Some(table.into()).filter(|table| !table.is_empty());
        self
    }

    /// Who asks.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// The groups that the user is in.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// What is asked for.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The groups that the profile is in.
    pub fn profile_groups(&self) -> &[Group] {
        &self.profile_groups
    }

    /// When it is asked.
    pub fn at(&self) -> DateTime<Utc> {
        self.at
    }

    /// How access is asked for, if that is known.
    pub fn mode(&self) -> Option<Mode> {
        self.mode
    }

    /// The table in which the session is tracked; none if it is not. Never empty.
    pub fn session_table(&self) -> Option<&str> {
        self.session_table.as_deref()
    }
}

/// In one line; long lists of groups are shortened.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.user)?;
        if !self.groups.is_empty() {
            write!(f, " (in {})", Listed(&self.groups))?;
        }
        write!(f, " for `{}`", self.profile)?;
        if !self.profile_groups.is_empty() {
            write!(f, " (in {})", Listed(&self.profile_groups))?;
        }
        let at = self.at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        write!(f, " at {at}")?;
        match self.mode {
            Some(mode) => write!(f, ", mode {mode}")?,
            None => f.write_str(", no mode")?,
        }
        match self.session_table {
            Some(_) => f.write_str(", session tracked"),
            None => Ok(()),
        }
    }
}
