//! From buckets to object references: listing and queues.
