//! The shipped day comes out as it says, and every kind of bad file is told with file, line, field
//! and fix.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{arguments, run};

mod store;

/// Exit code, output and errors of a run.
fn demo(arguments: &[&str]) -> (u8, String, String) {
    let arguments: Vec<_> = arguments.iter().map(Into::into).collect();
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let code = run(&arguments, false, &mut output, &mut errors);
    (
        code,
        String::from_utf8(output).unwrap(),
        String::from_utf8(errors).unwrap(),
    )
}

/// A copy of the shipped files that is removed at the end.
struct Copy(PathBuf);

impl Copy {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("countersign-demo-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        for entry in fs::read_dir(arguments::shipped()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), directory.join(entry.file_name())).unwrap();
        }
        Self(directory)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn play(&self) -> (u8, String, String) {
        demo(&["--data", self.0.to_str().unwrap()])
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Plays the day with one file changed; gives the one line of the error, without the directory.
fn refused(file: &str, change: impl FnOnce(&str) -> Option<Vec<u8>>) -> String {
    let copy = Copy::new();
    let path = copy.file(file);
    let changed = change(&fs::read_to_string(&path).unwrap());
    match changed {
        Some(text) => fs::write(&path, text).unwrap(),
        None => fs::remove_file(&path).unwrap(),
    }
    let (code, output, errors) = copy.play();
    assert_eq!(code, 2, "{errors}");
    assert_eq!(output, "", "nothing is played");
    let directory = format!("error: {}/", Path::new(&copy.0).display());
    let line = errors
        .strip_prefix(&directory)
        .unwrap_or_else(|| panic!("{errors}"));
    assert_eq!(line.trim_end().lines().count(), 1, "one line: {line}");
    line.trim_end().to_owned()
}

/// The error when `from`, which must be there, is replaced.
fn replaced(file: &str, from: &str, to: &str) -> String {
    refused(file, |text| {
        assert!(text.contains(from), "`{from}` is in {file}");
        Some(text.replacen(from, to, 1).into_bytes())
    })
}

/// The error when the day is this line.
fn line(text: &str) -> String {
    refused("day.jsonl", |_| Some(text.as_bytes().to_vec()))
}

#[test]
fn shipped_day_comes_out_as_every_step_expects() {
    let day = fs::read_to_string(arguments::shipped().join("day.jsonl")).unwrap();
    let steps = day.lines().count();
    assert!(steps >= 60, "the day has {steps} steps");
    for line in day.lines() {
        assert!(
            line.contains("\"expect\": "),
            "every step checks itself: {line}"
        );
    }
    let (code, output, errors) = demo(&[]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(output.contains(&format!("{steps} as expected")), "{output}");
    assert!(!output.contains('\x1b'), "no colour unless on a terminal");
}

#[test]
fn same_files_always_give_the_same_output() {
    let first = demo(&[]);
    for _ in 0..10 {
        assert_eq!(demo(&[]), first);
    }
}

#[test]
fn json_is_one_object_a_step() {
    let day = fs::read_to_string(arguments::shipped().join("day.jsonl")).unwrap();
    let (code, output, _) = demo(&["--json"]);
    assert_eq!(code, 0);
    assert_eq!(output.lines().count(), day.lines().count());
    for (line, step) in output.lines().zip(day.lines()) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let step: serde_json::Value = serde_json::from_str(step).unwrap();
        assert_eq!((&line["at"], &line["do"]), (&step["at"], &step["do"]));
        assert_eq!(line["outcome"], step["expect"]);
        assert!(line["actor"].is_string() && line["what"].is_string() && line["why"].is_string());
    }
}

#[test]
fn colour_is_used_when_asked_for() {
    let mut output = Vec::new();
    assert_eq!(run(&[], true, &mut output, &mut Vec::new()), 0);
    assert!(output.contains(&0x1b));
    let mut output = Vec::new();
    assert_eq!(
        run(&["--json".into()], true, &mut output, &mut Vec::new()),
        0
    );
    assert!(!output.contains(&0x1b), "JSON has no colour");
}

#[test]
fn outcome_that_is_not_the_expected_one_fails_and_names_the_line() {
    let copy = Copy::new();
    let day = copy.file("day.jsonl");
    let text = fs::read_to_string(&day).unwrap();
    fs::write(&day, text.replacen("\"allowed\"", "\"denied\"", 1)).unwrap();
    let (code, output, errors) = copy.play();
    assert_eq!(code, 1);
    assert!(output.contains("all "), "the day is played to its end");
    assert!(
        errors.contains("day.jsonl:3: `expect` is `denied` and the outcome is `allowed`"),
        "{errors}"
    );
}

#[test]
fn arguments_are_checked() {
    let (code, output, errors) = demo(&["--help"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(output.starts_with("usage: "));
    for (bad, fix) in [
        (&["--jsno"][..], "use --json, --data DIR, --store STORE"),
        (&["day.jsonl"], "use --json, --data DIR, --store STORE"),
        (&["--data"], "write `--data DIR`"),
        (&["--data=x"], "write `--data x`"),
    ] {
        let (code, output, errors) = demo(bad);
        assert_eq!((code, output.as_str()), (2, ""), "{bad:?}");
        assert!(
            errors.starts_with("error: `--") || errors.starts_with("error: `day"),
            "{errors}"
        );
        assert!(errors.contains(fix), "{errors}");
    }
}

#[test]
fn file_that_is_not_there_is_named() {
    for file in [
        "policy.json",
        "approvals.json",
        "invocation.json",
        "limits.json",
        "day.jsonl",
        "policy-afternoon.json",
    ] {
        let error = refused(file, |_| None);
        assert!(
            error.starts_with(&format!("{file}: cannot be read")),
            "{error}"
        );
        assert!(error.contains("name another `--data DIR`"), "{error}");
    }
    let (code, _, errors) = demo(&["--data", "no/such/directory"]);
    assert_eq!(code, 2);
    assert!(errors.contains("no/such/directory/policy.json"), "{errors}");
}

#[test]
fn documents_are_told_with_line_field_and_fix() {
    for (file, from, to, place, said) in [
        (
            "policy.json",
            "\"groups\": [\"contractors\"]",
            "\"group\": [\"contractors\"]",
            "policy.json:15:",
            &["`group`", "expected one of", "`groups`"][..],
        ),
        (
            "policy.json",
            "\"allow\"",
            "\"alow\"",
            "policy.json:13:",
            &["`effect`", "`alow`", "write allow"],
        ),
        (
            "policy.json",
            "\"friday\"",
            "\"fryday\"",
            "policy.json:18:",
            &["`fryday`", "write monday"],
        ),
        (
            "policy.json",
            "Europe/London",
            "Europe/Londn",
            "policy.json:20:",
            &["timezone", "`Europe/Londn`", "IANA"],
        ),
        (
            "policy.json",
            "\"max_server_duration\": \"1h\"",
            "\"max_server_duration\": \"1x\"",
            "policy.json:37:",
            &["`max_server_duration`", "`1x`", "such as `1h30m`"],
        ),
        (
            "policy-afternoon.json",
            "\"version\": \"1\"",
            "\"version\": \"2\"",
            "policy-afternoon.json:2:",
            &["`version`", "`2`", "write \"1\""],
        ),
        (
            "approvals.json",
            "\"bob\"",
            "\" bob\"",
            "approvals.json:7:",
            &["`approvers[0]`", "` bob`", "remove it"],
        ),
        (
            "approvals.json",
            "\"name\": \"queue\"",
            "\"name\": \"database\"",
            "approvals.json:10:",
            &["`name`", "`database`", "own name"],
        ),
        (
            "approvals.json",
            "\"profiles\"",
            "\"profile\"",
            "approvals.json:6:",
            &["`profile`", "expected one of"],
        ),
        (
            "invocation.json",
            "\"recovery\"",
            "\"recover\"",
            "invocation.json:8:",
            &["`allowed_reason_codes[1]`", "`recover`", "write incident"],
        ),
        (
            "invocation.json",
            "\"totp\"",
            "\"topt\"",
            "invocation.json:31:",
            &["`mfa.methods[0]`", "`topt`", "write totp or sms"],
        ),
        (
            "limits.json",
            "\"max_per_user\": 2",
            "\"max_per_user\": 0",
            "limits.json:8:",
            &["`max_per_user`", "`0`", "write a whole number"],
        ),
        (
            "limits.json",
            "\"quota_window\": \"24h\",\n      \"esc",
            "\"esc",
            "limits.json:12:",
            &["`quota_window`", "missing", "write the time"],
        ),
        (
            "limits.json",
            "},",
            "}",
            "limits.json:12:",
            &["expected `,`", "correct it there"],
        ),
    ] {
        let error = replaced(file, from, to);
        assert!(error.starts_with(place), "{place} {error}");
        for said in said {
            assert!(error.contains(said), "{said}: {error}");
        }
    }
}

#[test]
fn file_that_is_no_text_is_told_with_its_line() {
    let error = refused("policy.json", |_| Some(b"{\n\xff}".to_vec()));
    assert_eq!(error, "policy.json:2: is not UTF-8: save it as UTF-8");
    let error = refused("day.jsonl", |_| Some(b"\n\xff".to_vec()));
    assert_eq!(error, "day.jsonl:2: is not UTF-8: save it as UTF-8");
    let error = refused("day.jsonl", |_| Some(b"\n\n".to_vec()));
    assert!(
        error.starts_with("day.jsonl:1: there is no step: write"),
        "{error}"
    );
}

#[test]
fn steps_are_told_with_line_field_and_fix() {
    const AT: &str = r#""at": "2026-03-02T09:00:00Z""#;
    for (step, said) in [
        ("{", "column 1: "),
        ("[]", "expected an object"),
        (r#"{"do": "expire"}"#, "`at` is missing: write a time"),
        (
            r#"{"at": "9:00", "do": "expire"}"#,
            "`at` is `\"9:00\"`: write a time such as",
        ),
        (r#"{AT}"#, "`do` is missing: write a text"),
        (
            r#"{AT, "do": "sleep"}"#,
            "`do` is `sleep`: write directory, policy, attempt",
        ),
        (
            r#"{AT, "do": "expire", "who": "bob"}"#,
            "`who` is unknown here: remove it",
        ),
        (
            r#"{AT, "do": "expire", "do": "expire"}"#,
            "`do` is given twice",
        ),
        (
            r#"{AT, "do": "expire", "expect": null}"#,
            "`expect` is `null`: write a text",
        ),
        (
            r#"{AT, "do": "attempt", "profile": "p"}"#,
            "`who` is missing: write the name of a user",
        ),
        (
            r#"{AT, "do": "attempt", "who": " ", "profile": "p"}"#,
            "`who`: name ` ` begins or ends with white space: remove it",
        ),
        (
            r#"{AT, "do": "attempt", "who": 7, "profile": "p"}"#,
            "`who` is `7`: write the name of a user",
        ),
        (
            r#"{AT, "do": "attempt", "who": "a", "profile": ""}"#,
            "`profile`: the name is empty",
        ),
        (
            r#"{AT, "do": "attempt", "who": "a", "profile": "p", "mode": "x"}"#,
            "`mode`: `x` is not a mode: write server",
        ),
        (
            r#"{AT, "do": "request", "who": "a", "profile": "p", "duration": "90", "why": "w", "as": "x"}"#,
            "`duration`: `90` is not a duration: write hours",
        ),
        (
            r#"{AT, "do": "request", "who": "a", "profile": "p", "duration": 90, "why": "w", "as": "x"}"#,
            "`duration` is `90`: write a duration such as",
        ),
        (
            r#"{AT, "do": "approve", "who": "a", "request": "x"}"#,
            "`request` is `x`, which no earlier line has: label",
        ),
        (
            r#"{AT, "do": "close", "who": "a", "emergency": "x", "reason": "r"}"#,
            "`emergency` is `x`, which no earlier line has: label",
        ),
        (
            r#"{AT, "do": "note", "who": "a", "text": "t"}"#,
            "`request` is missing",
        ),
        (
            r#"{AT, "do": "invoke", "together": [], "profile": "p", "duration": "1h", "reason_code": "other", "why": "w", "as": "x"}"#,
            "`together` is empty: name the people",
        ),
        (
            r#"{AT, "do": "invoke", "who": "a", "profile": "p", "duration": "1h", "reason_code": "fire", "why": "w", "as": "x"}"#,
            "`reason_code`: `fire` is not a reason code: write incident",
        ),
        (
            r#"{AT, "do": "directory", "people": {"": []}}"#,
            "`people`: the name is empty",
        ),
        (
            r#"{AT, "do": "directory", "people": {"a": "g"}}"#,
            "`people` is `{\"a\":\"g\"}`: write an object",
        ),
    ] {
        let error = line(&format!("\n{}\n", step.replace("AT", AT)));
        assert!(error.starts_with("day.jsonl:2: "), "{error}");
        assert!(error.contains(said), "`{said}` in: {error}");
    }
}

#[test]
fn steps_must_be_in_order_and_labels_their_own() {
    let expire = |time| format!("{{\"at\": \"2026-03-02T{time}Z\", \"do\": \"expire\"}}\n");
    let error = line(&(expire("09:00:01") + &expire("09:00:00")));
    assert!(error.starts_with("day.jsonl:2: `at` is before"), "{error}");
    assert!(error.contains("sort the lines"), "{error}");
    let request = r#"{"at": "2026-03-02T09:00:00Z", "do": "request", "who": "a", "profile": "p", "duration": "1h", "why": "w", "as": "x"}"#;
    let error = line(&format!("{request}\n{request}\n"));
    assert!(
        error.starts_with("day.jsonl:2: `as` is `x`, which an earlier line has"),
        "{error}"
    );
}

#[test]
fn what_a_file_says_stays_on_its_line() {
    let error = line(r#"{"at": "2026-03-02T09:00:00Z", "do": "a\nb\u001b[31m"}"#);
    assert!(error.contains(r"`do` is `a\nb\u{1b}[31m`"), "{error}");
    // A line feed in a reason is taken and shown escaped; an escape code is refused, and shown
    // escaped too: the step then misses what the file expects.
    for (said, expected) in [(r"after\n\tnoon", 0), (r"after\u001b[31m", 1)] {
        let copy = Copy::new();
        let day = copy.file("day.jsonl");
        let text = fs::read_to_string(&day).unwrap();
        fs::write(&day, text.replacen("after the backup", said, 1)).unwrap();
        let (code, output, _) = copy.play();
        assert_eq!(code, expected);
        assert!(!output.contains('\x1b'));
        if expected == 0 {
            assert_eq!(output.lines().count(), demo(&[]).1.lines().count());
        }
    }
}

#[test]
fn shipped_day_has_every_verb_and_outcome_that_its_page_tells_it_shows() {
    let shipped = arguments::shipped();
    let page = fs::read_to_string(shipped.parent().unwrap().join("demo.md")).unwrap();
    let day = fs::read_to_string(shipped.join("day.jsonl")).unwrap();
    let (verbs, shown) = page.split_once("## What the day shows").unwrap();
    // Each verb of the table of steps is played.
    let rows = verbs.split_once("| `do` | fields | outcomes |").unwrap().1;
    let cells = rows.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut count = 0;
    for cell in cells.filter_map(|row| row.split(" | ").next()) {
        for verb in format!("`{cell}")
            .split(", ")
            .map(|verb| verb.trim_matches('`'))
        {
            let played = format!("\"do\": \"{verb}\"");
            assert!(day.contains(&played), "{verb} is not played");
            count += 1;
        }
    }
    assert!(count >= 19, "{count} verbs are told");
    // Each name in the last column is of the day: a verb, a label, a profile or an operation.
    let mut count = 0;
    for row in shown.lines().filter_map(|line| line.strip_prefix("| ")) {
        let places = row.rsplit(" | ").next().unwrap();
        for name in places.split('`').skip(1).step_by(2) {
            assert!(
                day.contains(&format!("\"{name}\"")),
                "{name} is not of the day"
            );
            count += 1;
        }
    }
    assert!(count >= 30, "{count} places are told");
}
