//! What a record looks like at a sink: raw, OCSF, ECS.
