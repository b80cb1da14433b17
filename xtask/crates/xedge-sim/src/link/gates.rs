//! Links between containers: a listener of ours on the gateway of a run's network stands for a port of another container,
//! whose name leads there in the container that connects. It changes nothing in the network of this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::dial::{Stream, connect_opened};
use super::{Links, Route};
use crate::Error;
use crate::engine::Engine;
use crate::plan::ContainerPlan;
use crate::plan::reach::reaches;

/// Bytes under way in the copying itself, for one direction of one connection.
const BUFFER: usize = 8 * 1024;

/// The listeners of a run. Dropping them ends every connection through them.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    gates: Mutex<Vec<Gate>>,
    tasks: Mutex<JoinSet<()>>,
}

/// One listener, for one port of everything that is reached through links in one network.
#[derive(Debug)]
struct Gate {
    /// The engine's name of the network.
    network: String,
    address: SocketAddr,
    passages: Arc<[Passage]>,
    is_open: bool,
}

/// Who comes to a gate, and where it leads from there.
#[derive(Debug)]
struct Passage {
    client: String,
    /// The engine's name of the client.
    client_name: String,
    target: String,
    /// The engine's name of the target.
    target_name: String,
    /// Names by which the client knows the target.
    names: Vec<String>,
    port: u16,
    route: Route,
}

/// How a run calls things in the engine.
pub(crate) struct Naming<'a> {
    /// A container, by its node.
    pub(crate) container: &'a (dyn Fn(&str) -> String + Sync),
    /// A network, by the name in the plan; the common one has none.
    pub(crate) network: &'a (dyn Fn(&str) -> String + Sync),
}

impl Gates {
    /// Finds out which gates the containers of a run need, and where they will be. The networks are there already.
    pub(crate) async fn plan(
        &self,
        engine: &Engine,
        links: &Links,
        containers: &[ContainerPlan],
        naming: &Naming<'_>,
    ) -> Result<(), Error> {
        let mut passages: BTreeMap<(String, u16), Vec<Passage>> = BTreeMap::new();
        for reach in reaches(containers) {
            let (client, target) = (&reach.client.node_id, &reach.target.node_id);
            let Some(route) = links.route(client, client, target) else { continue };
            let names = std::iter::once(target).chain(&reach.target.extras.aliases).cloned().collect();
            let passage = Passage {
                client: client.clone(),
                client_name: (naming.container)(client),
                target: target.clone(),
                target_name: (naming.container)(target),
                names,
                port: reach.port,
                route,
            };
            passages.entry(((naming.network)(reach.network), reach.port)).or_default().push(passage);
        }
        let mut gates = Vec::new();
        for ((network, port), passages) in passages {
            let address = SocketAddr::new(engine.gateway(&network).await?, port);
            gates.push(Gate { network, address, passages: passages.into(), is_open: false });
        }
        *self.gates.lock().unwrap_or_else(PoisonError::into_inner) = gates;
        Ok(())
    }

    /// What a container must be told beside the names that its networks know: name to address.
    pub(crate) fn hosts(&self, client: &str) -> BTreeMap<String, String> {
        let gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hosts = BTreeMap::new();
        for gate in gates.iter() {
            for passage in gate.passages.iter().filter(|passage| passage.client == client) {
                hosts.extend(passage.names.iter().map(|name| (name.clone(), gate.address.ip().to_string())));
            }
        }
        hosts
    }

    /// Opens the gates of these networks. An engine may give a network its gateway with its first container only: before that,
    /// an address that is not there is no error.
    pub(crate) fn open(&self, engine: &Engine, networks: &[String], populated: bool) -> Result<(), Error> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = gates.iter_mut().filter(|gate| !gate.is_open && networks.contains(&gate.network));
        for gate in closed {
            let listener = engine.listen(&gate.network, gate.address);
            match listener.and_then(TcpListener::from_std) {
                Ok(listener) => {
                    gate.is_open = true;
                    let serving = serve(listener, gate.passages.clone(), engine.clone());
                    self.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(serving);
                }
                Err(error) if !populated && error.kind() == io::ErrorKind::AddrNotAvailable => {}
                Err(error) => return Err(gate.failed(&error)),
            }
        }
        Ok(())
    }
}

impl Gate {
    fn failed(&self, error: &io::Error) -> Error {
        let who = |of: fn(&Passage) -> &String| {
            let names: BTreeSet<&str> = self.passages.iter().map(|passage| of(passage).as_str()).collect();
            names.into_iter().collect::<Vec<_>>().join(", ")
        };
        Error::LinkAddress {
            clients: who(|passage| &passage.client),
            targets: who(|passage| &passage.target),
            address: self.address,
            kind: error.kind(),
            detail: error.to_string(),
        }
    }
}

async fn serve(listener: TcpListener, passages: Arc<[Passage]>, engine: Engine) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((client, peer)) => {
                let (passages, engine) = (passages.clone(), engine.clone());
                connections.spawn(async move { pass(client, peer.ip(), &passages, &engine).await });
            }
            // Out of descriptors: those that end make room.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Joins a client and its target until either hangs up. Where the target is not reached, the client's connection is cut.
async fn pass(mut client: TcpStream, peer: IpAddr, passages: &[Passage], engine: &Engine) {
    let joined = async {
        client.set_nodelay(true)?;
        let mut target = onward(peer, passages, engine).await?;
        tokio::io::copy_bidirectional_with_sizes(&mut client, &mut target, BUFFER, BUFFER).await
    };
    if joined.await.is_err() {
        // It is as good as closed: what a cut leaves of it does not matter.
        drop(client.set_zero_linger());
    }
}

async fn onward(peer: IpAddr, passages: &[Passage], engine: &Engine) -> io::Result<Stream> {
    let passage = who(peer, passages, engine).await.ok_or(io::ErrorKind::PermissionDenied)?;
    let opened = passage.route.open().await?;
    // The engine picks other ports at every start.
    let found = engine.ports(&passage.target_name, passage.port).await.map_err(io::Error::other)?;
    let address = *found.first().ok_or(io::ErrorKind::ConnectionRefused)?;
    connect_opened(address, opened).await
}

/// Whose connection it is: the container with that address, unless there is only one that can come here.
async fn who<'a>(peer: IpAddr, passages: &'a [Passage], engine: &Engine) -> Option<&'a Passage> {
    if let [only] = passages {
        return Some(only);
    }
    for passage in passages {
        if engine.addresses(&passage.client_name).await.is_ok_and(|own| own.contains(&peer)) {
            return Some(passage);
        }
    }
    None
}
