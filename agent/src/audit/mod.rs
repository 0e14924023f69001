//! Digests: from the bucket to verdicts and findings.
