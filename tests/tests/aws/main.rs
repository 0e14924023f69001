//! The AWS side against emulators and the scripted proxy: the S3 store, roles, Kinesis.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail as tests do"
)]

mod cloudtrail;
mod faults;
mod kinesis;
mod roles;
mod secrets;
mod store;
mod support;
mod tls;
mod versions;
