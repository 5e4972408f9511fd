//! The names that a document lists, each kept once: rules that name one user share the text.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;

use countersign_core::names::{Group, NameError, Profile, User};
use foldhash::fast::RandomState;

/// Names that differ.
pub(crate) type Set<N> = HashSet<N, RandomState>;

/// The names of a document that is being compiled, by where they stand.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) people: Set<User>,
    pub(crate) groups: Set<Group>,
    pub(crate) profiles: Set<Profile>,
    pub(crate) profile_groups: Set<Group>,
}

/// The name, as it is in `known` or, checked, from now on.
pub(crate) fn name_in<N>(known: &mut Set<N>, name: String) -> Result<N, NameError>
where
    N: TryFrom<String, Error = NameError> + Borrow<str> + Hash + Eq + Clone,
{
    if let Some(known) = known.get(name.as_str()) {
        return Ok(known.clone());
    }
    let name = N::try_from(name)?;
    known.insert(name.clone());
    Ok(name)
}
