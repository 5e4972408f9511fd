//! What is asked: who wants which profile, when, and how.
//!
//! A [`Query`] cannot be malformed: its user, profile and groups are names that have been
//! checked. Nothing here decides.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use countersign_core::names::{Group, Profile, User};
use serde::{Deserialize, Serialize};

use crate::listed::Listed;

/// How access is asked for.
///
/// ```
/// use countersign_policy::Mode;
///
/// assert_eq!("credential_process".parse(), Ok(Mode::CredentialProcess));
/// assert_eq!(Mode::Server.to_string(), "server");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(description = "How access is asked for."))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A server hands out credentials while it runs.
    Server,
    /// A command gets credentials once.
    Cli,
    /// Another program asks for credentials on the user's behalf.
    CredentialProcess,
}

impl Mode {
    /// Every mode, in the order of the documentation.
    pub const ALL: [Mode; 3] = [Mode::Server, Mode::Cli, Mode::CredentialProcess];

    /// The mode as documents write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::Server => "server",
            Mode::Cli => "cli",
            Mode::CredentialProcess => "credential_process",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = crate::Problem;

    /// Reads the mode as documents write it; [`Problem::UnknownMode`](crate::Problem::UnknownMode)
    /// otherwise.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mode = Mode::ALL.into_iter().find(|mode| mode.as_str() == text);
        mode.ok_or_else(|| crate::Problem::UnknownMode {
            value: text.to_owned(),
        })
    }
}

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
