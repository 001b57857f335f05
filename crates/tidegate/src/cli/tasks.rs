//! `tidegate tasks`: background tasks, without a server.

mod look;
mod submit;
mod watch;

use std::io::Write as _;
use std::sync::Arc;

use clap::{Args, Subcommand};
use tidegate_engine::{
    Caller, CancelOutcome, RetryError, Store, StoreError, SubmitError, Task, TaskEnd, TaskState,
    Tasks,
};

use super::place::Place;
use super::{Exit, runtime, store};
use crate::config::{Config, Loaded};
use crate::task_report::task_json;
use crate::wiring;

/// Arguments of `tasks`.
#[derive(Debug, Args)]
pub(super) struct TasksArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List tasks, the newest first
    #[command(after_help = look::LIST_HELP)]
    Ls(look::ListArgs),
    /// Show one task with its input and result
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        place: Place,
    },
    /// Submit a task, or many
    #[command(after_help = submit::HELP)]
    Submit(Box<submit::SubmitArgs>),
    /// Cancel tasks: those that run are told to stop
    Cancel {
        /// Their ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Take tasks up again that are dead or failed
    Retry {
        /// Their ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Watch a task until it has ended
    #[command(after_help = watch::HELP)]
    Watch {
        /// Its id
        id: String,
        #[command(flatten)]
        place: Place,
    },
    /// Count the tasks of all tenants by state, priority and kind
    Stats {
        #[command(flatten)]
        place: Place,
    },
}

/// The tasks of one tenant.
struct Desk {
    tasks: Tasks,
    caller: Caller,
}

pub(super) fn run(args: &TasksArgs) -> Exit {
    let loaded = match args.verb.place().source.load() {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    match runtime(None) {
        Ok(runtime) => {
            let exit = runtime.block_on(with_tasks(&args.verb, &loaded));
            // Standard input may never end.
            runtime.shutdown_background();
            exit
        }
        Err(error) => {
            eprintln!("error: the runtime does not start: {error}");
            Exit::Usage
        }
    }
}

async fn with_tasks(verb: &Verb, loaded: &Loaded) -> Exit {
    let (tasks, store) = match open(&loaded.config, |_| {}).await {
        Ok(opened) => opened,
        Err(exit) => return exit,
    };
    let exit = match wiring::tenant(&loaded.config, &verb.place().tenant) {
        Some(caller) => verb.run(&Desk { tasks, caller }).await,
        None => {
            let tenant = &verb.place().tenant;
            Failed::new(
                Exit::Usage,
                format!("no [[keys]] table names the tenant {tenant:?}"),
            )
            .told()
        }
    };
    store.close().await;
    exit
}

/// Background tasks in the store of a configuration, run on an engine of it.
pub(super) async fn open(
    config: &Config,
    on_end: impl Fn(&TaskEnd) + Send + Sync + 'static,
) -> Result<(Tasks, Store), Exit> {
    let (engine, store) = store::open_engine(config, "tasks").await?;
    let in_force = Arc::new(wiring::Alone::new(engine.clone(), config));
    let tasks = engine.tasks(wiring::tasks_config(config), in_force, on_end);
    Ok((tasks, store))
}

/// Why a command did not do what it was asked for.
struct Failed {
    exit: Exit,
    message: String,
}

impl Failed {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { exit, message }
    }

    fn absent(id: &str) -> Self {
        Self::new(
            Exit::Usage,
            format!("there is no task {id:?} of this tenant (any more)"),
        )
    }

    fn told(self) -> Exit {
        eprintln!("error: {}", self.message);
        self.exit
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::new(Exit::Unreachable, error.to_string())
    }
}

impl From<SubmitError> for Failed {
    fn from(error: SubmitError) -> Self {
        match &error {
            SubmitError::Store(_) | SubmitError::Full { .. } => {
                Self::new(Exit::Unreachable, error.to_string())
            }
            SubmitError::Input(_)
            | SubmitError::TooLarge { .. }
            | SubmitError::Field { .. }
            | SubmitError::Cycle(_)
            | SubmitError::Twice(_)
            | SubmitError::Missing { .. }
            | SubmitError::Crowded { .. }
            | SubmitError::Conflict { .. }
            | SubmitError::NoId => Self::new(Exit::Usage, error.to_string()),
        }
    }
}

impl Verb {
    fn place(&self) -> &Place {
        match self {
            Self::Ls(args) => &args.place,
            Self::Submit(args) => &args.place,
            Self::Show { place, .. }
            | Self::Cancel { place, .. }
            | Self::Retry { place, .. }
            | Self::Watch { place, .. }
            | Self::Stats { place } => place,
        }
    }

    async fn run(&self, desk: &Desk) -> Exit {
        let shape = Shape::of(self.place());
        let done = match self {
            Self::Ls(args) => look::list(desk, args).await,
            Self::Show { id, .. } => look::show(desk, id, shape).await,
            Self::Submit(args) => submit::submit(desk, args).await,
            Self::Cancel { ids, .. } => Ok(cancel(desk, ids, shape).await),
            Self::Retry { ids, .. } => Ok(retry(desk, ids, shape).await),
            Self::Watch { id, .. } => watch::watch(desk, id, shape).await,
            Self::Stats { .. } => look::stats(desk, shape).await,
        };
        done.unwrap_or_else(Failed::told)
    }
}

/// How something is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Text,
    Json,
}

