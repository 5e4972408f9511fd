//! What is left of a region when rules have taken their part of it.
//!
//! A hostile policy can make this as hard as any puzzle, so all of it is done within an [`Effort`].

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::Region;

/// How much work may still be done. A unit is about ten nanoseconds.
#[derive(Debug)]
pub(crate) struct Effort(u64);

/// The effort is spent and nothing is known.
#[derive(Debug)]
pub(crate) struct Exhausted;

impl Effort {
    pub(crate) fn new(units: u64) -> Self {
        Self(units)
    }

    pub(crate) fn spend(&mut self, units: usize) -> Result<(), Exhausted> {
        let units = u64::try_from(units).unwrap_or(u64::MAX);
        self.0 = self.0.checked_sub(units).ok_or(Exhausted)?;
        Ok(())
    }

    /// Takes at most this much of it, to be [given back](Effort::give_back) what is left.
    pub(crate) fn portion(&mut self, units: u64) -> Effort {
        let units = units.min(self.0);
        self.0 -= units;
        Effort(units)
    }

    pub(crate) fn give_back(&mut self, portion: Effort) {
        self.0 += portion.0;
    }
}

/// What a caller wants to know of the part that no rule takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Some region of it.
    Any,
    /// Regions that are all of it.
    All,
}

/// What [`outside`] found.
#[derive(Debug)]
pub(crate) struct Outside<B> {
    /// What the visitor stopped with; none if it has seen everything.
    pub(crate) stopped: Option<B>,
    /// The places in the list of the rules that took something; if nothing is left, these rules
    /// cover the region.
    pub(crate) took: BTreeSet<usize>,
}

/// Visits the part of `region` that none of `rules` takes, in pieces, until the visitor breaks.
///
/// Every piece is outside all rules and not empty, and within one zone it holds a query for
/// certain. With [`Wanted::All`] the pieces are the whole part. With [`Wanted::Any`] there is a
/// piece if there is a part: there, groups that no clause of the region names are taken not to be
/// had, which loses nothing because fewer groups never match more rules.
pub(crate) fn outside<B>(
    region: Region,
    rules: &[&Region],
    wanted: Wanted,
    effort: &mut Effort,
    mut visit: impl FnMut(&Region, &mut Effort) -> Result<ControlFlow<B>, Exhausted>,
) -> Result<Outside<B>, Exhausted> {
    let mut took = BTreeSet::new();
    if let Some(whole) = whole(&region, rules, effort)? {
        took.insert(whole);
        return Ok(Outside {
            stopped: None,
            took,
        });
    }
    // A piece has been held against all rules before its place. Depth first: a piece that has
    // passed many rules is close to being a result.
    let mut pieces = vec![(region, 0)];
    let mut parts = Vec::new();
    while let Some((piece, from)) = pieces.pop() {
        let later = rules.iter().enumerate().skip(from);
        let mut taker = None;
        for (place, rule) in later {
            effort.spend(1 + piece.cost_to_compare(rule))?;
            let takes = piece.meets(rule) && (wanted == Wanted::All || piece.is_hindered_by(rule));
            if takes {
                taker = Some((place, rule));
                break;
            }
        }
        let Some((place, rule)) = taker else {
            if let ControlFlow::Break(result) = visit(&piece, effort)? {
                return Ok(Outside {
                    stopped: Some(result),
                    took,
                });
            }
            continue;
        };
        took.insert(place);
        effort.spend(20 + (piece.listed() + rule.listed()) / 4)?;
        piece.minus(rule, &mut parts);
        pieces.extend(parts.drain(..).rev().map(|part| (part, place + 1)));
    }
    Ok(Outside {
        stopped: None,
        took,
    })
}

/// The place of the first rule that takes the whole region by itself.
fn whole(
    region: &Region,
    rules: &[&Region],
    effort: &mut Effort,
) -> Result<Option<usize>, Exhausted> {
    for (place, rule) in rules.iter().enumerate() {
        effort.spend(1 + region.cost_to_compare(rule))?;
        if region.within(rule) {
            return Ok(Some(place));
        }
    }
    Ok(None)
}
