//! Messages that a typed model in the middle would damage: they pass byte for byte, the id apart.
//!
//! `@ID@` stands for the id, which is the one thing that differs on the two sides.

use serde_json::{Value, json};

use crate::harness::{DEADLINE, Peer, Project, Proxy, eventually, example, initialize_params};

/// Values of any shape, for any position.
const VALUES: [&str; 25] = [
    "{}",
    r#"{"n":1180591620717411303424}"#,
    r#"{"n":1E5,"m":1e+05,"k":100000.0}"#,
    r#"{"n":-0,"m":-0.0}"#,
    r#"{"n":1e400,"m":1e-400}"#,
    r#"{"temperature":0.1,"price":0.30000000000000004}"#,
    r#"{"n":0.1000000000000000055511151231257827}"#,
    r#"{"a":1,"a":2,"b":{"c":1,"c":null}}"#,
    r#"{"text":"\ud83d"}"#,
    r#"{"text":"\ude00\ud83d and on"}"#,
    r#"{"\ud83d":1,"\u0061":2}"#,
    r#"{"url":"https:\/\/example.com\/a"}"#,
    r#"{"text":"\u00e9\u0000\u001f\b\f\n\r\t\"\\ é 😀"}"#,
    r#"{"text":"  "}"#,
    r#"{"vendor":null,"list":[],"object":{},"no":false}"#,
    r#"{  "spaced"  :  [ 1 ,  2 ]  ,  "tab":	true  }"#,
    r#"{"":0}"#,
    r#"{"_meta":{"vendor/trace":"00-1","progressToken":1.0}}"#,
    r#"{"id":1,"method":"x","jsonrpc":"1.0","params":{"id":2},"result":{},"error":{}}"#,
    r#"{"nextCursor":""}"#,
    r#"{"@type":"x","$ref":"\/a"}"#,
    r#"{"progressToken":1180591620717411303424}"#,
    r#"{"name":"\ud83d","uri":"\ud83d","cursor":1e400}"#,
    r#"{"type":"object","$defs":{"a":{"$anchor":"b"}},"default":1.0}"#,
    r#"{"big":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}"#,
];

/// Requests of a client.
const REQUESTS: [&str; 23] = [
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"tools/call","params":{"name":"t","arguments":{},"task":{"ttl":60000,"vendor":1}}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"tools/call","params":{"name":"t","arguments":null}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"tools/call","params":{"name":"t"}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"tools/call","params":{"name":"\ud83d","arguments":{"a":1E5}}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"tools/call","params":{"arguments":{"a":1e400},"name":"t","foo":1}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"tools/call","params":{"name":"t","inputResponses":{"a":{"x":-0}},"requestState":"\/s"}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"prompts/get","params":{"name":"p","arguments":{"a":"b"},"foo":{}}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"resources/read","params":{"uri":"file:\/\/\/a","foo":1.0}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"resources/subscribe","params":{"uri":"file:///a","foo":[]}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p","title":"x"},"argument":{"name":"a","value":"b","x":1},"context":{"arguments":{},"x":1}}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"logging/setLevel","params":{"level":"debug","foo":1}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"tasks/get","params":{"taskId":"1","foo":1}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"tasks/cancel","params":{"taskId":"1"}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"vendor/none"}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"vendor/null","params":null}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"vendor/array","params":[1,{"a":1E5},"\ud83d"]}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"vendor/text","params":"\ud83d"}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"vendor/number","params":1e400}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"vendor/esc\u0061ped\/x","params":{}}"#,
    r#"{"params":{"a":1},"method":"vendor/order","vendor":[1],"id":@ID@,"jsonrpc":"2.0"}"#,
    r#"{"id":@ID@,"method":"vendor/without"}"#,
    r#"{ "jsonrpc" : "2.0" ,	"id" : @ID@ , "method" : "vendor/space" }"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"vendor/meta","params":{"_meta":{"progressToken":"\ud83d","traceparent":"00-1","x":1E5}}}"#,
];

