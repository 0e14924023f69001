use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Vec<Node>, ParseError> {
    let mut parser = Parser::new();
    parser.parse(text.as_bytes())?;
    Ok(parser.nodes)
}

/// Rebuilds the record with serde_json's values from the nodes; the last of duplicate keys wins there too.
fn rebuild(value: Value<'_>) -> serde_json::Value {
    match value.kind() {
        Kind::Object => value
            .children()
            .map(|child| (unescape(child.key()).unwrap().into_owned(), rebuild(child)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Kind::Array => value.children().map(rebuild).collect::<Vec<_>>().into(),
        Kind::String => unescape(value.string().unwrap()).unwrap().into_owned().into(),
        _ => serde_json::from_str(value.text()).unwrap(),
    }
}

#[test]
fn values_keep_their_text() {
    let text = r#" {"a":{"b":[1.50,-0.0,1e400,"x\u00e9\n",true,null,{}]},"a":2,"k.\u006b":"v"} "#;
    let mut parser = Parser::new();
    let record = parser.parse(text.as_bytes()).unwrap();
    let list = record.get("a").unwrap().get("b").unwrap();
    let texts: Vec<_> = list.children().map(Value::text).collect();
    assert_eq!(texts, ["1.50", "-0.0", "1e400", r#""x\u00e9\n""#, "true", "null", "{}"]);
    assert_eq!(record.root().children().count(), 3);
    assert_eq!(record.get("k.k").unwrap().string(), Some("v"));
    assert_eq!(record.root().end_id(), record.len());
}

#[test]
fn what_is_not_a_record_is_refused() {
    for wrong in [
        "",
        " ",
        "1",
        "[]",
        "null",
        "{",
        "{}x",
        "{}{}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{,}"#,
        r#"{"a":[1,]}"#,
        r#"{"a":[1}"#,
        r#"{"a":01}"#,
        r#"{"a":1.}"#,
        r#"{"a":.5}"#,
        r#"{"a":+1}"#,
        r#"{"a":1e}"#,
        r#"{"a":-}"#,
        r#"{"a":tru}"#,
        r#"{"a":"\x"}"#,
        r#"{"a":"\u12"}"#,
        r#"{"a":"\u12G4"}"#,
        "{\"a\":\"\n\"}",
        "{\"a\":\"x}",
        "{\"a\":\"12345678\u{1}\"}",
        "{'a':1}",
        "{\"a\":NaN}",
        "{a:1}",
        "{\"a\":1]",
    ] {
        assert!(parse(wrong).is_err(), "{wrong:?}");
    }
    assert_eq!(parse("[]").unwrap_err(), ParseError::NotAnObject);
    assert!(matches!(Parser::new().parse(b"{\"a\":\"\xff\"}"), Err(ParseError::Utf8(6))));
}

#[test]
fn hostile_depth_and_width_are_refused() {
    let deep = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
    assert!(parse(&deep(MAX_DEPTH - 1)).is_ok());
    assert_eq!(parse(&deep(MAX_DEPTH)).unwrap_err(), ParseError::TooDeep);
    assert_eq!(parse(&deep(1_000_000)).unwrap_err(), ParseError::TooDeep);
    let wide = format!("{{\"a\":[{}1]}}", "1,".repeat(MAX_VALUES));
    assert_eq!(parse(&wide).unwrap_err(), ParseError::TooLarge);
}

#[test]
fn half_a_surrogate_pair_is_noticed() {
    for (text, lone) in [
        (r#"{"a":"\ud83d\ude00"}"#, false),
        (r#"{"a":"\ud83d"}"#, true),
        (r#"{"a":"\ude00\ud83d"}"#, true),
        (r#"{"a":"\ud83d\u0041"}"#, true),
        (r#"{"a":"\ud83d\ud83d\ude00"}"#, true),
        (r#"{"\udc00":1}"#, true),
    ] {
        let mut parser = Parser::new();
        assert_eq!(parser.parse(text.as_bytes()).unwrap().has_lone_surrogate(), lone, "{text}");
    }
    assert_eq!(unescape(r"\ud83d\ude00").unwrap(), "😀");
    assert_eq!(unescape(r"\ud83d"), None);
    assert_eq!(unescape_lossy(r"a\ud83d\ud83d\ude00\/"), "a\u{fffd}😀/");
}

#[test]
fn paths_name_values() {
    let text = r#"{"a":{"b":[{"c":1},{"c":2}],"x.y":3},"p":{"q":{"password":"s"},"password":"t"}}"#;
    let mut parser = Parser::new();
    let record = parser.parse(text.as_bytes()).unwrap();
    let all = |path: &str| {
        let mut found = Vec::new();
        Path::parse(path).unwrap().any(record.root(), &mut |value| {
            found.push(value.text());
            false
        });
        found
    };
    assert_eq!(all("a.b[].c"), ["1", "2"]);
    assert_eq!(all(r#"a."x.y""#), ["3"]);
    assert_eq!(all("p.**.password"), [r#""t""#, r#""s""#]);
    assert_eq!(all("a.b.c"), Vec::<&str>::new());
    for (wrong, column) in [
        ("", 1),
        ("a.", 3),
        ("a..b", 3),
        (".a", 1),
        ("a.\"x", 3),
        ("a b", 2),
        ("a.**", 5),
        ("a[0]", 2),
        ("**.a.**.b", 6),
    ] {
        assert_eq!(Path::parse(wrong).unwrap_err().column, column, "{wrong}");
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::btree_map(".{0,12}", inner, 0..5)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn reads_what_serde_writes(value in json()) {
        let text = serde_json::json!({ "v": value }).to_string();
        let mut parser = Parser::new();
        let record = parser.parse(text.as_bytes()).unwrap();
        prop_assert_eq!(rebuild(record.root()), serde_json::from_str::<serde_json::Value>(&text).unwrap());
    }

    #[test]
    fn accepts_what_serde_accepts(text in r#"\{("a"|"b\\u0041"|[ ,:\[\]{}"]|-?0|1\.5|1e9|true|null|\\){0,12}\}?"#) {
        // serde_json refuses duplicate keys nowhere, numbers beyond f64 and lone surrogates; neither occurs here.
        let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|value| value.is_object());
        prop_assert_eq!(parse(&text).is_ok(), theirs, "{}", text);
    }

    #[test]
    fn any_bytes_are_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Parser::new().parse(&bytes);
    }
}
