//! What an invalidation ends, for whom, and what it leaves alone.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_load_begun_before_an_invalidation_is_never_seen_after_it() {
    for all in [false, true] {
        let Fixture { source, cache, .. } = fixture(short());
        source.gate("main");
        source.answers(Ok(policy("old")));
        let waiting = spawn_load(&cache, "main");
        source.started.notified().await;
        if all {
            cache.invalidate_all()
        } else {
            cache.invalidate("main")
        }
        source.answers(Ok(policy("new")));
        source.gate("nothing");
        let served = waiting.await.unwrap().unwrap();
        assert_eq!(
            served.policy.rules()[0].name(),
            "new",
            "the waiter got what came after"
        );
        source.gate.notify_one();
        settle().await;
        let held = cache.get("main").unwrap();
        assert_eq!(
            held.policy.rules()[0].name(),
            "new",
            "the older load was published late"
        );
        cache.inner.core.audit().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn invalidation_forgets_stale_policies_too() {
    let Fixture { source, cache, .. } = expired(forgiving()).await;
    cache.invalidate("main");
    source.answers(failed());
    assert!(matches!(
        cache.load("main").await,
        Err(LoadError::Failed { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn endless_invalidation_ends_in_an_error() {
    let Fixture { source, cache, .. } = fixture(short());
    source.gate("main");
    let waiting = spawn_load(&cache, "main");
    for _ in 0..MAX_RESTARTS {
        source.started.notified().await;
        cache.invalidate("main");
    }
    assert!(matches!(
        waiting.await.unwrap(),
        Err(LoadError::Superseded { .. })
    ));
}

/// Polls once; the future must have to wait.
fn begin(load: &mut Pin<Box<impl Future>>) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(load.as_mut().poll(&mut context).is_pending());
}

#[tokio::test(start_paused = true)]
async fn what_a_load_answered_before_an_invalidation_answers_nobody_after_it() {
    type Told = fn(&Source);
    let panics: Told = |source| *source.panics.lock().unwrap() = true;
    let answers: [(&str, CacheConfig, Told); 5] = [
        ("a policy", short(), |source| {
            source.answers(Ok(policy("old")))
        }),
        ("a failure", short(), |source| source.answers(failed())),
        ("not found", short(), |source| source.answers(not_found())),
        ("a panic", short(), panics),
        ("a stale policy", forgiving(), |source| {
            source.answers(failed())
        }),
    ];
    for (what, config, told) in answers {
        for all in [false, true] {
            let Fixture { source, cache, .. } = expired(config.clone()).await;
            told(&source);
            let mut waiting = Box::pin(cache.load("main"));
            begin(&mut waiting);
            // The load ends, and who waits for it has not looked yet.
            settle().await;
            assert_eq!(cache.stats().loads, 2);
            assert_eq!(cache.inner.core.wakers_held("main"), 0, "it has ended");
            match all {
                false => cache.invalidate("main"),
                true => cache.invalidate_all(),
            }
            *source.panics.lock().unwrap() = false;
            source.answers(Ok(policy("new")));
            let served = waiting.await.unwrap_or_else(|error| {
                panic!("{what} of before the invalidation was told after it: {error}")
            });
            assert_eq!(served.policy.rules()[0].name(), "new", "{what}");
            cache.inner.core.audit().unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_of_another_name_restarts_nobody() {
    for fails in [false, true] {
        let Fixture { source, cache, .. } = fixture(short());
        if fails {
            source.answers(failed());
        }
        // As often as a restart would end in `Superseded`.
        for round in 0..=MAX_RESTARTS as u64 {
            let mut waiting = Box::pin(cache.load("main"));
            begin(&mut waiting);
            settle().await;
            // Of a name that nobody knows, and of one that somebody waits for.
            cache.invalidate("nobody's");
            let mut other = Box::pin(cache.load("other"));
            begin(&mut other);
            cache.invalidate("other");
            let result = waiting.await;
            assert_eq!(result.is_err(), fails, "nobody invalidated it: {result:?}");
            // Who was restarted would have found what is held, or loaded it again.
            let stats = cache.stats();
            assert_eq!((stats.loads, stats.hits), (2 * round + 2, 0), "a restart");
            drop(other);
            settle().await;
            cache.invalidate_all();
        }
        cache.inner.core.audit().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn invalidating_all_empties_every_handle_and_ends_every_load() {
    let Fixture { source, cache, .. } = fixture(short());
    let handles = ["a", "b"].map(|name| cache.handle(name));
    source.answers(Ok(policy("old")));
    for handle in &handles {
        handle.load().await.unwrap();
    }
    let mut under_way = ["c", "d"].map(|name| Box::pin(cache.load(name)));
    under_way.iter_mut().for_each(begin);
    cache.invalidate_all();
    for handle in &handles {
        assert!(handle.get().is_none() && handle.with(|_| ()).is_none());
        assert!(cache.get(handle.name()).is_none(), "{}", handle.name());
    }
    source.answers(Ok(policy("new")));
    let shown = |served: Served<Arc<Policy>>| served.policy.rules()[0].name().to_owned();
    for load in under_way {
        assert_eq!(shown(load.await.unwrap()), "new");
    }
    for handle in &handles {
        assert_eq!(shown(handle.load().await.unwrap()), "new");
    }
    settle().await;
    cache.inner.core.audit().unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_age_and_expiry_count_from_the_load_that_answered() {
    for by_handle in [false, true] {
        let Fixture {
            source,
            ticks,
            cache,
        } = fixture(short());
        source.gate("main");
        let handle = cache.handle("main");
        let waiting = tokio::spawn({
            let (cache, handle) = (cache.clone(), handle.clone());
            async move {
                match by_handle {
                    true => handle.load().await,
                    false => cache.load("main").await,
                }
            }
        });
        source.started.notified().await;
        ticks.advance(TTL * 7);
        cache.invalidate("main");
        source.started.notified().await;
        ticks.advance(TTL - NANO);
        source.gate.notify_waiters();
        let served = waiting.await.unwrap().unwrap();
        assert_eq!(served.age, TTL - NANO, "it counts from the first load");
        assert_eq!(handle.get().map(|served| served.age), Some(TTL - NANO));
        ticks.advance(NANO);
        assert!(handle.get().is_none() && cache.get("main").is_none());
    }
}
