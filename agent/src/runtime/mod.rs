//! What every task shares: budget, CPU pool, tasks, retry, clock, shutdown.

mod clock;

pub use clock::{Clock, ManualClock, SystemClock};
