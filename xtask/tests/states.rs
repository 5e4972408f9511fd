//! The states and changes that the documents draw are those that the code knows.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use countersign_breakglass as breakglass;
use countersign_request as request;

type Edges = BTreeSet<(String, String)>;

fn document(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    fs::read_to_string(docs.join(name)).unwrap()
}

/// From and to of each row of the table of changes; what begins comes from nothing.
fn edges(text: &str) -> Edges {
    let bare = |cell: &str| cell.trim().trim_matches('`').to_owned();
    text.lines()
        .skip_while(|line| *line != "| from | change | to | who | when |")
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').collect();
            let [_, from, _, to, ..] = cells[..] else {
                panic!("{line}");
            };
            (bare(from), bare(to))
        })
        .collect()
}

/// The first block of text: the drawing.
fn drawing(text: &str) -> &str {
    text.split("```text\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap()
}

/// What can become what, and where it begins.
fn known<S: Copy + ToString>(all: &[S], first: S, can_become: fn(S, S) -> bool) -> Edges {
    let mut edges = Edges::from([(String::new(), first.to_string())]);
    for from in all {
        for to in all {
            if can_become(*from, *to) {
                edges.insert((from.to_string(), to.to_string()));
            }
        }
    }
    edges
}

/// The edges between two states; what leaves a state alone is none.
fn moves(edges: Edges) -> Edges {
    edges.into_iter().filter(|(from, to)| from != to).collect()
}

#[test]
fn a_request_can_become_what_its_page_says() {
    use request::Status;
    let text = document("requests.md");
    let edges = edges(&text);
    let known = known(&Status::ALL, Status::Pending, Status::can_become);
    assert_eq!(moves(edges), known, "docs/requests.md says otherwise");
    for status in Status::ALL {
        assert!(
            drawing(&text).contains(&status.to_string()),
            "{status} is drawn"
        );
    }
}

#[test]
fn an_emergency_can_become_what_its_page_says() {
    use breakglass::Status;
    let text = document("breakglass.md");
    let edges = edges(&text);
    let known = known(&Status::ALL, Status::Active, Status::can_become);
    assert_eq!(moves(edges), known, "docs/breakglass.md says otherwise");
    for status in Status::ALL {
        assert!(
            drawing(&text).contains(&status.to_string()),
            "{status} is drawn"
        );
    }
}
