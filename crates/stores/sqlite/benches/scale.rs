//! What a call costs with 1,000 records in the file and with 1,000,000: lists, counts and lookups
//! are to cost at most three times as much.
//!
//! Calls on both files take turns, each call with keys of its own, the same number of results and
//! the same number of emergencies within the windows of quotas; what is told is the median. Calls
//! that read were all made once before. `-- --records 100000` fills the large file with fewer.
#![allow(missing_docs, reason = "a program, not a library")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use countersign_breakglass::{
    self as breakglass, Admission, EmergencyId, InvocationPolicy, RateLimitPolicy, Store as _,
};
use countersign_core::clock::ManualClock;
use countersign_core::engine::List;
use countersign_core::id::IdempotencyKey;
use countersign_core::names::{Profile, User};
use countersign_core::version::Version;
use countersign_request::{self as request, ApprovalPolicy, RequestId, Store as _};
use countersign_sqlite::{Database, EmergencyStore, Options, RequestStore, Synchronous};
use support::fill::{EACH, OF_PROFILE, Shape, file};
use support::{Folder, Numbers, Verdicts, median, mixed, now, timed};
use tokio::runtime::Runtime;

mod support;

const SMALL: usize = 1_000;
const LARGE: usize = 1_000_000;
/// What shows that it still runs.
const SHORT: usize = 2_000;

/// How many records the large file has: a multiple of 1,000.
fn large() -> usize {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--records");
    let usual = if support::wanted() { LARGE } else { SHORT };
    let records = arguments.nth(1).map_or(usual, |text| text.parse().unwrap());
    assert!(records > 0 && records % SMALL == 0, "a multiple of 1,000");
    records
}
/// Calls of each kind on each file, with other keys.
fn calls_each() -> usize {
    if support::wanted() { 200 } else { 1 }
}
/// How often each call that reads is timed.
const PASSES: usize = 3;
const PAGE: usize = 100;
/// By how much a call on the large file may be slower.
const LIMIT: f64 = 3.0;

/// One file, and what its calls need.
struct Side {
    shape: Shape,
    requests: RequestStore,
    emergencies: EmergencyStore,
    clock: Arc<ManualClock>,
    runtime: Runtime,
}

impl Side {
    fn new(folder: &Folder, count: usize) -> Self {
        let shape = Shape { count };
        let path = folder.file(&format!("{count}.db"));
        let start = now();
        file(&path, shape);
        println!(
            "{count} requests and {count} emergencies, {} MiB, made in {:.0} s",
            std::fs::metadata(&path).unwrap().len() >> 20,
            start.elapsed().as_secs_f64()
        );
        let options = Options {
            synchronous: Synchronous::Normal,
            ..Options::default()
        };
        let database = Database::open(path, &options).unwrap();
        let clock = Arc::new(ManualClock::at(shape.end()));
        Self {
            shape,
            requests: RequestStore::new(&database, clock.clone()),
            emergencies: EmergencyStore::new(&database, clock.clone()),
            clock,
            runtime: support::runtime(),
        }
    }

