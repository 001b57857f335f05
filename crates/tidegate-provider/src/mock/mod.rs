//! A scripted upstream, for tests in virtual time, load tests and fault soaks.
//!
//! What an upstream does with a request is decided once ([`Script`], the table
//! in `play`) and carried in two ways: [`Mock`] says it in process through the
//! [`Provider`](crate::Provider) seam, [`serve`] says it over HTTP/1.1. A
//! request whose model is named like a [`Behavior`] gets that behavior.

mod answer;
mod ask;
mod behavior;
mod body;
mod calls;
mod embedding;
mod journal;
mod limit;
mod messages;
mod play;
mod provider;
mod script;
mod server;

pub use behavior::{Behavior, UnknownBehavior};
pub use limit::Limit;
pub use provider::Mock;
pub use script::{FaultsError, Outage, Script, parse_faults};
pub use server::serve;

#[cfg(test)]
mod tests;
