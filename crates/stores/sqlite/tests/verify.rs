//! Verification: an untouched file gives no finding, and every way of editing it past the store is
//! found, by a connection that first takes the triggers away.

#![cfg(all(feature = "policy", feature = "request", feature = "breakglass"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::path::Path;
use std::sync::Arc;

use countersign_sqlite::{
    Database, EmergencyStore, Head, Place, PolicyStore, Report, RequestStore,
};
use rusqlite::Connection;

mod common;

use common::filled::{Filled, filled};
use common::{block_on, quick};

struct Reports {
    request: Report,
    emergency: Report,
    policy: Report,
}

impl Reports {
    fn all(&self) -> [&Report; 3] {
        [&self.request, &self.emergency, &self.policy]
    }

    /// What was found, but for the triggers that the edit took away.
    fn shown(&self) -> Vec<String> {
        let findings = self.all().into_iter().flat_map(|report| &report.findings);
        let mut shown: Vec<_> = findings
            .map(|finding| (finding.place, finding.to_string()))
            .filter(|(place, text)| *place != Place::File || !text.contains("trigger"))
            .map(|(_, text)| text)
            .collect();
        shown.dedup();
        shown
    }
}

fn verified(path: &Path, heads: Option<&[Head; 3]>) -> Reports {
    let database = Database::open(path, &quick()).unwrap();
    let clock = Arc::new(countersign_core::clock::SystemClock);
    let known = |number: usize| heads.map(|heads| heads[number]);
    block_on(async {
        let requests = RequestStore::new(&database, clock.clone());
        let emergencies = EmergencyStore::new(&database, clock.clone());
        let policies = PolicyStore::new(&database, clock.clone());
        Reports {
            request: requests.verify(known(0).as_ref()).await.unwrap(),
            emergency: emergencies.verify(known(1).as_ref()).await.unwrap(),
            policy: policies.verify(known(2).as_ref()).await.unwrap(),
        }
    })
}

/// Takes the triggers away and edits the file.
fn edit(path: &Path, sql: &str) {
    let connection = Connection::open(path).unwrap();
    let mut names = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
        .unwrap();
    let names: Vec<String> = names
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for name in names {
        connection
            .execute_batch(&format!("DROP TRIGGER {name}"))
            .unwrap();
    }
    connection
        .execute_batch("PRAGMA foreign_keys = OFF")
        .unwrap();
    connection.execute_batch(sql).unwrap();
}

/// What is found in a filled file that was edited so.
fn found(sql: &str, with_heads: bool) -> Vec<String> {
    let Filled {
        _folder,
        path,
        heads,
    } = filled();
    edit(&path, sql);
    verified(&path, with_heads.then_some(&heads)).shown()
}

#[test]
fn an_untouched_file_gives_no_finding() {
    let Filled {
        _folder,
        path,
        heads,
    } = filled();
    for known in [None, Some(&heads)] {
        let reports = verified(&path, known);
        for (report, head) in reports.all().into_iter().zip(heads) {
            assert!(report.is_clean(), "{:?}", report.findings);
            assert_eq!((report.more, report.head), (0, head));
            assert!(report.records > 1 && report.entries > 3, "{report:?}");
        }
    }
}

#[test]
fn taking_the_triggers_away_is_found() {
    let Filled { _folder, path, .. } = filled();
    edit(&path, "");
    let reports = verified(&path, None);
    assert!(reports.shown().is_empty(), "nothing else is wrong");
    for report in reports.all() {
        assert!(report.findings.iter().any(|finding| {
            finding.place == Place::File
                && finding
                    .problem
                    .contains("`emergency_transition` is missing")
        }));
    }
}

