//! What auditors read: who approved what, who has access now, and all that happened, each by the
//! views of the file and a plain connection.

#![cfg(all(feature = "policy", feature = "request", feature = "breakglass"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_breakglass as breakglass;
use countersign_request as request;
use countersign_sqlite::{Database, EmergencyStore, RequestStore};
use request::{ApprovalPolicy, Clock, ManualClock, Profile, RequestId, SystemClock, User};
use rusqlite::Connection;

mod common;

use common::filled::{Filled, filled};
use common::{START, at, block_on, profile, quick, user};

const RULES: &str = r#"{"version": "1", "rules": [
    {"name": "two of a group", "profiles": ["prod"], "groups": [
        {"name": "operators", "approvers": ["bob", "carol", "dave"], "threshold": 2}]},
    {"name": "one of each group", "profiles": ["billing"], "groups": [
        {"name": "operators", "approvers": ["bob", "carol"]},
        {"name": "owners", "approvers": ["o'neil, \"the first\""]}]},
    {"name": "itself", "profiles": ["dev"], "approvers": ["bob"], "auto_approve": {"users": ["alice"]}},
    {"name": "one", "approvers": ["bob"]}]}"#;

struct Subject {
    workflow: request::Workflow,
    clock: Arc<ManualClock>,
}

impl Subject {
    fn new(database: &Database, now: DateTime<Utc>) -> Self {
        let clock = Arc::new(ManualClock::at(now));
        let store = Arc::new(RequestStore::new(database, clock.clone()));
        let rules: ApprovalPolicy = RULES.parse().unwrap();
        let workflow = request::Workflow::new(store, Arc::new(rules));
        Self { workflow, clock }
    }

    fn submit(&self, who: &str, what: &str) -> RequestId {
        let (who, what): (User, Profile) = (user(who), profile(what));
        let hour = Duration::from_secs(3600);
        let why = "look at the slow query";
        let draft = self.workflow.draft(&who, &what, hour, why).unwrap();
        self.clock.advance(Duration::from_secs(1));
        block_on(self.workflow.submit(&draft)).unwrap().request.id
    }

    fn approve(&self, id: RequestId, who: &str) {
        self.clock.advance(Duration::from_secs(1));
        block_on(self.workflow.approve(id, &user(who), Some("go ahead"))).unwrap();
    }
}

/// The rows of a question, each as its columns' texts.
fn rows(path: &Path, sql: &str) -> Vec<Vec<String>> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        let text = |column| {
            Ok(match row.get::<_, rusqlite::types::Value>(column)? {
                rusqlite::types::Value::Null => "none".to_owned(),
                rusqlite::types::Value::Text(text) => text,
                rusqlite::types::Value::Integer(number) => number.to_string(),
                other => panic!("{other:?}"),
            })
        };
        (0..columns).map(text).collect()
    };
    let rows = statement.query_map([], row).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[test]
