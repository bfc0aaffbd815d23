//! Task ids that include their server, so that a client can use tasks of several servers, and even another run of the
//! proxy finds a task again.
//!
//! To the client, the id `4f2` of the server `my files` is `4f2~my%20files`. The server's name is encoded without `~`
//! and without characters that a header cannot carry; the text before the last `~` is the server's own id, which may
//! hold any characters. Only the places where the protocol puts a task id are changed: the core of 2025-11-25 and the
//! extension of 2026-07-28. Ids of tasks that the *client* runs for a server stay unchanged.

use memchr::memmem;

use super::meta;
use crate::jsonrpc::{Members, elements, quoted, splice, unquoted};

/// Member with task ids in the filter of a listen request.
pub(crate) const FILTER: &str = "taskIds";
/// Notification about a task, of the extension of 2026-07-28.
pub(crate) const CHANGED: &str = "notifications/tasks";

/// Separator between a server's own id and its name.
const MARK: char = '~';
/// Name of the member that holds every task id.
const TASK_ID: &[u8] = br#""taskId""#;
/// Maximum size in bytes of a result that is searched for a task.
const LONGEST: usize = 64 * 1024;

/// Returns the server that the client's `task_id` belongs to, and the server's own id. None if the id was not made by
/// [`tag`]; the caller must check that the server exists.
pub(crate) fn owner(task_id: &str) -> Option<(String, &str)> {
    let (bare, encoded) = task_id.rsplit_once(MARK)?;
    let server = decode(encoded)?;
    (encode(&server) == encoded).then_some((server, bare))
}

/// Tags the task ids of a message from `server` for the client; returns None if it has none.
pub(crate) fn tag(line: &str, server: &str) -> Option<String> {
    let ids = ids(line, ids_of_server)?;
    let mark = format!("{MARK}{}\"", encode(server));
    // The id's characters stay as written; a value that is not a string has no quote at its end.
    let tagged = |raw: &str| raw.strip_suffix('"').map(|id| [id, &mark].concat());
    exchange(line, &ids, tagged)
}

/// Restores the server's own task ids in a message of the client for `server`; returns None if it has none.
pub(crate) fn untag(line: &str, server: &str) -> Option<String> {
    let ids = ids(line, ids_of_client)?;
    let mark = format!("{MARK}{}\"", encode(server));
    let bare = |raw: &str| match raw.strip_suffix(&mark) {
        Some(id) => Some(format!("{id}\"")),
        // The client may write the same id with other escapes.
        None => match owner(&unquoted(raw)?)? {
            (owner, bare) if owner == server => Some(quoted(bare)),
            _ => None,
        },
    };
    exchange(line, &ids, bare)
}

/// Returns those of the client's task ids in the raw array `list` that belong to `server`, as the server's own; None if
/// there are none.
pub(crate) fn untag_list(list: &str, server: &str) -> Option<String> {
    let own = |raw: &str| match owner(&unquoted(raw)?)? {
        (owner, bare) if owner == server => Some(quoted(bare)),
        _ => None,
    };
    let ids: Vec<_> = elements(list)?.into_iter().filter_map(own).collect();
    (!ids.is_empty()).then(|| format!("[{}]", ids.join(",")))
}

/// Returns true if `result` may describe a task. The check is cheap for other results.
pub(crate) fn may_describe_task(result: &str) -> bool {
    result.len() <= LONGEST && memmem::find(result.as_bytes(), TASK_ID).is_some()
}

/// Finds the ids in a message; each is a slice of the line.
type FindIds = for<'a> fn(&Members<'a>) -> Vec<&'a str>;

fn ids(line: &str, find: FindIds) -> Option<Vec<&str>> {
    memmem::find(line.as_bytes(), TASK_ID)?;
    Some(find(&Members::of(line)))
}

fn exchange(line: &str, ids: &[&str], new: impl Fn(&str) -> Option<String>) -> Option<String> {
    let new: Vec<(&str, String)> = ids.iter().filter_map(|id| Some((*id, new(id)?))).collect();
    let mut parts: Vec<(&str, &str)> = new.iter().map(|(id, new)| (*id, &**new)).collect();
    (!parts.is_empty()).then(|| splice(line, &mut parts))
}

