//! Delivery to a Kinesis data stream.
//!
//! In: rendered records with their partition keys. Out: all of them acknowledged by the stream, but those that
//! it can never take, which are named. Invariants: an entry that the stream acknowledged is not sent again by
//! the same call; nothing is dropped; order is not kept (PutRecords does not). At-least-once: an answer that is
//! lost, and an entry that fails with `InternalFailure`, may have been stored all the same.
//!
//! Bounded by what the caller hands over at once, and one request besides ([`MAX_REQUEST`] as base64).
//! Failure: an error means that some records were delivered and some were not; the caller sends all again.

mod batch;

use std::fmt;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::put_records::PutRecordsOutput;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use tokio_util::sync::CancellationToken;

use self::batch::Queue;
use crate::aws::{Aws, ErrorClass, Failure, Identity, Role, RoleArn, RoleError, classify};
use crate::config;
use crate::runtime::RetryPolicy;
use crate::store::{ErrorKind, StoreError};

pub use batch::{DEFAULT_RECORD, MAX_RECORD, MAX_RECORDS, MAX_REQUEST, Record, Refused, WhyRefused};

const PUT: &str = "put records";

/// Which stream, and how to write to it.
#[derive(Debug, Clone)]
pub struct KinesisOptions {
    /// The stream's name or ARN.
    pub stream: String,
    /// Its region; `None`: the connection's.
    pub region: Option<String>,
    /// Who writes.
    pub identity: Identity,
    /// How patiently. Attempts and time count from the last progress, not from the start of a `send`.
    pub retry: RetryPolicy,
    /// Ends pauses when the program stops.
    pub stop: CancellationToken,
}

impl KinesisOptions {
    /// A configured stream. A role that is given by name is in the account of the stream's ARN.
    ///
    /// # Errors
    /// A role that breaks a limit of STS, or whose account nothing tells.
    pub fn of_sink(aws: &Aws, sink: &config::Kinesis, stop: CancellationToken) -> Result<Self, RoleError> {
        let part = |n: usize| sink.stream.strip_prefix("arn:").and_then(|arn| arn.split(':').nth(n));
        let region = sink.region.as_deref().or(part(2));
        let identity = match &sink.role {
            None => aws.base(),
            Some(role) => {
                let account = match &role.target {
                    config::RoleTarget::Arn(arn) => arn.parse::<RoleArn>()?.account(),
                    config::RoleTarget::Name(_) => {
                        part(3).and_then(|account| account.parse().ok()).ok_or(RoleError::NoAccount)?
                    }
                };
                aws.assume(&[Role::new(role, account, region.unwrap_or(aws.region()))?])
            }
        };
        let region = region.map(str::to_owned);
        Ok(Self { stream: sink.stream.clone(), region, identity, retry: RetryPolicy::requests(), stop })
    }
}

/// What became of the records of one `send`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Acknowledged records.
    pub records: u64,
    /// Their bytes, without partition keys.
    pub bytes: u64,
    /// Entries that were sent more than once, because the stream refused them at first.
    pub retried: u64,
    /// Records that the stream can never take, by position.
    pub refused: Vec<Refused>,
}

/// Writes to one stream.
pub struct KinesisProducer {
    aws: Aws,
    client: Client,
    options: KinesisOptions,
    /// What the stream takes as one record; `None` until it was asked.
    limit: Option<usize>,
}

impl KinesisProducer {
    /// A producer for this stream. Asks nothing yet.
    pub fn new(aws: &Aws, options: KinesisOptions) -> Self {
        let client = Client::new(&aws.sdk_config(&options.identity, options.region.as_deref()));
        Self { aws: aws.clone(), client, options, limit: None }
    }

    /// Delivers the records; returns when each is acknowledged or refused.
    ///
    /// # Errors
    /// When the stream took nothing for as long as the retry policy allows, or refuses for good. Some of the
    /// records may have been delivered.
    pub async fn send(&mut self, records: Vec<Record>) -> Result<Delivered, StoreError> {
        let limit = self.record_limit().await;
        let mut queue = Queue::new(records, limit);
        let mut delivered = Delivered::default();
        let mut attempts = self.options.retry.start();
        loop {
            let request = queue.next();
            if request.is_empty() {
                delivered.refused = queue.into_refused();
                return Ok(delivered);
            }
            let sent = request.len();
            let error = match self.put(&request).await {
                Ok(answer) => {
                    let failed = sort_out(request, &answer, &mut delivered);
                    if failed.len() < sent {
                        attempts = self.options.retry.start();
                    }
                    let Some(error) = self.partial(&failed, &answer) else { continue };
                    delivered.retried += failed.len() as u64;
                    queue.again(failed);
                    error
                }
                Err(failure) => {
                    queue.again(request);
                    self.error(&failure)
                }
            };
            // The reason for giving up is in the error's kind: only what is retryable is ever tried again.
            if attempts.pause(&error, &self.options.stop).await.is_err() {
                return Err(error);
            }
        }
    }

