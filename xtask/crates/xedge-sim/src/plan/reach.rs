//! Which connections can come about between containers, and whether links have any to take. Pure.

use std::collections::BTreeMap;

use xedge_model::scenario::Role;

use super::{ContainerPlan, Ends, LinkPlan, RunPlan};
use crate::Error;
use crate::link::Links;

/// A container that can connect to a port of another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach<'a> {
    pub(crate) client: &'a ContainerPlan,
    pub(crate) target: &'a ContainerPlan,
    pub(crate) port: u16,
    /// The first network of the client that the target is in too, as the plan names it; empty for the common one.
    pub(crate) network: &'a str,
}

/// Every container with every port of every other that it shares a network with.
pub(crate) fn reaches(containers: &[ContainerPlan]) -> Vec<Reach<'_>> {
    let mut all = Vec::new();
    for client in containers {
        for target in containers.iter().filter(|target| target.node_id != client.node_id) {
            if let Some(network) = networks(client).into_iter().find(|name| networks(target).contains(name)) {
                all.extend(ports(target).map(|port| Reach { client, target, port, network }));
            }
        }
    }
    all
}

fn networks(plan: &ContainerPlan) -> Vec<&str> {
    match &plan.extras.networks[..] {
        // A program of this machine is in no network of containers.
        _ if plan.extras.offline || plan.extras.process.is_some() => vec![],
        [] => vec![""],
        names => names.iter().map(String::as_str).collect(),
    }
}

/// The ports that a container is known to serve.
fn ports(plan: &ContainerPlan) -> impl Iterator<Item = u16> {
    let service = Some(plan.service_port).filter(|_| plan.role == Role::Broker);
    let further = plan.extras.published_tcp.iter().copied();
    service.into_iter().chain(further.filter(move |port| Some(*port) != service))
}

impl RunPlan {
    /// Refuses links that nothing could go through, and such as a listener of ours could not tell apart.
    pub(super) fn check_links(&self) -> Result<(), Error> {
        let reaches = reaches(&self.containers);
        self.links.iter().try_for_each(|link| self.check_link(link, &reaches))?;
        let links = Links::new(&self.links, self.seed);
        let mut taken = BTreeMap::new();
        for Reach { client, target, port, network } in reaches {
            let (client, target) = (client.node_id.as_str(), target.node_id.as_str());
            if links.route(client, client, target).is_none() {
                continue;
            }
            if let Some(other) = taken.insert((client, network, port), target) {
                return Err(Error::plan(
                    &self.scenario_name,
                    format!(
                        "node {client} would reach {other} and {target} at port {port} through links: that port of this machine can stand for one of them only"
                    ),
                ));
            }
        }
        Ok(())
    }

    fn check_link(&self, link: &LinkPlan, reaches: &[Reach<'_>]) -> Result<(), Error> {
        let broker = self.containers.iter().find(|container| container.role == Role::Broker);
        let of_models = broker
            .into_iter()
            .flat_map(|b| self.models.iter().map(|m| (m.group.as_str(), b.node_id.as_str())));
        let of_containers = reaches.iter().map(|r| (r.client.node_id.as_str(), r.target.node_id.as_str()));
        let takes = |(one, other): (&str, &str)| match &link.ends {
            Ends::Of(_) => link.attaches(one) || link.attaches(other),
            Ends::Between { .. } => link.joins(one, other),
            Ends::Rest => true,
        };
        if of_models.chain(of_containers).any(takes) {
            return Ok(());
        }
        let why = match &link.ends {
            Ends::Of(nodes) if nodes.is_empty() => "no node names it with `via`".to_owned(),
            Ends::Of(nodes) => format!("{} opens no connection and is reached by none", nodes.join(", ")),
            Ends::Between { from, to } => {
                let broker =
                    broker.map_or_else(String::new, |b| format!(", and models only to {}", b.node_id));
                format!(
                    "nothing connects {from} and {to}: containers connect to the `ports` of others{broker}"
                )
            }
            Ends::Rest => "nothing connects to anything".to_owned(),
        };
        Err(Error::plan(&self.scenario_name, format!("link `{}` would stay unused: {why}", link.name)))
    }
}
