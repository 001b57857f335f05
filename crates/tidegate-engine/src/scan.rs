//! One text, scanned where it is, on another thread, or on all of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future;
use tidegate_guard::{ScanDone, ScanRequest, Scanner, text_sha256};

use crate::answer::{CacheUse, Cached};
use crate::assemble::{Engine, Rooms};
use crate::error::EngineError;
use crate::guard::{MOST_INLINE_BYTES, Scanned, on_pool};
use crate::policies::{PolicySource, Side};
use crate::second::Scores;
use crate::verdicts::Seen;

/// Longer ones are scanned in parts, on all threads of the pool.
const MOST_WHOLE_BYTES: usize = 256 << 10;

/// So many parts for each thread: some take longer than others.
const PARTS_EACH: usize = 2;

/// Scans a text on this thread, and says what each layer took.
pub fn scan_here(scanner: &Scanner, text: &str, request: &ScanRequest) -> Scanned {
    let started = Instant::now();
    let rules = scanner.rules().scan(text, request);
    let rules_took = started.elapsed();
    let verdict = scanner.classify(text, rules, request);
    Scanned {
        verdict,
        rules_took,
        classifier_took: started.elapsed() - rules_took,
        text_sha256: text_sha256(text),
        cached: Cached::Bypass,
        source: PolicySource::Request,
    }
}

impl Engine {
    /// Scans a text by itself.
    ///
    /// # Errors
    /// [`EngineError::Busy`] when the CPU pool is full.
    pub async fn scan(&self, text: String, request: ScanRequest) -> Result<Scanned, EngineError> {
        self.scan_anew(text, request, (CacheUse::Default, Side::Own))
            .await
    }

    /// Scans a text of which no verdict is kept; what a slow model said of it may be.
    pub(crate) async fn scan_anew(
        &self,
        text: String,
        request: ScanRequest,
        (scores, side): (CacheUse, Side),
    ) -> Result<Scanned, EngineError> {
        let scanned = self
            .rooms
            .scan_text(text.into(), &request, scores, side)
            .await?;
        let seen = Seen::new(&request, &scanned.verdict);
        self.rooms.guard.note(&seen);
        Ok(scanned)
    }
}

impl Rooms {
    /// What all layers say of a text.
    pub(crate) async fn scan_text(
        &self,
        text: Arc<str>,
        request: &ScanRequest,
        scores: CacheUse,
        side: Side,
    ) -> Result<Scanned, EngineError> {
        let layers = self.guard.layers(side);
        let here = self.scan_here(&layers.scanner, &text, request);
        let scores = Scores::new(self, request, scores);
        match layers.second(request) {
            Some(second) => second.beside(&text, request, scores, here).await,
            None => here.await,
        }
    }

    /// What the layers say that are part of the scanner.
    async fn scan_here(
        &self,
        scanner: &Arc<Scanner>,
        text: &Arc<str>,
        request: &ScanRequest,
    ) -> Result<Scanned, EngineError> {
        if text.len() <= MOST_INLINE_BYTES {
            Ok(scan_here(scanner, text, request))
        } else if text.len() <= MOST_WHOLE_BYTES {
            let (scanner, text, request) = (scanner.clone(), text.clone(), request.clone());
            let scan = move || scan_here(&scanner, &text, &request);
            on_pool(&self.pool, scan).await
        } else {
            self.scan_in_parts(scanner, text.clone(), request).await
        }
    }

    /// Scans a long text on all threads of the pool.
    async fn scan_in_parts(
        &self,
        scanner: &Arc<Scanner>,
        text: Arc<str>,
        request: &ScanRequest,
    ) -> Result<Scanned, EngineError> {
        let started = Instant::now();
        let pool = &self.pool;
        let digest = {
            let text = text.clone();
            on_pool(pool, move || text_sha256(&text))
        };
        let jobs = scanner.jobs(&text, PARTS_EACH * pool.threads(), request);
        let jobs = jobs.into_iter().map(|job| {
            let (scanner, text, request) = (scanner.clone(), text.clone(), request.clone());
            on_pool(pool, move || {
                let started = Instant::now();
                (scanner.run(&text, &job, &request), started.elapsed())
            })
        });
        let (done, digest) = future::try_join(future::try_join_all(jobs), digest).await?;
        let classifier_took = classifier_took(&done);
        let done = done.into_iter().map(|(done, _)| done).collect();
        let (scanner, request) = (scanner.clone(), request.clone());
        let merge = move || scanner.merge(&text, done, &request);
        Ok(Scanned {
            verdict: on_pool(pool, merge).await?,
            text_sha256: digest,
            rules_took: started.elapsed(),
            classifier_took,
            cached: Cached::Bypass,
            source: PolicySource::Request,
        })
    }
}

/// It ran beside the rules, as one part of the work.
fn classifier_took(done: &[(ScanDone, Duration)]) -> Duration {
    let took = done.iter().map(|(done, took)| match done {
        ScanDone::Rules(_) => Duration::ZERO,
        ScanDone::Classifier(_) => *took,
    });
    took.sum()
}
