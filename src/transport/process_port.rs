//! Port of a process that serves HTTP.

use std::io;
use std::net::Ipv4Addr;

use tokio::net::TcpSocket;

use crate::config::ProcessAddress;
use crate::free_port::bind_free;

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
        bind_free(Self::bind)
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

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::free_port::CHOICE;

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
