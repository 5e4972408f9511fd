//! The search, against one that tries every order.

use std::sync::atomic::AtomicU64 as Shared;

use super::*;

/// A register with a lock: what is read is what was written last, and only a matching old value
/// is replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Register(u8);

#[derive(Debug, Clone, Copy)]
enum Call {
    Read,
    Write(u8),
    Replace(u8, u8),
}

impl Specification for Register {
    type Call = Call;
    type Answer = u8;

    fn explains(&mut self, call: &Call, answer: &u8) -> bool {
        let before = self.0;
        match *call {
            Call::Read => {}
            Call::Write(value) => self.0 = value,
            Call::Replace(old, new) if old == before => self.0 = new,
            Call::Replace(..) => {}
        }
        before == *answer
    }
}

type History = Vec<Operation<Call, u8>>;

/// Tries every order of the calls.
fn some_order_explains(done: &[usize], state: &Register, history: &History) -> bool {
    if done.len() == history.len() {
        return true;
    }
    (0..history.len())
        .filter(|next| !done.contains(next))
        .any(|next| {
            let ended_before = |other: usize| history[other].ended < history[next].began;
            if (0..history.len()).any(|other| !done.contains(&other) && ended_before(other)) {
                return false;
            }
            let mut state = state.clone();
            state.explains(&history[next].call, &history[next].answer)
                && some_order_explains(&[done, &[next]].concat(), &state, history)
        })
}

/// A few calls at random times. Answers are those of a real register most of the time, so that
/// histories of both kinds are common.
fn random_history(random: &mut impl FnMut(u64) -> u64) -> History {
    let count = 1 + random(6);
    let mut times: Vec<u64> = (0..2 * count).collect();
    for place in (1..times.len()).rev() {
        times.swap(place, random(place as u64 + 1) as usize);
    }
    let mut pairs: Vec<(u64, u64)> = times
        .chunks(2)
        .map(|pair| (pair[0].min(pair[1]), pair[0].max(pair[1])))
        .collect();
    // Answers follow the middles of the calls: one of the orders that may explain them.
    pairs.sort_by_key(|(began, ended)| began + ended);
    let mut register = Register::default();
    pairs
        .into_iter()
        .map(|(began, ended)| {
            let call = match random(3) {
                0 => Call::Read,
                1 => Call::Write(random(3) as u8),
                _ => Call::Replace(random(3) as u8, random(3) as u8),
            };
            let before = register.0;
            register.explains(&call, &before);
            let answer = if random(8) == 0 {
                random(3) as u8
            } else {
                before
            };
            Operation {
                began,
                ended,
                call,
                answer,
            }
        })
        .collect()
}

#[test]
fn search_agrees_with_trying_every_order() {
    let state = Shared::new(0x9E37_79B9_7F4A_7C15);
    let mut random = |below: u64| {
        let mut x = state.load(Ordering::Relaxed);
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        state.store(x, Ordering::Relaxed);
        x % below
    };
    let (mut accepted, mut rejected) = (0, 0);
    for _ in 0..20_000 {
        let history = random_history(&mut random);
        let expected = some_order_explains(&[], &Register::default(), &history);
        let found = is_linearizable(Register::default(), &history);
        assert_eq!(found, expected, "{history:#?}");
        *(if found { &mut accepted } else { &mut rejected }) += 1;
    }
    assert!(
        accepted > 2_000 && rejected > 2_000,
        "{accepted} and {rejected}"
    );
}

#[test]
fn what_cannot_be_explained_is_named() {
    let operation = |began, call, answer| Operation {
        began,
        ended: began + 1,
        call,
        answer,
    };
    let stale = [
        operation(0, Call::Write(1), 0),
        operation(2, Call::Write(2), 1),
        operation(4, Call::Read, 1),
        operation(6, Call::Read, 2),
    ];
    let unexplained = explain(Register::default(), &stale).unwrap_err();
    assert_eq!((unexplained.calls, unexplained.explained), (4, 2));
    let said = unexplained.to_string();
    assert!(
        said.contains("after 2 of 4") && said.contains("began: 4"),
        "{said}"
    );
}

#[test]
fn long_histories_are_searched_in_order_and_without_recursion() {
    let history: History = (0..20_000)
        .map(|place| Operation {
            began: 2 * place,
            ended: 2 * place + 3,
            call: Call::Read,
            answer: 0,
        })
        .collect();
    assert!(is_linearizable(Register::default(), &history));
}
