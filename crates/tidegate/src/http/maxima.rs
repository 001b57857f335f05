//! Every maximum of the HTTP surface, in one table, and the parameters that no
//! request may carry.

use axum::extract::Request;
use axum::http::Method;
use axum::http::header::{HOST, ORIGIN};

use super::error::ApiError;
use super::framing::check_framing;
use super::host::{HostPolicy, check_host};
use tidegate_engine::{ChatRequest, EmbedRequest, RawObject};

/// Headers of a request.
pub(crate) const MOST_HEADERS: usize = 100;
/// Request line and headers together, in bytes.
pub(crate) const MOST_HEADER_BYTES: usize = 64 << 10;
/// Nesting of JSON.
const MOST_DEPTH: usize = 128;

/// A bound on one parameter.
struct Maximum {
    param: &'static str,
    most: u64,
    unit: &'static str,
}

const CHOICES: Maximum = Maximum {
    param: "n",
    most: 16,
    unit: "choices",
};
const MESSAGES: Maximum = Maximum {
    param: "messages",
    most: 4_096,
    unit: "messages",
};
const IMAGES: Maximum = Maximum {
    param: "messages",
    most: 64,
    unit: "images",
};
const TOOLS: Maximum = Maximum {
    param: "tools",
    most: 256,
    unit: "tools",
};
const OUTPUT: Maximum = Maximum {
    param: "max_tokens",
    most: 1 << 24,
    unit: "tokens",
};
const EMBED_ITEMS: Maximum = Maximum {
    param: "input",
    most: 2_048,
    unit: "items",
};

const TEXTS: Maximum = Maximum {
    param: "texts",
    most: 1_024,
    unit: "texts",
};

const ENTRIES: Maximum = Maximum {
    param: "entries",
    most: 1_024,
    unit: "entries",
};

const SETTLED: Maximum = Maximum {
    param: "tokens",
    most: 1 << 24,
    unit: "tokens",
};

/// Where a request may never point us: upstreams come from configuration only.
const REFUSED: [&str; 14] = [
    "api_base",
    "api_key",
    "api_url",
    "api_version",
    "azure_endpoint",
    "base_url",
    "custom_host",
    "custom_llm_provider",
    "deployment_url",
    "endpoint",
    "extra_headers",
    "headers",
    "organization",
    "proxy",
];

impl Maximum {
    fn check(&self, count: u64) -> Result<(), ApiError> {
        if count <= self.most {
            return Ok(());
        }
        let Self { param, most, unit } = self;
        let message = format!("{param} asks for {count} {unit}; at most {most} are allowed");
        Err(ApiError::invalid("limit_exceeded", message).about(param))
    }
}

/// Checks a chat request against the table.
pub(super) fn check_chat(request: &ChatRequest) -> Result<(), ApiError> {
    refuse(request.raw())?;
    let content = request.content();
    CHOICES.check(request.choices())?;
    MESSAGES.check(content.messages as u64)?;
    IMAGES.check(content.images as u64)?;
    TOOLS.check(content.tools as u64)?;
    OUTPUT.check(request.max_output_tokens().unwrap_or(0))
}

/// Checks a request for embeddings against the table.
pub(super) fn check_embed(request: &EmbedRequest) -> Result<(), ApiError> {
    refuse(request.raw())?;
    EMBED_ITEMS.check(request.items() as u64)
}

/// Checks how many texts are to be scanned.
pub(super) fn check_texts(texts: usize) -> Result<(), ApiError> {
    TEXTS.check(texts as u64)
}

/// Checks how many answers are to be known beforehand.
pub(super) fn check_entries(entries: usize) -> Result<(), ApiError> {
    ENTRIES.check(entries as u64)
}

/// Checks a count of tokens that a caller reserves or reports.
pub(super) fn check_tokens(tokens: u64) -> Result<(), ApiError> {
    SETTLED.check(tokens)
}

fn refuse(raw: &RawObject) -> Result<(), ApiError> {
    match raw.iter().find(|(key, _)| REFUSED.contains(key)) {
        None => Ok(()),
        Some((key, _)) => {
            let message = format!(
                "{key} is not accepted in a request; upstreams are configured by the operator"
            );
            Err(ApiError::invalid("unsupported_parameter", message).about(key))
        }
    }
}

/// Checks the head of a request. The server's own bound is a buffer's and
/// lets a little more through.
pub(super) fn check_head(head: &Request, hosts: &HostPolicy) -> Result<(), ApiError> {
    let headers = head.headers().iter();
    let headers = headers.map(|(name, value)| name.as_str().len() + value.len() + 4);
    let bytes = headers.sum::<usize>() + head.uri().path().len();
    if bytes > MOST_HEADER_BYTES {
        return Err(ApiError::head_too_large());
    }
    check_framing(head)?;
    check_host(head, hosts)?;
    check_origin(head)
}

/// A page of another site may not change anything here, not even by a request
/// without a body.
fn check_origin(head: &Request) -> Result<(), ApiError> {
    let text = |name| {
        head.headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let Some(origin) = text(ORIGIN).filter(|_| head.method() != Method::GET) else {
        return Ok(());
    };
    let site = origin.split_once("://").map(|(_, site)| site);
    if site.is_some() && site == text(HOST) {
        return Ok(());
    }
    Err(ApiError::foreign_origin())
}

/// Refuses JSON that nests too deeply, before anything recursive reads it.
pub(super) fn check_depth(body: &[u8]) -> Result<(), ApiError> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MOST_DEPTH {
            let message = format!("the body nests deeper than {MOST_DEPTH} levels");
            return Err(ApiError::invalid("limit_exceeded", message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn chat(fields: &str) -> Result<(), String> {
        let body =
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}]{fields}}}"#);
        let request = ChatRequest::parse(Bytes::from(body)).unwrap();
        check_chat(&request).map_err(|error| error.to_string())
    }

    #[test]
    fn every_maximum_holds_at_its_bound_and_not_beyond() {
        for (at, beyond) in [
            (r#","n":16"#.to_owned(), r#","n":17"#.to_owned()),
            (r#","n":1"#.to_owned(), r#","n":1000000000"#.to_owned()),
            (
                r#","max_tokens":16777216"#.to_owned(),
                r#","max_tokens":16777217"#.to_owned(),
            ),
            (
                format!(r#","tools":[{}]"#, list(256)),
                format!(r#","tools":[{}]"#, list(257)),
            ),
        ] {
            assert_eq!(chat(&at), Ok(()));
            assert!(chat(&beyond).unwrap_err().contains("at most"), "{beyond}");
        }
    }

    fn list(items: usize) -> String {
        vec!["{}"; items].join(",")
    }

    #[test]
    fn no_request_names_an_upstream() {
        for param in REFUSED {
            let error = chat(&format!(r#","{param}":"http://169.254.169.254""#)).unwrap_err();
            assert!(error.starts_with(param), "{error}");
        }
    }

    #[test]
    fn depth_is_counted_outside_of_strings() {
        assert!(check_depth(format!("{}{}", "[".repeat(128), "]".repeat(128)).as_bytes()).is_ok());
        assert!(check_depth("[".repeat(129).as_bytes()).is_err());
        assert!(check_depth(format!("[\"\\\"{}\"]", "[".repeat(500)).as_bytes()).is_ok());
    }
}
