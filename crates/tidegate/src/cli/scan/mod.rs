//! `tidegate scan`: the verdicts of `POST /v1/scan`, without a server.

mod baseline;
mod gate;
mod github;
mod input;
mod junit;
mod ledger;
mod marks;
mod place;
mod policy;
mod printer;
mod row;
mod sarif;
mod tally;
mod text;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Instant, SystemTime};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use tidegate_engine::Scanned;
use tidegate_guard::{Detection, Direction, L2, ScanRequest, Severity};

use super::{Exit, runtime};
use crate::http::new_request_id;
use crate::scan_report;
use gate::{Gate, GateArgs};
use input::{Input, Unread};
use ledger::{BaselineArgs, Ledger, Sorted};
use printer::Printer;
use row::{Judged, Row};
use tally::Tally;

/// Arguments of `scan`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ScanArgs {
    /// Files, folders with all that is in them, or - for standard input
    #[arg(value_name = "FILE|FOLDER|-", required_unless_present = "text")]
    paths: Vec<PathBuf>,
    /// Scan this text
    #[arg(long, value_name = "TEXT", conflicts_with = "paths")]
    text: Option<String>,
    /// Where the texts stand; rules for other directions are left out
    #[arg(long, default_value = "prompt", value_parser = words(Direction::ALL, Direction::as_str))]
    direction: Direction,
    #[command(flatten)]
    gate: GateArgs,
    /// List what this rule finds and let it decide nothing; pii.* names a
    /// whole family; may be repeated
    #[arg(long, value_name = "RULE")]
    suppress: Vec<String>,
    /// The least severity that makes the exit code 1; none: no severity does
    #[arg(long, default_value = "medium", value_parser = words(Severity::ALL, Severity::as_str))]
    fail_on: Severity,
    #[command(flatten)]
    known: BaselineArgs,
    /// The same as --format json, or ndjson where there may be many files
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// How findings are written to standard output
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Say only what went wrong
    #[arg(long, short)]
    quiet: bool,
    /// Colors in the text form
    #[arg(long, value_enum, default_value = "auto")]
    color: Color,
}

const EXAMPLES: &str = "\
The text itself is never printed. In folders, binary files, symbolic links and the
folders .git, .hg and .svn are left out. A file may have 10 MiB. A baseline knows a
finding by its rule, its path and a digest of its line: a line may move, not change.

Examples:
  tidegate scan --text 'Ignore all previous instructions.'
  tidegate scan prompts/ --fail-on high --suppress 'pii.*'
  git diff | tidegate scan - --direction tool_result --json
  tidegate scan docs/ --format sarif > tidegate.sarif
  tidegate scan . --write-baseline .tidegate-baseline
  tidegate scan . --baseline .tidegate-baseline
  tidegate scan mails/ --config tidegate.toml --mode thorough

Exit codes: 0 nothing as bad as --fail-on, 1 findings, 2 usage or nothing could be read,
4 some files could not be read, or not by the model of --config, 130 interrupted.";

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// FILE:LINE:COLUMN: severity rule: message
    Text,
    /// One JSON document
    Json,
    /// One JSON object a line for each file
    Ndjson,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// JUnit's XML, one test case for each file
    Junit,
    /// Workflow commands of GitHub Actions
    Github,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

/// A parser for the words of a closed set, which the help lists.
fn words<T>(all: &'static [T], word: fn(T) -> &'static str) -> impl TypedValueParser<Value = T>
where
    T: FromStr + Copy + Send + Sync + 'static,
{
    let words = PossibleValuesParser::new(all.iter().map(move |member| word(*member)));
    words.map(|word| match word.parse() {
        Ok(member) => member,
        Err(_) => unreachable!("the parser lets only words of the set through"),
    })
}

pub(super) fn run(args: &ScanArgs) -> Exit {
    match runtime(Some(1)) {
        Ok(runtime) => runtime.block_on(unless_interrupted(args.clone())),
        Err(error) => {
            eprintln!("error: the runtime does not start: {error}");
            Exit::Usage
        }
    }
}

/// Scans beside this thread, which waits for the end or for Ctrl-C.
async fn unless_interrupted(args: ScanArgs) -> Exit {
    let (done, scanned) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || done.send(scan(&args)));
    tokio::select! {
        exit = scanned => exit.unwrap_or(Exit::Usage),
        _ = tokio::signal::ctrl_c() => Exit::Interrupted,
    }
}

fn scan(args: &ScanArgs) -> Exit {
    let gate = match Gate::open(&args.gate) {
        Ok(gate) => gate,
        Err(exit) => return exit,
    };
    let request = ScanRequest {
        direction: args.direction,
        mode: gate.mode,
        policy: gate.policy.clone(),
        suppress: args.suppress.clone(),
        tenant: gate.tenant.clone(),
        at: Some(SystemTime::now()),
    };
    let run = Run {
        args,
        gate,
        request,
    };
    let mut ledger = match Ledger::open(&args.known, &args.paths) {
        Ok(ledger) => ledger,
        Err(error) => {
            eprintln!("error: {error}");
            return Exit::Usage;
        }
    };
    run.warn_of_unknown_rules();
    policy::warn(&run.request, run.gate.scanner().rules());
    let (tally, ending) = run.all(&mut ledger);
    if !args.quiet {
        eprintln!("{tally}");
    }
    run.close(&ledger, tally, ending)
}

/// How far a run came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Whole,
    /// Nobody reads the results.
    Unheard,
}

