#![doc = include_str!("../README.md")]

mod cache;
mod held;
mod limits;
mod memory_limits;
mod single_flight;

pub use cache::{Cache, CacheStats, MemoryCache};
pub use limits::{
    Dimension, Level, Limits, Quota, Refused, Reservation, Settle, TooManyHeld, UnknownReservation,
    Used,
};
pub use memory_limits::MemoryLimits;
pub use single_flight::{LoadPanicked, SingleFlight};
