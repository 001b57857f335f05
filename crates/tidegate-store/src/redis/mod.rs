//! Homes in Redis, on one [`Link`] each.
//!
//! Every key begins with `tidegate:`, every channel too, so that one line of an
//! ACL covers all of it.

mod inspect;
mod keeper;
mod line;
mod link;
mod presence;
mod rights;
mod topic;

pub(crate) use inspect::inspect;
pub(crate) use link::{Link, LinkConfig};
pub(crate) use presence::Nodes;
pub(crate) use rights::GRANT;
pub(crate) use topic::{Subscription, TopicEvent};

#[cfg(test)]
mod tests;
