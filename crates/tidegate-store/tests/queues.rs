//! What every home of a queue promises.
//!
//! A test is one sentence and runs against every [`queue_home::QueueHome`],
//! each time on a file or a server of its own.

#[path = "contract/queue_following.rs"]
mod queue_following;
#[path = "contract/queue_holding.rs"]
mod queue_holding;
#[path = "contract/queue_home.rs"]
mod queue_home;
#[path = "contract/queue_looking.rs"]
mod queue_looking;
#[path = "contract/queue_model.rs"]
mod queue_model;
#[path = "contract/queue_putting.rs"]
mod queue_putting;
#[path = "contract/queue_taking.rs"]
mod queue_taking;
mod servers;
