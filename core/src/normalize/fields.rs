//! The top-level fields of a record, found in one pass.
//!
//! In: a parsed record. Out: the value of each field that the mappings know; of duplicate keys the first. The
//! others stay where they are, and end under `unmapped` like any field that nobody knows. Source of the names:
//! CloudTrail User Guide, "CloudTrail record contents", and the page on aggregated events.

use crate::model::json::{Record, Value, unescape_lossy};

macro_rules! fields {
    ($($field:ident = $name:literal,)+) => {
        /// Where the known fields are; `None` where the record lacks one.
        #[derive(Debug, Default, Clone, Copy)]
        pub(super) struct Fields<'p> {
            $(#[doc = $name] pub(super) $field: Option<Value<'p>>,)+
        }

        impl<'p> Fields<'p> {
            fn slot(&mut self, key: &str) -> Option<&mut Option<Value<'p>>> {
                match key {
                    $($name => Some(&mut self.$field),)+
                    _ => None,
                }
            }
        }
    };
}

fields! {
    event_version = "eventVersion",
    user_identity = "userIdentity",
    event_time = "eventTime",
    event_source = "eventSource",
    event_name = "eventName",
    aws_region = "awsRegion",
    source_ip_address = "sourceIPAddress",
    user_agent = "userAgent",
    error_code = "errorCode",
    error_message = "errorMessage",
    request_parameters = "requestParameters",
    response_elements = "responseElements",
    additional_event_data = "additionalEventData",
    request_id = "requestID",
    event_id = "eventID",
    read_only = "readOnly",
    resources = "resources",
    event_type = "eventType",
    management_event = "managementEvent",
    recipient_account_id = "recipientAccountId",
    shared_event_id = "sharedEventID",
    event_category = "eventCategory",
    api_version = "apiVersion",
    service_event_details = "serviceEventDetails",
    vpc_endpoint_id = "vpcEndpointId",
    vpc_endpoint_account_id = "vpcEndpointAccountId",
    session_credential_from_console = "sessionCredentialFromConsole",
    tls_details = "tlsDetails",
    addendum = "addendum",
    insight_details = "insightDetails",
    account_id = "accountId",
    aggregated_id = "eventId",
    time_window = "timeWindow",
}

impl<'p> Fields<'p> {
    /// Finds the fields of a record.
    pub(super) fn find(record: Record<'p>) -> Self {
        let mut fields = Self::default();
        for value in record.root().children() {
            let slot = match value.key() {
                escaped if escaped.contains('\\') => fields.slot(&unescape_lossy(escaped)),
                key => fields.slot(key),
            };
            if let Some(slot @ None) = slot {
                *slot = Some(value);
            }
        }
        fields
    }
}
