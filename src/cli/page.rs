//! Option of subcommands that have a page.

use clap::Args;

use super::http::parse_address;
use crate::front::http::Address;
use crate::page::PageWish;

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

fn parse_wish(text: &str) -> Result<PageWish, String> {
    match text {
        "" => return Ok(PageWish::Anywhere),
        "open" => return Ok(PageWish::Open),
        _ => {}
    }
    match parse_address(text) {
        Ok(Address::Tcp(address)) if address.ip().is_loopback() => Ok(PageWish::At(address)),
        Ok(Address::Tcp(_)) => Err(
            "the page shows all messages, so that it listens on loopback addresses only".to_owned(),
        ),
        Ok(Address::Unix(_)) | Err(_) => Err(
            "expected `open`, or a loopback address with a port, such as 127.0.0.1:8809 or 8809"
                .to_owned(),
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
