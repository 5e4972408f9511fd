-- Requests, emergencies and policies, each with a ledger.
--
-- Times are nanoseconds since 1970 in UTC; the views at the end give them as text. Lengths are
-- nanoseconds. Versions (`created`, `updated_at`, `version`, `previous`) order and are no times;
-- `at` and the other columns that end so are. Ids, operations and policy digests are lowercase
-- hexadecimal text.
--
-- Invariants that hold for every writer, by triggers: what identifies a record never changes, nor
-- does a status that nothing leads out of; versions grow; histories and ledgers are appended to;
-- a record is deleted only when the ledger has just said so. BEFORE INSERT triggers look for what
-- INSERT OR REPLACE would remove without asking the triggers of DELETE.

CREATE TABLE request_ledger (
    position INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    -- When, by the clock that rules judged by; of a correction, the reading that was right.
    at INTEGER NOT NULL,
    -- Who wrote it: an id for each opening of the file.
    writer INTEGER NOT NULL,
    -- The `at` of the last step that came more than a day after the one before it.
    jumped_at INTEGER,
    action TEXT NOT NULL CHECK (action IN ('entry', 'deleted', 'corrected', 'jumped')),
    -- The record, as the key that is never used again: the version that it was created with. Of a
    -- correction, the `at` that was wrong.
    record INTEGER NOT NULL,
    -- The record's id; none of a correction or a jump, which a step found that wrote nothing else.
    id TEXT NOT NULL,
    -- Of the history entry; of a deleted record, of its last; of a correction, of its fields.
    digest BLOB NOT NULL,
    head BLOB NOT NULL,
    -- Of a correction: the latest `at` before it, whose clock it was that was wrong, and how many
    -- accesses had ended by it, are not marked so, and are in force again.
    latest INTEGER CHECK ((latest IS NULL) = (action <> 'corrected')),
    corrected_writer INTEGER CHECK ((corrected_writer IS NULL) = (action <> 'corrected')),
    in_force_again INTEGER CHECK ((in_force_again IS NULL) = (action <> 'corrected'))
) STRICT;

CREATE INDEX request_ledger_deleted ON request_ledger (record) WHERE action = 'deleted';
CREATE INDEX request_ledger_corrected ON request_ledger (version) WHERE action = 'corrected';

-- When a correction has stood for an hour, and the time at which the next was made, if there is one.
CREATE VIEW request_correction AS SELECT
    version,
    at + 3600000000000 AS settled_at,
    lead(record) OVER (ORDER BY version) AS until
FROM request_ledger WHERE action = 'corrected';

CREATE TABLE request (
    -- The version that it was created with.
    created INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE CHECK (length(id) = 16 AND id NOT GLOB '*[^0-9a-f]*'),
    requester TEXT NOT NULL,
    profile TEXT NOT NULL,
    duration INTEGER NOT NULL,
    justification TEXT NOT NULL,
    ticket TEXT,
    policy TEXT,
    ends_with_policy INTEGER NOT NULL CHECK (ends_with_policy IN (0, 1)),
    created_at INTEGER NOT NULL,
    decide_by INTEGER NOT NULL,
    -- From here on: what follows from the history, kept for queries.
    status TEXT NOT NULL CHECK (
        status IN ('pending', 'approved', 'denied', 'expired', 'cancelled', 'revoked', 'released',
                   'ended')
    ),
    approved_by TEXT,
    -- The rule that approved by itself.
    approved_by_rule TEXT,
    access_from INTEGER,
    access_until INTEGER,
    ended_at INTEGER,
    note TEXT,
    updated_at INTEGER NOT NULL,
    -- Under which policy the access holds: any if empty, none if it is `nothing`.
    pinned_to TEXT NOT NULL AS (
        CASE ends_with_policy WHEN 0 THEN '' ELSE coalesce(policy, 'nothing') END
    ) VIRTUAL,
    open_until INTEGER AS (
        CASE status WHEN 'pending' THEN decide_by WHEN 'approved' THEN access_until END
    ) VIRTUAL
) STRICT;

CREATE INDEX request_requester ON request (requester, created);
CREATE INDEX request_profile ON request (profile, created);
CREATE INDEX request_status ON request (status, created);
CREATE INDEX request_access ON request (requester, profile, pinned_to, access_until DESC, id)
    WHERE status = 'approved';
CREATE INDEX request_deadline ON request (decide_by, id) WHERE status = 'pending';
CREATE INDEX request_waiting ON request (profile, created) WHERE status = 'pending';
CREATE INDEX request_open ON request (requester, open_until DESC, id) WHERE open_until IS NOT NULL;
CREATE INDEX request_ended ON request (ended_at, id) WHERE ended_at IS NOT NULL;

