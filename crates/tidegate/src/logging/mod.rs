//! Logs on standard error: text on a terminal, JSON lines elsewhere.

mod batched;

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;

use crate::config::{Level, Log, LogFormat};
use batched::Batched;
pub(crate) use batched::LogGuard;

/// Installs the subscriber; what is logged is written until the guard drops.
///
/// # Errors
/// When the thread that writes cannot be started.
pub(crate) fn init(log: &Log) -> io::Result<LogGuard> {
    let (writer, guard) = Batched::start()?;
    let filter = EnvFilter::default().add_directive(level(log.level).into());
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_target(false);
    // A second subscriber in one process is refused; the first one stays.
    let _ = if is_json(log.format) {
        let json = builder.json().flatten_event(true);
        json.with_current_span(false)
            .with_span_list(false)
            .try_init()
    } else {
        builder.with_ansi(io::stderr().is_terminal()).try_init()
    };
    Ok(guard)
}

fn is_json(format: LogFormat) -> bool {
    match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
    }
}

fn level(level: Level) -> LevelFilter {
    match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}