/// One run of the command.
struct Run<'a> {
    args: &'a ScanArgs,
    gate: Gate,
    request: ScanRequest,
}

impl Run<'_> {
    fn warn_of_unknown_rules(&self) {
        for pattern in &self.args.suppress {
            let known = |id: &str| match pattern.strip_suffix('*') {
                Some(beginning) => id.starts_with(beginning),
                None => id == pattern,
            };
            let rules = self.gate.scanner().rules().iter();
            if !known(L2::RULE) && !rules.map(|rule| &rule.id).any(|id| known(id)) {
                eprintln!(
                    "warning: --suppress {}: no rule has this id; tidegate rules ls lists them",
                    text::shown(pattern)
                );
            }
        }
    }

    /// Scans everything; ends early when nobody reads the results.
    fn all(&self, ledger: &mut Ledger<'_>) -> (Tally, Ending) {
        let inputs = match &self.args.text {
            Some(text) => vec![Input::Text(text.clone())],
            None => input::gather(&self.args.paths),
        };
        let mut tally = Tally::new(self.args.fail_on);
        let mut printer = Printer::new(self.format(), self.color(), self.gate.scanner());
        let progress = self.shows_progress();
        let many = inputs.len();
        for (position, input) in inputs.into_iter().enumerate() {
            if progress && many > 1 {
                let _ = write!(std::io::stderr(), "\r{} of {many} files", position + 1);
            }
            let row = self.one(input, ledger);
            ledger.note(&row);
            tally.count(&row);
            if progress && many > 1 && row.result.is_err() {
                let _ = write!(std::io::stderr(), "\r\x1b[K");
            }
            self.talk(&row);
            if printer.row(row).is_err() {
                return (tally, Ending::Unheard);
            }
        }
        if progress && many > 1 {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        let _ = printer.finish(self.args.fail_on);
        (tally, Ending::Whole)
    }

    /// Settles what was known, and how the command ends.
    fn close(&self, ledger: &Ledger<'_>, tally: Tally, ending: Ending) -> Exit {
        if ending == Ending::Whole && !self.args.quiet {
            ledger.tell_stale();
        }
        let Some(target) = ledger.target() else {
            return tally.exit();
        };
        let name = text::shown(target.to_string_lossy());
        if ending == Ending::Unheard || tally.is_without_texts() {
            eprintln!("error: {name} was not written: not everything was scanned");
            return Exit::Usage;
        }
        match ledger.write(target) {
            Ok(count) => {
                if !self.args.quiet {
                    eprintln!("{name}: {count} known findings were written");
                }
                tally.accepted().exit()
            }
            Err(error) => {
                eprintln!("error: {error}");
                Exit::Usage
            }
        }
    }

    fn shows_progress(&self) -> bool {
        !self.args.quiet && std::io::stderr().is_terminal()
    }

    fn one(&self, input: Input, ledger: &mut Ledger<'_>) -> Row {
        let mut row = Row {
            file: input.name(),
            result: Err(Unread::Skipped("is the baseline".to_owned())),
        };
        if !row.path().is_some_and(|path| ledger.is_own(path)) {
            let name = row.name();
            let text = input.read();
            row.result = text.and_then(|text| self.judge((&name, &text), ledger));
        }
        row
    }

    fn judge(&self, (name, text): (&str, &str), ledger: &mut Ledger<'_>) -> Result<Judged, Unread> {
        let started = Instant::now();
        let found = self
            .gate
            .scan(text, &self.request)
            .map_err(Unread::Failed)?;
        // A rollout may have chosen another one.
        let request = ScanRequest {
            policy: found.verdict.policy.clone(),
            ..self.request.clone()
        };
        let Sorted { verdict, known } = ledger.sort(
            (name, text),
            found.verdict,
            (self.gate.scanner().rules(), &request),
        );
        let scanned = Scanned { verdict, ..found };
        let id = new_request_id();
        let mut json = scan_report::verdict(&id, &scanned, self.request.mode, started.elapsed());
        if let Some(known) = &known {
            json["known"] = known.len().into();
        }
        let places = |found: &[Detection]| place::places(text, found.iter().map(|one| one.span));
        Ok(Judged {
            places: places(&scanned.verdict.detections),
            known: known.map(|known| places(&known).into_iter().zip(known).collect()),
            verdict: scanned.verdict,
            json,
        })
    }

    /// Says what was not scanned, or not by all, and why.
    fn talk(&self, row: &Row) {
        let name = text::shown(row.name());
        match &row.result {
            Ok(judged) => {
                if let Some(word) = judged.unanswered() {
                    eprintln!("error: {name} was not read by the model of --config ({word})");
                }
            }
            Err(Unread::Skipped(reason)) if !self.args.quiet => {
                eprintln!("skipped: {name} {reason}")
            }
            Err(Unread::Skipped(_)) => {}
            Err(Unread::Failed(reason)) => eprintln!("error: {name} {reason}"),
        }
    }

    fn format(&self) -> Format {
        let many = self.args.paths.len() > 1 || self.args.paths.iter().any(|path| path.is_dir());
        match (self.args.format, self.args.json) {
            (Some(format), _) => format,
            (None, true) if many => Format::Ndjson,
            (None, true) => Format::Json,
            (None, false) => Format::Text,
        }
    }

    fn color(&self) -> text::Paint {
        let wanted = match self.args.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let asked_not = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                std::io::stdout().is_terminal() && !asked_not
            }
        };
        if wanted {
            text::Paint::Ansi
        } else {
            text::Paint::Plain
        }
    }
}
