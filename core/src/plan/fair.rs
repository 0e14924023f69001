//! Whose turn it is.
//!
//! In: what each account was served, in cost units. Out: the account that was served least. This is start-time
//! fair queueing (Goyal, Vin, Cheng 1996): an account that joins starts where the one served last
//! started, so that it neither waits for what others used up before it came, nor makes up for idle time.
//! Nothing here fails; memory is one entry per account that has something waiting.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::AccountId;

/// Turns of the accounts of a lane.
#[derive(Debug, Default)]
pub(super) struct Turns {
    served: BTreeMap<AccountId, u64>,
    order: BTreeSet<(u64, AccountId)>,
    floor: u64,
}

impl Turns {
    /// The account has something waiting.
    pub(super) fn join(&mut self, account: AccountId) {
        if !self.served.contains_key(&account) {
            self.served.insert(account, self.floor);
            self.order.insert((self.floor, account));
        }
    }

    /// The account has nothing waiting any more.
    pub(super) fn leave(&mut self, account: AccountId) {
        if let Some(served) = self.served.remove(&account) {
            self.order.remove(&(served, account));
        }
    }

    /// The account gets something of this cost.
    pub(super) fn serve(&mut self, account: AccountId, cost: u64) {
        if let Some(served) = self.served.get_mut(&account) {
            self.order.remove(&(*served, account));
            self.floor = self.floor.max(*served);
            *served = served.saturating_add(cost);
            self.order.insert((*served, account));
        }
    }

    /// All accounts that have something waiting, the one served least first.
    pub(super) fn in_order(&self) -> impl Iterator<Item = AccountId> {
        self.order.iter().map(|(_, account)| *account)
    }

    /// What the account was served.
    pub(super) fn served(&self, account: AccountId) -> u64 {
        self.served.get(&account).copied().unwrap_or(self.floor)
    }
}
