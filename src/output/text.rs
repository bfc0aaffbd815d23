//! Pure text functions: sanitizing of foreign text, counts, durations, UTC times.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// Maximum length of a line in bytes; longer lines flood a terminal.
const LONGEST: usize = 4096;

/// Returns one line of foreign text, [`harmless`], without trailing white space; cut to [`LONGEST`].
pub(crate) fn clean(line: &str) -> Cow<'_, str> {
    let line = line.trim_end();
    if line.len() <= LONGEST {
        return harmless(line);
    }
    let end = (0..=LONGEST)
        .rev()
        .find(|at| line.is_char_boundary(*at))
        .unwrap_or(0);
    let (shown, cut) = (harmless(&line[..end]), line.len() - end);
    Cow::Owned(format!("{shown}… (+{cut} bytes)"))
}

/// Returns foreign text that is safe for a terminal: colours and bells are removed; line breaks and marks that reverse
/// the reading direction are escaped.
pub(super) fn harmless(line: &str) -> Cow<'_, str> {
    let is_bad = |c: char| {
        (c.is_control() && c != '\t')
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !line.contains(is_bad) {
        return Cow::Borrowed(line);
    }
    let mut text = String::with_capacity(line.len());
    for c in anstream::adapter::strip_str(line).to_string().chars() {
        if is_bad(c) {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    Cow::Owned(text)
}

/// Formats a count: `1 tool`, `2 tools`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Formats a number of bytes: `98 B`, `2 KiB`.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

/// Joins the first `most` items, cleaned, and adds the number of the others.
pub(super) fn list<'a>(items: impl ExactSizeIterator<Item = Cow<'a, str>>, most: usize) -> String {
    let more = items.len().saturating_sub(most);
    let shown: Vec<String> = items
        .take(most)
        .map(|item| clean(&item).into_owned())
        .collect();
    let mut text = shown.join(", ");
    if more > 0 {
        let _ = write!(text, " (+{more} more)");
    }
    text
}

/// Formats a duration: `<1 ms`, `412 ms`, `1.3 s`, `2 min 5 s`.
pub(crate) fn duration(time: Duration) -> String {
    let (ms, seconds) = (time.as_millis(), time.as_secs());
    if ms == 0 {
        "<1 ms".to_owned()
    } else if ms < 1000 {
        format!("{ms} ms")
    } else if seconds < 60 {
        format!("{}.{} s", seconds, time.subsec_millis() / 100)
    } else {
        format!("{} min {} s", seconds / 60, seconds % 60)
    }
}

/// Formats a time as RFC 3339 in UTC with milliseconds: `2026-07-28T12:00:00.123Z`.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Converts days to a date of the proleptic Gregorian calendar, with years that begin in March so that the leap day
    // comes last: http://howardhinnant.github.io/date_algorithms.html#civil_from_days
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let of = |ms| duration(Duration::from_millis(ms));
        assert_eq!(of(0), "<1 ms");
        assert_eq!(of(1), "1 ms");
        assert_eq!(of(999), "999 ms");
        assert_eq!(of(1_349), "1.3 s");
        assert_eq!(of(59_999), "59.9 s");
        assert_eq!(of(125_000), "2 min 5 s");
    }

    #[test]
    fn times_are_utc() {
        let of = |ms| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_millis(ms));
        assert_eq!(of(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(of(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(of(1_785_240_000_123), "2026-07-28T12:00:00.123Z");
        assert_eq!(of(4_107_542_399_999), "2100-02-28T23:59:59.999Z");
        assert_eq!(of(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(clean("plain\tümlaut ✓\r\n"), "plain\tümlaut ✓");
        assert_eq!(clean("\u{1b}[31mred\u{1b}[0m"), "red");
        assert_eq!(clean("a\u{7}b\rc"), "ab\\rc");
        assert_eq!(clean("\u{202e}gpj.exe"), "\\u{202e}gpj.exe");
        assert_eq!(clean("two\nlines"), "two\\nlines");
        let long = "é".repeat(LONGEST);
        assert_eq!(
            clean(&long),
            format!("{}… (+4096 bytes)", "é".repeat(LONGEST / 2))
        );
    }

    #[test]
    fn lists_end_with_what_is_left_out() {
        let of = |items: &[&'static str]| list(items.iter().map(|it| Cow::Borrowed(*it)), 2);
        assert_eq!(of(&[]), "");
        assert_eq!(of(&["a", "b"]), "a, b");
        assert_eq!(of(&["a", "b", "c", "d"]), "a, b (+2 more)");
    }
}
