//! Responses over HTTP that a client's SDK does not understand, and their handling.

#[cfg(unix)]
mod clients;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use serde_json::{Value, json};

use super::Stage;
use crate::harness::remote::{Answering, Asked, HttpServer, legacy};
use crate::harness::{DEADLINE, Log, Project, Proxy, initialize_params};

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A server that answers each call with the result of `answer` for its text, and anything else normally.
fn answering(answer: impl Fn(&str, &Asked, &mut Answering) + Send + Sync + 'static) -> HttpServer {
    HttpServer::start(move |asked, answering| {
        let text = asked.message()["params"]["arguments"]["text"].clone();
        match text.as_str() {
            Some(text) => answer(text, asked, answering),
            None => legacy(asked, answering),
        }
    })
}

/// The words of the answer to a call, which is an error that an SDK understands: an error object with an integer code
/// and a message, or a result with `isError`.
#[track_caller]
fn refusal(stage: &Stage, text: &str) -> String {
    let answer = stage.echo(text);
    let message: Value = serde_json::from_str(&answer.line).unwrap();
    if let Some(error) = message.get("error") {
        assert!(error["code"].is_i64(), "{message}");
        return error["message"].as_str().unwrap().to_owned();
    }
    assert_eq!(message["result"]["isError"], true, "{message}");
    message["result"]["content"][0]["text"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn an_error_body_that_is_not_json_rpc_becomes_an_error_that_clients_understand() {
    const BODIES: [(&str, &str); 6] = [
        (
            r#"{"error":"invalid_token","error_description":"expired"}"#,
            "invalid_token: expired",
        ),
        (r#"{"jsonrpc":"2.0","id":null,"error":"busy"}"#, "busy"),
        (
            r#"{"jsonrpc":"2.0","error":{"code":"E1","message":"no"}}"#,
            "no",
        ),
        (r#"{"detail":"Not authenticated"}"#, "Not authenticated"),
        (r#"{"title":"Gone","status":410}"#, "Gone"),
        (r#"["a"]"#, r#"["a"]"#),
    ];
    let server = answering(|text, _, answering| {
        let (status, at) = text.split_once(' ').unwrap();
        let body = BODIES[at.parse::<usize>().unwrap()].0;
        answering.whole(status.parse().unwrap(), &[JSON], body);
    });
    let stage = Stage::legacy(&server);
    for status in ["200", "400", "401", "403", "418", "429", "500", "503"] {
        for (at, (body, words)) in BODIES.iter().enumerate() {
            let told = refusal(&stage, &format!("{status} {at}"));
            assert!(told.contains(words), "{status} {body}: {told}");
            assert!(told.contains(status), "{status} {body}: {told}");
        }
    }
}

#[test]
fn an_answer_whose_id_is_a_string_is_an_answer() {
    let server = answering(|text, asked, answering| {
        let id = asked.message()["id"].to_string();
        let result = r#""result":{"content":[{"type":"text","text":"there"}]}"#;
        let body = match text {
            "error" => format!(r#"{{"jsonrpc":"2.0","id":"{id}","error":"no"}}"#),
            _ => format!(r#"{{"jsonrpc":"2.0","id":"{id}",{result}}}"#),
        };
        if text == "stream" {
            let kind = ("Content-Type", "text/event-stream");
            answering.whole(200, &[kind], &format!("data: {body}\n\n"));
        } else {
            answering.whole(200, &[JSON], &body);
        }
    });
    let stage = Stage::legacy(&server);
    for text in ["json", "stream"] {
        assert_eq!(stage.echo(text).tool_text(), "there", "{text}");
    }
    assert!(refusal(&stage, "error").contains("no"));
}

#[test]
fn an_error_member_that_is_no_error_object_becomes_one() {
    const ERRORS: [&str; 4] = [
        r#""no such tool""#,
        "true",
        r#"{"message":"a"}"#,
        r#"{"code":"1","message":"b"}"#,
    ];
    let server = answering(|text, asked, answering| {
        let error = ERRORS[text.parse::<usize>().unwrap()];
        let id = &asked.message()["id"];
        answering.json(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#));
    });
    let stage = Stage::legacy(&server);
    for (at, words) in ["no such tool", "true", "a", "b"].iter().enumerate() {
        let told = refusal(&stage, &at.to_string());
        assert!(told.ends_with(words), "{told}");
    }
}

#[test]
fn of_result_and_error_only_the_one_that_is_not_null_arrives() {
    let server = answering(|text, asked, answering| {
        let id = &asked.message()["id"];
        let both = match text {
            "result" => r#""result":{"content":[{"type":"text","text":"there"}]},"error":null"#,
            _ => r#""result":null,"error":{"code":7,"message":"no"}"#,
        };
        answering.json(&format!(r#"{{"jsonrpc":"2.0","id":{id},{both}}}"#));
    });
    let stage = Stage::legacy(&server);
    let answer = stage.echo("result");
    assert!(!answer.line.contains("error"), "{}", answer.line);
    assert_eq!(answer.tool_text(), "there");
    let answer = stage.echo("error");
    assert!(!answer.line.contains("result"), "{}", answer.line);
    assert_eq!(answer.error()["code"], 7);
}

#[test]
fn json_without_a_content_type_is_an_answer() {
    let server = answering(|text, asked, answering| {
        let headers: &[(&str, &str)] = match text {
            "none" => &[],
            _ => &[("Content-Type", "text/plain")],
        };
        let result = json!({"content": [{"type": "text", "text": text}]});
        answering.whole(200, headers, &asked.result(&result));
    });
    let stage = Stage::legacy(&server);
    for text in ["none", "plain"] {
        assert_eq!(stage.echo(text).tool_text(), text);
    }
}

#[test]
fn a_compressed_answer_is_not_asked_for_and_named() {
    let server = answering(|text, _, answering| {
        let status = text.parse().unwrap();
        answering.whole(status, &[JSON, ("Content-Encoding", "gzip")], "\u{1f}\u{8}");
    });
    let stage = Stage::legacy(&server);
    let told = refusal(&stage, "200");
    assert!(told.contains("content encoding `gzip`"), "{told}");
    assert!(refusal(&stage, "401").contains("HTTP 401 Unauthorized"));
    for asked in server.asked() {
        assert_eq!(asked.header("accept-encoding"), Some("identity"));
    }
}

#[test]
fn a_redirect_that_is_not_followed_says_where_to() {
    let server = answering(|text, _, answering| {
        let to = format!("{text}?token=geheim");
        answering.whole(302, &[("Location", &to)], "");
    });
    let stage = Stage::legacy(&server);
    for to in ["https://elsewhere.example/mcp", "http://127.0.0.1:1/v2"] {
        let told = refusal(&stage, to);
        assert!(told.contains(&format!("redirect to {to};")), "{told}");
        assert!(!told.contains("geheim"), "{told}");
    }
    let told = refusal(&stage, "/other");
    let address = server.url().replace("/mcp", "/other");
    assert!(told.contains(&address), "{told}");
}

#[test]
fn calls_go_past_a_slow_notification() {
    let (answer, is_called) = channel::<()>();
    let is_called = Mutex::new(is_called);
    let server = HttpServer::start(move |asked, answering| {
        if asked.method() == "notifications/roots/list_changed" {
            is_called.lock().unwrap().recv_timeout(DEADLINE).unwrap();
        }
        legacy(asked, answering);
    });
    let stage = Stage::legacy(&server);
    stage
        .peer
        .notify("notifications/roots/list_changed", &json!({}));
    server.until("notifications/roots/list_changed", 1);
    assert_eq!(stage.echo("a").tool_text(), "echo: a");
    answer.send(()).unwrap();
}

/// A proxy server that refuses everything and says so.
fn refusing_proxy_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let answer =
                "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://user:geheim@{address}")
}

#[test]
fn a_proxy_server_of_the_environment_is_not_used_for_loopback() {
    let proxy_server = refusing_proxy_server();
    let server = HttpServer::start(legacy);
    let port = server.url().rsplit(':').next().unwrap().to_owned();
    for host in ["127.0.0.1", "localhost"] {
        let project = Project::new();
        let url = format!("http://{host}:{port}");
        project.write(
            "mcp-proxy.toml",
            &format!("[servers.far]\nurl = \"{url}\"\nprefix = ''\n"),
        );
        let peer = Proxy::configured("dev")
            .within(&project)
            .env("HTTP_PROXY", &proxy_server)
            .env("http_proxy", &proxy_server)
            .env("NO_PROXY", "")
            .spawn();
        peer.initialize(&initialize_params()).result();
        let echo = peer.call("echo", &json!({"text": "a"}));
        assert_eq!(echo.tool_text(), "echo: a", "{host}");
    }
}

#[test]
fn an_error_behind_a_proxy_server_names_it() {
    let proxy_server = refusing_proxy_server();
    let project = Project::new();
    let toml = "[servers.far]\nurl = \"http://mcp.example/mcp\"\n";
    project.write("mcp-proxy.toml", toml);
    let log = Log::new();
    let peer = log
        .written_by(Proxy::configured("dev"))
        .within(&project)
        .env("HTTP_PROXY", &proxy_server)
        .env("http_proxy", &proxy_server)
        .env("NO_PROXY", "")
        .spawn();
    peer.initialize(&initialize_params()).result();
    let broken = log.until("broken", 1)[0].to_string();
    let shown = proxy_server.replace("user:geheim@", "");
    assert!(
        broken.contains(&format!("through the proxy server {shown}")),
        "{broken}"
    );
    assert!(!log.text().contains("geheim"), "{}", log.text());
}
