//! The rule about a second factor: when the one that a draft shows will do.

use countersign_core::time::{Now, earlier, later};

use crate::draft::Draft;
use crate::invocation_policy::InvocationRule;
use crate::mfa::ProofProblem;
use crate::refusal::Refusal;
use crate::vocabulary::EmergencyId;

impl InvocationRule {
    /// Whether the second factor of `draft` will do `now`, if one is shown; `used_by` is the
    /// emergency that a proof with the same id was used for.
    pub(crate) fn check_proof(
        &self,
        draft: &Draft,
        used_by: Option<EmergencyId>,
        now: &Now,
    ) -> Result<(), Refusal> {
        let Some(proof) = &draft.mfa else {
            return Ok(());
        };
        let max_age = self.max_proof_age();
        let verified_at = proof.verified_at;
        let problem = if proof.user != draft.invoker {
            ProofProblem::OtherUser {
                user: proof.user.clone(),
            }
        } else if proof.emergency != draft.id {
            ProofProblem::OtherEmergency {
                emergency: proof.emergency,
            }
        } else if !self.allows_method(proof.method) {
            ProofProblem::Method {
                method: proof.method,
                methods: self.methods().to_vec(),
            }
        } else if verified_at > later(now.at(), now.tolerance()) {
            ProofProblem::FromTheFuture {
                verified_at,
                at: now.at(),
                tolerance: now.tolerance(),
            }
        } else if verified_at < earlier(now.at(), max_age) {
            ProofProblem::TooOld {
                verified_at,
                max_age,
            }
        } else if let Some(emergency) = used_by {
            ProofProblem::Used { emergency }
        } else {
            return Ok(());
        };
        Err(Refusal::MfaProof {
            rule: self.shared_name(),
            problem,
        })
    }
}
