//! `mcp-proxy`: edit an MCP server while a client's session with it lives on.
//!
//! This page is the map. What a module does in detail stands at its head.
//!
//! # Words
//!
//! The *client* is the host's side, a *server* a child process or an address. The *fleet* is the servers behind one
//! client's *session*, the *catalog* what they offer together at one moment. A *generation* is one start of a
//! server, counted from 1; a *candidate* has not proved itself yet, a *draining* generation finishes what
//! it is at. An *era* is how one link speaks: legacy (`initialize`, up to 2025-11-25) or modern
//! (2026-07-28, every request stands alone). The *gate* is where requests wait while no generation may
//! answer them.
//!
//! # The house
//!
//! | module | what it is for |
//! |---|---|
//! | `cli` | one file per subcommand; errors become text and exit codes |
//! | `app` | puts the parts together, waits for the end, takes them down; `app::visit` does so for one look at servers |
//! | `front` | where clients come in: stdin and stdout, or HTTP |
//! | `session` | one client's conversation; survives every reload |
//! | `meta_tools` | the proxy's own tools |
//! | `search` | which tools a question in plain words means |
//! | `install` | servers from git: fetched, made ready, registered, brought up to date, removed |
//! | `fleet` | the servers of one session: configured, loaded, watched; the names of all that they offer |
//! | `server` | one server: state machine, generations, handshake, connection, gate |
//! | `warm` | the process of a server's next start, its packages loaded ahead |
//! | `bridge` | translation between the eras: pure functions |
//! | `transport` | bytes to lines and back; processes, their groups and their end; the way to servers over HTTP |
//! | `mcp` | what the protocol says: eras, methods, lists, capabilities |
//! | `jsonrpc` | framing and envelopes over raw JSON |
//! | `watcher` | which files count, and whether they really changed |
//! | `output` | events as lines for people or as NDJSON |
//! | `shutdown` | signals as cancellation |
//! | `config` | finds, reads and edits configuration files; what they say, as plain data that every layer may use |
//! | `event` | what happens, as plain data that every layer may use |
//! | `file_time` | when a file was changed; every layer may ask |
//! | `lock` | a lock that outlives a panic |
//! | `private` | files and folders for the user alone; every layer may ask |
//! | `near` | names that are close to a misspelt one; every layer may ask |
//! | `random` | names that cannot be guessed; every layer may ask |
//! | `shown` | foreign text in a line by which somebody decides; every layer may ask |
//! | `fuzz` | entry points for fuzzers |
//!
//! Who may use whom, and never the other way round:
//!
//! ```text
//! cli ─> app ─> front ─> session ─> meta_tools ─> fleet ─> server ─> warm ─> transport ─> jsonrpc
//!  │                        │             │          └──> watcher                  │
//!  ├───> output             │             └──> search, install                     │
//!  └───> install            └──────────────────────────────────────> bridge ─> mcp ┘
//! ```
//!
//! A layer may use any layer below it, not only the next one. `watcher` and `output` know no other
//! layer at all: the one sends notices, the other takes events, and `fleet` and `cli` connect them.
//!
//! # The straight ways
//!
//! A `tools/call`: `front` cuts a line → `session` finds its routing members, the `fleet`'s catalog the
//! server → the call is handed to the `server`'s gate → the gate asks whether the system knows of a save
//! that the server was not told of yet, and passes the call to the active generation's connection, which
//! exchanges the id and notes who waits → `transport` writes it. The answer is read by the generation's own
//! task, which puts the client's id back and writes it to the client. No task is woken between the two pipes; only an
//! answer of several MiB is looked through on a thread of its own, so that no other waits for that.
//!
//! A save: `watcher` sees a touched path, on its own thread or on that of a gate which asks, and says
//! *suspect*: the gate holds → the watcher's thread compares contents and says *changed* or *unchanged* →
//! the server's supervisor feeds its state machine, which starts a candidate →
//! the candidate shakes hands, is told what its predecessor knew, and lists → commit: new lists, the gate
//! opens to the new connection, the old generation drains and stops → the fleet publishes its new catalog →
//! the session tells the client that its lists have changed. A candidate that fails changes what the gate
//! says, nothing else.
//!
//! A client over HTTP: `front` reads a body and tells its era by it. A session of the legacy era has a room of its
//! own, whose streams can be resumed; requests of the modern era are told apart by numbers of the proxy's own and
//! share one session. Both hand the line to the same `session`, and get what is for a request on that
//! request's response: `session::Delivery` is the way back, and stdout is only its simplest kind.
//!
//! A server at an address: its connection writes to a link instead of a pipe. Each request is a POST of its own,
//! whose fate is told by itself: answered, not looked at (it goes back to the gate), or perhaps carried out. The
//! loss of the link (the session is forgotten, nobody is there) is the exit of the generation, and what comes back
//! is its next one.
//!
//! # Invariants
//!
//! * **Architecture Invariant:** nothing that only passes through is decoded and encoded again. There is no
//!   typed model of MCP messages anywhere; `serde_json::Value` appears only in what the proxy says itself.
//! * **Architecture Invariant:** `jsonrpc`, `mcp`, `bridge`, `search`, the state machine and the settle stage do
//!   no I/O and look at no clock: time is an argument.
//! * **Architecture Invariant:** a request that may have effects is written to at most one generation.
//!   There is no retry of `tools/call` or of an unknown method, unless a remote server is known not to have looked at it.
//! * **Architecture Invariant:** generations belong to one task, the supervisor. Nobody else starts or
//!   stops one; everybody else sends it a report.
//! * **Architecture Invariant:** `watcher` never touches a server, and `server` knows no session: it knows
//!   a trait object that takes answers.
//! * **Architecture Invariant:** stdout belongs to the protocol. Nothing for people is written to it while
//!   a client is served, and nobody but `output` prints for people.
//! * **Architecture Invariant:** no message is lost for a full channel. Channels to the supervisor are
//!   unbounded with few senders; pressure is put back by not reading. Only events may be dropped, and
//!   then counted: a client that does not read stderr must not stop the protocol.
//! * **Architecture Invariant:** there is no `unsafe`.
//!
//! # What concerns everything
//!
//! *Cancellation and the end.* Futures are cancelled by dropping them; a process that is dropped is killed
//! with its group. Tasks of a server are tracked, and stopping it waits for them. Every wait for something
//! outside has a deadline. The first signal ends in good order, the second at once; against the proxy's own
//! SIGKILL stands a second process, the reaper. Repositories of strangers are read in a process of their own too.
//!
//! *Errors.* Inside, one `thiserror` type per module that can fail. To a client, a JSON-RPC error or a tool
//! result with `isError`, made in `server::trouble` and `meta_tools`. To a person, an event. `cli` alone
//! knows exit codes.
//!
//! *Testing.* Pure parts are tested beside their code, the state machine also by random histories.
//! `tests/integration` drives the built program from outside, against a scripted server
//! (`fixtures/fake_server`) and against servers and clients on the official SDKs. `tests/bench` measures
//! what the proxy costs. Each parser of untrusted bytes has a fuzz target in a module `fuzz` beside it;
//! `src/fuzz.rs` exports them for `tests/fuzz`. No test sleeps for a fixed time where it can wait for an event.

mod app;
mod bridge;
mod cli;
mod config;
mod event;
mod file_time;
mod fleet;
mod front;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod install;
mod jsonrpc;
mod lock;
mod mcp;
mod meta_tools;
mod near;
mod output;
mod private;
mod random;
mod search;
mod server;
mod session;
mod shown;
mod shutdown;
mod transport;
mod warm;
mod watcher;

use std::process::ExitCode;

/// Runs the program with the arguments of this process.
pub fn run() -> ExitCode {
    cli::run()
}
