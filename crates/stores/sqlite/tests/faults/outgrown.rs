//! A commit that the system fails: a process whose files may not grow beyond a size.
//!
//! To the engine that is no full disk but a write that failed (`SQLITE_IOERR`), of which nobody
//! knows what has reached the disk. So the call says that the change may have been made.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use countersign_breakglass as breakglass;
use countersign_request as request;
use countersign_sqlite::{
    Database, EmergencyStore, EngineError, Options, RequestStore, Synchronous,
};

use breakglass::Store as _;
use request::Store as _;

use crate::audit::Known;
use crate::common::requests::{draft, rules};
use crate::common::{self, Draws, block_on};
use crate::kill::{Said, Subject, Tally};
use crate::operations::{Answer, Of, Stores};
use crate::process::{Process, program};
use crate::room::at_once;
use crate::seed;
use crate::writer::line;

/// As many blocks as a file may have, whichever size the shell counts them in: more than the file
/// of the test has, and less than the log has when it is written back.
const BLOCKS: &str = "2000";

/// How many call at once, now and then.
const CALLERS: usize = 8;

/// How many calls on each store fail before the process ends.
const FAILURES: u64 = 5;

/// What a call says of a commit that failed.
const UNKNOWN: &str = "the store failed and the change may or may not have been made: \
                       the system could not read or write the file";

#[test]
fn a_commit_that_the_system_fails_may_have_been_made() {
    let seed = seed("faults outgrown");
    let mut tally = Tally::default();
    for round in 0..2 {
        let mut subject = Subject::new();
        // The file is made where nothing limits it.
        drop(Stores::open(subject.path(), Synchronous::Full, 0).unwrap());
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\"", BLOCKS]);
        command.arg(program());
        let words = format!("{} {}", seed.wrapping_add(round), round);
        let mut process = Process::started(command, "outgrow", &words, subject.path());
        let mut said = Said::default();
        while let Some(line) = process.line() {
            said.take(&line);
        }
        assert!(process.child.wait().unwrap().success(), "it says why");
        subject.told(said, &mut tally);
        let problems = subject.check(0, &mut tally);
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
    let Tally {
        acknowledged,
        there,
        not_there,
        ..
    } = tally;
    assert!(acknowledged > 0 && there + not_there >= 4 * FAILURES);
    line(format_args!(
        "\nfaults outgrown: {} commits failed and said that they may have been made: {there} were \
         and {not_there} were not, each once when repeated, and all {acknowledged} acknowledged \
         changes are there (seed {seed})",
        there + not_there
    ));
}

/// The role of the process whose files may not grow.
pub fn outgrow(words: &str, path: &Path) {
    let (seed, synchronous) = words.split_once(' ').unwrap();
    let draws = &mut Draws::from_seed(seed.parse().unwrap());
    let synchronous = match synchronous {
        "0" => Synchronous::Full,
        _ => Synchronous::Normal,
    };
    let stores = Stores::open(path, synchronous, 0).unwrap();
    let mut known = Known::default();
    let mut failed = [0; 2];
    for number in 0.. {
        assert!(number < 10_000, "the file grows all the same");
        if failed.iter().all(|failed| *failed >= FAILURES) {
            break;
        }
        // By turns alone, and together with others.
        let callers = if number % 8 == 7 { CALLERS } else { 1 };
        for (place, (operation, answer)) in at_once(&stores, draws, &known, callers)
            .into_iter()
            .enumerate()
        {
            let number = number * CALLERS + place;
            line(format_args!("try {number} {operation}"));
            if let Answer::Failed(why) = &answer {
                assert!(
                    why.starts_with(UNKNOWN),
                    "`{operation}` was answered `{why}`"
                );
                failed[usize::from(operation.of == Of::Emergency)] += 1;
                continue;
            }
            line(format_args!("ack {number} {answer}"));
            known.answered.push((operation, answer));
        }
    }
    says_so_in_its_types(&path.with_extension("other"));
    // Reading goes on.
    for status in request::Status::ALL {
        let (filter, page) = (status.into(), request::Page::default());
        block_on(stores.requests.list(&filter, page)).unwrap();
    }
}

/// The same of each store, in another file, by what an error says and not by its text.
fn says_so_in_its_types(path: &Path) {
    let database = Database::open(path, &Options::default()).unwrap();
    let clock = Arc::new(request::SystemClock);

    let (rules, store) = (rules(), RequestStore::new(&database, clock.clone()));
    let failed = first_failure(|number| {
        let draft = request::Draft {
            profile: profile(number),
            ..draft(number)
        };
        let terms = request::Terms::of(&rules, &draft.profile);
        block_on(store.create(&draft, &terms)).err()
    });
    let request::Error::Backend(request::Failure {
        source,
        is_retryable: retryable,
        outcome,
    }) = failed
    else {
        panic!("not the engine's: {failed}");
    };
    assert_eq!((retryable, outcome), (true, request::Outcome::Unknown));
    assert!(matches!(
        source.downcast_ref(),
        Some(EngineError::InputOutput(_))
    ));

    let who = r#"{"version": "1", "rules": [{"name": "all", "users": ["alice"]}]}"#;
    let who: breakglass::InvocationPolicy = who.parse().unwrap();
    let often = breakglass::RateLimitPolicy::unlimited();
    let store = EmergencyStore::new(&database, clock.clone());
    let failed = first_failure(|number| {
        let draft = breakglass::Draft {
            id: breakglass::EmergencyId::from_bits(number),
            idempotency_key: None,
            invoker: common::user("alice"),
            profile: profile(number),
            duration: Duration::from_secs(60),
            reason_code: breakglass::ReasonCode::Incident,
            justification: "the orders database is down".into(),
            ticket: None,
            request_id: None,
            mfa: None,
        };
        let admission = breakglass::Admission::new(&who, &often, &draft.profile);
        block_on(store.create(&draft, &admission)).err()
    });
    assert!(
        matches!(
            failed,
            breakglass::Error::Backend(breakglass::Failure {
                is_retryable: true,
                outcome: breakglass::Outcome::Unknown,
                ..
            })
        ),
        "{failed:?}"
    );

    #[cfg(feature = "policy")]
    policies_say_so(&database);
}

#[cfg(feature = "policy")]
fn policies_say_so(database: &Database) {
    use countersign_policy::store::{Attribution, Error, Expected, Outcome, Store as _};

    let store = countersign_sqlite::PolicyStore::new(database, Arc::new(request::SystemClock));
    let json = r#"{"version": "1", "rules": [{"name": "r", "effect": "allow",
        "conditions": {"users": ["alice"]}}]}"#;
    let policy: Arc<countersign_policy::Policy> = Arc::new(json.parse().unwrap());
    let failed = first_failure(|number| {
        let name = format!("policy-{number}");
        block_on(store.put(
            &name,
            Expected::Absent,
            Arc::clone(&policy),
            &Attribution::NOBODY,
        ))
        .err()
    });
    assert!(
        matches!(
            failed,
            Error::Backend(request::Failure {
                is_retryable: true,
                outcome: Outcome::Unknown,
                ..
            })
        ),
        "{failed:?}"
    );
}

fn profile(number: u64) -> request::Profile {
    common::profile(&format!("profile-{number}"))
}

/// The error of the first of many calls that fails.
fn first_failure<E>(call: impl FnMut(u64) -> Option<E>) -> E {
    let failed = (0..10_000).find_map(call);
    failed.expect("the file grows all the same")
}
