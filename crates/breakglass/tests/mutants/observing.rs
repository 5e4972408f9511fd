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
        let same = |emergency: &&Arc<Emergency>| emergency.invoker.same_user(&wanted.user);
        let here = |emergency: &&Arc<Emergency>| emergency.profile == wanted.profile;
        let mut counted: Vec<Arc<Emergency>> = state.emergencies.clone();
        if self.has(Fault::QuotaOutlivesEmergency) {
            counted.extend(state.deleted.iter().cloned());
        }
        if self.has(Fault::RefusedCounts) {
            counted.extend(state.refused.iter().cloned());
        }
        if self.has(Fault::QuotasForgottenOnReopening) {
            counted.retain(|emergency| {
                emergency.updated_at > state.reopened.unwrap_or(emergency.updated_at)
            });
            if state.reopened.is_none() {
                counted.clone_from(&state.emergencies);
            }
        }
        let active = state.emergencies.iter().find(|emergency| {
            let named = if exactly {
                emergency.invoker == wanted.user
            } else {
                same(emergency)
            };
            let named = named || self.has(Fault::ActiveBlocksEveryone);
            let closed = self.has(Fault::ClosedBlocks) && now.at() < emergency.expires_at;
            named && here(emergency) && (self.gives_access(state, emergency, now) || closed)
        });
        let paused = counted
            .iter()
            .filter(|emergency| {
                same(emergency) && (here(emergency) || self.has(Fault::CooldownOfUser))
            })
            .map(|emergency| match self.fault {
                Fault::CooldownFromDate => emergency.created_at,
                Fault::CooldownOnlyWhileAhead => now.moment(emergency.created_at),
                _ => emergency.begun_at(now),
            });
        let last_created_at = match self.fault {
            Fault::CooldownFromOldest => paused.min(),
            Fault::CooldownFromDatedLatest => {
                let both = counted
                    .iter()
                    .filter(|emergency| same(emergency) && here(emergency));
                let latest = both.max_by_key(|emergency| emergency.created_at);
                latest.map(|emergency| emergency.begun_at(now))
            }
            _ => paused.max(),
        };
        let count = |of: &dyn Fn(&&Arc<Emergency>) -> bool, wanted: Option<CountWanted>| {
            let Some(wanted) = wanted else {
                return Counted::default();
            };
            let mut times: Vec<DateTime<Utc>> = counted
                .iter()
                .filter(|emergency| of(emergency))
                .filter(|emergency| {
                    !self.has(Fault::QuotaOfActiveOnly) || emergency.status == Status::Active
                })
                .map(|emergency| match (self.fault, wanted.nth_newest) {
                    (Fault::QuotaFromDate, _) | (Fault::EscalationFromDate, None) => {
                        emergency.created_at
                    }
                    _ => emergency.begun_at(now),
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
        let of_user = |emergency: &&Arc<Emergency>| {
            let named = if self.has(Fault::QuotaByExactName) {
                emergency.invoker == wanted.user
            } else {
                same(emergency)
            };
            named && (here(emergency) || !self.has(Fault::QuotaOfOneProfile))
        };
        let proofs = state.emergencies.iter().chain(
            state
                .deleted
                .iter()
                .filter(|_| !self.has(Fault::ProofGoesWithEmergency)),
        );
        let refused = state.refused.iter();
        let mut proofs = proofs.chain(refused.filter(|_| self.has(Fault::RefusedUsesProof)));
        let used = proofs.find(|emergency| {
            let id = emergency.mfa.as_ref().map(|proof| &proof.id);
            let known = !self.has(Fault::ProofForgottenWhenOver) || !emergency.is_terminal();
            let known = known && (!self.has(Fault::ProofOfOneUser) || same(emergency));
            let since = state
                .reopened
                .filter(|_| self.has(Fault::ProofsForgottenOnReopening));
            let same_id = match (id, &wanted.proof) {
                (Some(id), Some(wanted)) if self.has(Fault::ProofFoldsCase) => {
                    id.as_str().eq_ignore_ascii_case(wanted.as_str())
                }
                (id, wanted) => id.is_some() && id == wanted.as_ref(),
            };
            known && Some(emergency.updated_at) > since && same_id
        });
        let due = state
            .emergencies
            .iter()
            .filter(same)
            .filter(|emergency| here(emergency) || !self.has(Fault::ReviewOfOneProfile))
            .filter(|emergency| emergency.awaits_review(*now));
        let unreviewed = if self.has(Fault::ReviewNewestNamed) {
            due.max_by_key(|emergency| emergency.ended_at())
        } else {
            due.min_by_key(|emergency| (emergency.ended_at(), emergency.id))
        };
        Observed {
            active: active.map(|emergency| ActiveEmergency {
                id: emergency.id,
                expires_at: emergency.expires_at + self.nano_if(Fault::ActiveAtItsEnd),
            }),
            last_created_at: last_created_at.map(|at| at + self.nano_if(Fault::CooldownTooLong)),
            of_user: count(&of_user, wanted.of_user),
            of_profile: count(&here, wanted.of_profile),
            proof_used_by: used.map(|emergency| emergency.id),
            unreviewed: match unreviewed {
                Some(emergency) => Some(UnreviewedEmergency {
                    id: emergency.id,
                    ended_at: if self.has(Fault::ReviewSinceDate) {
                        emergency.ended_at()
                    } else {
                        emergency.over_since(now)
                    },
                }),
                None if self.has(Fault::ReviewAlwaysDue) => Some(UnreviewedEmergency {
                    id: EmergencyId::MIN,
                    ended_at: now.at(),
                }),
                None => None,
            },
        }
    }
}
