//! Rows in a real server.