    /// Asks when the clock shows so much more.
    fn at<T>(&self, later: Duration, ask: impl FnOnce() -> T) -> T {
        self.clock.set(self.shape.end() + later);
        let answer = ask();
        self.clock.set(self.shape.end());
        answer
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    fn user(&self, number: usize) -> User {
        User::new(self.shape.user(number)).unwrap()
    }

    fn request_profile(&self, number: usize) -> Profile {
        Profile::new(self.shape.request_profile(number)).unwrap()
    }

    fn emergency_profile(&self, number: usize) -> Profile {
        Profile::new(self.shape.emergency_profile(number)).unwrap()
    }

    /// Any record.
    fn any(&self, numbers: &mut Numbers) -> usize {
        numbers.below(self.shape.count)
    }

    /// A record of any user, at one of so many places from this one.
    fn at_place(&self, numbers: &mut Numbers, from: usize, count: usize) -> usize {
        let user = numbers.below(self.shape.people());
        self.shape.number(user, from + numbers.below(count))
    }

    fn version(&self, number: usize) -> Version {
        Version::from_nanos(self.shape.created_at(number))
    }

    /// The page after this record, in lists in the order of creation.
    fn request_page<L: List>(&self, number: usize) -> request::Page<L> {
        let id = self.shape.request_id(number);
        let cursor = request::Cursor::at_version(self.version(number), id);
        request::Page::after(cursor, PAGE)
    }

    fn emergency_page<L: List>(&self, number: usize) -> breakglass::Page<L> {
        let id = self.shape.emergency_id(number);
        let cursor = breakglass::Cursor::at_version(self.version(number), id);
        breakglass::Page::after(cursor, PAGE)
    }
}

/// A call that can be repeated; gives the number of its results.
type Read<'a> = Box<dyn Fn() -> usize + 'a>;
/// A call that changes something, once.
type Write<'a> = Box<dyn FnOnce() + 'a>;

/// Both files, and what came of the calls.
struct Scale {
    sides: [Side; 2],
    numbers: Numbers,
    verdicts: Verdicts,
}

impl Scale {
    /// Times a call that reads: all keys once to warm up, then in turns.
    fn read(
        &mut self,
        what: &str,
        results: usize,
        call: for<'a> fn(&'a Side, &mut Numbers) -> Read<'a>,
    ) {
        let numbers = &mut self.numbers;
        let calls = self.sides.each_ref().map(|side| {
            let calls = (0..calls_each()).map(|_| call(side, numbers));
            calls.collect::<Vec<_>>()
        });
        for call in calls.iter().flatten() {
            assert_eq!(call(), results, "the number of results of {what}");
        }
        let mut times = [Vec::new(), Vec::new()];
        for number in (0..PASSES).flat_map(|_| 0..calls_each()) {
            for (times, calls) in times.iter_mut().zip(&calls) {
                times.push(timed(&calls[number]).0);
            }
        }
        Self::tell(&mut self.verdicts, what, times);
    }

    fn write(&mut self, what: &str, call: for<'a> fn(&'a Side, &mut Numbers) -> Write<'a>) {
        let numbers = &mut self.numbers;
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..calls_each() {
            for (times, side) in times.iter_mut().zip(&self.sides) {
                let call = call(side, numbers);
                times.push(timed(call).0);
            }
        }
        Self::tell(&mut self.verdicts, what, times);
    }

    fn tell(verdicts: &mut Verdicts, what: &str, times: [Vec<f64>; 2]) {
        let [small, large] = times.map(|mut times| median(&mut times));
        let ratio = large / small;
        println!("| {what} | {small:.0} | {large:.0} | {ratio:.2} |");
        verdicts.at_most(what, ratio, LIMIT);
    }
}

fn main() {
    if support::listed() {
        return;
    }
    let folder = Folder::new();
    let large = large();
    let mut scale = Scale {
        sides: [SMALL, large].map(|count| Side::new(&folder, count)),
        numbers: Numbers(0),
        verdicts: Verdicts::default(),
    };
    scale.sides.iter().for_each(look);
    println!("\n| call | {SMALL} records (µs) | {large} records (µs) | ratio |");
    println!("|---|---|---|---|");
    requests(&mut scale);
    request_queues(&mut scale);
    emergencies(&mut scale);
    admissions(&mut scale);
    writes(&mut scale);
}

/// That the file holds what the store would have written, as far as reading tells.
fn look(side: &Side) {
    for number in (0..side.shape.count).step_by(side.shape.count / 250) {
        let request = side.wait(side.requests.get(side.shape.request_id(number)));
        let request = request.unwrap();
        assert_eq!(
            request.status.to_string(),
            side.shape.request_status(number)
        );
        assert_eq!(request.requester, side.user(number));
        request::Limits::default().validate(&request).unwrap();
        let emergency = side.wait(side.emergencies.get(side.shape.emergency_id(number)));
        let emergency = emergency.unwrap();
        let status = side.shape.emergency_status(number);
        assert_eq!(
            emergency.status == breakglass::Status::Active,
            status == "active"
        );
        assert_eq!(emergency.review.is_some(), status == "reviewed");
        breakglass::Limits::default().validate(&emergency).unwrap();
    }
}

