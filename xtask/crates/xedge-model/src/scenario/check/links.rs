//! Links: shapes in range, ends that exist, and something that goes through each.

use super::super::expect::is_node_id;
use super::super::{Link, LinkShape, NamedLink, Network, NetworkModel, Scenario};
use super::place::{wrong, wrong_key};
use crate::yaml::{Source, Spanned, YamlError};

pub(super) fn check(scenario: &Scenario, source: &Source) -> Result<(), YamlError> {
    let known: Vec<&str> = scenario.nodes.value.iter().map(|node| node.id.value.as_str()).collect();
    for (name, link) in &scenario.links {
        check_named(source, name, &link.value, &known)?;
    }
    let names: Vec<&str> = scenario.links.keys().map(String::as_str).collect();
    for via in scenario.nodes.value.iter().filter_map(|node| node.via.as_ref()) {
        match scenario.links.get(&via.value) {
            None => return Err(source.unknown_name(via, "link", &via.value, &names)),
            Some(link) if link.value.from.is_some() => {
                let message = format!("`{}` has ends of its own, `from` and `to`", via.value);
                return Err(source.error_at(via, message));
            }
            Some(_) => {}
        }
    }
    for (name, link) in &scenario.links {
        if link.value.from.is_none() && !scenario.links_may_idle() && !takes(scenario, name) {
            let message = format!(
                "nothing goes through `{name}`: a node takes it with `via`, or it has `from` and `to`"
            );
            return Err(wrong_key(source, &["links", name], message, None));
        }
    }
    scenario.network.as_ref().map_or(Ok(()), |network| check_network(source, network, &known))
}

fn takes(scenario: &Scenario, name: &str) -> bool {
    scenario.nodes.value.iter().any(|node| node.via.as_ref().is_some_and(|via| via.value == name))
}

fn check_named(source: &Source, name: &str, link: &NamedLink, known: &[&str]) -> Result<(), YamlError> {
    if !is_node_id(name) {
        let message = format!("`{name}` is no name of a link: up to 63 letters, digits, `-`, `_` and `.`");
        return Err(wrong_key(source, &["links", name], message, None));
    }
    match (&link.from, &link.to) {
        (Some(from), Some(to)) => {
            check_ends(source, from, to, known)?;
        }
        (Some(end), None) => return Err(source.error_at(end, "`from` needs `to`")),
        (None, Some(end)) => return Err(source.error_at(end, "`to` needs `from`")),
        (None, None) => {}
    }
    check_shape(source, &["links", name], &link.shape)?;
    for (key, shape) in [("up", &link.up), ("down", &link.down)] {
        if let Some(shape) = shape {
            check_shape(source, &["links", name, key], shape)?;
        }
    }
    Ok(())
}

fn check_ends(
    source: &Source,
    from: &Spanned<String>,
    to: &Spanned<String>,
    known: &[&str],
) -> Result<(), YamlError> {
    for end in [from, to] {
        if !known.contains(&end.value.as_str()) {
            return Err(source.unknown_name(end, "node", &end.value, known));
        }
    }
    if from.value == to.value {
        return Err(source.error_at(to, format!("`{}` has no link to itself", to.value)));
    }
    Ok(())
}

fn check_shape(source: &Source, path: &[&str], shape: &LinkShape) -> Result<(), YamlError> {
    let at = |key: &[&'static str]| [path, key].concat();
    let is_share = |share: f64| (0.0..=1.0).contains(&share);
    if shape.loss.is_some_and(|loss| !is_share(loss)) {
        return Err(wrong(source, &at(&["loss"]), "`loss` must be 0 to 1"));
    }
    if shape.rate.is_some_and(|rate| rate.0 < 1_000) {
        return Err(wrong(source, &at(&["rate"]), "`rate` must be at least 1kbit"));
    }
    for (key, span) in [("latency", shape.latency), ("jitter", shape.jitter)] {
        if span.is_some_and(|span| span.0.as_secs() >= 60) {
            let path = [path, &[key]].concat();
            return Err(wrong(source, &path, format!("`{key}` must be less than 1m")));
        }
    }
    match &shape.stall {
        Some(stall) if !is_share(stall.p) => Err(wrong(source, &at(&["stall", "p"]), "`p` must be 0 to 1")),
        Some(stall) if stall.for_.0.is_zero() => {
            Err(wrong(source, &at(&["stall", "for"]), "`for` must be more than 0"))
        }
        _ => Ok(()),
    }
}

fn check_network(source: &Source, network: &Network, known: &[&str]) -> Result<(), YamlError> {
    let is_rate = |rate: f64| (0.0..=1.0).contains(&rate);
    if let Some(loss) = network.default_loss_rate.as_ref().filter(|loss| !is_rate(loss.value)) {
        return Err(source.error_at(loss, "`default_loss_rate` must be 0 to 1"));
    }
    if let Some(latency) = network.default_latency_us.as_ref().filter(|latency| latency.value > MOST_US) {
        return Err(source.error_at(latency, format!("`default_latency_us` must be at most {MOST_US}")));
    }
    for (index, link) in network.links.iter().enumerate() {
        check_ends(source, &link.src, &link.dst, known)?;
        let index = index.to_string();
        let at = |key| ["network", "links", index.as_str(), key];
        if link.loss_rate.is_some_and(|loss| !is_rate(loss)) {
            return Err(wrong(source, &at("loss_rate"), "`loss_rate` must be 0 to 1"));
        }
        if link.latency_us.is_some_and(|latency| latency > MOST_US) {
            return Err(wrong(source, &at("latency_us"), format!("`latency_us` must be at most {MOST_US}")));
        }
        let same = |other: &&Link| other.src.value == link.src.value && other.dst.value == link.dst.value;
        if network.links.iter().filter(same).count() > 1 {
            let message =
                format!("the link from `{}` to `{}` is there twice", link.src.value, link.dst.value);
            return Err(source.error_at(&link.src, message));
        }
    }
    check_direct(source, network)
}

/// The longest latency, a minute.
const MOST_US: u64 = 60_000_000;

/// Upstream leaves latencies out of a direct network without a word.
fn check_direct(source: &Source, network: &Network) -> Result<(), YamlError> {
    if network.model.as_ref().is_some_and(|model| model.value == NetworkModel::Latency) {
        return Ok(());
    }
    let say = |error: YamlError| error.with_hint("`model: latency` has latency and loss, `direct` has none");
    let message = "links with latency or loss need `model: latency`";
    if let Some(latency) = network.default_latency_us.as_ref().filter(|latency| latency.value > 0) {
        return Err(say(source.error_at(latency, message)));
    }
    if let Some(loss) = network.default_loss_rate.as_ref().filter(|loss| loss.value > 0.0) {
        return Err(say(source.error_at(loss, message)));
    }
    let is_shaped = |link: &&Link| link.latency_us.unwrap_or(0) > 0 || link.loss_rate.unwrap_or(0.0) > 0.0;
    network.links.iter().find(is_shaped).map_or(Ok(()), |link| Err(say(source.error_at(&link.src, message))))
}