/// Requests of a server.
const SERVER_REQUESTS: [&str; 8] = [
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"sampling/createMessage","params":{"messages":[{"role":"user","content":{"type":"text","text":"\ud83d","foo":1}}],"maxTokens":1,"temperature":0.1,"modelPreferences":{"costPriority":1,"hints":[{"name":"a","foo":1}]},"tools":[{"name":"a","inputSchema":{"type":"object"},"foo":1}],"toolChoice":{"mode":"auto","foo":1},"metadata":{"a":1E5}}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"elicitation/create","params":{"message":"m","requestedSchema":{"type":"object","properties":{"a":{"type":"string","foo":1,"pattern":"\/"},"b":{"type":"number","default":1.0}},"required":[],"foo":1},"foo":1}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"elicitation/create","params":{"mode":"url","elicitationId":"e","url":"https:\/\/example.com","message":"m","foo":1}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"roots/list"}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"roots/list","params":{"foo":1}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"method":"tasks/result","params":{"taskId":"t","foo":1}}"#,
    r#"{"params":[1],"method":"vendor/ask","id":@ID@,"jsonrpc":"2.0"}"#,
    r#"{"id":@ID@,"method":"vendor/without"}"#,
];

/// Responses that servers and clients give alike: they do not identify their request.
const ANSWERS: [&str; 27] = [
    r#"{"jsonrpc":"2.0","id":@ID@,"result":{"tools":[],"foo":1}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"result":{"content":[],"foo":1}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"result":{"action":"accept","foo":1}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"result":{"structuredContent":{"a":1}}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"result":{"content":[{"type":"text","text":"a","annotations":{"priority":1,"foo":1},"foo":1},{"type":"image","data":"","mimeType":"image/png","foo":1},{"type":"audio","data":"","mimeType":"audio/wav","foo":1},{"type":"resource_link","uri":"a:b","name":"c","foo":1,"icons":[{"src":"a","foo":1}]},{"type":"resource","resource":{"uri":"a:b","text":"","foo":1},"foo":1},{"type":"vendor"}],"isError":false}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"result":{"task":{"taskId":"a","status":"working","ttl":null,"pollInterval":50,"foo":1}}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"result":{"taskId":"a","status":"completed","ttl":60000,"pollInterval":50,"createdAt":"x"}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"result":{"messages":[{"role":"user","content":{"type":"text","text":"a"},"foo":1}],"description":null,"foo":1}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"result":{"contents":[{"uri":"a:b","blob":"","foo":1}],"foo":1}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"result":{"completion":{"values":[],"total":0,"hasMore":false,"foo":1},"foo":1}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"result":{"role":"assistant","content":{"type":"text","text":"\ud83d"},"model":"m","stopReason":"vendor","foo":1}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"result":{"roots":[{"uri":"file:\/\/\/a","foo":1}]}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"result":{"resultType":"vendor","x":1}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"result":null}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"result":[1,2]}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"result":1e400}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"result":"\ud83d"}"#,
    r#"{"result":{"a":1},"jsonrpc":"2.0","id":@ID@}"#,
    r#"{"id":@ID@,"result":{}}"#,
    r#"{ "jsonrpc" : "2.0" , "id" :	@ID@ , "result" : { } , "vendor" : 1E5 }"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"error":{"code":-32603,"message":"m","data":{"a":1E5},"foo":1}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"error":{"code":1180591620717411303424,"message":"\ud83d","data":null}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"error":{"message":"\/","code":1.0}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"error":"text"}"#,
    r#"{"error":{"code":-32002,"message":"not found","data":{"uri":"a:b"}},"id":@ID@,"foo":1}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"error":{"code":-32042,"message":"m","data":{"elicitations":[{"mode":"url"}]}}}"#,
    r#"{"jsonrpc":"2.0","id":@ID@,"error":{"code":-32601,"message":"m"}}"#,
];

