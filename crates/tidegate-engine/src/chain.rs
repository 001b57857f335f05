//! Model names and the entries that serve them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_provider::Provider;
use tokio::time::Instant;

use crate::config::{EntryConfig, ResilienceConfig};
use crate::entry::Entry;
use crate::line::Line;
use crate::standing::{Standings, Terms};

/// A model name with its entries, best first, and the line in front of them.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) name: String,
    pub(crate) entries: Vec<Arc<Entry>>,
    pub(crate) line: Arc<Line>,
}

impl Chain {
    /// Whether somebody waits here or is being served.
    fn is_busy(&self) -> bool {
        self.line.waiting() > 0
            || self
                .entries
                .iter()
                .any(|entry| entry.standing.slots.in_use() > 0)
    }

    /// Until the first entry may be asked again; zero where one may be now.
    pub(crate) fn cooldown(&self) -> Duration {
        let now = Instant::now().into_std();
        let cooldowns = self
            .entries
            .iter()
            .map(|entry| entry.standing.breaker.cooldown_remaining(now));
        cooldowns.min().unwrap_or_default()
    }

    /// The mean time of a successful call, at the entry that answers fastest.
    pub(crate) fn typical_latency(&self) -> Duration {
        let known = self
            .entries
            .iter()
            .filter_map(|entry| entry.standing.counters.mean_response());
        known.min().unwrap_or_default()
    }
}

/// All chains, and the entries that they share.
#[derive(Debug)]
pub(crate) struct Chains {
    /// In the order of the configuration.
    named: Vec<Arc<Chain>>,
    by_name: HashMap<String, usize>,
    /// The most particular first.
    wildcards: Vec<Wildcard>,
    entries: Mutex<HashMap<String, Arc<Entry>>>,
    providers: HashMap<String, Arc<dyn Provider>>,
    resilience: ResilienceConfig,
    pub(crate) standings: Arc<Standings>,
    /// Counts the configurations that followed each other.
    revision: u64,
}

/// The chains for names that are not listed and begin alike.
#[derive(Debug)]
struct Wildcard {
    /// Empty for every name.
    prefix: String,
    template: Vec<EntryConfig>,
    made: Mutex<HashMap<String, Arc<Chain>>>,
}

/// Names that the wildcard may make; a client that tries names at random must
/// not fill the memory.
const MOST_MADE: usize = 256;
/// The name, or the model, that stands for every name.
pub(crate) const ANY: &str = "*";

impl Chains {
    /// No chain yet; entries are to stand as they stood `before`.
    pub(crate) fn new(
        providers: HashMap<String, Arc<dyn Provider>>,
        resilience: ResilienceConfig,
        before: Option<&Self>,
    ) -> Self {
        let standings = before.map(|before| before.standings.clone());
        let standings = standings.unwrap_or_default();
        standings.forget_unused();
        Self {
            named: Vec::new(),
            by_name: HashMap::new(),
            wildcards: Vec::new(),
            entries: Mutex::new(HashMap::new()),
            providers,
            resilience,
            standings,
            revision: before.map_or(1, |before| before.revision + 1),
        }
    }

    /// Adds a chain whose entries' providers are known.
    pub(crate) fn add(&mut self, name: &str, entries: Vec<EntryConfig>, before: Option<&Self>) {
        if let Some(prefix) = name.strip_suffix(ANY) {
            self.wildcards.push(Wildcard {
                prefix: prefix.to_owned(),
                template: entries,
                made: Mutex::default(),
            });
            let length = |wildcard: &Wildcard| std::cmp::Reverse(wildcard.prefix.len());
            self.wildcards.sort_by_key(length);
            return;
        }
        let chain = self.make(name, &entries, before);
        self.by_name.insert(name.to_owned(), self.named.len());
        self.named.push(chain);
    }

