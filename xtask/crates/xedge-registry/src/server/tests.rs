//! The registry over a socket: what a client may do, and what nobody may. No test needs the network.

mod blobs;
mod crash;
mod http;
mod manifests;
mod names;
