//! Where a service listens, as a person writes it.
//!
//! Used by [`crate::Client::connect`] and by command lines and configuration
//! files of whoever uses this crate.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a service listens. Text forms: `vsock:16:5005` (context id, port),
/// `unix:/run/strongroom.sock`, `tcp:127.0.0.1:5005`, and `vm:/run/vm.sock:5005`
/// (an emulated enclave's socket, port).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket; for development and for a gateway on the same machine.
    Unix(PathBuf),
    /// The enclave itself.
    Vsock {
        /// The enclave's context id, as `nitro-cli describe-enclaves` prints it.
        cid: u32,
        /// `vsock_port` of the manifest.
        port: u32,
    },
    /// TCP; for development and for a gateway.
    Tcp(SocketAddr),
    /// A vsock port of an emulated enclave, behind the Unix socket that its
    /// emulator listens on: `CONNECT <port>` asks for the port.
    Vm {
        /// The emulator's socket.
        socket: PathBuf,
        /// `vsock_port` of the manifest.
        port: u32,
    },
}

/// Why a text is not an [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No scheme that is known.
    #[error(
        "an address starts with `vsock:`, `unix:`, `tcp:` or `vm:`, such as `vsock:16:5005`; got `{0}`"
    )]
    Scheme(String),
    /// The part after `vsock:` is not two numbers.
    #[error(
        "`vsock:` takes a context id and a port as numbers, such as `vsock:16:5005`; got `{0}`"
    )]
    Vsock(String),
    /// The context id addresses no enclave.
    #[error(
        "context id {0} is not an enclave's: take the one `nitro-cli describe-enclaves` prints"
    )]
    Cid(u32),
    /// The part after `unix:` is empty.
    #[error("`unix:` takes the path of a socket, such as `unix:/run/strongroom.sock`")]
    Unix,
    /// The part after `tcp:` is not an IP address and a port.
    #[error(
        "`tcp:` takes an IP address and a port, such as `tcp:127.0.0.1:5005` or `tcp:[::1]:5005`; got `{0}`"
    )]
    Tcp(String),
    /// The part after `vm:` is not a path and a port.
    #[error(
        "`vm:` takes the path of an emulated enclave's socket and a port, such as `vm:/run/vm.sock:5005`; got `{0}`"
    )]
    Vm(String),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.split_once(':') {
            Some(("vsock", rest)) => vsock(rest),
            Some(("unix", "")) => Err(AddressError::Unix),
            Some(("unix", path)) => Ok(Self::Unix(path.into())),
            Some(("tcp", rest)) => {
                rest.parse().map(Self::Tcp).map_err(|_| AddressError::Tcp(rest.into()))
            }
            Some(("vm", rest)) => vm(rest).ok_or_else(|| AddressError::Vm(rest.into())),
            _ => Err(AddressError::Scheme(text.into())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Vm { socket, port } => write!(f, "vm:{}:{port}", socket.display()),
        }
    }
}

fn vsock(rest: &str) -> Result<Address, AddressError> {
    let number = |part: &str| part.parse::<u32>().ok();
    let parts = rest.split_once(':').and_then(|(cid, port)| number(cid).zip(number(port)));
    match parts {
        None => Err(AddressError::Vsock(rest.into())),
        Some((u32::MAX, _)) => Err(AddressError::Cid(u32::MAX)),
        Some((cid, port)) => Ok(Address::Vsock { cid, port }),
    }
}

fn vm(rest: &str) -> Option<Address> {
    let (socket, port) = rest.rsplit_once(':').filter(|(socket, _)| !socket.is_empty())?;
    Some(Address::Vm { socket: socket.into(), port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_form_is_read_and_printed_alike() {
        for text in [
            "vsock:16:5005",
            "unix:/run/s.sock",
            "unix:a:b",
            "tcp:127.0.0.1:5005",
            "tcp:[::1]:1",
            "vm:/run/a:b:1",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("vsock:16:5005".parse(), Ok(Address::Vsock { cid: 16, port: 5005 }));
    }

    #[test]
    fn what_is_no_address_says_what_one_looks_like() {
        for text in [
            "",
            "vsock",
            "vsock:",
            "vsock:16",
            "vsock:16:",
            "vsock::5",
            "vsock:-1:5",
            "vsock:16:5:6",
            "vsock:4294967296:1",
            "vsock:4294967295:1",
            "unix:",
            "tcp:",
            "tcp:localhost:1",
            "tcp:127.0.0.1",
            "tcp:127.0.0.1:70000",
            "vm:",
            "vm:5005",
            "vm::5005",
            "vm:/run/vm.sock",
            "vm:/run/vm.sock:x",
            "http://x",
            "VSOCK:1:2",
            "/run/s.sock",
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("such as") || error.contains("nitro-cli"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_printed_back(text in ".{0,40}") {
            if let Ok(address) = text.parse::<Address>() {
                let again: Address = address.to_string().parse().unwrap();
                prop_assert_eq!(again, address);
            }
        }
    }
}
