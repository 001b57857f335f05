//! Homes in Redis, on one [`Link`] each.
//!
//! Every key begins with `tidegate:`, every channel too, so that one line of an
//! ACL covers all of it.

mod cache;
mod homes;
mod inspect;
mod keeper;
mod leases;
mod line;
mod link;
mod presence;
mod records;
mod rights;
mod topic;

pub(crate) use cache::RedisCache;
pub(crate) use homes::RedisHomes;
pub(crate) use inspect::inspect;
pub(crate) use leases::RedisLeases;
pub(crate) use link::{Link, LinkConfig};
pub(crate) use presence::Nodes;
pub(crate) use records::RedisRecords;
pub(crate) use rights::GRANT;
pub(crate) use topic::{Subscription, TopicEvent};

#[cfg(test)]
mod tests;
