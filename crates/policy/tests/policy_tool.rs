//! `countersign-policy`: each command with a good answer, with something to look at and with bad
//! input, as text, as JSON and as SARIF.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod tool;

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};
use tool::{directory, finish, program, run};

const POLICY: &str = r#"{
  "version": "1",
  "rules": [
    {"name": "on-call", "effect": "allow", "conditions": {"groups": ["on-call"], "profiles": ["prod"]},
     "max_server_duration": "1h"},
    {"name": "batch", "effect": "require_server", "conditions": {"users": ["batch"]}},
    {"name": "prod", "effect": "require_approval", "conditions": {"profiles": ["prod"]}}
  ]
}
"#;

/// A policy of which two rules never decide.
const IDLE: &str = r#"{
  "version": "1",
  "rules": [
    {"name": "team", "effect": "allow", "conditions": {"users": ["alice", "bob"]}},
    {"name": "böb", "effect": "allow", "conditions": {"users": ["bob"], "profiles": ["dev"]}},
    {"name": "team again", "effect": "allow", "conditions": {"users": ["bob", "alice"]}}
  ]
}
"#;

/// A denial after its exception.
const EXCEPTION: &str = r#"{"version": "1", "rules": [
    {"name": "exception", "effect": "allow", "conditions": {"users": ["alice"], "profiles": ["prod"]}},
    {"name": "closed", "effect": "deny", "conditions": {"profiles": ["prod"]}}
]}"#;

/// A policy that is none.
const BAD: &str = r#"{"version": "2", "rules": []}"#;

const NINE: &str = "2026-03-02T09:00:00Z";

fn ask<'a>(command: &'a str, more: &[&'a str]) -> tool::Ran {
    let mut arguments = vec![command, "-", "--at", NINE];
    arguments.extend(more);
    run(&arguments, POLICY.as_bytes())
}

fn as_json(text: &str) -> Value {
    assert_eq!(text.lines().count(), 1, "one line: {text}");
    serde_json::from_str(text).unwrap()
}

#[test]
fn decide_says_what_the_policy_decides() {
    let in_group = ["--user", "bob", "--group", "on-call", "--profile", "prod"];
    let ran = ask("decide", &in_group);
    assert_eq!(ran.stdout, "allow, for at most 1h, rule 0 `on-call`\n");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));

    for (more, line) in [
        (
            &["--user", "bob", "--profile", "prod"][..],
            "approval required, rule 2 `prod`\n",
        ),
        (
            &["--user", "bob", "--profile", "dev"],
            "deny, no matching rule\n",
        ),
        (
            &["--user", "batch", "--profile", "dev", "--mode", "cli"],
            "deny, server mode required, rule 1 `batch`\n",
        ),
    ] {
        let ran = ask("decide", more);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, line), "{more:?}");
    }
    let server = ["--user", "batch", "--profile", "dev", "--mode", "server"];
    assert_eq!(ask("decide", &server).code, 0);
}

#[test]
fn every_part_of_a_query_reaches_the_policy() {
    let policy = r#"{"version": "1", "rules": [{"name": "r", "effect": "require_server_session",
        "conditions": {"users": ["bob"], "groups": ["b"], "profiles": ["prod"], "profile_groups": ["d"],
            "mode": ["server"], "time": {"hours": {"start": "10:00", "end": "10:01"},
            "timezone": "Europe/Paris"}}}]}"#;
    // Nine in UTC is ten in Paris.
    let parts = [
        ("--user", "bob", "alice"),
        ("--group", "b", "x"),
        ("--profile", "prod", "x"),
        ("--profile-group", "d", "x"),
        ("--mode", "server", "cli"),
        ("--at", "2026-03-02T10:00:59+01:00", "2026-03-02T09:01:00Z"),
        ("--session-table", "sessions", ""),
    ];
    let code = |wrong: Option<&str>| {
        let mut arguments = vec!["decide", "-", "--group", "a", "--profile-group", "c"];
        for (name, good, bad) in parts {
            arguments.extend([name, if wrong == Some(name) { bad } else { good }]);
        }
        run(&arguments, policy.as_bytes()).code
    };
    assert_eq!(code(None), 0);
    for (name, ..) in parts {
        assert_eq!(code(Some(name)), 1, "{name}");
    }
}

