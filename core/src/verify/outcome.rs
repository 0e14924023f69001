//! What can be said of a digest and of a log file.

use std::fmt;

use super::inflate::FormatFault;

/// How an outcome weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// As it should be.
    Good,
    /// Not decided yet, or not decidable from what could be read: no accusation, and no clearance.
    Unknown,
    /// An integrity finding.
    Finding,
}

/// Why a digest is not proven by its own signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DigestFault {
    /// The container is damaged, or bytes follow it.
    Format(FormatFault),
    /// The content is not a digest document; with the reason.
    Document(String),
    /// It says that it belongs elsewhere: the place that it claims.
    Moved {
        /// `bucket/key` as the document states it.
        claimed: String,
    },
    /// The signature is not in the object's metadata. Copying tools lose it; a successor may still vouch.
    SignatureMissing,
    /// A backfill digest without a readable time of generation.
    GenerationTimeMissing,
    /// The metadata names another algorithm than `SHA256withRSA`.
    Algorithm(String),
    /// The region's keys are known, and the one that it names is not among them.
    KeyNotFound {
        /// What the digest names.
        fingerprint: String,
    },
    /// No key of the region is known, so nothing can be said.
    NoKeys {
        /// The source region.
        region: String,
    },
    /// The key that it names was not valid when it was signed.
    KeyOutOfTime {
        /// What the digest names.
        fingerprint: String,
        /// First second of the key's validity.
        from: i64,
        /// Last second of the key's validity.
        until: i64,
    },
    /// The key that it names is no RSA public key.
    KeyUnloadable {
        /// What the digest names.
        fingerprint: String,
    },
    /// The signature does not match.
    BadSignature,
}

impl DigestFault {
    /// The outcome class, for reports and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Format(_) | Self::Document(_) | Self::GenerationTimeMissing => "bad-format",
            Self::Moved { .. } => "moved",
            Self::SignatureMissing => "signature-missing",
            Self::KeyNotFound { .. } => "key-not-found",
            Self::NoKeys { .. } => "no-keys",
            Self::KeyOutOfTime { .. } => "key-out-of-time",
            Self::KeyUnloadable { .. } => "key-unloadable",
            Self::Algorithm(_) | Self::BadSignature => "bad-signature",
        }
    }

    /// How it weighs while nothing else vouches for the digest.
    pub fn class(&self) -> Class {
        if matches!(self, Self::NoKeys { .. }) { Class::Unknown } else { Class::Finding }
    }

    /// How it weighs once a proven successor names the SHA-256 of this very content: what was lost around
    /// the content does not matter any more, what was put there instead does.
    pub fn class_if_vouched(&self) -> Class {
        match self {
            Self::SignatureMissing
            | Self::GenerationTimeMissing
            | Self::NoKeys { .. }
            | Self::KeyNotFound { .. }
            | Self::KeyOutOfTime { .. }
            | Self::KeyUnloadable { .. } => Class::Good,
            Self::Format(_)
            | Self::Document(_)
            | Self::Moved { .. }
            | Self::Algorithm(_)
            | Self::BadSignature => Class::Finding,
        }
    }
}

impl fmt::Display for DigestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(fault) => fault.fmt(f),
            Self::Document(reason) => f.write_str(reason),
            Self::Moved { claimed } => write!(f, "it belongs at {claimed}"),
            Self::SignatureMissing => f.write_str("no signature in the metadata"),
            Self::GenerationTimeMissing => f.write_str("no backfill-generation-timestamp in the metadata"),
            Self::Algorithm(name) => write!(f, "signature algorithm {name:?} instead of SHA256withRSA"),
            Self::KeyNotFound { fingerprint } => {
                write!(f, "its region has no public key with fingerprint {fingerprint}")
            }
            Self::NoKeys { region } => write!(f, "no public keys of {region} are known"),
            Self::KeyOutOfTime { fingerprint, .. } => {
                write!(f, "the key with fingerprint {fingerprint} was not valid at that time")
            }
            Self::KeyUnloadable { fingerprint } => {
                write!(f, "the key with fingerprint {fingerprint} is not an RSA public key")
            }
            Self::BadSignature => f.write_str("the signature does not match"),
        }
    }
}

/// What became of a log file that a proven digest names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogOutcome {
    /// The content is the one that CloudTrail digested.
    Valid,
    /// The content is right, but stored inflated: by a copying tool, not by CloudTrail.
    ValidInflated,
    /// The content is another.
    HashMismatch,
    /// The container is damaged.
    BadFormat(FormatFault),
    /// Bytes follow the gzip member.
    TrailingData,
    /// There is no such object.
    Missing,
    /// It lies in a cold storage class and must be restored first.
    Archived,
    /// The reader may not read it.
    AccessDenied,
    /// It could not be read for another reason.
    Unreadable,
}

impl LogOutcome {
    /// The outcome of hashing a log against the hash that its digest names.
    pub fn of(content: &super::LogContent, expected: super::Sha256) -> Self {
        match content.fault {
            Some(FormatFault::Trailing) => Self::TrailingData,
            Some(fault) => Self::BadFormat(fault),
            None => match (content.sha256 == expected, content.form) {
                (true, super::Form::Gzip) => Self::Valid,
                (true, super::Form::Plain) => Self::ValidInflated,
                (false, super::Form::Gzip) => Self::HashMismatch,
                (false, super::Form::Plain) => Self::BadFormat(FormatFault::NotGzip),
            },
        }
    }

    /// The outcome class, for reports and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Valid | Self::ValidInflated => "valid",
            Self::HashMismatch => "hash-mismatch",
            Self::BadFormat(_) => "bad-format",
            Self::TrailingData => "trailing-data",
            Self::Missing => "missing",
            Self::Archived => "archived-needs-restore",
            Self::AccessDenied => "access-denied",
            Self::Unreadable => "unreadable",
        }
    }

    /// How it weighs.
    pub fn class(self) -> Class {
        match self {
            Self::Valid | Self::ValidInflated => Class::Good,
            Self::Archived | Self::AccessDenied | Self::Unreadable => Class::Unknown,
            Self::HashMismatch | Self::BadFormat(_) | Self::TrailingData | Self::Missing => Class::Finding,
        }
    }
}

impl fmt::Display for LogOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Valid => f.write_str("valid"),
            Self::ValidInflated => f.write_str("valid, stored inflated"),
            Self::HashMismatch => f.write_str("the content is not what CloudTrail digested"),
            Self::BadFormat(fault) => fault.fmt(f),
            Self::TrailingData => f.write_str("bytes after the end of the gzip stream"),
            Self::Missing => f.write_str("there is no such object"),
            Self::Archived => f.write_str("in a cold storage class; restore it first"),
            Self::AccessDenied => f.write_str("access denied"),
            Self::Unreadable => f.write_str("could not be read"),
        }
    }
}
