//! Clients and model APIs whose rules are known.

use std::fmt;
use std::str::FromStr;

/// Version of a client, such as 2.1.330.
pub(super) type Version = [u32; 3];

/// Client, SDK of clients, or model API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum KnownClient {
    ClaudeCode,
    Codex,
    CopilotCli,
    Cursor,
    GeminiCli,
    VsCode,
    Windsurf,
    Zed,
    PythonSdk,
    TypeScriptSdk,
    ClaudeAi,
    AnthropicApi,
    BedrockApi,
    GeminiApi,
    MistralApi,
    OpenAiApi,
}

impl KnownClient {
    /// Every client with its name for people.
    pub(crate) const ALL: [(Self, &'static str); 16] = [
        (Self::ClaudeCode, "claude-code"),
        (Self::Codex, "codex"),
        (Self::CopilotCli, "copilot-cli"),
        (Self::Cursor, "cursor"),
        (Self::GeminiCli, "gemini-cli"),
        (Self::VsCode, "vscode"),
        (Self::Windsurf, "windsurf"),
        (Self::Zed, "zed"),
        (Self::PythonSdk, "python-sdk"),
        (Self::TypeScriptSdk, "typescript-sdk"),
        (Self::ClaudeAi, "claude-ai"),
        (Self::AnthropicApi, "anthropic-api"),
        (Self::BedrockApi, "bedrock-api"),
        (Self::GeminiApi, "gemini-api"),
        (Self::MistralApi, "mistral-api"),
        (Self::OpenAiApi, "openai-api"),
    ];

    /// Returns the name for people.
    pub(crate) fn name(self) -> &'static str {
        let known = Self::ALL.iter().find(|(client, _)| *client == self);
        known.map_or("", |(_, name)| name)
    }

    /// Returns true if a lint without a chosen client applies the rules of this one. claude.ai and the model APIs
    /// reject many definitions that the clients repair before they pass them on.
    fn is_default(self) -> bool {
        !matches!(
            self,
            Self::ClaudeAi
                | Self::AnthropicApi
                | Self::BedrockApi
                | Self::GeminiApi
                | Self::MistralApi
                | Self::OpenAiApi
        )
    }

    /// Returns the client that introduces itself by `name` (`clientInfo.name`).
    fn of_info(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let prefixes = [
            ("claude-code", Self::ClaudeCode),
            ("claude-ai", Self::ClaudeAi),
            ("codex", Self::Codex),
            ("github-copilot", Self::CopilotCli),
            ("cursor", Self::Cursor),
            ("gemini-cli", Self::GeminiCli),
            ("visual studio code", Self::VsCode),
            ("windsurf", Self::Windsurf),
            ("zed", Self::Zed),
        ];
        let known = prefixes.iter().find(|(prefix, _)| name.starts_with(prefix));
        known.map(|(_, client)| *client)
    }
}

/// Client in a version; without one, the newest that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientVersion {
    pub(super) client: KnownClient,
    pub(super) version: Option<Version>,
}

impl ClientVersion {
    /// Returns the clients of a lint without a chosen one, each in its newest known version.
    pub(crate) fn defaults() -> Vec<Self> {
        let all = KnownClient::ALL.iter().map(|(client, _)| *client);
        let defaults = all.filter(|client| client.is_default());
        let newest = |client| Self {
            client,
            version: None,
        };
        defaults.map(newest).collect()
    }

    /// Returns the client with this `clientInfo`; `None` if its rules are unknown.
    pub(crate) fn of_info(name: &str, version: &str) -> Option<Self> {
        let client = KnownClient::of_info(name)?;
        Some(Self {
            client,
            version: version_of(version),
        })
    }
}

/// Parses `CLIENT` or `CLIENT@VERSION`.
impl FromStr for ClientVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        let known = KnownClient::ALL.iter().find(|(_, known)| *known == name);
        let Some((client, _)) = known else {
            let names: Vec<_> = KnownClient::ALL.iter().map(|(_, name)| *name).collect();
            return Err(format!("the clients are {}", names.join(", ")));
        };
        let parsed = version.map(|it| version_of(it).ok_or("the version has no number"));
        Ok(Self {
            client: *client,
            version: parsed.transpose()?,
        })
    }
}

impl fmt::Display for ClientVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.client.name())?;
        match self.version {
            Some([major, minor, patch]) => write!(f, " {major}.{minor}.{patch}"),
            None => Ok(()),
        }
    }
}

/// Parses the first three numbers of a version: `v2.1` is 2.1.0. Returns `None` if there is no number.
fn version_of(text: &str) -> Option<Version> {
    let mut numbers = text
        .split(|it: char| !it.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().unwrap_or(u32::MAX));
    let major = numbers.next()?;
    let mut next = || numbers.next().unwrap_or(0);
    Some([major, next(), next()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_read_with_and_without_a_version() {
        for (text, shown) in [
            ("claude-code", "claude-code"),
            ("claude-code@2.1.100", "claude-code 2.1.100"),
            ("vscode@v1.9-insider", "vscode 1.9.0"),
        ] {
            let client: ClientVersion = text.parse().unwrap();
            assert_eq!(client.to_string(), shown);
        }
        for wrong in ["claude", "codex@", "codex@new", ""] {
            assert!(wrong.parse::<ClientVersion>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_client_is_known_by_its_introduction() {
        for (name, client) in [
            ("claude-code", Some(KnownClient::ClaudeCode)),
            ("codex-mcp-client", Some(KnownClient::Codex)),
            ("Visual Studio Code - Insiders", Some(KnownClient::VsCode)),
            ("cursor-vscode", Some(KnownClient::Cursor)),
            ("mcp-inspector", None),
        ] {
            let known = ClientVersion::of_info(name, "2.1.330 (x)");
            assert_eq!(known.map(|it| it.client), client, "{name}");
            assert!(known.is_none_or(|it| it.version == Some([2, 1, 330])));
        }
    }
}
