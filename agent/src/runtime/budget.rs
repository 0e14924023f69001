//! The byte budget: memory as a thing that one must hold to use.
//!
//! In: wishes in bytes. Out: permits that travel with the data and give the bytes back when dropped.
//! Invariants: the permits that are out never add up to more than the capacity, which is fixed; waiters are
//! served in the order in which they came, so a large wish is not starved by small ones.
//!
//! The rule that keeps it free of deadlocks: whoever holds a permit never waits for another one. Take the
//! whole working set at once and [`Permit::split`] it, or use [`Budget::try_acquire`], which does not wait.
//! On failure: a wish above the capacity is an error at once, because it would wait for ever.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes are counted in units of this size, rounded up: the semaphore counts in 32 bits.
const UNIT: u64 = 1024;

/// A wish that can never be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} bytes are needed at once, and the memory budget has {capacity}: raise limits.memory")]
pub struct TooLarge {
    /// The wish, in bytes.
    pub wanted: u64,
    /// The whole budget, in bytes.
    pub capacity: u64,
}

/// A fixed number of bytes, shared by clones.
#[derive(Debug, Clone)]
pub struct Budget {
    free: Arc<Semaphore>,
    units: u32,
}

impl Budget {
    /// A budget of this many bytes, rounded down to whole KiB; at most 4 TiB.
    pub fn new(capacity: u64) -> Self {
        let units = u32::try_from(capacity / UNIT).unwrap_or(u32::MAX);
        // A semaphore cannot count further on 32-bit machines; neither can their memory.
        let units = units.min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        Self { free: Arc::new(Semaphore::new(units as usize)), units }
    }

    /// The whole budget in bytes.
    pub fn capacity(&self) -> u64 {
        u64::from(self.units) * UNIT
    }

    /// The bytes that nobody holds at this moment.
    pub fn available(&self) -> u64 {
        self.free.available_permits() as u64 * UNIT
    }

    /// Waits for this many bytes, in turn. The caller must not hold a permit of this budget. Cancel-safe,
    /// but a dropped call loses its place in the queue.
    ///
    /// # Errors
    /// At once, when the wish is above the capacity.
    pub async fn acquire(&self, bytes: u64) -> Result<Permit, TooLarge> {
        let too_large = TooLarge { wanted: bytes, capacity: self.capacity() };
        let units = self.units_of(bytes).ok_or(too_large)?;
        // The semaphore is never closed, so the only error that it knows cannot come.
        let held = Arc::clone(&self.free).acquire_many_owned(units).await.map_err(|_| too_large)?;
        Ok(Permit { held })
    }

    /// Takes this many bytes if they are free and nobody is waiting for them; never waits.
    pub fn try_acquire(&self, bytes: u64) -> Option<Permit> {
        let held = Arc::clone(&self.free).try_acquire_many_owned(self.units_of(bytes)?).ok()?;
        Some(Permit { held })
    }

    fn units_of(&self, bytes: u64) -> Option<u32> {
        u32::try_from(bytes.div_ceil(UNIT)).ok().filter(|units| *units <= self.units)
    }
}

/// The right to use so many bytes, until it is dropped. Belongs to the data: keep both in one struct.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once protects nothing"]
pub struct Permit {
    held: OwnedSemaphorePermit,
}

impl Permit {
    /// The bytes that this permit stands for (the wish, rounded up to whole KiB).
    pub fn bytes(&self) -> u64 {
        self.held.num_permits() as u64 * UNIT
    }

    /// Cuts off a part of at least this many bytes; `None` when this permit has less.
    pub fn split(&mut self, bytes: u64) -> Option<Permit> {
        let units = usize::try_from(bytes.div_ceil(UNIT)).ok()?;
        self.held.split(units).map(|held| Permit { held })
    }

    /// Gives back all but this many bytes (rounded up).
    pub fn shrink_to(&mut self, bytes: u64) {
        drop(self.split(self.bytes().saturating_sub(bytes.div_ceil(UNIT).saturating_mul(UNIT))));
    }

    /// Adds another permit of the same budget to this one; one of another budget comes back.
    ///
    /// # Errors
    /// The other permit, when it is of another budget.
    pub fn merge(&mut self, other: Permit) -> Result<(), Permit> {
        if !Arc::ptr_eq(self.held.semaphore(), other.held.semaphore()) {
            return Err(other);
        }
        self.held.merge(other.held);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KIB: u64 = 1024;

    #[tokio::test]
    async fn bytes_come_back_when_a_permit_is_dropped() {
        let budget = Budget::new(10 * KIB + 5);
        assert_eq!((budget.capacity(), budget.available()), (10 * KIB, 10 * KIB));
        let mut permit = budget.acquire(4 * KIB - 1).await.unwrap();
        assert_eq!((permit.bytes(), budget.available()), (4 * KIB, 6 * KIB));
        let part = permit.split(KIB).unwrap();
        assert!(permit.split(4 * KIB).is_none());
        drop(part);
        assert_eq!((permit.bytes(), budget.available()), (3 * KIB, 7 * KIB));
        permit.merge(budget.try_acquire(2 * KIB).unwrap()).unwrap();
        permit.shrink_to(1);
        assert_eq!((permit.bytes(), budget.available()), (KIB, 9 * KIB));
        let foreign = Budget::new(KIB).try_acquire(1).unwrap();
        assert!(permit.merge(foreign).is_err());
        drop(permit);
        assert_eq!(budget.available(), 10 * KIB);
    }

    #[tokio::test]
    async fn what_can_never_be_granted_fails_at_once() {
        let budget = Budget::new(10 * KIB);
        let error = budget.acquire(10 * KIB + 1).await.unwrap_err();
        assert_eq!(error, TooLarge { wanted: 10 * KIB + 1, capacity: 10 * KIB });
        assert!(budget.try_acquire(u64::MAX).is_none());
        assert_eq!(budget.acquire(0).await.unwrap().bytes(), 0);
    }

    #[tokio::test]
    async fn a_large_wish_is_not_starved() {
        let budget = Budget::new(10 * KIB);
        let first = budget.acquire(6 * KIB).await.unwrap();
        let mut large = Box::pin(budget.acquire(8 * KIB));
        assert!(futures::poll!(&mut large).is_pending());
        let mut small = Box::pin(budget.acquire(KIB));
        assert!(futures::poll!(&mut small).is_pending(), "a small wish overtook a large one");
        assert!(budget.try_acquire(KIB).is_none(), "so did one that does not wait");
        drop(first);
        let large = large.await.unwrap();
        assert_eq!(large.bytes(), 8 * KIB);
        drop(small.await.unwrap());
    }

    proptest! {
        #[test]
        fn the_books_of_the_budget_balance(actions in prop::collection::vec((0u8..4, 0u64..20_000), 0..60)) {
            let budget = Budget::new(32 * KIB);
            let mut held: Vec<Permit> = Vec::new();
            for (action, number) in actions {
                match (action, held.last_mut()) {
                    (0, _) => held.extend(budget.try_acquire(number)),
                    (1, Some(permit)) => {
                        let part = permit.split(number);
                        held.extend(part);
                    }
                    (2, Some(permit)) => permit.shrink_to(number),
                    _ => drop(held.pop()),
                }
                let out: u64 = held.iter().map(Permit::bytes).sum();
                prop_assert_eq!(out + budget.available(), budget.capacity());
            }
        }
    }
}
