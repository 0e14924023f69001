//! The kinds of findings: a closed list, so that an acknowledgement or a rule written today matches tomorrow.
//!
//! In: what a stage has noticed. Out: the name under which it is recorded, and whether it says something about
//! integrity (then a run that saw it ends with exit code 1). Failure: none.

use std::fmt;

macro_rules! findings {
    ($($(#[doc = $doc:literal])+ $value:ident = $name:literal $weight:ident,)+) => {
        /// What a person must look at. The list is closed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum FindingKind { $($(#[doc = $doc])+ $value,)+ }

        impl FindingKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$value,)+];

            /// The name in the ledger, the journal and the log.
            pub fn name(self) -> &'static str {
                match self { $(Self::$value => $name,)+ }
            }

            /// What it says about.
            pub fn weight(self) -> Weight {
                match self { $(Self::$value => Weight::$weight,)+ }
            }

            /// What it means, in a sentence.
            pub fn help(self) -> &'static str {
                match self { $(Self::$value => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

/// What a finding says about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Something may have been lost, added or changed.
    Integrity,
    /// Something is in the way; nothing is known to be wrong.
    Trouble,
}

findings! {
    /// An hour of a chain has no digest file, and the time in which it may come late is over.
    DigestMissing = "digest_missing" Integrity,
    /// A digest file is not proven: its signature, its key or its form is wrong.
    DigestInvalid = "digest_invalid" Integrity,
    /// A proven digest file lies in another one's place.
    DigestMisplaced = "digest_misplaced" Integrity,
    /// A digest file speaks for a chain or a bucket that its place is not pinned for.
    DigestForged = "digest_forged" Integrity,
    /// A digest file does not link to the one before it, which lies there with other content.
    DigestChainBroken = "digest_chain_broken" Integrity,
    /// A digest file names a public key that CloudTrail does not list.
    KeyUnknown = "key_unknown" Integrity,
    /// A proven digest names a log file that is not there.
    LogMissing = "log_missing" Integrity,
    /// The content of a log file is not what its proven digest says.
    LogMismatch = "log_mismatch" Integrity,
    /// No digest names a log file although one should.
    LogExtra = "log_extra" Integrity,
    /// A log file on a versioned bucket was overwritten or deleted; the older version is still there.
    LogNoncurrent = "log_noncurrent" Integrity,
    /// A log file was hauled without a digest that vouches for it, because the longest wait was over.
    HoldExpired = "hold_expired" Trouble,
    /// An object was hauled before with other content.
    ObjectRewritten = "object_rewritten" Integrity,
    /// An object that was found is gone.
    ObjectVanished = "object_vanished" Trouble,
    /// An object changed while it was read.
    ObjectChanged = "object_changed" Trouble,
    /// An object may not be read.
    ObjectDenied = "object_denied" Trouble,
    /// An object lies in a cold storage class.
    ObjectArchived = "object_archived" Trouble,
    /// An object cannot be read for another reason.
    ObjectUnreadable = "object_unreadable" Trouble,
    /// A bucket holds a folder of an account that it may not carry.
    ForeignAccount = "foreign_account" Integrity,
    /// A committed batch could not be finished, and was hauled again.
    VoidBatch = "void_batch" Integrity,
    /// A sink lacks what was prepared for it.
    OutputLost = "output_lost" Trouble,
    /// The ids of a batch are gone.
    IndexMissing = "index_missing" Trouble,
    /// The journal of a lane is not what it was.
    JournalChanged = "journal_changed" Integrity,
    /// There are more findings than are kept.
    Overflow = "overflow" Integrity,
}

impl FindingKind {
    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
