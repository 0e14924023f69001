//! The objects to measure with: synthetic ones, or a folder's.
//!
//! In: a size, or a folder. Out: gzip objects. The synthetic records have the shapes, sizes and key order of
//! `CloudTrail`'s, with a few hundred principals and buckets and random ids, so that they compress as its logs
//! do (about 11:1); the same size always gives the same bytes. Half of the objects are small, as in practice.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context;

/// Objects of about `bytes` raw bytes in all.
pub(crate) fn synthetic(bytes: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut random = Random(0x7261_696c);
    let mut objects = Vec::new();
    let mut total = 0;
    while total < bytes {
        // By count one half is small; most of the bytes are in objects of a few megabytes, and a few exceed
        // a chunk by far.
        let records = match objects.len() % 16 {
            0..8 => 2 + random.below(40),
            8..15 => 200 + random.below(2000),
            _ => 8000,
        };
        let mut text = String::from("{\"Records\":[");
        for index in 0..records {
            text.push_str(if index > 0 { "," } else { "" });
            record(&mut text, &mut random)?;
        }
        text.push_str("]}");
        total += text.len();
        objects.push(gzip(text.as_bytes())?);
    }
    Ok(objects)
}

/// The `.json.gz` and `.json` files directly in a folder or below it; the latter are compressed first.
pub(crate) fn read_folder(folder: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut objects = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".json.gz") && !name.contains("Digest") {
                objects.push(std::fs::read(&path)?);
            } else if name.ends_with(".json") && !name.contains("Digest") {
                objects.push(gzip(&std::fs::read(&path)?)?);
            }
        }
    }
    anyhow::ensure!(!objects.is_empty(), "no log files in {}", folder.display());
    Ok(objects)
}

fn gzip(raw: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(raw)?;
    Ok(encoder.finish()?)
}

const CALLS: [(&str, &str, &str); 12] = [
    ("s3.amazonaws.com", "GetObject", "true"),
    ("s3.amazonaws.com", "PutObject", "false"),
    ("s3.amazonaws.com", "GetBucketAcl", "true"),
    ("sts.amazonaws.com", "AssumeRole", "true"),
    ("ec2.amazonaws.com", "DescribeInstances", "true"),
    ("ec2.amazonaws.com", "RunInstances", "false"),
    ("kms.amazonaws.com", "Decrypt", "true"),
    ("iam.amazonaws.com", "PutRolePolicy", "false"),
    ("lambda.amazonaws.com", "Invoke", "false"),
    ("dynamodb.amazonaws.com", "GetItem", "true"),
    ("logs.amazonaws.com", "CreateLogStream", "false"),
    ("ssm.amazonaws.com", "GetParameter", "true"),
];

