//! What must hold of a file, whatever was done to the processes that wrote it: a list of what does
//! not, in words.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use countersign_sqlite::Head;

use crate::operations::{Answer, MAX_PER_PROFILE, MAX_PER_USER, Of, Operation, QUOTA_WINDOW, Verb};
use crate::records::{Contents, Record, Row, Side};

/// What is known of a file from what the writing processes said, and from looking at it before.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Every call that was answered, with the answer.
    pub answered: Vec<(Operation, Answer)>,
    /// Every call of which it is not known whether it was made.
    pub open: Vec<Operation>,
    /// The ledgers and their heads as they were when the file was last looked at.
    pub ledgers: [Vec<Row>; 2],
    pub heads: Option<[Head; 2]>,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looked {
    pub acknowledged: u64,
    pub records: u64,
    pub entries: u64,
    pub lists: u64,
}

impl std::ops::AddAssign for Looked {
    fn add_assign(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.records += other.records;
        self.entries += other.entries;
        self.lists += other.lists;
    }
}

/// Everything that is wrong with what was read of a file.
pub fn problems(contents: &Contents, known: &Known) -> (Looked, Vec<String>) {
    let mut problems = Vec::new();
    let mut looked = Looked::default();
    problems.extend(contents.findings.iter().cloned());
    for (side, before) in contents.sides.iter().zip(&known.ledgers) {
        let mut add = |problem: String| problems.push(format!("{}: {problem}", side.of.table()));
        ledger(side, before, &mut add);
        agreement(side, &mut add);
        lists(side, contents.at, &mut add);
        statuses(side, &mut add);
        if side.of == Of::Emergency {
            one_active(side, &mut add);
            quotas(side, &mut add);
        }
        explained(side, known, &mut add);
        looked.records += side.seen.records.len() as u64;
        looked.entries += side.history.len() as u64;
        looked.lists += side.seen.lists.len() as u64;
    }
    let index = Index::of(contents);
    for (operation, answer) in &known.answered {
        looked.acknowledged += u64::from(!matches!(answer, Answer::Refused(_)));
        if let Some(problem) = index.acknowledged(operation, answer) {
            problems.push(format!(
                "`{operation}` was answered `{answer}` and {problem}"
            ));
        }
    }
    (looked, problems)
}

/// Positions without gaps, versions that grow, and nothing changed of what was there before.
fn ledger(side: &Side, before: &[Row], add: &mut impl FnMut(String)) {
    for (position, row) in (1..).zip(&side.ledger) {
        if row.position != position {
            add(format!("row {position} of the ledger is missing"));
            break;
        }
    }
    for pair in side.ledger.windows(2) {
        if pair[1].version <= pair[0].version {
            add(format!("version {} was not the next", pair[1].version));
        }
    }
    if side.ledger.get(..before.len()) != Some(before) {
        add("the ledger does not begin as it was".to_owned());
    }
    let last = side.ledger.last();
    let tip = last.map_or_else(
        || format!("{}-0-{}", side.of.table(), "0".repeat(64)),
        |row| {
            let digits: String = row.head.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{}-{}-{digits}", side.of.table(), row.position)
        },
    );
    if tip != side.seen.head.to_string() {
        add(format!("the head is {} and not {tip}", side.seen.head));
    }
}

