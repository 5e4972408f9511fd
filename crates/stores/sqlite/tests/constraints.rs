//! What the file refuses whoever writes: each rule of the schema, by a plain connection, and next
//! to each the nearest write that is let.

#![cfg(all(feature = "policy", feature = "request", feature = "breakglass"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use rusqlite::Connection;

mod common;

use common::filled::{Filled, filled};

/// Each write that is refused, and what is said.
const REFUSED: &[(&str, &str)] = &[
    // Identity.
    (
        "UPDATE request SET requester = 'eve', updated_at = 1 + (SELECT max(version) FROM request_ledger)",
        "never changes",
    ),
    (
        "UPDATE request SET id = '00000000000000ff', updated_at = 1 + (SELECT max(version) FROM request_ledger) WHERE status = 'pending'",
        "never changes",
    ),
    (
        "UPDATE OR REPLACE request SET id = '0000000000000001', updated_at = 1 + (SELECT max(version) FROM request_ledger) WHERE status = 'pending'",
        "never changes",
    ),
    (
        "UPDATE request SET justification = 'x', updated_at = 1 + (SELECT max(version) FROM request_ledger) WHERE status = 'pending'",
        "never changes",
    ),
    (
        "UPDATE request SET decide_by = decide_by + 1, updated_at = 1 + (SELECT max(version) FROM request_ledger) WHERE status = 'pending'",
        "never changes",
    ),
    (
        "UPDATE request SET created_at = created_at + 1, updated_at = 1 + (SELECT max(version) FROM request_ledger) WHERE status = 'pending'",
        "never changes",
    ),
    (
        "UPDATE emergency SET profile = 'dev', updated_at = 1 + (SELECT max(version) FROM emergency_ledger)",
        "never changes",
    ),
    (
        "UPDATE emergency SET mfa_id = 'phone:9', updated_at = 1 + (SELECT max(version) FROM emergency_ledger)",
        "never changes",
    ),
    (
        "UPDATE emergency SET expires_at = expires_at + 1, updated_at = 1 + (SELECT max(version) FROM emergency_ledger)",
        "never changes",
    ),
    // Status.
    (
        "UPDATE request SET status = 'approved', updated_at = updated_at + 1000000000000000 WHERE status = 'cancelled'",
        "does not lead",
    ),
    (
        "UPDATE request SET status = 'pending', updated_at = updated_at + 1000000000000000 WHERE status = 'approved'",
        "does not lead",
    ),
    (
        "UPDATE request SET status = 'revoked', updated_at = updated_at + 1000000000000000 WHERE status = 'pending'",
        "does not lead",
    ),
    (
        "UPDATE request SET status = 'other', updated_at = updated_at + 1000000000000000 WHERE status = 'pending'",
        "does not lead",
    ),
    (
        "UPDATE emergency SET status = 'active', updated_at = updated_at + 1000000000000000 WHERE status = 'closed'",
        "does not lead",
    ),
    (
        "UPDATE emergency SET review = 'bad', updated_at = updated_at + 1000000000000000 WHERE reviewed_at IS NOT NULL",
        "a review never changes",
    ),
    // Versions.
    ("UPDATE request SET note = 'x'", "a later version"),
    (
        "UPDATE request SET note = 'x', updated_at = updated_at + 1 WHERE status = 'pending'",
        "a later version",
    ),
    (
        "UPDATE emergency SET note = 'x', updated_at = (SELECT max(version) FROM emergency_ledger)",
        "a later version",
    ),
    (
        "INSERT INTO policy_version (created, name, replaces, digest, document) SELECT created - 1, 'third', NULL, digest, document FROM policy_version ORDER BY created LIMIT 1",
        "a later version",
    ),
    (
        "INSERT INTO policy_version (created, name, replaces, digest, document) SELECT v, 'main', NULL, 'x', '{}' FROM (SELECT 1 + max(version) AS v FROM policy_ledger)",
        "says which it replaces",
    ),
    (
        "INSERT INTO policy_version (created, name, replaces, digest, document) SELECT v, 'other', (SELECT max(created) FROM policy_version WHERE name = 'other'), 'x', '{}' FROM (SELECT 1 + max(version) AS v FROM policy_ledger)",
        "says which it replaces",
    ),
    (
        "UPDATE policy_version SET document = '{}'",
        "a version never changes",
    ),
    // One active emergency.
    (
        "INSERT INTO emergency (created, id, invoker, invoker_folded, profile, duration, reason_code, justification, escalate, created_at, expires_at, status, ended_at, updated_at) SELECT v, '00000000000000ff', 'BOB', 'bob', 'prod', 1, 'other', 'x', 0, v, v + 1, 'active', v + 1, v FROM (SELECT 1 + max(version) AS v FROM emergency_ledger)",
        "one active emergency",
    ),
    (
        "INSERT OR REPLACE INTO emergency (created, id, invoker, invoker_folded, profile, duration, reason_code, justification, escalate, created_at, expires_at, status, ended_at, updated_at) SELECT v, '00000000000000ff', 'BOB', 'bob', 'prod', 1, 'other', 'x', 0, v, v + 1, 'active', v + 1, v FROM (SELECT 1 + max(version) AS v FROM emergency_ledger)",
        "one active emergency",
    ),
    // Creation.
    (
        "INSERT OR REPLACE INTO request (created, id, requester, profile, duration, justification, ends_with_policy, created_at, decide_by, status, updated_at) SELECT v, '0000000000000001', 'eve', 'prod', 1, 'x', 0, v, v + 1, 'pending', v FROM (SELECT 1 + max(version) AS v FROM request_ledger)",
        "begins pending",
    ),
    (
        "INSERT INTO request (created, id, requester, profile, duration, justification, ends_with_policy, created_at, decide_by, status, updated_at) SELECT v, '00000000000000ff', 'eve', 'prod', 1, 'x', 0, v, v + 1, 'approved', v FROM (SELECT 1 + max(version) AS v FROM request_ledger)",
        "begins pending",
    ),
    (
        "INSERT INTO request (created, id, requester, profile, duration, justification, ends_with_policy, created_at, decide_by, status, updated_at) SELECT v, '00000000000000ff', 'eve', 'prod', 1, 'x', 0, v, v + 1, 'pending', v FROM (SELECT max(version) AS v FROM request_ledger)",
        "begins pending",
    ),
    (
        "INSERT INTO emergency (created, id, invoker, invoker_folded, profile, duration, reason_code, justification, escalate, created_at, expires_at, status, ended_at, updated_at) SELECT v, '00000000000000ff', 'eve', 'eve', 'prod', 1, 'other', 'x', 0, v, v + 1, 'closed', v + 1, v FROM (SELECT 1 + max(version) AS v FROM emergency_ledger)",
        "begins active",
    ),
    (
        "INSERT INTO policy_version (created, name) SELECT v, 'third' FROM (SELECT 1 + max(version) AS v FROM policy_ledger)",
        "CHECK constraint failed",
    ),
    (
        "INSERT OR REPLACE INTO policy_version (created, name, replaces, digest, document) SELECT created, name, replaces, 'x', '{}' FROM policy_version WHERE document IS NOT NULL",
        "a later version",
    ),
    // Histories.
    (
        "UPDATE request_history SET reason = 'x'",
        "only appended to",
    ),
    (
        "UPDATE emergency_history SET actor = 'eve' WHERE actor IS NOT NULL",
        "only appended to",
    ),
    (
        "DELETE FROM request_history WHERE action = 'noted'",
        "deleted with its request",
    ),
    (
        "DELETE FROM emergency_history WHERE action = 'reviewed'",
        "deleted with its emergency",
    ),
    (
        "INSERT INTO request_history SELECT record, version + 1, at, version, 'noted', 'user', 'eve', 'x', NULL, digest FROM request_history ORDER BY version DESC LIMIT 1",
        "grows at its end",
    ),
    (
        "INSERT OR REPLACE INTO request_history SELECT record, version, at, previous, action, actor_kind, 'eve', reason, idempotency_key, digest FROM request_history ORDER BY version DESC LIMIT 1",
        "grows at its end",
    ),
    (
        "INSERT INTO emergency_history SELECT record, version + 1, at, version, 'noted', NULL, 'user', 'eve', 'x', NULL, digest FROM emergency_history ORDER BY version DESC LIMIT 1",
        "grows at its end",
    ),
    (
        "INSERT INTO emergency_history SELECT 7, 1 + max(version), 0, NULL, 'created', NULL, 'user', 'eve', 'x', NULL, zeroblob(32) FROM emergency_ledger",
        "grows at its end",
    ),
    // Ledgers.
    (
        "UPDATE request_ledger SET digest = zeroblob(32)",
        "only appended to",
    ),
    (
        "UPDATE emergency_ledger SET head = zeroblob(32)",
        "only appended to",
    ),
    (
        "UPDATE policy_history SET author = 'eve'",
        "only appended to",
    ),
    (
        "DELETE FROM policy_history WHERE action = 'deleted'",
        "deleted with its version",
    ),
    (
        "INSERT INTO policy_history (record, version, at, action, digest) SELECT record, version + 1, at, 'put', digest FROM policy_history",
        "one entry",
    ),
    (
        "INSERT OR REPLACE INTO policy_history (record, version, at, action, author, digest) SELECT record, version, at, action, 'eve', digest FROM policy_history",
        "one entry",
    ),
    ("UPDATE policy_ledger SET id = 'x'", "only appended to"),
    ("DELETE FROM request_ledger", "only appended to"),
    ("DELETE FROM emergency_ledger", "only appended to"),
    (
        "DELETE FROM policy_ledger WHERE position = 1",
        "only appended to",
    ),
    (
        "INSERT OR REPLACE INTO request_ledger (position, version, at, writer, action, record, id, digest, head) SELECT position, version, (SELECT max(at) FROM request_ledger), writer, action, record, id, zeroblob(32), head FROM request_ledger WHERE position = 1",
        "grows at its end",
    ),
    (
        "INSERT INTO request_ledger (position, version, at, writer, action, record, id, digest, head) SELECT position + 2, version + 1, at, writer, action, record, id, digest, head FROM request_ledger ORDER BY position DESC LIMIT 1",
        "grows at its end",
    ),
    (
        "INSERT INTO request_ledger (position, version, at, writer, action, record, id, digest, head) SELECT position + 1, version, at, writer, action, record, id, digest, head FROM request_ledger ORDER BY position DESC LIMIT 1",
        "by a later version",
    ),
    (
        "INSERT INTO policy_ledger (position, version, at, writer, action, record, id, digest, head) SELECT position + 1, version, at, writer, action, record, id, digest, head FROM policy_ledger ORDER BY position DESC LIMIT 1",
        "by a later version",
    ),
    // Deletion.
    (
        "DELETE FROM request WHERE status = 'cancelled'",
        "the ledger has just said so",
    ),
    (
        "DELETE FROM emergency WHERE status = 'closed'",
        "the ledger has just said so",
    ),
    (
        "DELETE FROM policy_version WHERE created IN (SELECT replaces FROM policy_version)",
        "the ledger has just said so",
    ),
    (
        "INSERT INTO policy_ledger (position, version, at, writer, action, record, id, digest, head) SELECT l.position + 1, l.version + 1, l.at, l.writer, 'deleted', kept.created, kept.id, l.digest, l.head FROM policy_ledger AS l, policy_version AS kept ORDER BY l.position DESC, kept.created DESC LIMIT 1",
        "only a version that another has taken the place of",
    ),
    (
        "INSERT INTO policy_ledger (position, version, at, writer, action, record, id, digest, head) SELECT position + 1, version + 1, at - 1, writer, action, record, id, digest, head FROM policy_ledger ORDER BY position DESC LIMIT 1",
        "time runs backwards",
    ),
    (
        "INSERT INTO request_ledger (position, version, at, writer, action, record, id, digest, head) SELECT l.position + 1, l.version + 1, l.at, l.writer, 'deleted', r.created, r.id, l.digest, l.head FROM request_ledger AS l, request AS r WHERE r.status = 'pending' ORDER BY l.position DESC LIMIT 1",
        "only a request that is over",
    ),
    (
        "INSERT INTO request_ledger (position, version, at, writer, action, record, id, digest, head) SELECT l.position + 1, l.version + 1, r.access_until - 1, l.writer, 'deleted', r.created, r.id, l.digest, l.head FROM request_ledger AS l, request AS r WHERE r.status = 'approved' ORDER BY l.position DESC LIMIT 1",
        "only a request that is over",
    ),
    (
        "INSERT INTO emergency_ledger (position, version, at, writer, action, record, id, digest, head) SELECT l.position + 1, l.version + 1, l.at, l.writer, 'deleted', e.created, e.id, l.digest, l.head FROM emergency_ledger AS l, emergency AS e WHERE e.status = 'expired' ORDER BY l.position DESC LIMIT 1",
        "over and reviewed",
    ),
];

