//! API calls: source, name, request and response, as templates.

use crate::rng::Rng;

/// One API.
pub(super) struct Call {
    /// `eventSource` without `.amazonaws.com`.
    pub(super) source: &'static str,
    /// `eventName`.
    pub(super) name: &'static str,
    /// `readOnly`.
    pub(super) read_only: bool,
    /// `requestParameters`.
    pub(super) request: &'static str,
    /// `responseElements`.
    pub(super) response: &'static str,
}

const fn read(source: &'static str, name: &'static str, request: &'static str) -> Call {
    Call { source, name, read_only: true, request, response: "null" }
}

pub(super) const fn write(
    source: &'static str,
    name: &'static str,
    request: &'static str,
    response: &'static str,
) -> Call {
    Call { source, name, read_only: false, request, response }
}

/// A call that people and programs make.
pub(super) fn any(rng: &mut Rng) -> &'static Call {
    rng.pick(&CALLS)
}

/// A call that services make.
pub(super) fn by_service(rng: &mut Rng) -> &'static Call {
    rng.pick(&BY_SERVICE)
}

/// An object-level call.
pub(super) fn s3_data(rng: &mut Rng) -> &'static Call {
    rng.pick(&S3_DATA)
}

/// A call that touches another account.
pub(super) fn across_accounts(rng: &mut Rng) -> &'static Call {
    rng.pick(&ACROSS)
}

/// A call with a request of up to 100 KB, the limit above which CloudTrail omits it.
pub(super) fn large(_: &mut Rng) -> &'static Call {
    &LARGE
}

/// A call with a request of any size.
pub(super) fn sized() -> &'static Call {
    &LARGE
}

/// A call whose request was too large for CloudTrail.
pub(super) fn omitted(_: &mut Rng) -> &'static Call {
    &OMITTED
}