fn who_approved_this_names_everyone_who_did() {
    let (_folder, path) = common::file();
    let database = Database::open(&path, &quick()).unwrap();
    let subject = Subject::new(&database, at(START));
    let two = subject.submit("alice", "prod");
    subject.approve(two, "carol");
    subject.approve(two, "bob");
    let each = subject.submit("alice", "billing");
    subject.approve(each, "o'neil, \"the first\"");
    subject.approve(each, "bob");
    let one = subject.submit("alice", "staging");
    subject.approve(one, "bob");
    let itself = subject.submit("alice", "dev");
    let part = subject.submit("erin", "prod");
    subject.approve(part, "dave");
    let denied = subject.submit("erin", "prod");
    subject.approve(denied, "bob");
    block_on(subject.workflow.deny(denied, &user("carol"), None)).unwrap();
    let revoked = subject.submit("frank", "prod");
    subject.approve(revoked, "bob");
    subject.approve(revoked, "dave");
    block_on(subject.workflow.revoke(revoked, &user("bob"), None)).unwrap();

    let by = |id: RequestId| {
        let sql = format!(
            "SELECT approved_by, approved_by_rule, access_from IS NOT NULL FROM request_utc WHERE id = '{id}'"
        );
        rows(&path, &sql).remove(0)
    };
    assert_eq!(by(two), [r#"["carol","bob"]"#, "none", "1"]);
    assert_eq!(
        by(each),
        [r#"["o'neil, \"the first\"","bob"]"#, "none", "1"]
    );
    assert_eq!(by(one), [r#"["bob"]"#, "none", "1"]);
    assert_eq!(by(itself), ["none", "itself", "1"]);
    for id in [part, denied] {
        assert_eq!(by(id), ["none", "none", "0"], "nobody has access by it");
    }
    assert_eq!(by(revoked), [r#"["bob","dave"]"#, "none", "1"]);

    let approvals = |id: RequestId| {
        let sql = format!(
            "SELECT approver_kind, approver, is_last, reason FROM approval_utc
             WHERE id = '{id}' ORDER BY version"
        );
        rows(&path, &sql)
    };
    let row =
        |kind: &str, who: &str, last: &str, why: &str| [kind, who, last, why].map(str::to_owned);
    assert_eq!(
        approvals(two),
        [
            row("user", "carol", "0", "go ahead"),
            row("user", "bob", "1", "go ahead")
        ]
    );
    assert_eq!(approvals(itself), [row("rule", "itself", "1", "none")]);
    assert_eq!(approvals(part), [row("user", "dave", "0", "go ahead")]);
    assert_eq!(approvals(denied), [row("user", "bob", "0", "go ahead")]);
    assert_eq!(approvals(revoked).len(), 2);
    let whole = rows(
        &path,
        "SELECT count(*), count(DISTINCT version) FROM approval_utc",
    );
    assert_eq!(whole, [["10", "10"]], "one row each, and no other");
}

/// Who had access, and who has it now, to the second around now: the view's clock is the machine's.
#[test]
fn who_has_access_now_are_those_and_no_others() {
    let (_folder, path) = common::file();
    let database = Database::open(&path, &quick()).unwrap();
    let now = SystemClock.now();
    let ago = |minutes: u64| now - Duration::from_secs(60 * minutes);
    let subject = Subject::new(&database, ago(90));
    // Over, by time.
    subject.approve(subject.submit("over", "staging"), "bob");
    subject.clock.set(ago(30));
    subject.approve(subject.submit("alice", "staging"), "bob");
    let revoked = subject.submit("revoked", "staging");
    subject.approve(revoked, "bob");
    block_on(subject.workflow.revoke(revoked, &user("bob"), None)).unwrap();
    subject.submit("pending", "staging");
    let part = subject.submit("part", "prod");
    subject.approve(part, "bob");
    subject.submit("alice", "dev");

    let clock = Arc::new(ManualClock::at(ago(300)));
    let store = Arc::new(EmergencyStore::new(&database, clock.clone()));
    let who: breakglass::InvocationPolicy = r#"{"version": "1", "rules": [
        {"name": "anyone", "profiles": ["prod"], "responders": ["dave"]}]}"#
        .parse()
        .unwrap();
    let often = breakglass::RateLimitPolicy::unlimited();
    let workflow = breakglass::Workflow::new(store, Arc::new(who), Arc::new(often));
    let invoke = |name: &str| {
        let hour = Duration::from_secs(3600);
        let code = breakglass::ReasonCode::Incident;
        let why = "the orders cannot be written";
        let draft = workflow.draft(&user(name), &profile("prod"), hour, code, why);
        block_on(workflow.invoke(&draft.unwrap())).unwrap().id
    };
    // Over and not marked as such.
    invoke("unmarked");
    clock.set(ago(10));
    invoke("erin");
    let closed = invoke("closed");
    block_on(workflow.close(closed, &user("dave"), "it is back")).unwrap();

    // By clocks that are ahead, and which nobody has corrected yet.
    subject.clock.set(now + Duration::from_secs(3600));
    subject.approve(subject.submit("ahead", "staging"), "bob");
    clock.set(now + Duration::from_secs(3600));
    invoke("ahead");

    let sql = "SELECT kind, user, profile, coalesce(approved_by, approved_by_rule, 'nobody')
        FROM access_utc ORDER BY kind, profile";
    assert_eq!(
        rows(&path, sql),
        [
            ["emergency", "erin", "prod", "nobody"],
            ["request", "alice", "dev", "itself"],
            ["request", "alice", "staging", r#"["bob"]"#],
        ]
    );
    let times =
        "SELECT count(*) FROM access_utc WHERE access_from < strftime('%Y-%m-%dT%H:%M:%SZ', 'now')
        AND access_until > strftime('%Y-%m-%dT%H:%M:%SZ', 'now')";
    assert_eq!(rows(&path, times), [["3"]]);
}

#[test]
fn the_whole_audit_has_all_that_happened_once_in_order_and_deletions_too() {
    let Filled { _folder, path, .. } = filled();
    let kinds = |kind: &str| {
        let sql = format!(
            "SELECT user, profile, action, actor_kind, actor FROM audit_utc
             WHERE kind = '{kind}' AND id = '000000000000000{}' ORDER BY version",
            if kind == "request" { 1 } else { 2 }
        );
        rows(&path, &sql)
    };
    let row = |of: [&str; 5]| of.map(str::to_owned);
    assert_eq!(
        kinds("request"),
        [
            row(["alice", "prod", "created", "user", "alice"]),
            row(["alice", "prod", "approved", "user", "bob"]),
            row(["alice", "prod", "noted", "user", "alice"]),
            row(["alice", "prod", "noted", "user", "alice"]),
        ]
    );
    assert_eq!(
        kinds("emergency"),
        [
            row(["bob", "prod", "created", "user", "bob"]),
            row(["bob", "prod", "expired", "time", "none"]),
        ]
    );
    let reviews = "SELECT outcome, actor FROM audit_utc WHERE action = 'reviewed'";
    assert_eq!(rows(&path, reviews), [["justified", "carol"]]);
    let gone = "SELECT kind, id, user FROM audit_utc WHERE action = 'deleted' ORDER BY kind";
    assert_eq!(
        rows(&path, gone),
        [
            ["emergency", "0000000000000004", "none"],
            ["request", "0000000000000004", "none"]
        ]
    );
    let all = "SELECT (SELECT count(*) FROM audit_utc) = (SELECT count(*) FROM request_history)
        + (SELECT count(*) FROM emergency_history) + 2";
    assert_eq!(rows(&path, all), [["1"]]);
}

/// A clock that was ahead leaves access behind that seems to begin after it ended. The first query
/// is that of docs/backends.md.
#[test]
fn what_a_wrong_clock_did_is_told_by_the_views() {
    let (_folder, path) = common::file();
    let wrong = Database::open(&path, &quick()).unwrap();
    let subject = Subject::new(&wrong, at("2030-01-01T00:00:00Z"));
    let ahead = subject.submit("ahead", "staging");
    subject.approve(ahead, "bob");
    let right = Database::open(&path, &quick()).unwrap();
    let subject = Subject::new(&right, at(START));
    let granted = subject.submit("right", "staging");
    subject.approve(granted, "bob");
    let corrections =
        "SELECT kind, was, at, found_by, clock_of, in_force_again FROM correction_utc";
    let (found_by, clock_of) = (right.writer().to_string(), wrong.writer().to_string());
    assert_eq!(
        rows(&path, corrections),
        [[
            "request",
            "2030-01-01T00:00:02.000000000Z",
            "2026-03-02T09:00:01.000000000Z",
            &found_by,
            &clock_of,
            "0"
        ]]
    );
    let documented = include_str!("../../../../docs/backends.md");
    let (_, query) = documented
        .split_once("```sql\nSELECT DISTINCT audit.kind")
        .unwrap();
    let (query, _) = query.split_once("```").unwrap();
    let granted_ahead = format!("SELECT DISTINCT audit.kind{query}");
    let of_ahead = |row: &Vec<String>| {
        assert_eq!(
            row[..4],
            ["request", &ahead.to_string(), "ahead", "staging"]
        );
    };
    let found = rows(&path, &granted_ahead);
    assert_eq!(found.len(), 1, "{found:?}");
    of_ahead(&found[0]);
}