/// Notifications that both sides may send.
const NOTIFICATIONS: [&str; 10] = [
    r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"a","progress":1,"total":1.0,"message":"m","foo":1}}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1180591620717411303424,"progress":1E5}}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/tasks/status","params":{"taskId":"a","status":"working","ttl":null,"foo":1}}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/elicitation/complete","params":{"elicitationId":"e","foo":1}}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"vendor","data":{"a":1e400},"logger":null,"foo":1}}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/vendor"}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/vendor","params":null}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/vendor","params":["\ud83d",{"a":-0}],"foo":1}"#,
    r#"{"params":{"_meta":{"a":1.0}},"method":"vendor\/\u0061","jsonrpc":"2.0"}"#,
    r#"{"method":"vendor/without"}"#,
];

/// Ids that a number or a plain string type would change.
const IDS: [&str; 12] = [
    "7",
    "1.0",
    "-0",
    "1E5",
    "1180591620717411303424",
    "-9223372036854775809",
    r#""1""#,
    r#""""#,
    r#""a\/b""#,
    r#""\u0061\n\"""#,
    r#""\ud83d""#,
    r#""é😀""#,
];

const LISTS: [(&str, &str); 4] = [
    (
        "tools/list",
        r#"{"foo":1E5, "tools":[{"name":"a","title":"A","inputSchema":{"type":"object","properties":{"a":{"const":1e400}},"$schema":"https:\/\/json-schema.org"},"outputSchema":{"type":"object"},"annotations":{"readOnlyHint":true,"foo":1},"execution":{"taskSupport":"optional","foo":1},"icons":[{"src":"a","theme":"dark","foo":1}],"_meta":{"ui":{"resourceUri":"ui:\/\/a"}},"foo":"\ud83d","\u0066oo":-0}],"_meta":{"a":1.0}}"#,
    ),
    (
        "prompts/list",
        r#"{"prompts":[{"name":"p","arguments":[{"name":"a","required":false,"foo":1}],"foo":1}],"foo":null}"#,
    ),
    (
        "resources/list",
        r#"{"resources":[{"uri":"file:\/\/\/a","name":"n","size":1180591620717411303424,"annotations":{"priority":1,"audience":[],"foo":1},"foo":1}]}"#,
    ),
    (
        "resources/templates/list",
        r#"{"resourceTemplates":[{"uriTemplate":"file:///{a}","name":"n","foo":{"a":1,"a":2}}],"foo":0.1}"#,
    ),
];

/// A client in front of a server that keeps every line it gets and writes lines on request.
struct Pair {
    peer: Peer,
    _project: Project,
    modern: bool,
}

impl Pair {
    #[track_caller]
    fn start(modern: bool) -> Self {
        let project = Project::new();
        let raw: Value = LISTS
            .iter()
            .map(|(method, text)| (*method, *text))
            .collect();
        let script = json!({"record": true, "raw": raw});
        project.write("script.json", &script.to_string());
        let peer = Proxy::dev([example("fake_server"), "script.json".into()])
            .transparent()
            .within(&project)
            .spawn();
        if modern {
            peer.modern("server/discover", json!({})).result();
        } else {
            peer.initialize(&initialize_params()).result();
        }
        let pair = Self {
            peer,
            _project: project,
            modern,
        };
        pair.heard();
        pair
    }

    /// The lines that the server got since this was asked last.
    #[track_caller]
    fn heard(&self) -> Vec<String> {
        let answer = if self.modern {
            self.peer.modern("vendor/heard", json!({}))
        } else {
            self.peer.ask("vendor/heard", &json!({}))
        };
        let mut lines: Vec<String> = serde_json::from_str(answer.result_text()).unwrap();
        assert!(lines.pop().unwrap().contains("vendor/heard"));
        lines
    }

    /// Lets the server write these lines, in which `@ID@` is the id of the client's request `id`.
    fn let_say(&self, id: &str, lines: &[String]) {
        let meta = if self.modern {
            format!(r#","_meta":{}"#, crate::harness::modern_meta())
        } else {
            String::new()
        };
        let lines = json!(lines);
        self.peer.send(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"vendor/say","params":{{"lines":{lines}{meta}}}}}"#
        ));
    }

    /// The lines that the client gets from the position `mark` on, once there are `count`.
    #[track_caller]
    fn await_lines(&self, mark: usize, count: usize) -> Vec<String> {
        eventually(DEADLINE, || self.peer.mark() >= mark + count);
        let lines = self.peer.lines_since(mark);
        lines.into_iter().map(|message| message.line).collect()
    }
}

