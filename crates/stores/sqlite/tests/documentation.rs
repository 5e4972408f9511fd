//! The statements of `docs/backends.md`, each run on a file that has something of everything: what
//! auditors ask is answered, and what operators do leaves a file that verifies.
#![cfg(all(feature = "policy", feature = "request", feature = "breakglass"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::path::Path;
use std::sync::Arc;

use countersign_core::clock::{Clock, ManualClock, SystemClock};
use countersign_sqlite::{Database, EmergencyStore, Head, PolicyStore, RequestStore};
use rusqlite::Connection;

mod common;

use common::filled::{Filled, filled};
use common::{block_on, quick};

/// The statements of the document, in its order.
fn statements() -> Vec<String> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/backends.md");
    let document = std::fs::read_to_string(document).unwrap();
    let mut statements = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if line == "```sql" {
            let text = lines.by_ref().take_while(|line| *line != "```");
            statements.push(text.collect::<Vec<_>>().join("\n"));
        }
    }
    statements
}

fn assert_verifies(path: &Path, heads: &[Head; 3], when: &str) {
    let database = Database::open(path, &quick()).unwrap();
    let clock = Arc::new(SystemClock);
    let reports = block_on(async {
        [
            RequestStore::new(&database, clock.clone())
                .verify(Some(&heads[0]))
                .await
                .unwrap(),
            EmergencyStore::new(&database, clock.clone())
                .verify(Some(&heads[1]))
                .await
                .unwrap(),
            PolicyStore::new(&database, clock)
                .verify(Some(&heads[2]))
                .await
                .unwrap(),
        ]
    });
    for report in reports {
        assert!(report.is_clean(), "after {when}: {:?}", report.findings);
    }
}

/// Access by a clock: by the machine's, which is the one of whoever asks who has it now.
fn somebody_has_access(database: &Database, clock: Arc<dyn Clock>) {
    use countersign_request::{ApprovalPolicy, Profile, User, Workflow};
    let rules: ApprovalPolicy =
        r#"{"version": "1", "rules": [{"name": "all", "approvers": ["carol"]}]}"#
            .parse()
            .unwrap();
    let store = RequestStore::new(database, clock.clone());
    let workflow = Workflow::new(Arc::new(store), Arc::new(rules));
    let [erin, carol] = ["erin", "carol"].map(|name| User::new(name).unwrap());
    let (dev, hour) = (
        Profile::new("dev").unwrap(),
        std::time::Duration::from_secs(3600),
    );
    let draft = workflow
        .draft(&erin, &dev, hour, "look at the slow query")
        .unwrap();
    block_on(async {
        let id = workflow.submit(&draft).await.unwrap().request.id;
        workflow.approve(id, &carol, None).await.unwrap();
    });
}

#[test]
fn every_statement_of_the_document_does_what_it_says() {
    let Filled {
        _folder,
        path,
        heads,
    } = filled();
    // Whoever asks, the service goes on.
    let service = Database::open(&path, &quick()).unwrap();
    let ahead = SystemClock.now() + std::time::Duration::from_secs(8 * 3600);
    somebody_has_access(&service, Arc::new(ManualClock::at(ahead)));
    somebody_has_access(&service, Arc::new(SystemClock));
    let (mut asked, mut done) = (0, 0);
    for sql in statements() {
        let connection = Connection::open(&path).unwrap();
        if sql.starts_with("SELECT") {
            let mut statement = connection.prepare(&sql).unwrap();
            assert!(statement.readonly());
            let mut rows = statement.query([]).unwrap();
            assert!(rows.next().unwrap().is_some(), "no answer to:\n{sql}");
            asked += 1;
        } else if sql == "VACUUM INTO 'backup.db';" {
            let backup = _folder.path().join("backup.db");
            let sql = sql.replace("backup.db", &backup.to_string_lossy());
            connection.execute_batch(&sql).unwrap();
            let overwritten = connection.execute_batch(&sql);
            assert!(overwritten.is_err(), "a backup overwrites no file");
            assert_verifies(&backup, &heads, "a backup");
            done += 1;
        } else if sql == "VACUUM;" {
            connection.execute_batch(&sql).unwrap();
            assert_verifies(&path, &heads, "giving room back");
            done += 1;
        } else {
            panic!("say here what is to come of:\n{sql}");
        }
    }
    drop(service);
    assert_eq!((asked, done), (8, 2), "the statements of the document");
}
