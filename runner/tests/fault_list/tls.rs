//! Certificates that the trials serve: a good one, an expired one, and one that nobody signed.
//! `certs/make.sh` makes them anew.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

/// The authority that the trials' programs trust.
pub const AUTHORITY: &str = include_str!("certs/ca.pem");

const KEY: &str = include_str!("certs/key.pem");

/// What a TLS server shows.
#[derive(Clone)]
pub struct Identity(Arc<ServerConfig>);

impl Identity {
    /// For `localhost`, `127.0.0.1` and `models.test`, signed by the authority.
    pub fn good() -> Self {
        Self::of(include_str!("certs/good.pem"))
    }

    /// Signed by the authority, and over since 2020.
    pub fn expired() -> Self {
        Self::of(include_str!("certs/expired.pem"))
    }

    /// Signed by itself.
    pub fn stranger() -> Self {
        Self::of(include_str!("certs/stranger.pem"))
    }

    fn of(certificate: &str) -> Self {
        let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
        let chain = chain.collect::<Result<_, _>>().expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("the key of the certificate");
        Self(Arc::new(config))
    }

    pub fn accept(&self) -> ServerConnection {
        ServerConnection::new(Arc::clone(&self.0)).expect("a TLS connection")
    }
}
