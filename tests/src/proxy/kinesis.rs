//! PutRecords of which some entries fail, which no emulator does by itself.

use std::io;

use serde_json::{Value, json};

use super::action::Answer;
use super::http::bad;

/// Sends the entries but these to the emulator through `ask`, and merges its answer with their failures.
pub(super) fn fail_entries(
    body: &[u8],
    entries: &[usize],
    code: &str,
    ask: impl FnOnce(&[u8]) -> io::Result<(u16, Vec<u8>)>,
) -> io::Result<Answer> {
    let mut request: Value = serde_json::from_slice(body).map_err(|_| bad("PutRecords that is not JSON"))?;
    let records =
        request.get_mut("Records").and_then(Value::as_array_mut).ok_or_else(|| bad("no Records"))?;
    let count = records.len();
    let fails = |index: usize| entries.contains(&index);
    let mut index = 0;
    records.retain(|_| {
        index += 1;
        !fails(index - 1)
    });
    let stored = if records.is_empty() {
        Vec::new()
    } else {
        let (status, body) = ask(&serde_json::to_vec(&request)?)?;
        let answer: Value = serde_json::from_slice(&body).map_err(|_| bad("an answer that is not JSON"))?;
        match answer.get("Records").and_then(Value::as_array) {
            Some(records) if status == 200 => records.clone(),
            _ => return Ok(Answer { body: answer.to_string(), ..Answer::json(status, "") }),
        }
    };
    let mut stored = stored.into_iter();
    let failure = json!({"ErrorCode": code, "ErrorMessage": "scripted"});
    let merged: Vec<Value> = (0..count)
        .map(|index| if fails(index) { Some(failure.clone()) } else { stored.next() })
        .collect::<Option<_>>()
        .ok_or_else(|| bad("an answer that lacks records"))?;
    let failed = (0..count).filter(|index| fails(*index)).count();
    let body = json!({"FailedRecordCount": failed, "Records": merged}).to_string();
    Ok(Answer { body, ..Answer::json(200, "") })
}
