//! `tidegate cache warm`: a file, some lines at a time.

use std::io::{Read as _, Write as _};
use std::path::Path;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Form;
use super::server::{Server, Trouble};
use crate::cli::Exit;
use crate::cli::progress::progress;
use crate::http::numbered;

pub(super) const FORMAT: &str = "\
Each line is an object {request, answer?, dialect?: chat | completion | messages, domain?, tenant?}. \
With an answer no model is called, and the guard sees both; without one the request is run under \
the gateway's limits. Lines that are in the cache already are skipped.

Exit codes: 0 all lines are in the cache, 4 some are not.";

/// Lines that are sent together, in number and in bytes: few enough for the
/// gateway's limit on bodies, and for a progress that can be seen.
const MOST_LINES: usize = 16;
const MOST_BYTES: usize = 256 << 10;

/// A line that is not in the cache.
struct Failure {
    line: usize,
    code: String,
    message: String,
}

#[derive(Default)]
struct Tally {
    warmed: u64,
    skipped: u64,
    failed: Vec<Failure>,
}

pub(super) async fn run(server: &Server, file: &Path, form: Form) -> Exit {
    let text = match read(file) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("error: {} cannot be read: {error}", file.display());
            return Exit::Usage;
        }
    };
    let mut tally = Tally::default();
    let ended = tokio::select! {
        ended = send_all(server, &text, &mut tally) => ended.map(|()| Exit::Clean),
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    };
    tally.print(form);
    match ended {
        Err(trouble) => trouble.tell(),
        Ok(Exit::Clean) if !tally.failed.is_empty() => Exit::Partial,
        Ok(exit) => exit,
    }
}

fn read(file: &Path) -> std::io::Result<String> {
    if file.as_os_str() != "-" {
        return std::fs::read_to_string(file);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

async fn send_all(server: &Server, text: &str, tally: &mut Tally) -> Result<(), Trouble> {
    let lines: Vec<(usize, &str)> = numbered(text).collect();
    let mut batch = Vec::new();
    let mut bytes = 0;
    for (done, (number, line)) in lines.iter().enumerate() {
        // The bytes go as they are: a request is found again by them.
        if serde_json::from_str::<&RawValue>(line).is_err() || !line.starts_with('{') {
            tally.fail(*number, "invalid_json", "the line is no JSON object");
            continue;
        }
        if batch.len() == MOST_LINES || bytes + line.len() > MOST_BYTES {
            send(server, &batch, tally).await?;
            progress(done, lines.len());
            (batch, bytes) = (Vec::new(), 0);
        }
        bytes += line.len();
        batch.push((*number, *line));
    }
    send(server, &batch, tally).await?;
    progress(lines.len(), lines.len());
    Ok(())
}

/// Sends some lines; where the gateway does not take them together, each by
/// itself, so that one of them does not cost the others.
async fn send(server: &Server, batch: &[(usize, &str)], tally: &mut Tally) -> Result<(), Trouble> {
    if batch.is_empty() {
        return Ok(());
    }
    match server.post("/v1/cache/warm", body(batch)).await {
        Ok(answer) => tally.take(batch, &answer),
        Err(Trouble::Refused {
            status: 400 | 413,
            message,
        }) => match batch {
            [(number, _)] => tally.fail(*number, "invalid_parameter", &message),
            several => {
                for one in several {
                    Box::pin(send(server, std::slice::from_ref(one), tally)).await?;
                }
            }
        },
        Err(trouble) => return Err(trouble),
    }
    Ok(())
}

fn body(batch: &[(usize, &str)]) -> Bytes {
    let mut body = BytesMut::from(&b"{\"entries\":["[..]);
    for (position, (_, line)) in batch.iter().enumerate() {
        if position > 0 {
            body.put_u8(b',');
        }
        body.put_slice(line.as_bytes());
    }
    body.put_slice(b"]}");
    body.freeze()
}

impl Tally {
    fn fail(&mut self, line: usize, code: &str, message: &str) {
        self.failed.push(Failure {
            line,
            code: code.to_owned(),
            message: message.to_owned(),
        });
    }

    fn take(&mut self, batch: &[(usize, &str)], answer: &Value) {
        for (position, (number, _)) in batch.iter().enumerate() {
            let entry = &answer["entries"][position];
            match entry["outcome"].as_str() {
                Some("warmed") => self.warmed += 1,
                Some("skipped") => self.skipped += 1,
                Some(_) | None => {
                    let error = &entry["error"];
                    let text = |name: &str| error[name].as_str().unwrap_or("unknown").to_owned();
                    self.fail(*number, &text("code"), &text("message"));
                }
            }
        }
    }

    fn print(&mut self, form: Form) {
        self.failed.sort_by_key(|failure| failure.line);
        for failure in self.failed.iter().filter(|_| form == Form::Text) {
            eprintln!("line {}: {}", failure.line, failure.message);
        }
        let (warmed, skipped, failed) = (self.warmed, self.skipped, self.failed.len());
        let text = if form == Form::Json {
            let lines = self.failed.iter().map(|failure| {
                json!({"line": failure.line, "code": failure.code, "message": failure.message})
            });
            let failures = Value::from_iter(lines);
            json!({"warmed": warmed, "skipped": skipped, "failed": failed, "failures": failures})
                .to_string()
        } else {
            format!("{warmed} warmed, {skipped} skipped, {failed} failed")
        };
        // A closed pipe is the reader's business.
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}
