//! A kept version as serde writes it, for engines that keep records so.
//!
//! What it says is written as its text and digest, and read back unread: whoever wants to know what it
//! says reads the text then ([`Kept::stored`]).

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};

use super::{Attribution, Content, Document, Kept, Unread};
use crate::version::Version;

#[derive(Serialize, Deserialize)]
struct Written<G> {
    name: Arc<str>,
    version: Version,
    replaces: Option<Version>,
    at: DateTime<Utc>,
    attribution: Attribution,
    /// None of a removal.
    content: Option<WrittenContent<G>>,
}

#[derive(Serialize, Deserialize)]
struct WrittenContent<G> {
    digest: G,
    text: Arc<str>,
}

impl<G> Written<G> {
    fn of<C>(document: &Document<C>, content: Option<WrittenContent<G>>) -> Self {
        Self {
            name: Arc::clone(&document.name),
            version: document.version,
            replaces: document.replaces,
            at: document.at,
            attribution: document.attribution.clone(),
            content,
        }
    }

    fn with<C>(self, content: C) -> Document<C> {
        Document::new(self.name, self.version, content)
            .replacing(self.replaces)
            .put_by(self.attribution, self.at)
    }
}

impl<D: Content<Digest: Serialize>> Serialize for Kept<D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = match self {
            Kept::Ready(stored) => {
                let text = stored.content.write().map_err(ser::Error::custom)?;
                let (digest, text) = (stored.digest(), text.into());
                Written::of(stored, Some(WrittenContent { digest, text }))
            }
            Kept::Unread(unread) => {
                let Unread { digest, text } = unread.content.clone();
                Written::of(unread, Some(WrittenContent { digest, text }))
            }
            Kept::Removed(removal) => Written::of(removal, None),
        };
        written.serialize(serializer)
    }
}

impl<'de, D: Content<Digest: Deserialize<'de>>> Deserialize<'de> for Kept<D> {
    fn deserialize<R: Deserializer<'de>>(deserializer: R) -> Result<Self, R::Error> {
        let mut written = Written::deserialize(deserializer)?;
        Ok(match written.content.take() {
            Some(WrittenContent { digest, text }) => {
                Kept::Unread(Arc::new(written.with(Unread { digest, text })))
            }
            None => Kept::Removed(Arc::new(written.with(()))),
        })
    }
}
