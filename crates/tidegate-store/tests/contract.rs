//! What every home of limits promises; `caches.rs` is the same for cached values.
//!
//! A test is one sentence and runs against every home in [`home::limits`]. A new home joins by a constructor there; where its time
//! cannot be moved, it brings a shorter window and lets real time pass.

#[path = "contract/granting.rs"]
mod granting;
#[path = "contract/holding.rs"]
mod holding;
#[path = "contract/home.rs"]
mod home;
#[path = "contract/journal.rs"]
mod journal;
#[path = "contract/racing.rs"]
mod racing;
#[path = "contract/sequences.rs"]
mod sequences;
#[path = "servers/mod.rs"]
mod servers;
#[path = "contract/settling.rs"]
mod settling;
