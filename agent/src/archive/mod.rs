//! The archive: key layout and genesis.