#[test]
fn decide_as_json_has_the_query_and_the_decision() {
    let ran = ask(
        "decide",
        &["--user", "bob", "--profile", "prod", "--format", "json"],
    );
    assert_eq!(ran.code, 1);
    let told = as_json(&ran.stdout);
    assert_eq!(
        told["query"],
        json!({"user": "bob", "profile": "prod", "at": NINE})
    );
    let decision = &told["decision"];
    assert_eq!(decision["verdict"], "require_approval");
    assert_eq!(decision["rule"]["name"], "prod");
    assert_eq!(decision["rule"]["index"], 2);
    assert_eq!(decision["policy"].as_str().unwrap().len(), 64);
}

#[test]
fn explain_names_the_first_condition_that_fails() {
    let ran = ask("explain", &["--user", "bob", "--profile", "prod"]);
    assert_eq!(
        ran.stdout,
        "\
`bob` for `prod` at 2026-03-02T09:00:00Z, no mode
rule 0 `on-call`: the user is in no group, the rule is for `on-call`
rule 1 `batch`: the user is `bob`, the rule is for `batch`
rule 2 `prod`: matches and decides: require_approval
decision: approval required, rule 2 `prod`
"
    );
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (0, ""),
        "an explanation is no finding"
    );

    let told = ask(
        "explain",
        &["--user", "bob", "--profile", "dev", "--format", "json"],
    );
    let told = as_json(&told.stdout);
    assert_eq!(told["decision"]["denial"], "no_rule");
    assert_eq!(told["explanation"]["decided_by"], Value::Null);
    assert_eq!(told["explanation"]["asked"], 3);
    assert_eq!(
        told["explanation"]["rules"][1],
        json!({"index": 1, "name": "batch", "failed": "users", "query": "bob", "rule": ["batch"]})
    );
}

#[test]
fn explain_leaves_rules_for_others_out_unless_all_are_wanted() {
    let mut rules: Vec<Value> = (0..40)
        .map(|n| {
            json!({"name": format!("r{n}"), "effect": "allow", "conditions": {"users": [format!("u{n}")]}})
        })
        .collect();
    rules.push(json!({"name": "after", "effect": "deny", "conditions": {"users": ["z"]}}));
    let policy = json!({"version": "1", "rules": rules}).to_string();
    let explain = |more: &[&str]| {
        let mut arguments = vec![
            "explain",
            "-",
            "--at",
            NINE,
            "--user",
            "u39",
            "--profile",
            "p",
        ];
        arguments.extend(more);
        run(&arguments, policy.as_bytes()).stdout
    };
    assert_eq!(
        explain(&[]),
        "\
`u39` for `p` at 2026-03-02T09:00:00Z, no mode
rules not shown: 39
rule 39 `r39`: matches and decides: allow
rules after it, not asked: 1
decision: allow, rule 39 `r39`
"
    );
    assert_eq!(explain(&["--all"]).lines().count(), 42);
    let short = as_json(&explain(&["--format", "json"]));
    let whole = as_json(&explain(&["--all", "--format", "json"]));
    assert_eq!(short["explanation"]["left_out"], 39);
    assert_eq!(whole["explanation"]["left_out"], 0);
    assert_eq!(whole["explanation"]["rules"].as_array().unwrap().len(), 40);
    for field in ["decided_by", "asked", "not_asked"] {
        let (short, whole) = (&short["explanation"][field], &whole["explanation"][field]);
        assert_eq!(short, whole, "{field}");
    }
}

#[test]
fn lint_shows_each_finding_at_the_name_of_its_rule() {
    let ran = run(&["lint", "-"], IDLE.as_bytes());
    assert_eq!(
        ran.stdout,
        r#"<standard input>:5:14: warning: unreachable-rule: rule 1 `böb` never decides: rule 0 `team` takes every query that it is for, such as `bob` for `dev` at 2026-03-02T09:00:00Z, no mode
5 |     {"name": "böb", "effect": "allow", "conditions": {"users": ["bob"], "profiles": ["dev"]}},
  |              ^^^^^
<standard input>:6:14: warning: unreachable-rule: rule 2 `team again` never decides: rule 0 `team` takes every query that it is for, such as `alice` for `any-other` at 2026-03-02T09:00:00Z, no mode
6 |     {"name": "team again", "effect": "allow", "conditions": {"users": ["bob", "alice"]}}
  |              ^^^^^^^^^^^^
<standard input>:6:14: warning: duplicate-rule: rule 2 `team again` is rule 0 `team` by another name, such as `alice` for `any-other` at 2026-03-02T09:00:00Z, no mode
6 |     {"name": "team again", "effect": "allow", "conditions": {"users": ["bob", "alice"]}}
  |              ^^^^^^^^^^^^
"#
    );
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));

    let clean = run(&["lint", "-"], POLICY.as_bytes());
    assert_eq!(
        clean,
        tool::Ran {
            code: 0,
            stdout: String::new(),
            stderr: String::new()
        }
    );
}

