//! Claims about single containers: which ones a scenario without models and `expect` makes, and whether those that are
//! written down can be asked. Nothing is run here.

use std::collections::BTreeMap;
use std::time::Duration;

use xedge_config::Rendered;
use xedge_model::Platform;
use xedge_model::compose::{Healthcheck, Test};
use xedge_model::duration::Span;
use xedge_model::image::From as Base;
use xedge_model::scenario::{Expectation, Node, Role, Scenario};
use xedge_model::yaml::{Source, Spanned};
use xedge_oci::ImageEntry;
use xedge_sim::ContainerPlan;

use super::plan::MQTT;
use super::prepare::containers;
use super::production::published_tcp;
use crate::error::Result;
use crate::project::ImageSource;

/// What is claimed where nothing is written: brokers answer, health checks pass, published ports take connections, and
/// all of it still runs at the end. Containers that are to complete are not asked again.
pub(super) fn of_containers(
    containers: &[ContainerPlan],
    duration: Duration,
    image_has_check: impl Fn(&str) -> bool,
) -> Vec<Expectation> {
    let mut claims = Vec::new();
    if containers.iter().filter(|container| container.role == Role::Broker).count() == 1 {
        claims.push(Expectation::BrokerStarts);
    }
    for container in containers.iter().filter(|container| !container.extras.completes) {
        let id = || container.node_id.clone();
        let own = container.extras.health_check.as_ref().map(|command| !command.is_empty());
        if own.unwrap_or_else(|| image_has_check(&container.node_id)) {
            claims.push(Expectation::ServiceHealthy(id()));
        }
        let ports = container.extras.published_tcp.iter();
        claims.extend(ports.map(|port| Expectation::ServiceAnswers(id(), *port)));
        claims.push(Expectation::ServiceRuns(id(), Span(duration)));
    }
    claims
}

/// Whether an image has a health check that asks something.
pub(super) fn image_has_check(image: &ImageEntry, platform: Platform) -> bool {
    let config = image.platforms().get(&platform).and_then(|image| image.config().config.as_ref());
    let check = config.and_then(|config| config.healthcheck.as_ref());
    check.is_some_and(|check| check.test.first().is_some_and(|kind| kind != "NONE"))
}

/// Refuses a claim that could not be asked, as far as the files say.
pub(super) fn check(
    source: &Source,
    scenario: &Scenario,
    images: &BTreeMap<String, ImageSource>,
    rendered: Option<&Rendered>,
) -> Result<()> {
    for claim in scenario.expect.iter().flat_map(|list| &list.value) {
        let node =
            containers(scenario).find(|(node, _)| Some(node.id.value.as_str()) == claim.value.service());
        let Some((node, docker)) = node else { continue };
        let service = rendered.and_then(|rendered| rendered.compose().service(&node.id.value));
        match &claim.value {
            Expectation::ServiceAnswers(_, port) => {
                let mut ports = service.map_or_else(|| docker.ports.0.clone(), published_tcp);
                if node.role == Role::Broker && ports.is_empty() {
                    ports.push(node.port.unwrap_or(MQTT));
                }
                if !ports.contains(port) {
                    let host = service.and_then(|service| {
                        service.ports.0.iter().find(|published| published.host == Some(*port))
                    });
                    return Err(
                        no_port(source, claim, node, *port, &ports, host.map(|host| host.container)).into()
                    );
                }
            }
            Expectation::ServiceHealthy(_) => {
                let own = service.and_then(|service| service.healthcheck.as_ref());
                if !has_check(own, &images[&node.id.value]) {
                    let message = format!("neither `{}` nor its image has a health check", node.id.value);
                    return Err(source.error_at(claim, message).into());
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn no_port(
    source: &Source,
    claim: &Spanned<Expectation>,
    node: &Node,
    port: u16,
    ports: &[u16],
    meant: Option<u16>,
) -> xedge_model::yaml::YamlError {
    let id = &node.id.value;
    let hint = match (meant, ports) {
        (Some(inside), _) => format!("{port} is the port outside: write `service.answers({id}, {inside})`"),
        (None, []) => format!("`{id}` publishes none: add it to `ports`"),
        (None, ports) => {
            let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
            format!("published here: {}", ports.join(", "))
        }
    };
    source.error_with_hint(claim, format!("`{id}` does not publish TCP port {port}"), hint)
}

/// Whether there is a health check; one that a base image may bring along is seen when it runs.
fn has_check(own: Option<&Healthcheck>, image: &ImageSource) -> bool {
    match own.and_then(|check| check.test.as_ref()) {
        Some(Test::Disabled) => false,
        Some(Test::Exec(_) | Test::Shell(_)) => true,
        None => {
            image.def.config.healthcheck.is_some()
                || !matches!(image.def.from, Base::Scratch | Base::Debian(_))
        }
    }
}
