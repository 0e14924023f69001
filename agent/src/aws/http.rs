//! The one HTTP client of the process.
//!
//! In: proxy and CA bundle. Out: a client whose single connector serves every service and account, so that
//! connections are pooled together and time-outs are the same everywhere. A bundle that is no bundle is
//! refused here, where it can be named, because the TLS library would panic on it.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Connector, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::{
    HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::error::SetupError;
use crate::config;

/// Time to connect, TLS included: AWS answers within a second from anywhere, and a black hole must not hold
/// a lane for long.
const CONNECT: Duration = Duration::from_secs(10);

/// Time from the start of a request to the head of its response. It covers sending the body, so it allows
/// for a part of some ten MiB on a slow line.
const RESPONSE: Duration = Duration::from_secs(60);

/// S3 closes idle connections after some seconds; ours go first, so that few requests meet a dead one.
const IDLE: Duration = Duration::from_secs(15);

/// Idle connections kept per host. Path-style and regional hosts are shared by many buckets.
const IDLE_PER_HOST: usize = 64;

/// The largest CA bundle read, in bytes: the system's own has some 250 KB.
const MAX_BUNDLE: u64 = 4 * 1024 * 1024;

/// Link-local services that hand out credentials; never reachable through a proxy.
const NEVER_PROXIED: &str = "169.254.169.254,169.254.170.2,169.254.170.23,fd00:ec2::254,fd00:ec2::23";

/// Builds the client.
pub(super) fn http_client(settings: &config::Aws) -> Result<SharedHttpClient, SetupError> {
    let timeouts = HttpConnectorSettings::builder().connect_timeout(CONNECT).read_timeout(RESPONSE).build();
    let mut builder: ConnectorBuilder = Connector::builder();
    if let Some(proxy) = &settings.proxy {
        let proxy = ProxyConfig::all(proxy.expose()).map_err(|_| SetupError::Proxy)?;
        builder = builder.proxy_config(proxy.no_proxy(NEVER_PROXIED));
    }
    let connector = builder
        .connector_settings(timeouts)
        .sleep_impl(TokioSleep::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls_context(settings.ca_bundle.as_deref())?)
        .build();
    let connector = SharedHttpConnector::new(connector);
    Ok(http_client_fn(move |_, _| connector.clone()))
}

fn tls_context(ca_bundle: Option<&Path>) -> Result<TlsContext, SetupError> {
    let trust = match ca_bundle {
        None => TrustStore::default(),
        Some(path) => TrustStore::empty().with_pem_certificate(read_bundle(path)?),
    };
    TlsContext::builder().with_trust_store(trust).build().map_err(|error| SetupError::Tls(error.to_string()))
}

/// Reads a bundle and makes sure that each certificate in it can be used.
fn read_bundle(path: &Path) -> Result<Vec<u8>, SetupError> {
    let wrong = |why: String| SetupError::CaBundle { path: path.to_owned(), why };
    let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut pem = Vec::new();
    let read = file.take(MAX_BUNDLE + 1).read_to_end(&mut pem).map_err(|error| wrong(error.to_string()))?;
    if read as u64 > MAX_BUNDLE {
        return Err(wrong(format!("larger than {MAX_BUNDLE} bytes")));
    }
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(format!("not PEM: {error}")))?;
        roots.add(certificate).map_err(|error| wrong(format!("not a certificate: {error}")))?;
    }
    if roots.is_empty() {
        return Err(wrong("holds no certificate".to_owned()));
    }
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::config::Secret;

    fn settings() -> config::Aws {
        config::Aws {
            region: None,
            endpoint_url: None,
            path_style: false,
            proxy: None,
            ca_bundle: None,
            fips: false,
            dual_stack: false,
        }
    }

    #[test]
    fn a_bundle_that_is_none_is_refused_and_named() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let empty = Some(file.path().to_owned());
        let refused =
            |ca_bundle| http_client(&config::Aws { ca_bundle, ..settings() }).unwrap_err().to_string();
        assert!(refused(empty.clone()).contains("holds no certificate"));
        writeln!(file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----").unwrap();
        assert!(refused(empty).contains("not a certificate"));
        assert!(refused(Some("/absent/bundle.pem".into())).contains("/absent/bundle.pem"));
    }

    #[test]
    fn a_bad_proxy_is_refused_without_being_shown() {
        let proxy = Some(Secret::new("http://user:planted@ not a url"));
        let error = http_client(&config::Aws { proxy, ..settings() }).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("planted"), "{error}");
    }
}
