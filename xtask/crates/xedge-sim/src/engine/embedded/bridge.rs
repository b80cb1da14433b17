//! Listeners on a network's own side, and which addresses containers have in it. It changes neither.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use super::{Embedded, runtime_error};
use crate::Error;

impl Embedded {
    pub(in crate::engine) fn gateway(&self, network: &str) -> Result<IpAddr, Error> {
        let found = self.inner.networks.gateway(network);
        found.map(IpAddr::V4).ok_or_else(|| {
            runtime_error(&format!("find the gateway of network {network}"), "there is no such network")
        })
    }

    pub(in crate::engine) fn listen(&self, network: &str, address: SocketAddr) -> io::Result<TcpListener> {
        self.inner.networks.listen(network, address)
    }

    pub(in crate::engine) fn addresses(&self, container: &str) -> Vec<IpAddr> {
        self.inner.networks.addresses(container).into_iter().map(IpAddr::V4).collect()
    }
}
