//! One rule of an approval policy, checked: who approves, in which groups, and what it demands.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::names::{NameError, Profile, User, check_length};
use countersign_core::window::Window;
use countersign_core::window::duration::DurationText;

use crate::document::{ApprovalGroupDocument, ApprovalRuleDocument, AutoApproveDocument, Problem};
use crate::quorum::{MAX_GROUPS, Quorum};
use crate::refusal::Refusal;

/// One checked approval rule.
///
/// ```
/// use countersign_request::{ApprovalPolicy, User};
///
/// let policy: ApprovalPolicy = r#"{"version": "1", "rules": [{"name": "production", "groups": [
///     {"name": "security", "approvers": ["bob", "carol"], "threshold": 1},
///     {"name": "operations", "approvers": ["carol", "dave"], "threshold": 1}]}]}"#.parse()?;
/// let rule = &policy.rules()[0];
/// let (alice, bob, carol) = ("alice".parse()?, "bob".parse()?, "carol".parse()?);
/// assert!(!rule.is_met_by(&alice, [&carol]), "she counts for one group only");
/// assert!(rule.is_met_by(&alice, [&carol, &bob]), "he for security, she for operations");
/// assert!(!rule.is_met_by(&bob, [&carol, &bob]), "the requester never counts");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRule {
    name: Arc<str>,
    profiles: Option<Vec<Profile>>,
    approvers: Vec<User>,
    groups: Vec<ApprovalGroup>,
    /// None in the simple form: any one approver.
    quorum: Option<Quorum>,
    count_in_every_group: bool,
    revokers: Option<Vec<User>>,
    max_duration: Option<Duration>,
    decide_within: Option<Duration>,
    min_justification_characters: Option<u32>,
    ticket_required: bool,
    ends_with_policy: bool,
    auto_approval: Option<AutoApproval>,
}

impl ApprovalRule {
    /// What the rule is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// The profiles that the rule is for; every profile if none.
    pub fn profiles(&self) -> Option<&[Profile]> {
        self.profiles.as_deref()
    }

    /// Whether the rule is for this profile: it names it, or names none.
    pub fn applies_to(&self, profile: &Profile) -> bool {
        self.profiles
            .as_ref()
            .is_none_or(|profiles| profiles.contains(profile))
    }

    /// Who may decide: those of the simple form, of whom any one is enough, or the members of all
    /// groups, each once. Nobody approves their own request.
    pub fn approvers(&self) -> &[User] {
        &self.approvers
    }

    /// The groups that all must approve; empty in the simple form.
    pub fn groups(&self) -> &[ApprovalGroup] {
        &self.groups
    }

    /// Whether a user who is in several groups counts in each of them, not only in one.
    pub fn counts_in_every_group(&self) -> bool {
        self.count_in_every_group
    }

    /// Whether the rule names this user, exactly so spelt, as an approver.
    pub fn names_approver(&self, user: &User) -> bool {
        match &self.quorum {
            None => self.approvers.contains(user),
            Some(quorum) => quorum.names(user),
        }
    }

    /// The approvers who could approve a request of `requester`: all but themselves.
    pub fn approvers_for(&self, requester: &User) -> impl Iterator<Item = &User> {
        self.approvers
            .iter()
            .filter(|approver| !approver.same_user(requester))
    }

