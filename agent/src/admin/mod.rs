//! What an agent says of itself, and what a person may tell it: status, findings, acknowledgements.
//!
//! ```text
//!  command line ──► socket STATE/control.sock ──► running agent ─┐
//!              └──► ledger of the state folder, where none runs ─┴► desk: one request, one answer
//! ```
//!
//! Health and metrics are told to whoever asks over HTTP ([`Endpoint`]), from a thread of their own.
//!
//! In: a [`Request`]. Out: an [`Answer`], the same whether an agent runs or not. Invariant: whoever may use the
//! socket may read the state folder (mode 0600); a request changes nothing but acknowledgements, which are durable
//! before they are answered. Failure: an answer that says what is wrong; the agent goes on.

mod client;
mod desk;
mod http;
mod protocol;
mod socket;
#[cfg(test)]
mod tests;
mod vitals;
mod waiting;

pub use client::{AskError, ask};
pub use desk::Desk;
pub use http::{Endpoint, ListenError};
pub use protocol::{
    Answer, AwaitedDigest, FindingsPage, HeldStatus, LaneLine, ObjectStatus, Request, Status, WaitingStatus,
};
pub use socket::{SocketError, SocketPath, serve};
pub use vitals::{Gauges, Readiness, Vitals};
