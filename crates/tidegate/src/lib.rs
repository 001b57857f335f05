#![doc = include_str!("../README.md")]

pub mod cli;
pub mod config;
mod http;
mod logging;
mod metrics;
mod server;
mod wiring;

pub use http::{
    AccessLog, Draft, Fact, Gate, GateSettings, Holds, KeyRing, Mistake, Source, app, openapi_json,
};
pub use server::{Server, Shutdown};
