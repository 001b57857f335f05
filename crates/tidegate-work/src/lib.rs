#![doc = include_str!("../README.md")]

mod cancel;
mod deadline;
mod fan_out;
mod pool;

pub use cancel::{CancelGuard, CancelToken};
pub use deadline::{Deadline, Elapsed};
pub use fan_out::{FanOut, Gathered, Order, Part, PartError, fan_out, gather};
pub use pool::{Pool, PoolError};
