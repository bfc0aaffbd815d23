//! `mcp-proxy __sample FILE`: the MCP server that `demo` edits. FILE contains its tools and their answers, so editing
//! FILE corresponds to editing the server's code. It speaks the legacy era, blocks on purpose and knows nothing of the
//! proxy.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::CliError;

/// Content of FILE.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    tools: BTreeMap<String, Tool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tool {
    #[serde(default)]
    description: String,
    /// Answer to a call; `{city}` is replaced by the argument of that name.
    says: String,
}

/// Serves the current content of FILE on stdio until stdin ends.
pub(crate) fn run(file: &Path) -> Result<u8, CliError> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| CliError::Failure(format!("cannot read {}: {error}", file.display())))?;
    let sample: Sample = serde_json::from_str(&text)
        .map_err(|error| CliError::Failure(format!("{}: {error}", file.display())))?;
    sample
        .serve(io::stdin().lock(), io::stdout().lock())
        .map_err(|error| {
            CliError::Failure(format!("cannot read stdin or write stdout: {error}"))
        })?;
    Ok(super::EXIT_OK)
}

impl Sample {
    fn serve(&self, input: impl BufRead, mut output: impl Write) -> io::Result<()> {
        for line in input.lines() {
            let Some(mut answer) = self.answer(&line?) else {
                continue;
            };
            answer.push('\n');
            output.write_all(answer.as_bytes())?;
            output.flush()?;
        }
        Ok(())
    }

    /// Returns the response to a line; `None` for a notification or a response.
    fn answer(&self, line: &str) -> Option<String> {
        let message: Value = match serde_json::from_str(line) {
            Ok(message) => message,
            Err(error) => {
                let error = json!({ "code": -32700, "message": format!("not JSON: {error}") });
                return Some(json!({ "jsonrpc": "2.0", "id": null, "error": error }).to_string());
            }
        };
        let id = message.get("id")?;
        let method = message.get("method")?.as_str()?;
        let params = message.get("params").unwrap_or(&Value::Null);
        let response = match self.result(method, params) {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err((code, message)) => {
                let error = json!({ "code": code, "message": message });
                json!({ "jsonrpc": "2.0", "id": id, "error": error })
            }
        };
        Some(response.to_string())
    }

    fn result(&self, method: &str, params: &Value) -> Result<Value, (i32, String)> {
        match method {
            "initialize" => Ok(json!({
                "protocolVersion": version(params["protocolVersion"].as_str()),
                "capabilities": { "tools": {} },
                "serverInfo": { "name": "sample", "version": env!("CARGO_PKG_VERSION") },
            })),
            "ping" => Ok(json!({})),
            "tools/list" => {
                let tools: Vec<Value> = self.tools.iter().map(definition).collect();
                Ok(json!({ "tools": tools }))
            }
            "tools/call" => {
                let name = params["name"].as_str().unwrap_or_default();
                let tool = self
                    .tools
                    .get(name)
                    .ok_or_else(|| (-32602, format!("there is no tool `{name}`")))?;
                let text = fill(&tool.says, &params["arguments"]);
                Ok(json!({ "content": [{ "type": "text", "text": text }], "isError": false }))
            }
            other => Err((-32601, format!("there is no method `{other}`"))),
        }
    }
}

/// Returns the requested version if it belongs to the legacy era, otherwise the newest version of that era.
fn version(asked: Option<&str>) -> &str {
    const LEGACY: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
    asked
        .filter(|asked| LEGACY.contains(asked))
        .unwrap_or(LEGACY[0])
}

fn definition((name, tool): (&String, &Tool)) -> Value {
    let properties: serde_json::Map<String, Value> = placeholders(&tool.says)
        .map(|name| (name.to_owned(), json!({ "type": "string" })))
        .collect();
    let required: Vec<&String> = properties.keys().collect();
    json!({
        "name": name,
        "description": tool.description,
        "inputSchema": { "type": "object", "properties": properties, "required": required },
    })
}

/// Returns the names in braces: `city` for `Rain in {city}`.
fn placeholders(says: &str) -> impl Iterator<Item = &str> {
    says.split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| name)
}

fn fill(says: &str, arguments: &Value) -> String {
    placeholders(says).fold(says.to_owned(), |text, name| {
        let value = match &arguments[name] {
            Value::String(value) => value.clone(),
            Value::Null => "?".to_owned(),
            other => other.to_string(),
        };
        text.replace(&format!("{{{name}}}"), &value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(file: &str, lines: &[Value]) -> Vec<Value> {
        let sample: Sample = serde_json::from_str(file).unwrap();
        let input: Vec<String> = lines.iter().map(Value::to_string).collect();
        let mut output = Vec::new();
        sample
            .serve(input.join("\n").as_bytes(), &mut output)
            .unwrap();
        let output = String::from_utf8(output).unwrap();
        let lines = output.lines();
        lines.map(|it| serde_json::from_str(it).unwrap()).collect()
    }

    const WEATHER: &str =
        r#"{ "tools": { "forecast": { "description": "d", "says": "Rain in {city}" } } }"#;

    #[test]
    fn it_answers_requests_and_nothing_else() {
        let answers = talk(
            WEATHER,
            &[
                json!({ "id": 1, "method": "initialize", "params": { "protocolVersion": "2025-06-18" } }),
                json!({ "method": "notifications/initialized" }),
                json!({ "id": 9, "result": {} }),
                json!({ "id": "p", "method": "ping" }),
                json!({ "id": 2, "method": "tools/list" }),
                json!({ "id": 3, "method": "server/discover" }),
            ],
        );
        assert_eq!(answers.len(), 4);
        assert_eq!(answers[0]["result"]["protocolVersion"], "2025-06-18");
        assert_eq!(
            answers[1],
            json!({ "jsonrpc": "2.0", "id": "p", "result": {} })
        );
        let tool = &answers[2]["result"]["tools"][0];
        assert_eq!(tool["name"], "forecast");
        assert_eq!(tool["inputSchema"]["required"], json!(["city"]));
        assert_eq!(answers[3]["error"]["code"], -32601);
    }

    #[test]
    fn a_call_says_what_the_file_says() {
        let call = |name: &str| {
            let params = json!({ "name": name, "arguments": { "city": "Oslo" } });
            json!({ "id": 1, "method": "tools/call", "params": params })
        };
        let answers = talk(WEATHER, &[call("forecast"), call("none")]);
        assert_eq!(answers[0]["result"]["content"][0]["text"], "Rain in Oslo");
        assert_eq!(answers[1]["error"]["code"], -32602);
    }

    #[test]
    fn a_broken_file_is_named_with_line_and_column() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("weather.json");
        std::fs::write(&file, "{ \"tools\": {\n  oops\n} }").unwrap();
        let error = run(&file).unwrap_err().to_string();
        assert!(error.contains("weather.json"), "{error}");
        assert!(error.contains("at line 2 column 3"), "{error}");
    }
}