    /// The chain that answers to a name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Chain>> {
        if let Some(position) = self.by_name.get(name) {
            return self.named.get(*position).cloned();
        }
        self.find_made(name, None)
    }

    /// Makes the chains that the wildcard had made `before` and somebody was
    /// answered under, so that what is known of their entries is not lost.
    /// Tells everybody who waits that there may be more room now.
    pub(crate) fn take_over(&self, before: &Self) {
        for chain in before.made() {
            let is_of_use = |entry: &Arc<Entry>| entry.standing.is_of_use();
            let is_named = self.by_name.contains_key(&chain.name) || chain.name.ends_with(ANY);
            if !is_named && (chain.is_busy() || chain.entries.iter().any(is_of_use)) {
                self.find_made(&chain.name, Some(before));
            }
        }
        for entry in self.entries() {
            entry.standing.ring();
        }
    }

    /// The chains that the wildcards have made.
    fn made(&self) -> Vec<Arc<Chain>> {
        let made = |wildcard: &Wildcard| {
            let made = wildcard.made.lock().unwrap_or_else(PoisonError::into_inner);
            made.values().cloned().collect::<Vec<_>>()
        };
        self.wildcards.iter().flat_map(made).collect()
    }

    /// The most particular wildcard that stands for a name.
    fn wildcard(&self, name: &str) -> Option<&Wildcard> {
        self.wildcards
            .iter()
            .find(|wildcard| name.starts_with(&wildcard.prefix))
    }

    /// A wildcard's chain for a name.
    fn find_made(&self, name: &str, before: Option<&Self>) -> Option<Arc<Chain>> {
        let wildcard = self.wildcard(name)?;
        // Entries that do not depend on the name need one chain for all names.
        let passes_on = wildcard.template.iter().any(|entry| entry.model == ANY);
        let shared = format!("{}{ANY}", wildcard.prefix);
        let name = if passes_on { name } else { &shared };
        let mut made = wildcard.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(chain) = made.get(name) {
            return Some(chain.clone());
        }
        if made.len() >= MOST_MADE {
            self.forget_unserved(&mut made);
        }
        if made.len() >= MOST_MADE {
            made.retain(|_, chain| chain.is_busy());
            self.forget_unheld();
        }
        if made.len() >= MOST_MADE {
            return None;
        }
        let chain = self.make(name, &wildcard.template, before);
        made.insert(name.to_owned(), chain.clone());
        Some(chain)
    }

    /// Gives up entries that no chain holds any more.
    fn forget_unheld(&self) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| Arc::strong_count(entry) > 1);
        drop(entries);
        self.standings.forget_unused();
    }

    /// Gives up names that nobody has ever been answered under, so that made-up
    /// ones do not keep out real ones.
    fn forget_unserved(&self, made: &mut HashMap<String, Arc<Chain>>) {
        made.retain(|_, chain| chain.entries.iter().any(|entry| entry.standing.is_of_use()));
        let named = |entry: &Arc<Entry>| {
            self.named
                .iter()
                .any(|chain| chain.entries.iter().any(|own| Arc::ptr_eq(own, entry)))
        };
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| entry.standing.is_of_use() || named(entry));
        self.standings.forget_unused();
    }

    /// The chain of a name that was asked for before or is configured.
    pub(crate) fn configured(&self, name: &str) -> Option<Arc<Chain>> {
        let named = self
            .by_name
            .get(name)
            .and_then(|position| self.named.get(*position));
        named.cloned().or_else(|| {
            let wildcard = self.wildcard(name)?;
            let made = wildcard.made.lock().unwrap_or_else(PoisonError::into_inner);
            made.get(name).cloned()
        })
    }

    /// One known entry as a chain of its own.
    pub(crate) fn entry_alone(&self, name: &str) -> Option<Arc<Chain>> {
        let known = self
            .entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned();
        let entry = known.or_else(|| self.entry_passed_on(name))?;
        let line = entry.standing.own_line.clone();
        Some(Arc::new(Chain {
            name: name.to_owned(),
            entries: vec![entry],
            line,
        }))
    }

    /// An entry that the wildcard stands for, before anybody asked for it.
    fn entry_passed_on(&self, name: &str) -> Option<Arc<Entry>> {
        let (provider, model) = name.split_once('/')?;
        let chain = self.find(model)?;
        let own = |entry: &&Arc<Entry>| *entry.name == *name && entry.model == model;
        let known = self.providers.contains_key(provider);
        chain.entries.iter().find(own).filter(|_| known).cloned()
    }

    /// The names of the configuration, without the wildcard.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.named.iter().map(|chain| chain.name.as_str())
    }

    /// Every entry that there is, by name.
    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = entries.values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Requests that wait, over all chains.
    pub(crate) fn waiting(&self) -> usize {
        let named: usize = self.named.iter().map(|chain| chain.line.waiting()).sum();
        let made = self.made();
        named + made.iter().map(|chain| chain.line.waiting()).sum::<usize>()
    }

    fn make(&self, name: &str, entries: &[EntryConfig], before: Option<&Self>) -> Arc<Chain> {
        let entries = entries.iter().map(|config| self.entry(name, config));
        let entries: Vec<_> = entries.collect();
        let line = before
            .and_then(|before| before.configured(name))
            .filter(|chain| stand_alike(&chain.entries, &entries))
            .map(|chain| chain.line.clone());
        let most = self.resilience.max_waiting;
        let line = line.unwrap_or_else(|| Arc::new(Line::new(most)));
        line.set_capacity(most);
        entries.iter().for_each(|entry| entry.standing.serve(&line));
        Arc::new(Chain {
            name: name.to_owned(),
            entries,
            line,
        })
    }

    /// The one entry of this name, made when it is first asked for.
    fn entry(&self, asked: &str, config: &EntryConfig) -> Arc<Entry> {
        let mut config = config.clone();
        if config.model == ANY {
            asked.clone_into(&mut config.model);
        }
        let provider = self.providers[&config.provider].clone();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let terms = Terms {
            resilience: &self.resilience,
            revision: self.revision,
        };
        let make = || {
            let standing = self.standings.of(&config, &provider, terms);
            Arc::new(Entry::new(&config, provider, standing))
        };
        entries.entry(config.name()).or_insert_with(make).clone()
    }
}

/// Whether those who wait for the one wait for the other: then they stand in
/// one line. Behind a head that waits for other entries they would wait for
/// what is of no use to them.
fn stand_alike(one: &[Arc<Entry>], other: &[Arc<Entry>]) -> bool {
    let same =
        |(one, other): (&Arc<Entry>, &Arc<Entry>)| Arc::ptr_eq(&one.standing, &other.standing);
    one.len() == other.len() && one.iter().zip(other).all(same)
}
