//! The command line.

mod cache;
mod config;
mod doctor;
mod mock;
mod models;
mod place;
mod progress;
mod prompts;
mod rules;
mod scan;
mod serve;
mod sessions;
mod signals;
mod source;
mod store;
mod tasks;
mod toon;
mod worker;

use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

/// The gate that an application's LLM traffic flows through.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, about, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "Exit codes: 0 clean, 1 findings, 2 usage or configuration, \
3 upstream or store unreachable, 4 partial result, 130 interrupted.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start the gateway
    #[command(after_help = serve::SIGNALS)]
    Serve(serve::ServeArgs),
    /// Work at background tasks that a gateway leaves to others
    #[command(after_help = worker::HELP)]
    Worker(worker::WorkerArgs),
    /// Start a scripted upstream for tests and benchmarks
    Mock(mock::MockArgs),
    /// Scan texts, files and folders for attacks and leaks
    Scan(scan::ScanArgs),
    /// List, show, try and compare the rules of the guard
    Rules(rules::RulesArgs),
    /// List, show, render and try prompts
    Prompts(prompts::PromptsArgs),
    /// Show, forget or warm what a gateway keeps
    Cache(cache::CacheArgs),
    /// Check, show or write configuration
    Config(config::ConfigArgs),
    /// List the configured models
    Models(models::ModelsArgs),
    /// List, show, make, delete and export sessions
    Sessions(sessions::SessionsArgs),
    /// List, show, submit, cancel, retry and watch background tasks
    Tasks(tasks::TasksArgs),
    /// Write JSON in fewer tokens, read it back, and say what that saves
    Toon(toon::ToonArgs),
    /// Say what works, what does not, and why
    Doctor(doctor::DoctorArgs),
    /// Write completions for a shell to standard output
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Args)]
struct ConfigSource {
    /// Configuration file; `tidegate.toml` in the current folder if it is there
    #[arg(long, short, value_name = "FILE", env = "TIDEGATE_CONFIG")]
    config: Option<std::path::PathBuf>,
    /// Override one setting, `--set server.bind=127.0.0.1:9000`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = source::key_value)]
    overrides: Vec<(String, String)>,
}

/// How a command ended; the only place that knows numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Clean,
    Findings,
    Usage,
    Unreachable,
    Partial,
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Clean => Self::SUCCESS,
            Exit::Findings => Self::from(1),
            Exit::Usage => Self::from(2),
            Exit::Unreachable => Self::from(3),
            Exit::Partial => Self::from(4),
            Exit::Interrupted => Self::from(130),
        }
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let exit = match Cli::parse().verb {
        Verb::Serve(args) => serve::run(&args),
        Verb::Worker(args) => worker::run(&args),
        Verb::Mock(args) => mock::run(&args),
        Verb::Scan(args) => scan::run(&args),
        Verb::Rules(args) => rules::run(&args),
        Verb::Prompts(args) => prompts::run(&args),
        Verb::Cache(args) => cache::run(&args),
        Verb::Config(args) => config::run(&args),
        Verb::Models(args) => models::run(&args),
        Verb::Sessions(args) => sessions::run(&args),
        Verb::Tasks(args) => tasks::run(&args),
        Verb::Toon(args) => toon::run(&args),
        Verb::Doctor(args) => doctor::run(&args),
        Verb::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Cli::command(),
                "tidegate",
                &mut std::io::stdout(),
            );
            Exit::Clean
        }
    };
    exit.into()
}

/// A runtime with a thread per core, or all in this thread where there is one.
fn runtime(workers: Option<usize>) -> std::io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    match workers.unwrap_or(cores) {
        1 => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build(),
        workers => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_all()
            .build(),
    }
}
