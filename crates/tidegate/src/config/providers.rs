//! Turns `[[providers]]` rows into typed providers.

use std::collections::BTreeMap;

use super::Sources;
use super::keys::{Key, Kind, integer, key, optional, required, word};
use super::kinds::secret_elsewhere;
use super::node::Origin;
use super::problems::{Fault, Report};
use super::rows::Row;
use super::secret::{Reference, Secret, SecretError, sendable};
use super::typed::{Anthropic, Bedrock, Header, MaxTokensField, OpenAi, Provider, ProviderKind};
use super::value::{Item, Value};

/// The settings of one `[[providers]]` table.
pub const PROVIDER_KEYS: &[Key] = &[
    required(
        "providers.name",
        Kind::Name,
        "\"local\"",
        "Name that chains use; each one once.",
    ),
    required(
        "providers.kind",
        Kind::Word {
            allowed: ProviderKind::WORDS,
            later: &[],
        },
        "\"openai\"",
        "openai is any server that speaks its API (OpenAI, Azure, Ollama, vLLM, Groq, …); anthropic is Anthropic's Messages API; bedrock is AWS Bedrock.",
    ),
    optional(
        "providers.base_url",
        Kind::Url,
        "\"http://127.0.0.1:11434/v1\"",
        "Where the API starts; kind openai needs it, kind anthropic has https://api.anthropic.com.",
    ),
    optional(
        "providers.api_key",
        Kind::Secret,
        "\"env:LOCAL_KEY\"",
        "Key for kinds openai and anthropic, as env:NAME or file:PATH.",
    ),
    optional(
        "providers.headers",
        Kind::Headers,
        "{ x-team = \"search\" }",
        "Further headers for kinds openai and anthropic; values may be env:NAME or file:PATH.",
    ),
    key(
        "providers.stream_usage",
        Kind::Flag,
        "true",
        "Asks kind openai for token counts at the end of streamed answers.",
    ),
    key(
        "providers.max_tokens_field",
        word(MaxTokensField::WORDS),
        "auto",
        "Where kind openai reads the bound on answers of requests in Anthropic's dialect; auto is max_completion_tokens for OpenAI and Azure, max_tokens for other hosts.",
    ),
    key(
        "providers.default_max_tokens",
        integer(1, 10_000_000),
        "4096",
        "Bound on answers for kind anthropic, which must have one, where a request sets none.",
    ),
    optional(
        "providers.region",
        Kind::Text,
        "\"eu-west-1\"",
        "AWS region for kind bedrock; otherwise AWS_REGION or the profile decides.",
    ),
    optional(
        "providers.profile",
        Kind::Text,
        "\"production\"",
        "AWS profile for kind bedrock; otherwise AWS_PROFILE or the default one.",
    ),
    optional(
        "providers.role_arn",
        Kind::Text,
        "\"arn:aws:iam::123456789012:role/gateway\"",
        "IAM role that kind bedrock assumes with the credentials that it finds.",
    ),
    optional(
        "providers.endpoint_url",
        Kind::Url,
        "\"https://vpce-0123.bedrock-runtime.eu-west-1.vpce.amazonaws.com\"",
        "Where kind bedrock calls, for VPC endpoints; otherwise the region's own.",
    ),
];

/// The keys that only some kinds take, and which.
const KEYS_OF_KINDS: [(&str, &[&str]); 10] = [
    ("base_url", &["openai", "anthropic"]),
    ("api_key", &["openai", "anthropic"]),
    ("headers", &["openai", "anthropic"]),
    ("stream_usage", &["openai"]),
    ("max_tokens_field", &["openai"]),
    ("default_max_tokens", &["anthropic"]),
    ("region", &["bedrock"]),
    ("profile", &["bedrock"]),
    ("role_arn", &["bedrock"]),
    ("endpoint_url", &["bedrock"]),
];

/// Whether `kind` takes the key `name`.
pub(super) fn takes(kind: &str, name: &str) -> bool {
    KEYS_OF_KINDS
        .iter()
        .all(|(key, kinds)| *key != name || kinds.contains(&kind))
}

/// Headers that the HTTP client sets itself.
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
];

/// Builds all providers; those with a problem are left out and reported.
pub(super) fn build(rows: &[Row], sources: &Sources<'_>, report: &mut Report) -> Vec<Provider> {
    check_unique(rows, report);
    rows.iter()
        .filter_map(|row| provider(row, sources, report))
        .collect()
}

/// Reports every name that an earlier row already has.
pub(super) fn check_unique(rows: &[Row], report: &mut Report) {
    let mut seen: BTreeMap<&str, &Origin> = BTreeMap::new();
    for row in rows {
        let Some(name) = row.text("name") else {
            continue;
        };
        let Some(found) = row.written("name") else {
            continue;
        };
        if let Some(first) = seen.get(name) {
            let fault = Fault::new(format!("\"{name}\" is already defined at {first}"));
            row.blame("name", fault.help("give each its own name"), report);
        } else {
            seen.insert(name, &found.origin);
        }
    }
}

fn provider(row: &Row, sources: &Sources<'_>, report: &mut Report) -> Option<Provider> {
    let kind = row.text("kind")?;
    refuse_foreign_keys(row, kind, report);
    let kind = match kind {
        "openai" => ProviderKind::OpenAi(openai(row, sources, report)?),
        "anthropic" => ProviderKind::Anthropic(anthropic(row, sources, report)),
        "bedrock" => ProviderKind::Bedrock(bedrock(row, report)),
        "extractive" => ProviderKind::Extractive,
        "mock" => ProviderKind::Mock,
        word => unreachable!("the key takes no kind {word}"),
    };
    Some(Provider {
        name: row.text("name")?.to_owned(),
        kind,
    })
}

