//! From buckets to object references.
//!
//! In: the buckets that trails write to, and what each may carry. Out: objects that nobody had found before,
//! recorded in the inventory and handed to the lanes' queues; and, as data, what stands in the way.
//!
//! ```text
//! bucket ─► walk: accounts, families, regions ─► streams ─► plan: which day folder, when
//!                                                              │
//!   intake (has room?) ◄─ recorded as found ◄─ new or changed ◄┴─ pages, beside what the inventory knows
//! ```
//!
//! Invariants: an object is recorded before it is offered, and a place in a stream's history is remembered
//! after its objects were recorded, so that a crash loses neither; only objects whose key is exactly where the
//! stream says are taken in; a prefix that cannot be listed holds up nothing but itself.
//!
//! Not here: what becomes of objects, and what SQS says. On failure: a prefix is tried again at growing
//! intervals and shows up in [`Health`]; only an inventory that fails ends a tail.

mod health;
mod inventory;
mod lister;
mod page;
mod pages;
mod probe;
mod schedule;
mod streams;
mod turn;

#[cfg(test)]
mod tests;

pub use health::{Health, Trouble, WalkHealth};
pub use inventory::{
    Found, Intake, IntakeClosed, Inventory, InventoryError, Listed, MemoryInventory, Offered,
};
pub use lister::{Pass, Tail, TailConfig, TailError, TailSeams};
pub use pages::Pages;
pub use streams::{Carries, FailedPrefix, ForeignFolder, MAX_REPORTED, MAX_STREAMS, TrailBucket, Walk};
