//! `mcp-proxy page`: shows a recording on the page, or exports it; and the option of subcommands that have a page.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use super::http::parse_address;
use super::{CliError, EXIT_INTERRUPTED, EXIT_OK, Global};
use crate::app;
use crate::error_chain::with_causes;
use crate::file_error::FileError;
use crate::front::http::Address;
use crate::output;
use crate::page::{OpenedRecording, Page, PageWish};
use crate::private_files;

/// Option of the page.
#[derive(Debug, Clone, Args)]
pub(crate) struct PageArgs {
    /// Show servers, messages and events on a page in the browser (`mcp-proxy help page`)
    ///
    /// At ADDR, a loopback address or a port; otherwise at the address of the project's last page. `open` opens the
    /// browser.
    #[arg(long, value_name = "ADDR|open", num_args = 0..=1, default_missing_value = "", value_parser = parse_wish)]
    pub(crate) page: Option<PageWish>,
}

/// The options of `page`.
#[derive(Debug, Args)]
pub(crate) struct RecordingPageArgs {
    /// Recording to show (`mcp-proxy help recording`)
    file: PathBuf,
    /// Listen at this loopback address or port [default: the address of the file's last page, or a free port]
    #[arg(long, value_name = "ADDR", value_parser = parse_loopback)]
    at: Option<SocketAddr>,
    /// Open the page in the browser
    #[arg(long, conflicts_with = "at")]
    open: bool,
    /// Write the page to OUT instead: one HTML file, which needs neither mcp-proxy nor a network
    #[arg(long, value_name = "OUT", conflicts_with_all = ["at", "open"])]
    export: Option<PathBuf>,
}

/// Shows a recording until a signal, or exports it.
pub(crate) fn run(args: &RecordingPageArgs, global: &Global) -> Result<u8, CliError> {
    let recording = OpenedRecording::read(&args.file);
    let recording = recording.map_err(|error| CliError::Failure(error.to_string()))?;
    for fault in recording.faults() {
        let file = args.file.display().to_string();
        output::print_note(&format!("{}: {fault}", output::clean(&file)));
    }
    if let Some(out) = &args.export {
        return export(&recording, &args.file, out);
    }
    let wish = match args.at {
        Some(address) => PageWish::At(address),
        None if args.open => PageWish::Open,
        None => PageWish::Anywhere,
    };
    let place = std::path::absolute(&args.file).map_err(FileError::at("find", &args.file));
    let place = place.map_err(|error| CliError::Failure(error.to_string()))?;
    let page = Page::bind(wish, &place);
    let page = page.map_err(|error| CliError::Failure(with_causes(&error)))?;
    let (events, printer) = output::start(&global.output_options())
        .map_err(|error| CliError::Config(error.to_string()))?;
    let end = app::show(page.with_recording(recording), &events);
    drop(events);
    printer.finish();
    end.map_err(|error| CliError::Failure(format!("the page ended: {error}")))?;
    Ok(EXIT_INTERRUPTED)
}

/// Writes the page to the file `out`, for this user alone.
fn export(recording: &OpenedRecording, file: &Path, out: &Path) -> Result<u8, CliError> {
    let is_same = dunce::canonicalize(out)
        .is_ok_and(|it| dunce::canonicalize(file).is_ok_and(|file| it == file));
    if is_same {
        let text = format!(
            "--export would replace the recording {}; name another file",
            out.display()
        );
        return Err(CliError::Usage(text));
    }
    let page = recording.export();
    let page = page.map_err(|error| CliError::Failure(error.to_string()))?;
    let written = std::path::absolute(out).and_then(|path| private_files::replace(&path, page));
    let written = written.map_err(FileError::at("write", out));
    written.map_err(|error| CliError::Failure(error.to_string()))?;
    output::print_note(&format!("the page is in {}", out.display()));
    Ok(EXIT_OK)
}

fn parse_wish(text: &str) -> Result<PageWish, String> {
    match text {
        "" => Ok(PageWish::Anywhere),
        "open" => Ok(PageWish::Open),
        address => parse_loopback(address).map(PageWish::At),
    }
}

fn parse_loopback(text: &str) -> Result<SocketAddr, String> {
    match parse_address(text) {
        Ok(Address::Tcp(address)) if address.ip().is_loopback() => Ok(address),
        Ok(Address::Tcp(_)) => Err(
            "the page shows all messages, so that it listens on loopback addresses only".to_owned(),
        ),
        Ok(Address::Unix(_)) | Err(_) => Err(
            "expected a loopback address with a port, such as 127.0.0.1:8809 or 8809".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_accepted() {
        assert_eq!(parse_wish(""), Ok(PageWish::Anywhere));
        assert_eq!(parse_wish("open"), Ok(PageWish::Open));
        for address in ["127.0.0.1:8809", "[::1]:0"] {
            assert_eq!(
                parse_wish(address),
                Ok(PageWish::At(address.parse().unwrap()))
            );
        }
        let local = PageWish::At(([127, 0, 0, 1], 8809).into());
        assert_eq!(parse_wish("8809"), Ok(local));
        assert_eq!(parse_wish("localhost:8809"), Ok(local));
        for address in [
            "0.0.0.0:8809",
            "192.168.1.5:80",
            "unix:/x",
            "close",
            "127.0.0.1",
        ] {
            assert!(parse_wish(address).is_err(), "{address}");
        }
    }
}
