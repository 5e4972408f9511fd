//! Ids and words: what identifies an emergency, and why one is declared.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::document::{Problem, shown};

countersign_core::define_id! {
    /// The id of an emergency: 64 random bits, shown as 16 lowercase hexadecimal digits.
    ///
    /// ```
    /// use countersign_breakglass::EmergencyId;
    ///
    /// let id: EmergencyId = "0c495841982c3107".parse()?;
    /// assert_eq!(id.to_string(), "0c495841982c3107");
    /// # Ok::<(), countersign_breakglass::ParseIdError>(())
    /// ```
    EmergencyId
}

/// What kind of emergency it is.
///
/// ```
/// use countersign_breakglass::ReasonCode;
///
/// assert_eq!("incident".parse(), Ok(ReasonCode::Incident));
/// assert!("Incident".parse::<ReasonCode>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(description = "What kind of emergency it is.")
)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// Something is broken.
    Incident,
    /// Something must be done that cannot wait.
    Maintenance,
    /// Somebody is attacking, or has.
    Security,
    /// Something lost must be brought back.
    Recovery,
    /// None of these; the justification says what.
    Other,
}

impl ReasonCode {
    /// Every code, in the order of their declaration.
    pub const ALL: [ReasonCode; 5] = [
        ReasonCode::Incident,
        ReasonCode::Maintenance,
        ReasonCode::Security,
        ReasonCode::Recovery,
        ReasonCode::Other,
    ];

    /// The code as documents and records write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ReasonCode::Incident => "incident",
            ReasonCode::Maintenance => "maintenance",
            ReasonCode::Security => "security",
            ReasonCode::Recovery => "recovery",
            ReasonCode::Other => "other",
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ReasonCode {
    type Err = Problem;

    /// Reads the code as documents write it; [`Problem::UnknownReasonCode`] otherwise.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut codes = ReasonCode::ALL.into_iter();
        codes
            .find(|code| code.as_str() == text)
            .ok_or_else(|| Problem::UnknownReasonCode { value: shown(text) })
    }
}
