//! Roles in the accounts of an emulator that checks them.

use std::io::{Read, Write};
use std::net::TcpStream;

use trailhaul_tests::emulator::Emulator;

use super::HOME;

/// Makes the role that the agent assumes in an account, for this external id. Roles that are there already get
/// the new trust.
pub(crate) fn make_role(emulator: &Emulator, account: &str, external_id: &str) {
    let trust = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{HOME}:root"}},"Action":"sts:AssumeRole","Condition":{{"StringEquals":{{"sts:ExternalId":"{external_id}"}}}}}}]}}"#
    );
    let made = call(
        emulator,
        account,
        &[("Action", "CreateRole"), ("RoleName", ROLE), ("AssumeRolePolicyDocument", &trust)],
    );
    if !made.starts_with("HTTP/1.1 200") {
        let changed =
            [("Action", "UpdateAssumeRolePolicy"), ("RoleName", ROLE), ("PolicyDocument", trust.as_str())];
        let changed = call(emulator, account, &changed);
        assert!(changed.starts_with("HTTP/1.1 200"), "{made}\n{changed}");
    }
    allow(emulator, account, "Allow");
}

/// Lets the role read every bucket, or denies it.
pub(crate) fn allow(emulator: &Emulator, account: &str, effect: &str) {
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"{effect}","Action":["s3:GetObject","s3:ListBucket"],"Resource":"*"}}]}}"#
    );
    let form = [
        ("Action", "PutRolePolicy"),
        ("RoleName", ROLE),
        ("PolicyName", "read"),
        ("PolicyDocument", &policy),
    ];
    let answer = call(emulator, account, &form);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

const ROLE: &str = "TrailhaulReader";

/// A form of the IAM query API, as the root of an account.
fn call(emulator: &Emulator, account: &str, form: &[(&str, &str)]) -> String {
    let encode = |text: &str| -> String {
        let byte =
            |b: u8| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") };
        text.bytes().map(byte).collect()
    };
    let body: Vec<_> = form.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let body = format!("Version=2010-05-08&{}", body.join("&"));
    let request = format!(
        "POST / HTTP/1.1\r\nhost: iam.amazonaws.com\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         authorization: AWS4-HMAC-SHA256 Credential={account}/20261122/us-east-1/iam/aws4_request, \
         SignedHeaders=host, Signature=00\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(emulator.address()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
