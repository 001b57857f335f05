#![doc = include_str!("../README.md")]

pub mod cli;
pub mod config;
mod http;
mod logging;
mod metrics;
mod prompt_report;
mod scan_report;
mod server;
mod task_report;
mod toon_report;
mod traces;
mod wiring;

pub use http::{
    AccessLog, Draft, Fact, Gate, GateSettings, Holds, HostPolicy, KeyRing, Mistake, Pass, Role,
    Source, app, openapi_json,
};
pub use server::{Server, Shutdown};
pub use traces::{Upstreams, trace_names_markdown};