    /// Whether the approval of exactly these people is enough for a request of `requester`: in
    /// which order they approved makes no difference, and whom the rule does not name does not
    /// count.
    ///
    /// - A user counts once, under whatever spellings they are given, and the requester never.
    /// - A user in several groups counts for one of them, whichever helps most; for each if
    ///   [`ApprovalRule::counts_in_every_group`].
    pub fn is_met_by<'a>(
        &self,
        requester: &User,
        people: impl IntoIterator<Item = &'a User>,
    ) -> bool {
        let mut others = people.into_iter().filter(|user| !user.same_user(requester));
        match &self.quorum {
            None => others.any(|user| self.names_approver(user)),
            Some(quorum) => quorum.is_met(others),
        }
    }

    /// Who may take access back.
    pub fn revokers(&self) -> &[User] {
        self.revokers.as_deref().unwrap_or(&self.approvers)
    }

    /// Whether the rule lets this user, exactly so spelt, take access back.
    pub fn names_revoker(&self, user: &User) -> bool {
        match &self.revokers {
            None => self.names_approver(user),
            Some(revokers) => revokers.contains(user),
        }
    }

    /// The longest access; what the store's limits say if none, and never more than they say.
    pub fn max_duration(&self) -> Option<Duration> {
        self.max_duration
    }

    /// How long a request may wait for its decision; what the store's limits say if none, and
    /// never longer than they say.
    pub fn decide_within(&self) -> Option<Duration> {
        self.decide_within
    }

    /// The fewest characters of a justification; what the store's limits say if none, and never
    /// fewer than they say.
    pub fn min_justification_characters(&self) -> Option<u32> {
        self.min_justification_characters
    }

    /// Whether a request must name a ticket.
    pub fn ticket_required(&self) -> bool {
        self.ticket_required
    }

    /// Whether access ends when the access policy changes under which it was asked for.
    pub fn ends_with_policy(&self) -> bool {
        self.ends_with_policy
    }

    /// When nobody has to decide.
    pub fn auto_approval(&self) -> Option<&AutoApproval> {
        self.auto_approval.as_ref()
    }

    /// Whether a request is what the rule demands, whoever may approve it.
    pub(crate) fn check(
        &self,
        given: Duration,
        justification: &str,
        has_ticket: bool,
        is_pinned: bool,
    ) -> Result<(), Refusal> {
        if let Some(most) = self.max_duration.filter(|most| given > *most) {
            return Err(Refusal::TooLong {
                rule: self.shared_name(),
                given,
                most,
            });
        }
        let least = self.min_justification_characters.unwrap_or_default();
        let least = usize::try_from(least).unwrap_or(usize::MAX);
        check_length(justification, least, usize::MAX).map_err(|problem| {
            Refusal::Justification {
                rule: self.shared_name(),
                problem,
            }
        })?;
        if self.ticket_required && !has_ticket {
            return Err(Refusal::TicketRequired {
                rule: self.shared_name(),
            });
        }
        if self.ends_with_policy && !is_pinned {
            return Err(Refusal::NotPinned {
                rule: self.shared_name(),
            });
        }
        Ok(())
    }

    pub(crate) fn compile(rule: &ApprovalRuleDocument) -> Result<Self, (String, Problem)> {
        check_rule_name(&rule.name).map_err(|error| ("name".to_owned(), error.into()))?;
        let profiles = match &rule.profiles {
            None => None,
            Some(names) => Some(list(
                names,
                "profiles",
                |name| Profile::new(name),
                "leave it out for every profile",
            )?),
        };
        let (approvers, groups, quorum) = compile_approvers(rule)?;
        let revokers = match &rule.revokers {
            None => None,
            Some(names) => Some(list(
                names,
                "revokers",
                |name| User::new(name),
                "leave it out for the approvers",
            )?),
        };
        if rule.min_justification_characters == Some(0) {
            return Err(("min_justification_characters".into(), Problem::Zero));
        }
        let auto_approval = rule
            .auto_approve
            .as_ref()
            .map(AutoApproval::compile)
            .transpose()?;
        Ok(Self {
            name: rule.name.as_str().into(),
            profiles,
            approvers,
            groups,
            quorum,
            count_in_every_group: rule.count_in_every_group.unwrap_or_default(),
            revokers,
            max_duration: length(rule.max_duration.as_ref(), "max_duration")?,
            decide_within: length(rule.decide_within.as_ref(), "decide_within")?,
            min_justification_characters: rule.min_justification_characters,
            ticket_required: rule.ticket_required.unwrap_or_default(),
            ends_with_policy: rule.ends_with_policy.unwrap_or_default(),
            auto_approval,
        })
    }
}

type Approvers = (Vec<User>, Vec<ApprovalGroup>, Option<Quorum>);

/// Who approves, in the one form or the other.
fn compile_approvers(rule: &ApprovalRuleDocument) -> Result<Approvers, (String, Problem)> {
    let Some(documents) = &rule.groups else {
        if rule.count_in_every_group.is_some() {
            return Err(("count_in_every_group".into(), Problem::WithoutGroups));
        }
        let fix = "name who may decide";
        let approvers = rule.approvers.as_ref();
        let approvers =
            approvers.ok_or_else(|| ("approvers".to_owned(), Problem::Missing { fix }))?;
        let approvers = list(approvers, "approvers", |name| User::new(name), fix)?;
        return Ok((approvers, Vec::new(), None));
    };
    let problem = |problem| Err(("groups".to_owned(), problem));
    if rule.approvers.is_some() {
        return problem(Problem::BothForms);
    }
    if documents.is_empty() {
        let fix = "name who may decide, in a group or in `approvers`";
        return problem(Problem::Empty { fix });
    }
    if documents.len() > MAX_GROUPS {
        return problem(Problem::TooManyGroups {
            groups: documents.len(),
            most: MAX_GROUPS,
        });
    }
    let (mut names, mut spellings) = (HashMap::new(), HashMap::new());
    let (mut approvers, mut groups) = (Vec::new(), Vec::new());
    for (index, document) in documents.iter().enumerate() {
        let group = ApprovalGroup::compile(document, index)?;
        if let Some(first) = names.insert(Arc::clone(&group.name), index) {
            let value = document.name.clone();
            let problem = Problem::DuplicateGroup { value, first };
            return Err((format!("groups[{index}].name"), problem));
        }
        for member in &group.approvers {
            match spellings.insert(member.case_folded(), member.clone()) {
                None => approvers.push(member.clone()),
                Some(first) if first == *member => {}
                Some(first) => {
                    let value = member.to_string();
                    let first = first.to_string();
                    let problem = Problem::TwoSpellings { value, first };
                    return Err((format!("groups[{index}].approvers"), problem));
                }
            }
        }
        groups.push(group);
    }
    let in_every_group = rule.count_in_every_group.unwrap_or_default();
    let each = groups
        .iter()
        .map(|group| (group.threshold, group.approvers.as_slice()));
    let quorum = Quorum::new(each, in_every_group);
    if !quorum.is_met(approvers.iter()) {
        return problem(Problem::CannotBeMet);
    }
    Ok((approvers, groups, Some(quorum)))
}