/// Records, their rows, histories, ledger and the stream of changes tell the same.
fn agreement(side: &Side, add: &mut impl FnMut(String)) {
    let mut told = Vec::new();
    let mut keys = HashMap::new();
    for (id, record) in &side.seen.records {
        keys.insert(record.created, *id);
        told.extend(record.entries.iter().map(|entry| (entry.version, *id)));
        let last = record.entries.last().map_or(0, |entry| entry.version);
        let Some(row) = side.columns.get(id) else {
            add(format!("{id:x} has no row"));
            continue;
        };
        let same = (row.created, &row.status, &row.note, row.ended_at)
            == (
                record.created,
                &record.status,
                &record.note,
                record.ended_at,
            )
            && row.updated_at == last;
        if !same {
            add(format!(
                "the row of {id:x} says {row:?}, its history {record:?}"
            ));
        }
    }
    told.sort_unstable();
    if side.seen.changes != told {
        add("the stream of changes is not the histories in order, each entry once".to_owned());
    }
    let history: Vec<(i64, u64)> = side
        .history
        .iter()
        .map(|row| (row.version, keys.get(&row.record).copied().unwrap_or(0)))
        .collect();
    if history != told {
        add("there are entries of no record, or records without their entries".to_owned());
    }
    let gone: BTreeSet<i64> = deleted(side).map(|row| row.record).collect();
    let kept = side.ledger.iter().filter(|row| row.action == "entry");
    let kept: Vec<_> = kept
        .filter(|row| !gone.contains(&row.record))
        .map(|row| (row.version, row.record, &row.digest))
        .collect();
    let entries: Vec<_> = side
        .history
        .iter()
        .map(|row| (row.version, row.record, &row.digest))
        .collect();
    if kept != entries {
        add("the ledger does not have the entries of the records that are there".to_owned());
    }
    for row in deleted(side) {
        if side.seen.records.contains_key(&row.id) {
            add(format!("{:x} is deleted and there", row.id));
        }
    }
}

fn deleted(side: &Side) -> impl Iterator<Item = &Row> {
    side.ledger.iter().filter(|row| row.action == "deleted")
}

/// Each list is what its rule picks out of the records.
fn lists(side: &Side, at: i64, add: &mut impl FnMut(String)) {
    for (name, ids) in &side.seen.lists {
        let mut expected: Vec<(i64, u64)> = side
            .seen
            .records
            .iter()
            .filter_map(|(id, record)| Some((belongs(side, name, record, at)?, *id)))
            .collect();
        expected.sort_unstable();
        if name.starts_with("access") {
            expected.truncate(1);
        }
        let expected: Vec<u64> = expected.into_iter().map(|(_, id)| id).collect();
        if *ids != expected {
            add(format!(
                "the list `{name}` is {ids:x?}, and the records say {expected:x?}"
            ));
        }
    }
}

/// Whether a record belongs into a list; by what it is sorted there, smallest first.
fn belongs(side: &Side, list: &str, record: &Record, at: i64) -> Option<i64> {
    let of = side.of;
    let live = matches!(record.status.as_str(), "approved" | "active");
    let lasts = record.until.is_some_and(|until| until > at);
    let void = live && lasts && is_void(side, record, at);
    let (kind, rest) = list.split_once(' ').unwrap_or((list, ""));
    let newest_first = -record.created;
    let ended = record.ended_at.filter(|ended| *ended < at);
    let open = record.until.filter(|until| *until > at && !void);
    let (first, earliest) = match (of, kind) {
        (_, "status") => (record.status == rest, newest_first),
        (_, "user") => (record.user == rest, newest_first),
        (_, "profile") => (record.profile == rest, newest_first),
        (Of::Request, "waiting") => (record.status == "pending", record.created),
        (Of::Request, "due") if void => return record.until,
        (Of::Request, "due") => {
            let is_due = record.status == "pending" && record.deadline <= at;
            (is_due, record.deadline)
        }
        (Of::Request, "ended") if void => return record.ended_at,
        (Of::Request, "ended") => return ended,
        (Of::Request, "open") if record.user != rest => return None,
        (Of::Request, "open") => match record.status.as_str() {
            "pending" => (record.deadline > at, -record.deadline),
            "approved" => return open.map(|until| -until),
            _ => return None,
        },
        (Of::Emergency, "due") => {
            let is_due = record.status == "active" && (record.deadline <= at || void);
            (is_due, record.deadline)
        }
        (Of::Emergency, "ended") => {
            let over = record.reviewed && record.status != "active";
            return ended.filter(|_| over);
        }
        (Of::Emergency, "awaiting") => {
            let active = record.status == "active" && record.deadline > at && !void;
            (!record.reviewed && !active, record.ended_at?)
        }
        (_, "access") => {
            let wanted = rest == format!("{} {}", record.user, record.profile)
                && matches!(record.status.as_str(), "approved" | "active");
            // By a time that is given, which knows of no correction.
            let open = record.until.filter(|until| *until > at);
            return open.filter(|_| wanted).map(|until| -until);
        }
        _ => return None,
    };
    first.then_some(earliest)
}

