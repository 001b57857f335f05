//! Leases within one process. They need no extending: whoever holds one and
//! dies takes the process, and the leases with it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::leases::{Hold, Lease, Leases};

/// The memory home of [`Leases`].
#[derive(Debug, Default)]
pub struct MemoryLeases {
    held: Arc<Mutex<HashSet<Arc<str>>>>,
}

#[async_trait]
impl Leases for MemoryLeases {
    async fn try_acquire(&self, key: &str, _ttl: Duration) -> Result<Option<Lease>, StoreError> {
        let key: Arc<str> = key.into();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let free = held.insert(key.clone());
        Ok(free.then(|| {
            Lease::new(Box::new(Held {
                held: self.held.clone(),
                key,
            }))
        }))
    }
}

struct Held {
    held: Arc<Mutex<HashSet<Arc<str>>>>,
    key: Arc<str>,
}

impl Hold for Held {
    fn is_lost(&self) -> bool {
        false
    }

    fn release(self: Box<Self>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.remove(&self.key);
    }
}
