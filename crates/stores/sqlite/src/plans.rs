//! The plans of every statement that the stores run, as the engine makes them: none walks a table or
//! sorts, in an empty file and in a filled one, without statistics and with them.
//!
//! Statistics are never gathered by a store, and may be by an operator; with them the engine may
//! choose another index, which `INDEXED BY` rules out.

#![allow(clippy::unwrap_used)]

use rusqlite::Connection;

use crate::{breakglass, policy, request};

fn statements() -> impl Iterator<Item = &'static str> {
    let all = [
        request::rows::STATEMENTS,
        breakglass::rows::STATEMENTS,
        policy::rows::STATEMENTS,
    ];
    all.into_iter().flatten().copied()
}

/// The steps of a statement's plan.
fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .unwrap();
    let count = statement.parameter_count();
    let nulls = rusqlite::params_from_iter(std::iter::repeat_n(rusqlite::types::Null, count));
    let steps = statement.query_map(nulls, |row| row.get("detail")).unwrap();
    steps.collect::<Result<_, _>>().unwrap()
}

/// What a plan must not do. The last row of a ledger and the next of the policies are read in the
/// order of a key, and their statements take so many rows and no more.
fn wrong(step: &str) -> bool {
    let walks = step.starts_with("SCAN") && !step.contains("_ledger");
    walks || step.contains("TEMP B-TREE") || step.contains("AUTOMATIC")
}

fn assert_plans(connection: &Connection, when: &str) {
    for sql in statements() {
        let steps = plan(connection, sql);
        assert!(
            !steps.iter().any(|step| wrong(step)),
            "{when}: {sql}: {steps:#?}"
        );
        if let Some((_, index)) = sql.split_once("INDEXED BY ") {
            let index = index.split(' ').next().unwrap();
            let used = steps
                .iter()
                .any(|step| step.contains(&format!("INDEX {index}")));
            assert!(used, "{when}: {sql}: {steps:#?}");
        }
    }
}

/// Rows of which no index tells many apart, as statistics will say.
const FILL: &str = "
    PRAGMA foreign_keys = OFF;
    CREATE TEMP TABLE number AS
        WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 2000)
        SELECT n FROM number;
    INSERT INTO request (created, id, requester, profile, duration, justification,
        ends_with_policy, created_at, decide_by, status, access_from, access_until, ended_at,
        updated_at)
        SELECT n, printf('%016x', n), 'alice', 'prod', 1, 'x', 0, n, n, 'approved', n, n, n, n
        FROM number;
    INSERT INTO request_history (record, version, at, action, actor_kind, actor, idempotency_key, digest)
        SELECT n, n, n, 'created', 'user', 'alice', printf('%016x', n), zeroblob(32) FROM number;
    INSERT INTO request_ledger (position, version, at, writer, action, record, id, digest, head)
        SELECT n, n, n, 1, 'entry', n, printf('%016x', n), zeroblob(32), zeroblob(32) FROM number;
    INSERT INTO emergency (created, id, invoker, invoker_folded, profile, duration, reason_code,
        justification, mfa_id, escalate, created_at, expires_at, status, ended_at, reviewed_at,
        updated_at)
        SELECT n, printf('%016x', n), 'alice', 'alice', 'prod', 1, 'other', 'x', 'p', 0, n, n,
        'closed', n, iif(n % 2, n, NULL), n FROM number;
    INSERT INTO emergency_history (record, version, at, action, actor_kind, actor, idempotency_key, digest)
        SELECT n, n, n, 'created', 'user', 'alice', printf('%016x', n), zeroblob(32) FROM number;
    INSERT INTO emergency_ledger (position, version, at, writer, action, record, id, digest, head)
        SELECT n, n, n, 1, 'entry', n, printf('%016x', n), zeroblob(32), zeroblob(32) FROM number;
    INSERT INTO emergency_proof_used SELECT printf('%x', n), 'x' FROM number;
    INSERT INTO policy_version (created, name, replaces, digest, document)
        SELECT n, 'main', nullif(n, 1) - 1, 'x', '{}' FROM number;
    INSERT INTO policy_history (record, version, at, action, idempotency_key, digest)
        SELECT n, n, n, 'put', printf('%016x', n), zeroblob(32) FROM number;
    INSERT INTO policy_ledger (position, version, at, writer, action, record, id, digest, head)
        SELECT n, n, n, 1, 'entry', n, 'main', zeroblob(32), zeroblob(32) FROM number;";

#[test]
fn no_statement_walks_a_table_or_sorts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countersign.db");
    let mut connection = Connection::open(&path).unwrap();
    crate::schema::prepare(&mut connection, &path).unwrap();
    assert_plans(&connection, "empty");
    connection.execute_batch("ANALYZE").unwrap();
    assert_plans(&connection, "empty, with statistics");
    let triggers: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for name in triggers {
        connection
            .execute_batch(&format!("DROP TRIGGER {name}"))
            .unwrap();
    }
    connection.execute_batch(FILL).unwrap();
    assert_plans(&connection, "filled");
    connection.execute_batch("ANALYZE").unwrap();
    assert_plans(&connection, "filled, with statistics");
}

#[test]
fn a_walk_and_a_sort_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countersign.db");
    let mut connection = Connection::open(&path).unwrap();
    crate::schema::prepare(&mut connection, &path).unwrap();
    for sql in [
        "SELECT * FROM request WHERE note = ?1",
        "SELECT * FROM request WHERE requester = ?1 ORDER BY note",
    ] {
        let steps = plan(&connection, sql);
        assert!(steps.iter().any(|step| wrong(step)), "{sql}: {steps:#?}");
    }
}
