//! What is left of a file when something goes wrong while it is written or after: processes that
//! are killed or lose their locks, files that are deleted or replaced, a log that is kept from being
//! cut, a full disk, commits that the system fails, what cannot be written,
//! damaged pages. `cargo xtask faults` runs the
//! long form.
//!
//! Killing a process leaves what it gave to the system: the loss of power is not among these.
//!
//! Each test prints a line that states its claim and what was looked at, and fails if that was
//! nothing. `COUNTERSIGN_KILLS` says how often processes are killed, `COUNTERSIGN_SEED` from which
//! seed everything is drawn: the same choices again, though not the same moment within a call.

#![cfg(all(unix, feature = "request", feature = "breakglass"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout
)]

use std::path::Path;

use countersign_request::{OsRandom, RandomSource};

#[path = "../common/mod.rs"]
mod common;

mod audit;
mod damage;
mod kill;
mod lock;
mod log;
mod lost;
mod operations;
mod outgrown;
mod permission;
mod process;
mod records;
mod room;
mod writer;

/// The seed of a test: a random one, unless the environment says which.
fn seed(claim: &str) -> u64 {
    let seed = variable("COUNTERSIGN_SEED").unwrap_or_else(|| OsRandom.next_u64().unwrap() >> 16);
    println!("{claim}: everything is drawn from COUNTERSIGN_SEED={seed}");
    seed
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("`{name}` is `{text}`: write a number")))
}

/// Not a test of its own: what the other tests start this program again for. In an ordinary run it
/// has nothing to do.
#[test]
fn in_a_process_of_its_own() {
    let Some((role, words, path)) = process::role() else {
        return;
    };
    let path = Path::new(&path);
    match role.as_str() {
        "write" => writer::write(&words, path),
        "fill" => room::fill(&words, path),
        "rights" => permission::rights(&words, path),
        "outgrow" => outgrown::outgrow(&words, path),
        "audit" => permission::audit_a_file(&words, path),
        "refused" => permission::be_refused(&words, path),
        "create beside" => lost::create_beside(&words, path),
        "go elsewhere" => lost::go_elsewhere(&words, path),
        "lose locks" => lock::lose_locks(&words, path),
        "come and go" => lock::come_and_go(&words, path),
        _ => panic!("there is no role `{role}`"),
    }
}
