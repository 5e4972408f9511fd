//! Budget T9: what reading and compiling a document takes, against parsing its JSON, and the memory
//! of what comes of it.
#![allow(missing_docs, reason = "a program, not a library")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::hint::black_box;

use countersign_policy::{Policy, PolicyDocument};
use support::policies::{flat, hundred_by_ten, mixed};
use support::{Verdicts, median, now};

mod support;

const ROUNDS: usize = 9;

fn main() {
    if !support::wanted() {
        return;
    }
    let mut verdicts = Verdicts::default();
    println!("ms (parse to a value, parse to a document, compile, whole), and bytes a rule:");
    let shapes = [
        (
            "100,000 rules of one user and one profile",
            flat(10_000, 10),
        ),
        ("100,000 rules, mixed", mixed(100_000, 10_000, 100)),
        (
            "1,000 rules of 100 people and 10 profiles",
            hundred_by_ten(1_000, 10_000, 1_000),
        ),
    ];
    for (number, (what, document)) in shapes.into_iter().enumerate() {
        let json = serde_json::to_vec(&document).unwrap();
        let mut times: [Vec<f64>; 4] = Default::default();
        for _ in 0..ROUNDS {
            times[0].push(milliseconds(|| {
                serde_json::from_slice::<serde_json::Value>(&json).unwrap()
            }));
            times[1].push(milliseconds(|| {
                serde_json::from_slice::<PolicyDocument>(&json).unwrap()
            }));
            let parsed = document.clone();
            times[2].push(milliseconds(|| Policy::try_from(parsed).unwrap()));
            times[3].push(milliseconds(|| Policy::from_json(&json).unwrap()));
        }
        let [value, parse, compile, whole] = times.map(median);
        let mut policy = None;
        let counted =
            allocation_counter::measure(|| policy = Some(Policy::from_json(&json).unwrap()));
        let rules = document.rules.len() as f64;
        let bytes = counted.bytes_current as f64 / rules;
        let peak = counted.bytes_max as f64 / rules;
        black_box(policy);
        println!(
            "{value:8.1}  {parse:8.1}  {compile:8.1}  {whole:8.1}  {bytes:8.0} (at most {peak:.0} meanwhile)  {what}"
        );
        if number == 0 {
            verdicts.at_most(
                "T9",
                "read and compile / parse to a value",
                whole / value,
                4.0,
            );
            verdicts.at_most("T9", "bytes a rule", bytes, 600.0);
        }
    }
}

fn milliseconds<T>(run: impl FnOnce() -> T) -> f64 {
    let start = now();
    let made = run();
    let time = start.elapsed().as_secs_f64() * 1e3;
    drop(black_box(made));
    time
}
