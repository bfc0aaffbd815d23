//! Port of a process that serves HTTP.

use std::io;
use std::net::Ipv4Addr;
use std::ops::Range;

use tokio::net::TcpSocket;

use crate::config::ProcessAddress;

/// Ports to choose from. Systems take the ports of outgoing connections, and those that programs leave to them, from
/// above: such a port could be taken between its release and the moment when the process listens on it.
const CHOICE: Range<u16> = 20_000..32_768;
/// Number of ports to try before the choice is left to the system.
const TRIES: usize = 64;

/// Port for a start. Unless it is fixed, no other program gets it before its release.
#[derive(Debug)]
pub(crate) struct ProcessPort {
    number: u16,
    /// Bound to the port, without listening.
    _reservation: Option<TcpSocket>,
}

impl ProcessPort {
    /// Returns the fixed port of the address, or reserves a free one.
    pub(crate) fn of(address: &ProcessAddress) -> io::Result<Self> {
        match address.fixed_port() {
            Some(number) => Ok(Self {
                number,
                _reservation: None,
            }),
            None => Self::reserve(),
        }
    }

    /// Reserves a free port.
    pub(crate) fn reserve() -> io::Result<Self> {
        let is_free = |number: u16| Self::bind(number).ok();
        let chosen = (0..TRIES).find_map(|_| is_free(random_port()?));
        chosen.map_or_else(|| Self::bind(0), Ok)
    }

    fn bind(number: u16) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, number).into())?;
        Ok(Self {
            number: socket.local_addr()?.port(),
            _reservation: Some(socket),
        })
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// Returns the port, which a process can listen on from now on.
    pub(crate) fn release(self) -> u16 {
        self.number
    }
}

fn random_port() -> Option<u16> {
    let random = getrandom::u32().ok()? % u32::from(CHOICE.end - CHOICE.start);
    u16::try_from(random).ok().map(|it| CHOICE.start + it)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_reserved_port_is_free_once_it_is_released() {
        let port = ProcessPort::reserve().unwrap();
        assert!(CHOICE.contains(&port.number()));
        let address = (Ipv4Addr::LOCALHOST, port.number());
        TcpStream::connect(address).unwrap_err();
        TcpListener::bind(address).unwrap_err();
        assert_eq!(port.release(), address.1);
        TcpListener::bind(address).unwrap();
    }
}
