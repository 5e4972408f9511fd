//! What is probably wrong with approval rules that are well formed: requests that nobody can
//! approve, rules that never apply.
//!
//! - Every [`Finding`] has a witness, which the rules themselves have been asked about: a profile,
//!   and a requester where it depends on who asks.
//! - The rules do not know for which profiles a policy demands approval.
//!   [`ApprovalPolicy::lint_for`] is told; [`ApprovalPolicy::lint`] says what is wrong whatever is
//!   demanded.
//! - An approver is a name. Whether such a user still exists is not known here.

use std::collections::HashMap;
use std::fmt;

use countersign_core::names::{Profile, User};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::approval_policy::ApprovalPolicy;
use crate::rule::ApprovalRule;

impl ApprovalPolicy {
    /// Looks for rules that do not do what their author probably meant. Findings are in the order
    /// of the rules.
    ///
    /// ```
    /// use countersign_request::ApprovalPolicy;
    ///
    /// let policy: ApprovalPolicy = r#"{"version": "1", "rules": [
    ///     {"name": "prod", "profiles": ["prod"], "approvers": ["bob", "BOB"]},
    ///     {"name": "prod again", "profiles": ["prod"], "approvers": ["carol"]}
    /// ]}"#.parse()?;
    /// let told: Vec<String> = policy.lint().iter().map(|finding| finding.to_string()).collect();
    /// assert_eq!(told, [
    ///     "only-own-request: rule 0 `prod`: nobody can approve what `bob` requests, such as `prod`: \
    ///      the other approvers are not enough",
    ///     "unreachable-rule: rule 1 `prod again` never applies: rule 0 `prod` applies to `prod`, \
    ///      as earlier rules do to all its profiles",
    /// ]);
    /// # Ok::<(), countersign_request::DocumentError>(())
    /// ```
    pub fn lint(&self) -> Vec<Finding> {
        let mut firsts: HashMap<&Profile, usize> = HashMap::new();
        let mut for_all = None;
        let mut findings = Vec::new();
        for (index, rule) in self.rules().iter().enumerate() {
            let first = |profile: &Profile| {
                let named = firsts.get(profile).copied();
                named.into_iter().chain(for_all).min()
            };
            let taken = match rule.profiles() {
                // Profiles that no rule names reach the first rule for all.
                None => for_all.map(|by| (by, self.unnamed())),
                Some(profiles) => {
                    let mut taken = profiles
                        .iter()
                        .map(|profile| Some((first(profile)?, profile)));
                    let witness = taken.next().flatten();
                    witness
                        .filter(|_| taken.all(|taken| taken.is_some()))
                        .map(|(by, profile)| (by, Some(profile.clone())))
                }
            };
            match taken {
                Some((by, Some(profile))) => findings.extend(self.unreachable(index, by, profile)),
                Some((_, None)) => {}
                None => findings.extend(self.only_own(index)),
            }
            match rule.profiles() {
                None => for_all = for_all.or(Some(index)),
                Some(profiles) => {
                    for profile in profiles {
                        firsts.entry(profile).or_insert(index);
                    }
                }
            }
        }
        findings
    }

    /// As [`lint`](ApprovalPolicy::lint), and looks for profiles among those for which approval is
    /// demanded that no rule is for, so that nobody can approve a request. These findings come
    /// last, in the order of `profiles`.
    ///
    /// ```
    /// use countersign_request::{ApprovalPolicy, FindingKind, Profile};
    ///
    /// let policy: ApprovalPolicy = r#"{"version": "1", "rules": [
    ///     {"name": "prod", "profiles": ["prod"], "approvers": ["bob", "carol"]}
    /// ]}"#.parse()?;
    /// let demanded = [Profile::new("prod")?, Profile::new("staging")?];
    /// let findings = policy.lint_for(&demanded);
    /// assert_eq!(findings.len(), 1);
    /// assert_eq!(findings[0].profile.as_str(), "staging");
    /// assert_eq!(findings[0].kind, FindingKind::NobodyCanApprove);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lint_for<'p>(&self, profiles: impl IntoIterator<Item = &'p Profile>) -> Vec<Finding> {
        let profiles = profiles.into_iter();
        let without = profiles.filter(|profile| self.rule_for(profile).is_none());
        let mut findings = self.lint();
        findings.extend(without.map(|profile| Finding {
            kind: FindingKind::NobodyCanApprove,
            profile: profile.clone(),
        }));
        findings
    }

    fn unreachable(&self, index: usize, by: usize, profile: Profile) -> Option<Finding> {
        let kind = FindingKind::UnreachableRule {
            rule: self.place(index)?,
            taken_by: self.place(by)?,
        };
        let applies = self.rule_for(&profile)?.name() == self.rules().get(by)?.name();
        applies.then_some(Finding { kind, profile })
    }

    /// The finding that the only approver of a rule cannot approve what they request themselves,
    /// unless the rule approves that without anybody at all times.
    fn only_own(&self, index: usize) -> Option<Finding> {
        let rule = self.rules().get(index)?;
        // One user may be named in several spellings, of which some need nobody.
        let requester = rule.approvers().iter().find(|approver| {
            let auto = rule.auto_approval();
            let without = rule.is_met_by(approver, rule.approvers());
            !without && !auto.is_some_and(|auto| auto.always_holds(approver))
        })?;
        let profile = match rule.profiles() {
            None => self.unnamed()?,
            Some(profiles) => {
                let applies = |profile: &&Profile| {
                    let first = self.rule_for(profile);
                    first.is_some_and(|first| first.name() == rule.name())
                };
                profiles.iter().find(applies)?.clone()
            }
        };
        let kind = FindingKind::OnlyOwnRequest {
            rule: self.place(index)?,
            requester: requester.clone(),
        };
        Some(Finding { kind, profile })
    }

    /// A profile that no rule names.
    fn unnamed(&self) -> Option<Profile> {
        let named = |profile: &Profile| {
            let mut rules = self.rules().iter();
            rules.any(|rule| {
                rule.profiles()
                    .is_some_and(|profiles| profiles.contains(profile))
            })
        };
        let numbers = 1..;
        let names = ["any-other".to_owned()].into_iter();
        let mut names = names.chain(numbers.map(|number: usize| format!("any-other-{number}")));
        // The names that rules have end some time.
        names.find_map(|name| Profile::new(name).ok().filter(|profile| !named(profile)))
    }

    fn place(&self, index: usize) -> Option<RulePlace> {
        let rule: &ApprovalRule = self.rules().get(index)?;
        Some(RulePlace {
            index,
            name: rule.name().to_owned(),
        })
    }
}

