//! Roles in the accounts of an emulator that checks them (ministack with `AUTH=true`).
//!
//! In: an emulator, the account that assumes, the account that is read. Out: the role [`ROLE`], its trust and its
//! permissions. Talks to the IAM query API as the root of an account. A refusal of the emulator fails the test.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::emulator::Emulator;

/// The role that the agent assumes everywhere.
pub const ROLE: &str = "TrailhaulReader";

/// Makes the role in `account`, for callers of the account `home` with this external id; one that is there already
/// gets the new trust. It may read every bucket.
///
/// # Panics
/// When the emulator refuses.
pub fn make_role(emulator: &Emulator, home: &str, account: &str, external_id: &str) {
    let trust = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{home}:root"}},"Action":"sts:AssumeRole","Condition":{{"StringEquals":{{"sts:ExternalId":"{external_id}"}}}}}}]}}"#
    );
    let create = [("Action", "CreateRole"), ("RoleName", ROLE), ("AssumeRolePolicyDocument", &trust)];
    let made = call(emulator, account, &create);
    if !is_good(&made) {
        let change = [("Action", "UpdateAssumeRolePolicy"), ("RoleName", ROLE), ("PolicyDocument", &trust)];
        let changed = call(emulator, account, &change);
        assert!(is_good(&changed), "{made}\n{changed}");
    }
    allow(emulator, account, "Allow");
}

/// Lets the role of an account read every bucket (`Allow`), or denies it (`Deny`).
///
/// # Panics
/// When the emulator refuses.
pub fn allow(emulator: &Emulator, account: &str, effect: &str) {
    permit(emulator, account, &[(effect, "s3:GetObject"), (effect, "s3:ListBucket")]);
}

/// Gives the role of an account these effects (`Allow`, `Deny`) on these actions, everywhere, and no others.
///
/// # Panics
/// When the emulator refuses.
pub fn permit(emulator: &Emulator, account: &str, effects: &[(&str, &str)]) {
    let statement = |(effect, action): &(&str, &str)| {
        format!(r#"{{"Effect":"{effect}","Action":["{action}"],"Resource":"*"}}"#)
    };
    let statements: Vec<String> = effects.iter().map(statement).collect();
    let policy = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
    let put = [
        ("Action", "PutRolePolicy"),
        ("RoleName", ROLE),
        ("PolicyName", "read"),
        ("PolicyDocument", &policy),
    ];
    let answer = call(emulator, account, &put);
    assert!(is_good(&answer), "{answer}");
}

fn is_good(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200")
}

/// A form of the query API; the answer, or what kept it from coming.
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
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(emulator.address())?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().unwrap_or_else(|error| error.to_string())
}