impl Shape {
    fn of(place: &Place) -> Self {
        if place.json { Self::Json } else { Self::Text }
    }
}

impl Desk {
    async fn task(&self, id: &str) -> Result<Task, Failed> {
        let task = self.tasks.get(&self.caller, id).await?;
        task.ok_or_else(|| Failed::absent(id))
    }

    /// Shows a task that something was done to.
    async fn told(&self, id: &str, shape: Shape, text: &str) -> Result<(), Failed> {
        match shape {
            Shape::Json => print(&task_json(&self.task(id).await?).to_string()),
            Shape::Text => print(text),
        }
        Ok(())
    }
}

/// Cancels one after another; what is wrong with one does not keep the others.
async fn cancel(desk: &Desk, ids: &[String], shape: Shape) -> Exit {
    let mut exit = Exit::Clean;
    for id in ids {
        if let Err(failed) = cancel_one(desk, id, shape).await {
            exit = failed.told();
        }
    }
    exit
}

async fn cancel_one(desk: &Desk, id: &str, shape: Shape) -> Result<(), Failed> {
    let text = match desk.tasks.cancel(&desk.caller, id).await? {
        CancelOutcome::Cancelled => format!("{id} is cancelled"),
        CancelOutcome::Stopping => format!("{id} runs, and was told to stop"),
        CancelOutcome::Ended(state) => format!("{id} had ended before: {state}"),
        CancelOutcome::Missing => return Err(Failed::absent(id)),
    };
    desk.told(id, shape, &text).await
}

async fn retry(desk: &Desk, ids: &[String], shape: Shape) -> Exit {
    let mut exit = Exit::Clean;
    for id in ids {
        if let Err(failed) = retry_one(desk, id, shape).await {
            exit = failed.told();
        }
    }
    exit
}

async fn retry_one(desk: &Desk, id: &str, shape: Shape) -> Result<(), Failed> {
    match desk.tasks.retry(&desk.caller, id).await {
        Ok(()) => desk.told(id, shape, &format!("{id} is queued again")).await,
        Err(RetryError::Store(error)) => Err(error.into()),
        Err(error) => Err(Failed::new(Exit::Usage, format!("{id}: {error}"))),
    }
}

/// How a command ends that has waited for a task.
fn exit_of(state: TaskState) -> Exit {
    if state == TaskState::Succeeded {
        Exit::Clean
    } else {
        Exit::Findings
    }
}

fn print(line: &str) {
    // A closed pipe ends the listing.
    let _ = writeln!(std::io::stdout(), "{line}");
}
