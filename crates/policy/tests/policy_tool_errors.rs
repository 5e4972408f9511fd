//! `countersign-policy` shows what is wrong with a document where it stands: line, column and carets,
//! to the character.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod tool;

use tool::{Ran, directory, run};

fn lint(document: impl AsRef<[u8]>) -> String {
    let Ran {
        code,
        stdout,
        stderr,
    } = run(&["lint", "-"], document.as_ref());
    assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
    let told = stderr.strip_prefix("<standard input>:");
    told.unwrap_or_else(|| panic!("no place: {stderr}"))
        .to_owned()
}

/// One rule with a good name and effect, and this in it.
fn rule(rest: &str) -> String {
    format!(
        "{{\"version\": \"1\", \"rules\": [\n  {{\"name\": \"a\", \"effect\": \"allow\", {rest}}}\n]}}\n"
    )
}

#[test]
fn what_is_no_json_is_marked_where_it_stops_being_json() {
    assert_eq!(
        lint("{\"version\": \"1\",\n \"rules\": [{\"name\": \"a\" \"effect\": \"allow\"}]}"),
        "\
2:25: error: rules[0]: expected `,` or `}`
2 |  \"rules\": [{\"name\": \"a\" \"effect\": \"allow\"}]}
  |                         ^
"
    );
    assert_eq!(
        lint(rule("\"conditions\": {\"users\": [\"a\",]}")),
        "\
2:65: error: rules[0]: `conditions`: `users`: trailing comma
2 |   {\"name\": \"a\", \"effect\": \"allow\", \"conditions\": {\"users\": [\"a\",]}}
  |                                                                 ^
"
    );
    assert_eq!(
        lint(r#"{"version": "1\q"}"#),
        "\
1:16: error: `version`: invalid escape
1 | {\"version\": \"1\\q\"}
  |                ^
"
    );
}

#[test]
fn what_ends_too_early_is_marked_after_its_last_character() {
    assert_eq!(
        lint("{\"version\": \"1\",\n \"rules\": [{\"name\": \"é\",\n\n"),
        "\
2:25: error: rules[0]: EOF while parsing a value
2 |  \"rules\": [{\"name\": \"é\",
  |                         ^
"
    );
    assert_eq!(
        lint(""),
        "\
1:1: error: EOF while parsing a value
1 | \n  | ^
"
    );
}

#[test]
fn a_value_of_another_type_is_marked_from_its_first_character() {
    assert_eq!(
        lint(r#"{"version": 1.25, "rules": []}"#),
        "\
1:13: error: `version`: invalid type: floating point `1.25`, expected a string
1 | {\"version\": 1.25, \"rules\": []}
  |             ^^^^
"
    );
    for (conditions, marked) in [
        (r#"{"users": [null]}"#, "null"),
        (r#"{"users": ["a", {"b": 1}]}"#, "{\"b"),
        (r#"{"users": ["a", {}]}"#, "{}"),
        (r#"{"users": {"a": 1}}"#, "{\"a"),
        (r#"{"users":{"a": 1}}"#, "{\"a"),
        (r#"{"users": "a"}"#, "\"a\""),
        (r#"{"users": [["a"]]}"#, "[\"a"),
        (r#"{"time": [1]}"#, "[1"),
        (r#"{"time": {"hours": {"start": [["9"]]}}}"#, "[[\"9"),
        (r#"[]"#, "[]"),
        (r#"true"#, "true"),
    ] {
        let document = rule(&format!("\"conditions\": {conditions}"));
        let line = document.lines().nth(1).unwrap();
        let value = line.find(conditions).unwrap();
        let column = value + conditions.find(marked).unwrap() + 1;
        let told = lint(&document);
        let place = format!("2:{column}: error: rules[0]: `conditions`: ");
        assert!(told.starts_with(&place), "{conditions}: {column}: {told}");
        // Of an object or list the bracket is marked.
        let bracket = marked.starts_with(['{', '[']);
        let length = if bracket { 1 } else { marked.len() };
        let carets = format!("  | {}{}\n", " ".repeat(column - 1), "^".repeat(length));
        assert!(told.ends_with(&carets), "{conditions}: {told}");
    }
    let lists = lint("{\"version\": \"1\", \"rules\": [\n[1]]}");
    assert!(
        lists.starts_with("2:1: error: rules[0]: invalid type: sequence"),
        "{lists}"
    );
}

#[test]
fn a_field_that_is_unknown_or_given_twice_is_marked_by_its_name() {
    assert_eq!(
        lint(rule("\"when\": 1")),
        "\
2:36: error: rules[0]: unknown field `when`, expected one of `name`, `effect`, `conditions`, `reason`, `hard`, `max_server_duration`, `session_table`
2 |   {\"name\": \"a\", \"effect\": \"allow\", \"when\": 1}
  |                                    ^^^^^^
"
    );
    let twice = lint(rule("\"name\": \"b\""));
    assert!(
        twice.starts_with("2:36: error: rules[0]: duplicate field `name`\n"),
        "{twice}"
    );
    assert!(twice.ends_with(" ^^^^^^\n"), "{twice}");
}

#[test]
fn an_object_that_lacks_a_field_is_marked_where_it_begins() {
    assert_eq!(
        lint("{\"version\": \"1\", \"rules\": [\n  {\n    \"name\": \"a\"\n  }\n]}"),
        "\
2:3: error: rules[0]: missing field `effect`
2 |   {
  |   ^
"
    );
}

#[test]
fn a_value_that_means_nothing_is_marked_whole() {
    let users = |name: &str| {
        rule(&format!(
            "\"conditions\": {{\"users\": [\"b\", \"{name}\"]}}"
        ))
    };
    assert_eq!(
        lint(users("alice ")),
        "\
2:66: error: rule 0 `a`: `conditions.users[1]`: name `alice ` begins or ends with white space: remove it
2 |   {\"name\": \"a\", \"effect\": \"allow\", \"conditions\": {\"users\": [\"b\", \"alice \"]}}
  |                                                                  ^^^^^^^^
"
    );
    for (rest, marked, told) in [
        (
            r#""conditions": {}"#,
            "{",
            "`conditions`: the rule has no condition",
        ),
        (
            r#""conditions": {"users": []}"#,
            "[",
            "`conditions.users`: the list is empty",
        ),
        (
            r#""conditions": {"mode": ["cli", "batch"]}"#,
            "\"batch\"",
            "`batch` is not a mode",
        ),
        (
            r#""conditions": {"time": {}}"#,
            "{}",
            "`conditions.time`: `time` names neither",
        ),
        (
            r#""conditions": {"time": {"days": ["monday", "sonday"]}}"#,
            "\"sonday\"",
            "`sonday` in `days`",
        ),
        (
            r#""conditions": {"time": {"hours": {"start": "9", "end": "10:00"}}}"#,
            "\"9\"",
            "`9` is not",
        ),
        (
            r#""conditions": {"time": {"days": ["monday"], "timezone": "Mars"}}"#,
            "\"Mars\"",
            "`Mars`",
        ),
        (
            r#""max_server_duration": "1x", "conditions": {"users": ["b"]}"#,
            "\"1x\"",
            "`1x`",
        ),
        (
            r#""hard": true, "conditions": {"users": ["b"]}"#,
            "true",
            "only a deny rule can be hard",
        ),
    ] {
        let document = rule(rest);
        // The innermost of several brackets is meant.
        let at = if marked == "{" {
            rest.rfind(marked)
        } else {
            rest.find(marked)
        };
        let column = document.lines().nth(1).unwrap().find(rest).unwrap() + at.unwrap() + 1;
        let shown = lint(&document);
        assert!(
            shown.starts_with(&format!("2:{column}: error: rule 0 `a`: ")),
            "{rest}: {shown}"
        );
        assert!(shown.contains(told), "{rest}: {shown}");
        let bracket = marked.starts_with(['{', '[']);
        let carets = "^".repeat(if bracket { 1 } else { marked.len() });
        assert!(shown.ends_with(&format!(" {carets}\n")), "{rest}: {shown}");
    }
    let version = lint("{\n\t\"version\": \"2\",\n\t\"rules\": []\n}");
    assert!(version.starts_with("2:13: error: `version`: `2` is not known: write \"1\"\n"));
    let none = lint("{\"version\": \"1\", \"rules\": [ ]}");
    assert!(none.starts_with("1:27: error: `rules` is empty"), "{none}");
}

#[test]
fn the_second_of_two_rules_with_one_name_is_marked() {
    let rules = "{\"version\": \"1\", \"rules\": [
  {\"name\": \"é\", \"effect\": \"deny\", \"conditions\": {\"users\": [\"b\"]}},
  {\"effect\": \"deny\", \"conditions\": {\"users\": [\"日本\"]}, \"n\\u0061me\": \"é\"}
]}";
    assert_eq!(
        lint(rules),
        "\
3:68: error: rule 1 `é`: `name`: rule 0 has the same name: give each rule its own
3 |   {\"effect\": \"deny\", \"conditions\": {\"users\": [\"日本\"]}, \"n\\u0061me\": \"é\"}
  |                                                                    ^^^
"
    );
}

#[test]
fn tabs_and_carriage_returns_do_not_move_the_carets() {
    let document = "{\"version\": \"1\", \"rules\": [\r\n\t{\"name\": \"a\",\t\"effect\": \"grant\", \"conditions\": {}}\r\n]}\r\n";
    assert_eq!(
        lint(document),
        "\
2:26: error: rule 0 `a`: `effect`: `grant` is not an effect: write allow, deny, require_approval, require_server or require_server_session
2 |     {\"name\": \"a\",    \"effect\": \"grant\", \"conditions\": {}}
  |                                ^^^^^^^
"
    );
}

#[test]
fn long_lines_are_shortened_around_what_is_wrong() {
    let names: Vec<String> = (0..1_000).map(|n| format!("\"member-{n:04}\"")).collect();
    let users = names.join(", ").replace("member-0500", "member-0500 ");
    let document = format!(
        r#"{{"version": "1", "rules": [{{"name": "a", "effect": "allow", "conditions": {{"users": [{users}]}}}}]}}"#
    );
    let column = document.find("\"member-0500 ").unwrap() + 1;
    assert_eq!(
        lint(document),
        format!(
            "\
1:{column}: error: rule 0 `a`: `conditions.users[500]`: name `member-0500 ` begins or ends with white space: remove it
1 | …\"member-0496\", \"member-0497\", \"member-0498\", \"member-0499\", \"member-0500 \", \"member-0501\", \"member-0502\", \"member-0503\",…
  |                                                              ^^^^^^^^^^^^^^
"
        )
    );
}

#[test]
fn what_a_terminal_would_obey_is_escaped() {
    let told = lint("{\"version\": \"\u{202e}\u{1b}[2J\"}");
    assert!(!told.contains(['\u{1b}', '\u{202e}']), "{told:?}");
    assert!(
        told.contains("1 | {\"version\": \"\\u{202e}\\u{1b}[2J\"}\n"),
        "{told}"
    );
}

#[test]
fn encodings_that_are_refused_are_marked() {
    assert_eq!(
        lint(b"{\"a\xff\": 1}"),
        "\
1:4: error: this is not UTF-8: save the document as UTF-8
1 | {\"a\u{fffd}\": 1}
  |    ^
"
    );
    assert_eq!(
        lint("\u{feff}{}"),
        "\
1:1: error: the document begins with a byte order mark: save it as UTF-8 without one
1 | \\u{feff}{}
  | ^^^^^^^^
"
    );
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = directory("unreadable");
    let missing = folder.join("no\tsuch.json");
    let path = missing.to_str().unwrap();
    for command in ["lint", "decide"] {
        let mut arguments = vec![command, path];
        if command == "decide" {
            arguments.extend(["--user", "a", "--profile", "p"]);
        }
        let ran = run(&arguments, b"");
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
        let start = format!("{}: error: it cannot be read: ", path.replace('\t', "\\t"));
        assert!(ran.stderr.starts_with(&start), "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1);
    }
    assert_eq!(
        run(&["lint", folder.to_str().unwrap()], b"").code,
        2,
        "a directory"
    );
    let twice = run(&["diff", path, path], b"");
    assert_eq!(twice.code, 2);
}

#[test]
fn errors_as_json_are_one_object() {
    let document = "{\"version\": \"é\",\n \"rules\": []}";
    for (arguments, object) in [
        (
            &["lint", "-", "--format", "json"][..],
            "{\"error\":{\"column\":13,\"file\":\"<standard input>\",\"line\":1,\"message\":\"`version`: `é` is not known: write \\\"1\\\"\"}}\n",
        ),
        (
            &["diff", "-", "-", "--format", "json"],
            "{\"error\":{\"message\":\"standard input can be read once: name a file for one of the policies\"}}\n",
        ),
    ] {
        let ran = run(arguments, document.as_bytes());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, object));
        assert!(ran.stderr.contains("error: "), "people are told as well");
    }
}
