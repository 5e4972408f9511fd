//! A day on a file: it goes on where it stopped, wherever that was, and comes out as one that was
//! played in one go; what is no file for it is told.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::{env, fs};

use chrono::DateTime;
use countersign_breakglass::instrumented as of_emergencies;
use countersign_policy::{Clock, ManualClock, ManualTicks};
use countersign_request::instrumented as of_requests;
use countersign_sqlite::{EmergencyStore, RequestStore};
use rusqlite::Connection;
use tempfile::TempDir;

use super::{Copy, demo};
use crate::arguments;
use crate::data::{self, Data};
use crate::journal::Journal;
use crate::step::Action;
use crate::stores::Stores;
use crate::world::World;

/// A folder, and the name of a file in it.
fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("day.db");
    (folder, path)
}

fn store(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

/// Plays on a file, with further arguments.
fn play(path: &Path, more: &[&str]) -> (u8, String, String) {
    let store = store(path);
    demo(&[&["--store", &store], more].concat())
}

/// The error about a file on which nothing is played.
fn refused(path: &Path, more: &[&str]) -> String {
    let (code, output, errors) = play(path, more);
    assert_eq!((code, output.as_str()), (2, ""), "{errors}");
    assert_eq!(errors.trim_end().lines().count(), 1, "one line: {errors}");
    errors
}

/// The table at the end, without what is counted for each run.
fn table(output: &str) -> &str {
    let from = output.find("verb       steps").unwrap();
    let to = output.find("policy cache").unwrap();
    &output[from..to]
}

/// What a file holds, and what it once held. Of calls at the same moment it is chance which was
/// first, by nanoseconds, and under which id.
fn content(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut lines = Vec::new();
    for sql in [
        "SELECT concat_ws('|', id, requester, profile, status, substr(created_at, 1, 19),
            approved_by, substr(access_until, 1, 19), substr(ended_at, 1, 19), note)
            FROM request_utc ORDER BY 1",
        "SELECT concat_ws('|', invoker, profile, status, substr(created_at, 1, 19),
            substr(ended_at, 1, 19), note, review) FROM emergency_utc ORDER BY 1",
        "SELECT concat_ws('|', id, substr(version, 1, 19), action, actor, reason, idempotency_key)
            FROM request_history_utc ORDER BY 1",
        "SELECT concat_ws('|', substr(version, 1, 19), action, actor, reason)
            FROM emergency_history_utc ORDER BY 1",
        "SELECT concat_ws('|', position, version / 1000000000, action, id) FROM request_ledger
            ORDER BY position",
        "SELECT concat_ws('|', position, version / 1000000000, action) FROM emergency_ledger
            ORDER BY position",
        "SELECT concat_ws('|', name, substr(version, 1, 19), is_current, digest) FROM policy_utc
            ORDER BY 1",
        "SELECT concat_ws('|', position, version / 1000000000, action, substr(id, 1, instr(id, char(9)))) FROM policy_ledger
            ORDER BY position",
        "SELECT concat_ws('|', number, text, outcome) FROM demo_step ORDER BY number",
    ] {
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0));
        lines.extend(rows.unwrap().map(Result::unwrap));
    }
    lines
}

fn shipped() -> Data {
    data::read(&arguments::shipped()).unwrap()
}

#[test]
fn day_on_a_file_is_the_day_in_memory_and_is_played_once() {
    let (_folder, path) = file();
    let in_memory = demo(&[]);
    let first = play(&path, &[]);
    assert_eq!(first, in_memory, "the store makes no difference");
    let kept = content(&path);
    for _ in 0..2 {
        let (code, output, errors) = play(&path, &[]);
        assert_eq!((code, errors.as_str()), (0, ""));
        let steps = shipped().steps.len();
        let line = format!("steps played before: {steps}, until Tuesday, 3 March 2026, 13:22:00\n");
        assert!(output.starts_with(&line), "{output}");
        assert_eq!(table(&output), table(&in_memory.1));
        assert_eq!(content(&path), kept, "a step was played again");
    }
    assert_eq!(play(&path, &["--json"]), (0, String::new(), String::new()));
}