/// The id with which `line` differs from `template`; fails if anything else differs.
#[track_caller]
fn id_in(line: &str, template: &str) -> String {
    let (before, after) = template.split_once("@ID@").unwrap();
    let id = line
        .strip_prefix(before)
        .and_then(|rest| rest.strip_suffix(after));
    match id {
        Some(id) if !id.contains('"') && !id.is_empty() => id.to_owned(),
        _ => panic!("damaged\n sent {template:.500}\n came {line:.500}"),
    }
}

/// As `assert_eq`, for lines too long to be shown.
#[track_caller]
fn assert_same(came: &[String], sent: &[String]) {
    for (came, sent) in came.iter().zip(sent) {
        assert!(
            came == sent,
            "damaged\n sent {sent:.500}\n came {came:.500}"
        );
    }
    assert_eq!(came.len(), sent.len());
}

fn with_values(fixed: &[&str], form: &str) -> Vec<String> {
    let odd = VALUES.iter().map(|value| form.replace("@VALUE@", value));
    let deep = format!("{}{}", "[".repeat(3000), "]".repeat(3000));
    let large = format!(r#"{{"text":"{}"}}"#, "é\\/".repeat(100_000));
    let grown = [deep, large].map(|value| form.replace("@VALUE@", &value));
    let fixed = fixed.iter().map(|line| (*line).to_owned());
    fixed.chain(odd).chain(grown).collect()
}

fn answers() -> Vec<String> {
    let mut all = with_values(&ANSWERS, r#"{"jsonrpc":"2.0","id":@ID@,"result":@VALUE@}"#);
    all.extend(with_values(
        &[],
        r#"{"jsonrpc":"2.0","id":@ID@,"error":{"code":1,"message":"m","data":@VALUE@}}"#,
    ));
    all
}

fn notifications() -> Vec<String> {
    with_values(
        &NOTIFICATIONS,
        r#"{"jsonrpc":"2.0","method":"notifications/vendor","params":@VALUE@}"#,
    )
}

/// `template` as a request of the modern era, if its params can hold a `_meta`.
fn modern(template: &str) -> Option<String> {
    let (before, after) = template.split_once(r#""params":{"#)?;
    let comma = if after.starts_with('}') { "" } else { "," };
    let meta = crate::harness::modern_meta();
    (!template.contains("_meta"))
        .then(|| format!(r#"{before}"params":{{"_meta":{meta}{comma}{after}"#))
}

#[track_caller]
fn requests_arrive_as_they_were_sent(pair: &Pair, requests: &[String]) {
    for (number, template) in requests.iter().enumerate() {
        let id = IDS[number % IDS.len()];
        pair.peer.send(&template.replace("@ID@", id));
    }
    let heard = pair.heard();
    assert_eq!(heard.len(), requests.len());
    let mut ids: Vec<String> = heard
        .iter()
        .zip(requests)
        .map(|(line, template)| id_in(line, template))
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), requests.len(), "ids are not unique: {ids:?}");
}

#[track_caller]
fn answers_arrive_as_they_were_given(pair: &Pair) {
    for (number, template) in answers().iter().enumerate() {
        let id = IDS[number % IDS.len()];
        let mark = pair.peer.mark();
        pair.let_say(id, std::slice::from_ref(template));
        let lines = pair.await_lines(mark, 1);
        assert_same(&lines, &[template.replace("@ID@", id)]);
    }
}

#[test]
fn requests_of_a_client() {
    let requests = with_values(
        &REQUESTS,
        r#"{"jsonrpc":"2.0","id":@ID@,"method":"vendor/x","params":@VALUE@}"#,
    );
    assert!(requests.len() + ANSWERS.len() + NOTIFICATIONS.len() + SERVER_REQUESTS.len() > 70);
    requests_arrive_as_they_were_sent(&Pair::start(false), &requests);
    let requests: Vec<String> = requests.iter().filter_map(|line| modern(line)).collect();
    assert!(requests.len() > 30);
    requests_arrive_as_they_were_sent(&Pair::start(true), &requests);
}

#[test]
fn answers_of_a_server() {
    answers_arrive_as_they_were_given(&Pair::start(false));
}

#[test]
fn answers_of_a_modern_server() {
    answers_arrive_as_they_were_given(&Pair::start(true));
}

#[test]
fn requests_of_a_server_and_their_answers() {
    let pair = Pair::start(false);
    let requests = with_values(
        &SERVER_REQUESTS,
        r#"{"jsonrpc":"2.0","id":@ID@,"method":"vendor/ask","params":@VALUE@}"#,
    );
    let own = |number: usize| IDS[number % IDS.len()];
    let said: Vec<String> = requests
        .iter()
        .enumerate()
        .map(|(number, template)| template.replace("@ID@", own(number)))
        .collect();
    let mark = pair.peer.mark();
    pair.let_say("1000", &said);
    let lines = pair.await_lines(mark, said.len());
    let ids: Vec<String> = lines
        .iter()
        .zip(&requests)
        .map(|(line, template)| id_in(line, template))
        .collect();
    pair.heard();

    // The answers come in another order than the questions.
    let mut expected = Vec::new();
    for (number, (id, template)) in ids.iter().zip(answers()).enumerate().rev() {
        pair.peer.send(&template.replace("@ID@", id));
        expected.push(template.replace("@ID@", own(number)));
    }
    assert_same(&pair.heard(), &expected);
}

#[test]
fn all_answers_of_a_client() {
    let pair = Pair::start(false);
    let question = r#"{"jsonrpc":"2.0","id":@ID@,"method":"vendor/ask"}"#;
    for (number, template) in answers().iter().enumerate() {
        let own = IDS[number % IDS.len()];
        let mark = pair.peer.mark();
        pair.let_say(
            &format!("{}", 1000 + number),
            &[question.replace("@ID@", own)],
        );
        let asked = pair.await_lines(mark, 1);
        pair.heard();
        let id = id_in(&asked[0], question);
        pair.peer.send(&template.replace("@ID@", &id));
        assert_same(&pair.heard(), &[template.replace("@ID@", own)]);
    }
}

#[test]
fn notifications_of_both_sides() {
    for modern in [false, true] {
        let pair = Pair::start(modern);
        for line in notifications() {
            pair.peer.send(&line);
        }
        assert_same(&pair.heard(), &notifications());

        let mark = pair.peer.mark();
        let mut said = notifications();
        said.push(
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}"#.into(),
        );
        said.push(
            r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"what?","data":1E5}}"#.into(),
        );
        pair.let_say("1000", &said);
        assert_same(&pair.await_lines(mark, said.len()), &said);
    }
}

#[test]
fn lists_and_introductions() {
    let pair = Pair::start(false);
    for (method, text) in LISTS {
        assert_eq!(pair.peer.ask(method, &json!({})).result_text(), text);
    }

    let project = Project::new();
    let introduction = r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true,"x":1E5},"tasks":{"list":{}},"vendor":{"\ud83d":-0},"experimental":{"a":{}}},"serverInfo":{"name":"s","version":"1.0","title":"\/","foo":1},"instructions":"\ud83d","foo":[1.0],"_meta":{"a":1}}"#;
    let script = json!({"raw": {"initialize": introduction}});
    project.write("script.json", &script.to_string());
    let peer = Proxy::dev([example("fake_server"), "script.json".into()])
        .transparent()
        .within(&project)
        .spawn();
    let answer = peer.initialize(&initialize_params());
    let added = r#","prompts":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"logging":{},"completions":{}},"serverInfo""#;
    let expected = introduction.replace(r#"},"serverInfo""#, added);
    assert_eq!(answer.result_text(), expected);
}
