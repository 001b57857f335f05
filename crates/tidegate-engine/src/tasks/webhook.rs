//! `webhook`: the end of another task, told to who wants to know.
//!
//! The message is signed as the Standard Webhooks specification (version 1)
//! says: `webhook-id`, `webhook-timestamp` and `webhook-signature`, where the
//! signature is `v1,` and the Base64 of HMAC-SHA256 over `id.timestamp.body`.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Uri};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tidegate_provider::PostClient;
use tidegate_tasks::{Job, NewTask, SubmitError, Task, TaskError, TaskQueue};

/// Who may be told the end of a task.
#[derive(Clone, Default)]
pub struct Webhooks {
    /// Hosts, with a port where it is not the usual one. Nobody else is called.
    pub hosts: Vec<String>,
    /// What messages are signed with.
    pub secret: Option<Arc<[u8]>>,
    /// A task as messages show it: JSON.
    pub show: Option<fn(&Task) -> Bytes>,
}

impl std::fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhooks")
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

impl Webhooks {
    /// Whether the end of a task may be told where it asks for.
    pub(super) fn check(&self, task: &NewTask) -> Result<(), SubmitError> {
        let Some(url) = &task.at_end.webhook else {
            return Ok(());
        };
        let wrong = |wants| SubmitError::Field {
            field: "webhook",
            wants,
        };
        let uri: Uri = url
            .parse()
            .map_err(|_| wrong("an address such as https://host/path"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(wrong("an address that begins with https:// or http://"));
        }
        if !self.knows(&uri) {
            return Err(wrong("a host that tasks.webhook_hosts names"));
        }
        if self.secret.is_none() {
            return Err(wrong(
                "tasks.webhook_secret, which messages are signed with",
            ));
        }
        Ok(())
    }

    fn knows(&self, uri: &Uri) -> bool {
        // Whoever writes a name before the host means to mislead.
        let Some(authority) = uri.authority().filter(|name| !name.as_str().contains('@')) else {
            return false;
        };
        let is_meant = |host: &String| host.eq_ignore_ascii_case(authority.as_str());
        self.hosts.iter().any(is_meant)
    }
}

/// Whose end is told, and where.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    url: String,
    task: String,
}

/// How it was taken.
#[derive(Debug, Serialize)]
pub(super) struct Output {
    status: u16,
}

/// How long whoever is told may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
const MOST_ANSWER_BYTES: usize = 64 << 10;

pub(super) async fn run(
    webhooks: Webhooks,
    tasks: TaskQueue,
    job: Job<Input>,
) -> Result<Output, TaskError> {
    let (input, context) = (job.input, job.context);
    let gone = || TaskError::lasting("task_gone", "the task was removed before its end was told");
    let passing = |error: String| TaskError::passing("store_failed", error);
    let task = tasks.get(&context.owner, &input.task).await;
    let task = task
        .map_err(|error| passing(error.to_string()))?
        .ok_or_else(gone)?;
    let uri: Uri = input.url.parse().map_err(|_| refused())?;
    let (Some(secret), Some(show), true) = (&webhooks.secret, webhooks.show, webhooks.knows(&uri))
    else {
        return Err(refused());
    };
    let body = show(&task);
    let headers = headers(&context.id, secret, &body).ok_or_else(refused)?;
    let post = PostClient::new(uri, MOST_ANSWER_BYTES);
    let answer = tokio::time::timeout(PATIENCE, post.post(headers, body)).await;
    let failed = |reason: String| TaskError::passing("webhook_failed", reason);
    let answer = answer.map_err(|_| failed(format!("no answer within {PATIENCE:?}")))?;
    let status = answer.map_err(|error| failed(error.to_string()))?.status();
    if status.is_success() {
        return Ok(Output {
            status: status.as_u16(),
        });
    }
    Err(failed(format!("it was answered with status {status}")))
}

fn refused() -> TaskError {
    let message =
        "its host is not among tasks.webhook_hosts any more, or tasks.webhook_secret is gone";
    TaskError::lasting("webhook_refused", message)
}

/// The headers of a message. Its id is that of the task that tells it, so that
/// whoever hears it twice can know.
fn headers(id: &str, secret: &[u8], body: &[u8]) -> Option<HeaderMap> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()?
        .as_secs()
        .to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    for part in [id.as_bytes(), b".", now.as_bytes(), b".", body] {
        mac.update(part);
    }
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("webhook-id", HeaderValue::from_str(id).ok()?);
    headers.insert("webhook-timestamp", HeaderValue::from_str(&now).ok()?);
    headers.insert("webhook-signature", HeaderValue::from_str(&signature).ok()?);
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hosts: &[&str], url: &str) -> Result<(), SubmitError> {
        let mut task = NewTask::new("chat", "{}");
        task.at_end.webhook = Some(url.to_owned());
        let webhooks = Webhooks {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            secret: Some(Arc::from(*b"secret")),
            show: None,
        };
        webhooks.check(&task)
    }

    #[test]
    fn only_configured_hosts_are_told() {
        let hosts = ["hooks.example", "hooks.example:8443"];
        assert!(check(&hosts, "https://hooks.example/x").is_ok());
        assert!(check(&hosts, "https://HOOKS.example:8443/x").is_ok());
        for url in [
            "https://hooks.example:444/x",
            "https://hooks.example.evil/x",
            "https://hooks.example@evil/x",
            "https://evil#hooks.example",
            "https://169.254.169.254/latest",
            "file:///etc/passwd",
            "hooks.example",
            "",
        ] {
            assert!(check(&hosts, url).is_err(), "{url}");
        }
    }
}
