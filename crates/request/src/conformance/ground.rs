//! What the cases share: a store with its clock, a cast, and the whole of what a store shows.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use countersign_core::clock::{Clock, ManualClock};
use countersign_core::engine::List;
use countersign_core::future::BoxFuture;
use countersign_core::grant::{Grant, PolicyDigest};
use countersign_core::id::{IdempotencyKey, SequenceRandom};
use countersign_core::names::{Profile, User};
use countersign_core::retry::{NoSleep, Retry};
use countersign_core::sync::suite::Suite;
use countersign_core::version::Version;

use super::Subject;
use crate::approval_policy::ApprovalPolicy;
use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;
use crate::record::Request;
use crate::refusal::Refusal;
use crate::store::{Changed, Filter, Store};
use crate::terms::Terms;
use crate::transition::Status;
use crate::vocabulary::RequestId;
use crate::{Cursor, Listing, Page};

/// Fails with a property and what was found, unless a value has the form that the property demands.
macro_rules! demand {
    ($value:expr, $pattern:pat $(if $guard:expr)?, $property:literal) => {
        match $value {
            $pattern $(if $guard)? => {}
            other => panic!("{}: {other:?}", $property),
        }
    };
}
pub(super) use demand;

pub const HOUR: Duration = Duration::from_secs(3600);
pub const NANOSECOND: TimeDelta = TimeDelta::nanoseconds(1);
pub const WHY: &str = "migrate the orders table";

/// When each case begins: not on a microsecond, so that every place of a time matters.
pub fn start() -> DateTime<Utc> {
    "2026-03-02T09:00:00.123456789Z".parse().unwrap()
}

/// After everything that happens in a case.
pub fn far() -> DateTime<Utc> {
    start() + HOUR * 24 * 365
}

pub fn user(name: &str) -> User {
    User::new(name).unwrap()
}

pub fn profile(name: &str) -> Profile {
    Profile::new(name).unwrap()
}

pub fn id(bits: u64) -> RequestId {
    RequestId::from_bits(bits)
}

pub fn operation(bits: u64) -> IdempotencyKey {
    IdempotencyKey::from_bits(bits)
}

pub fn digest(byte: u8) -> PolicyDigest {
    PolicyDigest::from_bytes([byte; 32])
}

/// A request of alice's for an hour of `prod`.
pub fn draft(bits: u64) -> Draft {
    Draft {
        id: id(bits),
        requester: user("alice"),
        profile: profile("prod"),
        duration: HOUR,
        justification: WHY.into(),
        ticket: None,
        policy: None,
        idempotency_key: None,
    }
}

/// The same for another profile.
pub fn draft_for(bits: u64, name: &str) -> Draft {
    Draft {
        profile: profile(name),
        ..draft(bits)
    }
}

/// The same of another user.
pub fn draft_of(bits: u64, name: &str) -> Draft {
    Draft {
        requester: user(name),
        ..draft(bits)
    }
}

/// The same as part of an operation.
pub fn draft_in(bits: u64, name: u64) -> Draft {
    Draft {
        idempotency_key: Some(operation(name)),
        ..draft(bits)
    }
}