/// Something that is probably wrong with approval rules, and a profile that shows it.
///
/// Shown in one line; serialised as one flat object with the line as `message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// A profile that shows it.
    pub profile: Profile,
}

/// What a [`Finding`] is about.
///
/// ```
/// use countersign_request::FindingKind;
///
/// assert_eq!(FindingKind::NobodyCanApprove.code(), "nobody-can-approve");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindingKind {
    /// Approval is demanded for the profile and no rule is for it. Write one, or demand none.
    NobodyCanApprove,
    /// The requester is the only approver of the rule, however often their name is written, and
    /// nobody approves their own request. Name another approver.
    OnlyOwnRequest {
        /// The rule.
        rule: RulePlace,
        /// The approver who could only approve their own request.
        requester: User,
    },
    /// Earlier rules apply to every profile that the rule is for. Remove it, or put it before them.
    UnreachableRule {
        /// The rule.
        rule: RulePlace,
        /// The one that applies to the profile that shows it.
        taken_by: RulePlace,
    },
}

impl FindingKind {
    /// What the kind is called in reports, for good: `nobody-can-approve`, `only-own-request`,
    /// `unreachable-rule`.
    pub fn code(&self) -> &'static str {
        match self {
            FindingKind::NobodyCanApprove => "nobody-can-approve",
            FindingKind::OnlyOwnRequest { .. } => "only-own-request",
            FindingKind::UnreachableRule { .. } => "unreachable-rule",
        }
    }

    /// The rule that it is about; none if it is that there is no rule.
    pub fn rule(&self) -> Option<&RulePlace> {
        match self {
            FindingKind::NobodyCanApprove => None,
            FindingKind::OnlyOwnRequest { rule, .. } => Some(rule),
            FindingKind::UnreachableRule { rule, .. } => Some(rule),
        }
    }
}

/// Which rule of an [`ApprovalPolicy`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RulePlace {
    /// The rule's place in the document, counted from 0.
    pub index: usize,
    /// The rule's name.
    pub name: String,
}

impl fmt::Display for RulePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} `{}`", self.index, self.name)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, profile) = (self.kind.code(), &self.profile);
        match &self.kind {
            FindingKind::NobodyCanApprove => {
                write!(
                    f,
                    "{code}: approval is demanded for `{profile}`, and no rule is for it"
                )
            }
            FindingKind::OnlyOwnRequest { rule, requester } => write!(
                f,
                "{code}: {rule}: nobody can approve what `{requester}` requests, such as \
                 `{profile}`: the other approvers are not enough"
            ),
            FindingKind::UnreachableRule { rule, taken_by } => write!(
                f,
                "{code}: {rule} never applies: {taken_by} applies to `{profile}`, as earlier rules \
                 do to all its profiles"
            ),
        }
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (requester, other) = match &self.kind {
            FindingKind::NobodyCanApprove => (None, None),
            FindingKind::OnlyOwnRequest { requester, .. } => (Some(requester), None),
            FindingKind::UnreachableRule { taken_by, .. } => (None, Some(taken_by)),
        };
        let mut object = serializer.serialize_struct("Finding", 6)?;
        object.serialize_field("code", self.kind.code())?;
        object.serialize_field("rule", &self.kind.rule())?;
        object.serialize_field("taken_by", &other)?;
        object.serialize_field("profile", &self.profile)?;
        object.serialize_field("requester", &requester)?;
        object.serialize_field("message", &format_args!("{self}"))?;
        object.end()
    }
}
