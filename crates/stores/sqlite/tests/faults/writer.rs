//! The process that is killed: tasks that write through the stores, and say before each call what
//! they are about to do and after it what was answered.
//!
//! It ends by itself only when its input ends, after the calls that it has begun.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use countersign_breakglass as breakglass;
use countersign_request as request;
use countersign_sqlite::Synchronous;

use breakglass::Store as _;
use request::Store as _;

use crate::common::{Draws, block_on};
use crate::operations::{Answer, Of, Operation, PEOPLE, PROFILES, Stores, Verb};

/// How many threads call the stores at the same time, by the seed: where there are many, their steps
/// share transactions.
const TASKS: [u64; 3] = [1, 4, 16];

/// Prints a line in one piece.
pub fn line(text: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    // Nobody reads any more: the process is about to end.
    let _ = out.write_all(format!("{text}\n").as_bytes());
    let _ = out.flush();
}

/// What the writing process is told.
#[derive(Debug, Clone, Copy)]
pub struct Orders {
    pub seed: u64,
    /// When its clock starts.
    pub minutes: u64,
    pub synchronous: Synchronous,
    /// Acknowledges before the call: the fault that the checks must find.
    pub early: bool,
}

impl Orders {
    pub fn words(&self) -> String {
        let full = self.synchronous == Synchronous::Full;
        format!("{} {} {full} {}", self.seed, self.minutes, self.early)
    }

    fn of(words: &str) -> Option<Self> {
        let mut words = words.split(' ');
        Some(Self {
            seed: words.next()?.parse().ok()?,
            minutes: words.next()?.parse().ok()?,
            synchronous: match words.next()?.parse().ok()? {
                true => Synchronous::Full,
                false => Synchronous::Normal,
            },
            early: words.next()?.parse().ok()?,
        })
    }
}

struct Writer {
    stores: Stores,
    orders: Orders,
    /// Records that are worth changing.
    known: Mutex<Vec<(Of, u64)>>,
    number: AtomicU64,
    stopped: AtomicBool,
}

/// Writes until the input ends.
pub fn write(words: &str, path: &Path) {
    let orders = Orders::of(words).unwrap();
    let stores = Stores::open(path, orders.synchronous, orders.minutes).unwrap();
    let writer = Writer {
        known: Mutex::new(block_on(known(&stores))),
        stores,
        orders,
        number: AtomicU64::new(0),
        stopped: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        let tasks = TASKS[(orders.seed % 3) as usize];
        for task in 0..tasks {
            let writer = &writer;
            let draws = Draws::from_seed(orders.seed.wrapping_mul(16).wrapping_add(task));
            scope.spawn(move || block_on(writer.task(draws)));
        }
        let mut rest = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut rest);
        writer.stopped.store(true, Ordering::SeqCst);
    });
}

/// The newest records in the file.
async fn known(stores: &Stores) -> Vec<(Of, u64)> {
    let mut known = Vec::new();
    for status in request::Status::ALL {
        let page = request::Page::first(10);
        let found = stores.requests.list(&status.into(), page).await.unwrap();
        let ids = found.items.iter().map(|request| request.id.to_bits());
        known.extend(ids.map(|id| (Of::Request, id)));
    }
    for status in breakglass::Status::ALL {
        let page = breakglass::Page::first(10);
        let found = stores.emergencies.list(&status.into(), page).await.unwrap();
        let ids = found.items.iter().map(|emergency| emergency.id.to_bits());
        known.extend(ids.map(|id| (Of::Emergency, id)));
    }
    known
}

impl Writer {
    async fn task(&self, mut draws: Draws) {
        while !self.stopped.load(Ordering::SeqCst) {
            match draws.below(16) {
                0 => self.stores.clock.step_back(Duration::from_secs(300)),
                _ => {
                    let seconds = draws.below(90);
                    self.stores.clock.advance(Duration::from_secs(seconds));
                }
            }
            let operation = self.choose(&mut draws).await;
            let number = self.number.fetch_add(1, Ordering::SeqCst);
            line(format_args!("try {number} {operation}"));
            if self.orders.early {
                line(format_args!("ack {number} {}", Answer::Early));
            }
            let answer = self.stores.perform(&operation).await;
            if let (Verb::Create, Answer::Done { .. }) = (operation.verb, &answer) {
                let created = (operation.of, operation.id);
                self.known.lock().unwrap().push(created);
            }
            // What is refused is no write: an early acknowledgement of it is taken back.
            if !self.orders.early || matches!(answer, Answer::Refused(_)) {
                line(format_args!("ack {number} {answer}"));
            }
        }
    }

    async fn choose(&self, draws: &mut Draws) -> Operation {
        let of = draws.pick(&Of::ALL);
        let idempotency_key = draws.below(u64::MAX);
        let id = draws.below(u64::MAX);
        let create = Operation {
            of,
            verb: Verb::Create,
            id,
            idempotency_key,
            expected: 0,
            user: draws.below(PEOPLE.len() as u64) as usize,
            profile: draws.below(PROFILES.len() as u64) as usize,
        };
        let known = {
            let known = self.known.lock().unwrap();
            (!known.is_empty()).then(|| known[draws.below(known.len() as u64) as usize])
        };
        let Some((of, id)) = known.filter(|_| !draws.one_in(3)) else {
            return create;
        };
        let change = Operation { of, id, ..create };
        let change = match of {
            Of::Request => self.change_of_request(draws, change).await,
            Of::Emergency => self.change_of_emergency(draws, change).await,
        };
        change.unwrap_or(create)
    }

    async fn change_of_request(
        &self,
        draws: &mut Draws,
        operation: Operation,
    ) -> Option<Operation> {
        let id = request::RequestId::from_bits(operation.id);
        // It may have been deleted.
        let found = self.stores.requests.get(id).await.ok()?;
        let verb = match found.status {
            request::Status::Pending => draws.pick(&[
                Verb::Approve,
                Verb::Approve,
                Verb::ApproveToo,
                Verb::Deny,
                Verb::Cancel,
                Verb::Note,
            ]),
            request::Status::Approved => {
                draws.pick(&[Verb::Release, Verb::Revoke, Verb::Note, Verb::Delete])
            }
            _ => draws.pick(&[Verb::Note, Verb::Delete]),
        };
        Some(Operation {
            verb,
            expected: found.updated_at.as_nanos(),
            user: place(&PEOPLE, found.requester.as_str()),
            profile: place(&PROFILES, found.profile.as_str()),
            ..operation
        })
    }

    async fn change_of_emergency(
        &self,
        draws: &mut Draws,
        operation: Operation,
    ) -> Option<Operation> {
        let id = breakglass::EmergencyId::from_bits(operation.id);
        let found = self.stores.emergencies.get(id).await.ok()?;
        let verb = match found.status {
            breakglass::Status::Active => draws.pick(&[Verb::Close, Verb::Close, Verb::Note]),
            _ => draws.pick(&[Verb::Review, Verb::Note]),
        };
        Some(Operation {
            verb,
            expected: found.updated_at.as_nanos(),
            user: place(&PEOPLE, found.invoker.as_str()),
            profile: place(&PROFILES, found.profile.as_str()),
            ..operation
        })
    }
}

fn place(of: &[&str], name: &str) -> usize {
    of.iter().position(|known| *known == name).unwrap()
}
