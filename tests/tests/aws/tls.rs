//! HTTPS with a CA of our own, an HTTP proxy on the way, and the hosts that FIPS and dual-stack stand for.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use trailhaul::aws::{Aws, StaticKeys};
use trailhaul::config::{self, Secret};
use trailhaul::runtime::SystemClock;
use trailhaul::store::{ErrorKind, GetOptions, ListRequest, ObjectStore, PutOptions, S3Store};
use trailhaul_tests::emulator::Kind;

use crate::support::{self, Bench, OWNER, bench, read};

/// A CA in a file, and servers with certificates of it.
struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    fn bundle(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// TLS for a server that is `127.0.0.1`.
    fn acceptor(&self) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A server on a free port; it ends with the test.
struct Server {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

/// Takes TLS off and passes everything on.
async fn https(authority: &Authority, upstream: SocketAddr) -> Server {
    let (listener, acceptor) =
        (TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(), authority.acceptor());
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                let Ok(mut client) = acceptor.accept(stream).await else { return };
                let Ok(mut server) = TcpStream::connect(upstream).await else { return };
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    Server { address, _tasks: tasks }
}

/// An HTTP proxy that makes tunnels to where `lead` says, and writes down what it was asked for, head by head.
async fn tunnels(lead: Option<SocketAddr>) -> (Server, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let notes = Arc::clone(&asked);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            let notes = Arc::clone(&notes);
            connections.spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && head.len() < 16_384 {
                    match client.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                notes.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
                let Some(lead) = lead else { return };
                let Ok(mut server) = TcpStream::connect(lead).await else { return };
                if client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_ok() {
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    (Server { address, _tasks: tasks }, asked)
}

async fn connect(settings: config::Aws) -> Aws {
    let keys = StaticKeys { id: OWNER.to_owned(), secret: Secret::new(support::SECRET_KEY) };
    Aws::connect_with_keys(&settings, Arc::new(SystemClock), &keys).await.unwrap()
}

async fn with_object() -> Option<(Bench, SocketAddr)> {
    let bench = bench(Kind::Ministack).await?;
    bench.store.put("object", support::pattern(300_000), &PutOptions::default()).await.unwrap();
    let address = bench.emulator.address();
    Some((bench, address))
}

#[tokio::test]
async fn a_custom_ca_is_trusted_and_others_are_not() {
    let Some((_bench, upstream)) = with_object().await else { return };
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = https(&ours, upstream).await;
    let endpoint = format!("https://{}", server.address);
    let settings = |ca_bundle: Option<PathBuf>| config::Aws { ca_bundle, ..support::settings(&endpoint) };

    let store = support::open(&connect(settings(Some(ours.bundle()))).await, "logs");
    let bytes = read(&store, "object", GetOptions::default()).await.unwrap();
    assert!(bytes == support::pattern(300_000), "other bytes through TLS");
    store.put("written", Bytes::from_static(b"x"), &PutOptions::default()).await.unwrap();

    // Another CA, and the system's own ones.
    for bundle in [Some(theirs.bundle()), None] {
        let store = support::open(&connect(settings(bundle)).await, "logs");
        let error = store.get("object", GetOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        let text = error.to_string();
        for part in ["s3://logs/object", "certificate", "aws.ca_bundle"] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
    }
}

#[tokio::test]
async fn a_proxy_tunnels_https_and_is_given_its_password() {
    let Some((_bench, upstream)) = with_object().await else { return };
    let authority = Authority::new();
    let server = https(&authority, upstream).await;
    let (proxy, asked) = tunnels(Some(server.address)).await;
    let settings = config::Aws {
        ca_bundle: Some(authority.bundle()),
        proxy: Some(Secret::new(format!("http://user:planted-proxy-password@{}", proxy.address))),
        ..support::settings(&format!("https://{}", server.address))
    };
    let store = support::open(&connect(settings).await, "logs");
    let bytes = read(&store, "object", GetOptions::default()).await.unwrap();
    assert!(bytes == support::pattern(300_000), "other bytes through the tunnel");
    let asked = asked.lock().unwrap();
    assert!(!asked.is_empty(), "nobody asked the proxy");
    for head in asked.iter() {
        assert!(head.starts_with(&format!("CONNECT {} ", server.address)), "{head}");
        // user:planted-proxy-password
        let password = "dXNlcjpwbGFudGVkLXByb3h5LXBhc3N3b3Jk";
        assert!(head.to_ascii_lowercase().contains("proxy-authorization: basic") && head.contains(password));
    }
}

/// The SDK's own rules say which host it is; the proxy is asked for it and leads nowhere, so nothing leaves the machine.
#[tokio::test]
async fn fips_and_dual_stack_endpoints_are_those_of_aws() {
    for (fips, dual_stack, hosts) in [
        (false, false, ["logs.s3.eu-central-1.", "kinesis.eu-central-1.", "sts.eu-central-1."]),
        (true, false, ["logs.s3-fips.us-east-2.", "kinesis-fips.us-east-2.", "sts-fips.us-east-2."]),
        (
            false,
            true,
            ["logs.s3.dualstack.eu-central-1.", "kinesis.eu-central-1.api.aws", "sts.eu-central-1.api.aws"],
        ),
        (
            true,
            true,
            [
                "logs.s3-fips.dualstack.us-east-2.",
                "kinesis-fips.us-east-2.api.aws",
                "sts-fips.us-east-2.api.aws",
            ],
        ),
    ] {
        let (proxy, asked) = tunnels(None).await;
        let region = if fips { "us-east-2" } else { "eu-central-1" };
        let settings = config::Aws {
            region: Some(region.to_owned()),
            endpoint_url: None,
            path_style: false,
            proxy: Some(Secret::new(format!("http://{}", proxy.address))),
            ca_bundle: None,
            fips,
            dual_stack,
        };
        let aws = connect(settings).await;
        let store = S3Store::new(&aws, support::options(&aws, "logs")).unwrap();
        store.list(&ListRequest::default()).await.unwrap_err();
        let kinesis = aws_sdk_kinesis::Client::new(&aws.sdk_config(&aws.base(), None));
        kinesis.list_streams().send().await.unwrap_err();
        let role = config::Role {
            target: config::RoleTarget::Name("TrailhaulReader".to_owned()),
            external_id: None,
            session_name: "trailhaul".to_owned(),
            duration: std::time::Duration::from_secs(3_600),
        };
        let role = trailhaul::aws::Role::new(&role, OWNER.parse().unwrap(), region).unwrap();
        let identity = aws.assume(&[role]);
        let options = trailhaul::store::S3Options { identity, ..support::options(&aws, "logs") };
        S3Store::new(&aws, options).unwrap().list(&ListRequest::default()).await.unwrap_err();

        let asked = asked.lock().unwrap().join("");
        for host in hosts {
            let whole = if host.ends_with('.') {
                format!("CONNECT {host}amazonaws.com:443")
            } else {
                format!("CONNECT {host}:443")
            };
            assert!(
                asked.contains(&whole),
                "fips {fips}, dual-stack {dual_stack}: {whole} is not in {asked}"
            );
        }
    }
}