/// Whether access began while the clock was ahead, by more than an hour, and the correction of that
/// stood for an hour.
fn is_void(side: &Side, record: &Record, at: i64) -> bool {
    const HOUR: i64 = 3_600_000_000_000;
    let Some((from, version)) = record.from else {
        return false;
    };
    let corrections: Vec<&Row> = side
        .ledger
        .iter()
        .filter(|row| row.action == "corrected")
        .collect();
    corrections.iter().enumerate().any(|(number, row)| {
        let next = corrections.get(number + 1);
        let stood_until = next.map_or(at, |next| next.record);
        version < row.version && from > row.at + HOUR && stood_until >= row.at + HOUR
    })
}

/// Nothing leads out of a terminal status.
fn statuses(side: &Side, add: &mut impl FnMut(String)) {
    for (id, record) in &side.seen.records {
        for pair in record.entries.windows(2) {
            if pair[1].version <= pair[0].version {
                add(format!("the versions of {id:x} do not grow"));
            }
            if pair[0].terminal && pair[1].status != pair[0].status {
                add(format!(
                    "{id:x} left `{}` for `{}`",
                    pair[0].status, pair[1].status
                ));
            }
        }
        let last = record.entries.last();
        if last.map(|entry| &entry.status) != Some(&record.status) {
            add(format!("{id:x} is `{}` after {last:?}", record.status));
        }
    }
}

/// Of one user and one profile, an emergency begins when the one before is over.
fn one_active(side: &Side, add: &mut impl FnMut(String)) {
    let mut by_access: BTreeMap<_, BTreeMap<i64, (&u64, &Record)>> = BTreeMap::new();
    for (id, record) in &side.seen.records {
        let access = (record.user.to_ascii_lowercase(), &record.profile);
        let of_access = by_access.entry(access).or_default();
        of_access.insert(record.created, (id, record));
    }
    for emergencies in by_access.values() {
        for ((_, (first, before)), (began, (second, _))) in
            emergencies.iter().zip(emergencies.iter().skip(1))
        {
            if before.ended_at.is_none_or(|ended| ended > *began) {
                add(format!("{first:x} was active when {second:x} began"));
            }
        }
        let marked = emergencies
            .values()
            .filter(|(_, emergency)| emergency.status == "active");
        if marked.count() > 1 {
            add(format!("{} emergencies have one access", emergencies.len()));
        }
    }
}

/// No window holds more emergencies than the quotas allow.
fn quotas(side: &Side, add: &mut impl FnMut(String)) {
    let window = i64::try_from(QUOTA_WINDOW.as_nanos()).unwrap();
    for (id, last) in &side.seen.records {
        // What was dated ahead counts as of the last correction before.
        let correction = side
            .ledger
            .iter()
            .rfind(|row| row.action == "corrected" && row.version < last.created);
        let moment = |emergency: &Record| match correction {
            Some(row) if emergency.created < row.version => emergency.created_at.min(row.at),
            _ => emergency.created_at,
        };
        let counted = |same: fn(&Record, &Record) -> bool| {
            let in_window = |emergency: &&Record| {
                same(emergency, last)
                    && emergency.created <= last.created
                    && moment(emergency) > last.created_at - window
            };
            side.seen.records.values().filter(in_window).count()
        };
        let of_user = counted(|one, other| one.user.eq_ignore_ascii_case(&other.user));
        let of_profile = counted(|one, other| one.profile == other.profile);
        if of_user > MAX_PER_USER || of_profile > MAX_PER_PROFILE {
            add(format!(
                "{id:x} was admitted as number {of_user} of its user and {of_profile} of its \
                 profile"
            ));
        }
    }
}

