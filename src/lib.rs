//! `mcp-proxy`: edit an MCP server while a client's session with it stays open.
//!
//! This page maps the crate. The head of each module has the details.
//!
//! # Terms
//!
//! * *Client*: the host's side of MCP. *Server*: a child process or an address.
//! * *Session*: one client's conversation. *Fleet*: the servers behind one session. *Catalog*: the combined lists of
//!   the fleet at one moment.
//! * *Generation*: one start of a server, counted from 1. A *candidate* is a generation that has not yet completed its
//!   handshake and lists; a *draining* generation finishes its requests before it stops.
//! * *Era*: protocol variant of one connection: legacy (`initialize`, up to 2025-11-25) or modern (2026-07-28,
//!   stateless requests).
//! * *Gate*: entrance of a server. Passes requests to the active generation, holds them during a reload, or refuses
//!   them.
//!
//! # Modules
//!
//! | module | purpose |
//! |---|---|
//! | `cli` | one file per subcommand; turns errors into text and exit codes |
//! | `app` | assembles the parts, waits for the end, shuts down; `app::visit` starts servers for a single visit |
//! | `page` | page for the user's browser over fleets, events and recorder; off unless asked for |
//! | `front` | entry points for clients: stdin and stdout, or HTTP |
//! | `session` | one client's session; survives every reload |
//! | `meta_tools` | the proxy's own tools |
//! | `search` | ranks tools by a query in plain words |
//! | `install` | servers from git: fetches, prepares, registers, updates and removes them |
//! | `setup` | wraps servers in the files of clients, and restores the files |
//! | `fleet` | the servers of one session: configures, loads and watches them; names their entries |
//! | `server` | one server: state machine, generations, handshake, connection, gate |
//! | `warm` | standby process for a server's next start, with its packages preloaded |
//! | `bridge` | translates between the eras: pure functions |
//! | `contract` | judges definitions of tools by the rules of clients, and changes of lists: pure functions |
//! | `recorder` | records messages of both sides in a file; off unless asked for |
//! | `rehearsal` | compares the answers of new code with those of the code before: pure functions |
//! | `transport` | lines over pipes and sockets, child processes and their process groups, servers over HTTP |
//! | `mcp` | definitions of the protocol: eras, methods, lists, capabilities |
//! | `jsonrpc` | framing and envelopes over raw JSON |
//! | `watcher` | selects the files to watch and detects changes of their content |
//! | `output` | prints events as lines for people or as NDJSON |
//! | `shutdown` | signals as cancellation tokens |
//! | `command_line` | reads command lines of servers: wrappers, options, script or module |
//! | `config` | finds, reads and edits configuration files; settings as plain data |
//! | `error_chain` | errors with their causes |
//! | `event` | events as plain data |
//! | `file_error` | error of the system about a file |
//! | `file_identity` | tells a file from another one that took its name |
//! | `file_time` | time of a file's last change |
//! | `folder_lock` | locks of folders between processes |
//! | `free_port` | chooses a port that no other program gets by chance |
//! | `line_sink` | receiver of lines of text |
//! | `lock` | mutex locks that survive a panic |
//! | `package_scripts` | scripts of `package.json` files, which `npm run` and the like call |
//! | `path_text` | paths as texts, for JSON |
//! | `private_files` | files and folders that only the user can access |
//! | `process_lookup` | looks up processes of this machine |
//! | `program_search` | searches for programs in `PATH`, as a shell does |
//! | `quoting` | quotes and escapes foreign text in lines that a person decides by |
//! | `random` | names that cannot be guessed |
//! | `state` | files that outlive a proxy, for other proxies and commands of the same user |
//! | `suggestions` | names similar to a misspelt one |
//! | `user_folders` | folders for the files of a user's programs |
//! | `fuzz` | entry points for fuzzers |
//!
//! Dependencies between the layers:
//!
//! ```text
//! cli ─> app ─> front ─> session ─> meta_tools ─> fleet ─> server ─> warm ─> transport ─> jsonrpc
//!  │                        │             │          └──> watcher                  │
//!  ├───> output             │             └──> search, install                     │
//!  └───> install, setup     └─────────────────> bridge, contract, rehearsal ─> mcp ┘
//! ```
//!
//! A layer may use every layer below it, not only the next one. Every layer may use `command_line`, `config`,
//! `error_chain`, `event`, `file_error`, `file_identity`, `file_time`, `folder_lock`, `free_port`, `line_sink`, `lock`,
//! `package_scripts`, `path_text`, `private_files`, `process_lookup`, `program_search`, `quoting`, `random`, `state`,
//! `suggestions` and `user_folders`.
//! `session` and `server` use `recorder`, which uses `mcp` and `jsonrpc`, and which `cli` starts. `app` starts `page`, which
//! reads `fleet`, `server` and `contract`, calls tools and answers servers' requests through `server`, compares the
//! answers of tools by `rehearsal`, and uses `front` for its access rules and `output` for its words.
//! `watcher` and `output` use no other layer: `watcher` sends notices, `output` takes events, and `fleet` and `cli`
//! connect them.
//!
//! Code that differs by system lies in submodules named after the system, such as `pipe::windows`.
//!
//! # Data flow
//!
//! A `tools/call`: `front` reads a line → `session` finds its routing members, and the `fleet`'s catalog the server →
//! the server's gate asks the system for saves that the server has not been notified of, and passes the call to the
//! connection of the active generation, which replaces the id and records the caller → `transport` writes the line. The
//! generation's own task reads the response, restores the client's id and writes it to the client. No other task is
//! woken between the two pipes; only a response of more than 4 MiB is parsed on another thread, so that it does not
//! delay other messages.
//!
//! A request for input: a modern server asks its client by the result of a call. For a legacy client, the connection
//! keeps the call, so that its generation does not stop; the session sends the client the requests in that result, and
//! the connection sends the server the call again with the client's results. A legacy server asks by requests of its
//! own: the modern client gets them as the result of its call, which stays open at the server, parked, with a receiver
//! in the client's place. The client's repetition of the call takes that place, and its input answers the server's
//! requests. An error that requires the user to open URLs first becomes such a result too; the repetition of that call is
//! sent to the server.
//!
//! Input from a person: if the user of the page stands in for clients, servers are told at their start, and modern ones
//! with each call of a modern client, that the client gives the input that it lacks. The session then asks the page for
//! it, and the connection sends the server the answer as the client's. The request ends with the calls that may have
//! caused it. A modern client gets only those requests of a result that it can answer.
//!
//! A save: `watcher` sees a touched path, on its own thread or on that of a gate, and reports *suspect*: the gate holds
//! requests → the watcher's thread compares contents and reports *changed* or *unchanged* → the server's supervisor
//! feeds its state machine, which starts a candidate → the candidate completes the handshake, receives the state of its
//! predecessor, lists, and answers the rehearsed calls → commit: the new lists replace the old ones, the fleet
//! publishes its new catalog, the old generation drains and stops, the gate opens to the new connection → the fleet's
//! client, the session, notifies the client of changed lists. A failed candidate changes nothing but the error with
//! which the gate refuses requests.
//!
//! A client over HTTP: `front` reads a body and determines its era. Each session of the legacy era has its own streams,
//! which can be resumed; requests of the modern era share one session, which distinguishes them by numbers of the
//! proxy's own. Both pass the line to the same `session` and write messages that belong to a request to the response
//! to that request: `session::Delivery` is the way back, and stdout its simplest implementation.
//!
//! A remote server: its connection writes to a link instead of a pipe. Each request is a POST with an outcome of its
//! own: answered, not processed (it returns to the gate), or possibly executed. The loss of the link (session expired,
//! host unreachable) counts as the exit of the generation, and a new link as the next generation.
//!
//! A process that serves HTTP: a link as well, but to a port of its own, and with all that a reload is for a process.
//! A candidate proves itself only if its process, or a descendant, owns the port. A standby has its port reserved, and
//! listens after the save. If only the link to the process is lost, as with its session, or if the process reloads
//! itself at a save, the next generation is another link to it.
//!
//! Another path than the endpoint, with `--pass-through`: `front` asks the gate of the server for an exchange with the
//! active generation, connects to its port, and passes both bodies as streams. The exchange counts as a request in
//! flight of that generation, and is cut when the generation ends.
//!
//! # Invariants
//!
//! * **Architecture Invariant:** a message in transit is never decoded and encoded again. No typed model of MCP
//!   messages exists, and no message in transit is built from a `serde_json::Value`.
//! * **Architecture Invariant:** `jsonrpc`, `mcp`, `bridge`, `contract`, `rehearsal`, `search`, `command_line`, the
//!   state machine and the settle stage do no I/O and read no clock: time is an argument.
//! * **Architecture Invariant:** a request that may have effects is written to at most one generation.
//!   There is no retry of `tools/call` or of an unknown method, unless a remote server is known not to have processed
//!   it, or the user has opened the URLs that the server requires first. While it serves a client, the proxy itself
//!   makes only calls for rehearsals: those that the user names; if the user wishes (`recorded`), calls of the client
//!   whose tools declare no further effects or are named by the user; and if the client wishes (`rehearse: true`) or the
//!   user wishes on the page, calls whose tools declare no effects or are named by the user. Calls that the user makes
//!   on the page take the way of a client's calls.
//! * **Architecture Invariant:** generations belong to one task, the supervisor. No other task starts or stops a
//!   generation; other tasks send reports to the supervisor.
//! * **Architecture Invariant:** `watcher` never touches a server, and `server` knows neither session nor fleet: it
//!   knows a trait object that takes messages, and one that serves its lists. A catalog is published before the gate
//!   opens to the code that it describes; the client is notified of changed lists after that.
//! * **Architecture Invariant:** stdout belongs to the protocol. Nothing for people is written to it while
//!   a client is served, and only `output` prints for people.
//! * **Architecture Invariant:** no message is lost to a full channel. Channels to the supervisor are unbounded and
//!   have few senders; backpressure comes from not reading. Only events may be dropped, and they are counted then: a
//!   client that does not read stderr must not stop the protocol.
//! * **Architecture Invariant:** locks nest only in this order: state of a session, state of its fleet, receivers of
//!   the watcher's notices, gate, requests of a connection, its identity or the `RecentCalls` of its server, and last the
//!   client's open batches, its `Delivery`, the state of a `PageCall`, an `Outbox` or the `MessageMemory`. The watcher's
//!   `NoticeDispatcher` may precede the receivers, and nothing is called back with it held but them; so a gate asks for
//!   saves before it locks. Other locks are taken alone, or as the second of two: `SessionStreams` after
//!   `LegacySessions`, the state of a `PageCall` after `PageCalls`, the response to a parked call after the state of its
//!   session, the phase of an HTTP connection and the progress of a transfer after the table that lists it, `Reaper`
//!   after `StandbyPool`, definition and settings of a server after the fleet. Only a shared build is locked across an
//!   `await`.
//! * **Architecture Invariant:** there is no `unsafe`.
//!
//! # Cross-cutting concerns
//!
//! *Cancellation and shutdown.* Futures are cancelled by dropping them; dropping a process kills its process group.
//! Tasks of a server are tracked, and stopping the server waits for them. Waits for other processes and hosts have a
//! deadline, except for build commands and for clients' requests, whose duration only the client can limit. The first
//! signal shuts down in an orderly way, a later one at once. If the proxy itself is killed by SIGKILL, a second
//! process, the reaper, cleans up; on Windows, the jobs of the servers end with it. Repositories from untrusted sources
//! are read in a separate process too.
//!
//! *Errors.* Inside the crate, one `thiserror` type per module that can fail. For a client, a JSON-RPC error or a tool
//! result with `isError`; `server::error_replies` words the errors of a server that cannot answer. For a person, an
//! event. Only `cli` knows exit codes.
//!
//! *Testing.* Pure parts have unit tests beside their code, the state machine also tests with random histories.
//! `tests/integration` drives the built program from outside, against a scripted server
//! (`fixtures/fake_server`) and against servers and clients on the official SDKs. `tests/bench` measures the overhead
//! of the proxy. Each parser of untrusted bytes has a fuzz target in a module `fuzz` beside it;
//! `src/fuzz.rs` exports them for `tests/fuzz`. No test sleeps for a fixed time where it can wait for an event.

mod app;
mod bridge;
mod cli;
mod command_line;
mod config;
mod contract;
mod error_chain;
mod event;
mod file_error;
mod file_identity;
mod file_time;
mod fleet;
mod folder_lock;
mod free_port;
mod front;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod install;
mod jsonrpc;
mod line_sink;
mod lock;
mod mcp;
mod meta_tools;
mod output;
mod package_scripts;
mod page;
mod path_text;
mod private_files;
mod process_lookup;
mod program_search;
mod quoting;
mod random;
mod recorder;
mod rehearsal;
mod search;
mod server;
mod session;
mod setup;
mod shutdown;
mod state;
mod suggestions;
mod transport;
mod user_folders;
mod warm;
mod watcher;

use std::process::ExitCode;

/// Runs the program with the arguments of this process.
pub fn run() -> ExitCode {
    cli::run()
}
