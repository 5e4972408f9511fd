//! `create`: a second factor is fresh to the nanosecond, kept, and used once.

use countersign_core::clock::Clock;

use super::bench::*;
use crate::draft::Draft;
use crate::mfa::ProofProblem;
use crate::refusal::Refusal;

fn shown(bits: u64, who: &str, wanted: &str, name: &str) -> Draft {
    let mut draft = draft(bits, who, wanted);
    draft.mfa = Some(proof(name, who, bits, start()));
    draft
}

async fn problem(bench: &Bench, draft: &Draft) -> ProofProblem {
    match refusal(
        bench.create(draft, &unlimited()).await,
        "a second factor that will not do",
    ) {
        Refusal::MfaProof { problem, .. } => problem,
        other => panic!("the second factor is refused: {other}"),
    }
}

/// A second factor is used once, whosever it was, for whatever, and whatever became of the emergency.
pub(super) async fn a_second_factor_is_used_once(bench: Bench) {
    bench
        .create(&shown(1, "alice", "prod", "push-1"), &unlimited())
        .await
        .unwrap();
    bench.made(1, &close("alice", "prod")).await;
    bench.made(1, &review("carol", "prod")).await;
    let before = bench.contents().await;
    for again in [
        shown(2, "alice", "prod", "push-1"),
        shown(2, "bob", "dev", "push-1"),
    ] {
        let found = problem(&bench, &again).await;
        assert_eq!(found, ProofProblem::Used { emergency: id(1) });
    }
    bench
        .assert_unchanged(&before, "a second factor that was used")
        .await;
}

/// Ids of second factors are compared exactly.
pub(super) async fn second_factors_are_compared_exactly(bench: Bench) {
    for (bits, name) in [(1, "push"), (2, "Push"), (3, "push-1"), (4, "%")] {
        let draft = shown(bits, "alice", &format!("prod-{bits}"), name);
        let created = bench.create(&draft, &unlimited()).await;
        assert!(created.is_ok(), "`{name}` was not used: {created:?}");
    }
}

/// A second factor shown for a creation that was refused is still good.
pub(super) async fn a_refused_creation_uses_no_second_factor(bench: Bench) {
    bench.begin(1, "alice", "prod").await;
    let draft = shown(2, "alice", "prod", "push-1");
    refusal(
        bench.create(&draft, &unlimited()).await,
        "an active emergency",
    );
    bench.made(1, &close("alice", "prod")).await;
    let created = bench.create(&draft, &unlimited()).await;
    assert!(created.is_ok(), "it was never used: {created:?}");
}

/// A second factor is good until it is exactly as old as the rule allows, by the time of the step;
/// the clock that it was verified by may be ahead by as much as the store tolerates.
pub(super) async fn a_second_factor_is_fresh_to_the_nanosecond(bench: Bench) {
    for (bits, age, good) in [
        (1, 300_000_000_001, false),
        (2, 300_000_000_000, true),
        (3, 0, true),
        (4, -60_000_000_000, true),
        (5, -60_000_000_001, false),
    ] {
        bench.clock.advance(HOUR);
        let verified_at = bench.clock.now() - nanos(age);
        let mut draft = draft(bits, "alice", &format!("prod-{bits}"));
        draft.mfa = Some(proof(&format!("push-{bits}"), "alice", bits, verified_at));
        let created = bench.create(&draft, &unlimited()).await;
        assert_eq!(
            created.is_ok(),
            good,
            "verified {age} ns ago, five minutes allowed: {created:?}"
        );
    }
}

/// The emergency keeps the whole of the second factor that began it, demanded or not.
pub(super) async fn an_emergency_keeps_its_second_factor(bench: Bench) {
    let mut draft = draft(1, "alice", "prod");
    draft.mfa = Some(proof("phone-7:59104432", "alice", 1, start() - nanos(1)));
    let demanded = invocation(r#""mfa": {"required": true, "methods": ["totp"]}"#);
    bench.invoke(&draft, &demanded).await.unwrap();
    assert_eq!(
        bench.get(1).await.mfa,
        draft.mfa,
        "as the host vouched for it"
    );
    bench.made(1, &close("alice", "prod")).await;
    assert_eq!(bench.get(1).await.mfa, draft.mfa, "and ever after");
}
