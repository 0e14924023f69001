//! How to reach AWS: the validated form of the configuration's `aws` section.

use std::path::PathBuf;

use super::Secret;

/// Where and how AWS is reached. What is absent comes from the environment and the profile, as with every
/// AWS SDK (`AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_USE_FIPS_ENDPOINT`, `AWS_USE_DUALSTACK_ENDPOINT`).
#[derive(Debug, Clone, Default)]
pub struct AwsSettings {
    /// The region of STS, and of everything that does not name its own.
    pub region: Option<String>,
    /// One endpoint for all services: an emulator, a gateway, a VPC endpoint.
    pub endpoint_url: Option<String>,
    /// Buckets in the path instead of the host name; emulators need it.
    pub path_style: bool,
    /// The HTTP proxy, such as `http://user:password@proxy:3128`. Used for everything but the link-local
    /// addresses of the metadata and container credential services.
    pub proxy: Option<Secret>,
    /// A file of PEM certificates that replaces the system's roots, as `AWS_CA_BUNDLE` does for the AWS CLI.
    pub ca_bundle: Option<PathBuf>,
    /// FIPS endpoints. `None`: as the environment says.
    pub fips: Option<bool>,
    /// Dual-stack (IPv4 and IPv6) endpoints. `None`: as the environment says.
    pub dual_stack: Option<bool>,
}