#[test]
fn notes_count_unless_warnings_alone_do() {
    let lint = |more: &[&str]| {
        let mut arguments = vec!["lint", "-"];
        arguments.extend(more);
        run(&arguments, EXCEPTION.as_bytes())
    };
    let note = lint(&[]);
    assert!(
        note.stdout
            .contains(":3:14: note: swallowed-deny: rule 1 `closed` denies")
    );
    assert_eq!(note.code, 1);
    let warnings = lint(&["--fail-on", "warning"]);
    assert_eq!(warnings.stdout, note.stdout, "it is shown all the same");
    assert_eq!(warnings.code, 0);
    let idle = run(&["lint", "-", "--fail-on", "warning"], IDLE.as_bytes());
    assert_eq!(idle.code, 1);
}

#[test]
fn lint_as_json_has_places_and_witnesses() {
    let ran = run(&["lint", "-", "--format", "json"], IDLE.as_bytes());
    assert_eq!(ran.code, 1);
    let told = as_json(&ran.stdout);
    assert_eq!(told["file"], "<standard input>");
    assert_eq!(told["undecided"], json!([]));
    let findings = told["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 3);
    let first = &findings[0];
    assert_eq!((&first["line"], &first["column"]), (&json!(5), &json!(14)));
    assert_eq!(first["code"], "unreachable-rule");
    assert_eq!(first["severity"], "warning");
    assert_eq!(first["rule"], json!({"index": 1, "name": "böb"}));
    assert_eq!(first["others"], json!([{"index": 0, "name": "team"}]));
    assert_eq!(first["witness"]["profile"], "dev");
    assert!(first["message"].is_string());

    let clean = run(&["lint", "-", "--format", "json"], POLICY.as_bytes());
    let nothing = "{\"file\":\"<standard input>\",\"findings\":[],\"undecided\":[]}\n";
    assert_eq!((clean.code, clean.stdout.as_str()), (0, nothing));
}

/// What the standard demands of a log, and what code hosts read of it.
fn assert_sarif(log: &Value) -> &Vec<Value> {
    assert_eq!(log["version"], "2.1.0");
    assert!(
        log["$schema"]
            .as_str()
            .unwrap()
            .ends_with("sarif-2.1.0.json")
    );
    assert_eq!(log["runs"].as_array().unwrap().len(), 1);
    let run = &log["runs"][0];
    assert_eq!(run["columnKind"], "unicodeCodePoints");
    assert!(run["invocations"][0]["executionSuccessful"].is_boolean());
    let driver = &run["tool"]["driver"];
    assert_eq!(driver["name"], "countersign-policy");
    assert_eq!(driver["version"], env!("CARGO_PKG_VERSION"));
    let rules = driver["rules"].as_array().unwrap();
    for rule in rules {
        assert!(rule["id"].is_string());
        assert!(rule["shortDescription"]["text"].is_string());
        assert!(rule["help"]["text"].is_string());
        assert_level(&rule["defaultConfiguration"]["level"]);
    }
    let results = run["results"].as_array().unwrap();
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(
            rules[index]["id"], result["ruleId"],
            "the index is that of the rule"
        );
        assert_level(&result["level"]);
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let related = result["relatedLocations"].as_array();
        let related = related.into_iter().flatten();
        for location in result["locations"]
            .as_array()
            .unwrap()
            .iter()
            .chain(related)
        {
            let place = &location["physicalLocation"];
            let uri = place["artifactLocation"]["uri"].as_str().unwrap();
            assert!(!uri.is_empty() && !uri.contains([' ', '<', '\\']), "{uri}");
            if let Some(region) = place.get("region") {
                assert!(region["startLine"].as_u64().unwrap() >= 1);
                assert!(region["startColumn"].as_u64().unwrap() >= 1);
                if let Some(end) = region.get("endColumn") {
                    assert!(end.as_u64() > region["startColumn"].as_u64());
                }
            }
        }
    }
    results
}

