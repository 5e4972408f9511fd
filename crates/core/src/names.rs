//! Names of people, profiles and groups, and checks of free text.
//!
//! Names are canonical subjects from the identity provider: nothing here normalises them. They are
//! newtypes, so that a user can never be passed where a profile is meant. Equality is exact;
//! whether two names mean the same user (self-approval, counting people) is asked with
//! [`User::same_user`], which ignores ASCII case.
//!
//! Invariant: a name is not empty, has at most 256 characters, none of them a control character,
//! and neither begins nor ends with white space.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The most characters a name may have.
pub const MAX_NAME_CHARACTERS: usize = 256;

macro_rules! name {
    ($(#[$documentation:meta])* $name:ident) => {
        $(#[$documentation])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// [`NameError`] if it is empty, too long, has a control character, or begins or ends
            /// with white space. Pass the subject exactly as the identity provider gives it.
            pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
                let name = name.as_ref();
                check_name(name)?;
                Ok(Self(name.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, Self::Error> {
                Self::new(name)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = NameError;

            fn try_from(name: &str) -> Result<Self, Self::Error> {
                Self::new(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// A user: the canonical subject that the identity provider gives.
    ///
    /// Cheap to clone. Equality is exact; see [`User::same_user`].
    ///
    /// ```
    /// use countersign_core::names::User;
    ///
    /// let alice = User::new("alice@example.com")?;
    /// assert_eq!(alice.as_str(), "alice@example.com");
    /// assert!(User::new(" alice").is_err());
    /// # Ok::<(), countersign_core::names::NameError>(())
    /// ```
    User
}

name! {
    /// A profile: the thing that is accessed (an AWS profile, a database role, a namespace).
    ///
    /// Cheap to clone. Equality is exact.
    ///
    /// ```
    /// use countersign_core::names::Profile;
    ///
    /// assert_ne!(Profile::new("prod")?, Profile::new("PROD")?);
    /// # Ok::<(), countersign_core::names::NameError>(())
    /// ```
    Profile
}

name! {
    /// A group of people or of profiles, as the host's directory names it.
    ///
    /// Cheap to clone. Equality is exact.
    ///
    /// ```
    /// use countersign_core::names::Group;
    ///
    /// assert_eq!(Group::new("on-call")?.to_string(), "on-call");
    /// # Ok::<(), countersign_core::names::NameError>(())
    /// ```
    Group
}

impl User {
    /// Whether both names mean the same user: equal but for ASCII case.
    ///
    /// For rules that must not be got round by writing a name differently: nobody approves their
    /// own request, one active emergency a user, quotas. Never for granting: a grant is for the
    /// exact name.
    ///
    /// ```
    /// use countersign_core::names::User;
    ///
    /// assert!(User::new("Alice")?.same_user(&User::new("alice")?));
    /// # Ok::<(), countersign_core::names::NameError>(())
    /// ```
    pub fn same_user(&self, other: &User) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }

    /// The one spelling that all names of the same user share: ASCII letters in lower case.
    /// For index keys; costs nothing if the name is already spelt so.
    ///
    /// ```
    /// use countersign_core::names::User;
    ///
    /// assert_eq!(User::new("Alice")?.case_folded(), User::new("alice")?);
    /// # Ok::<(), countersign_core::names::NameError>(())
    /// ```
    #[must_use]
    pub fn case_folded(&self) -> User {
        if self.0.bytes().any(|byte| byte.is_ascii_uppercase()) {
            User(self.0.to_ascii_lowercase().into())
        } else {
            self.clone()
        }
    }
}

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("the name is empty: give the subject as the identity provider does")]
    Empty,
    /// More than 256 characters.
    #[error("the name has {characters} characters: at most 256 are allowed")]
    TooLong {
        /// How many it has.
        characters: usize,
    },
    /// White space at an end, which would make two names look alike.
    #[error("name `{name}` begins or ends with white space: remove it")]
    Untrimmed {
        /// The name that was given, with anything unprintable escaped.
        name: String,
    },
    /// A control character, such as NUL or a line feed.
    #[error("name `{name}` has a control character: remove it")]
    Control {
        /// The name that was given, with anything unprintable escaped.
        name: String,
    },
}

/// Checks a text that names something else (a policy, a rule, a table) as [`User::new`] does.
///
/// # Errors
/// As [`User::new`].
///
/// ```
/// use countersign_core::names::check_name;
///
/// assert!(check_name("night shift").is_ok());
/// assert!(check_name("night shift ").is_err());
/// ```
pub fn check_name(name: &str) -> Result<(), NameError> {
    let Some(first) = name.chars().next() else {
        return Err(NameError::Empty);
    };
    let characters = name.chars().count();
    if characters > MAX_NAME_CHARACTERS {
        return Err(NameError::TooLong { characters });
    }
    if name.chars().any(char::is_control) {
        return Err(NameError::Control {
            name: name.escape_debug().to_string(),
        });
    }
    if first.is_whitespace() || name.ends_with(char::is_whitespace) {
        return Err(NameError::Untrimmed {
            name: name.escape_debug().to_string(),
        });
    }
    Ok(())
}

/// Why a free text (a justification, a note) does not do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TextError {
    /// Fewer characters than demanded.
    #[error("it has {characters} characters: write at least {least}")]
    TooShort {
        /// How many it has.
        characters: usize,
        /// How many are demanded.
        least: usize,
    },
    /// More characters than allowed.
    #[error("it has {characters} characters: write at most {most}")]
    TooLong {
        /// How many it has.
        characters: usize,
        /// How many are allowed.
        most: usize,
    },
    /// A control character other than a line feed, a carriage return or a tab: it would hide what
    /// follows it on a terminal, and some engines cannot store it.
    #[error("it has the control character `{}`: remove it", character.escape_debug())]
    Control {
        /// The first one.
        character: char,
    },
    /// White space only, or one character over and over: nothing was said.
    #[error("it says nothing: write at least two different characters that are not white space")]
    SaysNothing,
}

/// Checks that a text has from `least` to `most` characters, at least two different ones of which
/// are not white space.
///
/// # Errors
/// The first of [`TextError`]'s cases that holds, in their order.
///
/// ```
/// use countersign_core::names::{TextError, check_statement};
///
/// assert!(check_statement("disk full on db-3", 10, 500).is_ok());
/// assert_eq!(check_statement("aaaaaaaaaa", 10, 500), Err(TextError::SaysNothing));
/// ```
pub fn check_statement(text: &str, least: usize, most: usize) -> Result<(), TextError> {
    check_length(text, least, most)?;
    let mut said = text.chars().filter(|character| !character.is_whitespace());
    let first = said.next();
    if first.is_none() || said.all(|character| Some(character) == first) {
        return Err(TextError::SaysNothing);
    }
    Ok(())
}

/// Checks that a text has from `least` to `most` characters, none of them a control character but
/// for line feeds, carriage returns and tabs.
///
/// # Errors
/// [`TextError::TooShort`], [`TextError::TooLong`] or [`TextError::Control`].
///
/// ```
/// use countersign_core::names::check_length;
///
/// assert!(check_length("INC-4711", 1, 64).is_ok());
/// assert!(check_length("", 1, 64).is_err());
/// ```
pub fn check_length(text: &str, least: usize, most: usize) -> Result<(), TextError> {
    let characters = text.chars().count();
    if characters < least {
        return Err(TextError::TooShort { characters, least });
    }
    if characters > most {
        return Err(TextError::TooLong { characters, most });
    }
    let hidden = |character: &char| character.is_control() && !"\n\r\t".contains(*character);
    match text.chars().find(hidden) {
        Some(character) => Err(TextError::Control { character }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_1_to_256_characters() {
        assert_eq!(User::new(""), Err(NameError::Empty));
        assert!(User::new("a").is_ok());
        assert!(
            User::new("ä".repeat(256)).is_ok(),
            "characters count, not bytes"
        );
        assert_eq!(
            User::new("a".repeat(257)),
            Err(NameError::TooLong { characters: 257 })
        );
    }

    #[test]
    fn names_are_canonical() {
        for bad in [" a", "a ", "\u{a0}a", "a\u{2003}", " "] {
            assert!(
                matches!(Profile::new(bad), Err(NameError::Untrimmed { .. })),
                "{bad:?}"
            );
        }
        for bad in ["a\0", "\0", "a\nb", "\tb", "a\u{7f}", "a\u{85}"] {
            assert!(
                matches!(Profile::new(bad), Err(NameError::Control { .. })),
                "{bad:?}"
            );
        }
        for good in ["a b", "prod/../dev", "älice", "李", "*", "a@b"] {
            assert!(Profile::new(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn same_user_ignores_ascii_case_only() {
        let user = |name: &str| User::new(name).unwrap();
        assert!(user("ALICE@x").same_user(&user("alice@X")));
        assert!(!user("Älice").same_user(&user("älice")));
        assert_ne!(user("Alice"), user("alice"));
        assert_eq!(user("ALICE").case_folded().as_str(), "alice");
    }

    #[test]
    fn a_name_is_checked_when_it_is_deserialised() {
        assert!(serde_json::from_str::<User>("\"alice\"").is_ok());
        let error = serde_json::from_str::<User>("\"alice \"").unwrap_err();
        assert!(error.to_string().contains("white space"), "{error}");
    }

    #[test]
    fn texts_have_lines_and_tabs_but_no_other_control_characters() {
        assert_eq!(check_length("a\r\n\tb", 1, 9), Ok(()));
        for character in ['\0', '\u{1b}', '\u{7f}', '\u{85}'] {
            let text = format!("all is well{character}[2K");
            assert_eq!(
                check_statement(&text, 1, 99),
                Err(TextError::Control { character })
            );
        }
    }

    #[test]
    fn statements_have_limits_at_both_ends_and_say_something() {
        assert_eq!(
            check_statement("abcdefghi", 10, 12),
            Err(TextError::TooShort {
                characters: 9,
                least: 10
            })
        );
        assert!(check_statement("abcdefghij", 10, 12).is_ok());
        assert!(check_statement("abcdefghijäö", 10, 12).is_ok());
        assert_eq!(
            check_statement("abcdefghijklm", 10, 12),
            Err(TextError::TooLong {
                characters: 13,
                most: 12
            })
        );
        for silent in [
            "          ",
            "aaaaaaaaaa",
            "a a a a a a",
            "\u{3000}\u{3000}xxxxxxxxx",
        ] {
            assert_eq!(
                check_statement(silent, 10, 500),
                Err(TextError::SaysNothing),
                "{silent:?}"
            );
        }
        assert!(check_statement("aaaaaaaaab", 10, 12).is_ok());
    }
}
