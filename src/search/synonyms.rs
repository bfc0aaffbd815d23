//! Words that people use for the same thing.
//!
//! Without this table the right tool is among the first five for 44 of the 60 questions in `fixtures/search`, and
//! for 21 of the 30 put aside; with it for 57 and 27. What belongs here is the everyday vocabulary of tools, not
//! the answer to one question.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::words;

/// Each line one meaning. A word may stand in several.
const GROUPS: &[&[&str]] = &[
    &[
        "create", "make", "new", "add", "open", "build", "compose", "write",
    ],
    &["create", "schedule", "book", "plan", "arrange"],
    &["delete", "remove", "drop", "erase", "clear", "destroy"],
    &[
        "update", "edit", "modify", "change", "set", "rename", "replace",
    ],
    &[
        "get", "show", "display", "view", "read", "fetch", "retrieve",
    ],
    &["list", "show", "enumerate", "browse"],
    &[
        "search", "find", "look", "lookup", "locate", "query", "grep",
    ],
    &["run", "execute", "start", "launch", "trigger", "invoke"],
    &[
        "stop",
        "halt",
        "cancel",
        "end",
        "terminate",
        "quit",
        "shutdown",
        "abort",
        "pause",
    ],
    &["cancel", "unsubscribe"],
    &["retry", "rerun", "again", "restart"],
    &["move", "transfer", "relocate", "rename"],
    &["move", "transition"],
    &["send", "post", "share", "deliver", "notify"],
    &["reply", "answer", "respond"],
    &["approve", "accept", "review"],
    &["decline", "reject", "refuse", "respond"],
    &["undo", "revert", "reset", "unstage", "rollback"],
    &["save", "store", "keep", "download"],
    &["stash", "shelve", "aside"],
    &["choose", "select", "pick"],
    &["upload", "put"],
    &["download", "get"],
    &["apply", "deploy", "install"],
    &["explain", "why", "reason", "analyze"],
    &["press", "hit", "push"],
    &["folder", "directory"],
    &["structure", "tree", "hierarchy", "layout"],
    &["size", "big", "large", "length", "metadata"],
    &["history", "past", "log", "previous"],
    &["file", "document"],
    &["pr", "pull"],
    &["repo", "repository"],
    &["ci", "workflow", "pipeline", "action", "job", "build"],
    &["issue", "bug", "ticket", "task", "report"],
    &["error", "failure", "crash", "exception", "fail", "broken"],
    &["time", "hour", "clock", "worklog"],
    &["blame", "author", "who"],
    &["commit", "revision"],
    &["label", "tag"],
    &["email", "mail", "gmail", "inbox"],
    &["sms", "text", "phone"],
    &["call", "phone", "dial"],
    &["message", "chat", "say", "dm"],
    &["channel", "room"],
    &[
        "user",
        "person",
        "people",
        "member",
        "colleague",
        "somebody",
        "everyone",
    ],
    &["meeting", "event", "appointment", "calendar"],
    &["available", "free", "freebusy", "busy", "availability"],
    &["today", "tomorrow", "week", "calendar", "date"],
    &["invitation", "invite", "attendee"],
    &["page", "wiki", "article"],
    &["note", "memo", "notion", "page"],
    &["table", "sheet", "spreadsheet", "excel"],
    &["table", "relation"],
    &["column", "field", "schema"],
    &["row", "record"],
    &["database", "db", "postgres", "sqlite"],
    &["sql", "query"],
    &["slow", "performance", "plan", "explain"],
    &["customer", "client", "buyer"],
    &["money", "balance", "payment", "price", "refund"],
    &["bill", "invoice", "charge"],
    &["refund", "reimburse", "return"],
    &["discount", "coupon", "promo", "voucher"],
    &["dispute", "chargeback"],
    &["subscription", "plan"],
    &["web", "url", "internet", "website", "site", "link"],
    &["picture", "image", "photo", "screenshot"],
    &["javascript", "js", "script"],
    &["shell", "command", "terminal", "bash", "exec"],
    &["form", "field"],
    &["bucket", "s3"],
    &["temporary", "presigned", "expiring"],
    &["container", "docker"],
    &["kubernetes", "k8s", "cluster"],
    &["yaml", "manifest"],
    &["memory", "ram"],
    &["cpu", "processor"],
    &[
        "weather",
        "rain",
        "snow",
        "sun",
        "storm",
        "temperature",
        "forecast",
    ],
    &["weekend", "tomorrow", "day", "forecast"],
    &["pollution", "pollute", "smog"],
    &["warm", "heat", "temperature", "climate", "thermostat"],
    &["cool", "cold", "temperature", "climate"],
    &["light", "lamp", "bulb"],
    &["brightness", "dim"],
    &["route", "directions", "travel", "drive", "walk"],
    &["distance", "far", "long"],
    &["restaurant", "cafe", "business", "place", "near"],
    &["coordinates", "latitude", "longitude", "geocode", "gps"],
    &["song", "track", "music", "tune"],
    &["next", "skip"],
    &["remember", "memory", "memorize", "observation", "knowledge"],
    &["fact", "observation", "knowledge"],
    &["documentation", "docs", "manual"],
    &["video", "youtube", "clip"],
    &["subtitles", "transcript", "caption"],
    &["alarm", "alert", "warning"],
    &["secret", "key", "token", "credential"],
];

/// The stems that may stand for `stem`.
pub(super) fn of(stem: &str) -> &'static [String] {
    static TABLE: LazyLock<HashMap<String, Vec<String>>> = LazyLock::new(table);
    TABLE.get(stem).map_or(&[], Vec::as_slice)
}

fn table() -> HashMap<String, Vec<String>> {
    let mut table: HashMap<String, Vec<String>> = HashMap::new();
    for group in GROUPS {
        let stems: Vec<String> = group.iter().map(|word| words::stem(word)).collect();
        for stem in &stems {
            let others = stems.iter().filter(|other| *other != stem).cloned();
            table.entry(stem.clone()).or_default().extend(others);
        }
    }
    table
}
