//! The AWS side against emulators and the scripted proxy: the S3 store, roles, Kinesis.

mod faults;
mod kinesis;
mod roles;
mod store;
mod support;
