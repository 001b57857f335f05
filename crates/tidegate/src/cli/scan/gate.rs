//! What reads the texts: the rules and the classifier of this build, or everything
//! that a configuration names, asked as its gateway asks it.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tidegate_engine::{CacheUse, Caller, Engine, PolicySource, ScanTerms, Scanned, scan_here};
use tidegate_guard::{ClassifierTerms, Mode, Policy, Rules, ScanRequest, Scanner};
use tokio::runtime::Runtime;

use super::{policy, words};
use crate::cli::{ConfigSource, Exit, runtime};
use crate::config::{Level, Log, LogFormat};
use crate::{logging, wiring};

/// What is said of who reads the texts.
#[derive(Debug, Clone, Args)]
pub(super) struct GateArgs {
    /// Scan as the gateway of this configuration would: with its rules, its model,
    /// its policies, its mode
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What decides between flag and block: monitor, default, strict, a policy of
    /// --config by its id, or the file of a policy
    #[arg(long, value_name = "NAME|FILE")]
    policy: Option<String>,
    /// How thorough: rules only, rules and the classifier unless they are sure by
    /// themselves, or always both [default: balanced, or that of --config]
    #[arg(long, value_parser = words(Mode::ALL, Mode::as_str))]
    mode: Option<Mode>,
}

/// What reads the texts, and how unless a text says otherwise.
pub(super) struct Gate {
    readers: Readers,
    pub(super) mode: Mode,
    pub(super) policy: Policy,
    source: PolicySource,
    /// Whose texts they are, where policies know tenants.
    pub(super) tenant: Option<Arc<str>>,
}

enum Readers {
    Builtin(Box<Scanner>),
    Configured(Box<Configured>),
}

struct Configured {
    engine: Engine,
    runtime: Runtime,
    /// As at a gateway without keys.
    caller: Caller,
    /// Why a model has not answered is said in the log.
    _log: Option<logging::LogGuard>,
}

impl Gate {
    /// Loads what is asked. What is wrong with it goes to standard error.
    pub(super) fn open(args: &GateArgs) -> Result<Self, Exit> {
        let opened = match &args.config {
            None => Self::builtin(args),
            Some(file) => {
                let source = ConfigSource {
                    config: Some(file.clone()),
                    overrides: Vec::new(),
                };
                let loaded = source.load()?;
                Self::configured(args, wiring::engine_config(&loaded.config))
            }
        };
        opened.map_err(|error| {
            eprintln!("error: {error}");
            Exit::Usage
        })
    }

    fn builtin(args: &GateArgs) -> Result<Self, String> {
        let rules = Rules::builtin().map_err(|error| format!("the rules do not load: {error}"))?;
        let scanner = Scanner::with_builtin(Arc::new(rules), ClassifierTerms::builtin());
        let chosen = match &args.policy {
            Some(given) => (policy::find(given, &[])?, PolicySource::Request),
            None => (Policy::default(), PolicySource::Default),
        };
        Ok(Self {
            readers: Readers::Builtin(Box::new(scanner)),
            mode: args.mode.unwrap_or_default(),
            policy: chosen.0,
            source: chosen.1,
            tenant: None,
        })
    }

    fn configured(args: &GateArgs, config: tidegate_engine::EngineConfig) -> Result<Self, String> {
        let engine = Engine::assemble(config).map_err(|error| error.to_string())?;
        let caller = Caller::default();
        let chosen = match &args.policy {
            Some(given) => (
                policy::find(given, &engine.policies())?,
                PolicySource::Request,
            ),
            None => {
                let chosen = engine.choose_policy(&caller, None);
                let chosen = chosen.map_err(|error| error.to_string())?;
                (chosen.policy, chosen.source)
            }
        };
        let runtime = runtime(Some(1));
        let runtime = runtime.map_err(|error| format!("the runtime does not start: {error}"))?;
        Ok(Self {
            mode: args.mode.unwrap_or(engine.scan_mode()),
            policy: chosen.0,
            source: chosen.1,
            tenant: Some(caller.tenant().into()),
            readers: Readers::Configured(Box::new(Configured {
                engine,
                runtime,
                caller,
                _log: log(),
            })),
        })
    }

    /// The rules, and what is known of the classifier.
    pub(super) fn scanner(&self) -> &Scanner {
        match &self.readers {
            Readers::Builtin(scanner) => scanner,
            Readers::Configured(configured) => configured.engine.scanner(),
        }
    }

    /// The verdict on a text.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn scan(&self, text: &str, request: &ScanRequest) -> Result<Scanned, String> {
        match &self.readers {
            Readers::Builtin(scanner) => Ok(Scanned {
                source: self.source,
                ..scan_here(scanner, text, request)
            }),
            Readers::Configured(configured) => {
                let terms = ScanTerms {
                    caller: &configured.caller,
                    cache: CacheUse::Skip,
                    source: self.source,
                };
                let (text, request) = (text.to_owned(), request.clone());
                let scan = configured.engine.scan_or_recall(text, request, terms);
                let scanned = configured.runtime.block_on(scan);
                scanned.map_err(|error| format!("was not scanned: {error}"))
            }
        }
    }
}

/// Without it only the reasons are missing.
fn log() -> Option<logging::LogGuard> {
    let log = Log {
        level: Level::Warn,
        format: LogFormat::Text,
        access: false,
    };
    logging::init(&log).ok()
}
