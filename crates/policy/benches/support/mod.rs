//! A timer for comparisons: contenders take turns in short batches, so that whatever else the
//! machine does meets all of them alike, and each is told by its median batch.
#![allow(dead_code)]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

pub mod policies;

/// How long a batch takes, roughly. Shorter than a time slice, so that most are not interrupted.
const BATCH: Duration = Duration::from_micros(200);
const ROUNDS: usize = 151;

/// Whether `cargo bench` runs this, and not `cargo test --all-targets`.
pub fn wanted() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

#[allow(clippy::disallowed_methods, reason = "a benchmark reads real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Something to be timed: does it as often as it is told.
pub type Contender<'a> = Box<dyn FnMut(u32) + 'a>;

/// A contender that runs `operation` on each of `inputs` in turn.
pub fn each<'a, I, T>(
    inputs: &'a [I],
    mut operation: impl FnMut(&'a I) -> T + 'a,
) -> Contender<'a> {
    let mut turns = inputs.iter().cycle();
    Box::new(move |count| {
        for input in turns.by_ref().take(count as usize) {
            // By reference: a large answer is not to be copied.
            std::hint::black_box(&operation(std::hint::black_box(input)));
        }
    })
}

/// The nanoseconds that one operation of each contender takes.
pub fn compare<const N: usize>(contenders: [Contender<'_>; N]) -> [f64; N] {
    let mut contenders = contenders.map(|mut run| (batch_size(&mut run), run, Vec::new()));
    for _ in 0..ROUNDS {
        for (count, run, times) in &mut contenders {
            let start = now();
            run(*count);
            times.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(*count));
        }
    }
    contenders.map(|(_, _, times)| median(times))
}

/// How many operations fill a batch. Warms the contender up.
pub fn batch_size(run: &mut Contender<'_>) -> u32 {
    let mut count = 1;
    loop {
        let start = now();
        run(count);
        if start.elapsed() >= BATCH / 2 {
            return count;
        }
        count *= 2;
    }
}

pub fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The budgets that were measured, and what came of each.
#[derive(Default)]
pub struct Verdicts(String);

impl Verdicts {
    /// Notes `what` for the budget `name`: met if `value` is at most `limit`.
    pub fn at_most(&mut self, name: &str, what: &str, value: f64, limit: f64) {
        let met = if value <= limit { "met   " } else { "MISSED" };
        let _ = writeln!(
            self.0,
            "{name}  {met}  {what}: {value:.2} (at most {limit})"
        );
    }
}

impl Drop for Verdicts {
    fn drop(&mut self) {
        println!("\n{}", self.0);
    }
}