fn requests(scale: &mut Scale) {
    scale.read("request: get", 1, |side, numbers| {
        let id = side.shape.request_id(side.any(numbers));
        Box::new(move || side.wait(side.requests.get(id)).map(|_| 1).unwrap())
    });
    scale.read("request: find_grant", 1, |side, numbers| {
        // Of those that give access, any.
        let number = side.at_place(numbers, 40, 20);
        let (user, profile) = (side.user(number), side.request_profile(number));
        Box::new(move || {
            let found = side.requests.find_grant(&user, &profile, None);
            side.wait(found).unwrap().iter().count()
        })
    });
    scale.read("request: find_grant, none there", 0, |side, numbers| {
        let user = side.user(side.any(numbers));
        let profile = Profile::new("another").unwrap();
        Box::new(move || {
            let found = side.requests.find_grant(&user, &profile, None);
            side.wait(found).unwrap().iter().count()
        })
    });
    scale.read("request: list by requester", PAGE, |side, numbers| {
        let filter = request::Filter::from(side.user(side.any(numbers)));
        Box::new(move || list_requests(side, &filter, request::Page::first(PAGE)))
    });
    // From any place that leaves a whole page after it.
    scale.read(
        "request: list by profile, from any place",
        12,
        |side, numbers| {
            let number = side.shape.count / 5 + numbers.below(side.shape.count * 4 / 5);
            let filter = request::Filter::from(side.request_profile(number));
            let page = request::Page {
                limit: 12,
                ..side.request_page(number)
            };
            Box::new(move || list_requests(side, &filter, page))
        },
    );
    scale.read("request: list by profile", PAGE, |side, numbers| {
        let filter = request::Filter::from(side.request_profile(side.any(numbers)));
        Box::new(move || list_requests(side, &filter, request::Page::first(PAGE)))
    });
    scale.read(
        "request: list by status, from any place",
        PAGE,
        |side, numbers| {
            let status = [request::Status::Pending, request::Status::Approved][numbers.below(2)];
            let half = side.shape.count / 2;
            let page = side.request_page(half + numbers.below(half));
            let filter = request::Filter::from(status);
            Box::new(move || list_requests(side, &filter, page))
        },
    );
}

fn list_requests(side: &Side, filter: &request::Filter, page: request::Page) -> usize {
    let listing = side.wait(side.requests.list(filter, page)).unwrap();
    listing.items.len()
}

fn request_queues(scale: &mut Scale) {
    scale.read("request: list_expirable", PAGE, |side, _| {
        Box::new(move || {
            let later = Duration::from_secs(5 * 3_600);
            side.at(later, || {
                side.wait(side.requests.list_expirable(PAGE)).unwrap().len()
            })
        })
    });
    scale.read(
        "request: list_pending, from any place",
        PAGE,
        |side, numbers| {
            let page = side.request_page(numbers.below(side.shape.count / 2));
            Box::new(move || {
                let listing = side.wait(side.requests.list_pending(None, page)).unwrap();
                listing.items.len()
            })
        },
    );
    scale.read(
        "request: list_pending for 4 profiles, from any place",
        PAGE,
        |side, numbers| {
            let profiles = (0..4).map(|number| side.request_profile(number));
            let profiles: BTreeSet<Profile> = profiles.collect();
            let page = side.request_page(numbers.below(side.shape.count / 4));
            Box::new(move || {
                let listing = side
                    .wait(side.requests.list_pending(Some(&profiles), page))
                    .unwrap();
                listing.items.len()
            })
        },
    );
    scale.read("request: list_open of a user, 60", 60, |side, numbers| {
        let user = side.user(side.any(numbers));
        Box::new(move || {
            let page = request::Page::first(PAGE);
            // The shortest of what gives access, one second, is over at the end of that.
            side.at(Duration::from_secs(1), || {
                let open = side.wait(side.requests.list_open(&user, page));
                open.unwrap().items.len()
            })
        })
    });
    scale.read("request: list_ended", PAGE, |side, _| {
        let at = side.shape.end();
        Box::new(move || side.wait(side.requests.list_ended(at, PAGE)).unwrap().len())
    });
    scale.read(
        "request: changes_after any version",
        PAGE,
        |side, numbers| {
            let after = side.version(numbers.below(side.shape.count / 2));
            Box::new(move || {
                let changes = side.requests.changes_after(Some(after), PAGE);
                side.wait(changes).unwrap().len()
            })
        },
    );
}

