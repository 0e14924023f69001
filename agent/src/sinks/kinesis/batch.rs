//! Which records go into which request: pure bookkeeping, no I/O.
//!
//! In: records with their positions, and after each request the positions that failed. Out: requests within
//! the limits of PutRecords. Invariant: every record taken is at any moment in exactly one of: waiting, in the
//! request under way, delivered, refused.

use std::collections::VecDeque;

use bytes::Bytes;

/// The most records of a request (Kinesis API, PutRecords).
pub const MAX_RECORDS: usize = 500;

/// The most bytes of a request that we make, data and partition keys together. Kinesis takes 10 MiB now and
/// took 5 MiB before, which emulators still keep; a shard takes 1 MB/s, so larger requests gain nothing, and
/// the body of a request is held in memory as base64 besides. A record larger than this, where the stream
/// takes such, travels alone.
pub const MAX_REQUEST: usize = 4 * 1024 * 1024;

/// What a stream takes as one record, data and partition key together, unless it has been raised: 1 MiB
/// (Kinesis Developer Guide, "Handle large records").
pub const DEFAULT_RECORD: usize = 1024 * 1024;

/// The largest that a stream can be made to take: 10 MiB.
pub const MAX_RECORD: usize = 10 * 1024 * 1024;

/// The most characters of a partition key.
const MAX_PARTITION_KEY: usize = 256;

/// A rendered record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its bytes, as the consumer gets them.
    pub data: Bytes,
    /// What decides its shard: 1 to 256 characters.
    pub partition_key: String,
}

impl Record {
    /// What Kinesis counts.
    fn size(&self) -> usize {
        self.data.len() + self.partition_key.len()
    }
}

/// A record that the stream cannot take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Its position among the records that were handed over, from 0.
    pub position: usize,
    /// Why.
    pub why: WhyRefused,
}

/// Why a stream cannot take a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyRefused {
    /// It has more bytes than the stream takes.
    TooLarge {
        /// Data and partition key, in bytes.
        size: usize,
        /// What the stream takes.
        limit: usize,
    },
    /// The partition key is empty or has more than 256 characters.
    PartitionKey,
}

impl std::fmt::Display for WhyRefused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge { size, limit } => {
                write!(f, "{size} bytes with its partition key, and the stream takes {limit}")
            }
            Self::PartitionKey => f.write_str("no partition key of 1 to 256 characters"),
        }
    }
}

/// The records of one `send`, until they are delivered.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Record>,
    refused: Vec<Refused>,
}

impl Queue {
    /// Takes the records, and refuses those that can never be delivered.
    pub(super) fn new(records: Vec<Record>, limit: usize) -> Self {
        let mut queue = Self::default();
        for (position, record) in records.into_iter().enumerate() {
            match refuse(&record, limit) {
                Some(why) => queue.refused.push(Refused { position, why }),
                None => queue.waiting.push_back(record),
            }
        }
        queue
    }

    /// The next request; empty when nothing waits.
    pub(super) fn next(&mut self) -> Vec<Record> {
        let mut request = Vec::new();
        let mut size = 0usize;
        while let Some(next) = self.waiting.front() {
            size = size.saturating_add(next.size());
            if request.len() == MAX_RECORDS || (size > MAX_REQUEST && !request.is_empty()) {
                break;
            }
            request.extend(self.waiting.pop_front());
        }
        request
    }

    /// Puts records back that were not delivered; they go first, so that no record waits for ever behind new
    /// ones.
    pub(super) fn again(&mut self, failed: Vec<Record>) {
        for record in failed.into_iter().rev() {
            self.waiting.push_front(record);
        }
    }

    /// The refused, in order.
    pub(super) fn into_refused(self) -> Vec<Refused> {
        self.refused
    }
}

fn refuse(record: &Record, limit: usize) -> Option<WhyRefused> {
    let key = record.partition_key.chars().take(MAX_PARTITION_KEY + 1).count();
    if key == 0 || key > MAX_PARTITION_KEY {
        return Some(WhyRefused::PartitionKey);
    }
    let size = record.size();
    (size > limit).then_some(WhyRefused::TooLarge { size, limit })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(size: usize) -> Record {
        Record { data: Bytes::from(vec![b'x'; size]), partition_key: "k".to_owned() }
    }

    #[test]
    fn what_is_too_large_is_refused_and_named() {
        let exact = record(DEFAULT_RECORD - 1);
        let queue = Queue::new(vec![record(1), record(DEFAULT_RECORD), exact], DEFAULT_RECORD);
        assert_eq!(queue.waiting.len(), 2);
        let why = WhyRefused::TooLarge { size: DEFAULT_RECORD + 1, limit: DEFAULT_RECORD };
        assert_eq!(queue.into_refused(), [Refused { position: 1, why }]);
    }

    #[test]
    fn partition_keys_have_1_to_256_characters() {
        let with = |key: &str| Record { data: Bytes::new(), partition_key: key.to_owned() };
        let records = vec![with(""), with(&"é".repeat(256)), with(&"é".repeat(257))];
        let refused = Queue::new(records, DEFAULT_RECORD).into_refused();
        let positions: Vec<_> = refused.iter().map(|refused| refused.position).collect();
        assert_eq!(positions, [0, 2]);
    }

    #[test]
    fn a_record_above_the_request_travels_alone() {
        let mut queue = Queue::new(vec![record(10), record(MAX_REQUEST + 1), record(10)], MAX_RECORD);
        let requests: Vec<_> = std::iter::from_fn(|| Some(queue.next().len()).filter(|n| *n > 0)).collect();
        assert_eq!(requests, [1, 1, 1]);
    }

    proptest! {
        /// Whatever fails how often, each record is delivered exactly once, within the limits.
        #[test]
        fn each_record_is_delivered_once(
            sizes in prop::collection::vec(0usize..300_000, 0..700),
            fail in prop::collection::vec(any::<bool>(), 1..50),
        ) {
            let count = sizes.len();
            let named = |(position, size): (usize, usize)| {
                Record { partition_key: position.to_string(), ..record(size) }
            };
            let records = sizes.into_iter().enumerate().map(named).collect();
            let mut queue = Queue::new(records, DEFAULT_RECORD);
            let mut fail = fail.into_iter().cycle();
            let mut delivered = vec![0; count];
            for round in 0..10_000 {
                let request = queue.next();
                if request.is_empty() {
                    break;
                }
                let size: usize = request.iter().map(Record::size).sum();
                prop_assert!(request.len() <= MAX_RECORDS && size <= MAX_REQUEST);
                let mut failed = Vec::new();
                for record in request {
                    // After a while everything succeeds, so that the test ends.
                    if round < 20 && fail.next() == Some(true) {
                        failed.push(record);
                    } else {
                        let position: usize = record.partition_key.parse().unwrap();
                        delivered[position] += 1;
                    }
                }
                queue.again(failed);
            }
            prop_assert!(delivered.iter().all(|times| *times == 1));
        }
    }
}
