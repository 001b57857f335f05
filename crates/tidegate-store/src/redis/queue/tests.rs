//! The queue in real servers: what the suite of all homes does not see.
