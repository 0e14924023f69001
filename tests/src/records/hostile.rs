//! Legitimate content that trips careless readers: escapes, look-alike field names, unusual numbers.

use super::calls::{Call, write};
use crate::rng::Rng;

/// Non-ASCII text and everything that escapes it.
pub(super) fn text(rng: &mut Rng) -> &'static Call {
    rng.pick(&TEXT)
}

/// `Records`, `eventID` and brackets where they mean nothing.
pub(super) fn names(rng: &mut Rng) -> &'static Call {
    rng.pick(&NAMES)
}

/// Numbers that a double cannot hold or would print in another way.
pub(super) fn numbers(rng: &mut Rng) -> &'static Call {
    rng.pick(&NUMBERS)
}

static TEXT: [Call; 5] = [
    write(
        "ssm",
        "PutParameter",
        r#"{"name":"/grüße/日本語/🚀","value":"zwölf \u00fc \ud83d\ude80 \u202f\u2028 é","description":"narrow space, right-to-left ‏עברית‏"}"#,
        r#"{"version":3,"tier":"Standard"}"#,
    ),
    write(
        "lambda",
        "UpdateFunctionCode20150331v2",
        r#"{"functionName":"quote\"d\\name","description":"\\\\\\\"}]},{\\\"","path":"C:\\temp\\"}"#,
        r#"{"description":"ends in a backslash \\"}"#,
    ),
    write(
        "s3",
        "PutBucketPolicy",
        r#"{"bucketPolicy":{"Statement":[{"Sid":"\/slash\/ \b\f\t\r\n \u0000 \u001f","Effect":"Allow"}]}}"#,
        "null",
    ),
    write(
        "iam",
        "TagRole",
        r#"{"roleName":"Deploy","tags":[{"key":"","value":""},{"key":"\u0022","value":"\\u0022"},{"key":"\\","value":"\\\\"}]}"#,
        "null",
    ),
    write(
        "logs",
        "PutMetricFilter",
        r#"{"filterPattern":"{ ($.eventName = \"ConsoleLogin\") && ($.errorMessage = \"Failed\") }","filterName":"}{][,:"}"#,
        "null",
    ),
];

static NAMES: [Call; 4] = [
    write(
        "events",
        "PutTargets",
        r#"{"eventID":"00000000-0000-4000-8000-000000000000","Records":[{"eventID":"nested","eventTime":"1999-01-01T00:00:00Z","recipientAccountId":"999900009999"}],"eventTime":"1999-01-01T00:00:00Z"}"#,
        r#"{"Records":[],"failedEntryCount":0}"#,
    ),
    write(
        "lambda",
        "Invoke",
        r#"{"payload":"{\"Records\":[{\"eventID\":\"$guid$\",\"eventTime\":\"1999-01-01T00:00:00Z\"}]}"}"#,
        r#"{"payload":"]}{\"Records\":["}"#,
    ),
    write(
        "glue",
        "CreateTable",
        r#"{"tableInput":{"columns":[{"name":"eventid"},{"name":"EventID"},{"name":"event\u0049D"}],"eventID":{"eventID":["eventID",{"eventID":null}]}}}"#,
        "null",
    ),
    write(
        "athena",
        "StartQueryExecution",
        r#"{"queryString":"select \"eventID\" from t where x = '\"eventID\":\"spoof\",' limit 1","depth":[[[[[[[[[[[[[[[[{"eventID":1}]]]]]]]]]]]]]]]]}"#,
        "null",
    ),
];

static NUMBERS: [Call; 2] = [
    write(
        "sqs",
        "ChangeMessageVisibility",
        r#"{"a":9007199254740993,"b":18446744073709551616,"c":-9223372036854775809,"d":1688560107.857,"e":1.0,"f":-0.0,"g":1.5e-7,"h":9.82222E-5,"i":1E+2,"j":100000000000000000000.000000000000000001}"#,
        "null",
    ),
    write(
        "ecs",
        "RegisterTaskDefinition",
        r#"{"cpu":"256","memory":512.0,"revision":3.141592653589793238462643383279,"limits":{"soft":4294967296,"hard":9223372036854775807}}"#,
        r#"{"version":1}"#,
    ),
];
