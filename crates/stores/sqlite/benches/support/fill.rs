//! Files of many records, as the stores write them: rows, indexes, histories and ledgers.
//!
//! They are written by statements of this benchmark's own, in one transaction: through the store,
//! two million commits would take longer than what is to be measured. The digests are zeros; reading
//! and writing do not look at them, and `verify` is measured on a file that the store has written.
//! All lies within one hour; every user has records all over the file, the worst place for lists.

use std::path::Path;

use chrono::{DateTime, Utc};
use countersign_breakglass as breakglass;
use countersign_request as request;
use countersign_sqlite::{Database, Options, Synchronous};
use rusqlite::{Connection, params};

use super::mixed;

const START: &str = "2026-03-02T09:00:00Z";
const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;

/// Records of one user.
pub const EACH: usize = 125;
/// Profiles of requests; a profile of emergencies has [`OF_PROFILE`] of them.
const PROFILES: usize = 8;
/// Emergencies of one profile.
pub const OF_PROFILE: usize = 40;

/// So many requests, and as many emergencies.
#[derive(Clone, Copy)]
pub struct Shape {
    pub count: usize,
}

impl Shape {
    pub fn people(self) -> usize {
        self.count / EACH
    }

    pub fn user(self, number: usize) -> String {
        format!("user-{:06}@example.com", number % self.people())
    }

    /// Which of its user's records this is, in an order that is none of time.
    pub fn place(self, number: usize) -> usize {
        number / self.people() * 37 % EACH
    }

    /// The number of a record, by user and place.
    pub fn number(self, user: usize, place: usize) -> usize {
        // 98 is what undoes 37 in remainders of 125.
        place * 98 % EACH * self.people() + user
    }

    pub fn created_at(self, number: usize) -> i64 {
        let start: DateTime<Utc> = START.parse().unwrap();
        start.timestamp_nanos_opt().unwrap() + number as i64 * self.step()
    }

    fn step(self) -> i64 {
        HOUR / self.count as i64
    }

    /// The moment after all that is in the file.
    pub fn end(self) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(self.created_at(self.count))
    }

    pub fn request_id(self, number: usize) -> request::RequestId {
        request::RequestId::from_bits(mixed(number as u64))
    }

    pub fn request_profile(self, number: usize) -> String {
        let (user, turn) = (number % self.people(), number / self.people());
        format!("profile-{:04}", (user + turn) % PROFILES)
    }

    pub fn emergency_id(self, number: usize) -> breakglass::EmergencyId {
        breakglass::EmergencyId::from_bits(mixed(number as u64 | 1 << 40))
    }

    /// No user has two active emergencies for one profile.
    pub fn emergency_profile(self, number: usize) -> String {
        let profiles = self.count / OF_PROFILE;
        let number = (number % self.people() * 25 + self.place(number)) % profiles;
        format!("profile-{number:06}")
    }

    /// What became of a request: of every 125, 40 wait and 20 give access.
    pub fn request_status(self, number: usize) -> &'static str {
        match self.place(number) {
            0..40 => "pending",
            40..80 => "approved",
            80..90 => "denied",
            90..100 => "expired",
            100..110 => "cancelled",
            110..115 => "revoked",
            _ => "released",
        }
    }

    /// What became of an emergency: of every 125, 20 are active and 50 await a review.
    pub fn emergency_status(self, number: usize) -> &'static str {
        match self.place(number) {
            0..20 => "active",
            20..70 => "unreviewed",
            _ => "reviewed",
        }
    }
}