#[test]
fn other_writers_cannot_break_the_rules() {
    let Filled { _folder, path, .. } = filled();
    let connection = Connection::open(&path).unwrap();
    for foreign_keys in [true, false] {
        connection
            .pragma_update(None, "foreign_keys", foreign_keys)
            .unwrap();
        for (sql, said) in REFUSED {
            match connection.execute_batch(sql) {
                Err(error) => assert!(error.to_string().contains(said), "{sql}: {error}"),
                Ok(()) => panic!("it was let: {sql}"),
            }
        }
    }
}

/// The nearest writes that are let: what the stores do.
const LET: &[&str] = &[
    "UPDATE request SET note = 'x', updated_at = 1 + (SELECT max(version) FROM request_ledger) WHERE status = 'pending'",
    "UPDATE request SET status = 'denied', updated_at = 1 + (SELECT max(version) FROM request_ledger) WHERE status = 'pending'",
    "UPDATE request SET status = 'released', updated_at = 1 + (SELECT max(version) FROM request_ledger) WHERE status = 'approved'",
    "UPDATE emergency SET status = 'expired', updated_at = 1 + (SELECT max(version) FROM emergency_ledger) WHERE status = 'active'",
    "INSERT INTO emergency (created, id, invoker, invoker_folded, profile, duration, reason_code, justification, escalate, created_at, expires_at, status, ended_at, updated_at) SELECT v, '00000000000000ff', 'BOB', 'bob', 'dev', 1, 'other', 'x', 0, v, v + 1, 'active', v + 1, v FROM (SELECT 1 + max(version) AS v FROM emergency_ledger)",
    "INSERT INTO request (created, id, requester, profile, duration, justification, ends_with_policy, created_at, decide_by, status, updated_at) SELECT v, '00000000000000ff', 'eve', 'prod', 1, 'x', 0, v, v + 1, 'pending', v FROM (SELECT 1 + max(version) AS v FROM request_ledger)",
    "INSERT INTO request_ledger (position, version, at, writer, action, record, id, digest, head) SELECT position + 1, version + 1, at, writer, action, record, id, digest, head FROM request_ledger ORDER BY position DESC LIMIT 1",
    "INSERT INTO policy_version (created, name, replaces, digest, document) SELECT v, 'other', NULL, 'x', '{}' FROM (SELECT 1 + max(version) AS v FROM policy_ledger); INSERT INTO policy_history (record, version, at, action, digest) SELECT v, v, v, 'put', zeroblob(32) FROM (SELECT 1 + max(version) AS v FROM policy_ledger)",
    "INSERT INTO policy_version (created, name, replaces) SELECT v, 'main', (SELECT max(created) FROM policy_version WHERE name = 'main') FROM (SELECT 1 + max(version) AS v FROM policy_ledger); INSERT INTO policy_history (record, version, at, action, digest) SELECT v, v, v, 'deleted', zeroblob(32) FROM (SELECT 1 + max(version) AS v FROM policy_ledger)",
    "INSERT INTO policy_ledger (position, version, at, writer, action, record, id, digest, head) SELECT position + 1, version + 1, at, writer, action, record, id, digest, head FROM policy_ledger ORDER BY position DESC LIMIT 1",
    "INSERT INTO policy_ledger (position, version, at, writer, action, record, id, digest, head) SELECT l.position + 1, l.version + 1, l.at, l.writer, 'deleted', kept.created, kept.id, l.digest, l.head FROM policy_ledger AS l, policy_version AS kept WHERE kept.created IN (SELECT replaces FROM policy_version) ORDER BY l.position DESC, kept.created LIMIT 1; DELETE FROM policy_history WHERE record = (SELECT record FROM policy_ledger ORDER BY position DESC LIMIT 1); DELETE FROM policy_version WHERE created = (SELECT record FROM policy_ledger ORDER BY position DESC LIMIT 1)",
    "INSERT INTO request_ledger (position, version, at, writer, action, record, id, digest, head) SELECT l.position + 1, l.version + 1, r.access_until, l.writer, 'deleted', r.created, r.id, l.digest, l.head FROM request_ledger AS l, request AS r WHERE r.status = 'approved' ORDER BY l.position DESC LIMIT 1; DELETE FROM request_history WHERE record = (SELECT created FROM request WHERE status = 'approved'); DELETE FROM request WHERE status = 'approved'",
    "INSERT INTO emergency_ledger (position, version, at, writer, action, record, id, digest, head) SELECT l.position + 1, l.version + 1, l.at, l.writer, 'deleted', e.created, e.id, l.digest, l.head FROM emergency_ledger AS l, emergency AS e WHERE e.status = 'closed' ORDER BY l.position DESC LIMIT 1; DELETE FROM emergency_history WHERE record = (SELECT created FROM emergency WHERE status = 'closed'); DELETE FROM emergency WHERE status = 'closed'",
];