/// Appends one record.
fn record(out: &mut String, random: &mut Random) -> anyhow::Result<()> {
    let call = random.below(CALLS.len());
    let (source, name, read_only) = CALLS.get(call).copied().unwrap_or(("x", "y", "true"));
    let who = random.skewed(300);
    let (minute, second) = (random.below(5) + 40, random.below(60));
    out.push_str(r#"{"eventVersion":"1.11","userIdentity":"#);
    identity(out, random, who)?;
    write!(
        out,
        r#","eventTime":"2026-08-11T11:{minute}:{second:02}Z","eventSource":"{source}","eventName":"{name}","awsRegion":"eu-central-1","sourceIPAddress":"10.{}.{}.{}","userAgent":"{}","#,
        who % 7,
        who % 256,
        random.below(20),
        AGENTS.get(who % AGENTS.len()).copied().unwrap_or_default(),
    )?;
    parameters(out, random, name)?;
    write!(out, r#","requestID":"{}","eventID":"{}","readOnly":{read_only},"#, random.uuid(), random.uuid())?;
    if call < 3 {
        let bucket = random.skewed(40);
        write!(
            out,
            r#""resources":[{{"accountId":"111122223333","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::example-data-{bucket}"}}],"#
        )?;
    }
    out.push_str(r#""eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management","#);
    write!(
        out,
        r#""tlsDetails":{{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"{}"}}}}"#,
        source.replace(".amazonaws", ".eu-central-1.amazonaws")
    )?;
    Ok(())
}

const AGENTS: [&str; 4] = [
    "[aws-sdk-java/2.25.11 Linux/6.1.0 OpenJDK_64-Bit_Server_VM/17.0.9 Java/17.0.9 vendor/Example io/async http/NettyNio cfg/retry-mode/standard]",
    "Boto3/1.34.20 md/Botocore#1.34.20 ua/2.0 os/linux#6.1.0-18-amd64 md/arch#x86_64 lang/python#3.11.2 md/pyimpl#CPython cfg/retry-mode#legacy",
    "APN/1.0 HashiCorp/1.0 Terraform/1.7.5 (+https://www.terraform.io) terraform-provider-aws/5.43.0",
    "AWS Internal",
];

fn identity(out: &mut String, random: &mut Random, who: usize) -> anyhow::Result<()> {
    let role = who % 23;
    write!(
        out,
        r#"{{"type":"AssumedRole","principalId":"AROAEXAMPLE{role:09}:session-{who}","arn":"arn:aws:sts::111122223333:assumed-role/service-role-{role}/session-{who}","accountId":"111122223333","accessKeyId":"ASIAEXAMPLE{:09}","sessionContext":{{"sessionIssuer":{{"type":"Role","principalId":"AROAEXAMPLE{role:09}","arn":"arn:aws:iam::111122223333:role/service-role-{role}","accountId":"111122223333","userName":"service-role-{role}"}},"webIdFederationData":{{}},"attributes":{{"creationDate":"2026-08-11T{:02}:{:02}:07Z","mfaAuthenticated":"false"}}}}}}"#,
        who * 7919 + random.below(3),
        who % 12,
        who % 60,
    )?;
    Ok(())
}

fn parameters(out: &mut String, random: &mut Random, name: &str) -> anyhow::Result<()> {
    let n = random.skewed(40);
    match name {
        "GetObject" | "PutObject" | "GetBucketAcl" => write!(
            out,
            r#""requestParameters":{{"bucketName":"example-data-{n}","Host":"example-data-{n}.s3.eu-central-1.amazonaws.com","key":"part={}/{}.parquet"}},"responseElements":null,"additionalEventData":{{"SignatureVersion":"SigV4","CipherSuite":"TLS_AES_128_GCM_SHA256","bytesTransferredIn":0,"AuthenticationMethod":"AuthHeader","x-amz-id-2":"{}","bytesTransferredOut":{}}}"#,
            random.below(100),
            random.below(1000),
            random.base64(56),
            random.below(100_000),
        )?,
        "AssumeRole" => write!(
            out,
            r#""requestParameters":{{"roleArn":"arn:aws:iam::111122223333:role/service-role-{n}","roleSessionName":"session-{n}","durationSeconds":3600}},"responseElements":{{"credentials":{{"accessKeyId":"ASIAEXAMPLE{n:09}","sessionToken":"{}","expiration":"Aug 11, 2026, 12:45:00 PM"}},"assumedRoleUser":{{"assumedRoleId":"AROAEXAMPLE{n:09}:session-{n}","arn":"arn:aws:sts::111122223333:assumed-role/service-role-{n}/session-{n}"}}}}"#,
            random.base64(80),
        )?,
        "PutRolePolicy" => write!(
            out,
            r#""requestParameters":{{"roleName":"service-role-{n}","policyName":"inline","policyDocument":"{{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [{{\n    \"Effect\": \"Allow\",\n    \"Action\": [\"s3:GetObject\", \"s3:PutObject\"],\n    \"Resource\": \"arn:aws:s3:::example-data-{n}/*\"\n  }}]\n}}"}},"responseElements":null"#
        )?,
        "RunInstances" => {
            out.push_str(r#""requestParameters":{"instancesSet":{"items":["#);
            for i in 0..1 + random.below(4) {
                out.push_str(if i > 0 { "," } else { "" });
                write!(out, r#"{{"imageId":"ami-{n:017x}","minCount":1,"maxCount":1}}"#)?;
            }
            out.push_str(r#"]},"blockDeviceMapping":{},"monitoring":{"enabled":false},"disableApiTermination":false,"ebsOptimized":true},"responseElements":{"reservationId":"r-"#);
            write!(out, r#"{:016x}","ownerId":"111122223333","groupSet":{{}}}}"#, random.next())?;
        }
        "Decrypt" => write!(
            out,
            r#""requestParameters":{{"encryptionAlgorithm":"SYMMETRIC_DEFAULT","encryptionContext":{{"aws:lambda:FunctionArn":"arn:aws:lambda:eu-central-1:111122223333:function:worker-{n}"}}}},"responseElements":null"#
        )?,
        _ => write!(
            out,
            r#""requestParameters":{{"name":"/service/{n}/parameter","withDecryption":true,"maxResults":{}}},"responseElements":null"#,
            random.below(1000)
        )?,
    }
    Ok(())
}

/// A small generator (splitmix64): the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Below `bound`, small numbers much more often.
    fn skewed(&mut self, bound: usize) -> usize {
        let x = self.below(bound);
        x * self.below(bound) / bound
    }

    fn uuid(&mut self) -> String {
        let (a, b) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xfff,
            b >> 48 & 0x3fff | 0x8000,
            b & 0xffff_ffff_ffff
        )
    }

    fn base64(&mut self, len: usize) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        (0..len).filter_map(|_| DIGITS.get(self.below(64)).map(|&b| char::from(b))).collect()
    }
}
