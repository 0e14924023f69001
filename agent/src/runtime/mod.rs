//! What every task shares: budget, CPU pool, tasks, retry, clock, shutdown.

mod budget;
mod clock;
mod cpu;
mod retry;
mod shutdown;
mod tasks;

pub use budget::{Budget, Permit, TooLarge};
pub use clock::{Clock, ManualClock, SystemClock};
pub use cpu::{CpuError, CpuPool};
pub use retry::{Attempts, GaveUp, PolicyError, Reason, RetryPolicy, Retryable};
pub use shutdown::{Failure, Reloads, Shutdown, Signals};
pub use tasks::{OnError, OnStop, Tasks};
