//! Each change and read of documents, once for every engine.
//!
//! Here stands the order of errors: the attribution, the idempotency key, what is there, what is
//! expected, the clock. A step or a read takes nothing but its inputs and what the engine shows it, so
//! it can be made again. Whether a name is one, the caller has checked ([`crate::names::check_name`]).

use std::num::NonZeroUsize;
use std::sync::Arc;

use super::{
    Attribution, Changed, Content, Document, DocumentError, DocumentId, Expected, Kept, Key, Put,
    Removal, Stored,
};
use crate::engine::{Pick, Range, Rank, Reads, Record, Snapshot, Transaction};
use crate::id::IdempotencyKey;
use crate::version::{Conflict, Version};

/// Puts a content under a name, if what is there is what is expected, and removes what is then more
/// than the newest `most` versions of the name.
///
/// # Errors
/// [`DocumentError`], and what the engine fails with.
pub fn put<D, T, E>(
    step: &mut T,
    name: &Arc<str>,
    expected: Expected,
    content: &Arc<D>,
    attribution: &Attribution,
    most: NonZeroUsize,
) -> Result<Put<Arc<Stored<D>>>, E>
where
    D: Content,
    T: Transaction<Kept<D>>,
    E: From<DocumentError> + From<T::Error>,
{
    attribution.check().map_err(DocumentError::from)?;
    if let Some(found) = done_before(step, attribution)? {
        let same = found.name() == name
            && found.digest() == Some(content.digest())
            && found.attribution() == attribution;
        let first = found.stored()?.filter(|_| same);
        return Ok(Put::Written(first.ok_or_else(|| reused(&found))?));
    }
    let current = newest(step, name)?;
    match (expected, &current) {
        (Expected::Absent, None) => {}
        (Expected::Absent, Some(current)) => {
            return Err(already_exists(name, current.version()).into());
        }
        (Expected::Version(expected), current) => {
            at_version(name, current.as_deref(), expected)?;
        }
    }
    if let Some(current) = current.iter().find(|current| says(current, content)) {
        let stored = current.stored()?.ok_or_else(|| not_found(name))?;
        return Ok(Put::Unchanged(stored));
    }
    let gone = beyond(step, name, most)?;
    let stamp = step.stamp().map_err(DocumentError::from)?;
    stamp.now.granting().map_err(DocumentError::from)?;
    let stored = Document {
        name: Arc::clone(name),
        version: stamp.version,
        replaces: current.map(|current| current.version()),
        at: stamp.now.at(),
        attribution: attribution.clone(),
        content: Arc::clone(content),
    };
    let stored = Arc::new(stored);
    step.put(Kept::Ready(Arc::clone(&stored)));
    remove_all(step, gone)?;
    Ok(Put::Written(stored))
}

/// Removes a name with all its versions, if its newest is the expected one. The removal is kept in
/// their place, until there is another.
///
/// # Errors
/// [`DocumentError`], and what the engine fails with.
pub fn remove<D, T, E>(
    step: &mut T,
    name: &Arc<str>,
    expected: Version,
    attribution: &Attribution,
) -> Result<Arc<Removal>, E>
where
    D: Content,
    T: Transaction<Kept<D>>,
    E: From<DocumentError> + From<T::Error>,
{
    attribution.check().map_err(DocumentError::from)?;
    if let Some(found) = done_before(step, attribution)? {
        return match &*found {
            Kept::Removed(removal)
                if removal.name == *name && removal.attribution == *attribution =>
            {
                Ok(Arc::clone(removal))
            }
            _ => Err(reused(&found).into()),
        };
    }
    let current = newest(step, name)?;
    at_version(name, current.as_deref(), expected)?;
    let mut gone = all(step, &Key::Removal(Arc::clone(name)), Range::all())?;
    gone.extend(all(step, &Key::Name(Arc::clone(name)), Range::all())?);
    let stamp = step.stamp().map_err(DocumentError::from)?;
    let removal = Document {
        name: Arc::clone(name),
        version: stamp.version,
        replaces: Some(expected),
        at: stamp.now.at(),
        attribution: attribution.clone(),
        content: (),
    };
    let removal = Arc::new(removal);
    step.put(Kept::Removed(Arc::clone(&removal)));
    remove_all(step, gone)?;
    Ok(removal)
}

/// The newest version of a name.
///
/// # Errors
/// [`DocumentError`], and what the engine fails with.
pub fn get<D, V, E>(view: &V, name: &Arc<str>) -> Result<Arc<Stored<D>>, E>
where
    D: Content,
    V: Reads<Kept<D>>,
    E: From<DocumentError> + From<V::Error>,
{
    let found = newest(view, name)?.ok_or_else(|| not_found(name))?;
    Ok(found.stored()?.ok_or_else(|| not_found(name))?)
}

/// One version of a name.
///
/// # Errors
/// [`DocumentError`], and what the engine fails with.
pub fn get_version<D, V, E>(
    view: &V,
    name: &Arc<str>,
    version: Version,
) -> Result<Arc<Stored<D>>, E>
where
    D: Content,
    V: Reads<Kept<D>>,
    E: From<DocumentError> + From<V::Error>,
{
    let id = DocumentId::new(Arc::clone(name), version);
    let found = match view.get(&id)? {
        Some(found) => found.stored()?,
        None => None,
    };
    if let Some(found) = found {
        return Ok(found);
    }
    let name = Arc::clone(name);
    Err(match newest(view, &name)? {
        Some(_) => DocumentError::VersionNotFound { name, version }.into(),
        None => DocumentError::NotFound { name }.into(),
    })
}

