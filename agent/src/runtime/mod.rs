//! What every task shares: budget, CPU pool, tasks, retry, clock, shutdown.
//!
//! In: wishes (for bytes, threads, time, another try) and signals. Out: permission, values, and the order to
//! stop. Invariants: everything is bounded by a number that its maker gave; time and randomness come in from
//! here and nowhere else. Failure: each part says in its head what it does; none of them retries by itself
//! except `retry`, and none ends the process except through [`Shutdown`].

mod allocator;
mod budget;
mod clock;
mod cpu;
mod pace;
mod retry;
mod shutdown;
mod tasks;

pub use allocator::settle as settle_allocator;
pub use budget::{Budget, Permit, TooLarge};
pub use clock::{Clock, ManualClock, SystemClock};
pub use cpu::{CpuError, CpuPool};
pub use pace::{LONGEST_WAIT, Pace, Pacer};
pub use retry::{Attempts, GaveUp, PolicyError, Reason, RetryPolicy, Retryable};
pub use shutdown::{Failure, Reloads, Shutdown, Signals};
pub use tasks::{Child, ChildError, OnError, OnStop, Tasks};