/// Each edit, and what is said of it.
const EDITS: &[(&str, &str)] = &[
    // Changed.
    (
        "UPDATE request_history SET reason = 'never' WHERE action = 'approved'",
        "it was changed",
    ),
    (
        "UPDATE request_history SET actor = 'eve' WHERE action = 'approved'",
        "it was changed",
    ),
    (
        "UPDATE request_history SET idempotency_key = NULL",
        "changed",
    ),
    (
        "UPDATE emergency_history SET outcome = 'not_justified' WHERE action = 'reviewed'",
        "it was changed",
    ),
    (
        "UPDATE request_history SET digest = zeroblob(32) WHERE action = 'noted'",
        "it was changed",
    ),
    (
        "UPDATE policy_version SET document = replace(document, 'user-1', 'user-9')",
        "its digest is another",
    ),
    // Dropped, in the middle and at the end.
    (
        "DELETE FROM request_history WHERE action = 'noted'",
        "it was dropped",
    ),
    (
        "DELETE FROM emergency_history WHERE action = 'reviewed'",
        "it was dropped",
    ),
    (
        "DELETE FROM request_history WHERE action = 'created'",
        "it was dropped",
    ),
    (
        "DELETE FROM request WHERE status = 'approved'",
        "the request that it is of is gone",
    ),
    (
        "DELETE FROM emergency WHERE status = 'closed'; DELETE FROM emergency_history WHERE record NOT IN (SELECT created FROM emergency)",
        "it was dropped",
    ),
    (
        "DELETE FROM policy_history WHERE version = (SELECT min(version) FROM policy_history)",
        "it was dropped",
    ),
    (
        "DELETE FROM policy_version WHERE name = 'main'; DELETE FROM policy_history WHERE record NOT IN (SELECT created FROM policy_version)",
        "it was dropped",
    ),
    (
        "DELETE FROM policy_version WHERE created = (SELECT max(created) FROM policy_version)",
        "the policy that it is of is gone",
    ),
    // Added.
    (
        "INSERT INTO request_history SELECT record, version + 1, at, version, 'noted', 'user', 'eve', 'x', NULL, digest FROM request_history ORDER BY version DESC LIMIT 1",
        "it was added",
    ),
    (
        "INSERT INTO policy_version (created, name, replaces, digest, document) SELECT created + 1, name, created, digest, document FROM policy_version WHERE document IS NOT NULL ORDER BY created DESC LIMIT 1",
        "its history is empty or out of order",
    ),
    (
        "INSERT INTO policy_version (created, name, replaces, digest, document) SELECT created + 1, 'other', NULL, digest, document FROM policy_version WHERE document IS NOT NULL ORDER BY created DESC LIMIT 1; INSERT INTO policy_history SELECT record + 1, version + 1, at, action, author, reason, ticket, NULL, digest FROM policy_history ORDER BY version DESC LIMIT 1",
        "it was added",
    ),
    // Who put a policy, why and when.
    (
        "UPDATE policy_history SET author = 'eve' WHERE author IS NOT NULL",
        "it, or what identifies the record, was changed",
    ),
    (
        "UPDATE policy_history SET reason = 'x'",
        "it, or what identifies the record, was changed",
    ),
    (
        "UPDATE policy_history SET ticket = 'x'",
        "it, or what identifies the record, was changed",
    ),
    (
        "UPDATE policy_history SET idempotency_key = NULL",
        "it, or what identifies the record, was changed",
    ),
    (
        "UPDATE policy_history SET at = at + 1",
        "it, or what identifies the record, was changed",
    ),
    (
        "UPDATE policy_history SET action = 'deleted' WHERE action = 'put'",
        "its history is empty or out of order",
    ),
    // Reordered: two notes change their texts, or their places.
    (
        "UPDATE request_history SET reason = CASE reason WHEN 'first' THEN 'second' ELSE 'first' END WHERE reason IN ('first', 'second')",
        "it was changed",
    ),
    (
        "UPDATE request_history SET version = version + 1000000 WHERE action = 'approved'",
        "it was dropped",
    ),
    // Moved to another record.
    (
        "UPDATE request_history SET record = (SELECT max(created) FROM request) WHERE action = 'noted'",
        "another record",
    ),
    // What follows from the history.
    (
        "UPDATE request SET status = 'released' WHERE status = 'approved'",
        "it says",
    ),
    (
        "UPDATE request SET access_until = access_until + 1",
        "it says",
    ),
    (
        "UPDATE request SET approved_by = 'eve' WHERE approved_by IS NOT NULL",
        "it says",
    ),
    ("UPDATE emergency SET ended_at = ended_at + 1", "it says"),
    ("UPDATE emergency SET note = 'x'", "it says"),
    // What identifies a record.
    (
        "UPDATE request SET requester = 'eve'",
        "what identifies the record",
    ),
    (
        "UPDATE request SET justification = justification || ' and more'",
        "what identifies the record",
    ),
    (
        "UPDATE request SET decide_by = decide_by + 1",
        "what identifies the record",
    ),
    (
        "UPDATE request SET id = '00000000000000ff' WHERE id = '0000000000000001'",
        "what identifies the record",
    ),
    (
        "UPDATE policy_version SET name = 'other' WHERE name = 'main'",
        "what identifies the record",
    ),
    (
        "UPDATE policy_version SET replaces = NULL WHERE replaces IS NOT NULL AND document IS NOT NULL",
        "what identifies the record",
    ),
    (
        "UPDATE emergency SET profile = 'dev'",
        "what identifies the record",
    ),
    (
        "UPDATE emergency SET invoker_folded = 'eve'",
        "`invoker_folded`",
    ),
    (
        "UPDATE emergency SET mfa_id = 'phone:9' WHERE mfa_id IS NOT NULL",
        "what identifies the record",
    ),
    (
        "UPDATE emergency SET created = created + 1 WHERE status = 'closed'",
        "is gone",
    ),
    (
        "UPDATE emergency SET created_at = created_at + 1 WHERE status = 'closed'",
        "`created, created_at`",
    ),
    (
        "UPDATE emergency_history SET at = at - 1 WHERE action = 'closed'",
        "it was changed",
    ),
    (
        "UPDATE emergency_ledger SET writer = 7 WHERE position = 2",
        "its head does not follow",
    ),
    (
        "UPDATE emergency_ledger SET at = 7 WHERE position = 2",
        "its time is before",
    ),
    ("UPDATE emergency SET duration = -1", "out of range"),
    // The ledger.
    (
        "UPDATE request_ledger SET digest = zeroblob(32) WHERE position = 2",
        "its head does not follow",
    ),
    (
        "UPDATE request_ledger SET head = zeroblob(32) WHERE position = 2",
        "its head does not follow",
    ),
    (
        "DELETE FROM request_ledger WHERE position = 2",
        "the row before it is 1",
    ),
    (
        "DELETE FROM request_ledger WHERE position = (SELECT max(position) FROM request_ledger)",
        "it was added",
    ),
    ("DELETE FROM emergency_ledger", "it was added"),
    (
        "UPDATE emergency_ledger SET version = version - 1000000000 WHERE position = 3",
        "its version is not later",
    ),
    (
        "INSERT INTO request_ledger (position, version, at, writer, action, record, id, digest, head) SELECT position + 1, version + 1, at, writer, action, record, id, digest, head FROM request_ledger ORDER BY position DESC LIMIT 1",
        "its head does not follow",
    ),
    (
        "UPDATE policy_ledger SET id = 'other' WHERE position = 1",
        "its head does not follow",
    ),
    // A deletion that was not, and a record that is back.
    (
        "DELETE FROM request WHERE status = 'cancelled'; DELETE FROM request_history WHERE record NOT IN (SELECT created FROM request)",
        "it was dropped",
    ),
];

