//! The default file and the reference, written from the table of keys.

use std::fmt::Write as _;

use super::env::env_name;
use super::keys::{Fallback, Key};
use super::providers::takes;
use super::sections::{ARRAY_TABLES, KEYS, SECTIONS};

/// A complete, commented file that changes nothing: every value in it is the
/// default, and array tables are shown as comments.
pub fn default_toml() -> String {
    let mut file = String::from(
        "# Configuration of tidegate. Every value below is the default; delete what you\n\
         # do not change. Stronger than this file are environment variables such as\n\
         # TIDEGATE__SERVER__BIND, and flags.\n",
    );
    for (section, doc) in SECTIONS {
        file.push('\n');
        for line in doc.lines() {
            file.push_str(&comment(line));
        }
        file.push_str(&match rows_of(section) {
            Some(keys) if *section == "providers" => PROVIDERS
                .iter()
                .map(|example| comment(&provider(keys, example)))
                .collect::<Vec<_>>()
                .join("#\n"),
            Some(keys) => comment(&format!("[[{section}]]\n{}", body(keys, section))),
            None => format!("[{section}]\n{}", body(KEYS, section)),
        });
    }
    file
}

/// The reference of all settings as Markdown.
pub fn reference_markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    for (section, doc) in SECTIONS {
        let rows = rows_of(section);
        let title = if rows.is_some() {
            format!("[[{section}]]")
        } else {
            format!("[{section}]")
        };
        let _ = write!(page, "\n## `{title}`\n\n{}\n\n", doc.replace('\n', " "));
        page.push_str("| Key | Default | Takes | Meaning |\n|---|---|---|---|\n");
        for key in rows
            .unwrap_or(KEYS)
            .iter()
            .filter(|key| key.section() == *section)
        {
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {} |",
                key.name(),
                default_cell(key),
                key.kind.described(),
                key.doc.replace('*', "\\*")
            );
        }
    }
    page.push_str("\n## Environment variables\n\n| Variable | Sets |\n|---|---|\n");
    for key in KEYS {
        let _ = writeln!(page, "| `{}` | `{}` |", env_name(key.path), key.path);
    }
    page
}

const INTRODUCTION: &str = "\
# Configuration

Defaults are overridden by `tidegate.toml`, that by environment variables, and those by flags. \
`tidegate config check` lists all problems at once, `tidegate config show --origin` says where \
each value comes from, `tidegate config init` writes a commented file with all defaults, and \
`tidegate config schema` prints a JSON Schema for editors. Unknown keys and unknown `TIDEGATE__` \
variables are errors.

Secrets are never written into the file: `env:NAME` names an environment variable and \
`file:PATH` a file that holds the secret.

Variables of the systems that tidegate unites set what nothing else does: `REDIS_URL`, or \
`REDIS_HOST` with `REDIS_PORT` and `REDIS_PASSWORD`, `store.url`; `REDIS_CACHE_DB` and \
`REDIS_SESSION_DB` the databases in it; `REDIS_CACHE_TTL_SECONDS` `cache.ttl_s`; \
`REDIS_CACHE_MAX_SIZE_MB`, in MiB, `cache.max_bytes`; `SESSION_TTL_SECONDS` `sessions.ttl_s`; \
`USE_CELERY=false` sets `tasks.inline`. \
The file, variables with `TIDEGATE__` and flags are stronger.

Without any `[[providers]]`, the environment sets them up: `OPENAI_API_KEY` or \
`OPENAI_BASE_URL` a provider named `openai`, `ANTHROPIC_API_KEY` one named `anthropic` for the \
names `claude-*`, `BEDROCK_MODEL_ID` (and `BEDROCK_FALLBACK_MODELS`, with commas) one named \
`bedrock` for that model. Every other model name goes to the first of them in this order; \
without any, the built-in `extractive` model answers. \
With exactly one provider and no `[[models]]`, every model name is passed on to it.
";

fn rows_of(section: &str) -> Option<&'static [Key]> {
    ARRAY_TABLES
        .iter()
        .find(|(name, _)| *name == section)
        .map(|(_, keys)| *keys)
}

fn body(keys: &[Key], section: &str) -> String {
    let lines = keys
        .iter()
        .filter(|key| key.section() == section)
        .map(|key| {
            let (name, takes) = (key.name(), key.kind.described());
            // Either it or the key before it, so that the example holds as it is.
            let or = if key.path == "schedules.every" {
                "# "
            } else {
                ""
            };
            format!("# {}\n{or}{name} = {}  # {takes}\n", key.doc, sample(key))
        });
    lines.collect()
}

/// The kinds of providers that the default file shows, with what their examples
/// say otherwise than the table does.
const PROVIDERS: [(&str, &[(&str, &str)]); 3] = [
    ("openai", &[]),
    (
        "anthropic",
        &[
            ("name", "\"anthropic\""),
            ("base_url", "\"https://api.anthropic.com\""),
            ("api_key", "\"env:ANTHROPIC_API_KEY\""),
            ("headers", "{ anthropic-beta = \"context-1m-2025-08-07\" }"),
        ],
    ),
    ("bedrock", &[("name", "\"bedrock\"")]),
];

/// One example: only what its kind takes.
fn provider(keys: &[Key], (kind, own): &(&str, &[(&str, &str)])) -> String {
    let line = |key: &Key| {
        let (name, takes) = (key.name(), key.kind.described());
        let own = own.iter().find(|(own, _)| *own == name);
        let value = match (name, own) {
            ("kind", _) => format!("\"{kind}\""),
            (_, Some((_, value))) => (*value).to_owned(),
            (_, None) => sample(key),
        };
        format!("# {}\n{name} = {value}  # {takes}\n", key.doc)
    };
    let taken = keys.iter().filter(|key| takes(kind, key.name()));
    format!("[[providers]]\n{}", taken.map(line).collect::<String>())
}

/// The default, or an example where there is none.
fn sample(key: &Key) -> String {
    match (key.default, key.default_found()) {
        (_, Some(found)) => found.value.shown(),
        (Fallback::Value(text) | Fallback::Required(text) | Fallback::Absent(text), None) => {
            text.to_owned()
        }
    }
}

fn default_cell(key: &Key) -> String {
    match key.default {
        Fallback::Value(_) => format!("`{}`", sample(key)),
        Fallback::Required(_) => "required".to_owned(),
        Fallback::Absent(_) => "none".to_owned(),
    }
}

fn comment(text: &str) -> String {
    text.lines().map(|line| format!("# {line}\n")).collect()
}