/// The rules that all cases use. `approver-0` to `approver-49` decide on `many`, bob on `many-0` to
/// `many-22`; nobody on what is not named.
static RULES: LazyLock<ApprovalPolicy> = LazyLock::new(|| {
    let many: Vec<_> = (0..50).map(|n| format!(r#""approver-{n}""#)).collect();
    let numbered: Vec<_> = (0..23).map(|n| format!(r#""many-{n}""#)).collect();
    let document = r#"{"version": "1", "rules": [
        {"name": "production", "profiles": ["prod", "PROD", "stage"], "approvers": ["bob", "carol"]},
        {"name": "automatic", "profiles": ["dev"], "approvers": ["bob"],
         "auto_approve": {"users": ["alice"], "max_duration": "1h"}},
        {"name": "pair", "profiles": ["pair"], "revokers": ["erin"], "groups": [
            {"name": "one", "approvers": ["bob", "carol"]},
            {"name": "two", "approvers": ["carol", "dave"]}]},
        {"name": "strict", "profiles": ["strict"], "approvers": ["bob"], "max_duration": "1h",
         "min_justification_characters": 30, "ticket_required": true},
        {"name": "pinned", "profiles": ["pinned"], "approvers": ["bob"], "ends_with_policy": true},
        {"name": "lonely", "profiles": ["solo"], "approvers": ["alice"]},
        {"name": "two hours", "profiles": ["2h"], "approvers": ["bob"], "decide_within": "2h"},
        {"name": "one hour", "profiles": ["1h"], "approvers": ["bob"], "decide_within": "1h"},
        {"name": "two days", "profiles": ["48h"], "approvers": ["bob"], "decide_within": "48h"},
        {"name": "numbered", "profiles": [NUMBERED], "approvers": ["bob"]},
        {"name": "many", "profiles": ["many"], "approvers": [MANY]}]}"#;
    let document = document.replace("MANY", &many.join(", "));
    let document = document.replace("NUMBERED", &numbered.join(", "));
    document.parse().unwrap()
});

/// The rules for the profile of a draft.
pub fn terms(draft: &Draft) -> Terms {
    Terms::of(&RULES, &draft.profile)
}

/// The rules for a profile.
pub fn terms_of(name: &str) -> Terms {
    Terms::of(&RULES, &profile(name))
}

pub fn approve_for(name: &str, by: &str) -> Change {
    Change::approve(&RULES, &profile(name), &user(by), None)
}

pub fn approve(by: &str) -> Change {
    approve_for("prod", by)
}

pub fn approve_by_rule(name: &str) -> Change {
    Change::approve_by_rule(&RULES, &profile(name))
}

pub fn deny_for(name: &str, by: &str) -> Change {
    Change::deny(&RULES, &profile(name), &user(by), None)
}

pub fn deny(by: &str) -> Change {
    deny_for("prod", by)
}

pub fn revoke_for(name: &str, by: &str) -> Change {
    Change::revoke(&RULES, &profile(name), &user(by), None)
}

pub fn revoke(by: &str) -> Change {
    revoke_for("prod", by)
}

pub fn cancel() -> Change {
    Change::cancel(&user("alice"), None)
}

pub fn release() -> Change {
    Change::release(&user("alice"), None)
}

pub fn note(by: &str, text: &str) -> Change {
    Change::note(&user(by), text)
}

/// Tries often and without waiting.
pub fn retry() -> Retry {
    Retry::default()
        .with_tries(200.try_into().unwrap())
        .with_sleep(Arc::new(NoSleep))
        .with_random(Arc::new(SequenceRandom::default()))
}

/// Lets the other tasks of a thread run.
pub async fn give_way() {
    let mut waited = false;
    poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

pub fn bits(requests: &[Arc<Request>]) -> Vec<u64> {
    requests
        .iter()
        .map(|request| request.id.to_bits())
        .collect()
}

/// What never changes of a request.
pub fn identity(request: &Request) -> impl PartialEq + std::fmt::Debug + use<> {
    let request = request.clone();
    (
        (request.id, request.requester, request.profile),
        (request.duration, request.justification, request.ticket),
        (request.policy, request.ends_with_policy),
        (request.created, request.created_at, request.decide_by),
    )
}

/// A list that has pages.
#[derive(Debug, Clone)]
pub enum Pages {
    List(Filter),
    Waiting(Option<BTreeSet<Profile>>),
    Open(User),
}

impl Pages {
    /// Every list in which alice's pending requests for `prod` are.
    pub fn of_pending() -> [Pages; 6] {
        [
            Pages::List(Filter::Requester(user("alice"))),
            Pages::List(Filter::Profile(profile("prod"))),
            Pages::List(Filter::Status(Status::Pending)),
            Pages::Waiting(None),
            Pages::Waiting(Some([profile("prod")].into())),
            Pages::Open(user("alice")),
        ]
    }

    /// Whether what was created last comes first.
    pub fn newest_first(&self) -> bool {
        !matches!(self, Pages::Waiting(_))
    }

    /// Puts what is given oldest first into the order of the list.
    pub fn ordered<T>(&self, mut oldest_first: Vec<T>) -> Vec<T> {
        if self.newest_first() {
            oldest_first.reverse();
        }
        oldest_first
    }

    /// The place of a request in this list.
    pub fn place(&self, request: &Request) -> Cursor {
        match self {
            Pages::List(_) | Pages::Waiting(_) => Cursor::at_version(request.created, request.id),
            Pages::Open(_) => {
                let ends_at = request.access_until.unwrap_or(request.decide_by);
                Cursor::at_time(ends_at, request.id)
            }
        }
    }
}

/// A subject, whatever its type: so that each case is compiled once.
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

/// Everything that a store shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    pub requests: Vec<Arc<Request>>,
    lists: Vec<Vec<u64>>,
    grants: Vec<Result<Option<Grant>, String>>,
    access: Vec<Option<u64>>,
    pub changes: Vec<Changed>,
}

/// A store with its clock.
pub struct Ground {
    pub clock: Arc<ManualClock>,
    pub store: Arc<dyn Store>,
    pub suite: Suite,
    subject: Box<dyn Opened>,
}

impl Ground {
    pub async fn new<S: Subject>(suite: Suite) -> Self {
        let clock = Arc::new(ManualClock::at(start()));
        let subject: Box<dyn Opened> = Box::new(S::open(Arc::clone(&clock)).await);
        Self {
            clock,
            store: subject.store(),
            suite,
            subject,
        }
    }

    /// The store after a restart.
    pub async fn reopened(self) -> Self {
        let Self {
            clock,
            store,
            suite,
            subject,
        } = self;
        drop(store);
        let subject = subject.reopen().await;
        Self {
            clock,
            store: subject.store(),
            suite,
            subject,
        }
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub async fn try_create(&self, draft: &Draft) -> Result<Arc<Request>, Error> {
        self.store.create(draft, &terms(draft)).await
    }

    pub async fn create(&self, draft: &Draft) -> Arc<Request> {
        let created = self.try_create(draft).await;
        created.expect("a valid draft with a free id is created")
    }

    /// Requests of alice's for `prod`, one a second, under the ids from 1.
    pub async fn create_many(&self, count: u64) -> Vec<Arc<Request>> {
        let mut created = Vec::new();
        for bits in 1..=count {
            created.push(self.create(&draft(bits)).await);
            self.clock.advance(Duration::from_secs(1));
        }
        created
    }

    /// Alice's request for `prod`, approved by bob.
    pub async fn approved(&self, bits: u64) -> Arc<Request> {
        self.create(&draft(bits)).await;
        self.change(bits, &approve("bob")).await
    }

    /// Alice's request for `prod`, brought to a status.
    pub async fn with_status(&self, bits: u64, status: Status) -> Arc<Request> {
        let pending = self.create(&draft(bits)).await;
        match status {
            Status::Pending => return pending,
            Status::Approved => {}
            Status::Denied => return self.change(bits, &deny("bob")).await,
            Status::Cancelled => return self.change(bits, &cancel()).await,
            Status::Expired => {
                self.clock.set(pending.decide_by);
                return self.change(bits, &Change::expire()).await;
            }
            Status::Ended => return self.ended_by_the_clock(&draft(bits)).await,
            Status::Revoked | Status::Released => {}
        }
        let approved = self.change(bits, &approve("bob")).await;
        match status {
            Status::Revoked => self.change(bits, &revoke("bob")).await,
            Status::Released => self.change(bits, &release()).await,
            _ => approved,
        }
    }

    /// A request that is there, approved by a clock that is ahead by `ahead`, and the correction,
    /// which a note has made. The clock shows what it showed before.
    pub async fn approved_ahead(&self, pending: &Request, ahead: Duration) -> Arc<Request> {
        let (bits, to) = (pending.id.to_bits(), self.now());
        self.clock.set(to + ahead);
        let approve = approve_for(pending.profile.as_str(), "bob");
        self.change(bits, &approve).await;
        self.clock.set(to);
        self.change(bits, &note("bob", "the clock was ahead")).await
    }

    /// A new request whose access a correction has ended for good, an hour after the correction.
    pub async fn ended_by_the_clock(&self, draft: &Draft) -> Arc<Request> {
        let bits = draft.id.to_bits();
        if self.store.get(draft.id).await.is_err() {
            self.create(draft).await;
        }
        let pending = self.get(bits).await;
        self.approved_ahead(&pending, HOUR * 8).await;
        self.clock.advance(HOUR);
        self.change(bits, &Change::end_void()).await
    }

    pub async fn get(&self, bits: u64) -> Arc<Request> {
        let read = self.store.get(id(bits)).await;
        read.expect("a request that was created can be read")
    }

    pub async fn try_update(
        &self,
        bits: u64,
        expected: Version,
        change: &Change,
    ) -> Result<Arc<Request>, Error> {
        self.store.update(id(bits), expected, change).await
    }

    /// Changes the request at the version that it has.
    pub async fn try_change(&self, bits: u64, change: &Change) -> Result<Arc<Request>, Error> {
        let expected = self.get(bits).await.updated_at;
        self.try_update(bits, expected, change).await
    }

    pub async fn change(&self, bits: u64, change: &Change) -> Arc<Request> {
        let changed = self.try_change(bits, change).await;
        let changed = changed.expect("a change that the rules permit is made");
        assert_eq!(
            self.get(bits).await,
            changed,
            "a change answers with the request as it is kept"
        );
        changed
    }

    pub async fn delete(&self, bits: u64) -> bool {
        let deleted = self.store.delete(id(bits), None).await;
        deleted.expect("what is over can be deleted")
    }

    /// What a call gives that must change nothing.
    pub async fn without_trace<T>(&self, call: impl Future<Output = T>) -> T {
        let before = self.content().await;
        let result = call.await;
        let after = self.content().await;
        assert_eq!(before, after, "a call that must change nothing does");
        result
    }

    /// Why a change is refused; a refusal changes nothing.
    pub async fn refusal(&self, bits: u64, change: &Change) -> Refusal {
        match self.without_trace(self.try_change(bits, change)).await {
            Err(Error::Refused(refusal)) => refusal,
            other => panic!("a change that a rule forbids is refused: {other:?}"),
        }
    }

    pub async fn page(&self, pages: &Pages, page: Page) -> Listing {
        let listing = match pages {
            Pages::List(filter) => self.store.list(filter, page).await,
            Pages::Waiting(profiles) => {
                let listing = self.store.list_pending(profiles.as_ref(), of_list(page));
                listing.await.map(of_any_list)
            }
            Pages::Open(user) => {
                let listing = self.store.list_open(user, of_list(page));
                listing.await.map(of_any_list)
            }
        };
        listing.expect("a list can be read")
    }

    /// The ids on a page.
    pub async fn ids(&self, pages: &Pages, page: Page) -> Vec<u64> {
        bits(&self.page(pages, page).await.items)
    }

    /// A whole list, page by page.
    pub async fn all(&self, pages: &Pages, limit: usize) -> Vec<Arc<Request>> {
        let mut found = Vec::new();
        let mut next = Page::first(limit);
        for _ in 0..2_000 {
            let Listing { items, next: after } = self.page(pages, next).await;
            assert!(
                items.len() <= next.effective_limit(),
                "a page holds no more than its limit"
            );
            found.extend(items);
            let Some(after) = after else { return found };
            next = Page::after(after, limit);
        }
        panic!("the pages of {pages:?} come to no end")
    }

    pub async fn listed(&self, filter: impl Into<Filter>) -> Vec<u64> {
        let pages = Pages::List(filter.into());
        bits(&self.all(&pages, crate::MAX_LIMIT).await)
    }

    /// What a call gives while the clock shows `at`. For reads: they are not remembered.
    pub async fn at<T>(&self, at: DateTime<Utc>, read: impl Future<Output = T>) -> T {
        let before = self.now();
        self.clock.set(at);
        let result = read.await;
        self.clock.set(before);
        result
    }

    /// What is due while the clock shows `at`.
    pub async fn list_expirable(&self, at: DateTime<Utc>, limit: usize) -> Vec<u64> {
        let due = self.at(at, self.store.list_expirable(limit)).await;
        bits(&due.expect("due can be read"))
    }

    pub async fn list_ended(&self, time: DateTime<Utc>, limit: usize) -> Vec<u64> {
        let ended = self.store.list_ended(time, limit).await;
        bits(&ended.expect("what ended can be read"))
    }

    /// The request by which alice has access to a profile while the clock shows `at`: its grant is
    /// found then, and its access is told of that time.
    pub async fn grant(
        &self,
        name: &str,
        policy: Option<PolicyDigest>,
        at: DateTime<Utc>,
    ) -> Option<u64> {
        let (alice, profile) = (user("alice"), profile(name));
        let found = self.access_at(&alice, &profile, policy, at).await;
        let call = self.store.find_grant(&alice, &profile, policy);
        let granted = self.at(at, call).await;
        assert_eq!(
            granted.expect("grants can be looked for"),
            found.as_ref().and_then(|request| request.grant(at)),
            "the grant that is found is that of the request"
        );
        found.map(|request| request.id.to_bits())
    }

    pub async fn access_at(
        &self,
        user: &User,
        profile: &Profile,
        policy: Option<PolicyDigest>,
        at: DateTime<Utc>,
    ) -> Option<Arc<Request>> {
        let call = self.store.access_at(user, profile, policy, at);
        call.await.expect("access can be looked for")
    }

    /// Alice's access to `prod` by the store's own time: until when.
    pub async fn granted(&self) -> Result<Option<DateTime<Utc>>, Error> {
        let (alice, prod) = (user("alice"), profile("prod"));
        let found = self.store.find_grant(&alice, &prod, None).await;
        found.map(|grant| grant.map(|grant| grant.until))
    }

    /// Alice's access to `prod`, under no policy.
    pub async fn prod(&self, at: DateTime<Utc>) -> Option<u64> {
        self.grant("prod", None, at).await
    }

    pub async fn changes(&self, after: Option<Version>, limit: usize) -> Vec<Changed> {
        let changes = self.store.changes_after(after, limit).await;
        changes.expect("changes can be read")
    }

    /// All changes, in pieces.
    pub async fn all_changes(&self, mut after: Option<Version>, limit: usize) -> Vec<Changed> {
        let mut found: Vec<Changed> = Vec::new();
        for _ in 0..2_000 {
            let piece = self.changes(after, limit).await;
            let Some(last) = piece.last() else {
                return found;
            };
            after = Some(last.version);
            found.extend(piece);
        }
        panic!("the changes come to no end")
    }

    /// Everything that the store shows, which agrees with itself.
    pub async fn content(&self) -> Content {
        let mut requests: Vec<Arc<Request>> = Vec::new();
        for status in Status::ALL {
            let pages = Pages::List(status.into());
            let listed = self.all(&pages, crate::MAX_LIMIT).await;
            assert!(
                listed.iter().all(|request| request.status == status),
                "a list of one status holds no other"
            );
            requests.extend(listed);
        }
        requests.sort_by_key(|request| request.id);
        for request in &requests {
            let read = self.get(request.id.to_bits()).await;
            assert_eq!(read, *request, "what is listed is what is read");
        }
        let people: BTreeSet<_> = requests.iter().map(|r| r.requester.clone()).collect();
        let profiles: BTreeSet<_> = requests.iter().map(|r| r.profile.clone()).collect();
        let mut lists = Vec::new();
        for user in &people {
            lists.push(self.listed(user.clone()).await);
            let open = Pages::Open(user.clone());
            lists.push(bits(&self.all(&open, 0).await));
        }
        for profile in &profiles {
            lists.push(self.listed(profile.clone()).await);
        }
        lists.push(bits(&self.all(&Pages::Waiting(None), 0).await));
        let waiting = Pages::Waiting(Some(profiles.clone()));
        lists.push(bits(&self.all(&waiting, 0).await));
        lists.push(self.list_expirable(far(), crate::MAX_LIMIT).await);
        lists.push(self.list_ended(far(), crate::MAX_LIMIT).await);
        let (mut grants, mut access) = (Vec::new(), Vec::new());
        let began: BTreeSet<_> = requests
            .iter()
            .filter_map(|request| Some(request.approval.as_ref()?.at))
            .collect();
        for user in &people {
            for profile in &profiles {
                let found = self.store.find_grant(user, profile, None).await;
                grants.push(found.map_err(|error| error.to_string()));
                for at in &began {
                    let found = self.access_at(user, profile, None, *at).await;
                    access.push(found.map(|request| request.id.to_bits()));
                }
            }
        }
        let changes = self.all_changes(None, crate::MAX_LIMIT).await;
        let entries: usize = requests.iter().map(|request| request.history.len()).sum();
        assert_eq!(
            changes.len(),
            entries,
            "each entry of a history is one change of the stream"
        );
        Content {
            requests,
            lists,
            grants,
            access,
            changes,
        }
    }
}

/// The page of another list with the same place.
fn of_list<L: List, M: List>(page: Page<L>) -> Page<M> {
    Page {
        limit: page.limit,
        after: page
            .after
            .map(|cursor| Cursor::new(cursor.place, cursor.id)),
    }
}

/// The same as if it were of the list that the cases are written for.
fn of_any_list<L: List>(listing: Listing<L>) -> Listing {
    let next = listing.next;
    Listing {
        items: listing.items,
        next: next.map(|cursor| Cursor::new(cursor.place, cursor.id)),
    }
}
