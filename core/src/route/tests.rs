use proptest::prelude::*;

use super::*;
use crate::model::json::Parser;

const RECORD: &str = r#"{
    "eventCategory":"Management","eventName":"ConsoleLogin","readOnly":false,"managementEvent":true,
    "userIdentity":{"type":"IAMUser","userName":"al\u0069ce","sessionContext":{"attributes":{"mfaAuthenticated":"false"}}},
    "resources":[{"ARN":"arn:aws:s3:::one"},{"ARN":"arn:aws:s3:::two","accountId":"111122223333"}],
    "requestParameters":null,"additionalEventData":{"bytesTransferredOut":1371.0,"x-amz-id-2":"q","a.b":1,"big":12345678901234567890123},
    "errorMessage":"","path \"q\"":1}"#;

fn matches(filter: &str) -> bool {
    let mut parser = Parser::new();
    Filter::compile(filter)
        .unwrap_or_else(|error| panic!("{filter}: {error}"))
        .matches(parser.parse(RECORD.as_bytes()).unwrap())
}

#[test]
fn what_holds_holds() {
    for filter in [
        r#"eventCategory == "Management" and not readOnly"#,
        r#"eventName in ["AssumeRole", "ConsoleLogin"]"#,
        r#"eventName != "AssumeRole""#,
        r#"userIdentity.userName == "alice""#,
        r#"userIdentity.userName matches "^al.*e$""#,
        r#"userIdentity.userName startsWith "al""#,
        r#"resources[].ARN == "arn:aws:s3:::two""#,
        r#"resources[].accountId == "111122223333" and exists resources"#,
        "managementEvent",
        "managementEvent == true",
        "readOnly == false",
        "userIdentity.sessionContext.attributes.mfaAuthenticated == false",
        "not userIdentity.sessionContext.attributes.mfaAuthenticated",
        "requestParameters == null and not exists requestParameters",
        "nothing.here == null and not exists nothing.here",
        r#"nothing in ["x", null]"#,
        "additionalEventData.bytesTransferredOut == 1371",
        "additionalEventData.big == 12345678901234567890123",
        "additionalEventData.big != 12345678901234567890124",
        r#"additionalEventData.x-amz-id-2 == "q""#,
        r#"additionalEventData."a.b" in [2, 1.0]"#,
        r#"errorMessage == "" and exists errorMessage"#,
        r#"nothing == "x" or (readOnly or managementEvent) and not (readOnly and nothing)"#,
        r#"eventName matches "(?i)consolelogin""#,
        r#"eventName == "\u0043onsoleLogin""#,
    ] {
        assert!(matches(filter), "{filter}");
        assert!(!matches(&format!("not ({filter})")), "not ({filter})");
    }
}

#[test]
fn what_does_not_hold_does_not() {
    for filter in [
        r#"eventName == "consolelogin""#,
        r#"eventName startsWith "onsole""#,
        "eventName == null",
        "eventName",
        "userIdentity",
        "nothing.here",
        r#"nothing startsWith """#,
        r#"nothing matches ".*""#,
        r#"additionalEventData.bytesTransferredOut == "1371.0""#,
        "additionalEventData.bytesTransferredOut == 1371.5",
        r#"resources.ARN == "arn:aws:s3:::one""#,
        "resources[].ARN",
    ] {
        assert!(!matches(filter), "{filter}");
    }
}

#[test]
fn errors_point_at_the_column() {
    for (filter, column, part) in [
        ("", 1, "expected a field"),
        ("   ", 4, "expected a field"),
        ("eventName =", 11, "=="),
        ("eventName ==", 13, "expected a value"),
        ("eventName == ConsoleLogin", 14, "expected a value"),
        ("eventName == 'x'", 14, "double quotes"),
        (r#"eventName == "x"#, 14, "not closed"),
        (r#"eventName == "\q""#, 14, "not a JSON string"),
        (r#"eventName == "x" && readOnly"#, 18, "and"),
        (r#"eventName == "x" || readOnly"#, 18, "or"),
        (r#"eventName == "x" readOnly"#, 18, "expected and, or"),
        (r#"eventName in "x""#, 14, "expected ["),
        (r#"eventName in []"#, 15, "expected a value"),
        (r#"eventName in ["x""#, 18, "expected , or ]"),
        ("(readOnly", 10, "expected )"),
        ("readOnly)", 9, "no parenthesis"),
        ("not", 4, "expected a field"),
        ("exists 5", 8, "expected a field after exists"),
        ("a..b", 3, "field name"),
        ("a.**.b", 3, "**"),
        ("é.é == 1-2", 8, "not a number"),
        (r#"eventName matches "(""#, 19, "unclosed group"),
        (r#"eventName matches "\\w{1000}{1000}""#, 19, "limit"),
        ("a == 1e999", 6, "not a number"),
        ("!readOnly", 1, "expected not"),
        ("readOnly == true == false", 18, "expected and, or"),
    ] {
        let error = Filter::compile(filter).unwrap_err();
        assert_eq!(error.column, column, "{filter}: {error}");
        assert!(error.message.contains(part), "{filter}: {error}");
    }
    let deep = format!("{}a{}", "(".repeat(40), ")".repeat(40));
    assert!(Filter::compile(&deep).unwrap_err().message.contains("nested deeper"));
    assert!(Filter::compile(&"not ".repeat(5_000)).is_err());
}

proptest! {
    #[test]
    fn any_text_is_an_answer(text in r#"[a-z.\[\]"()=!,0-9 \\é]{0,60}"#) {
        if let Err(error) = Filter::compile(&text) {
            prop_assert!(error.column <= text.chars().count() + 1);
        }
    }

    #[test]
    fn a_string_finds_itself(name in any::<String>(), other in any::<String>()) {
        let record = serde_json::json!({ "f": name }).to_string();
        let mut parser = Parser::new();
        let record = parser.parse(record.as_bytes()).unwrap();
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        let holds = |filter: String| Filter::compile(&filter).unwrap().matches(record);
        let itself = holds(format!("f == {}", quoted(&name)));
        prop_assert!(itself);
        let both = format!("f in [{}, {}]", quoted(&other), quoted(&name));
        prop_assert!(holds(both));
        let other_holds = holds(format!("f == {}", quoted(&other)));
        prop_assert_eq!(other_holds, name == other);
        let pattern = format!("f matches {}", quoted(&format!("^{}$", regex::escape(&name))));
        prop_assert!(holds(pattern));
    }
}