fn emergencies(scale: &mut Scale) {
    scale.read("emergency: get", 1, |side, numbers| {
        let id = side.shape.emergency_id(side.any(numbers));
        Box::new(move || side.wait(side.emergencies.get(id)).map(|_| 1).unwrap())
    });
    scale.read("emergency: find_grant", 1, |side, numbers| {
        let number = side.at_place(numbers, 0, 20);
        let (user, profile) = (side.user(number), side.emergency_profile(number));
        Box::new(move || {
            let found = side.emergencies.find_grant(&user, &profile);
            side.wait(found).unwrap().iter().count()
        })
    });
    scale.read("emergency: list by invoker", PAGE, |side, numbers| {
        let filter = breakglass::Filter::from(side.user(side.any(numbers)));
        Box::new(move || list_emergencies(side, &filter, breakglass::Page::first(PAGE)))
    });
    scale.read(
        "emergency: list by profile, 40",
        OF_PROFILE,
        |side, numbers| {
            let filter = breakglass::Filter::from(side.emergency_profile(side.any(numbers)));
            Box::new(move || list_emergencies(side, &filter, breakglass::Page::first(PAGE)))
        },
    );
    scale.read(
        "emergency: list by status, from any place",
        PAGE,
        |side, numbers| {
            let filter = breakglass::Filter::from(breakglass::Status::Closed);
            let half = side.shape.count / 2;
            let page = side.emergency_page(half + numbers.below(half));
            Box::new(move || list_emergencies(side, &filter, page))
        },
    );
    scale.read("emergency: list_expirable", PAGE, |side, _| {
        Box::new(move || {
            let later = Duration::from_secs(5 * 3_600);
            side.at(later, || {
                side.wait(side.emergencies.list_expirable(PAGE))
                    .unwrap()
                    .len()
            })
        })
    });
    scale.read(
        "emergency: list_awaiting_review, from any place",
        PAGE,
        |side, numbers| {
            let page = side.emergency_page(numbers.below(side.shape.count / 2));
            Box::new(move || {
                let listing = side.emergencies.list_awaiting_review(page);
                side.wait(listing).unwrap().items.len()
            })
        },
    );
    scale.read("emergency: list_ended", PAGE, |side, _| {
        let at = side.shape.end();
        Box::new(move || {
            side.wait(side.emergencies.list_ended(at, PAGE))
                .unwrap()
                .len()
        })
    });
    scale.read(
        "emergency: changes_after any version",
        PAGE,
        |side, numbers| {
            let after = side.version(numbers.below(side.shape.count / 2));
            Box::new(move || {
                let changes = side.emergencies.changes_after(Some(after), PAGE);
                side.wait(changes).unwrap().len()
            })
        },
    );
}

fn list_emergencies(side: &Side, filter: &breakglass::Filter, page: breakglass::Page) -> usize {
    let listing = side.wait(side.emergencies.list(filter, page)).unwrap();
    listing.items.len()
}

/// A declaration of an emergency, with a second factor that was not used.
fn emergency_draft(
    numbers: &mut Numbers,
    at: Version,
    by: User,
    profile: Profile,
) -> breakglass::Draft {
    let id = EmergencyId::from_bits(mixed(numbers.below(usize::MAX) as u64));
    breakglass::Draft {
        id,
        idempotency_key: Some(IdempotencyKey::from_bits(mixed(id.to_bits()))),
        mfa: Some(breakglass::MfaProof {
            id: breakglass::ProofId::new(format!("phone:{id}")).unwrap(),
            method: breakglass::MfaMethod::Totp,
            user: by.clone(),
            emergency: id,
            verified_at: chrono::DateTime::from_timestamp_nanos(at.as_nanos()),
        }),
        invoker: by,
        profile,
        duration: Duration::from_secs(3_600),
        reason_code: breakglass::ReasonCode::Incident,
        justification: "the orders cannot be written".to_owned(),
        ticket: None,
        request_id: None,
    }
}

/// An admission that is refused: all that it looks at is read, and nothing is written.
fn refused<'a>(side: &'a Side, numbers: &mut Numbers, who: &str, often: &str) -> Read<'a> {
    // One that is over, of a pair of which none is active.
    let number = side.at_place(numbers, 20, 5);
    let (user, profile) = (side.user(number), side.emergency_profile(number));
    let (who, often): (InvocationPolicy, RateLimitPolicy) =
        (who.parse().unwrap(), often.parse().unwrap());
    let admission = Admission::new(&who, &often, &profile);
    let draft = emergency_draft(numbers, side.version(side.shape.count), user, profile);
    Box::new(move || {
        let refused = side.wait(side.emergencies.create(&draft, &admission));
        let Err(breakglass::Error::Refused(refusal)) = refused else {
            unreachable!("admitted: {refused:?}")
        };
        let text = refusal.to_string();
        assert!(!text.contains("already"), "{text}");
        0
    })
}

