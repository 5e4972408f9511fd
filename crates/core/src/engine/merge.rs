//! The records of several keys in one order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::{Range, Rank, Reads, Record, Start};

/// How many records of one key are read at once where those of several are merged.
const READ_AHEAD: usize = 16;

/// The first `limit` records of these sources, each of which gives its own in order.
pub(crate) fn merge<R: Record, F>(
    mut sources: Vec<impl Iterator<Item = Result<(Rank, Arc<R>), F>>>,
    limit: usize,
) -> Result<Vec<Arc<R>>, F> {
    // The next of each source: no two have the same rank and id.
    let mut heads = BTreeMap::new();
    let count = sources.len();
    let mut next = |number: usize| -> Result<_, F> {
        let next = sources.get_mut(number).and_then(Iterator::next);
        Ok(next.transpose()?.map(|(rank, record)| {
            let place = (Reverse(rank), record.id());
            (place, (number, record))
        }))
    };
    for number in 0..count {
        heads.extend(next(number)?);
    }
    let mut merged = Vec::new();
    while merged.len() < limit {
        let Some((_, (number, record))) = heads.pop_first() else {
            break;
        };
        merged.push(record);
        heads.extend(next(number)?);
    }
    Ok(merged)
}

/// The records with one key, read a few at a time.
pub(super) struct Source<'a, R: Record, V: ?Sized> {
    view: &'a V,
    key: &'a R::Key,
    rest: Range<R::Id>,
    ahead: usize,
    ready: VecDeque<(Rank, Arc<R>)>,
    is_done: bool,
}

impl<'a, R: Record, V: Reads<R> + ?Sized> Source<'a, R, V> {
    pub(super) fn new(view: &'a V, key: &'a R::Key, rest: Range<R::Id>, limit: usize) -> Self {
        Self {
            view,
            key,
            rest,
            ahead: READ_AHEAD.min(limit),
            ready: VecDeque::new(),
            is_done: false,
        }
    }

    fn read_on(&mut self) -> Result<(), V::Error> {
        let Self { ready, ahead, .. } = self;
        self.view
            .scan(self.key, self.rest.clone(), *ahead, |rank, record| {
                ready.push_back((rank, Arc::clone(record)));
                if ready.len() < *ahead {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
        self.is_done = self.ready.len() < self.ahead;
        if let Some((rank, last)) = self.ready.back() {
            self.rest.start = Start::After(*rank, last.id());
        }
        Ok(())
    }
}

impl<R: Record, V: Reads<R> + ?Sized> Iterator for Source<'_, R, V> {
    type Item = Result<(Rank, Arc<R>), V::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.is_empty() && !self.is_done {
            if let Err(error) = self.read_on() {
                return Some(Err(error));
            }
        }
        self.ready.pop_front().map(Ok)
    }
}