/// Makes a file with the records of this shape.
pub fn file(path: &Path, shape: Shape) {
    let options = Options {
        synchronous: Synchronous::Normal,
        ..Options::default()
    };
    drop(Database::open(path, &options).unwrap());
    let mut connection = Connection::open(path).unwrap();
    // Nothing reads it meanwhile, and a loss of power ends the benchmark anyway.
    let quick =
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -3000000;";
    connection.execute_batch(quick).unwrap();
    let transaction = connection.transaction().unwrap();
    let triggers = triggers(&transaction);
    for (name, _) in &triggers {
        let drop = format!("DROP TRIGGER {name}");
        transaction.execute_batch(&drop).unwrap();
    }
    requests(&transaction, shape);
    emergencies(&transaction, shape);
    for (_, sql) in &triggers {
        transaction.execute_batch(sql).unwrap();
    }
    transaction.commit().unwrap();
    let mode = "PRAGMA journal_mode = WAL";
    let mode: String = connection.query_row(mode, [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

/// The triggers of the schema: a state that is made at once did not come about by its transitions.
fn triggers(connection: &Connection) -> Vec<(String, String)> {
    let sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

/// The last entry of a history, and the place in the ledger.
struct Trail {
    previous: Option<i64>,
    position: i64,
}

fn requests(connection: &Connection, shape: Shape) {
    let prepare = |sql| connection.prepare(sql).unwrap();
    let mut insert = prepare(
        "INSERT INTO request (created, id, requester, profile, duration, justification, ticket, \
         ends_with_policy, created_at, decide_by, status, approved_by, access_from, access_until, \
         ended_at, updated_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, 'migrate the table of orders to its new place', ?6, 0, ?1, \
         ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    );
    let mut entry = prepare(
        "INSERT INTO request_history (record, version, at, previous, action, actor_kind, actor, \
         reason, idempotency_key, digest) VALUES (?1, ?2, ?2, ?3, ?4, ?5, ?6, ?7, ?8, zeroblob(32))",
    );
    let mut ledger = prepare(
        "INSERT INTO request_ledger (position, version, at, writer, action, record, id, digest, \
         head) VALUES (?1, ?2, ?2, 1, 'entry', ?3, ?4, zeroblob(32), zeroblob(32))",
    );
    let mut trail = Trail {
        previous: None,
        position: 0,
    };
    for number in 0..shape.count {
        let created_at = shape.created_at(number);
        let (second, third) = (created_at + shape.step() / 4, created_at + shape.step() / 2);
        let id = shape.request_id(number).to_string();
        let requester = shape.user(number);
        let status = shape.request_status(number);
        let approved = matches!(status, "approved" | "revoked" | "released");
        let duration = match shape.place(number) {
            60..80 => SECOND,
            _ => 2 * HOUR,
        };
        let decide_by = match status {
            "expired" => second - 1,
            _ => created_at + 4 * HOUR,
        };
        let access_until = approved.then_some(second + duration);
        let updated_at = match status {
            "pending" => created_at,
            "revoked" | "released" => third,
            _ => second,
        };
        let ended_at = match status {
            "pending" => None,
            "approved" => access_until,
            "expired" => Some(decide_by),
            _ => Some(updated_at),
        };
        let approver = "bob@example.com";
        insert
            .execute(params![
                created_at,
                id,
                requester,
                shape.request_profile(number),
                duration,
                format!("OPS-{number}"),
                decide_by,
                status,
                approved.then_some(approver),
                approved.then_some(second),
                access_until,
                ended_at,
                updated_at,
            ])
            .unwrap();
        let idempotency_key = format!("{:016x}", mixed(number as u64 | 1 << 41));
        let middle = if approved { "approved" } else { status };
        let by = match status {
            "cancelled" => Some(&*requester),
            "expired" => None,
            _ => Some(approver),
        };
        let entries = [
            (
                created_at,
                "created",
                Some(&*requester),
                Some(idempotency_key),
            ),
            (second, middle, by, None),
            (third, status, Some(&*requester), None),
        ];
        trail.previous = None;
        for (version, action, actor, idempotency_key) in entries {
            if version > updated_at {
                break;
            }
            let kind = actor.map_or("time", |_| "user");
            let reason = (action != "created").then_some("as agreed");
            trail.position += 1;
            let parameters = params![
                created_at,
                version,
                trail.previous,
                action,
                kind,
                actor,
                reason,
                idempotency_key
            ];
            entry.execute(parameters).unwrap();
            ledger
                .execute(params![trail.position, version, created_at, id])
                .unwrap();
            trail.previous = Some(version);
        }
    }
}

fn emergencies(connection: &Connection, shape: Shape) {
    let prepare = |sql| connection.prepare(sql).unwrap();
    let mut insert = prepare(
        "INSERT INTO emergency (created, id, invoker, invoker_folded, profile, duration, \
         reason_code, justification, ticket, mfa_id, mfa_method, mfa_user, mfa_emergency, \
         mfa_verified_at, escalate, created_at, expires_at, status, ended_at, review_outcome, \
         reviewed_by, review, reviewed_at, updated_at) VALUES (?1, ?2, ?3, ?3, ?4, ?5, \
         'incident', 'the orders cannot be written', ?6, ?7, 'totp', ?3, ?2, ?8, 0, ?1, ?9, ?10, \
         ?11, ?12, ?13, ?14, ?15, ?16)",
    );
    let mut entry = prepare(
        "INSERT INTO emergency_history (record, version, at, previous, action, outcome, actor_kind, \
         actor, reason, idempotency_key, digest) \
         VALUES (?1, ?2, ?2, ?3, ?4, ?5, 'user', ?6, ?7, ?8, zeroblob(32))",
    );
    let mut ledger = prepare(
        "INSERT INTO emergency_ledger (position, version, at, writer, action, record, id, digest, head) \
         VALUES (?1, ?2, ?2, 1, 'entry', ?3, ?4, zeroblob(32), zeroblob(32))",
    );
    let mut trail = Trail {
        previous: None,
        position: 0,
    };
    for number in 0..shape.count {
        let created_at = shape.created_at(number);
        let (second, third) = (created_at + shape.step() / 4, created_at + shape.step() / 2);
        let id = shape.emergency_id(number).to_string();
        let invoker = shape.user(number);
        let (status, ended_at, updated_at) = match shape.emergency_status(number) {
            "active" => ("active", created_at + 4 * HOUR, created_at),
            "unreviewed" => ("closed", second, second),
            _ => ("closed", second, third),
        };
        let reviewed = updated_at == third;
        let (reviewer, outcome) = ("carol@example.com", "justified");
        insert
            .execute(params![
                created_at,
                id,
                invoker,
                shape.emergency_profile(number),
                4 * HOUR,
                format!("INC-{number}"),
                format!("phone:{number}"),
                created_at - SECOND,
                created_at + 4 * HOUR,
                status,
                ended_at,
                reviewed.then_some(outcome),
                reviewed.then_some(reviewer),
                reviewed.then_some("called for"),
                reviewed.then_some(third),
                updated_at,
            ])
            .unwrap();
        let idempotency_key = format!("{:016x}", mixed(number as u64 | 1 << 42));
        let entries = [
            (
                created_at,
                "created",
                None,
                &*invoker,
                Some(idempotency_key),
            ),
            (second, "closed", None, &*invoker, None),
            (third, "reviewed", Some(outcome), reviewer, None),
        ];
        trail.previous = None;
        for (version, action, outcome, actor, idempotency_key) in entries {
            if version > updated_at {
                break;
            }
            let reason = match action {
                "created" => None,
                "closed" => Some("the primary is back"),
                _ => Some("called for"),
            };
            trail.position += 1;
            let parameters = params![
                created_at,
                version,
                trail.previous,
                action,
                outcome,
                actor,
                reason,
                idempotency_key
            ];
            entry.execute(parameters).unwrap();
            ledger
                .execute(params![trail.position, version, created_at, id])
                .unwrap();
            trail.previous = Some(version);
        }
    }
}
