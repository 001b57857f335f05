//! One automaton for each set of rules that some policy may block.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::facts::{PatternError, Prefixes};

/// Sets that are kept. There are as many as policies times directions; requests
/// that suppress rules of their own make others.
const MAX_SETS: usize = 32;

/// What to look for in a text before it is shown.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    /// The beginnings of everything that may be blocked.
    pub(crate) prefixes: Option<Prefixes>,
    /// The rules among them whose matches count only near something.
    pub(crate) near: Vec<usize>,
    /// Why there is no automaton over their beginnings. Everything is held then, as
    /// long as anything may be.
    pub(crate) refused: Option<PatternError>,
}

/// What is watched, by the numbers of its rules.
#[derive(Debug, Default)]
pub(crate) struct Watches(Mutex<HashMap<Vec<usize>, Arc<Watched>>>);

impl Watches {
    /// What is watched for these rules, made by `build` when it is not there.
    pub(crate) fn get(
        &self,
        rules: Vec<usize>,
        build: impl FnOnce(&[usize]) -> Watched,
    ) -> Arc<Watched> {
        let mut sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = sets.get(&rules) {
            return set.clone();
        }
        if sets.len() >= MAX_SETS {
            sets.clear();
        }
        let built = Arc::new(build(&rules));
        sets.insert(rules, built.clone());
        built
    }
}
