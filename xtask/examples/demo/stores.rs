//! Where policies, requests and emergencies are kept: in memory, or in a file.
//!
//! The only place that knows which. The cache of policies and both workflows take any store, so the
//! step from memory to a file is another constructor.

use std::sync::Arc;

use countersign_breakglass as breakglass;
use countersign_policy as policy;
use countersign_policy::Clock;
use countersign_request as request;
use countersign_sqlite::{Database, EmergencyStore, PolicyStore, RequestStore};
use serde::{Deserialize, Serialize};

/// The stores of all three crates.
pub struct Stores {
    pub policies: Arc<dyn policy::Store>,
    pub requests: Arc<dyn request::Store>,
    pub emergencies: Arc<dyn breakglass::Store>,
    /// Those of both workflows in a file, for what only a file has.
    ledgers: Option<(RequestStore, EmergencyStore)>,
}

/// How many entries the ledgers of both workflows have in a file. An entry stays whatever is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entries {
    pub requests: u64,
    pub emergencies: u64,
}

impl Stores {
    /// Stores that last as long as the program.
    pub fn in_memory(clock: &Arc<dyn Clock>) -> Self {
        Self {
            policies: Arc::new(policy::InMemory::new(Arc::clone(clock))),
            requests: Arc::new(request::InMemory::new(Arc::clone(clock))),
            emergencies: Arc::new(breakglass::InMemory::new(Arc::clone(clock))),
            ledgers: None,
        }
    }

    /// Stores in a file.
    pub fn of_file(database: &Database, clock: &Arc<dyn Clock>) -> Self {
        let requests = RequestStore::new(database, Arc::clone(clock));
        let emergencies = EmergencyStore::new(database, Arc::clone(clock));
        Self {
            policies: Arc::new(PolicyStore::new(database, Arc::clone(clock))),
            requests: Arc::new(requests.clone()),
            emergencies: Arc::new(emergencies.clone()),
            ledgers: Some((requests, emergencies)),
        }
    }

    /// How many entries the ledger of requests has; none in memory, where there is no ledger.
    pub async fn requests_written(&self) -> Result<Option<u64>, request::Error> {
        match &self.ledgers {
            None => Ok(None),
            Some((requests, _)) => Ok(Some(requests.head().await?.position())),
        }
    }

    /// How many entries the ledger of emergencies has; none in memory.
    pub async fn emergencies_written(&self) -> Result<Option<u64>, breakglass::Error> {
        match &self.ledgers {
            None => Ok(None),
            Some((_, emergencies)) => Ok(Some(emergencies.head().await?.position())),
        }
    }
}
