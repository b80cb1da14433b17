//! Where a network meets this machine, and which addresses containers have in it. It changes neither.

use std::net::IpAddr;

use super::{Docker, query};
use crate::Error;

impl Docker {
    /// The address by which the containers of a network reach this machine.
    pub(crate) async fn gateway(&self, network: &str) -> Result<IpAddr, Error> {
        let action = format!("find the gateway of network {network}");
        let found = self.client.inspect_network(network, None::<query::InspectNetworkOptions>).await;
        let pools = found.map_err(|e| self.failed(&action, e))?.ipam.and_then(|ipam| ipam.config);
        let gateways = pools.into_iter().flatten().filter_map(|pool| pool.gateway?.parse().ok());
        let refused = |message: &str| Error::EngineRefused { action, status: 0, message: message.to_owned() };
        gateways.min().ok_or_else(|| refused("the network has none"))
    }

    /// The addresses of a running container in its networks.
    pub(crate) async fn addresses(&self, container: &str) -> Result<Vec<IpAddr>, Error> {
        let settings = self.inspected(container).await?.network_settings.unwrap_or_default();
        let endpoints = settings.networks.into_iter().flatten().map(|(_, endpoint)| endpoint);
        Ok(endpoints.filter_map(|endpoint| endpoint.ip_address?.parse().ok()).collect())
    }
}
