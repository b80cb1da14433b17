//! What stands for the embedded engine on systems without Linux's namespaces: it can be asked for, and says why it is not there.
#![expect(clippy::unused_async, reason = "the methods are those of the engine that is there on Linux")]

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use xedge_model::Digest;

use super::{Attached, Creation, EngineFacts, Kind, Labels, Object, Settings, Status, Usage};
use crate::Error;

/// There is none, hence no value of it.
#[derive(Clone, Debug)]
pub enum Embedded {}

/// Always an error: only the embedded engine starts this.
pub fn forward(_network: &str, _to: SocketAddr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Embedded {
    /// Always an error.
    pub fn open(_settings: Settings) -> Result<Self, Error> {
        Err(Error::NotLinux)
    }

    /// Every image that it has.
    pub async fn images(&self) -> Result<Vec<Digest>, Error> {
        match *self {}
    }

    pub(super) fn host(&self) -> &str {
        match *self {}
    }

    pub(super) fn facts(&self) -> &EngineFacts {
        match *self {}
    }

    pub(super) async fn has_image(&self, _image: &str) -> Result<bool, Error> {
        match *self {}
    }

    pub(super) async fn image_platform(&self, _image: &str) -> Result<String, Error> {
        match *self {}
    }

    pub(super) async fn load_image_with(
        &self,
        _fill: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
    ) -> Result<(), Error> {
        match *self {}
    }

    pub(super) async fn remove_untagged(&self, _image: &str) -> Result<bool, Error> {
        match *self {}
    }

    pub(super) async fn create_network(&self, _name: &str, _labels: &Labels) -> Result<(), Error> {
        match *self {}
    }

    pub(super) async fn create_volume(&self, _name: &str, _labels: &Labels) -> Result<(), Error> {
        match *self {}
    }

    pub(super) async fn create(&self, _creation: &Creation<'_>) -> Result<(), Error> {
        match *self {}
    }

    pub(super) async fn upload(&self, _container: &str, _path: &str, _tar: Vec<u8>) -> Result<(), Error> {
        match *self {}
    }

    pub(super) async fn start(&self, _container: &str) -> Result<(), Error> {
        match *self {}
    }

    pub(super) async fn stop(&self, _container: &str, _grace: Duration) -> Result<(), Error> {
        match *self {}
    }

    pub(super) async fn kill(&self, _container: &str, _signal: &str) -> Result<(), Error> {
        match *self {}
    }

    pub(super) async fn pause(&self, _container: &str) -> Result<(), Error> {
        match *self {}
    }

    pub(super) async fn unpause(&self, _container: &str) -> Result<(), Error> {
        match *self {}
    }

    pub(super) async fn usage(&self, _container: &str) -> Result<Option<Usage>, Error> {
        match *self {}
    }

    pub(super) fn gateway(&self, _network: &str) -> Result<IpAddr, Error> {
        match *self {}
    }

    pub(super) fn listen(&self, _network: &str, _address: SocketAddr) -> io::Result<TcpListener> {
        match *self {}
    }

    pub(super) fn addresses(&self, _container: &str) -> Vec<IpAddr> {
        match *self {}
    }

    pub(super) fn inspect(&self, _container: &str) -> Result<Status, Error> {
        match *self {}
    }

    pub(super) fn ports(&self, _container: &str, _port: u16) -> Result<Vec<SocketAddr>, Error> {
        match *self {}
    }

    pub(super) async fn logs(&self, _container: &str, _tail: Option<usize>) -> Result<Vec<u8>, Error> {
        match *self {}
    }

    pub(super) async fn exec_attached(
        &self,
        _container: &str,
        _command: &[String],
    ) -> Result<Attached, Error> {
        match *self {}
    }

    pub(super) async fn exec(
        &self,
        _container: &str,
        _command: &[String],
        _limit: Duration,
    ) -> Result<Option<i64>, Error> {
        match *self {}
    }

    pub(super) async fn labelled(&self, _label: &str) -> Result<Vec<Object>, Error> {
        match *self {}
    }

    pub(super) async fn remove(&self, _kind: Kind, _id: &str) -> Result<(), Error> {
        match *self {}
    }
}
