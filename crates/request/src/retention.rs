//! The rule by which a request is deleted.

use chrono::{DateTime, Utc};
use countersign_core::time::Now;

use crate::error::Error;
use crate::record::Request;

impl Request {
    /// Whether it may be deleted, with what else is asked for. For implementations of
    /// [`Store`](crate::Store), which ask in the step that deletes.
    ///
    /// # Errors
    /// [`Error::NotTerminal`] if it is not over; [`Error::Clock`] if the clock cannot be right, and
    /// [`Error::ClockJumped`] for an hour after it went forward by more than a day; then
    /// [`Error::Retained`] if it ended at `ended_before` or later.
    pub fn check_deletion(
        &self,
        now: &Now,
        ended_before: Option<DateTime<Utc>>,
    ) -> Result<(), Error> {
        let id = self.id;
        if !self.is_terminal(*now) {
            let status = self.status;
            return Err(Error::NotTerminal { id, status });
        }
        now.granting()?;
        if let Some(until) = now.deletes_from() {
            return Err(Error::ClockJumped { until });
        }
        match (ended_before, self.ended_at()) {
            (Some(before), Some(ended_at)) if !self.ended_before(before, now) => {
                Err(Error::Retained { id, ended_at })
            }
            _ => Ok(()),
        }
    }
}
