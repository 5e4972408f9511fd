//! One line of `day.jsonl`: when, who does what, and what is expected to come of it.
//!
//! A line is an object with `at` (RFC 3339), `do` (a verb), the verb's fields and, if the line is to
//! check itself, `expect`. Times do not run backwards. A request or emergency is given a label with
//! `as`, by which later lines refer to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_breakglass::{ReasonCode, ReviewOutcome};
use countersign_policy::{Group, Mode, Profile, User};

use crate::fields::Fields;

/// One line.
#[derive(Debug)]
pub struct Step {
    /// The number of its line in the file, from 1.
    pub line: usize,
    /// Its place among the steps, from 1: what its ids are made from.
    pub number: u32,
    /// The line as written, and the policy that it puts in force: what tells whether it is the step
    /// that was played.
    pub text: String,
    /// When it happens.
    pub at: DateTime<Utc>,
    /// The verb, as written.
    pub verb: &'static str,
    /// What happens.
    pub action: Action,
    /// The kind of outcome that is expected, if the line says so.
    pub expect: Option<String>,
}

/// What happens in a step.
#[derive(Debug)]
pub enum Action {
    /// The identity provider says who is in which group.
    Directory {
        people: BTreeMap<User, Vec<Group>>,
        profiles: BTreeMap<Profile, Vec<Group>>,
    },
    /// Another policy comes into force.
    Policy { file: String },
    /// Somebody wants to use a profile.
    Attempt {
        who: User,
        profile: Profile,
        mode: Option<Mode>,
        session_table: Option<String>,
    },
    /// Somebody asks for access.
    Request {
        label: String,
        who: User,
        profile: Profile,
        duration: Duration,
        why: String,
        ticket: Option<String>,
    },
    /// Somebody decides, withdraws or takes back a request.
    Decide {
        decision: Decide,
        who: User,
        request: String,
        reason: Option<String>,
        idempotency_key: Option<String>,
    },
    /// Somebody looks at what they may decide.
    Pending { who: User },
    /// Somebody looks at what they have open.
    Open { who: User },
    /// One user declares an emergency, or several do at the same moment.
    Invoke {
        label: String,
        who: Vec<User>,
        profile: Profile,
        duration: Duration,
        reason_code: ReasonCode,
        why: String,
        ticket: Option<String>,
        /// What the host calls the second factor that it has verified just now.
        proof: Option<String>,
        /// Who overrides a due review, and why.
        override_by: Option<User>,
        override_reason: Option<String>,
    },
    /// Somebody reviews an emergency that is over.
    Review {
        who: User,
        emergency: String,
        outcome: ReviewOutcome,
        text: String,
    },
    /// Somebody looks at what awaits review.
    ToReview,
    /// The operator deletes what was over before a time.
    Delete { before: DateTime<Utc> },
    /// Somebody closes an emergency.
    Close {
        who: User,
        emergency: String,
        reason: String,
    },
    /// Somebody writes a note on a request or an emergency.
    Note {
        who: User,
        about: About,
        text: String,
    },
    /// The service marks what is over as expired.
    Expire,
    /// The service deals with the changes since it last did.
    Follow,
}

/// What somebody does to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decide {
    Approve,
    Deny,
    Cancel,
    Revoke,
    Release,
}

/// What a note is about, by its label.
#[derive(Debug)]
pub enum About {
    Request(String),
    Emergency(String),
}

/// The verbs.
const VERBS: &str = "directory, policy, attempt, request, approve, deny, cancel, revoke, release, pending, open, \
     invoke, close, review, to_review, delete, note, expire or follow";

/// Reads lines, and remembers what later lines may refer to.
#[derive(Debug, Default)]
pub struct Reader {
    read: u32,
    last: Option<DateTime<Utc>>,
    requests: BTreeSet<String>,
    emergencies: BTreeSet<String>,
}

impl Reader {
    /// Reads line number `line`.
    pub fn read(&mut self, line: usize, text: &str) -> Result<Step, String> {
        let mut fields = Fields::parse(text)?;
        let at = fields.required("at")?;
        if let Some(last) = self.last.filter(|last| *last > at) {
            return Err(format!(
                "`at` is before `{last}` of the line above: sort the lines by time"
            ));
        }
        self.last = Some(at);
        let verb: String = fields.required("do")?;
        let expect = fields.optional("expect")?;
        let (verb, action) = self.action(&verb, &mut fields)?;
        fields.finish()?;
        self.read = self.read.saturating_add(1);
        Ok(Step {
            line,
            number: self.read,
            text: text.trim().to_owned(),
            at,
            verb,
            action,
            expect,
        })
    }

