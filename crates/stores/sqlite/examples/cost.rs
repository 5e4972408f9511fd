//! What calls of the request store cost on the machine that runs it, in files of several sizes:
//! `cargo run --release -p countersign-sqlite --features request --example cost -- 1000 100000`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it measures, and prints what it measured"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_request::*;
use countersign_sqlite::{Database, Options, RequestStore, Synchronous};

const CALLS: u64 = 200;

/// The median and the least of so many calls, in microseconds.
async fn cost<T, F: Future<Output = T>>(mut call: impl FnMut(u64) -> F) -> String {
    let mut times = Vec::new();
    for number in 0..CALLS {
        let started = Instant::now();
        call(number).await;
        times.push(started.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    let place = |place: usize| times.get(place).copied().unwrap_or_default();
    format!("{:.0} ({:.0})", place(times.len() / 2), place(0))
}

fn draft(id: u64) -> Draft {
    // As ids are: in no order.
    let id = id.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    Draft {
        id: RequestId::from_bits(id),
        requester: Person::new(format!("person-{}", id % 5)).unwrap(),
        profile: Profile::new(format!("profile-{}", id % 7)).unwrap(),
        duration: Duration::from_secs(3600),
        justification: "migrate the orders table".into(),
        ticket: Some("OPS-4711".into()),
        policy: None,
        operation: Some(OperationId::from_bits(id)),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let sizes: Vec<u64> = std::env::args()
        .skip(1)
        .map(|size| size.parse().unwrap())
        .collect();
    let sizes = if sizes.is_empty() { vec![1_000] } else { sizes };
    println!("medians (and the least) of {CALLS} calls, in microseconds");
    for size in sizes {
        for synchronous in [Synchronous::Normal, Synchronous::Full] {
            measure(size, synchronous).await;
        }
    }
}

async fn measure(size: u64, synchronous: Synchronous) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countersign.db");
    let policy: ApprovalPolicy =
        r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob"]}]}"#
            .parse()
            .unwrap();
    let clock = Arc::new(ManualClock::at("2026-03-02T09:00:00Z".parse().unwrap()));
    let bob = Person::new("bob").unwrap();
    let open = |synchronous| {
        let options = Options {
            synchronous,
            ..Options::default()
        };
        let database = Database::open(&path, &options).unwrap();
        RequestStore::new(&database, clock.clone())
    };
    let create = |store: RequestStore, number: u64| {
        let draft = draft(number);
        let terms = Terms::of(&policy, &draft.profile);
        async move { store.create(&draft, &terms).await.unwrap() }
    };
    let approve = |store: RequestStore, number: u64| {
        let (policy, bob) = (&policy, &bob);
        async move {
            let request = store.get(draft(number).id).await.unwrap();
            let change = Change::approve(policy, &request.profile, bob, Some("go ahead"));
            let started = Instant::now();
            store
                .update(request.id, request.updated_at, &change)
                .await
                .unwrap();
            started.elapsed()
        }
    };
    let store = open(Synchronous::Normal);
    for number in 0..size {
        clock.advance(Duration::from_millis(1));
        create(store.clone(), number).await;
        if number % 2 == 0 {
            approve(store.clone(), number).await;
        }
    }
    drop(store);
    let store = open(synchronous);
    let (now, one) = (clock.now(), draft(1));
    let some: BTreeSet<Profile> = (0..4).map(|number| draft(number).profile).collect();
    let (store, page) = (&store, Page::first(100));
    let own = Filter::Requester(one.requester.clone());
    let pending = Filter::Status(Status::Pending);
    let all = Page::first(100);
    println!(
        "{size} requests, {synchronous:?}: create {}, approve (with its get) {}, get {}",
        cost(|number| create(store.clone(), size + number)).await,
        cost(|number| approve(store.clone(), size + number)).await,
        cost(|number| store.get(draft(number * size / CALLS).id)).await,
    );
    println!(
        "    find_grant {}, lists of 100: by requester {}, by status {}, waiting {}, \
         waiting for 4 profiles {}, open {}, due {}, changes {}",
        cost(|number| {
            let of = draft(number * size / CALLS / 2 * 2);
            async move {
                let at = now;
                store.find_grant(&of.requester, &of.profile, None, at).await
            }
        })
        .await,
        cost(|_| store.list(&own, page)).await,
        cost(|_| store.list(&pending, page)).await,
        cost(|_| store.waiting(None, all)).await,
        cost(|_| store.waiting(Some(&some), all)).await,
        cost(|_| store.open(&one.requester, now, page)).await,
        cost(|_| store.due(now, 100)).await,
        cost(|_| store.changes_since(None, 100)).await,
    );
    let started = Instant::now();
    let report = store.verify(None).await.unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    println!(
        "    verify {:.2} s; {} bytes a request",
        started.elapsed().as_secs_f64(),
        std::fs::metadata(&path).unwrap().len() / (size + CALLS)
    );
}
