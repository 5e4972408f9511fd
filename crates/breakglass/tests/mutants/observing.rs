//! What the naive store sees of an observation, with a place for each fault.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_breakglass::*;

use crate::faults::Fault;
use crate::store::{Naive, State};

impl Naive {
    pub fn observe(&self, state: &State, wanted: &Observation) -> Observed {
        let now = &wanted.now;
        let exactly = self.has(Fault::ActiveByExactName);
        let same = |event: &&Arc<Event>| event.invoker.same_person(&wanted.person);
        let here = |event: &&Arc<Event>| event.profile == wanted.profile;
        let mut counted: Vec<Arc<Event>> = state.events.clone();
        if self.has(Fault::QuotaOutlivesEvent) {
            counted.extend(state.deleted.iter().cloned());
        }
        if self.has(Fault::RefusedCounts) {
            counted.extend(state.refused.iter().cloned());
        }
        if self.has(Fault::QuotasForgottenOnReopening) {
            counted.retain(|event| event.updated_at > state.reopened.unwrap_or(event.updated_at));
            if state.reopened.is_none() {
                counted.clone_from(&state.events);
            }
        }
        let active = state.events.iter().find(|event| {
            let named = if exactly {
                event.invoker == wanted.person
            } else {
                same(event)
            };
            let named = named || self.has(Fault::ActiveBlocksEveryone);
            let closed = self.has(Fault::ClosedBlocks) && now.at() < event.expires_at;
            named && here(event) && (self.gives_access(state, event, now) || closed)
        });
        let paused = counted
            .iter()
            .filter(|event| same(event) && (here(event) || self.has(Fault::CooldownOfPerson)))
            .map(|event| match self.fault {
                Fault::CooldownFromDate => event.created_at,
                Fault::CooldownOnlyWhileAhead => now.moment(event.created_at),
                _ => event.begun_at(now),
            });
        let last_created_at = match self.fault {
            Fault::CooldownFromOldest => paused.min(),
            Fault::CooldownFromDatedLatest => {
                let both = counted.iter().filter(|event| same(event) && here(event));
                let latest = both.max_by_key(|event| event.created_at);
                latest.map(|event| event.begun_at(now))
            }
            _ => paused.max(),
        };
        let count = |of: &dyn Fn(&&Arc<Event>) -> bool, wanted: Option<CountWanted>| {
            let Some(wanted) = wanted else {
                return Counted::default();
            };
            let mut times: Vec<DateTime<Utc>> = counted
                .iter()
                .filter(|event| of(event))
                .filter(|event| {
                    !self.has(Fault::QuotaOfActiveOnly) || event.status == Status::Active
                })
                .map(|event| match (self.fault, wanted.nth_newest) {
                    (Fault::QuotaFromDate, _) | (Fault::EscalationFromDate, None) => {
                        event.created_at
                    }
                    _ => event.begun_at(now),
                })
                .filter(|time| {
                    let inclusive = self.has(Fault::QuotaWindowInclusive);
                    *time > wanted.created_after || inclusive && *time == wanted.created_after
                })
                .collect();
            times.sort();
            if !self.has(Fault::QuotaRetryFromOldest) {
                times.reverse();
            }
            let nth = wanted.nth_newest.map_or(0, |nth| nth.get() as usize);
            Counted {
                count: times.len() as u64,
                nth_newest: times.get(nth.wrapping_sub(1)).copied(),
            }
        };
        let of_person = |event: &&Arc<Event>| {
            let named = if self.has(Fault::QuotaByExactName) {
                event.invoker == wanted.person
            } else {
                same(event)
            };
            named && (here(event) || !self.has(Fault::QuotaOfOneProfile))
        };
        let proofs = state.events.iter().chain(
            state
                .deleted
                .iter()
                .filter(|_| !self.has(Fault::ProofGoesWithEvent)),
        );
        let refused = state.refused.iter();
        let mut proofs = proofs.chain(refused.filter(|_| self.has(Fault::RefusedUsesProof)));
        let used = proofs.find(|event| {
            let id = event.mfa.as_ref().map(|proof| &proof.id);
            let known = !self.has(Fault::ProofForgottenWhenOver) || !event.is_terminal();
            let known = known && (!self.has(Fault::ProofOfOnePerson) || same(event));
            let since = state
                .reopened
                .filter(|_| self.has(Fault::ProofsForgottenOnReopening));
            let same_id = match (id, &wanted.proof) {
                (Some(id), Some(wanted)) if self.has(Fault::ProofFoldsCase) => {
                    id.as_str().eq_ignore_ascii_case(wanted.as_str())
                }
                (id, wanted) => id.is_some() && id == wanted.as_ref(),
            };
            known && Some(event.updated_at) > since && same_id
        });
        let due = state
            .events
            .iter()
            .filter(same)
            .filter(|event| here(event) || !self.has(Fault::ReviewOfOneProfile))
            .filter(|event| event.awaits_review(*now));
        let unreviewed = if self.has(Fault::ReviewNewestNamed) {
            due.max_by_key(|event| event.ended_at())
        } else {
            due.min_by_key(|event| (event.ended_at(), event.id))
        };
        Observed {
            active: active.map(|event| ActiveEvent {
                id: event.id,
                expires_at: event.expires_at + self.nano_if(Fault::ActiveAtItsEnd),
            }),
            last_created_at: last_created_at.map(|at| at + self.nano_if(Fault::CooldownTooLong)),
            of_person: count(&of_person, wanted.of_person),
            of_profile: count(&here, wanted.of_profile),
            proof_used_by: used.map(|event| event.id),
            unreviewed: match unreviewed {
                Some(event) => Some(UnreviewedEvent {
                    id: event.id,
                    ended_at: if self.has(Fault::ReviewSinceDate) {
                        event.ended_at()
                    } else {
                        event.over_since(now)
                    },
                }),
                None if self.has(Fault::ReviewAlwaysDue) => Some(UnreviewedEvent {
                    id: EventId::MIN,
                    ended_at: now.at(),
                }),
                None => None,
            },
        }
    }
}