#[test]
fn every_edit_is_found_without_a_noted_head() {
    for (sql, said) in EDITS {
        let found = found(sql, false);
        assert!(
            found.iter().any(|text| text.contains(said)),
            "{sql}: {found:#?}"
        );
    }
}

#[test]
fn findings_name_the_record_and_the_place() {
    let sql = "UPDATE request_history SET reason = 'never' WHERE action = 'approved'";
    let found = found(sql, false);
    let [finding] = &found[..] else {
        panic!("one entry was changed: {found:#?}");
    };
    assert!(
        finding.starts_with("request `0000000000000001`, the entry of `2026-03-02T"),
        "{finding}"
    );
}

/// What is digested, written anew: each field as its kind, its length and its bytes.
fn digest(fields: &[(u8, &[u8])]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let mut sum = Sha256::new();
    for (kind, bytes) in fields {
        sum.update([*kind]);
        sum.update((bytes.len() as u64).to_be_bytes());
        sum.update(bytes);
    }
    sum.finalize().into()
}

#[test]
fn an_entry_that_was_changed_with_its_digest_is_found_by_the_ledger_alone() {
    let Filled { _folder, path, .. } = filled();
    let connection = Connection::open(&path).unwrap();
    let (from, to, at, before, stored): (i64, i64, i64, [u8; 32], [u8; 32]) = connection
        .query_row(
            "SELECT entry.previous, entry.version, entry.at, earlier.digest, entry.digest \
             FROM request_history AS entry \
             JOIN request_history AS earlier ON earlier.version = entry.previous \
             WHERE entry.reason = 'second'",
            [],
            |row| {
                let digests = (row.get(3)?, row.get(4)?);
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, digests.0, digests.1))
            },
        )
        .unwrap();
    drop(connection);
    let noted = |text: &str| {
        digest(&[
            (2, b"countersign request entry 1"),
            (3, &before),
            (2, b"noted"),
            (2, b"user"),
            (2, b"alice"),
            (2, text.as_bytes()),
            (0, b""),
            (1, &from.to_be_bytes()),
            (1, &to.to_be_bytes()),
            (1, &at.to_be_bytes()),
        ])
    };
    assert_eq!(
        noted("second"),
        stored,
        "the encoding is the one that is described"
    );
    let digits: String = noted("never")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    edit(
        &path,
        &format!(
            "UPDATE request_history SET reason = 'never', digest = x'{digits}' WHERE version = {to};
             UPDATE request SET note = 'never' WHERE note = 'second'"
        ),
    );
    let found = verified(&path, None).shown();
    let [finding] = &found[..] else {
        panic!("{found:#?}");
    };
    assert!(
        finding.contains("its digest is not the ledger's"),
        "{finding}"
    );
}

