//! `tidegate sessions`: the conversations that are kept, without a server.

use std::io::Write as _;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tidegate_engine::{
    Caller, Change, Deadline, Engine, EngineError, Quota, Session, SessionError, SessionPatch,
};

use super::place::Place;
use super::{Exit, runtime, store};
use crate::config::Loaded;
use crate::http::{session_json, summary_json};

/// Arguments of `sessions`.
#[derive(Debug, Args)]
pub(super) struct SessionsArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the sessions of a user, in the order in which they were made
    List {
        /// The user
        #[arg(long, value_name = "USER")]
        user: String,
        #[command(flatten)]
        place: Place,
    },
    /// Show one session, which lives on for it
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        place: Place,
    },
    /// Make an empty session
    Create {
        /// The user whose it is
        #[arg(long, value_name = "USER")]
        user: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Delete one session
    Delete {
        /// Its id
        id: String,
        #[command(flatten)]
        place: Place,
    },
    /// Write all sessions of a user with all that was said, one JSON object a line
    Export {
        /// The user
        #[arg(long, value_name = "USER")]
        user: String,
        #[command(flatten)]
        place: Place,
    },
}

/// What a command may wait for a session that a request uses.
const PATIENCE: Duration = Duration::from_secs(10);
/// Sessions that are read at a time.
const PAGE: usize = 50;

pub(super) fn run(args: &SessionsArgs) -> Exit {
    let place = args.verb.place();
    let loaded = match place.source.load() {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    match runtime(Some(1)) {
        Ok(runtime) => runtime.block_on(with_engine(&args.verb, &loaded)),
        Err(error) => {
            eprintln!("error: the runtime does not start: {error}");
            Exit::Usage
        }
    }
}

async fn with_engine(verb: &Verb, loaded: &Loaded) -> Exit {
    let (engine, store) = match store::open_engine(&loaded.config, "sessions").await {
        Ok(opened) => opened,
        Err(exit) => return exit,
    };
    let done = verb.run(&engine).await;
    store.close().await;
    match done {
        Ok(()) => Exit::Clean,
        Err(error) => {
            eprintln!("error: {error}");
            exit_of(&error)
        }
    }
}

fn exit_of(error: &EngineError) -> Exit {
    let unreachable = matches!(
        error,
        EngineError::Session(SessionError::Store(_) | SessionError::Locked { .. })
    );
    if unreachable {
        Exit::Unreachable
    } else {
        Exit::Usage
    }
}

impl Verb {
    fn place(&self) -> &Place {
        match self {
            Self::List { place, .. }
            | Self::Show { place, .. }
            | Self::Create { place, .. }
            | Self::Delete { place, .. }
            | Self::Export { place, .. } => place,
        }
    }

    async fn run(&self, engine: &Engine) -> Result<(), EngineError> {
        let Place { tenant, json, .. } = self.place();
        let caller = Caller::new(tenant, Quota::unlimited());
        match self {
            Self::List { user, .. } => {
                each(engine, &caller, user, |session| {
                    print(match json {
                        true => summary_json(session).to_string(),
                        false => line(&summary_json(session)),
                    })
                })
                .await?
            }
            Self::Export { user, .. } => {
                each(engine, &caller, user, |session| {
                    print(session_json(session).to_string())
                })
                .await?;
            }
            Self::Show { id, .. } => {
                let session = session_json(&engine.session(&caller, id).await?);
                print(match json {
                    true => session.to_string(),
                    false => text(&session),
                });
            }
            Self::Create { user, .. } => {
                let patch = SessionPatch {
                    user_id: user.clone().map_or(Change::Keep, Change::To),
                    ..SessionPatch::default()
                };
                let session = engine.create_session(&caller, patch).await?;
                print(match json {
                    true => session_json(&session).to_string(),
                    false => session.id,
                });
            }
            Self::Delete { id, .. } => {
                let deadline = Deadline::after(PATIENCE);
                engine.delete_session(&caller, id, deadline).await?;
                match json {
                    true => drop(print(json!({"deleted": id}).to_string())),
                    false => eprintln!("session {id} is deleted"),
                }
            }
        }
        Ok(())
    }
}

/// Shows every session of a user until nobody reads any more.
async fn each(
    engine: &Engine,
    caller: &Caller,
    user: &str,
    show: impl Fn(&Session) -> Printed,
) -> Result<(), EngineError> {
    let mut after = None;
    loop {
        let page = engine
            .sessions_of(caller, user, after.as_deref(), PAGE)
            .await?;
        if page
            .sessions
            .iter()
            .any(|session| show(session) == Printed::Closed)
        {
            return Ok(());
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

/// Whether somebody still reads what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Printed {
    Read,
    Closed,
}

fn print(line: String) -> Printed {
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => Printed::Read,
        Err(_) => Printed::Closed,
    }
}

fn word(session: &Value, field: &str) -> String {
    session[field].as_str().unwrap_or("-").to_owned()
}

fn line(session: &Value) -> String {
    format!(
        "{}  {} messages  used {}  until {}",
        word(session, "id"),
        session["message_count"],
        word(session, "last_accessed_at"),
        word(session, "expires_at"),
    )
}

fn text(session: &Value) -> String {
    let mut text = format!(
        "session {}\nuser    {}\nmade    {}\nused    {}\nuntil   {}",
        word(session, "id"),
        word(session, "user_id"),
        word(session, "created_at"),
        word(session, "last_accessed_at"),
        word(session, "expires_at"),
    );
    for (title, field) in [("preferences", "preferences"), ("data", "data")] {
        text.push_str(&format!("\n{title}: {}", session[field]));
    }
    for message in session["messages"].as_array().into_iter().flatten() {
        let said = match message["content"].as_str() {
            Some(said) => said.to_owned(),
            None => message["content"].to_string(),
        };
        let (at, role) = (word(message, "at"), word(message, "role"));
        text.push_str(&format!("\n\n{at} {role}\n{said}"));
        if let Some(calls) = message.get("tool_calls") {
            text.push_str(&format!("\n{calls}"));
        }
    }
    text
}
