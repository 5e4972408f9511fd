//! Drawn steps against a model: what nobody thought of.

use super::Subject;
use super::ground::*;
use crate::engine::{Range, Rank, Reads, Record, Start, Transaction};

/// The same numbers from the same seed, on every machine.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % end
    }

    fn name(&mut self) -> &'static str {
        let number = self.below(NAMES.len() as u64);
        NAMES[usize::try_from(number).unwrap_or(0)]
    }

    fn rank(&mut self) -> i64 {
        i64::try_from(self.below(5)).unwrap_or(0) - 2
    }

    fn place(&mut self) -> Place {
        let (name, rank, text) = (self.name(), self.rank(), self.name());
        match self.below(4) {
            0 => off().saying(text),
            _ => on(name, rank).saying(text),
        }
    }

    fn action(&mut self) -> Action {
        let bits = self.below(8);
        match self.below(4) {
            0 => Action::Remove(bits),
            _ => {
                let mut draft = note(bits).by(self.name()).at(self.place());
                if self.below(2) == 0 {
                    draft = draft.sealed(self.name());
                }
                Action::Put(draft)
            }
        }
    }

    fn range(&mut self) -> Range<NoteId> {
        let rank = Rank::from_i64(self.rank());
        let start = match self.below(3) {
            0 => Start::First,
            1 => Start::At(rank),
            _ => Start::After(rank, id(self.below(8))),
        };
        let above = (self.below(2) == 0).then(|| Rank::from_i64(self.rank()));
        Range { start, above }
    }
}

#[derive(Debug, Clone)]
enum Action {
    /// Makes the note, or moves the one that is there.
    Put(Draft),
    /// Removes the note, if it is there.
    Remove(u64),
}

/// Makes drawn steps, some of which fail, and asserts after each that the store is as expected.
async fn try_steps<S: Subject>(mut ground: Ground<S>, seed: u64, reopens: bool) {
    let (mut draw, mut expected, mut last) = (Draw(seed), Expected::default(), None);
    for round in 0..40 {
        ground.turn(i64::try_from(draw.below(90)).unwrap_or(0) - 30);
        // Of each record once: a step says what it leaves.
        let mut actions: Vec<_> = (0..=draw.below(3)).map(|_| draw.action()).collect();
        let mut seen = Vec::new();
        actions.retain(|action| {
            let (Action::Put(Draft { id, .. }) | Action::Remove(id)) = action;
            let is_new = !seen.contains(id);
            seen.push(*id);
            is_new
        });
        let (fails, made) = (draw.below(5) == 0, actions.clone());
        let result = ground.write(move |step| {
            let mut notes = Vec::new();
            for action in &actions {
                match action {
                    Action::Put(draft) => notes.push(match step.get(&id(draft.id))? {
                        Some(_) => edit(step, draft.id, &draft.place)?,
                        None => add(step, draft)?,
                    }),
                    Action::Remove(bits) => {
                        stamp(step)?;
                        if step.get(&id(*bits))?.is_some() {
                            step.remove(id(*bits));
                        }
                    }
                }
            }
            if fails {
                Err(Stop::Meant("drawn"))
            } else {
                Ok(notes)
            }
        });
        match result.await {
            Err(Stop::Meant(_)) if fails => {}
            result => {
                for note in succeeded(result) {
                    assert!(Some(note.version()) > last, "versions grow");
                    last = Some(note.version());
                    expected.put(note);
                }
                for action in made {
                    if let Action::Remove(bits) = action {
                        expected.remove(bits);
                    }
                }
            }
        }
        ground.assert_has(&expected).await;
        for _ in 0..4 {
            let (key, range) = (shelf(draw.name()), draw.range());
            let look = ground.look(key.clone(), range).await;
            assert_eq!(
                look,
                expected.look(&key, &range),
                "seed {seed}, step {round}: {key:?} {range:?}"
            );
        }
        if reopens && draw.below(8) == 0 {
            ground = ground.reopened().await;
            ground.assert_has(&expected).await;
        }
    }
}

/// Whatever is done, what is read is what was written.
pub async fn drawn_steps_leave_what_they_wrote<S: Subject>(ground: Ground<S>) {
    try_steps(ground, 1, false).await;
}

/// Also if the engine is opened again in between.
pub async fn drawn_steps_go_on_across_reopening<S: Subject>(ground: Ground<S>) {
    try_steps(ground, 2, true).await;
}
