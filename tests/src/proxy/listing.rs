//! Listings that do not tell everything.
//!
//! In: an answer to ListObjectsV2, and which keys to leave out. Out: the answer without them, its count put right,
//! so that nothing in it tells of the lie. Folded prefixes stay. What is no such answer comes out as it was.

const BEGIN: &str = "<Contents>";
const END: &str = "</Contents>";

/// The answer without the objects that `hides` names by their keys.
pub fn leave_out(answer: &str, hides: impl Fn(&str) -> bool) -> String {
    let mut out = String::with_capacity(answer.len());
    let (mut rest, mut left_out) = (answer, 0_usize);
    while let Some((before, object, after)) = next(rest) {
        out.push_str(before);
        if key(object).is_some_and(|key| hides(&key)) {
            left_out += 1;
        } else {
            out.push_str(object);
        }
        rest = after;
    }
    out.push_str(rest);
    if left_out == 0 { out } else { recount(&out, left_out) }
}

/// What stands before the next object, the object with its tags, and the rest.
fn next(text: &str) -> Option<(&str, &str, &str)> {
    let begin = text.find(BEGIN)?;
    let end = begin + text.get(begin..)?.find(END)? + END.len();
    Some((text.get(..begin)?, text.get(begin..end)?, text.get(end..)?))
}

fn within<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(inner, _)| inner)
}

/// CloudTrail's keys hold nothing that XML or a URL writes otherwise but the slash.
fn key(object: &str) -> Option<String> {
    within(object, "<Key>", "</Key>").map(|key| key.replace("%2F", "/"))
}

fn recount(answer: &str, left_out: usize) -> String {
    let told = within(answer, "<KeyCount>", "</KeyCount>").and_then(|count| count.parse::<usize>().ok());
    let Some(told) = told else { return answer.to_owned() };
    let count = |count: usize| format!("<KeyCount>{count}</KeyCount>");
    answer.replacen(&count(told), &count(told.saturating_sub(left_out)), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_leaves_no_trace() {
        let object = |key: &str| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>");
        let answer = |objects: &[&str], count: usize| {
            let objects: String = objects.iter().map(|key| object(key)).collect();
            format!("<R><KeyCount>{count}</KeyCount>{objects}<CommonPrefixes/></R>")
        };
        let whole = answer(&["a%2Fb", "a/c", "d"], 4);
        assert_eq!(leave_out(&whole, |key| key.starts_with("a/")), answer(&["d"], 2));
        assert_eq!(leave_out(&whole, |_| false), whole);
        assert_eq!(leave_out("<Error/>", |_| true), "<Error/>");
    }
}
