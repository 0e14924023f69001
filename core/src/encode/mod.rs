//! From records to the bytes of an output: NDJSON frames and their compression.