/// The versions of a name that are kept, newest first. At least one.
///
/// # Errors
/// [`DocumentError`], and what the engine fails with.
pub fn list_versions<D, V, E>(view: &V, name: &Arc<str>) -> Result<Vec<Arc<Stored<D>>>, E>
where
    D: Content,
    V: Reads<Kept<D>>,
    E: From<DocumentError> + From<V::Error>,
{
    let mut found = Vec::new();
    for version in all(view, &Key::Name(Arc::clone(name)), Range::all())? {
        found.extend(version.stored()?);
    }
    match found.is_empty() {
        true => Err(not_found(name).into()),
        false => Ok(found),
    }
}

/// The newest version of each of the first `limit` names after one, in the order of the names' bytes;
/// and the last of these names, if there is another after it.
///
/// # Errors
/// [`DocumentError`], and what the engine fails with.
#[allow(clippy::type_complexity, reason = "a page, for a domain crate to name")]
pub fn list<D, V, E>(
    view: &V,
    after: Option<&Arc<str>>,
    limit: usize,
) -> Result<(Vec<Arc<Stored<D>>>, Option<Arc<str>>), E>
where
    D: Content,
    V: Reads<Kept<D>>,
    E: From<DocumentError> + From<V::Error>,
{
    let beyond = |name: &Arc<str>| {
        let id = DocumentId::after_name(Arc::clone(name));
        Range::after(Key::names_rank(), id)
    };
    let mut range = after.map_or(Range::all(), beyond);
    let mut items = Vec::new();
    let mut last: Option<Arc<str>> = None;
    loop {
        let found = view.find(&Key::Names, range, |_| true)?;
        match found {
            None => return Ok((items, None)),
            Some(_) if items.len() == limit => return Ok((items, last)),
            Some(found) => {
                items.extend(found.stored()?);
                range = beyond(found.name());
                last = Some(Arc::clone(found.name()));
            }
        }
    }
}

/// The first `limit` changes after version `after`, in the order in which they were made, of what is
/// still kept.
///
/// # Errors
/// [`DocumentError`], and what the engine fails with.
pub fn changes_after<D, V, E>(
    view: &V,
    after: Option<Version>,
    limit: usize,
) -> Result<Vec<Changed<D>>, E>
where
    D: Content,
    V: Snapshot<Kept<D>>,
    E: From<DocumentError> + From<V::Error>,
{
    let mut changes = Vec::new();
    for (_, kept) in view.changes_after(after, limit)? {
        if let Kept::Removed(removal) = &*kept {
            changes.push(Changed::Removed(Arc::clone(removal)));
        }
        changes.extend(kept.stored()?.map(Changed::Put));
    }
    Ok(changes)
}

/// What the call has made, if it was made before and that is kept.
fn done_before<D, V>(view: &V, attribution: &Attribution) -> Result<Option<Arc<Kept<D>>>, V::Error>
where
    D: Content,
    V: Reads<Kept<D>>,
{
    match attribution.idempotency_key {
        Some(idempotency_key) => {
            view.find(&Key::IdempotencyKey(idempotency_key), Range::all(), |_| {
                true
            })
        }
        None => Ok(None),
    }
}

fn newest<D, V>(view: &V, name: &Arc<str>) -> Result<Option<Arc<Kept<D>>>, V::Error>
where
    D: Content,
    V: Reads<Kept<D>>,
{
    view.find(&Key::Name(Arc::clone(name)), Range::all(), |_| true)
}

/// Everything with this key.
fn all<D, V>(view: &V, key: &Key, range: Range<DocumentId>) -> Result<Vec<Arc<Kept<D>>>, V::Error>
where
    D: Content,
    V: Reads<Kept<D>>,
{
    view.pick(key, range, usize::MAX, |_| Pick::Take)
}

/// The versions of a name that are too many once there is another.
fn beyond<D, V>(
    view: &V,
    name: &Arc<str>,
    most: NonZeroUsize,
) -> Result<Vec<Arc<Kept<D>>>, V::Error>
where
    D: Content,
    V: Reads<Kept<D>>,
{
    let key = Key::Name(Arc::clone(name));
    let Some(first) = view.nth(&key, Range::all(), most.get() - 1)? else {
        return Ok(Vec::new());
    };
    let older = Range::after(Rank::newest_first(first.version()), first.id());
    let mut gone = vec![first];
    gone.extend(all(view, &key, older)?);
    Ok(gone)
}

/// Each at a version of its own, as engines that keep a log of removals ask.
fn remove_all<D, T>(step: &mut T, gone: Vec<Arc<Kept<D>>>) -> Result<(), DocumentError>
where
    D: Content,
    T: Transaction<Kept<D>>,
{
    for kept in gone {
        step.stamp()?;
        step.remove(kept.id());
    }
    Ok(())
}

fn at_version<D: Content>(
    name: &Arc<str>,
    current: Option<&Kept<D>>,
    expected: Version,
) -> Result<(), DocumentError> {
    let actual = current.ok_or_else(|| not_found(name))?.version();
    match actual == expected {
        true => Ok(()),
        false => Err(Conflict { expected, actual }.into()),
    }
}

fn says<D: Content>(kept: &Kept<D>, content: &D) -> bool {
    kept.digest() == Some(content.digest())
}

fn not_found(name: &Arc<str>) -> DocumentError {
    let name = Arc::clone(name);
    DocumentError::NotFound { name }
}

fn already_exists(name: &Arc<str>, actual: Version) -> DocumentError {
    let name = Arc::clone(name);
    DocumentError::AlreadyExists { name, actual }
}

/// Of what was found by its key.
fn reused<D: Content>(found: &Kept<D>) -> DocumentError {
    DocumentError::IdempotencyKeyReused {
        idempotency_key: found
            .attribution()
            .idempotency_key
            .unwrap_or(IdempotencyKey::MIN),
        name: Arc::clone(found.name()),
    }
}