CREATE TABLE request_history (
    record INTEGER NOT NULL REFERENCES request (created),
    version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    previous INTEGER,
    action TEXT NOT NULL CHECK (
        action IN ('created', 'approved_in_part', 'approved', 'denied', 'expired', 'cancelled',
                   'revoked', 'released', 'ended', 'noted')
    ),
    actor_kind TEXT NOT NULL CHECK (actor_kind IN ('user', 'rule', 'time', 'clock')),
    actor TEXT CHECK ((actor IS NULL) = (actor_kind IN ('time', 'clock'))),
    reason TEXT,
    idempotency_key TEXT,
    digest BLOB NOT NULL,
    PRIMARY KEY (record, version)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX request_history_version ON request_history (version);
CREATE INDEX request_history_idempotency_key ON request_history (idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TRIGGER request_ledger_grows BEFORE INSERT ON request_ledger
WHEN NEW.position IS NOT (SELECT coalesce(max(position), 0) + 1 FROM request_ledger)
    -- A jump makes no version.
    OR NEW.version - (NEW.action <> 'jumped') < (
        SELECT version FROM request_ledger ORDER BY position DESC LIMIT 1
    )
BEGIN
    SELECT RAISE(ABORT, 'the ledger grows at its end, by a later version');
END;

CREATE TRIGGER request_ledger_deletion BEFORE INSERT ON request_ledger
WHEN NEW.action = 'deleted' AND NOT EXISTS (
    SELECT 1 FROM request
    WHERE created = NEW.record AND id = NEW.id AND status <> 'pending'
        AND (status <> 'approved' OR access_until <= NEW.at OR EXISTS (
            -- Granted while the clock was ahead, by more than an hour, and the correction of that
            -- has stood for an hour, until the next or until now.
            SELECT 1 FROM request_correction AS corrected
            WHERE access_from > corrected.settled_at
                AND corrected.settled_at <= coalesce(corrected.until, NEW.at)
                AND corrected.version > (
                    SELECT version FROM request_history
                    WHERE record = NEW.record AND action = 'approved'
                )
        ))
)
BEGIN
    SELECT RAISE(ABORT, 'only a request that is over is deleted');
END;

CREATE TRIGGER request_ledger_time BEFORE INSERT ON request_ledger
WHEN (NEW.at < (SELECT at FROM request_ledger ORDER BY position DESC LIMIT 1))
    IS NOT (SELECT NEW.action = 'corrected' FROM request_ledger LIMIT 1)
    OR NEW.action = 'corrected' AND NEW.record IS NOT (
        SELECT at FROM request_ledger ORDER BY position DESC LIMIT 1
    )
BEGIN
    SELECT RAISE(ABORT, 'time runs backwards by a correction, and by nothing else');
END;

CREATE TRIGGER request_ledger_is_not_changed BEFORE UPDATE ON request_ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is only appended to');
END;

CREATE TRIGGER request_ledger_is_not_shortened BEFORE DELETE ON request_ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is only appended to');
END;

CREATE TRIGGER request_is_created BEFORE INSERT ON request
WHEN NEW.status <> 'pending' OR NEW.updated_at IS NOT NEW.created
    OR NEW.created <= (
        SELECT version FROM request_ledger ORDER BY position DESC LIMIT 1
    )
    OR EXISTS (SELECT 1 FROM request WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'a request begins pending, once, at a later version');
END;

CREATE TRIGGER request_identity BEFORE UPDATE ON request
WHEN NEW.created IS NOT OLD.created OR NEW.created_at IS NOT OLD.created_at
    OR NEW.id IS NOT OLD.id
    OR NEW.requester IS NOT OLD.requester OR NEW.profile IS NOT OLD.profile
    OR NEW.duration IS NOT OLD.duration OR NEW.justification IS NOT OLD.justification
    OR NEW.ticket IS NOT OLD.ticket OR NEW.policy IS NOT OLD.policy
    OR NEW.ends_with_policy IS NOT OLD.ends_with_policy OR NEW.decide_by IS NOT OLD.decide_by
BEGIN
    SELECT RAISE(ABORT, 'who asked for what never changes');
END;

CREATE TRIGGER request_transition BEFORE UPDATE ON request
WHEN NEW.status <> OLD.status AND NOT (
    OLD.status = 'pending' AND NEW.status IN ('approved', 'denied', 'expired', 'cancelled')
    OR OLD.status = 'approved' AND NEW.status IN ('revoked', 'released', 'ended')
)
BEGIN
    SELECT RAISE(ABORT, 'the status does not lead to the one that it is to become');
END;

CREATE TRIGGER request_version BEFORE UPDATE ON request
WHEN NEW.updated_at <= OLD.updated_at OR NEW.updated_at <= (
    SELECT version FROM request_ledger ORDER BY position DESC LIMIT 1
)
BEGIN
    SELECT RAISE(ABORT, 'a change makes a later version');
END;

CREATE TRIGGER request_is_deleted BEFORE DELETE ON request
WHEN NOT EXISTS (
    SELECT 1 FROM request_ledger
    WHERE position = (SELECT max(position) FROM request_ledger)
        AND action = 'deleted' AND record = OLD.created
)
BEGIN
    SELECT RAISE(ABORT, 'a request is deleted when the ledger has just said so');
END;

CREATE TRIGGER request_history_grows BEFORE INSERT ON request_history
WHEN NEW.previous IS NOT (SELECT max(version) FROM request_history WHERE record = NEW.record)
    OR NEW.version <= NEW.previous
    OR NEW.version IS NOT (SELECT updated_at FROM request WHERE created = NEW.record)
    OR NEW.version <= (
        SELECT version FROM request_ledger ORDER BY position DESC LIMIT 1
    )
BEGIN
    SELECT RAISE(ABORT, 'a history grows at its end, by the version that the request has');
END;

CREATE TRIGGER request_history_is_not_changed BEFORE UPDATE ON request_history
BEGIN
    SELECT RAISE(ABORT, 'a history is only appended to');
END;

CREATE TRIGGER request_history_is_deleted BEFORE DELETE ON request_history
WHEN NOT EXISTS (
    SELECT 1 FROM request_ledger
    WHERE position = (SELECT max(position) FROM request_ledger)
        AND action = 'deleted' AND record = OLD.record
)
BEGIN
    SELECT RAISE(ABORT, 'a history is deleted with its request');
END;

CREATE TABLE emergency_ledger (
    position INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    -- When, by the clock that rules judged by; of a correction, the reading that was right.
    at INTEGER NOT NULL,
    -- Who wrote it: an id for each opening of the file.
    writer INTEGER NOT NULL,
    -- The `at` of the last step that came more than a day after the one before it.
    jumped_at INTEGER,
    action TEXT NOT NULL CHECK (action IN ('entry', 'deleted', 'corrected', 'jumped')),
    -- The record, as the key that is never used again: the version that it was created with. Of a
    -- correction, the `at` that was wrong.
    record INTEGER NOT NULL,
    -- The record's id; none of a correction or a jump, which a step found that wrote nothing else.
    id TEXT NOT NULL,
    -- Of the history entry; of a deleted record, of its last; of a correction, of its fields.
    digest BLOB NOT NULL,
    head BLOB NOT NULL,
    -- Of a correction: the latest `at` before it, whose clock it was that was wrong, and how many
    -- accesses had ended by it, are not marked so, and are in force again.
    latest INTEGER CHECK ((latest IS NULL) = (action <> 'corrected')),
    corrected_writer INTEGER CHECK ((corrected_writer IS NULL) = (action <> 'corrected')),
    in_force_again INTEGER CHECK ((in_force_again IS NULL) = (action <> 'corrected'))
) STRICT;

CREATE INDEX emergency_ledger_deleted ON emergency_ledger (record) WHERE action = 'deleted';
CREATE INDEX emergency_ledger_corrected ON emergency_ledger (version) WHERE action = 'corrected';

-- When a correction has stood for an hour, and the time at which the next was made, if there is one.
CREATE VIEW emergency_correction AS SELECT
    version,
    at + 3600000000000 AS settled_at,
    lead(record) OVER (ORDER BY version) AS until
FROM emergency_ledger WHERE action = 'corrected';

CREATE TABLE emergency (
    -- The version that it was created with.
    created INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE CHECK (length(id) = 16 AND id NOT GLOB '*[^0-9a-f]*'),
    invoker TEXT NOT NULL,
    -- The spelling that all names of the same user share: rules count by it.
    invoker_folded TEXT NOT NULL,
    profile TEXT NOT NULL,
    duration INTEGER NOT NULL,
    reason_code TEXT NOT NULL,
    justification TEXT NOT NULL,
    ticket TEXT,
    request_id TEXT,
    mfa_id TEXT,
    mfa_method TEXT,
    mfa_user TEXT,
    mfa_emergency TEXT,
    mfa_verified_at INTEGER,
    escalate INTEGER NOT NULL CHECK (escalate IN (0, 1)),
    escalation_rule TEXT,
    escalation_count INTEGER,
    escalation_threshold INTEGER,
    escalation_window INTEGER,
    override_by TEXT,
    override_reason TEXT,
    override_unreviewed TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    -- From here on: what follows from the history, kept for queries.
    status TEXT NOT NULL CHECK (status IN ('active', 'closed', 'expired')),
    ended_at INTEGER NOT NULL,
    note TEXT,
    review_outcome TEXT,
    reviewed_by TEXT,
    review TEXT,
    reviewed_at INTEGER,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX emergency_invoker ON emergency (invoker, created);
CREATE INDEX emergency_profile ON emergency (profile, created);
CREATE INDEX emergency_status ON emergency (status, created);
CREATE INDEX emergency_user ON emergency (invoker_folded, created_at);
CREATE INDEX emergency_of_profile ON emergency (profile, created_at);
CREATE INDEX emergency_user_and_profile ON emergency (invoker_folded, profile, created_at);
CREATE UNIQUE INDEX emergency_access ON emergency (invoker_folded, profile) WHERE status = 'active';
CREATE INDEX emergency_deadline ON emergency (expires_at, id) WHERE status = 'active';
CREATE INDEX emergency_unreviewed ON emergency (ended_at, id) WHERE reviewed_at IS NULL;
CREATE INDEX emergency_unreviewed_of ON emergency (invoker_folded, ended_at, id)
    WHERE reviewed_at IS NULL;
CREATE INDEX emergency_ended ON emergency (ended_at, id)
    WHERE reviewed_at IS NOT NULL AND status <> 'active';
CREATE INDEX emergency_proof ON emergency (mfa_id, created) WHERE mfa_id IS NOT NULL;

-- Second factors of emergencies that are deleted: none is good twice.
CREATE TABLE emergency_proof_used (
    mfa_id TEXT PRIMARY KEY,
    id TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER emergency_proof_used_is_not_changed BEFORE UPDATE ON emergency_proof_used
BEGIN
    SELECT RAISE(ABORT, 'a second factor that was used stays used');
END;

CREATE TRIGGER emergency_proof_used_is_not_deleted BEFORE DELETE ON emergency_proof_used
BEGIN
    SELECT RAISE(ABORT, 'a second factor that was used stays used');
END;

CREATE TABLE emergency_history (
    record INTEGER NOT NULL REFERENCES emergency (created),
    version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    previous INTEGER,
    action TEXT NOT NULL CHECK (
        action IN ('created', 'closed', 'expired', 'noted', 'overridden', 'reviewed')
    ),
    outcome TEXT CHECK ((outcome IS NULL) = (action <> 'reviewed')),
    actor_kind TEXT NOT NULL CHECK (actor_kind IN ('user', 'time', 'clock')),
    actor TEXT CHECK ((actor IS NULL) = (actor_kind IN ('time', 'clock'))),
    reason TEXT,
    idempotency_key TEXT,
    digest BLOB NOT NULL,
    PRIMARY KEY (record, version)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX emergency_history_version ON emergency_history (version);
CREATE INDEX emergency_history_idempotency_key ON emergency_history (idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TRIGGER emergency_ledger_grows BEFORE INSERT ON emergency_ledger
WHEN NEW.position IS NOT (SELECT coalesce(max(position), 0) + 1 FROM emergency_ledger)
    -- A jump makes no version.
    OR NEW.version - (NEW.action <> 'jumped') < (
        SELECT version FROM emergency_ledger ORDER BY position DESC LIMIT 1
    )
BEGIN
    SELECT RAISE(ABORT, 'the ledger grows at its end, by a later version');
END;

CREATE TRIGGER emergency_ledger_deletion BEFORE INSERT ON emergency_ledger
WHEN NEW.action = 'deleted' AND NOT EXISTS (
    SELECT 1 FROM emergency
    WHERE created = NEW.record AND id = NEW.id AND status <> 'active'
        AND reviewed_at IS NOT NULL
)
BEGIN
    SELECT RAISE(ABORT, 'only an emergency that is over and reviewed is deleted');
END;

CREATE TRIGGER emergency_ledger_time BEFORE INSERT ON emergency_ledger
WHEN (NEW.at < (SELECT at FROM emergency_ledger ORDER BY position DESC LIMIT 1))
    IS NOT (SELECT NEW.action = 'corrected' FROM emergency_ledger LIMIT 1)
    OR NEW.action = 'corrected' AND NEW.record IS NOT (
        SELECT at FROM emergency_ledger ORDER BY position DESC LIMIT 1
    )
BEGIN
    SELECT RAISE(ABORT, 'time runs backwards by a correction, and by nothing else');
END;

CREATE TRIGGER emergency_ledger_is_not_changed BEFORE UPDATE ON emergency_ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is only appended to');
END;

CREATE TRIGGER emergency_ledger_is_not_shortened BEFORE DELETE ON emergency_ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is only appended to');
END;

CREATE TRIGGER emergency_is_created BEFORE INSERT ON emergency
WHEN NEW.status <> 'active' OR NEW.updated_at < NEW.created
    OR NEW.created <= (SELECT version FROM emergency_ledger ORDER BY position DESC LIMIT 1)
    OR EXISTS (SELECT 1 FROM emergency WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'an emergency begins active, once, at a later version');
END;

CREATE TRIGGER emergency_is_alone BEFORE INSERT ON emergency
WHEN EXISTS (
    SELECT 1 FROM emergency
    WHERE status = 'active' AND invoker_folded = NEW.invoker_folded AND profile = NEW.profile
)
BEGIN
    SELECT RAISE(ABORT, 'a user has one active emergency for a profile');
END;

CREATE TRIGGER emergency_identity BEFORE UPDATE ON emergency
WHEN NEW.created IS NOT OLD.created OR NEW.created_at IS NOT OLD.created_at
    OR NEW.id IS NOT OLD.id
    OR NEW.invoker IS NOT OLD.invoker OR NEW.invoker_folded IS NOT OLD.invoker_folded
    OR NEW.profile IS NOT OLD.profile OR NEW.duration IS NOT OLD.duration
    OR NEW.reason_code IS NOT OLD.reason_code OR NEW.justification IS NOT OLD.justification
    OR NEW.ticket IS NOT OLD.ticket OR NEW.request_id IS NOT OLD.request_id
    OR NEW.mfa_id IS NOT OLD.mfa_id OR NEW.mfa_method IS NOT OLD.mfa_method
    OR NEW.mfa_user IS NOT OLD.mfa_user OR NEW.mfa_emergency IS NOT OLD.mfa_emergency
    OR NEW.mfa_verified_at IS NOT OLD.mfa_verified_at OR NEW.escalate IS NOT OLD.escalate
    OR NEW.escalation_rule IS NOT OLD.escalation_rule
    OR NEW.escalation_count IS NOT OLD.escalation_count
    OR NEW.escalation_threshold IS NOT OLD.escalation_threshold
    OR NEW.escalation_window IS NOT OLD.escalation_window
    OR NEW.override_by IS NOT OLD.override_by OR NEW.override_reason IS NOT OLD.override_reason
    OR NEW.override_unreviewed IS NOT OLD.override_unreviewed
    OR NEW.expires_at IS NOT OLD.expires_at
BEGIN
    SELECT RAISE(ABORT, 'who declared what never changes');
END;

CREATE TRIGGER emergency_transition BEFORE UPDATE ON emergency
WHEN NEW.status <> OLD.status AND OLD.status <> 'active'
BEGIN
    SELECT RAISE(ABORT, 'the status does not lead to the one that it is to become');
END;

CREATE TRIGGER emergency_is_reviewed_once BEFORE UPDATE ON emergency
WHEN OLD.reviewed_at IS NOT NULL AND (
    NEW.reviewed_at IS NOT OLD.reviewed_at OR NEW.review_outcome IS NOT OLD.review_outcome
    OR NEW.reviewed_by IS NOT OLD.reviewed_by OR NEW.review IS NOT OLD.review
)
BEGIN
    SELECT RAISE(ABORT, 'a review never changes');
END;

CREATE TRIGGER emergency_version BEFORE UPDATE ON emergency
WHEN NEW.updated_at <= OLD.updated_at OR NEW.updated_at <= (
    SELECT version FROM emergency_ledger ORDER BY position DESC LIMIT 1
)
BEGIN
    SELECT RAISE(ABORT, 'a change makes a later version');
END;

CREATE TRIGGER emergency_is_deleted BEFORE DELETE ON emergency
WHEN NOT EXISTS (
    SELECT 1 FROM emergency_ledger
    WHERE position = (SELECT max(position) FROM emergency_ledger)
        AND action = 'deleted' AND record = OLD.created
)
BEGIN
    SELECT RAISE(ABORT, 'an emergency is deleted when the ledger has just said so');
END;

-- An emergency that begins by an override is written at its second version.
CREATE TRIGGER emergency_history_grows BEFORE INSERT ON emergency_history
WHEN NEW.previous IS NOT (SELECT max(version) FROM emergency_history WHERE record = NEW.record)
    OR NEW.version <= NEW.previous
    OR NEW.version > coalesce(
        (SELECT updated_at FROM emergency WHERE created = NEW.record), NEW.version - 1
    )
    OR NEW.version <= (SELECT version FROM emergency_ledger ORDER BY position DESC LIMIT 1)
BEGIN
    SELECT RAISE(ABORT, 'a history grows at its end, up to the version that the emergency has');
END;

CREATE TRIGGER emergency_history_is_not_changed BEFORE UPDATE ON emergency_history
BEGIN
    SELECT RAISE(ABORT, 'a history is only appended to');
END;

CREATE TRIGGER emergency_history_is_deleted BEFORE DELETE ON emergency_history
WHEN NOT EXISTS (
    SELECT 1 FROM emergency_ledger
    WHERE position = (SELECT max(position) FROM emergency_ledger)
        AND action = 'deleted' AND record = OLD.record
)
BEGIN
    SELECT RAISE(ABORT, 'a history is deleted with its emergency');
END;

CREATE TABLE policy_ledger (
    position INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    -- When, by the clock that rules judged by; of a correction, the reading that was right.
    at INTEGER NOT NULL,
    -- Who wrote it: an id for each opening of the file.
    writer INTEGER NOT NULL,
    -- The `at` of the last step that came more than a day after the one before it.
    jumped_at INTEGER,
    -- `deleted` is a version that is not kept any more.
    action TEXT NOT NULL CHECK (action IN ('entry', 'deleted', 'corrected', 'jumped')),
    -- The version that was put or is not kept any more. Of a correction, the `at` that was wrong.
    record INTEGER NOT NULL,
    -- Its id; none of a correction or a jump, which a step found that wrote nothing else.
    id TEXT NOT NULL,
    -- Of the history entry; of a correction, of its fields.
    digest BLOB NOT NULL,
    head BLOB NOT NULL,
    -- Of a correction: the latest `at` before it, and whose clock it was that was wrong. A policy
    -- gives no access by itself.
    latest INTEGER CHECK ((latest IS NULL) = (action <> 'corrected')),
    corrected_writer INTEGER CHECK ((corrected_writer IS NULL) = (action <> 'corrected')),
    in_force_again INTEGER CHECK ((in_force_again IS NULL) = (action <> 'corrected'))
) STRICT;

CREATE INDEX policy_ledger_corrected ON policy_ledger (version) WHERE action = 'corrected';

-- Every version that is kept: of each name the last that were put, or that it was deleted.
CREATE TABLE policy_version (
    -- The version.
    created INTEGER PRIMARY KEY CHECK (created > 0),
    name TEXT NOT NULL,
    -- The version whose place it took; none if there was no policy of the name.
    replaces INTEGER,
    -- The policy's digest, and its canonical JSON; none if the name was deleted.
    digest TEXT CHECK ((digest IS NULL) = (document IS NULL)),
    document TEXT CHECK (document IS NOT NULL OR replaces IS NOT NULL),
    -- In the order of names, and then newest first.
    id TEXT NOT NULL AS (
        name || char(9) || printf('%016x', 9223372036854775807 - created)
    ) VIRTUAL
) STRICT;

CREATE UNIQUE INDEX policy_version_id ON policy_version (id);
CREATE INDEX policy_version_name ON policy_version (name, created);

-- By whom each version was put or deleted, why and when: one entry for each.
CREATE TABLE policy_history (
    record INTEGER NOT NULL REFERENCES policy_version (created),
    version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('put', 'deleted')),
    author TEXT,
    reason TEXT,
    ticket TEXT,
    idempotency_key TEXT,
    digest BLOB NOT NULL,
    PRIMARY KEY (record, version)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX policy_history_version ON policy_history (version);
CREATE UNIQUE INDEX policy_history_idempotency_key ON policy_history (idempotency_key)
    WHERE idempotency_key IS NOT NULL;

CREATE TRIGGER policy_ledger_grows BEFORE INSERT ON policy_ledger
WHEN NEW.position IS NOT (SELECT coalesce(max(position), 0) + 1 FROM policy_ledger)
    -- A jump makes no version.
    OR NEW.version - (NEW.action <> 'jumped') < (
        SELECT version FROM policy_ledger ORDER BY position DESC LIMIT 1
    )
BEGIN
    SELECT RAISE(ABORT, 'the ledger grows at its end, by a later version');
END;

CREATE TRIGGER policy_ledger_deletion BEFORE INSERT ON policy_ledger
WHEN NEW.action = 'deleted' AND NOT EXISTS (
    SELECT 1 FROM policy_version AS gone
    WHERE gone.created = NEW.record AND gone.id = NEW.id AND EXISTS (
        SELECT 1 FROM policy_version AS later
        WHERE later.name = gone.name AND later.created > gone.created
    )
)
BEGIN
    SELECT RAISE(ABORT, 'only a version that another has taken the place of is not kept');
END;

CREATE TRIGGER policy_ledger_time BEFORE INSERT ON policy_ledger
WHEN (NEW.at < (SELECT at FROM policy_ledger ORDER BY position DESC LIMIT 1))
    IS NOT (SELECT NEW.action = 'corrected' FROM policy_ledger LIMIT 1)
    OR NEW.action = 'corrected' AND NEW.record IS NOT (
        SELECT at FROM policy_ledger ORDER BY position DESC LIMIT 1
    )
BEGIN
    SELECT RAISE(ABORT, 'time runs backwards by a correction, and by nothing else');
END;

CREATE TRIGGER policy_ledger_is_not_changed BEFORE UPDATE ON policy_ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is only appended to');
END;

CREATE TRIGGER policy_ledger_is_not_shortened BEFORE DELETE ON policy_ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is only appended to');
END;

CREATE TRIGGER policy_version_is_put BEFORE INSERT ON policy_version
WHEN NEW.created <= (SELECT version FROM policy_ledger ORDER BY position DESC LIMIT 1)
    OR NEW.replaces IS NOT (
        SELECT iif(document IS NULL, NULL, created) FROM policy_version
        WHERE name = NEW.name ORDER BY created DESC LIMIT 1
    )
BEGIN
    SELECT RAISE(ABORT, 'a put makes a later version, and says which it replaces');
END;

CREATE TRIGGER policy_version_is_not_changed BEFORE UPDATE ON policy_version
BEGIN
    SELECT RAISE(ABORT, 'a version never changes: put another');
END;

CREATE TRIGGER policy_version_is_deleted BEFORE DELETE ON policy_version
WHEN NOT EXISTS (
    SELECT 1 FROM policy_ledger
    WHERE position = (SELECT max(position) FROM policy_ledger)
        AND action = 'deleted' AND record = OLD.created
)
BEGIN
    SELECT RAISE(ABORT, 'a version is deleted when the ledger has just said so');
END;

CREATE TRIGGER policy_history_grows BEFORE INSERT ON policy_history
WHEN NEW.version IS NOT NEW.record
    OR NEW.action IS NOT (
        SELECT iif(document IS NULL, 'deleted', 'put') FROM policy_version
        WHERE created = NEW.record
    )
    OR NEW.version <= (SELECT version FROM policy_ledger ORDER BY position DESC LIMIT 1)
BEGIN
    SELECT RAISE(ABORT, 'a version has one entry, of what was done');
END;

CREATE TRIGGER policy_history_is_not_changed BEFORE UPDATE ON policy_history
BEGIN
    SELECT RAISE(ABORT, 'a history is only appended to');
END;

CREATE TRIGGER policy_history_is_deleted BEFORE DELETE ON policy_history
WHEN NOT EXISTS (
    SELECT 1 FROM policy_ledger
    WHERE position = (SELECT max(position) FROM policy_ledger)
        AND action = 'deleted' AND record = OLD.record
)
BEGIN
    SELECT RAISE(ABORT, 'a history is deleted with its version');
END;

-- What people read: times as text in UTC, lengths in seconds.

CREATE VIEW request_utc AS SELECT
    id,
    requester,
    profile,
    duration / 1e9 AS duration_seconds,
    justification,
    ticket,
    policy,
    ends_with_policy,
    strftime('%Y-%m-%dT%H:%M:%S', created_at / 1000000000 - (created_at % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (created_at % 1000000000 + 1000000000) % 1000000000) AS created_at,
    strftime('%Y-%m-%dT%H:%M:%S', decide_by / 1000000000 - (decide_by % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (decide_by % 1000000000 + 1000000000) % 1000000000) AS decide_by,
    status,
    -- Everyone who did, the first first; none if it was not approved, or by a rule.
    CASE WHEN access_until IS NOT NULL THEN (
        SELECT nullif(json_group_array(actor), '[]') FROM (
            SELECT actor FROM request_history
            WHERE record = request.created AND actor_kind = 'user'
                AND action IN ('approved_in_part', 'approved')
            ORDER BY version
        )
    ) END AS approved_by,
    approved_by_rule,
    strftime('%Y-%m-%dT%H:%M:%S', access_from / 1000000000 - (access_from % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (access_from % 1000000000 + 1000000000) % 1000000000) AS access_from,
    strftime('%Y-%m-%dT%H:%M:%S', access_until / 1000000000 - (access_until % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (access_until % 1000000000 + 1000000000) % 1000000000) AS access_until,
    strftime('%Y-%m-%dT%H:%M:%S', ended_at / 1000000000 - (ended_at % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (ended_at % 1000000000 + 1000000000) % 1000000000) AS ended_at,
    note,
    strftime('%Y-%m-%dT%H:%M:%S', updated_at / 1000000000 - (updated_at % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (updated_at % 1000000000 + 1000000000) % 1000000000) AS updated_at
FROM request;

CREATE VIEW request_history_utc AS SELECT
    request.id AS id,
    strftime('%Y-%m-%dT%H:%M:%S', history.version / 1000000000 - (history.version % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (history.version % 1000000000 + 1000000000) % 1000000000) AS version,
    strftime('%Y-%m-%dT%H:%M:%S', history.previous / 1000000000 - (history.previous % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (history.previous % 1000000000 + 1000000000) % 1000000000) AS previous,
    strftime('%Y-%m-%dT%H:%M:%S', history.at / 1000000000 - (history.at % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (history.at % 1000000000 + 1000000000) % 1000000000) AS at,
    history.action AS action,
    history.actor_kind AS actor_kind,
    history.actor AS actor,
    history.reason AS reason,
    history.idempotency_key AS idempotency_key
FROM request_history AS history JOIN request ON request.created = history.record;

CREATE VIEW emergency_utc AS SELECT
    id,
    invoker,
    profile,
    duration / 1e9 AS duration_seconds,
    reason_code,
    justification,
    ticket,
    request_id,
    mfa_id,
    mfa_method,
    strftime('%Y-%m-%dT%H:%M:%S', mfa_verified_at / 1000000000 - (mfa_verified_at % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (mfa_verified_at % 1000000000 + 1000000000) % 1000000000) AS mfa_verified_at,
    escalate,
    escalation_rule,
    escalation_count,
    override_by,
    override_reason,
    override_unreviewed,
    strftime('%Y-%m-%dT%H:%M:%S', created_at / 1000000000 - (created_at % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (created_at % 1000000000 + 1000000000) % 1000000000) AS created_at,
    strftime('%Y-%m-%dT%H:%M:%S', expires_at / 1000000000 - (expires_at % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (expires_at % 1000000000 + 1000000000) % 1000000000) AS expires_at,
    status,
    strftime('%Y-%m-%dT%H:%M:%S', ended_at / 1000000000 - (ended_at % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (ended_at % 1000000000 + 1000000000) % 1000000000) AS ended_at,
    note,
    review_outcome,
    reviewed_by,
    review,
    strftime('%Y-%m-%dT%H:%M:%S', reviewed_at / 1000000000 - (reviewed_at % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (reviewed_at % 1000000000 + 1000000000) % 1000000000) AS reviewed_at,
    strftime('%Y-%m-%dT%H:%M:%S', updated_at / 1000000000 - (updated_at % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (updated_at % 1000000000 + 1000000000) % 1000000000) AS updated_at
FROM emergency;

CREATE VIEW emergency_history_utc AS SELECT
    emergency.id AS id,
    strftime('%Y-%m-%dT%H:%M:%S', history.version / 1000000000 - (history.version % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (history.version % 1000000000 + 1000000000) % 1000000000) AS version,
    strftime('%Y-%m-%dT%H:%M:%S', history.previous / 1000000000 - (history.previous % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (history.previous % 1000000000 + 1000000000) % 1000000000) AS previous,
    strftime('%Y-%m-%dT%H:%M:%S', history.at / 1000000000 - (history.at % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (history.at % 1000000000 + 1000000000) % 1000000000) AS at,
    history.action AS action,
    history.outcome AS outcome,
    history.actor_kind AS actor_kind,
    history.actor AS actor,
    history.reason AS reason,
    history.idempotency_key AS idempotency_key
FROM emergency_history AS history JOIN emergency ON emergency.created = history.record;

CREATE VIEW policy_utc AS SELECT
    kept.name AS name,
    strftime('%Y-%m-%dT%H:%M:%S', kept.created / 1000000000 - (kept.created % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (kept.created % 1000000000 + 1000000000) % 1000000000) AS version,
    strftime('%Y-%m-%dT%H:%M:%S', history.at / 1000000000 - (history.at % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (history.at % 1000000000 + 1000000000) % 1000000000) AS at,
    history.action AS action,
    history.action = 'put' AND NOT EXISTS (
        SELECT 1 FROM policy_version AS later
        WHERE later.name = kept.name AND later.created > kept.created
    ) AS is_current,
    CASE WHEN kept.replaces IS NOT NULL THEN
        strftime('%Y-%m-%dT%H:%M:%S', kept.replaces / 1000000000 - (kept.replaces % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (kept.replaces % 1000000000 + 1000000000) % 1000000000)
    END AS replaces,
    history.author AS author,
    history.reason AS reason,
    history.ticket AS ticket,
    history.idempotency_key AS idempotency_key,
    kept.digest AS digest,
    kept.document AS document
FROM policy_version AS kept JOIN policy_history AS history ON history.record = kept.created;

-- One row for each approval that was given, also in part, also to what was denied in the end. The last
-- of a request is the one with which access began.
CREATE VIEW approval_utc AS SELECT
    request.id AS id,
    request.requester AS requester,
    request.profile AS profile,
    history.at AS at,
    history.version AS version,
    history.actor_kind AS approver_kind,
    history.actor AS approver,
    history.action = 'approved' AS is_last,
    history.reason AS reason
FROM request_history_utc AS history JOIN request ON request.id = history.id
WHERE history.action IN ('approved_in_part', 'approved');

-- Who has access now, by the clock of whoever asks. What ends with a policy is worth nothing under
-- another one.
CREATE VIEW access_utc AS
WITH clock (now) AS (
    SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000
)
SELECT
    'request' AS kind,
    shown.id AS id,
    shown.requester AS user,
    shown.profile AS profile,
    shown.access_from AS access_from,
    shown.access_until AS access_until,
    CASE shown.ends_with_policy WHEN 1 THEN coalesce(shown.policy, 'nothing') END AS ends_with_policy,
    shown.approved_by AS approved_by,
    shown.approved_by_rule AS approved_by_rule,
    shown.justification AS justification
FROM clock, request JOIN request_utc AS shown ON shown.id = request.id
WHERE request.status = 'approved' AND request.access_until > clock.now
    AND request.access_from <= clock.now
    AND NOT EXISTS (
        SELECT 1 FROM request_correction AS corrected
        WHERE request.access_from > corrected.settled_at
            AND corrected.settled_at <= coalesce(corrected.until, clock.now)
            AND corrected.version > (
                SELECT version FROM request_history
                WHERE record = request.created AND action = 'approved'
            )
    )
UNION ALL SELECT
    'emergency',
    shown.id,
    shown.invoker,
    shown.profile,
    shown.created_at,
    shown.expires_at,
    NULL,
    NULL,
    NULL,
    shown.justification
FROM clock, emergency JOIN emergency_utc AS shown ON shown.id = emergency.id
WHERE emergency.status = 'active' AND emergency.expires_at > clock.now AND emergency.created_at <= clock.now
    AND NOT EXISTS (
        SELECT 1 FROM emergency_correction AS corrected
        WHERE emergency.created_at > corrected.settled_at
            AND corrected.settled_at <= coalesce(corrected.until, clock.now)
            AND corrected.version > emergency.created
    );

-- All that happened to requests and emergencies, in one shape. What was deleted has its last row here
-- alone: its history went with it.
CREATE VIEW audit_utc AS SELECT
    'request' AS kind,
    history.id AS id,
    request.requester AS user,
    request.profile AS profile,
    history.at AS at,
    history.version AS version,
    history.action AS action,
    NULL AS outcome,
    history.actor_kind AS actor_kind,
    history.actor AS actor,
    history.reason AS reason,
    history.idempotency_key AS idempotency_key
FROM request_history_utc AS history JOIN request ON request.id = history.id
UNION ALL SELECT
    'emergency',
    history.id,
    emergency.invoker,
    emergency.profile,
    history.at,
    history.version,
    history.action,
    history.outcome,
    history.actor_kind,
    history.actor,
    history.reason,
    history.idempotency_key
FROM emergency_history_utc AS history JOIN emergency ON emergency.id = history.id
UNION ALL SELECT
    ledger.kind,
    ledger.id,
    NULL,
    NULL,
    strftime('%Y-%m-%dT%H:%M:%S', at / 1000000000 - (at % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (at % 1000000000 + 1000000000) % 1000000000),
    strftime('%Y-%m-%dT%H:%M:%S', version / 1000000000 - (version % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (version % 1000000000 + 1000000000) % 1000000000),
    'deleted',
    NULL,
    NULL,
    NULL,
    NULL,
    NULL
FROM (
    SELECT 'request' AS kind, id, at, version, action FROM request_ledger
    UNION ALL SELECT 'emergency', id, at, version, action FROM emergency_ledger
) AS ledger WHERE action = 'deleted';

-- Each time that the clock of a store was found to have been ahead: what it showed before, what was
-- right, who found it and whose clock it was (an id for each opening of the file), and how many
-- accesses are in force again by it.
CREATE VIEW correction_utc AS SELECT
    kind,
    strftime('%Y-%m-%dT%H:%M:%S', version / 1000000000 - (version % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (version % 1000000000 + 1000000000) % 1000000000) AS version,
    strftime('%Y-%m-%dT%H:%M:%S', record / 1000000000 - (record % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (record % 1000000000 + 1000000000) % 1000000000) AS was,
    strftime('%Y-%m-%dT%H:%M:%S', at / 1000000000 - (at % 1000000000 < 0), 'unixepoch')
        || printf('.%09dZ', (at % 1000000000 + 1000000000) % 1000000000) AS at,
    printf('%016x', writer) AS found_by,
    printf('%016x', corrected_writer) AS clock_of,
    in_force_again
FROM (
    SELECT 'request' AS kind, * FROM request_ledger INDEXED BY request_ledger_corrected
    WHERE action = 'corrected'
    UNION ALL SELECT 'emergency' AS kind, * FROM emergency_ledger INDEXED BY emergency_ledger_corrected
    WHERE action = 'corrected'
    UNION ALL SELECT 'policy' AS kind, * FROM policy_ledger INDEXED BY policy_ledger_corrected
    WHERE action = 'corrected'
);
