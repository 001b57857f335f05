//! One text, scanned where it is, on another thread, or on all of them.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future;
use tidegate_guard::{Rules, ScanRequest, text_sha256};

use crate::answer::Cached;
use crate::assemble::Engine;
use crate::error::EngineError;
use crate::guard::{MOST_INLINE_BYTES, Scanned, on_pool};
use crate::policies::PolicySource;
use crate::verdicts::Seen;

/// Longer ones are scanned in parts, on all threads of the pool.
const MOST_WHOLE_BYTES: usize = 256 << 10;

/// So many parts for each thread: some take longer than others.
const PARTS_EACH: usize = 2;

fn scan_whole(rules: &Rules, text: &str, request: &ScanRequest) -> Scanned {
    let started = Instant::now();
    Scanned {
        verdict: rules.scan(text, request),
        rules_took: started.elapsed(),
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
        let rules = &self.rooms.guard.rules;
        let scanned = if text.len() <= MOST_INLINE_BYTES {
            scan_whole(rules, &text, &request)
        } else if text.len() <= MOST_WHOLE_BYTES {
            let (rules, request) = (rules.clone(), request.clone());
            let scan = move || scan_whole(&rules, &text, &request);
            on_pool(&self.rooms.pool, scan).await?
        } else {
            self.scan_in_parts(text.into(), &request).await?
        };
        let seen = Seen::new(&request, &scanned.verdict);
        self.rooms.guard.note(&seen);
        Ok(scanned)
    }

    /// Scans a long text on all threads of the pool.
    async fn scan_in_parts(
        &self,
        text: Arc<str>,
        request: &ScanRequest,
    ) -> Result<Scanned, EngineError> {
        let started = Instant::now();
        let (rules, pool) = (&self.rooms.guard.rules, &self.rooms.pool);
        let digest = {
            let text = text.clone();
            on_pool(pool, move || text_sha256(&text))
        };
        let parts = rules.parts(&text, PARTS_EACH * pool.threads());
        let parts = parts.into_iter().map(|part| {
            let (rules, text, request) = (rules.clone(), text.clone(), request.clone());
            on_pool(pool, move || rules.scan_part(&text, &part, &request))
        });
        let (parts, digest) = future::try_join(future::try_join_all(parts), digest).await?;
        let (rules, request) = (rules.clone(), request.clone());
        let merge = move || rules.merge(&text, parts, &request);
        Ok(Scanned {
            verdict: on_pool(pool, merge).await?,
            text_sha256: digest,
            rules_took: started.elapsed(),
            cached: Cached::Bypass,
            source: PolicySource::Request,
        })
    }
}
