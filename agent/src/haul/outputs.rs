//! Builds the sinks of a run: those that get the records, and those that get findings.
//!
//! In: what the configuration means, and the stores. Out: sinks. Invariant: the records' sinks stand in the order of
//! the configuration, which is the order of the mill's encoders. Failure: a sink that cannot be built is named.

use std::sync::Arc;

use trailhaul_core::model::Role;

use super::engine::{Means, Plans, SinkPlan, SinkTarget, StartError};
use super::findings::FindingSink;
use crate::archive::Layout;
use crate::runtime::RetryPolicy;
use crate::sinks::kinesis::KinesisOptions;
use crate::sinks::{ConsoleSink, KinesisSink, LakeSink, Naming, Sink, UploadSink};
use crate::store::Patience;

/// The sinks that get the records.
pub(super) async fn build_sinks(plans: &Plans, means: &Means) -> Result<Arc<[Arc<dyn Sink>]>, StartError> {
    let mut sinks = Vec::with_capacity(plans.sinks.len());
    for plan in &plans.sinks {
        sinks.push(build(plan, means, false).await?);
    }
    Ok(sinks.into())
}

/// The sinks that ask for findings.
pub(super) async fn finding_sinks(plans: &Plans, means: &Means) -> Result<Arc<[FindingSink]>, StartError> {
    let mut sinks = Vec::new();
    for plan in plans.sinks.iter().filter(|plan| plan.findings) {
        sinks.push(FindingSink { sink: build(plan, means, true).await?, compression: plan.compression });
    }
    Ok(sinks.into())
}

async fn build(plan: &SinkPlan, means: &Means, findings: bool) -> Result<Arc<dyn Sink>, StartError> {
    let name = plan.name.clone();
    let patience = Patience::brief(RetryPolicy::requests(), means.tasks.shutdown().aborting().clone());
    let extension = format!("ndjson{}", plan.compression.extension());
    Ok(match &plan.target {
        SinkTarget::Console => Arc::new(ConsoleSink { name }),
        SinkTarget::Kinesis(stream) => {
            let refuse = |reason: String| StartError::Sink { sink: name.clone(), key: "role", reason };
            let aws = means.aws.clone().ok_or_else(|| refuse("there is no connection to AWS".to_owned()))?;
            let stop = means.tasks.shutdown().aborting().clone();
            let options = KinesisOptions::of_sink(&aws, stream, stop);
            let options = options.map_err(|error| refuse(error.to_string()))?;
            Arc::new(KinesisSink::new(plan.name.clone(), aws, options))
        }
        SinkTarget::Archive { url, prefix, home } => {
            let layout = Layout::new(prefix);
            Arc::new(UploadSink {
                name,
                store: means.places.get(url).await?,
                naming: if findings { Naming::ArchiveFindings(layout) } else { Naming::Archive(layout) },
                extension,
                role: if *home && !findings { Role::Data } else { Role::Sink },
                patience,
            })
        }
        SinkTarget::Lake { url, prefix, .. } if findings => Arc::new(UploadSink {
            name,
            store: means.places.get(url).await?,
            naming: Naming::ArchiveFindings(Layout::new(prefix)),
            extension,
            role: Role::Sink,
            patience,
        }),
        SinkTarget::Lake { url, prefix, source } => Arc::new(LakeSink {
            name,
            store: means.places.get(url).await?,
            layout: Layout::new(prefix),
            source: source.clone(),
            patience,
        }),
        SinkTarget::Folder(url) => Arc::new(UploadSink {
            name,
            store: means.places.get(url).await?,
            naming: if findings { Naming::FolderFindings } else { Naming::Folder },
            extension,
            role: Role::Sink,
            patience,
        }),
    })
}