fn assert_level(level: &Value) {
    assert!(["error", "warning", "note", "none"].contains(&level.as_str().unwrap()));
}

#[test]
fn lint_as_sarif_has_a_result_for_each_finding() {
    let path = directory("sarif").join("a policy.json");
    std::fs::write(&path, IDLE).unwrap();
    let ran = run(&["lint", path.to_str().unwrap(), "--format", "sarif"], b"");
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
    let log: Value = serde_json::from_str(&ran.stdout).unwrap();
    let results = assert_sarif(&log);
    assert_eq!(results.len(), 3);
    assert_eq!(results[0]["ruleId"], "unreachable-rule");
    assert_eq!(results[0]["level"], "warning");
    let text = results[0]["message"]["text"].as_str().unwrap();
    assert!(
        text.starts_with("rule 1 `böb` never decides: rule 0 `team` takes"),
        "{text}"
    );
    let place = &results[0]["locations"][0]["physicalLocation"];
    let uri = place["artifactLocation"]["uri"].as_str().unwrap();
    assert!(
        uri.starts_with("file:///") && uri.ends_with("a%20policy.json"),
        "{uri}"
    );
    assert_eq!(
        place["region"],
        json!({"startLine": 5, "startColumn": 14, "endColumn": 19})
    );
    let related = &results[0]["relatedLocations"][0];
    assert_eq!(related["message"]["text"], "rule 0 `team`");
    assert_eq!(related["physicalLocation"]["region"]["startLine"], 4);

    let mut relative = program();
    relative.args(["lint", "a policy.json", "--format", "sarif"]);
    relative.current_dir(path.parent().unwrap());
    let log: Value = serde_json::from_str(&finish(relative, b"").stdout).unwrap();
    let uri = &assert_sarif(&log)[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
    assert_eq!(
        uri, "a%20policy.json",
        "hosts look for it from the root of the project"
    );

    let note = run(&["lint", "-", "--format", "sarif"], EXCEPTION.as_bytes());
    let note: Value = serde_json::from_str(&note.stdout).unwrap();
    assert_eq!(assert_sarif(&note)[0]["level"], "note");

    let clean = run(&["lint", "-", "--format", "sarif"], POLICY.as_bytes());
    let log: Value = serde_json::from_str(&clean.stdout).unwrap();
    assert_eq!((clean.code, assert_sarif(&log).len()), (0, 0));
}

#[test]
fn a_bad_document_is_a_result_of_sarif_too() {
    let ran = run(&["lint", "-", "--format", "sarif"], BAD.as_bytes());
    assert_eq!(ran.code, 2);
    let log: Value = serde_json::from_str(&ran.stdout).unwrap();
    let results = assert_sarif(&log);
    assert_eq!(
        log["runs"][0]["invocations"][0]["executionSuccessful"],
        false
    );
    assert_eq!(results.len(), 1);
    assert_eq!(results[0]["ruleId"], "bad-input");
    assert_eq!(results[0]["level"], "error");
    assert_eq!(
        results[0]["locations"][0]["physicalLocation"]["region"],
        json!({"startLine": 1, "startColumn": 13, "endColumn": 16})
    );
    assert!(
        ran.stderr.starts_with("<standard input>:1:13: error: "),
        "people are told as well"
    );

    let missing = run(&["lint", "no/such.json", "--format", "sarif"], b"");
    let log: Value = serde_json::from_str(&missing.stdout).unwrap();
    let place = &assert_sarif(&log)[0]["locations"][0]["physicalLocation"];
    assert_eq!((missing.code, place.get("region")), (2, None));
}

#[test]
fn diff_says_who_gains_and_who_loses() {
    let folder = directory("diff");
    let (old, new) = (folder.join("old.json"), folder.join("new.json"));
    std::fs::write(&old, POLICY).unwrap();
    std::fs::write(
        &new,
        POLICY.replace("[\"prod\"]}}", "[\"prod\", \"dev\"]}}"),
    )
    .unwrap();
    let diff = |old: &str, new: &str, more: &[&str], stdin: &str| {
        let mut arguments = vec!["diff", old, new];
        arguments.extend(more);
        run(&arguments, stdin.as_bytes())
    };
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    let ran = diff(old, new, &[], "");
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
    assert_eq!(
        ran.stdout,
        "\
gains: anyone but `batch` for `dev`: deny, no matching rule -> approval required
  such as `anyone-else` for `dev` at 2026-03-02T09:00:00Z, no mode
"
    );
    assert_eq!(
        diff("-", new, &[], POLICY),
        ran,
        "standard input is a file like others"
    );

    let told = diff(old, new, &["--format", "json"], "");
    let told = as_json(&told.stdout);
    assert_eq!(told["complete"], true);
    let first = &told["changes"][0];
    assert_eq!(first["direction"], "gains");
    assert_eq!(first["witness"]["profile"], "dev");
    assert_eq!(first["after"]["verdict"], "require_approval");

    let same = diff(old, "-", &[], &POLICY.replace("1h", "60m"));
    assert_eq!((same.code, same.stdout.as_str()), (0, ""));
    let twice = diff("-", "-", &[], POLICY);
    assert_eq!(twice.code, 2);
    assert_eq!(
        twice.stderr,
        "error: standard input can be read once: name a file for one of the policies\n"
    );
    let bad = diff(old, "-", &[], BAD);
    assert!(
        bad.stderr.starts_with("<standard input>:1:13: "),
        "the file at fault is named"
    );
    assert_eq!((bad.code, bad.stdout.as_str()), (2, ""));
}

#[test]
fn schema_is_the_one_that_the_documents_have() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let committed = std::fs::read_to_string(path.join("../../docs/schema/policy.schema.json"));
    let committed = committed.unwrap();
    let ran = run(&["schema"], b"");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.stdout, committed);
    let line = run(&["schema", "--format", "json"], b"");
    let same: Value = serde_json::from_str(&committed).unwrap();
    assert_eq!(as_json(&line.stdout), same);
    assert_eq!(run(&["schema", "policy.json"], b"").code, 2);
}