/// Refuses keys that would have no effect on `kind`.
fn refuse_foreign_keys(row: &Row, kind: &str, report: &mut Report) {
    for (name, kinds) in KEYS_OF_KINDS {
        if row.written(name).is_none() || takes(kind, name) {
            continue;
        }
        let (noun, listed) = match kinds {
            [only] => ("kind", (*only).to_owned()),
            several => ("kinds", several.join(" and ")),
        };
        let takes = if kinds.len() == 1 { "takes" } else { "take" };
        let fault = Fault::new(format!("only {noun} {listed} {takes} this key"));
        let help = format!("remove it, or set kind = \"{}\"", kinds[0]);
        row.blame(name, fault.help(help), report);
    }
}

fn openai(row: &Row, sources: &Sources<'_>, report: &mut Report) -> Option<OpenAi> {
    if row.written("base_url").is_none() && !report.concerns(&row.path_of("base_url")) {
        let fault = Fault::new("missing; kind openai needs it");
        let help = "add a line such as base_url = \"https://api.openai.com/v1\"";
        row.blame("base_url", fault.help(help), report);
    }
    let api_key = api_key(row, sources, report);
    let headers = headers(row, sources, report);
    Some(OpenAi {
        base_url: row.text("base_url")?.trim_end_matches('/').to_owned(),
        api_key,
        headers,
        stream_usage: row.value("stream_usage") == Some(Value::Flag(true)),
        max_tokens_field: max_tokens_field(row)?,
    })
}

fn max_tokens_field(row: &Row) -> Option<MaxTokensField> {
    match row.value("max_tokens_field") {
        Some(Value::Text(word)) => MaxTokensField::from_word(&word),
        _ => None,
    }
}

const ANTHROPIC_URL: &str = "https://api.anthropic.com";

fn anthropic(row: &Row, sources: &Sources<'_>, report: &mut Report) -> Anthropic {
    let base_url = row.text("base_url").unwrap_or(ANTHROPIC_URL);
    let default_max_tokens = match row.value("default_max_tokens") {
        Some(Value::Integer(tokens)) => tokens,
        _ => unreachable!("default_max_tokens is an integer and has a default"),
    };
    Anthropic {
        base_url: base_url.trim_end_matches('/').to_owned(),
        api_key: api_key(row, sources, report),
        headers: headers(row, sources, report),
        default_max_tokens,
    }
}

fn bedrock(row: &Row, report: &mut Report) -> Bedrock {
    if cfg!(not(feature = "bedrock")) {
        let fault = Fault::new("this build has no AWS SDK");
        row.blame(
            "kind",
            fault.help("build with the cargo feature bedrock"),
            report,
        );
    }
    let text = |name| row.text(name).map(str::to_owned);
    Bedrock {
        region: text("region"),
        profile: text("profile"),
        role_arn: text("role_arn"),
        endpoint_url: text("endpoint_url"),
    }
}

fn api_key(row: &Row, sources: &Sources<'_>, report: &mut Report) -> Option<Secret> {
    let reference = Reference::parse(row.text("api_key")?)?;
    match reference.resolve(sources) {
        Ok(secret) => Some(secret),
        Err(error) => {
            row.blame("api_key", unusable(&error), report);
            None
        }
    }
}

fn headers(row: &Row, sources: &Sources<'_>, report: &mut Report) -> Vec<Header> {
    let Some(Value::Headers(written)) = row.value("headers") else {
        return Vec::new();
    };
    let mut headers: Vec<Header> = Vec::new();
    for (name, item) in &written {
        let lower = name.to_ascii_lowercase();
        let checked = check_header_name(&lower, row, &headers)
            .and_then(|()| header_value(item, sources).map(|value| Header { name: lower, value }));
        match checked {
            Ok(header) => headers.push(header),
            Err(fault) => report.add(&item.origin, row.path_of(&format!("headers.{name}")), fault),
        }
    }
    headers
}

fn check_header_name(name: &str, row: &Row, earlier: &[Header]) -> Result<(), Fault> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(Fault::new("this is no valid header name").help("use letters, digits and -"));
    }
    if RESERVED.contains(&name) {
        return Err(Fault::new("tidegate sets this header itself").help("remove it"));
    }
    if name == "authorization" && row.written("api_key").is_some() {
        return Err(Fault::new("this header is already sent because of api_key")
            .help("keep one of the two"));
    }
    if earlier.iter().any(|header| header.name == name) {
        return Err(Fault::new("this header is given twice").help("case does not matter"));
    }
    Ok(())
}

fn header_value(item: &Item, sources: &Sources<'_>) -> Result<Secret, Fault> {
    if let Some(reference) = Reference::parse(&item.text) {
        return reference.resolve(sources).map_err(|error| unusable(&error));
    }
    if item.text.starts_with("env:") || item.text.starts_with("file:") {
        return Err(secret_elsewhere());
    }
    if !sendable(&item.text) {
        return Err(Fault::new(
            "the value holds characters that cannot be sent in an HTTP header",
        ));
    }
    Ok(Secret::new(item.text.as_str()))
}

/// What to say to a secret that cannot be had.
pub(super) fn unusable(error: &SecretError) -> Fault {
    let help = match error {
        SecretError::Unset(name) => format!("set {name}, or remove the line that names it"),
        SecretError::Unreadable { .. } => "check the path and who may read it".to_owned(),
        SecretError::Empty | SecretError::Unsendable => {
            "store only the secret itself, on one line".to_owned()
        }
    };
    Fault::new(error.to_string()).help(help)
}
