//! Homes in Redis, on one [`Link`] each.
//!
//! Every key begins with `tidegate:`, every channel too, so that one line of an
//! ACL covers all of it.

mod cache;
mod homes;
mod inspect;
mod keeper;
mod leases;
mod limits;
mod limits_account;
mod limits_asked;
mod limits_held;
mod limits_home;
mod limits_share;
mod limits_wire;
mod line;
mod link;
mod presence;
mod queue;
mod records;
mod rights;
mod topic;

pub(crate) use cache::RedisCache;
pub(crate) use homes::RedisHomes;
pub(crate) use inspect::inspect;
pub(crate) use leases::RedisLeases;
pub use limits::RedisLimits;
pub(crate) use link::{Link, LinkConfig};
pub(crate) use presence::Nodes;
pub(crate) use queue::RedisQueue;
pub(crate) use records::RedisRecords;
#[cfg(test)]
pub(crate) use rights::GRANT;
pub(crate) use topic::TopicEvent;

#[cfg(test)]
mod limits_outage_tests;
#[cfg(test)]
mod limits_tests;
#[cfg(test)]
mod tests;