#[test]
fn help_and_version_are_no_errors_and_wrong_arguments_are() {
    let help = run(&["--help"], b"");
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for word in [
        "decide",
        "explain",
        "lint",
        "diff",
        "schema",
        "Exit codes:",
        "NO_COLOR",
    ] {
        assert!(help.stdout.contains(word), "{word}: {}", help.stdout);
    }
    for command in ["decide", "explain", "lint", "diff", "schema"] {
        let help = run(&[command, "--help"], b"");
        assert_eq!(help.code, 0);
        assert!(help.stdout.contains("--format"), "{}", help.stdout);
    }
    assert_eq!(
        run(&["--version"], b"").stdout,
        format!("countersign-policy {}\n", env!("CARGO_PKG_VERSION"))
    );
    for (arguments, told) in [
        (&[][..], "Usage: countersign-policy"),
        (&["judge"], "unrecognized subcommand 'judge'"),
        (&["lint"], "<FILE>"),
        (
            &["lint", "-", "--format", "xml"],
            "[possible values: text, json, sarif]",
        ),
        (
            &["diff", "-", "x", "--format", "sarif"],
            "[possible values: text, json]",
        ),
        (&["decide", "-", "--user", "a"], "--profile <NAME>"),
        (
            &["decide", "-", "--usr", "a"],
            "a similar argument exists: '--user'",
        ),
        (
            &["decide", "-", "--user", " a", "--profile", "p"],
            "name ` a` begins or ends with white space: remove it",
        ),
        (
            &[
                "decide",
                "-",
                "--user",
                "a",
                "--profile",
                "p",
                "--at",
                "noon",
            ],
            "write a time such as 2026-03-02T09:00:00Z",
        ),
        (
            &[
                "decide",
                "-",
                "--user",
                "a",
                "--profile",
                "p",
                "--mode",
                "x",
            ],
            "[possible values: server, cli, credential_process]",
        ),
    ] {
        let ran = run(arguments, POLICY.as_bytes());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(ran.stderr.contains(told), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn colours_are_there_only_if_they_are_wanted() {
    let decide = ["decide", "-", "--at", NINE, "--user", "bob", "--profile"];
    let colored = |more: &[&str], no_color: bool| {
        let mut command = program();
        command.args(decide).args(more);
        if no_color {
            command.env("NO_COLOR", "1");
        }
        finish(command, POLICY.as_bytes()).stdout
    };
    assert_eq!(
        colored(&["prod", "--color", "always"], false),
        "\x1b[1;33mapproval required\x1b[0m, rule 2 `prod`\n"
    );
    assert_eq!(
        colored(&["prod", "--color", "always"], true),
        colored(&["prod", "--color", "always"], false),
        "what is typed comes before what is set"
    );
    for more in [&["prod"][..], &["prod", "--color", "never"]] {
        assert_eq!(colored(more, false), "approval required, rule 2 `prod`\n");
    }
    let lint = run(&["lint", "-", "--color", "always"], IDLE.as_bytes()).stdout;
    assert!(lint.starts_with("\x1b[1m<standard input>:5:14: \x1b[0m\x1b[1;33mwarning\x1b[0m: unr"));
    assert!(
        lint.contains("\n  |              \x1b[1;33m^^^^^\x1b[0m\n"),
        "{lint}"
    );
    let error = run(&["lint", "-", "--color", "always"], BAD.as_bytes()).stderr;
    assert!(
        error.contains("\x1b[1;31merror\x1b[0m: `version`"),
        "{error}"
    );
    let json = run(
        &["lint", "-", "--color", "always", "--format", "json"],
        IDLE.as_bytes(),
    );
    assert!(!json.stdout.contains('\x1b'), "programs get none");
}

#[test]
fn a_reader_that_has_gone_away_is_no_error() {
    let mut command = program();
    command.args(["lint", "-"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The policy is not there yet, so nothing has been written when the reader goes.
    drop(child.stdout.take());
    child
        .stdin
        .take()
        .unwrap()
        .write_all(IDLE.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "the code still tells");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error() {
    let mut command = program();
    command.args(["schema"]);
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = command.stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.starts_with("error: standard output cannot be written: "),
        "{told}"
    );
}

/// So many rules, each for a user and a profile of its own and with a limit of its own.
fn apart(count: usize) -> String {
    let rules = (1..=count).map(|number| {
        json!({"name": format!("r{number}"), "effect": "allow",
            "max_server_duration": format!("{number}s"),
            "conditions": {"users": [format!("u{number}")], "profiles": [format!("p{number}")]}})
    });
    json!({"version": "1", "rules": rules.collect::<Vec<Value>>()}).to_string()
}

#[test]
fn a_diff_cut_short_for_size_says_so_as_text_and_as_json() {
    // One rule is in both, and 10,000 changes are told at most.
    for (rules, complete) in [(10_001, true), (10_002, false)] {
        let file = directory("diff-cut-short").join("old.json");
        std::fs::write(&file, apart(1)).unwrap();
        let new = apart(rules);
        let diff = |format| {
            let old = file.to_str().unwrap();
            let ran = run(&["diff", old, "-", "--format", format], new.as_bytes());
            assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
            ran.stdout
        };
        let text = diff("text");
        let told = text
            .lines()
            .filter(|line| line.starts_with("gains: "))
            .count();
        let more = "there may be more: the policies differ in too many ways\n";
        assert_eq!((told, text.ends_with(more)), (10_000, !complete));
        let told = as_json(&diff("json"));
        assert_eq!(told["complete"], complete);
        assert_eq!(told["changes"].as_array().unwrap().len(), 10_000);
    }
}

/// A denial for 200 people and 200 profiles, behind a rule for each user and profile: it takes much
/// work to see that nothing is left of it.
fn puzzle() -> String {
    let names: Vec<String> = (0..200).map(|name| format!("n{name}")).collect();
    let cells = (0..200 * 200).map(|cell| {
        let (user, profile) = (&names[cell / 200], &names[cell % 200]);
        json!({"name": format!("{cell}"), "effect": "allow",
            "conditions": {"users": [user], "profiles": [profile]}})
    });
    let mut rules: Vec<Value> = cells.collect();
    rules.push(json!({"name": "last", "effect": "deny",
        "conditions": {"users": names, "profiles": names}}));
    json!({"version": "1", "rules": rules}).to_string()
}

#[test]
fn a_lint_that_could_not_look_at_all_of_it_is_something_to_look_at() {
    let arguments = ["lint", "-", "--fail-on", "warning", "--format", "json"];
    let ran = run(&arguments, puzzle().as_bytes());
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
    let told = as_json(&ran.stdout);
    let undecided = &told["undecided"][0];
    assert_eq!(undecided["name"], "last", "it is too easy");
    let findings = told["findings"].as_array().unwrap().iter();
    let warned = findings.filter(|finding| finding["severity"] == "warning");
    assert_eq!(warned.count(), 0, "there is another reason for the code");
}
