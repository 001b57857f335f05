//! Whose rows a command is about, where they are, and how they are printed.

use clap::Args;

use super::ConfigSource;

/// Arguments of every command that reads or changes what tenants have.
#[derive(Debug, Args)]
pub(super) struct Place {
    #[command(flatten)]
    pub(super) source: ConfigSource,
    /// The tenant; the one of a gateway without keys unless said
    #[arg(long, value_name = "TENANT", default_value = "@local")]
    pub(super) tenant: String,
    /// Print JSON, one object a line
    #[arg(long)]
    pub(super) json: bool,
}
