//! Credentials, clients and error classes of AWS.
