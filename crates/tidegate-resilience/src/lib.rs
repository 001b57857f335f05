#![doc = include_str!("../README.md")]

mod adaptive;
mod backoff;
mod breaker;
mod budget;
mod segments;
mod slots;
mod window;

pub use adaptive::{Adaptive, AdaptiveConfig, Sample};
pub use backoff::Backoff;
pub use breaker::{
    Breaker, BreakerConfig, Health, Outcome, Pass, Permit, RateTrip, Refusal, SharedBreaker,
    TripCause,
};
pub use budget::RetryBudget;
pub use slots::{Slot, Slots};
pub use window::{Refused, Stamp, Window};
