//! TLS to a broker: one authority is trusted, the one of the scenario, and none of this machine's. It reads no files.

use std::io;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::link::Stream;

/// Why an authority's certificate is of no use.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not PEM, or not a certificate.
    #[error("it is no PEM file with certificates: {0}")]
    Unreadable(String),
    /// PEM without a certificate in it.
    #[error("it has no certificate in it")]
    Empty,
    /// The broker's node cannot be the name in a certificate.
    #[error("`{0}` cannot be a host name in a certificate")]
    Name(String),
}

/// What a client checks the broker's certificate against; cheap to clone.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tls({:?})", self.name)
    }
}

impl Tls {
    /// Trusts the certificates in this PEM text for a broker of this name: the one by which containers reach it.
    pub fn new(pem: &[u8], name: &str) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|e| TlsError::Unreadable(format!("{e:?}")))?;
            roots.add(certificate).map_err(|e| TlsError::Unreadable(e.to_string()))?;
        }
        if roots.is_empty() {
            return Err(TlsError::Empty);
        }
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_: InvalidDnsNameError| TlsError::Name(name.to_owned()))?;
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    /// Does the handshake on a connection that is open.
    pub(super) async fn around(&self, stream: Stream) -> io::Result<TlsStream<Stream>> {
        self.connector.connect(self.name.clone(), stream).await
    }
}

/// A connection to a broker, in the clear or not.
#[derive(Debug)]
pub(super) enum Transport {
    /// In the clear.
    Plain(Stream),
    /// Encrypted; on the heap, because most are not.
    Tls(Box<TlsStream<Stream>>),
}

crate::either::passes_through!(Transport { Plain, Tls });