/// Nothing is there that nobody asked for.
fn explained(side: &Side, known: &Known, add: &mut impl FnMut(String)) {
    let asked = known.answered.iter().map(|(operation, _)| operation);
    let asked = asked.chain(&known.open).filter(|asked| asked.of == side.of);
    let (mut operations, mut deletions) = (HashMap::new(), BTreeSet::new());
    for operation in asked {
        match operation.verb {
            Verb::Delete => {
                deletions.insert(operation.id);
            }
            _ => {
                operations.insert(operation.idempotency_key, operation.id);
            }
        }
    }
    for (id, record) in &side.seen.records {
        let mut seen = BTreeSet::new();
        for entry in &record.entries {
            let asked = match entry.idempotency_key {
                Some(operation) => {
                    if !seen.insert(operation) {
                        add(format!("operation {operation:x} was done twice"));
                    }
                    operations.get(&operation) == Some(id)
                }
                // An emergency that another one replaces ends without anybody's asking.
                None => entry.action == "Expired" && side.of == Of::Emergency,
            };
            if !asked {
                add(format!("nobody asked for {entry:?} of {id:x}"));
            }
        }
    }
    for row in deleted(side) {
        if !deletions.contains(&row.id) {
            add(format!("nobody asked for the deletion of {:x}", row.id));
        }
    }
}

/// What is looked up for each call.
pub struct Index<'c> {
    contents: &'c Contents,
    /// Rows of entries by version, and ids of deleted records.
    entries: [HashMap<i64, &'c Row>; 2],
    gone: [BTreeSet<u64>; 2],
}

impl<'c> Index<'c> {
    pub fn of(contents: &'c Contents) -> Self {
        let entries = |side: &'c Side| {
            let rows = side.ledger.iter().filter(|row| row.action == "entry");
            rows.map(|row| (row.version, row)).collect()
        };
        let gone = |side: &'c Side| deleted(side).map(|row| row.id).collect();
        let [requests, emergencies] = &contents.sides;
        Self {
            contents,
            entries: [entries(requests), entries(emergencies)],
            gone: [gone(requests), gone(emergencies)],
        }
    }

    /// Whether a call was made, as far as the file tells; and the version that it made.
    pub fn made(&self, operation: &Operation) -> Option<i64> {
        let record = self
            .contents
            .side(operation.of)
            .seen
            .records
            .get(&operation.id);
        if operation.verb == Verb::Delete {
            return self.gone[operation.of as usize]
                .contains(&operation.id)
                .then_some(0);
        }
        let mut entries = record?.entries.iter();
        let entry =
            entries.find(|entry| entry.idempotency_key == Some(operation.idempotency_key))?;
        Some(entry.version)
    }

    /// What is wrong with what was answered, if anything is.
    fn acknowledged(&self, operation: &Operation, answer: &Answer) -> Option<String> {
        let record = self
            .contents
            .side(operation.of)
            .seen
            .records
            .get(&operation.id);
        let gone = self.gone[operation.of as usize].contains(&operation.id);
        let wrong = |problem: &str| Some(problem.to_owned());
        match answer {
            Answer::Done { version, sum } => {
                match self.entries[operation.of as usize].get(version) {
                    Some(row) if row.id == operation.id => {}
                    _ => return wrong("is not in the ledger"),
                }
                let Some(record) = record else {
                    return (!gone).then(|| "the record is not there".to_owned());
                };
                let mut entries = record.entries.iter();
                match entries.find(|entry| entry.idempotency_key == Some(operation.idempotency_key))
                {
                    None => wrong("is not in the history"),
                    Some(entry) if (entry.version, entry.sum) != (*version, *sum) => {
                        Some(format!("is there as {entry:?}"))
                    }
                    Some(_) => None,
                }
            }
            Answer::Deleted | Answer::Absent if gone => None,
            Answer::Deleted => wrong("the ledger does not say so"),
            Answer::Absent => wrong("nobody has deleted it"),
            Answer::Refused(_) => match self.made(operation) {
                Some(_) if operation.verb != Verb::Delete => wrong("was done all the same"),
                _ => None,
            },
            Answer::Failed(_) => wrong("no call is to fail"),
            Answer::Early if operation.verb == Verb::Delete => None,
            Answer::Early => match self.made(operation) {
                None if !gone => wrong("is not there"),
                _ => None,
            },
        }
    }
}