/// Finds the ids of a server's own tasks in its message.
fn ids_of_server<'a>(message: &Members<'a>) -> Vec<&'a str> {
    if let Some(method) = message.text("method") {
        let params = object(message, "params");
        let status_task = is_status(&method).then(|| params.original("taskId"));
        return status_task
            .flatten()
            .into_iter()
            .chain(related(&params))
            .collect();
    }
    let result = object(message, "result");
    let list = result
        .original("tasks")
        .and_then(elements)
        .unwrap_or_default();
    let listed = list
        .into_iter()
        .filter_map(|task| Members::of(task).original("taskId"));
    [
        result.original("taskId"),
        object(&result, "task").original("taskId"),
        related(&result),
    ]
    .into_iter()
    .flatten()
    .chain(listed)
    .collect()
}

/// Finds the ids of a server's tasks in a client's message.
fn ids_of_client<'a>(message: &Members<'a>) -> Vec<&'a str> {
    let Some(method) = message.text("method") else {
        return related(&object(message, "result")).into_iter().collect();
    };
    let params = object(message, "params");
    // A status notification from the client is about the client's own task.
    let requested_task = (!is_status(&method)).then(|| params.original("taskId"));
    requested_task
        .flatten()
        .into_iter()
        .chain(related(&params))
        .collect()
}

fn is_status(method: &str) -> bool {
    matches!(method, "notifications/tasks/status" | CHANGED)
}

/// Returns the id of the task that `_meta` relates the message to.
fn related<'a>(of: &Members<'a>) -> Option<&'a str> {
    object(&object(of, "_meta"), meta::RELATED_TASK).original("taskId")
}

/// Returns the object `name` of an object, as slices of the line.
fn object<'a>(of: &Members<'a>, name: &str) -> Members<'a> {
    of.original(name).map(Members::of).unwrap_or_default()
}

