//! Calls that name their idempotency key: made once, answered alike, and forgotten with their emergency.

use super::bench::*;
use crate::admission::Admission;
use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;

fn named(bits: u64, who: &str, wanted: &str, name: u64) -> Draft {
    let mut draft = draft(bits, who, wanted);
    draft.idempotency_key = Some(operation(name));
    draft
}

/// A creation that is repeated gives its first result, whatever the rules would say now, and
/// changes nothing.
pub(super) async fn a_repeated_creation_gives_its_first_result(bench: Bench) {
    let draft = named(1, "alice", "prod", 5);
    let first = bench.create(&draft, &unlimited()).await.unwrap();
    bench.made(1, &note("bob", "a note")).await;
    bench.made(1, &close("alice", "prod")).await;
    let before = bench.contents().await;
    bench.clock.advance(2 * HOUR);
    let quota = limits(r#""max_per_user": 1, "quota_window": "24h", "cooldown": "24h""#);
    for limits in [unlimited(), quota] {
        let again = bench.create(&draft, &limits).await;
        assert_eq!(
            again.expect("a repeat is answered"),
            first,
            "as it was then"
        );
    }
    let nobody = bench
        .invoke(&draft, &invocation(r#""users": ["bob"]"#))
        .await;
    assert_eq!(nobody.expect("a repeat is answered before any rule"), first);
    bench.assert_unchanged(&before, "a repeated creation").await;
}

/// So does one that began by an override: the emergency at its second version.
pub(super) async fn a_repeated_override_gives_its_first_result(bench: Bench) {
    bench.begin_short(1, "alice", "prod").await;
    let draft = named(2, "alice", "prod", 5);
    let admission = Admission::new(&reviewed_first(), &unlimited(), &draft.profile);
    let admission = admission.with_review_override(&user("carol"), "they are asleep");
    let first = bench.store.create(&draft, &admission).await.unwrap();
    bench.made(2, &note("bob", "a note")).await;
    let before = bench.contents().await;
    let again = bench.store.create(&draft, &admission).await;
    assert_eq!(
        again.expect("a repeat is answered"),
        first,
        "at its second version"
    );
    let without = bench.invoke(&draft, &reviewed_first()).await;
    assert!(
        matches!(without, Err(Error::IdempotencyKeyReused { .. })),
        "another call: {without:?}"
    );
    bench.assert_unchanged(&before, "a repeated creation").await;
}

/// A change that is repeated gives its first result, from whatever version it is sent, and changes
/// nothing.
pub(super) async fn a_repeated_change_gives_its_first_result(bench: Bench) {
    let read = bench.begin(1, "alice", "prod").await.updated_at;
    let change = note("bob", "one").with_idempotency_key(operation(5));
    let first = bench.store.update(id(1), read, &change).await.unwrap();
    bench.made(1, &note("bob", "two")).await;
    let closing = close("alice", "prod").with_idempotency_key(operation(6));
    let closed = bench.made(1, &closing).await;
    let before = bench.contents().await;
    for version in [read, first.updated_at, closed.updated_at] {
        let again = bench.store.update(id(1), version, &change).await;
        assert_eq!(
            again.expect("a repeat is answered"),
            first,
            "as it was then"
        );
        let again = bench.store.update(id(1), version, &closing).await;
        assert_eq!(
            again.expect("a repeat is answered"),
            closed,
            "though it is closed"
        );
    }
    bench.assert_unchanged(&before, "a repeated change").await;
}

/// An operation that has made something else is refused, before any other error.
pub(super) async fn an_operation_makes_one_thing(bench: Bench) {
    let draft = named(1, "alice", "prod", 5);
    let version = bench.create(&draft, &unlimited()).await.unwrap().updated_at;
    bench.begin(2, "bob", "dev").await;
    bench
        .made(2, &note("bob", "a note").with_idempotency_key(operation(6)))
        .await;
    let before = bench.contents().await;
    let reused = |answer: Result<_, Error>, by: u64, what: &str| {
        assert!(
            matches!(answer, Err(Error::IdempotencyKeyReused { idempotency_key: o, id: found })
                if o == operation(5 + by - 1) && found == id(by)),
            "{what}: {answer:?}"
        );
    };
    let mut other = draft.clone();
    other.justification.push('!');
    reused(
        bench.create(&other, &unlimited()).await,
        1,
        "another text under the same id",
    );
    let other = named(3, "alice", "ops", 5);
    reused(
        bench.create(&other, &unlimited()).await,
        1,
        "another emergency",
    );
    let mut other = named(3, "alice", "ops", 6);
    other.duration = std::time::Duration::ZERO;
    reused(
        bench.create(&other, &unlimited()).await,
        2,
        "a creation in the place of a change",
    );
    let change = note("bob", "a note");
    let by_five = change.clone().with_idempotency_key(operation(5));
    reused(
        bench.store.update(id(1), version, &by_five).await,
        1,
        "a change in the place of a creation",
    );
    let by_six = change.clone().with_idempotency_key(operation(6));
    reused(
        bench.store.update(id(1), version, &by_six).await,
        2,
        "of another emergency",
    );
    reused(
        bench.store.update(id(9), version, &by_six).await,
        2,
        "of an emergency that is not there",
    );
    let other = note("bob", "another").with_idempotency_key(operation(6));
    reused(bench.change(2, &other).await, 2, "another text");
    let other = note("dave", "a note").with_idempotency_key(operation(6));
    reused(bench.change(2, &other).await, 2, "another actor");
    bench
        .assert_unchanged(&before, "an operation that was reused")
        .await;
}

/// A call that failed leaves no trace of its operation.
pub(super) async fn a_failed_call_leaves_no_trace_of_its_operation(bench: Bench) {
    bench.begin(1, "alice", "prod").await;
    refusal(
        bench
            .create(&named(2, "alice", "prod", 5), &unlimited())
            .await,
        "a second emergency",
    );
    let expiring = Change::expire().with_idempotency_key(operation(5));
    refusal(bench.change(1, &expiring).await, "expiring too early");
    let stale = note("bob", "a note").with_idempotency_key(operation(5));
    let version = countersign_core::version::Version::from_nanos(1);
    let lost = bench.store.update(id(1), version, &stale).await;
    assert!(matches!(lost, Err(Error::Conflict(_))), "{lost:?}");
    let created = bench
        .create(&named(3, "alice", "dev", 5), &unlimited())
        .await;
    assert!(
        created.is_ok(),
        "the operation has made nothing before: {created:?}"
    );
}

/// A deleted emergency takes its operations with it.
pub(super) async fn a_deleted_emergency_takes_its_operations(bench: Bench) {
    let draft = named(1, "alice", "prod", 5);
    let first = bench.create(&draft, &unlimited()).await.unwrap();
    bench
        .made(
            1,
            &close("alice", "prod").with_idempotency_key(operation(6)),
        )
        .await;
    bench.made(1, &review("carol", "prod")).await;
    bench.delete(1).await;
    let closing = close("alice", "prod").with_idempotency_key(operation(6));
    let gone = bench.store.update(id(1), first.updated_at, &closing).await;
    assert!(
        matches!(gone, Err(Error::NotFound { .. })),
        "it is not remembered: {gone:?}"
    );
    let second = bench.create(&draft, &unlimited()).await;
    let second = second.expect("a creation whose emergency is gone is made anew");
    assert!(
        second.updated_at > first.updated_at,
        "it is another emergency"
    );
}

/// An operation is known for its own however many others there are.
pub(super) async fn operations_do_not_run_together(bench: Bench) {
    let draft = named(1, "alice", "prod", u64::MAX);
    let first = bench.create(&draft, &unlimited()).await.unwrap();
    for name in [0, 1, u64::MAX - 1, u64::MAX >> 1] {
        let change = note("bob", "again").with_idempotency_key(operation(name));
        bench.made(1, &change).await;
    }
    let emergency = bench.get(1).await;
    assert_eq!(emergency.history.len(), 5, "four notes of four operations");
    assert_eq!(bench.create(&draft, &unlimited()).await.unwrap(), first);
}
