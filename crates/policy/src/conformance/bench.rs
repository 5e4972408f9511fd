//! What the cases share: a store with its clock, policies, and everything that can be seen of a
//! store at once.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use countersign_core::clock::ManualClock;
use countersign_core::future::BoxFuture;
use countersign_core::sync::suite::Suite;
use countersign_core::version::Version;

use super::Subject;
use crate::policy::Policy;
use crate::store::{
    Attribution, Changed, Error, Expected, NameListing, NamePage, Put, Store, Stored,
};

/// The least that a time can differ by.
pub(super) const NANO: Duration = Duration::from_nanos(1);
/// An hour.
pub(super) const HOUR: Duration = Duration::from_secs(3_600);

/// When every case begins.
pub(super) fn start() -> DateTime<Utc> {
    "2026-03-02T09:00:00.123456789Z".parse().unwrap()
}

pub(super) fn nanos(count: i64) -> TimeDelta {
    TimeDelta::nanoseconds(count)
}

/// A policy that lets this user use every profile.
pub(super) fn some(who: &str) -> Arc<Policy> {
    let user = serde_json::Value::from(who);
    let json = format!(
        r#"{{"version": "1", "rules": [
            {{"name": "rule", "effect": "allow", "conditions": {{"users": [{user}]}}}}]}}"#
    );
    Arc::new(json.parse().unwrap())
}

/// The version this many nanoseconds after another.
pub(super) fn off(version: Version, by: i64) -> Version {
    Version::from_nanos(version.as_nanos() + by)
}

pub(super) fn names(listing: &NameListing) -> Vec<&str> {
    listing.items.iter().map(|stored| &*stored.name).collect()
}

/// Lets other tasks run.
pub(super) async fn give_way() {
    let mut given = false;
    poll_fn(|context| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A subject whose type the cases need not know.
trait Opened: Send {
    fn store(&self) -> Arc<dyn Store>;
    fn reopen(self: Box<Self>) -> BoxFuture<'static, Box<dyn Opened>>;
}

impl<S: Subject> Opened for S {
    fn store(&self) -> Arc<dyn Store> {
        Subject::store(self)
    }

    fn reopen(self: Box<Self>) -> BoxFuture<'static, Box<dyn Opened>> {
        Box::pin(async move { Box::new(Subject::reopen(*self).await) as Box<dyn Opened> })
    }
}

/// A store whose clock the case holds.
pub(super) struct Bench {
    pub(super) clock: Arc<ManualClock>,
    pub(super) suite: Suite,
    pub(super) store: Arc<dyn Store>,
    subject: Box<dyn Opened>,
}

impl Bench {
    pub(super) async fn open<S: Subject>(suite: Suite) -> Self {
        let clock = Arc::new(ManualClock::at(start()));
        let subject: Box<dyn Opened> = Box::new(S::open(Arc::clone(&clock)).await);
        Self {
            clock,
            suite,
            store: subject.store(),
            subject,
        }
    }

    /// As after a restart of the process.
    pub(super) async fn reopen(self) -> Self {
        let Self {
            clock,
            suite,
            store,
            subject,
        } = self;
        drop(store);
        let subject = subject.reopen().await;
        Self {
            clock,
            suite,
            store: subject.store(),
            subject,
        }
    }

    /// Puts a policy that is not there.
    pub(super) async fn create(&self, name: &str, who: &str) -> Arc<Stored> {
        let put = self
            .store
            .put(name, Expected::Absent, some(who), &Attribution::NOBODY)
            .await;
        put.expect("a policy that is absent is put").into_stored()
    }

    /// Puts a policy over this version.
    pub(super) async fn replace(
        &self,
        name: &str,
        over: Version,
        who: &str,
    ) -> Result<Arc<Stored>, Error> {
        let expected = Expected::Version(over);
        let put = self
            .store
            .put(name, expected, some(who), &Attribution::NOBODY)
            .await;
        put.map(Put::into_stored)
    }

    /// Puts a policy over the present version.
    pub(super) async fn next(&self, name: &str, who: &str) -> Arc<Stored> {
        let over = self.get(name).await.version;
        let put = self.replace(name, over, who).await;
        put.expect("a put over the present version is made")
    }

    pub(super) async fn get(&self, name: &str) -> Arc<Stored> {
        let got = self.store.get(name).await;
        got.expect("a policy that was put is there")
    }

    pub(super) async fn versions(&self, name: &str) -> Vec<Arc<Stored>> {
        let versions = self.store.versions(name).await;
        versions.expect("a policy that was put has versions")
    }

    pub(super) async fn list(&self, limit: usize, after: Option<&str>) -> NameListing {
        let after = after.map(Arc::from);
        let listing = self.store.list(&NamePage { limit, after }).await;
        listing.expect("a list is given")
    }

    /// The first changes after a version.
    pub(super) async fn changes(&self, after: Option<Version>, limit: usize) -> Vec<Changed> {
        let changes = self.store.changes_after(after, limit).await;
        changes.expect("changes are given")
    }

    /// All that can be seen: the versions of every policy, by name, and the changes.
    pub(super) async fn contents(&self) -> (Vec<Vec<Arc<Stored>>>, Vec<Changed>) {
        let mut contents = Vec::new();
        for stored in self.list(1_000, None).await.items {
            assert_eq!(
                self.get(&stored.name).await,
                stored,
                "the list is of what is there"
            );
            contents.push(self.versions(&stored.name).await);
        }
        (contents, self.changes(None, 1_000).await)
    }

    /// Nothing that can be seen has changed since `before` by `call`.
    pub(super) async fn assert_unchanged(
        &self,
        before: &(Vec<Vec<Arc<Stored>>>, Vec<Changed>),
        call: &str,
    ) {
        let after = self.contents().await;
        assert_eq!(after, *before, "{call} changed something");
    }
}
