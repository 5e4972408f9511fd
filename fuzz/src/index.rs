//! Policies and queries made from bytes: a policy decides as its rules say one by one.
//!
//! Names are few, so that queries meet rules; lists are single names, a few, or long runs of
//! names, so that every way of finding a rule is taken.

use arbitrary::{Result, Unstructured};
use chrono::{DateTime, TimeDelta, Utc};
use countersign_policy::{
    ConditionsDocument, Effect, Group, HoursDocument, Mode, Policy, PolicyDocument, Profile, Query,
    RuleDocument, User, WindowDocument,
};

/// The rule that a policy decides by is the first of its rules that matches.
pub fn index(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok((document, queries)) = case(&mut bytes) else {
        return;
    };
    let policy = Policy::try_from(document).expect("a policy that is made well is refused");
    for query in queries {
        let walked = policy.rules().iter().position(|rule| rule.matches(&query));
        let decided = policy.decide(&query).rule().map(|rule| rule.index);
        assert_eq!(decided, walked, "the walk finds another rule for {query:?}");
    }
}

/// How many of the bytes say the queries; the others say the rules.
const QUERIES: u8 = 8;

fn case(bytes: &mut Unstructured<'_>) -> Result<(PolicyDocument, Vec<Query>)> {
    let queries = (0..QUERIES)
        .map(|_| query(bytes))
        .collect::<Result<Vec<_>>>()?;
    let mut rules = Vec::new();
    while rules.is_empty() || !bytes.is_empty() {
        rules.push(rule(rules.len(), bytes)?);
    }
    let version = "1".to_owned();
    Ok((PolicyDocument { version, rules }, queries))
}

fn rule(number: usize, bytes: &mut Unstructured<'_>) -> Result<RuleDocument> {
    let effect = *bytes.choose(&Effect::ALL)?;
    let mut conditions = ConditionsDocument {
        users: names("p", bytes)?,
        profiles: names("r", bytes)?,
        ..ConditionsDocument::default()
    };
    // One byte says which of the rarer conditions there are.
    let rarer: u8 = bytes.arbitrary()?;
    if rarer & 0b1001 == 0b1001 {
        conditions.groups = names("g", bytes)?;
    }
    if rarer & 0b1010 == 0b1010 {
        conditions.profile_groups = names("g", bytes)?;
    }
    if rarer & 0b1_0100 == 0b1_0100 {
        conditions.time = Some(window(bytes)?);
    }
    if rarer & 0b10_0100 == 0b10_0100 {
        let modes = &Mode::ALL;
        let mode = |mode: &Mode| mode.as_str().to_owned();
        conditions.mode = Some(vec![mode(bytes.choose(modes)?), mode(bytes.choose(modes)?)]);
    }
    if conditions == ConditionsDocument::default() {
        conditions.users = Some(vec!["p0".to_owned()]);
    }
    Ok(RuleDocument {
        name: format!("rule {number}"),
        effect: effect.as_str().to_owned(),
        conditions,
        reason: None,
        hard: None,
        max_server_duration: None,
        session_table: None,
    })
}

/// No list, or one of one name, of a few, or of many that follow one another.
fn names(kind: &str, bytes: &mut Unstructured<'_>) -> Result<Option<Vec<String>>> {
    let name = |number: u8| format!("{kind}{number}");
    let first: u8 = bytes.arbitrary()?;
    let list = match first % 8 {
        0 | 1 => return Ok(None),
        2..=5 => vec![name(first / 8)],
        6 => {
            let more = bytes.bytes(2)?.iter().map(|number| name(number % 32));
            std::iter::once(name(first / 8)).chain(more).collect()
        }
        _ => {
            let length: u8 = bytes.arbitrary()?;
            (0..=length % 40)
                .map(|step| name((first / 8).wrapping_add(step)))
                .collect()
        }
    };
    Ok(Some(list))
}

fn window(bytes: &mut Unstructured<'_>) -> Result<WindowDocument> {
    const DAYS: [&str; 3] = ["monday", "friday", "sunday"];
    const ZONES: [&str; 3] = ["Europe/London", "Australia/Lord_Howe", "America/St_Johns"];
    let hour = |hour: u8| format!("{:02}:30", hour % 24);
    let [days, start, length] = <[u8; 3]>::try_from(bytes.bytes(3)?).unwrap_or_default();
    let listed = DAYS.iter().enumerate();
    let listed = listed.filter(|(place, _)| days & (1 << place) != 0);
    let listed: Vec<String> = listed.map(|(_, day)| (*day).to_owned()).collect();
    Ok(WindowDocument {
        days: (!listed.is_empty()).then_some(listed),
        hours: Some(HoursDocument {
            start: hour(start),
            end: hour((start % 24) + 1 + length % 23),
        }),
        timezone: ZONES
            .get(usize::from(days / 64))
            .map(|zone| (*zone).to_owned()),
    })
}

fn query(bytes: &mut Unstructured<'_>) -> Result<Query> {
    let [user, profile, groups, profile_groups, how] =
        <[u8; 5]>::try_from(bytes.bytes(5)?).unwrap_or_default();
    let name = |kind: &str, number: u8| format!("{kind}{number}");
    let in_groups = |mask: u8| -> Vec<Group> {
        let numbers = (0..8).filter(|number| mask & (1 << number) != 0);
        let groups = numbers.map(|number| Group::new(name("g", number)));
        groups
            .collect::<std::result::Result<_, _>>()
            .expect("a group has no name")
    };
    let query = Query::new(
        User::new(name("p", user % 40)).expect("a user has no name"),
        Profile::new(name("r", profile % 40)).expect("a profile has no name"),
        at(bytes.arbitrary()?),
    );
    let query = query
        .with_groups(in_groups(groups))
        .with_profile_groups(in_groups(profile_groups));
    let query = match Mode::ALL.get(usize::from(how % 4)) {
        Some(mode) => query.with_mode(*mode),
        None => query,
    };
    Ok(query.with_session_table(if how & 4 == 0 { "" } else { "sessions" }))
}

/// A minute of the 45 days around the change to summer time in London.
fn at(minute: u16) -> DateTime<Utc> {
    let begin = DateTime::from_timestamp(1_772_409_600, 0).unwrap_or_default();
    begin + TimeDelta::minutes(minute.into())
}
