//! What must hold for any input: no text makes a parser panic, what is read and written reads back
//! as itself, a refusal is one short line that names the field, and a policy decides as its rules
//! say one by one.
//!
//! Each function takes bytes and panics if a property is broken; `cargo xtask fuzz` lets libFuzzer
//! look for such bytes. The inputs under `corpus` are replayed by an ordinary test of this package,
//! so that what was found once is found by `cargo xtask check`.
//!
//! libFuzzer is compiled under the cfg `fuzzing` alone. Without it each target is a program that
//! replays the files it is given.
#![allow(
    clippy::expect_used,
    reason = "a broken property must stop the fuzzer, and a panic is how it is told"
)]

mod documents;
mod index;
mod texts;

pub use documents::{approvals, breakglass, policy};
pub use index::index;
pub use texts::texts;

/// A check of one input.
pub type Check = fn(&[u8]);

/// Every target: its name, which is that of its program and of its folder under `corpus`, and its
/// check.
pub const TARGETS: [(&str, Check); 5] = [
    ("policy", policy),
    ("approvals", approvals),
    ("breakglass", breakglass),
    ("texts", texts),
    ("index", index),
];

/// The program of a target.
#[macro_export]
macro_rules! target {
    ($check:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::$check(data));

        #[cfg(not(fuzzing))]
        fn main() {
            $crate::replay($crate::$check);
        }
    };
}

/// Checks the files named on the command line.
pub fn replay(check: Check) {
    for path in std::env::args_os().skip(1) {
        check(&std::fs::read(path).expect("the input cannot be read"));
    }
}

/// The most characters of a message, however large the document: a rule's name and what is wrong
/// with it, each at most 1,000 characters, six of which stand for one that must not be printed.
const MAX_MESSAGE_CHARACTERS: usize = 16_000;

/// A message that stands in a log: one line, of bounded length.
fn assert_message(message: &str) {
    assert!(
        !message.chars().any(char::is_control),
        "a message has a control character: {message:?}"
    );
    let characters = message.chars().count();
    assert!(
        characters <= MAX_MESSAGE_CHARACTERS,
        "a message has {characters} characters: {message}"
    );
    assert!(!message.is_empty(), "a message says nothing");
}
