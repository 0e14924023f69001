//! Health, metrics and status of a running agent.