/// Encodes `server` with characters that an id, a JSON string and a header can hold unescaped, without the mark.
fn encode(server: &str) -> String {
    server
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn decode(encoded: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            u8::try_from(digit()? * 16 + digit()?).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Asserts that each id `T` of `line` gets tagged; `X` is not a task id of the server.
    #[track_caller]
    fn tags(line: &str) {
        let line = line.replace('\'', "\"");
        let expected = line.replace("\"T\"", "\"T~my%20files\"");
        let expected = (expected != line).then_some(expected);
        assert_eq!(tag(&line, "my files"), expected);
    }

    /// Asserts that each tagged id `T` of `line` loses its tag; `X` is not a task id of the server.
    #[track_caller]
    fn untags(line: &str) {
        let line = line.replace('\'', "\"");
        let tagged = line
            .replace("\"T\"", "\"T~my%20files\"")
            .replace("\"X\"", "\"X~my%20files\"");
        let expected = line.replace("\"X\"", "\"X~my%20files\"");
        let expected = (expected != tagged).then_some(expected);
        assert_eq!(untag(&tagged, "my files"), expected);
    }

    #[test]
    fn tags_results() {
        tags(
            "{'jsonrpc':'2.0', 'id':1,'result':{'task':{'taskId':'T','status':'working','ttl':6E4}}}",
        );
        tags("{'id':1,'result':{'resultType':'task','taskId':'T','status':'working'}}");
        tags(
            "{'result':{'tasks':[{'taskId':'T'}, {'status':'x','taskId':'T'},{'taskId':7},null],'nextCursor':'c'},'id':1}",
        );
        tags(
            "{'id':1,'result':{'content':[],'_meta':{'io.modelcontextprotocol/related-task':{'taskId':'T'}}}}",
        );
    }

    #[test]
    fn tags_notifications_and_requests() {
        for method in ["notifications/tasks/status", "notifications/tasks"] {
            tags(&format!(
                "{{'method':'{method}','params':{{'taskId':'T','status':'completed','result':{{'taskId':'X'}}}}}}"
            ));
        }
        tags(
            "{'id':3,'method':'elicitation/create','params':{'_meta':{'io.modelcontextprotocol/related-task':{'taskId':'T'}}}}",
        );
        tags(
            "{'method':'notifications/progress','params':{'taskId':'X','_meta':{'io.modelcontextprotocol/related-task':{'taskId':'T'}}}}",
        );
    }

    #[test]
    fn leaves_what_only_looks_like_a_task_of_the_server() {
        tags(
            "{'id':1,'result':{'content':[{'taskId':'X','task':{'taskId':'X'}}],'structuredContent':{'taskId':'X','task':{'taskId':'X'},'tasks':[{'taskId':'X'}]}}}",
        );
        tags("{'id':1,'result':{'_meta':{'taskId':'X'},'x':{'tasks':[{'taskId':'X'}]}}}");
        tags("{'id':1,'result':{'content':[{'type':'text','text':'{\\'taskId\\':1}'}]}}");
        tags("{'id':1,'error':{'code':1,'message':'','data':{'taskId':'X'}}}");
        tags("{'id':1,'result':{'taskId':1,'task':[{'taskId':'X'}],'tasks':{'taskId':'X'}}}");
        // The server requests a task that the client runs.
        tags("{'id':1,'method':'tasks/get','params':{'taskId':'X'}}");
        tags("{'id':1,'result':{'tools':[]}}");
        tags("no json 'taskId'");
    }

    #[test]
    fn untags_what_the_client_sends() {
        for method in ["get", "result", "cancel", "update"] {
            untags(&format!(
                "{{'id':1,'method':'tasks/{method}','params':{{ 'taskId':'T','inputResponses':{{'taskId':'X'}}}}}}"
            ));
        }
        untags(
            "{'id':1,'method':'tools/call','params':{'arguments':{'taskId':'X'},'_meta':{'io.modelcontextprotocol/related-task':{'taskId':'T'}}}}",
        );
        untags(
            "{'id':1,'result':{'task':{'taskId':'X'},'_meta':{'io.modelcontextprotocol/related-task':{'taskId':'T'}}}}",
        );
        // Tasks that the client runs for the server.
        untags("{'id':1,'result':{'taskId':'X','tasks':[{'taskId':'X'}]}}");
        untags("{'method':'notifications/tasks/status','params':{'taskId':'X'}}");
        assert_eq!(
            untag(
                r#"{"method":"tasks/get","params":{"taskId":"T~other"}}"#,
                "my files"
            ),
            None
        );
    }

    #[test]
    fn an_id_keeps_its_own_escapes_and_may_come_back_with_others() {
        let line = r#"{"id":1,"result":{"taskId":"\ud83d\/~a"}}"#;
        assert_eq!(
            tag(line, "a~b").as_deref(),
            Some(r#"{"id":1,"result":{"taskId":"\ud83d\/~a~a%7Eb"}}"#)
        );
        let back = r#"{"id":1,"method":"tasks/get","params":{"taskId":"\u0061/b\u007ea%7eb"}}"#;
        assert_eq!(untag(back, "a~b"), None);
        let back = back.replace("%7e", "%7E");
        assert_eq!(
            untag(&back, "a~b").as_deref(),
            Some(r#"{"id":1,"method":"tasks/get","params":{"taskId":"a/b"}}"#)
        );
    }

    #[test]
    fn only_a_tagged_id_has_an_owner() {
        assert_eq!(owner("a~b~c%7E%25"), Some(("c~%".to_owned(), "a~b")));
        assert_eq!(owner("~"), Some((String::new(), "")));
        for id in ["a", "", "a~%", "a~%7", "a~%zz", "a~%FF", "a~b c", "a~%61"] {
            assert_eq!(owner(id), None, "{id}");
        }
    }

    proptest! {
        #[test]
        fn every_id_of_every_server_comes_back(id in "[~%a\"\\\\]{0,6}|\\PC*", server in "[~%a ]{0,6}|\\PC*") {
            let result = format!(r#"{{"id":1,"result":{{"taskId":{}}}}}"#, quoted(&id));
            let tagged = tag(&result, &server).unwrap();
            let tagged = Members::of(&tagged).object("result").text("taskId").unwrap().into_owned();
            prop_assert_eq!(owner(&tagged), Some((server.clone(), &*id)));
            let get = |id: &str| format!(r#"{{"method":"tasks/get","params":{{"taskId":{}}}}}"#, quoted(id));
            prop_assert_eq!(untag(&get(&tagged), &server), Some(get(&id)));
        }
    }
}
