//! Configuration: raw YAML to types that cannot be wrong.