static CALLS: [Call; 16] = [
    read(
        "ec2",
        "DescribeInstances",
        r#"{"instancesSet":{"items":[{"instanceId":"i-$hex17$"}]},"filterSet":{}}"#,
    ),
    read(
        "ec2",
        "DescribeNetworkInterfaces",
        r#"{"maxResults":1000,"networkInterfaceIdSet":{},"filterSet":{"items":[{"name":"vpc-id","valueSet":{"items":[{"value":"vpc-$hex17$"}]}}]}}"#,
    ),
    read("iam", "GetRole", r#"{"roleName":"Deploy"}"#),
    read("iam", "ListAttachedRolePolicies", r#"{"roleName":"Node","maxItems":100}"#),
    read("sts", "GetCallerIdentity", "null"),
    read(
        "ssm",
        "GetParametersByPath",
        r#"{"path":"/service/$user$/","recursive":true,"withDecryption":true,"maxResults":10}"#,
    ),
    read(
        "lambda",
        "GetFunction20150331v2",
        r#"{"functionName":"arn:aws:lambda:$region$:$account$:function:worker-$host$"}"#,
    ),
    read("dynamodb", "DescribeTable", r#"{"tableName":"orders-$host$"}"#),
    read(
        "logs",
        "DescribeLogStreams",
        r#"{"logGroupName":"/aws/lambda/worker-$host$","orderBy":"LastEventTime","descending":true,"limit":50}"#,
    ),
    read(
        "cloudtrail",
        "LookupEvents",
        r#"{"maxResults":50,"startTime":"Feb 22, 2026, 4:11:47 PM","lookupAttributes":[{"attributeKey":"ReadOnly","attributeValue":"false"}]}"#,
    ),
    write(
        "ec2",
        "RunInstances",
        r#"{"instancesSet":{"items":[{"imageId":"ami-$hex17$","minCount":1,"maxCount":1}]},"userData":"<sensitiveDataRemoved>","instanceType":"m7g.large","clientToken":"$guid$","disableApiTermination":false}"#,
        r#"{"requestId":"$guid$","reservationId":"r-$hex17$","ownerId":"$account$","groupSet":{},"instancesSet":{"items":[{"instanceId":"i-$hex17$","imageId":"ami-$hex17$","instanceState":{"code":0,"name":"pending"},"launchTime":1772316000000,"placement":{"availabilityZone":"$region$a","tenancy":"default"}}]}}"#,
    ),
    write(
        "ec2",
        "CreateTags",
        r#"{"resourcesSet":{"items":[{"resourceId":"i-$hex17$"}]},"tagSet":{"items":[{"key":"kubernetes.io/cluster/main","value":"owned"},{"key":"Name","value":"$user$"}]}}"#,
        r#"{"requestId":"$guid$","_return":true}"#,
    ),
    write(
        "iam",
        "CreateRole",
        r#"{"roleName":"worker-$alnum8$","path":"/","assumeRolePolicyDocument":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"lambda.amazonaws.com\"},\"Action\":\"sts:AssumeRole\"}]}"}"#,
        r#"{"role":{"roleName":"worker-$alnum8$","roleId":"AROA$upper16$","arn":"arn:aws:iam::$account$:role/worker-$alnum8$","createDate":"Feb 22, 2026, 4:11:47 PM","assumeRolePolicyDocument":"%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%5D%7D","path":"/"}}"#,
    ),
    write(
        "s3",
        "PutBucketTagging",
        r#"{"bucketName":"data-$account$-$host$","Host":"data-$account$-$host$.s3.$region$.amazonaws.com","tagging":"","Tagging":{"xmlns":"http://s3.amazonaws.com/doc/2006-03-01/","TagSet":{"Tag":{"Key":"team","Value":"$user$"}}}}"#,
        "null",
    ),
    write(
        "secretsmanager",
        "PutSecretValue",
        r#"{"secretId":"arn:aws:secretsmanager:$region$:$account$:secret:db-$alnum8$","clientRequestToken":"$guid$","secretString":"HIDDEN_DUE_TO_SECURITY_REASONS"}"#,
        r#"{"arn":"arn:aws:secretsmanager:$region$:$account$:secret:db-$alnum8$"}"#,
    ),
    write(
        "sts",
        "AssumeRole",
        r#"{"roleArn":"arn:aws:iam::$account$:role/Deploy","roleSessionName":"$user$","durationSeconds":3600}"#,
        r#"{"credentials":{"accessKeyId":"ASIA$upper16$","sessionToken":"$alnum52$$alnum52$$alnum52$==","expiration":"Feb 22, 2026, 5:11:47 PM"},"assumedRoleUser":{"assumedRoleId":"AROA$upper16$:$user$","arn":"arn:aws:sts::$account$:assumed-role/Deploy/$user$"}}"#,
    ),
];

static BY_SERVICE: [Call; 3] = [
    read(
        "s3",
        "GetBucketAcl",
        r#"{"bucketName":"data-$account$-$host$","Host":"data-$account$-$host$.s3.$region$.amazonaws.com","acl":""}"#,
    ),
    read(
        "kms",
        "Decrypt",
        r#"{"encryptionContext":{"aws:cloudtrail:arn":"arn:aws:cloudtrail:$region$:$account$:trail/organization","aws:s3:arn":"arn:aws:s3:::data-$account$-$host$"},"encryptionAlgorithm":"SYMMETRIC_DEFAULT"}"#,
    ),
    write(
        "sts",
        "AssumeRole",
        r#"{"roleArn":"arn:aws:iam::$account$:role/Node","roleSessionName":"i-$hex17$"}"#,
        r#"{"credentials":{"accessKeyId":"ASIA$upper16$","sessionToken":"$alnum52$$alnum52$==","expiration":"Feb 22, 2026, 10:23:05 PM"}}"#,
    ),
];

static S3_DATA: [Call; 3] = [
    read(
        "s3",
        "GetObject",
        r#"{"bucketName":"data-$account$-$host$","Host":"data-$account$-$host$.s3.$region$.amazonaws.com","key":"year=2026/part-$number$-$alnum8$.parquet"}"#,
    ),
    read(
        "s3",
        "HeadObject",
        r#"{"bucketName":"data-$account$-$host$","Host":"data-$account$-$host$.s3.$region$.amazonaws.com","key":"caf\u00e9/Ünïcode key +%20&$small$.json"}"#,
    ),
    write(
        "s3",
        "PutObject",
        r#"{"bucketName":"data-$account$-$host$","Host":"data-$account$-$host$.s3.$region$.amazonaws.com","x-amz-server-side-encryption":"aws:kms","key":"logs/$user$/$number$.gz"}"#,
        r#"{"x-amz-server-side-encryption":"aws:kms","x-amz-server-side-encryption-aws-kms-key-id":"arn:aws:kms:$region$:$account$:key/$guid$"}"#,
    ),
];

static ACROSS: [Call; 2] = [
    write(
        "sts",
        "AssumeRole",
        r#"{"roleArn":"arn:aws:iam::$other$:role/ReadLogs","roleSessionName":"$user$","externalId":"$organization$"}"#,
        r#"{"credentials":{"accessKeyId":"ASIA$upper16$","sessionToken":"$alnum52$$alnum52$==","expiration":"Feb 22, 2026, 5:11:47 PM"}}"#,
    ),
    read(
        "kms",
        "Decrypt",
        r#"{"keyId":"arn:aws:kms:$region$:$other$:key/$guid$","encryptionAlgorithm":"SYMMETRIC_DEFAULT"}"#,
    ),
];

static LARGE: Call = write(
    "iam",
    "PutRolePolicy",
    r#"{"roleName":"Deploy","policyName":"wide","policyDocument":"{\"Version\":\"2012-10-17\",\"Statement\":[$padding$]}"}"#,
    "null",
);

static OMITTED: Call = write(
    "iam",
    "CreatePolicy",
    r#"{"omitted":true,"originalSize":131072,"reason":"requestParameters too large"}"#,
    r#"{"omitted":"true","originalSize":"104448","reason":"responseElements too large"}"#,
);

pub(super) const USERS: [&str; 6] = ["ci-runner", "auditor", "ops", "data-loader", "terraform", "o'brien"];
pub(super) const VERSIONS: [&str; 6] = ["1.08", "1.08", "1.09", "1.10", "1.11", "1.11"];
pub(super) const SERVICES: [&str; 4] =
    ["cloudtrail.amazonaws.com", "ec2.amazonaws.com", "config.amazonaws.com", "lambda.amazonaws.com"];
pub(super) const AGENTS: [&str; 5] = [
    "Boto3/1.34.51 md/Botocore#1.34.51 ua/2.0 os/linux#6.1.0 md/arch#aarch64 lang/python#3.12.2 cfg/retry-mode#standard Botocore/1.34.51",
    "aws-cli/2.15.30 Python/3.11.8 Linux/6.1.79 exec-env/CloudShell exe/x86_64 prompt/off command/ec2.describe-instances",
    "APN/1.0 HashiCorp/1.0 Terraform/1.7.4 (+https://www.terraform.io) terraform-provider-aws/5.40.0 aws-sdk-go-v2/1.25.3 os/linux lang/go#1.21.8",
    "AWS Internal",
    "aws-sdk-java/2.25.6 Linux/5.10.210 OpenJDK_64-Bit_Server_VM/17.0.10+7 Java/17.0.10 vendor/N_A io/async http/NettyNio",
];
pub(super) const ERRORS: [&str; 4] = [
    r#""errorCode":"AccessDenied","errorMessage":"User is not authorized to perform this action because no identity-based policy allows it""#,
    r#""errorCode":"Client.UnauthorizedOperation","errorMessage":"You are not authorized to perform this operation. Encoded authorization failure message: Zm9vYmFyYmF6cXV4""#,
    r#""errorCode":"NoSuchTagSet","errorMessage":"The TagSet does not exist""#,
    r#""errorCode":"ThrottlingException""#,
];