const ANYONE: &str = r#"{"version": "1", "rules": [{"name": "anyone", "max_duration": "4h"}]}"#;

fn admissions(scale: &mut Scale) {
    println!(
        "| (of the last 24 hours: {EACH} emergencies of the user, {OF_PROFILE} of the profile) | | | |"
    );
    scale.read(
        "emergency: create, refused by the user's quota",
        0,
        |side, numbers| {
            let often = r#"{"version": "1", "rules": [{"name": "counted", "max_per_user": 100,
            "max_per_profile": 1000, "quota_window": "24h"}]}"#;
            refused(side, numbers, ANYONE, often)
        },
    );
    scale.read(
        "emergency: create, refused by the profile's quota",
        0,
        |side, numbers| {
            let often = r#"{"version": "1", "rules": [{"name": "counted", "max_per_user": 1000,
            "max_per_profile": 30, "quota_window": "24h"}]}"#;
            refused(side, numbers, ANYONE, often)
        },
    );
    scale.read(
        "emergency: create, refused by a pause",
        0,
        |side, numbers| {
            let often = r#"{"version": "1", "rules": [{"name": "paused", "cooldown": "24h"}]}"#;
            refused(side, numbers, ANYONE, often)
        },
    );
    scale.read(
        "emergency: create, refused until a review",
        0,
        |side, numbers| {
            let who = r#"{"version": "1", "rules": [{"name": "anyone", "max_duration": "4h",
            "reviewers": ["carol"], "after_review": true}]}"#;
            let often = r#"{"version": "1", "rules": [{"name": "paused", "cooldown": "24h"}]}"#;
            refused(side, numbers, who, often)
        },
    );
}

fn writes(scale: &mut Scale) {
    scale.write("request: create", |side, numbers| {
        let profile = side.request_profile(side.any(numbers));
        let draft = request_draft(side, numbers, profile);
        let terms = request::Terms::of(&approvals(), &draft.profile);
        Box::new(move || {
            side.wait(side.requests.create(&draft, &terms)).unwrap();
        })
    });
    scale.write("request: update, an approval", |side, numbers| {
        // Nobody has decided on it yet.
        let request = loop {
            let id = side.shape.request_id(side.at_place(numbers, 0, 40));
            let request = side.wait(side.requests.get(id)).unwrap();
            if request.status == request::Status::Pending {
                break request;
            }
        };
        let bob = User::new("bob@example.com").unwrap();
        let change = request::Change::approve(&approvals(), &request.profile, &bob, Some("agreed"));
        Box::new(move || {
            let (id, expected) = (request.id, request.updated_at);
            side.wait(side.requests.update(id, expected, &change))
                .unwrap();
        })
    });
    scale.write("emergency: create", |side, numbers| {
        let (who, often) = (ANYONE.parse().unwrap(), RateLimitPolicy::unlimited());
        let name = format!("new-{}@example.com", numbers.below(usize::MAX));
        let profile = Profile::new(format!("new-{}", numbers.below(usize::MAX))).unwrap();
        let admission = Admission::new(&who, &often, &profile);
        let (at, user) = (side.version(side.shape.count), User::new(name).unwrap());
        let draft = emergency_draft(numbers, at, user, profile);
        Box::new(move || {
            side.wait(side.emergencies.create(&draft, &admission))
                .unwrap();
        })
    });
    scale.write("emergency: update, a note", |side, numbers| {
        let id = side.shape.emergency_id(side.any(numbers));
        let emergency = side.wait(side.emergencies.get(id)).unwrap();
        let change = breakglass::Change::note(&emergency.invoker, "the replica lags");
        Box::new(move || {
            let expected = emergency.updated_at;
            side.wait(side.emergencies.update(id, expected, &change))
                .unwrap();
        })
    });
}

fn approvals() -> ApprovalPolicy {
    let text = r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob@example.com"]}]}"#;
    text.parse().unwrap()
}

fn request_draft(side: &Side, numbers: &mut Numbers, profile: Profile) -> request::Draft {
    let id = RequestId::from_bits(mixed(numbers.below(usize::MAX) as u64));
    request::Draft {
        id,
        requester: side.user(side.any(numbers)),
        profile,
        duration: Duration::from_secs(3_600),
        justification: "migrate the table of orders to its new place".to_owned(),
        ticket: None,
        policy: None,
        idempotency_key: Some(IdempotencyKey::from_bits(mixed(id.to_bits()))),
    }
}
