//! The JSON Schema of the configuration file, made from the key tables.
