//! Leases in a real server.
