//! What can go wrong before the registry answers anything. What a client is told is in `refusal.rs`, never here.

use std::io;
use std::net::SocketAddr;

use xedge_model::{Class, Failure};

/// Why the embedded registry does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder of the store cannot be made or swept.
    #[error("failed to open the registry's folder {folder}")]
    Open {
        /// The folder.
        folder: String,
        /// What the system said.
        source: io::Error,
    },
    /// The port cannot be had.
    #[error("failed to listen on 127.0.0.1:{port}")]
    Bind {
        /// The port that was asked for.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The system does not know where a listener listens.
    #[error("failed to find the address of the registry's listener")]
    Address {
        /// What the system said.
        source: io::Error,
    },
    /// Someone else than this host could reach it: it knows no passwords, so that is never wanted.
    #[error("failed to serve on {address}: the embedded registry answers this host only")]
    NotLoopback {
        /// The address of the listener.
        address: SocketAddr,
    },
}

impl Failure for Error {
    fn class(&self) -> Class {
        match self {
            Error::Open { .. } | Error::Bind { .. } | Error::Address { .. } => Class::Environment,
            Error::NotLoopback { .. } => Class::Bug,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::Open { folder, .. } => Some(format!("see who owns it: `ls -ld {folder}`")),
            Error::Bind { port, source } if source.kind() == io::ErrorKind::AddrInUse => {
                Some(format!("see who uses the port: `ss -ltnp 'sport = :{port}'`"))
            }
            Error::Bind { .. } | Error::Address { .. } | Error::NotLoopback { .. } => None,
        }
    }
}
