//! The run: lanes and batches. The only folder that knows the order of the flow.
//!
//! ```text
//!  run ── builds everything, starts it, waits, stops it
//!   ├── tail (listing) ──► queue ──► lane ─┐            one of each per lane
//!   │                                      ├─ batch: fetch ► mill ► sinks, up to a prepared entry
//!   │                                      └─ commit: prepare ► journal ► finish ► ledger
//!   └── recover ── before all that: whatever a crash left is finished or dropped
//! ```
//!
//! In: a configuration. Out: the archive, and a summary. Invariant: the contract's: nothing lost, nothing
//! twice, the books balance. Failure: one lane's trouble ends that lane; doubt about what is durable ends the
//! process with 70 when the others have drained.

mod attest;
mod batch;
mod commit;
mod compare;
mod counters;
mod engine;
mod fetch;
mod findings;
mod gauges;
mod hold;
mod index_file;
mod lane;
mod memory;
mod meters;
mod mill;
mod opener;
mod outputs;
mod places;
mod plans;
mod queue;
mod recover;
mod run;
mod scratch;
mod seams;
mod summary;
mod tails;
mod tally;
mod tell;
mod tools;
mod watch;

pub use batch::{AttemptError, BatchLimits, Bench, Prepared};
pub use commit::{CommitError, LaneWriter};
pub use compare::{Expectation, Expectations, Mismatch};
pub use counters::{Counters, Counts};
pub use engine::{Ends, Engine, HomePlan, Means, MemoryPlan, Plans, SinkPlan, SinkTarget, StartError};
pub use fetch::{FETCH_MEMORY, Fetched, Fetcher};
pub use findings::FindingSink;
pub use hold::{Gate, Hold};
pub use lane::{Lane, LaneEnd};
pub use memory::MemoryNeeds;
pub use meters::{Meters, TrailMeters, TrailPlace};
pub use mill::{Mill, MillError};
pub use opener::{ConfiguredOpener, OpenerError};
pub use places::{Places, StoreOpener};
pub use plans::{FolderOpener, PlanError, engine as engine_plans, memory_needs};
pub use queue::{LaneQueue, Offer, Plan, QueueRules, Work};
pub use recover::{RecoverError, Recovered, drop_leftovers, recover};
pub use run::{RunError, RunOptions, buckets, longest_hold, run};
pub use scratch::Scratch;
pub use seams::{LaneIntake, LedgerInventory};
pub use summary::{Ended, HeldSummary, Summary};
pub use tell::Teller;
pub use tools::{Toolbox, Tools};
