//! `mcp-proxy help`: prints the reference by topic. The texts in `topics` are also linked from README.md.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};

use super::{CliError, EXIT_OK, print_exact};

/// Topics of the reference.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Topic {
    /// Edit a server while a client uses it
    Dev,
    /// The files of clients: wrapping servers in them, and undoing it
    #[value(alias = "undo")]
    Setup,
    /// Several servers behind one entry of the client
    #[value(alias = "serve")]
    Servers,
    /// Configuration files, variables, remote servers
    Config,
    /// Which files are watched
    Watching,
    /// Standby processes that make a save live in milliseconds
    Warm,
    /// Clients and servers over HTTP
    Http,
    /// Servers from git, and the limits for a model
    #[value(aliases = ["update", "uninstall"])]
    Install,
    /// The proxy's own tools
    Tools,
    /// check, tools, call, list, status, logs, doctor, and exit codes
    #[value(aliases = ["check", "call", "list", "status", "logs", "doctor"])]
    Commands,
    /// A page in the browser with servers, messages and events, or with a recording
    Page,
    /// Recordings of all messages, their format, their replay, and a server that answers from one
    #[value(aliases = ["replay", "mock"])]
    Recording,
    /// Logs and common situations
    Troubleshooting,
}

impl Topic {
    fn text(self) -> &'static str {
        match self {
            Self::Dev => include_str!("topics/dev.md"),
            Self::Setup => include_str!("topics/setup.md"),
            Self::Servers => include_str!("topics/servers.md"),
            Self::Config => include_str!("topics/config.md"),
            Self::Watching => include_str!("topics/watching.md"),
            Self::Warm => include_str!("topics/warm.md"),
            Self::Http => include_str!("topics/http.md"),
            Self::Install => include_str!("topics/install.md"),
            Self::Tools => include_str!("topics/tools.md"),
            Self::Commands => include_str!("topics/commands.md"),
            Self::Page => include_str!("topics/page.md"),
            Self::Recording => include_str!("topics/recording.md"),
            Self::Troubleshooting => include_str!("topics/troubleshooting.md"),
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct HelpArgs {
    /// Topic to print; without one, the topics are listed
    topic: Option<Topic>,
}

/// Prints a topic, or the list of topics.
pub(super) fn run(args: &HelpArgs) -> Result<u8, CliError> {
    let text = args.topic.map_or_else(topics, |it| it.text().to_owned());
    print_exact(&text)?;
    Ok(EXIT_OK)
}

fn topics() -> String {
    let mut text = String::from("mcp-proxy help TOPIC\n\n");
    for topic in Topic::value_variants() {
        let value = topic.to_possible_value();
        let value = value.as_ref();
        let name = value.map(clap::builder::PossibleValue::get_name);
        let about = value.and_then(clap::builder::PossibleValue::get_help);
        if let (Some(name), Some(about)) = (name, about) {
            let _ = writeln!(text, "  {name:<16} {about}");
        }
    }
    text + "\n`mcp-proxy COMMAND --help` explains the options of a command.\n"
}
