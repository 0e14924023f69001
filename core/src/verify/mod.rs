//! CloudTrail's digest files: grammar, signatures, chains and completeness.
