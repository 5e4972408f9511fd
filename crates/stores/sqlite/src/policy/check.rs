//! What `verify` looks at in the store of policies: the ledger says which versions are kept, and
//! each of them is compared with it.

use std::collections::BTreeMap;

use countersign_core::version::Version;
use rusqlite::Connection;

use super::{LEDGER, stored};
use crate::error::{EngineError, Failure};
use crate::ledger::{Head, Sum, Tip};
use crate::report::{Findings, Place, Report};
use crate::verify::{check_file, walk_ledger};

/// Verifies the store of policies.
pub(crate) fn verify(connection: &Connection, known: Option<&Head>) -> Result<Report, Failure> {
    let mut findings = Findings::default();
    let mut tip = Tip::START;
    let mut count = 0;
    // What is kept of each name, by the ledger: version and digest of each policy.
    let mut kept: BTreeMap<String, BTreeMap<Version, Sum>> = BTreeMap::new();
    check_file(connection, &mut findings)?;

    let mut walk = || {
        let columns = "position, version, action, kept_from, name, digest, head FROM policy_ledger";
        tip = walk_ledger(
            connection,
            &LEDGER,
            columns,
            known,
            &mut findings,
            |line, _| {
                if line.action == "deleted" {
                    kept.remove(&line.id);
                } else {
                    let versions = kept.entry(line.id).or_default();
                    versions.insert(line.version, line.digest);
                    versions.retain(|version, _| version.as_nanos() >= line.record);
                }
                Ok(())
            },
        )?;
        let mut statement = connection.prepare("SELECT name, version FROM policy")?;
        let mut rows = statement.query([])?;
        let mut current = BTreeMap::new();
        while let Some(row) = rows.next()? {
            current.insert(row.get::<_, String>(0)?, Version::from_nanos(row.get(1)?));
        }
        for (name, versions) in &kept {
            let last = versions.last_key_value().map(|(version, _)| *version);
            if current.remove(name) != last {
                let problem = "it is not at the version that the ledger had put last";
                findings.add(Some(&format!("policy `{name}`")), Place::Row, problem);
            }
        }
        for name in current.keys() {
            let problem = "the ledger has no such policy";
            findings.add(Some(&format!("policy `{name}`")), Place::Row, problem);
        }
        Ok(())
    };
    let walked = walk();
    findings.damage(walked)?;

    let mut look = || {
        let mut statement = connection.prepare(
            "SELECT name, version, digest, document FROM policy_version ORDER BY version",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            count += 1;
            let stored = match stored(row) {
                Ok(stored) => stored,
                Err(Failure {
                    source: EngineError::Record { place, found },
                    ..
                }) => {
                    findings.add(Some(&place), Place::Row, format!("it holds {found}"));
                    if let Some(versions) = kept.get_mut(&row.get::<_, String>(0)?) {
                        versions.remove(&Version::from_nanos(row.get(1)?));
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (name, version) = (&*stored.name, stored.version);
            let expected = kept.get_mut(name).and_then(|kept| kept.remove(&version));
            let problem = match expected {
                Some(expected) if expected == *stored.digest().as_bytes() => continue,
                Some(_) => "it was changed: its digest is not the ledger's",
                None => "it was added: the ledger does not have it, or not any more",
            };
            let place = Place::Entry { version };
            findings.add(Some(&format!("policy `{name}`")), place, problem);
        }
        for (name, versions) in &kept {
            for version in versions.keys() {
                let place = Place::Entry { version: *version };
                let problem = "it was dropped: the ledger has it";
                findings.add(Some(&format!("policy `{name}`")), place, problem);
            }
        }
        Ok(())
    };
    let looked = look();
    findings.damage(looked)?;
    let head = Head::new(LEDGER.store, tip.position, tip.head);
    Ok(findings.into_report(head, count, tip.position.unsigned_abs()))
}
