//! Many texts of one request: short ones share a job on the CPU pool, as a hop
//! to another thread costs more than scanning one of them.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use tidegate_guard::ScanRequest;

use crate::answer::CacheUse;
use crate::assemble::Engine;
use crate::error::EngineError;
use crate::guard::{Guard, MOST_INLINE_BYTES, Scanned, on_pool};
use crate::policies::{Chosen, PolicySource, Side};
use crate::scan::scan_here;
use crate::scans_cache::{LEAST_CACHED_BYTES, ScanTerms};
use crate::verdicts::Seen;

/// A job is full when it holds this much.
const JOB_BYTES: usize = 16 << 10;

/// What is scanned in one go, in the order of the request.
#[derive(Debug, PartialEq, Eq)]
enum Job {
    /// Texts that nobody looks for in the cache.
    Together(Vec<String>),
    /// One that may have been scanned before.
    Alone(String),
}

fn jobs(texts: Vec<String>, cache: CacheUse) -> Vec<Job> {
    let is_kept = |text: &String| match cache {
        CacheUse::Default => text.len() >= LEAST_CACHED_BYTES,
        CacheUse::Use | CacheUse::Refresh => true,
        CacheUse::Skip => false,
    };
    let (mut jobs, mut bytes) = (Vec::new(), 0);
    for text in texts {
        if is_kept(&text) {
            jobs.push(Job::Alone(text));
            continue;
        }
        bytes += text.len();
        match jobs.last_mut() {
            Some(Job::Together(texts)) if bytes <= JOB_BYTES => texts.push(text),
            Some(_) | None => {
                bytes = text.len();
                jobs.push(Job::Together(vec![text]));
            }
        }
    }
    jobs
}

impl Guard {
    /// Scans a text, counts what was found, and compares policies where one is
    /// rolled out.
    fn scan_one(&self, text: &str, request: &ScanRequest, source: PolicySource) -> Scanned {
        let chosen = Chosen {
            policy: request.policy.clone(),
            source,
        };
        let tenant = request.tenant.as_deref().unwrap_or_default();
        let subject = || blake3::hash(text.as_bytes()).as_bytes().to_vec();
        let (chosen, trial) = self.enroll(chosen, tenant, subject);
        let request = ScanRequest {
            policy: chosen.policy,
            ..request.clone()
        };
        let side = trial.as_ref().map_or(Side::Own, |trial| trial.decided);
        let scanned = scan_here(&self.layers(side).scanner, text, &request);
        self.note(&Seen::new(&request, &scanned.verdict));
        if let Some(trial) = trial {
            let other = self.says_here(&trial, text, &request, &scanned.verdict);
            self.compare(&trial, scanned.verdict.outcome, other);
        }
        let source = chosen.source;
        Scanned { source, ..scanned }
    }
}

impl Engine {
    /// Scans texts, as many at once as there are cores. The answers are in the
    /// order of the texts.
    ///
    /// # Errors
    /// As [`Self::scan_or_recall`]; one that fails fails all.
    pub async fn scan_all(
        &self,
        texts: Vec<String>,
        request: &ScanRequest,
        terms: ScanTerms<'_>,
    ) -> Result<Vec<Scanned>, EngineError> {
        let at_once = std::thread::available_parallelism().map_or(1, usize::from);
        let scan = |job| async move {
            match job {
                Job::Alone(text) => {
                    let scanned = self.scan_or_recall(text, request.clone(), terms).await?;
                    Ok(vec![scanned])
                }
                Job::Together(texts) => self.together(texts, request, terms.source).await,
            }
        };
        let guard = &self.rooms.guard;
        let is_slow = [Side::Own, Side::Candidate].map(|side| guard.layers(side).is_slow());
        let jobs = match is_slow {
            [false, false] => jobs(texts, terms.cache),
            // A model takes longer for a text than a hop to another thread.
            _ => texts.into_iter().map(Job::Alone).collect(),
        };
        let scanned = stream::iter(jobs).map(scan);
        let scanned: Vec<Vec<Scanned>> = scanned.buffered(at_once).try_collect().await?;
        Ok(scanned.into_iter().flatten().collect())
    }

    async fn together(
        &self,
        texts: Vec<String>,
        request: &ScanRequest,
        source: PolicySource,
    ) -> Result<Vec<Scanned>, EngineError> {
        let bytes: usize = texts.iter().map(String::len).sum();
        let (guard, request): (Arc<Guard>, _) = (self.rooms.guard.clone(), request.clone());
        let scan = move || {
            let texts = texts.iter();
            let one = |text: &String| guard.scan_one(text, &request, source);
            texts.map(one).collect::<Vec<_>>()
        };
        if bytes <= MOST_INLINE_BYTES {
            Ok(scan())
        } else {
            on_pool(&self.rooms.pool, scan).await
        }
    }

    /// The text without what the policy of `request` redacts, and nothing where
    /// that is nothing.
    ///
    /// # Errors
    /// [`EngineError::Busy`] when the CPU pool is full.
    pub async fn redact(
        &self,
        text: String,
        request: ScanRequest,
    ) -> Result<Option<String>, EngineError> {
        if !request.policy.redacts() {
            return Ok(None);
        }
        let scanner = self.rooms.guard.own.scanner.clone();
        if text.len() <= MOST_INLINE_BYTES {
            Ok(scanner.redact(&text, &request))
        } else {
            on_pool(&self.rooms.pool, move || scanner.redact(&text, &request)).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(lengths: &[usize], cache: CacheUse) -> Vec<Vec<usize>> {
        let texts = lengths.iter().map(|length| "x".repeat(*length)).collect();
        let sizes = |job: &Job| match job {
            Job::Together(texts) => texts.iter().map(String::len).collect(),
            Job::Alone(text) => vec![text.len()],
        };
        jobs(texts, cache).iter().map(sizes).collect()
    }

    #[test]
    fn short_texts_share_jobs_that_are_not_too_large() {
        let cache = CacheUse::Default;
        assert_eq!(sizes(&[], cache), Vec::<Vec<usize>>::new());
        assert_eq!(sizes(&[500, 0, 500], cache), [[500, 0, 500]]);
        let two = sizes(&[6_000, 6_000, 6_000, 6_000], cache);
        assert_eq!(two, [[6_000, 6_000], [6_000, 6_000]]);
        let batch = sizes(&[500; 64], cache);
        assert_eq!(batch.iter().map(Vec::len).collect::<Vec<_>>(), [32, 32]);
    }

    #[test]
    fn texts_that_may_be_kept_are_alone_and_all_stay_in_order() {
        let mixed = sizes(&[1, 9_000, 2, 3], CacheUse::Default);
        assert_eq!(mixed, [vec![1], vec![9_000], vec![2, 3]]);
        assert_eq!(sizes(&[1, 2], CacheUse::Use), [[1], [2]]);
        assert_eq!(sizes(&[9_000, 20_000], CacheUse::Skip), [[9_000], [20_000]]);
        assert_eq!(sizes(&[20_000, 1], CacheUse::Skip), [[20_000], [1]]);
    }
}