    /// What the stream takes as one record, in bytes. Asked once; without permission to ask, the default.
    async fn record_limit(&mut self) -> usize {
        if let Some(limit) = self.limit {
            return limit;
        }
        let (name, arn) = self.stream();
        let asked =
            self.client.describe_stream_summary().set_stream_name(name).set_stream_arn(arn).send().await;
        match asked {
            Ok(answer) => {
                let told = answer
                    .stream_description_summary()
                    .and_then(aws_sdk_kinesis::types::StreamDescriptionSummary::max_record_size_in_kib);
                let told = told.and_then(|kib| usize::try_from(kib).ok()).map(|kib| kib.saturating_mul(1024));
                let limit = told.map_or(DEFAULT_RECORD, |limit| limit.clamp(DEFAULT_RECORD, MAX_RECORD));
                self.limit = Some(limit);
                limit
            }
            Err(error) => {
                let failure = classify(&error);
                tracing::debug!(stream = %self.options.stream, %failure, "record size limit unknown, taking 1 MiB");
                // Asked again only where the answer may change.
                if matches!(failure.class(), ErrorClass::Denied | ErrorClass::Other | ErrorClass::Invalid) {
                    self.limit = Some(DEFAULT_RECORD);
                }
                DEFAULT_RECORD
            }
        }
    }

    /// One request, repeated once where its refusal could be put right.
    async fn put(&self, request: &[Record]) -> Result<PutRecordsOutput, Failure> {
        match self.put_once(request).await {
            Err(failure) if self.aws.put_right(&self.options.identity, &failure) => {
                self.put_once(request).await
            }
            done => done,
        }
    }

    async fn put_once(&self, request: &[Record]) -> Result<PutRecordsOutput, Failure> {
        let (name, arn) = self.stream();
        let mut entries = Vec::with_capacity(request.len());
        for record in request {
            let entry = PutRecordsRequestEntry::builder()
                .data(Blob::new(record.data.as_ref()))
                .partition_key(&record.partition_key)
                .build()
                .map_err(|error| Failure::new(ErrorClass::Invalid, error.to_string()))?;
            entries.push(entry);
        }
        let put =
            self.client.put_records().set_stream_name(name).set_stream_arn(arn).set_records(Some(entries));
        let answer = put.send().await.map_err(|error| classify(&error))?;
        if answer.records().len() != request.len() {
            return Err(Failure::unavailable("the answer does not speak of as many records as were sent"));
        }
        Ok(answer)
    }

    /// The error of a request of which some entries failed; `None` if none did.
    fn partial(&self, failed: &[Record], answer: &PutRecordsOutput) -> Option<StoreError> {
        let count = failed.len();
        if count == 0 {
            return None;
        }
        let code =
            answer.records().iter().find_map(|entry| entry.error_code()).unwrap_or("no sequence number");
        let code: String = code.chars().take(64).collect();
        let throttled = code == "ProvisionedThroughputExceededException";
        let kind = if throttled { ErrorKind::Throttled } else { ErrorKind::Unavailable };
        let hint = if throttled { "; add shards or use on-demand mode if this lasts" } else { "" };
        let message = format!("{count} records failed with {code}{hint}");
        Some(StoreError::new(kind, PUT, self.place(), message))
    }

    fn error(&self, failure: &Failure) -> StoreError {
        let caller = self.options.identity.caller();
        let kind = failure.store_kind(ErrorKind::Other);
        let message = match kind {
            ErrorKind::Denied => format!(
                "{failure}; called by {caller}: allow kinesis:PutRecords on the stream, and kms:GenerateDataKey on \
                 the key of an encrypted one"
            ),
            ErrorKind::NotFound => format!("{failure}; called by {caller}: check name, region and account"),
            _ => failure.to_string(),
        };
        StoreError::new(kind, PUT, self.place(), message)
    }

    fn place(&self) -> String {
        format!("kinesis:{}", self.options.stream)
    }

    /// The stream as requests name it: by name or by ARN.
    fn stream(&self) -> (Option<String>, Option<String>) {
        let stream = self.options.stream.clone();
        if stream.starts_with("arn:") { (None, Some(stream)) } else { (Some(stream), None) }
    }
}

impl fmt::Debug for KinesisProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KinesisProducer({} as {})", self.options.stream, self.options.identity.caller())
    }
}

/// Counts what was acknowledged and returns what was not. The answer is in the order of the request.
fn sort_out(request: Vec<Record>, answer: &PutRecordsOutput, delivered: &mut Delivered) -> Vec<Record> {
    let mut failed = Vec::new();
    for (record, entry) in request.into_iter().zip(answer.records()) {
        // Without a sequence number nothing was stored, whatever else the entry says.
        if entry.error_code().is_none() && entry.sequence_number().is_some() {
            delivered.records += 1;
            delivered.bytes += record.data.len() as u64;
        } else {
            failed.push(record);
        }
    }
    failed
}
