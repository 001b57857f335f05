//! What one revision of the configuration made.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tidegate_engine::{Caller, Engine, InForce};

use super::GateSettings;
use super::keyring::KeyRing;
use super::reload::Fact;

/// One revision at work. A request keeps the one that it came under until its
/// answer begins, and from there on what a stream still needs of it.
#[derive(Debug)]
pub(crate) struct Live {
    /// The request paths.
    pub(crate) engine: Engine,
    /// Settings of the HTTP edge.
    pub(crate) settings: GateSettings,
    /// Who may come in.
    pub(crate) keys: KeyRing,
    /// Every setting in force.
    pub(crate) facts: Vec<Fact>,
    /// Counts from 1; every reload that is applied adds one.
    pub(crate) revision: u64,
}

/// The revision that new requests come under.
#[derive(Debug)]
pub(crate) struct Current(ArcSwap<Live>);

impl Current {
    pub(crate) fn new(live: Live) -> Self {
        Self(ArcSwap::from_pointee(live))
    }

    /// Lets every request that begins from now on come under another revision.
    /// Those under way keep theirs.
    pub(super) fn swap(&self, live: Live) {
        self.0.store(Arc::new(live));
    }

    /// The revision for a request that begins now.
    pub(crate) fn load(&self) -> Arc<Live> {
        self.0.load_full()
    }
}

/// What background tasks run on: they outlive the revision that they were
/// submitted under.
impl InForce for Current {
    fn engine(&self) -> Engine {
        self.load().engine.clone()
    }

    fn caller(&self, tenant: &str, policy: Option<&str>) -> Option<Caller> {
        self.load().keys.on_behalf(tenant, policy)
    }
}