#[test]
fn what_keeps_the_rules_is_let() {
    let Filled { _folder, path, .. } = filled();
    let connection = Connection::open(&path).unwrap();
    for sql in LET {
        connection.execute_batch("BEGIN").unwrap();
        if let Err(error) = connection.execute_batch(sql) {
            panic!("it was refused: {sql}: {error}");
        }
        assert!(connection.changes() > 0, "nothing was written: {sql}");
        connection.execute_batch("ROLLBACK").unwrap();
    }
}

#[test]
fn two_active_emergencies_of_one_user_and_profile_break_an_index_too() {
    let Filled { _folder, path, .. } = filled();
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("DROP TRIGGER emergency_is_alone")
        .unwrap();
    let (sql, _) = REFUSED
        .iter()
        .find(|(_, said)| *said == "one active emergency")
        .unwrap();
    let refused = connection.execute_batch(sql).unwrap_err().to_string();
    assert!(
        refused.contains("UNIQUE constraint failed: emergency.invoker_folded"),
        "{refused}"
    );
}

#[test]
fn an_auditor_reads_times_as_text() {
    let Filled { _folder, path, .. } = filled();
    let connection = Connection::open(&path).unwrap();
    let text = |sql: &str| {
        connection
            .query_row(sql, [], |row| row.get::<_, String>(0))
            .unwrap()
    };
    let first = "WHERE id = '0000000000000001'";
    assert_eq!(
        text(&format!("SELECT created_at FROM request_utc {first}")),
        "2026-03-02T09:00:00.000000000Z"
    );
    assert_eq!(
        text(&format!("SELECT access_until FROM request_utc {first}")),
        "2026-03-02T10:00:04.000000000Z"
    );
    assert_eq!(
        text(&format!(
            "SELECT group_concat(action) FROM request_history_utc {first}"
        )),
        "created,approved,noted,noted"
    );
    assert_eq!(
        text(&format!(
            "SELECT mfa_verified_at FROM emergency_utc {first}"
        )),
        text(&format!("SELECT created_at FROM emergency_utc {first}")),
    );
    assert_eq!(
        text("SELECT max(version) FROM policy_utc WHERE is_current"),
        text("SELECT max(version) FROM policy_utc")
    );
    assert_eq!(
        text("SELECT max(action) FROM emergency_history_utc"),
        "reviewed"
    );
}
