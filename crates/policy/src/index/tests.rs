//! What the index takes, whatever the document looks like.

use super::*;
use crate::document::{ConditionsDocument, PolicyDocument, RuleDocument};
use crate::policy::Policy;

impl Index {
    fn heap_bytes(&self) -> usize {
        self.subjects.heap_bytes()
            + self.objects.heap_bytes()
            + self.cells.heap_bytes()
            + self.wide.heap_bytes()
    }
}

/// A policy of `rules` rules that list `people` and `profiles`, of so many that there are.
fn policy(rules: usize, people: [usize; 2], profiles: [usize; 2]) -> Policy {
    let names = |kind: &str, rule: usize, [listed, known]: [usize; 2]| {
        // A step that shares no factor with what is known brings every name in turn.
        let names = (0..listed).map(|name| format!("{kind}{}", (rule * 7_919 + name) % known));
        Some(names.collect())
    };
    let rules = (0..rules).map(|rule| RuleDocument {
        name: format!("rule {rule}"),
        effect: "allow".to_owned(),
        conditions: ConditionsDocument {
            users: names("user", rule, people),
            profiles: names("profile", rule, profiles),
            mode: (rule % 2 == 0).then(|| vec!["cli".to_owned()]),
            ..ConditionsDocument::default()
        },
        reason: None,
        hard: None,
        max_server_duration: None,
        session_table: None,
    });
    let document = PolicyDocument {
        version: "1".to_owned(),
        rules: rules.collect(),
    };
    Policy::try_from(document).unwrap()
}

#[test]
fn the_index_takes_at_most_64_bytes_for_each_name_listed() {
    let all = usize::MAX;
    for (rules, people, profiles) in [
        (4_000, [1, 1_000], [1, 20]),
        (4_000, [1, all], [1, all]),
        (1_000, [4, all], [4, all]),
        (1_000, [4, 1_000], [4, 50]),
        (1_000, [5, all], [5, all]),
        (100, [5, all], [5, all]),
        (190, [5, all], [5, all]),
        (200, [5, all], [5, all]),
        (40, [60, all], [60, all]),
        (1_000, [1, all], [60, all]),
        (1_000, [100, 1_000], [10, 100]),
        (1_000, [100, 10_000], [10, 1_000]),
        (1, [1_000, all], [1_000, all]),
        (11, [1, all], [1, all]),
    ] {
        let policy = policy(rules, people, profiles);
        let names: usize = policy.rules().iter().map(names_listed).sum();
        let index = Index::build(policy.rules(), names_of(&policy)).unwrap();
        let bytes = index.heap_bytes();
        println!(
            "{rules} rules of {} people and {} profiles: {} bytes a name",
            people[0],
            profiles[0],
            bytes / names
        );
        assert!(
            bytes <= 64 * names + 64,
            "{bytes} bytes for {names} names of {rules} rules"
        );
    }
}

/// The names of a policy, as its compilation collects them.
fn names_of(policy: &Policy) -> Names {
    let mut names = Names::default();
    for rule in policy.rules() {
        let conditions = rule.conditions();
        names
            .people
            .extend(conditions.users().into_iter().flatten().cloned());
        names
            .profiles
            .extend(conditions.profiles().into_iter().flatten().cloned());
    }
    names
}

#[test]
fn few_rules_with_few_names_are_asked_one_by_one() {
    let index = |policy: &Policy| Index::build(policy.rules(), names_of(policy));
    assert!(index(&policy(3, [2, 100], [2, 100])).is_none());
    assert!(index(&policy(4, [1, 100], [1, 100])).is_some());
    assert!(index(&policy(3, [2, 100], [3, 100])).is_some());
}
