//! Recordings of other programs, read as if the proxy had made them.
//!
//! `mcporter record` adds a member `_meta` to each message of its client: direction, server and time.

use std::borrow::Cow;

use crate::jsonrpc::{Members, quoted};

/// Beginning of a message of the proxy's own recordings.
const OWN: &str = r#"{"time_us":"#;

/// Returns the line of the proxy's own format for a line that another program recorded, and any other line as it is.
pub(crate) fn own_line(line: &str) -> Cow<'_, str> {
    let translated = (!line.starts_with(OWN)).then(|| of_mcporter(line));
    translated.flatten().map_or(Cow::Borrowed(line), Cow::Owned)
}

/// Translates a line of mcporter. Starts and ends of a connection become lines without a message.
fn of_mcporter(line: &str) -> Option<String> {
    let mut message = Members::of(line);
    let meta = message.get("_meta")?.to_owned();
    let meta = Members::of(&meta);
    let time = microseconds(&meta.text("ts")?)?;
    let (from, to) = match &*meta.text("dir")? {
        "send" => ("client", "server"),
        "recv" => ("server", "client"),
        "lifecycle" => return Some(format!("{OWN}{time}}}")),
        _ => return None,
    };
    let server = meta.text("server")?;
    message.remove("_meta");
    let message = message.to_string();
    let (session, bytes) = (quoted(&format!("mcporter-{server}")), message.len());
    Some(format!(
        r#"{OWN}{time},"from":"{from}","to":"{to}","session":{session},"server":{},"generation":1,"bytes":{bytes},"message":{message}}}"#,
        quoted(&server)
    ))
}

/// Returns a time of RFC 3339 in UTC with milliseconds as microseconds since 1970.
fn microseconds(time: &str) -> Option<u64> {
    let parts = time.strip_suffix('Z')?.split(['-', 'T', ':', '.']);
    let parts: Vec<u64> = parts.map(|it| it.parse().ok()).collect::<Option<_>>()?;
    let [year, month, day, hour, minute, second, millisecond] = parts[..] else {
        return None;
    };
    let is_date = (1970..=9999).contains(&year) && (1..=12).contains(&month) && day <= 31;
    if !is_date || hour > 23 || minute > 59 || second > 60 || millisecond > 999 {
        return None;
    }
    // Years begin in March, so that the leap day comes last:
    // http://howardhinnant.github.io/date_algorithms.html#days_from_civil
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    let days = days.checked_sub(719_469)?;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some((seconds * 1000 + millisecond) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_mcporter_is_read_as_one_of_the_client_or_the_server() {
        let sent = r#"{"method":"tools/call","params":{"name":"forecast","_meta":{"a":1E2}},"jsonrpc":"2.0","id":1,"_meta":{"dir":"send","server":"weather","ts":"2026-07-28T12:00:00.123Z"}}"#;
        let expected = r#"{"time_us":1785240000123000,"from":"client","to":"server","session":"mcporter-weather","server":"weather","generation":1,"bytes":93,"message":{"method":"tools/call","params":{"name":"forecast","_meta":{"a":1E2}},"jsonrpc":"2.0","id":1}}"#;
        assert_eq!(own_line(sent), expected);
        let received = sent.replace(r#""send""#, r#""recv""#);
        assert!(own_line(&received).contains(r#""from":"server","to":"client""#));
        let start = r#"{"jsonrpc":"2.0","method":"$transport/start","_meta":{"dir":"lifecycle","server":"weather","ts":"2026-07-28T12:00:00.123Z"}}"#;
        assert_eq!(own_line(start), r#"{"time_us":1785240000123000}"#);
    }

    #[test]
    fn other_lines_stay_as_they_are() {
        for line in [
            r#"{"_meta":{"dir":"other","server":"weather","ts":"2026-07-28T12:00:00.123Z"}}"#,
            r#"{"time_us":1,"_meta":{"dir":"send","server":"weather","ts":"2026-07-28T12:00:00.123Z"}}"#,
            r#"{"_meta":{"dir":"send","server":"weather","ts":"soon"}}"#,
            r#"{"_meta":{"dir":"send","ser"#,
            "",
        ] {
            assert_eq!(own_line(line), line);
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (time, expected) in [
            ("1970-01-01T00:00:00.000Z", Some(0)),
            ("2024-02-29T23:59:59.999Z", Some(1_709_251_199_999_000)),
            ("2024-03-01T00:00:00.000Z", Some(1_709_251_200_000_000)),
            ("2026-13-01T00:00:00.000Z", None),
            ("2026-01-01T00:00:00Z", None),
            ("2026-07-28T18446744073709551615:00:00.123Z", None),
            ("2026-01-18446744073709551615T00:00:00.000Z", None),
            ("2026-01-01T00:00:18446744073709551615.000Z", None),
            ("2026-01-01T00:00:00.18446744073709551615Z", None),
            ("2026-01-01", None),
        ] {
            assert_eq!(microseconds(time), expected, "{time}");
        }
    }
}
