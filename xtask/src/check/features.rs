//! The sets of features under which a package is checked: none, all, and each feature alone.
//!
//! Two choices that turn on the same features are one set, so a package with one feature is checked
//! twice and not three times.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A choice of features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeatureSet {
    /// No feature, not even the default ones.
    None,
    /// Every feature.
    All,
    /// One feature and what it turns on.
    Alone(String),
}

impl FeatureSet {
    /// What cargo must be told.
    pub fn arguments(&self) -> Vec<String> {
        match self {
            FeatureSet::None => vec!["--no-default-features".into()],
            FeatureSet::All => vec!["--all-features".into()],
            FeatureSet::Alone(feature) => {
                vec![
                    "--no-default-features".into(),
                    "--features".into(),
                    feature.clone(),
                ]
            }
        }
    }
}

impl fmt::Display for FeatureSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FeatureSet::None => f.write_str("no features"),
            FeatureSet::All => f.write_str("all features"),
            FeatureSet::Alone(feature) => write!(f, "`{feature}` alone"),
        }
    }
}

/// The different sets for a package with these features.
pub fn sets(features: &BTreeMap<String, Vec<String>>) -> Vec<FeatureSet> {
    let mut choices = vec![(FeatureSet::None, BTreeSet::new())];
    choices.push((FeatureSet::All, turned_on(features, features.keys())));
    for feature in features.keys() {
        let on = turned_on(features, [feature]);
        choices.push((FeatureSet::Alone(feature.clone()), on));
    }
    let mut seen = BTreeSet::new();
    choices.retain(|(_, on)| seen.insert(on.clone()));
    choices.into_iter().map(|(set, _)| set).collect()
}

/// The features that are on once these are: what they turn on, and so forth.
pub fn turned_on<'f>(
    features: &'f BTreeMap<String, Vec<String>>,
    first: impl IntoIterator<Item = &'f String>,
) -> BTreeSet<&'f str> {
    let mut on = BTreeSet::new();
    let mut next: Vec<&str> = first.into_iter().map(String::as_str).collect();
    while let Some(feature) = next.pop() {
        // A value that is no feature (`dep:x`, `x/y`) turns on no feature of this package.
        let Some(values) = features.get(feature) else {
            continue;
        };
        if on.insert(feature) {
            next.extend(values.iter().map(String::as_str));
        }
    }
    on
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(list: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        list.iter()
            .map(|(name, values)| ((*name).to_owned(), owned(values)))
            .collect()
    }

    fn shown(list: &[(&str, &[&str])]) -> Vec<String> {
        sets(&features(list))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn no_features_is_one_set() {
        assert_eq!(shown(&[]), ["no features"]);
    }

    #[test]
    fn one_feature_alone_is_all_features() {
        assert_eq!(
            shown(&[("clock", &["dep:rustix"])]),
            ["no features", "all features"]
        );
    }

    #[test]
    fn each_of_several_features_is_tried_alone() {
        let sets = shown(&[("a", &["dep:x"]), ("b", &["y?/z"])]);
        assert_eq!(
            sets,
            ["no features", "all features", "`a` alone", "`b` alone"]
        );
    }

    #[test]
    fn choices_that_turn_on_the_same_are_one_set() {
        // `full` is all of them, and an empty `default` is `default` alone.
        let sets = shown(&[("default", &[]), ("a", &[]), ("full", &["a", "default"])]);
        assert_eq!(
            sets,
            [
                "no features",
                "all features",
                "`a` alone",
                "`default` alone"
            ]
        );
    }

    #[test]
    fn arguments_never_leave_the_default_features_on_by_accident() {
        let alone = FeatureSet::Alone("a".into());
        assert_eq!(
            alone.arguments(),
            ["--no-default-features", "--features", "a"]
        );
        assert_eq!(FeatureSet::None.arguments(), ["--no-default-features"]);
        assert_eq!(FeatureSet::All.arguments(), ["--all-features"]);
    }
}