/// One group of approvers, of whom so many must approve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalGroup {
    name: Arc<str>,
    approvers: Vec<User>,
    threshold: u32,
}

impl ApprovalGroup {
    /// What the group is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who is in it, each once.
    pub fn approvers(&self) -> &[User] {
        &self.approvers
    }

    /// How many of them must approve: at least 1, at most all.
    pub fn threshold(&self) -> u32 {
        self.threshold
    }

    fn compile(document: &ApprovalGroupDocument, index: usize) -> Result<Self, (String, Problem)> {
        let field = |name: &str| format!("groups[{index}].{name}");
        check_rule_name(&document.name).map_err(|error| (field("name"), error.into()))?;
        let mut approvers = list(
            &document.approvers,
            &field("approvers"),
            |name| User::new(name),
            "name who is in the group",
        )?;
        let mut seen = std::collections::HashSet::new();
        approvers.retain(|approver| seen.insert(approver.clone()));
        let threshold = document.threshold.unwrap_or(1);
        let people = seen
            .iter()
            .map(User::case_folded)
            .collect::<std::collections::HashSet<_>>();
        let members = people.len();
        if threshold == 0 || usize::try_from(threshold).is_ok_and(|threshold| threshold > members) {
            return Err((
                field("threshold"),
                Problem::Threshold { threshold, members },
            ));
        }
        Ok(Self {
            name: document.name.as_str().into(),
            approvers,
            threshold,
        })
    }
}

/// When a rule approves by itself: all that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoApproval {
    users: Option<Vec<User>>,
    time: Option<Window>,
    max_duration: Option<Duration>,
}

impl AutoApproval {
    /// Whether a request of `requester` for `duration` is approved at `at`.
    pub fn holds(&self, requester: &User, duration: Duration, at: DateTime<Utc>) -> bool {
        self.users
            .as_ref()
            .is_none_or(|users| users.contains(requester))
            && self.time.as_ref().is_none_or(|window| window.contains(at))
            && self.max_duration.is_none_or(|most| duration <= most)
    }

    /// Whether it holds for every request of `requester`, at any time and however long.
    pub(crate) fn always_holds(&self, requester: &User) -> bool {
        let users = self.users.as_ref();
        users.is_some_and(|users| users.contains(requester))
            && self.time.is_none()
            && self.max_duration.is_none()
    }

    fn compile(document: &AutoApproveDocument) -> Result<Self, (String, Problem)> {
        let AutoApproveDocument {
            users,
            time,
            max_duration,
        } = document;
        if users.is_none() && time.is_none() && max_duration.is_none() {
            let fix = "name users, a time or a duration, or leave it out";
            return Err(("auto_approve".into(), Problem::Empty { fix }));
        }
        let users = match users {
            None => None,
            Some(names) => Some(list(
                names,
                "auto_approve.users",
                |name| User::new(name),
                "leave it out for anyone",
            )?),
        };
        let time = match time {
            None => None,
            Some(window) => Some(Window::try_from(window).map_err(|error| {
                let field = format!("auto_approve.time.{}", error.field());
                (field.trim_end_matches('.').to_owned(), error.into())
            })?),
        };
        let max_duration = length(max_duration.as_ref(), "auto_approve.max_duration")?;
        Ok(Self {
            users,
            time,
            max_duration,
        })
    }
}

/// Rule names meet what any name meets.
fn check_rule_name(name: &str) -> Result<(), NameError> {
    Profile::new(name).map(drop)
}

fn list<T>(
    names: &[String],
    field: &str,
    parse: impl Fn(&str) -> Result<T, NameError>,
    fix: &'static str,
) -> Result<Vec<T>, (String, Problem)> {
    if names.is_empty() {
        return Err((field.to_owned(), Problem::Empty { fix }));
    }
    let parse = |(place, name): (usize, &String)| {
        parse(name).map_err(|error| (format!("{field}[{place}]"), Problem::Name(error)))
    };
    names.iter().enumerate().map(parse).collect()
}

fn length(text: Option<&DurationText>, field: &str) -> Result<Option<Duration>, (String, Problem)> {
    text.map(|text| text.parse())
        .transpose()
        .map_err(|error| (field.to_owned(), error.into()))
}
