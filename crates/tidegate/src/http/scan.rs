//! `POST /v1/scan`.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Request};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_engine::{
    CacheUse, Cached, Deadline, Direction, EngineError, Mode, PolicySource, ScanRequest, ScanTerms,
    Scanned, UnknownWord,
};

use super::Gate;
use super::body::read_object;
use super::chat::CacheWord;
use super::error::ApiError;
use super::maxima::check_texts;
use super::visit::Visit;
use crate::metrics::Namespace;
use crate::scan_report::verdict;

const SHAPE: &str = "{text: string} or {texts: [string]}, with mode?: fast | balanced | thorough, \
direction?: prompt | answer | retrieved | tool_call | tool_result, \
policy?: monitor | default | strict | the id of a configured one, suppress?: [rule id], \
cache?: default | use | skip | refresh, redact?: boolean";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    text: Option<String>,
    texts: Option<Vec<String>>,
    mode: Option<Mode>,
    direction: Option<String>,
    policy: Option<String>,
    #[serde(default)]
    suppress: Vec<String>,
    #[serde(default)]
    cache: CacheWord,
    #[serde(default)]
    redact: bool,
}

/// Whether the text is wanted back without what its policy redacts.
#[derive(Clone, Copy)]
enum Redact {
    Yes,
    No,
}

/// How all texts of a request are scanned.
struct Terms {
    scan: ScanRequest,
    /// Who chose the policy.
    source: PolicySource,
    cache: CacheUse,
    redact: Redact,
    gate: Arc<Gate>,
}

const CACHE: HeaderName = HeaderName::from_static("x-tidegate-cache");

/// Scans one text, or several in order.
pub(super) async fn scan(
    State(gate): State<Arc<Gate>>,
    visit: Visit,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let deadline = Deadline::after(visit.live.settings.deadline);
    let wish: Wish = read_object(&visit.live, request, deadline, SHAPE).await?;
    let asked = wish.policy.as_deref();
    let chosen = visit.live.engine.choose_policy(&visit.caller, asked)?;
    let scan = ScanRequest {
        direction: word(wish.direction.as_deref(), "direction", Direction::Prompt)?,
        mode: wish.mode.unwrap_or(visit.live.engine.scan_mode()),
        policy: chosen.policy,
        suppress: wish.suppress,
        tenant: Some(visit.caller.tenant().into()),
        at: Some(SystemTime::now()),
    };
    let terms = Terms {
        scan,
        source: chosen.source,
        cache: wish.cache.into(),
        redact: if wish.redact { Redact::Yes } else { Redact::No },
        gate: gate.clone(),
    };
    let (json, cached) = match (wish.text, wish.texts) {
        (Some(text), None) => in_time(&visit, deadline, one(&visit, text, &terms)).await?,
        (None, Some(texts)) => {
            check_texts(texts.len())?;
            in_time(&visit, deadline, all(&visit, texts, &terms)).await?
        }
        (Some(_), Some(_)) | (None, None) => {
            let message = "exactly one of text and texts must be given";
            return Err(ApiError::invalid("invalid_parameter", message).about("text"));
        }
    };
    gate.metrics.cached(Namespace::Scan, cached);
    let mut response = Json(json).into_response();
    let cached = HeaderValue::from_static(cached.as_str());
    response.headers_mut().insert(CACHE, cached);
    Ok(response)
}

/// A word of the guard's, or what holds without it.
fn word<T: std::str::FromStr<Err = UnknownWord>>(
    given: Option<&str>,
    param: &'static str,
    otherwise: T,
) -> Result<T, ApiError> {
    match given.map(str::parse) {
        None => Ok(otherwise),
        Some(Ok(word)) => Ok(word),
        Some(Err(unknown)) => {
            let message = format!("{param} must be one of {}", unknown.expected.join(", "));
            Err(ApiError::invalid("invalid_parameter", message).about(param))
        }
    }
}

/// What the deadline cuts off is dropped, but for the text that a thread is at.
pub(super) async fn in_time<T>(
    visit: &Visit,
    deadline: Deadline,
    work: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    let budget = visit.live.settings.deadline;
    let late = |_| ApiError::from(EngineError::DeadlineExceeded { budget });
    deadline.run(work).await.map_err(late)?
}

/// Together they are a hit when all of them are, and a miss when one is.
async fn all(
    visit: &Visit,
    texts: Vec<String>,
    terms: &Terms,
) -> Result<(Value, Cached), ApiError> {
    let engine = &visit.live.engine;
    let copies = terms.copies(&texts);
    let scanned = engine.scan_all(texts, &terms.scan, terms.of(visit)).await?;
    let mut results = Vec::with_capacity(scanned.len());
    let mut together = None;
    for (position, scanned) in scanned.iter().enumerate() {
        let text = copies.get(position).cloned();
        results.push(described(visit, terms, scanned, (text, scanned.rules_took)).await?);
        together = Some(match (together, scanned.cached) {
            (None, cached) => cached,
            (Some(Cached::Miss), _) | (_, Cached::Miss) => Cached::Miss,
            (Some(Cached::Hit), Cached::Hit) => Cached::Hit,
            (Some(Cached::Hit | Cached::Bypass), Cached::Hit | Cached::Bypass) => Cached::Bypass,
        });
    }
    Ok((
        json!({"results": results}),
        together.unwrap_or(Cached::Bypass),
    ))
}

async fn one(visit: &Visit, text: String, terms: &Terms) -> Result<(Value, Cached), ApiError> {
    let started = Instant::now();
    let engine = &visit.live.engine;
    let copy = terms.copies(std::slice::from_ref(&text)).pop();
    let scan = terms.scan.clone();
    let scanned = engine.scan_or_recall(text, scan, terms.of(visit)).await?;
    let verdict = described(visit, terms, &scanned, (copy, started.elapsed())).await?;
    Ok((verdict, scanned.cached))
}

impl Terms {
    fn of<'a>(&self, visit: &'a Visit) -> ScanTerms<'a> {
        ScanTerms {
            caller: &visit.caller,
            cache: self.cache,
            source: self.source,
        }
    }

    /// The texts, where they are needed after the scan.
    fn copies(&self, texts: &[String]) -> Vec<String> {
        match self.redact {
            Redact::Yes => texts.to_vec(),
            Redact::No => Vec::new(),
        }
    }
}

/// A verdict with its id, and with the text as it may go on where that was
/// asked for.
async fn described(
    visit: &Visit,
    terms: &Terms,
    scanned: &Scanned,
    (text, took): (Option<String>, Duration),
) -> Result<Value, ApiError> {
    terms.gate.metrics.scanned(terms.scan.mode, scanned);
    let (engine, found) = (&visit.live.engine, &scanned.verdict);
    let counted = found.detections.iter().filter(|found| found.counts());
    let rules: Vec<_> = counted.map(|found| found.rule.clone()).collect();
    let id = engine.verdict_id(&visit.caller, found.outcome, &rules, &found.policy);
    let mut json = verdict(&id.await, scanned, terms.scan.mode, took);
    if let Some(text) = text {
        let request = ScanRequest {
            policy: found.policy.clone(),
            ..terms.scan.clone()
        };
        json["redacted_text"] = engine.redact(text, request).await?.into();
    }
    Ok(json)
}
