//! `tidegate cache`: asks a running gateway, since what lies in the memory of a
//! process only that process can see or forget.

mod server;
mod warm;

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::{ConfigSource, Exit, runtime};
use server::{Server, Trouble};

/// Arguments of `cache`.
#[derive(Debug, Args)]
pub(super) struct CacheArgs {
    #[command(subcommand)]
    verb: Verb,
}

const ABOUT_SERVER: &str = "Asks a running gateway over HTTP. With store.url = \"redis://…\" any \
node will do: all of them hear of it. With the cache in memory each node has its own.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what the cache has done and whether it can be used
    #[command(after_help = ABOUT_SERVER)]
    Stats {
        #[command(flatten)]
        at: ServerArgs,
        #[command(flatten)]
        printing: Printing,
    },
    /// Forget what is kept
    #[command(after_help = ABOUT_SERVER)]
    Invalidate {
        #[command(flatten)]
        what: What,
        /// Another tenant than the key's own, or `*` for all of them; for operators
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
        #[command(flatten)]
        at: ServerArgs,
        #[command(flatten)]
        printing: Printing,
    },
    /// Put answers into the cache before anybody asks for them
    #[command(after_help = warm::FORMAT)]
    Warm {
        /// One JSON object a line; `-` is standard input
        file: PathBuf,
        #[command(flatten)]
        at: ServerArgs,
        #[command(flatten)]
        printing: Printing,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// One key, in every namespace
    #[arg(long)]
    key: Option<String>,
    /// All that carry a tag, such as `model:gpt-4o`
    #[arg(long)]
    tag: Option<String>,
    /// All of a domain
    #[arg(long)]
    domain: Option<String>,
    /// All of a namespace: `answer` or `scan`
    #[arg(long)]
    namespace: Option<String>,
    /// All whose key begins like this
    #[arg(long)]
    prefix: Option<String>,
}

/// Which gateway, and how to get in.
#[derive(Debug, Args)]
struct ServerArgs {
    /// The gateway; the one that the configuration starts unless given
    #[arg(long, value_name = "URL")]
    server: Option<http::Uri>,
    /// The key to come in with: `env:NAME` or `file:PATH`
    #[arg(long, value_name = "REFERENCE")]
    auth: Option<String>,
    #[command(flatten)]
    source: ConfigSource,
}

/// In what form a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
}

/// How a result is printed.
#[derive(Debug, Args)]
struct Printing {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Printing {
    fn form(&self) -> Form {
        if self.json { Form::Json } else { Form::Text }
    }
}

pub(super) fn run(args: &CacheArgs) -> Exit {
    let (Verb::Stats { at, .. } | Verb::Invalidate { at, .. } | Verb::Warm { at, .. }) = &args.verb;
    let server = match Server::find(at) {
        Ok(server) => server,
        Err(trouble) => return trouble.tell(),
    };
    match runtime(Some(1)) {
        Ok(runtime) => runtime.block_on(ask(&args.verb, &server)),
        Err(error) => {
            eprintln!("error: the runtime does not start: {error}");
            Exit::Usage
        }
    }
}

async fn ask(verb: &Verb, server: &Server) -> Exit {
    let (answer, form) = match verb {
        Verb::Stats { printing, .. } => (server.get("/v1/cache/stats").await, printing.form()),
        Verb::Invalidate {
            what,
            tenant,
            printing,
            ..
        } => {
            let body = what.body(tenant.as_deref()).to_string();
            let answer = server.post("/v1/cache/invalidate", body.into()).await;
            (answer, printing.form())
        }
        Verb::Warm { file, printing, .. } => return warm::run(server, file, printing.form()).await,
    };
    match answer {
        Ok(answer) => print(&answer, form),
        Err(trouble) => trouble.tell(),
    }
}

impl What {
    fn body(&self, tenant: Option<&str>) -> Value {
        let fields = [
            ("key", self.key.as_deref()),
            ("tag", self.tag.as_deref()),
            ("domain", self.domain.as_deref()),
            ("namespace", self.namespace.as_deref()),
            ("prefix", self.prefix.as_deref()),
            ("tenant", tenant),
        ];
        let given = fields.into_iter().filter_map(|(name, value)| {
            let value = Value::from(value?);
            Some((name.to_owned(), value))
        });
        Value::Object(given.collect())
    }
}

/// One object as it came, or a line for each of its fields.
fn print(answer: &Value, form: Form) -> Exit {
    let mut text = String::new();
    match answer.as_object() {
        Some(fields) if form == Form::Text => lines("", fields, &mut text),
        Some(_) | None => text = format!("{answer}\n"),
    }
    // A closed pipe is the reader's business.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Exit::Clean
}

fn lines(prefix: &str, fields: &Map<String, Value>, text: &mut String) {
    for (name, value) in fields {
        match value {
            Value::Object(inner) => lines(&format!("{prefix}{name}."), inner, text),
            Value::Null => {}
            Value::String(word) => text.push_str(&format!("{prefix}{name}  {word}\n")),
            other => text.push_str(&format!("{prefix}{name}  {other}\n")),
        }
    }
}

impl Trouble {
    fn tell(&self) -> Exit {
        eprintln!("error: {self}");
        self.exit()
    }
}
