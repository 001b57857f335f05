#![doc = include_str!("../README.md")]

pub mod cli;
pub mod config;
mod http;
mod logging;
mod metrics;
mod server;
mod traces;
mod wiring;

pub use http::{AccessLog, Gate, GateSettings, app, openapi_json};
pub use server::{Server, Shutdown};
pub use traces::{Upstreams, trace_names_markdown};
