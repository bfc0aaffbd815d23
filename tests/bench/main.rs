//! The cost of the proxy: direct, through a two-thread pipe (the floor) and through the proxy, side by side.
//!
//! `cargo bench` runs everything and prints one table, `cargo bench -- saves` only the saves. The variants take turns within each round and each
//! figure is the median of its rounds, so that noise of the machine meets all of them; only ratios within one
//! run mean anything. The server and the pipe are hidden modes of this same program: `overhead serve SCRIPT`,
//! `overhead pipe PROGRAM ARGS…` and `overhead pipe-to PORT`, the floor of what comes by HTTP, `overhead echo`, and a remote
//! server, `overhead answer`.

mod http;
mod link;
mod own_http;
mod pipe;
mod process;
mod rest;
mod rows;
mod table;
mod warm;

#[expect(dead_code, reason = "the example's own main is not used here")]
#[path = "../../fixtures/fake_server/main.rs"]
mod fake_server;

use std::error::Error;
use std::io;
use std::process::ExitCode;

use rows::Bench;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.first().map(String::as_str) {
        Some("serve") => return fake_server::run(&args[1..]),
        Some("pipe") => pipe::run(&args[1..]).map_err(Into::into),
        Some("pipe-to") => pipe_to(args.get(1)),
        Some("echo") => http::echo().map_err(Into::into),
        Some("answer") => http::remote().map_err(Into::into),
        _ => measure(args.iter().find(|arg| !arg.starts_with('-'))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("overhead: {error}");
            ExitCode::FAILURE
        }
    }
}

fn pipe_to(port: Option<&String>) -> Result<(), Box<dyn Error>> {
    let port = port.ok_or("the port is missing")?.parse()?;
    Ok(pipe::to_port(port)?)
}

type Step = fn(&mut Bench) -> io::Result<()>;

/// Takes the steps, or only those in whose name `only` stands. A step that fails leaves its note; the figures of
/// the others are shown all the same.
fn measure(only: Option<&String>) -> Result<(), Box<dyn Error>> {
    let mut bench = Bench::new()?;
    let steps: [(&str, Step); 15] = [
        ("the steady rows", Bench::steady),
        ("the pinned rows", Bench::pinned),
        ("the watched rows", Bench::watched),
        ("the starts", Bench::starts),
        ("the trees", Bench::trees),
        ("the rest", Bench::rest),
        ("the saves", Bench::saves),
        ("the large lists", Bench::large),
        ("the fleets", Bench::fleets),
        ("the HTTP rows", Bench::http),
        ("the remote rows", Bench::remote),
        ("the rows of started servers over HTTP", Bench::own_http),
        ("the warm rows", Bench::warm),
        ("the warm rows over HTTP", Bench::warm_http),
        ("the quick edits", Bench::quick),
    ];
    let mut failed = false;
    let meant = |name: &str| only.is_none_or(|only| name.contains(only.as_str()));
    for (name, step) in steps.into_iter().filter(|(name, _)| meant(name)) {
        if let Err(error) = step(&mut bench) {
            bench.table.note(format!("{name} broke off: {error}"));
            failed = true;
        }
    }
    bench.table.print()?;
    if failed {
        return Err("not everything could be measured".into());
    }
    Ok(())
}
