//! Homes in Redis, on one [`Link`] each.
//!
//! Every key begins with `tidegate:`, every channel too, so that one line of an
//! ACL covers all of it.

mod keeper;
mod limits;
mod limits_account;
mod limits_held;
mod limits_home;
mod limits_share;
mod limits_wire;
mod line;
mod link;
mod presence;
mod rights;
mod topic;

pub use limits::RedisLimits;
pub(crate) use link::{Link, LinkConfig};
pub(crate) use presence::Nodes;
pub(crate) use rights::GRANT;
pub(crate) use topic::{Subscription, TopicEvent};

#[cfg(test)]
mod limits_tests;
#[cfg(test)]
mod tests;
