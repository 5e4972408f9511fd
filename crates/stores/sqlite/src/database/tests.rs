//! What tests of the public interface cannot reach.

#![allow(clippy::unwrap_used, clippy::panic)]

use countersign_request::*;

use super::*;

#[tokio::test]
async fn every_connection_waits_for_the_disk_itself_where_that_takes_more_than_fsync() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countersign.db");
    let database = Database::open(&path, &Options::default()).unwrap();
    let asked = |connection: &Connection| {
        let of = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        Ok([
            of("fullfsync")?,
            of("checkpoint_fullfsync")?,
            of("synchronous")?,
        ])
    };
    let expected = [1, 1, 2];
    assert_eq!(
        database
            .write::<_, Error>(move |writing| asked(&writing.connection))
            .await
            .unwrap(),
        expected
    );
    assert_eq!(database.read::<_, Error>(asked).await.unwrap(), expected);
}

#[test]
fn an_engine_that_can_lose_commits_is_refused_and_the_next_is_not() {
    for old in [3_050_002, 3_051_002, LEAST_ENGINE - 1] {
        let refused = check_engine(old).unwrap_err();
        assert!(
            refused.to_string().contains("SQLite 3.51.3 or newer"),
            "{refused}"
        );
    }
    for version in [LEAST_ENGINE, 3_052_000, rusqlite::version_number()] {
        assert!(check_engine(version).is_ok());
    }
}

/// A full disk is a file that may not grow: to the engine both are the same.
#[tokio::test]
async fn a_full_disk_is_an_error_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countersign.db");
    let database = Database::open(&path, &Options::default()).unwrap();
    let store = crate::RequestStore::new(&database, Arc::new(SystemClock));
    let most = |pages: i64| {
        database.write::<_, Error>(move |writing| {
            let pages: i64 = writing.connection.pragma_update_and_check(
                None,
                "max_page_count",
                pages,
                |row| row.get(0),
            )?;
            Ok(pages)
        })
    };
    let rules: ApprovalPolicy =
        r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob"]}]}"#
            .parse()
            .unwrap();
    let prod = Profile::new("prod").unwrap();
    let terms = Terms::of(&rules, &prod);
    let draft = |id| Draft {
        id: RequestId::from_bits(id),
        requester: User::new("alice").unwrap(),
        profile: prod.clone(),
        duration: Duration::from_secs(600),
        justification: "look at the slow query".into(),
        ticket: None,
        policy: None,
        idempotency_key: None,
    };
    // Not less than it has: the engine answers with what it has set.
    most(1).await.unwrap();
    let mut id = 0;
    let failed = loop {
        id += 1;
        assert!(id < 1_000, "the file grows all the same");
        if let Err(error) = store.create(&draft(id), &terms).await {
            break error;
        }
    };
    assert!(failed.to_string().contains("the disk is full"), "{failed}");
    assert!(matches!(
        failed,
        Error::Backend(countersign_core::engine::Failure {
            is_retryable: true,
            outcome: Outcome::NotApplied,
            ..
        })
    ));
    let missing = store.get(RequestId::from_bits(id)).await;
    assert!(
        matches!(missing, Err(Error::NotFound { .. })),
        "nothing was made"
    );
    most(1_000_000).await.unwrap();
    store.create(&draft(id), &terms).await.unwrap();
    let report = store.verify(None).await.unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
}
