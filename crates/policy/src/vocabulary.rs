//! The words that documents and queries have in common: effects and modes.
//!
//! How a text becomes one is beside the errors that it may be refused with (`error.rs`).

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most characters that a rule's reason may have.
pub const MAX_REASON_CHARACTERS: usize = 1_000;

/// What a rule does when it matches.
///
/// ```
/// use countersign_policy::Effect;
///
/// assert_eq!("require_approval".parse(), Ok(Effect::RequireApproval));
/// assert!("Allow".parse::<Effect>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(description = "What a rule does when it matches.")
)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Access is given.
    Allow,
    /// Access is denied.
    Deny,
    /// Access needs somebody else's approval.
    RequireApproval,
    /// Access is given in server mode and denied otherwise.
    RequireServer,
    /// Access is given in server mode with session tracking and denied otherwise.
    RequireServerSession,
}

impl Effect {
    /// Every effect, in the order of the documentation.
    pub const ALL: [Effect; 5] = [
        Effect::Allow,
        Effect::Deny,
        Effect::RequireApproval,
        Effect::RequireServer,
        Effect::RequireServerSession,
    ];

    /// The effect as documents write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Effect::Allow => "allow",
            Effect::Deny => "deny",
            Effect::RequireApproval => "require_approval",
            Effect::RequireServer => "require_server",
            Effect::RequireServerSession => "require_server_session",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

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
