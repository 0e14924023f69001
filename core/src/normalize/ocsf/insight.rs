//! Insights events: a Detection Finding, which start and end of the unusual activity share.
//!
//! AWS maps no Insights events to OCSF. A finding fits: CloudTrail has detected unusual call or error rates;
//! `sharedEventID` is the same for start and end, so it is the finding's id, and the state is its activity.

use crate::normalize::OcsfVersion;
use crate::normalize::mapper::Mapper;

use super::{Header, event};

/// Writes a Detection Finding, up to `unmapped`; `false` when the record is no Insights event, or lacks what a
/// finding requires.
pub(super) fn write(m: &mut Mapper<'_, '_>, version: OcsfVersion) -> bool {
    let details = m.fields.insight_details;
    let kind = m.get(details, "insightType");
    let ids = [m.fields.shared_event_id, m.fields.event_id];
    let Some(id) = ids.into_iter().find(|id| m.text(*id).is_some()).flatten() else { return false };
    if !event::is_insight(m) || m.text(kind).is_none() {
        return false;
    }
    let state = m.get(details, "state");
    let (activity_id, activity) = match m.text(state) {
        Some("Start") => (1, "Create"),
        Some("End") => (3, "Close"),
        _ => (99, "Other"),
    };
    let header = Header { class: event::DETECTION_FINDING, activity_id, activity };
    m.w.bytes(b"{");
    event::write_header(m, &header, m.text(state).unwrap_or("Other"));
    event::metadata(m, version);
    event::cloud(m, version);
    event::write_time(m);
    m.object("finding_info", |m| {
        m.put("uid", Some(id));
        m.put("title", kind);
    });
    m.object("api", |m| {
        if m.put("operation", m.get(details, "eventName")) {
            m.object("service", |m| {
                m.put("name", m.get(details, "eventSource"));
            });
        }
    });
    true
}
