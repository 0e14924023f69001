//! The closed list of metric and event names, and the log set-up.