#[test]
fn day_that_stops_after_every_step_goes_on_as_one_that_does_not() {
    let (_folder, path) = file();
    let steps = shipped().steps.len();
    let mut joined = String::new();
    for number in 1..=steps {
        let (code, output, errors) = play(&path, &["--json", "--steps", "1"]);
        assert_eq!((code, errors.as_str()), (0, ""), "step {number}");
        assert_eq!(output.lines().count(), 1, "step {number}");
        joined += &output;
    }
    assert_eq!(joined, demo(&["--json"]).1);
    let (_other_folder, other) = file();
    play(&other, &[]);
    assert_eq!(content(&path), content(&other));
}

/// Plays the day on a file while each step that writes loses answers of the store, and the program
/// ends whenever that happens; it also ends once when a step is over and not noted yet.
async fn play_losing_answers(path: &Path) -> usize {
    let (mut lost, mut attempt, mut played_whole) = (0, 0, false);
    loop {
        let data = shipped();
        let (journal, played) = Journal::open(path, &data).unwrap();
        let (before, after) = data.steps.split_at(played.outcomes.len());
        let Some(step) = after.first() else {
            return lost;
        };
        let clock = Arc::new(ManualClock::at(DateTime::UNIX_EPOCH));
        let shared: Arc<dyn Clock> = clock.clone();
        let ticks = || Arc::new(ManualTicks::new());
        let requests = RequestStore::new(journal.database(), Arc::clone(&shared));
        let requests = Arc::new(of_requests::Instrumented::new(requests, ticks()));
        let emergencies = EmergencyStore::new(journal.database(), Arc::clone(&shared));
        let emergencies = Arc::new(of_emergencies::Instrumented::new(emergencies, ticks()));
        // Marking and deleting get one record further each time; another call would lose its answer
        // for ever.
        let is_of_many = matches!(step.action, Action::Expire | Action::Delete { .. });
        let (creations, changes) = match attempt {
            0 => (1, 1),
            1 => (0, 1),
            2 => (2, 0),
            _ => (0, usize::from(is_of_many)),
        };
        let of_all = [
            (
                of_requests::Method::Create,
                of_emergencies::Method::Create,
                creations,
            ),
            (
                of_requests::Method::Update,
                of_emergencies::Method::Update,
                changes,
            ),
            (
                of_requests::Method::Delete,
                of_emergencies::Method::Delete,
                changes,
            ),
        ];
        for (of_request, of_emergency, calls) in of_all {
            requests.fail_next(of_request, calls, of_requests::Fault::after());
            emergencies.fail_next(of_emergency, calls, of_emergencies::Fault::after());
        }
        let mut stores = Stores::of_file(journal.database(), &shared);
        (stores.requests, stores.emergencies) = (requests, emergencies);
        let mut world = World::new(data.rules, clock, stores);
        world.go_on_after(before, played.kept).await;
        let outcome = world.play(step).await;
        if outcome.store_failed() {
            (lost, attempt) = (lost + 1, attempt + 1);
        } else if played_whole {
            journal.note(step, &outcome, &world.kept).unwrap();
            (attempt, played_whole) = (0, false);
        } else {
            played_whole = true;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn step_that_was_broken_off_in_its_middle_comes_out_as_one_that_was_not() {
    let (_folder, path) = file();
    let lost = play_losing_answers(&path).await;
    assert!(lost >= 100, "{lost} answers were lost");
    let (_other_folder, other) = file();
    let all = tokio::task::spawn_blocking(move || {
        assert_eq!(play(&other, &[]).0, 0);
        content(&other)
    });
    assert_eq!(content(&path), all.await.unwrap());
}

/// The file on which the program that a test starts is to play.
const CHILD: &str = "COUNTERSIGN_DEMO_CHILD";

/// Not a test of its own: what the next one starts and kills.
#[test]
fn child() {
    if let Some(path) = env::var_os(CHILD) {
        let store = store(Path::new(&path));
        let arguments = ["--store", &store, "--json", "--steps", "15"].map(Into::into);
        let mut output = std::io::stdout();
        crate::run(&arguments, false, &mut output, &mut std::io::stderr());
    }
}

#[test]
fn killed_program_goes_on_where_it_was() {
    let (_folder, path) = file();
    // However far each gets before it is killed, there are steps left for the next.
    assert!(shipped().steps.len() > 6 * 15);
    for lines in [1, 9, 3, 14, 1, 7] {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "tests::store::child", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let steps = output.lines().map(Result::unwrap);
        let steps = steps.filter(|line| line.starts_with("{\"at\""));
        assert_eq!(steps.take(lines).count(), lines);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (code, output, errors) = play(&path, &[]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(output.starts_with("steps played before: "), "{output}");
    let (_other_folder, other) = file();
    play(&other, &[]);
    assert_eq!(content(&path), content(&other));
}

#[test]
fn store_that_fails_stops_the_day_and_it_goes_on_when_the_store_does() {
    let (_folder, path) = file();
    assert_eq!(play(&path, &["--steps", "14"]).0, 0);
    let kept = content(&path);
    let broken =
        "CREATE TRIGGER broken BEFORE INSERT ON request BEGIN SELECT RAISE(ABORT, 'no'); END";
    Connection::open(&path)
        .unwrap()
        .execute_batch(broken)
        .unwrap();
    // What comes of a step that writes nothing is noted, and of the one that fails nothing is.
    let (code, output, errors) = play(&path, &["--json"]);
    assert_eq!((code, output.lines().count()), (1, 1), "{errors}");
    assert!(
        errors.contains("day.jsonl:16: the store failed ("),
        "{errors}"
    );
    assert!(errors.contains("play the day again"), "{errors}");
    assert_eq!(content(&path).len(), kept.len() + 1);
    Connection::open(&path)
        .unwrap()
        .execute_batch("DROP TRIGGER broken")
        .unwrap();
    let (code, output, errors) = play(&path, &[]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert_eq!(table(&output), table(&demo(&[]).1));
}

#[test]
fn policies_of_a_day_are_in_the_file_each_once_and_a_put_that_fails_stops_the_day() {
    let (_folder, path) = file();
    let execute = |sql: &str| Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let put = || -> i64 {
        let connection = Connection::open(&path).unwrap();
        let count = "SELECT count(*) FROM policy_ledger";
        connection.query_row(count, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(play(&path, &["--steps", "1"]).0, 0);
    assert_eq!(put(), 1, "the policy with which the day begins");
    execute(
        "CREATE TRIGGER broken BEFORE INSERT ON policy_version BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
    let (code, _, errors) = play(&path, &[]);
    assert_eq!(code, 1);
    let is_policy = |step: &&crate::step::Step| matches!(step.action, Action::Policy { .. });
    let line = shipped().steps.iter().find(is_policy).unwrap().line;
    let said = format!("day.jsonl:{line}: the store failed (");
    assert!(errors.contains(&said), "{errors}");
    execute("DROP TRIGGER broken");
    let (code, output, errors) = play(&path, &[]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert_eq!(table(&output), table(&demo(&[]).1));
    assert_eq!(put(), 2, "and the afternoon's");
}

#[test]
fn steps_stop_a_day_and_what_is_left_is_told() {
    let (_folder, path) = file();
    let left = shipped().steps.len() - 12;
    let (code, output, _) = demo(&["--steps", "12"]);
    assert_eq!(code, 0);
    let told =
        format!("steps left to play: {left}; add `--store sqlite:PATH` to go on another time");
    assert!(output.ends_with(&format!("{told}\n")), "{output}");
    let (_, output, _) = play(&path, &["--steps", "12"]);
    let told = format!("steps left to play: {left}; start the same command again to go on");
    assert!(output.ends_with(&format!("{told}\n")), "{output}");
    let (_, output, _) = play(&path, &["--steps", "1000"]);
    assert!(output.starts_with("steps played before: 12, until"));
    assert!(!output.contains("steps left"), "{output}");
    for (bad, shown) in [("0", "`0`"), ("-1", "`-1`"), ("all", "`all`")] {
        let (code, output, errors) = demo(&["--steps", bad]);
        assert_eq!((code, output.as_str()), (2, ""));
        assert!(
            errors.contains(&format!("`--steps` is {shown}: write how many")),
            "{errors}"
        );
    }
}

#[test]
fn outcome_that_was_not_expected_is_told_whenever_the_day_goes_on() {
    let (_folder, path) = file();
    let copy = Copy::new();
    let day = copy.file("day.jsonl");
    let text = fs::read_to_string(&day).unwrap();
    fs::write(&day, text.replacen("\"allowed\"", "\"denied\"", 1)).unwrap();
    let data = copy.0.to_str().unwrap();
    for _ in 0..2 {
        let (code, _, errors) = play(&path, &["--data", data, "--steps", "5"]);
        assert_eq!(code, 1);
        assert!(
            errors.contains("day.jsonl:3: `expect` is `denied` and the outcome is `allowed`"),
            "{errors}"
        );
    }
}

#[test]
fn store_that_cannot_be_used_is_told_with_a_fix() {
    for (bad, said) in [
        (
            "postgres:day",
            "`--store` is `postgres:day`: write `sqlite:PATH` or `memory`",
        ),
        (
            "day.db",
            "`--store` is `day.db`: write `sqlite:PATH` or `memory`",
        ),
        ("sqlite:", "`--store` is `sqlite:`: name the file"),
        ("sqlite::memory:", "`:memory:` names no file"),
    ] {
        let (code, output, errors) = demo(&["--store", bad]);
        assert_eq!((code, output.as_str()), (2, ""), "{bad}");
        assert!(
            errors.starts_with("error: `--store`") && errors.contains(said),
            "{errors}"
        );
    }
    assert_eq!(demo(&["--store"]).0, 2);
    let (code, output, errors) = demo(&["--store", "memory", "--json"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert_eq!(output, demo(&["--json"]).1);

    let (folder, path) = file();
    let missing = folder.path().join("no/day.db");
    let error = refused(&missing, &[]);
    let no = folder.path().join("no");
    let said = format!("there is no directory `{}`: make it", no.display());
    assert!(error.contains(&said), "{error}");
    assert!(!no.exists(), "nothing was made");
    let error = refused(folder.path(), &[]);
    assert!(
        error.contains("is a directory: name a file in it"),
        "{error}"
    );
    for text in [
        "a text, and a long one at that\n".repeat(40),
        "a day".into(),
    ] {
        fs::write(&path, &text).unwrap();
        let error = refused(&path, &[]);
        assert!(error.contains("is no database"), "{error}");
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            text,
            "the file is as it was"
        );
    }
}

#[test]
fn database_of_something_else_is_refused_and_left_as_it_was() {
    let (_folder, path) = file();
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TABLE wine (name TEXT)")
        .unwrap();
    drop(other);
    let before = fs::read(&path).unwrap();
    let error = refused(&path, &[]);
    assert!(
        error.contains("is not a Countersign database but another's"),
        "{error}"
    );
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn file_with_records_of_others_is_refused_and_an_empty_one_is_used() {
    use countersign_request::*;
    use countersign_sqlite::{Database, Options};
    let (_folder, path) = file();
    drop(Database::open(&path, &Options::default()).unwrap());
    assert_eq!(play_on_a_thread(path.clone()).await, (0, String::new()));

    let (_folder, path) = file();
    let policy = r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob"]}]}"#;
    let policy: ApprovalPolicy = policy.parse().unwrap();
    let database = Database::open(&path, &Options::default()).unwrap();
    let store = Arc::new(RequestStore::new(&database, Arc::new(SystemClock)));
    let workflow = Workflow::new(store, Arc::new(policy));
    let (alice, prod) = (User::new("alice").unwrap(), Profile::new("prod").unwrap());
    let minute = std::time::Duration::from_secs(60);
    let draft = workflow.draft(&alice, &prod, minute, "look at the slow query");
    workflow.submit(&draft.unwrap()).await.unwrap();
    let (code, errors) = play_on_a_thread(path.clone()).await;
    assert_eq!(code, 2);
    assert!(
        errors.contains("has records that no day of the demo made: name another"),
        "{errors}"
    );
    let connection = Connection::open(&path).unwrap();
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'demo%'";
    let tables: i64 = connection.query_row(tables, [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 0, "nothing was made in it");
}

/// The demo has a runtime of its own.
async fn play_on_a_thread(path: PathBuf) -> (u8, String) {
    let play = move || play(&path, &["--steps", "2"]);
    let (code, _, errors) = tokio::task::spawn_blocking(play).await.unwrap();
    (code, errors)
}

#[test]
fn another_day_is_refused_and_one_that_has_grown_goes_on() {
    let (_folder, path) = file();
    let copy = Copy::new();
    let data = copy.0.to_str().unwrap();
    let day = copy.file("day.jsonl");
    let text = fs::read_to_string(&day).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let policy_at = lines
        .iter()
        .position(|line| line.contains("\"do\": \"policy\""));
    let first = policy_at.unwrap() + 3;
    fs::write(&day, lines[..first].join("\n")).unwrap();
    assert_eq!(play(&path, &["--data", data]).0, 0);
    let kept = content(&path);

    let refuse = |name: &str, text: String, said: &str| {
        let good = fs::read_to_string(copy.file(name)).unwrap();
        assert_ne!(good, text, "{name} is changed");
        fs::write(copy.file(name), text).unwrap();
        let error = refused(&path, &["--data", data]);
        assert!(error.contains(said), "`{said}` in: {error}");
        assert!(error.contains("name another file"), "{error}");
        assert_eq!(content(&path), kept, "nothing is played");
        fs::write(copy.file(name), good).unwrap();
    };
    for name in [
        "policy.json",
        "approvals.json",
        "invocation.json",
        "limits.json",
    ] {
        let text = fs::read_to_string(copy.file(name)).unwrap();
        refuse(name, text + "\n", &format!("began with another `{name}`"));
    }
    // The policy that the day put in force.
    let text_of_policy = fs::read_to_string(copy.file("policy-afternoon.json")).unwrap();
    let place = format!(
        "step {} of which is not in {}:{}",
        first - 2,
        day.display(),
        first - 2
    );
    refuse("policy-afternoon.json", text_of_policy + "\n", &place);
    let changed = lines[..first].join("\n").replacen("fix it", "mend it", 1);
    refuse("day.jsonl", changed, "day.jsonl:15: play that day");
    refuse(
        "day.jsonl",
        lines[..first - 1].join("\n"),
        "day.jsonl: play that day",
    );

    // Blank lines say nothing, and more steps are more of the same day.
    fs::write(&day, format!("\n{}\n", lines.join("\n\n"))).unwrap();
    let (code, output, errors) = play(&path, &["--data", data]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert_eq!(table(&output), table(&demo(&[]).1));
}

#[test]
fn ids_of_a_step_are_not_those_of_the_next() {
    let copy = Copy::new();
    let text = fs::read_to_string(copy.file("day.jsonl")).unwrap();
    let labelled = |label: &str| {
        let line = text
            .lines()
            .find(|line| line.contains(&format!("\"as\": \"{label}\"")));
        line.unwrap().to_owned() + "\n"
    };
    let day = labelled("outage") + &labelled("root-key") + &labelled("payment-run-proven");
    fs::write(copy.file("day.jsonl"), day).unwrap();
    assert_eq!(copy.play().0, 0);
}

#[test]
fn two_programs_do_not_play_the_same_step() {
    let (_folder, path) = file();
    let data = shipped();
    let (one, _) = Journal::open(&path, &data).unwrap();
    let (other, _) = Journal::open(&path, &data).unwrap();
    let (step, kept) = (&data.steps[0], crate::world::Kept::default());
    let outcome = crate::world::outcome("alice", "is first", crate::world::failed(&"not at all"));
    one.note(step, &outcome, &kept).unwrap();
    let error = other.note(step, &outcome, &kept).unwrap_err();
    assert!(
        error.contains("is played on by another program: let it end"),
        "{error}"
    );
}