/// Puts the file back to what it was before the last change, wholly and consistently.
const TRUNCATE: &str = "
    CREATE TEMP TABLE last AS SELECT * FROM request_ledger ORDER BY position DESC LIMIT 1;
    DELETE FROM request_ledger WHERE position = (SELECT position FROM last);
    DELETE FROM request_history WHERE version = (SELECT version FROM last);
    UPDATE request SET note = 'first', updated_at = (
        SELECT max(version) FROM request_history WHERE record = created
    ) WHERE created = (SELECT record FROM last);";

#[test]
fn a_file_that_was_set_back_is_found_by_the_noted_head_alone() {
    assert_eq!(found(TRUNCATE, false), [""; 0], "it agrees with itself");
    let with_heads = found(TRUNCATE, true);
    assert_eq!(with_heads.len(), 1, "{with_heads:#?}");
    assert!(
        with_heads[0].contains("was noted, and the ledger ends at row"),
        "{with_heads:#?}"
    );
}

#[test]
fn a_file_that_was_written_anew_is_found_by_the_noted_head_alone() {
    let Filled {
        _folder,
        path,
        heads,
    } = filled();
    std::fs::remove_file(&path).unwrap();
    common::filled::fill(&path, "another justification");
    assert!(
        verified(&path, None)
            .all()
            .into_iter()
            .all(Report::is_clean)
    );
    let reports = verified(&path, Some(&heads));
    // The policies are the same: it is another who wrote them.
    for report in reports.all() {
        let [finding] = &report.findings[..] else {
            panic!("{:#?}", report.findings);
        };
        assert_eq!(finding.place, Place::Head);
        assert!(finding.problem.contains("in its place"), "{finding}");
    }
}

#[test]
fn a_head_of_another_store_is_said_to_be_one() {
    let Filled {
        _folder,
        path,
        heads,
    } = filled();
    let [request, emergency, policy] = heads;
    let reports = verified(&path, Some(&[emergency, policy, request]));
    for report in reports.all() {
        assert!(report.findings[0].problem.contains("of another store"));
    }
}

#[test]
fn an_older_head_is_still_met() {
    let Filled {
        _folder,
        path,
        heads,
    } = filled();
    let connection = Connection::open(&path).unwrap();
    let (position, head): (i64, [u8; 32]) = connection
        .query_row(
            "SELECT position, head FROM request_ledger WHERE position = 2",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let digits: String = head.iter().map(|byte| format!("{byte:02x}")).collect();
    let older: Head = format!("request-{position}-{digits}").parse().unwrap();
    drop(connection);
    assert!(
        verified(&path, Some(&[older, heads[1], heads[2]]))
            .request
            .is_clean()
    );
}

#[test]
fn findings_are_bounded_and_counted() {
    let Filled { _folder, path, .. } = filled();
    let many = "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 300)
        INSERT INTO request_history SELECT 5000 + n, n, 0, NULL, 'noted', 'user', 'eve', 'x', NULL, zeroblob(32) FROM number";
    edit(&path, many);
    let report = verified(&path, None).request;
    assert_eq!(report.findings.len(), 100);
    assert!(report.more >= 500, "{}", report.more);
}

#[test]
fn a_damaged_page_is_found_and_said() {
    let Filled { _folder, path, .. } = filled();
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    let page: u64 = connection
        .query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'request_status'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    drop(connection);
    let mut bytes = std::fs::read(&path).unwrap();
    let start = (page as usize - 1) * 4096;
    bytes[start..start + 4096].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let reports = verified(&path, None);
    for report in reports.all() {
        assert!(
            report
                .findings
                .iter()
                .any(|finding| finding.place == Place::File),
            "{report:?}"
        );
    }
}