    fn action(
        &mut self,
        verb: &str,
        fields: &mut Fields,
    ) -> Result<(&'static str, Action), String> {
        Ok(match verb {
            "directory" => {
                let people = fields.optional("people")?.unwrap_or_default();
                let profiles = fields.optional("profiles")?.unwrap_or_default();
                ("directory", Action::Directory { people, profiles })
            }
            "policy" => {
                let file = fields.required("file")?;
                ("policy", Action::Policy { file })
            }
            "attempt" => {
                let attempt = Action::Attempt {
                    who: fields.required("who")?,
                    profile: fields.required("profile")?,
                    mode: fields.optional("mode")?,
                    session_table: fields.optional("session_table")?,
                };
                ("attempt", attempt)
            }
            "request" => {
                let request = Action::Request {
                    who: fields.required("who")?,
                    profile: fields.required("profile")?,
                    duration: fields.required("duration")?,
                    why: fields.required("why")?,
                    ticket: fields.optional("ticket")?,
                    label: new_label(fields, &mut self.requests)?,
                };
                ("request", request)
            }
            "approve" => ("approve", self.decide(Decide::Approve, fields)?),
            "deny" => ("deny", self.decide(Decide::Deny, fields)?),
            "cancel" => ("cancel", self.decide(Decide::Cancel, fields)?),
            "revoke" => ("revoke", self.decide(Decide::Revoke, fields)?),
            "release" => ("release", self.decide(Decide::Release, fields)?),
            "pending" => {
                let who = fields.required("who")?;
                ("pending", Action::Pending { who })
            }
            "open" => {
                let who = fields.required("who")?;
                ("open", Action::Open { who })
            }
            "invoke" => ("invoke", self.invoke(fields)?),
            "review" => {
                let review = Action::Review {
                    who: fields.required("who")?,
                    emergency: old_label(fields, "emergency", &self.emergencies)?,
                    outcome: fields.required("outcome")?,
                    text: fields.required("text")?,
                };
                ("review", review)
            }
            "to_review" => ("to_review", Action::ToReview),
            "delete" => {
                let before = fields.required("before")?;
                ("delete", Action::Delete { before })
            }
            "close" => {
                let close = Action::Close {
                    who: fields.required("who")?,
                    emergency: old_label(fields, "emergency", &self.emergencies)?,
                    reason: fields.required("reason")?,
                };
                ("close", close)
            }
            "note" => {
                let about = if fields.has("emergency") {
                    About::Emergency(old_label(fields, "emergency", &self.emergencies)?)
                } else {
                    About::Request(old_label(fields, "request", &self.requests)?)
                };
                let note = Action::Note {
                    who: fields.required("who")?,
                    text: fields.required("text")?,
                    about,
                };
                ("note", note)
            }
            "expire" => ("expire", Action::Expire),
            "follow" => ("follow", Action::Follow),
            _ => return Err(format!("`do` is `{verb}`: write {VERBS}")),
        })
    }

    fn decide(&self, decision: Decide, fields: &mut Fields) -> Result<Action, String> {
        Ok(Action::Decide {
            decision,
            who: fields.required("who")?,
            request: old_label(fields, "request", &self.requests)?,
            reason: fields.optional("reason")?,
            idempotency_key: fields.optional("idempotency_key")?,
        })
    }

    fn invoke(&mut self, fields: &mut Fields) -> Result<Action, String> {
        // One user in `who`, or several in `together`.
        let who = if fields.has("together") {
            fields.required("together")?
        } else {
            vec![fields.required("who")?]
        };
        if who.is_empty() {
            return Err("`together` is empty: name the people who call at the same moment".into());
        }
        Ok(Action::Invoke {
            who,
            profile: fields.required("profile")?,
            duration: fields.required("duration")?,
            reason_code: fields.required("reason_code")?,
            why: fields.required("why")?,
            ticket: fields.optional("ticket")?,
            proof: fields.optional("proof")?,
            override_by: fields.optional("override_by")?,
            override_reason: fields.optional("override_reason")?,
            label: new_label(fields, &mut self.emergencies)?,
        })
    }
}

fn new_label(fields: &mut Fields, labels: &mut BTreeSet<String>) -> Result<String, String> {
    let label: String = fields.required("as")?;
    if !labels.insert(label.clone()) {
        return Err(format!(
            "`as` is `{label}`, which an earlier line has: choose another label"
        ));
    }
    Ok(label)
}

fn old_label(
    fields: &mut Fields,
    name: &'static str,
    labels: &BTreeSet<String>,
) -> Result<String, String> {
    let label: String = fields.required(name)?;
    // `outage/dana` is what dana declared in the step labelled `outage`.
    let step = label.split('/').next().unwrap_or_default();
    if !labels.contains(step) {
        return Err(format!(
            "`{name}` is `{label}`, which no earlier line has: label that line with `as`"
        ));
    }
    Ok(label)
}
