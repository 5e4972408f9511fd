//! Replays the committed inputs: what was once found is looked for at every check.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fs;
use std::path::Path;

use countersign_fuzz::TARGETS;

#[test]
fn every_committed_input_keeps_the_properties() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, check) in TARGETS {
        let mut count = 0;
        for entry in fs::read_dir(corpus.join(name)).unwrap() {
            let path = entry.unwrap().path();
            // Shown only if the check fails.
            println!("{}", path.display());
            check(&fs::read(path).unwrap());
            count += 1;
        }
        assert!(count > 0, "the target `{name}` has no input");
    }
    let folders = fs::read_dir(&corpus).unwrap().count();
    assert_eq!(folders, TARGETS.len(), "a folder belongs to no target");
}

#[test]
fn every_target_takes_what_is_nothing() {
    for (_, check) in TARGETS {
        check(b"");
        check(&[0xff; 100]);
    }
}
