//! Accounts, trails and buckets, down to streams.
