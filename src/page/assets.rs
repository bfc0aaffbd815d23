//! Files of the page that are built into the program.

/// Returns the content and the content type of the file `name`.
pub(super) fn asset(name: &str) -> Option<(&'static str, &'static str)> {
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    Some(match name {
        "style.css" => (include_str!("assets/style.css"), "text/css; charset=utf-8"),
        "lanes.js" => (include_str!("assets/lanes.js"), SCRIPT),
        "latest.js" => (include_str!("assets/latest.js"), SCRIPT),
        "live.js" => (include_str!("assets/live.js"), SCRIPT),
        "copy.js" => (include_str!("assets/copy.js"), SCRIPT),
        "message.js" => (include_str!("assets/message.js"), SCRIPT),
        "message-list.js" => (include_str!("assets/message-list.js"), SCRIPT),
        "messages.js" => (include_str!("assets/messages.js"), SCRIPT),
        "export.js" => (include_str!("assets/export.js"), SCRIPT),
        "failed.js" => (include_str!("assets/failed.js"), SCRIPT),
        "harmless.js" => (include_str!("assets/harmless.js"), SCRIPT),
        "input.js" => (include_str!("assets/input.js"), SCRIPT),
        "json-form.js" => (include_str!("assets/json-form.js"), SCRIPT),
        "record.js" => (include_str!("assets/record.js"), SCRIPT),
        "refresh.js" => (include_str!("assets/refresh.js"), SCRIPT),
        "times.js" => (include_str!("assets/times.js"), SCRIPT),
        "time-line.js" => (include_str!("assets/time-line.js"), SCRIPT),
        "waiting.js" => (include_str!("assets/waiting.js"), SCRIPT),
        "try.css" => (include_str!("assets/try.css"), "text/css; charset=utf-8"),
        "try.js" => (include_str!("assets/try.js"), SCRIPT),
        "try-fields.js" => (include_str!("assets/try-fields.js"), SCRIPT),
        "try-json.js" => (include_str!("assets/try-json.js"), SCRIPT),
        _ => return None,
    })
}
