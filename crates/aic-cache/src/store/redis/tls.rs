use ::redis::{Client, ConnectionInfo, RedisResult, cluster::ClusterClientBuilder};
#[cfg(feature = "rustls")]
use ::redis::{ConnectionAddr, TlsCertificates};

/// Whose certificates are believed in, where the address asks for TLS.
#[derive(Clone, Default)]
pub(super) struct Trust {
    /// Certificates of authorities in PEM, in place of those that come with the program.
    #[cfg(feature = "rustls")]
    pub(super) ca_certificates: Option<Vec<u8>>,
}

#[cfg(feature = "rustls")]
impl Trust {
    pub(super) fn client(&self, info: ConnectionInfo) -> RedisResult<Client> {
        match self.certificates_for(&info) {
            Some(certificates) => Client::build_with_tls(info, certificates),
            None => Client::open(info),
        }
    }

    pub(super) fn cluster(&self, nodes: Vec<ConnectionInfo>) -> ClusterClientBuilder {
        let certificates = nodes.first().and_then(|node| self.certificates_for(node));
        let client = ClusterClientBuilder::new(nodes);
        match certificates {
            Some(certificates) => client.certs(certificates),
            None => client,
        }
    }

    /// What to believe instead of the usual, for a server that is spoken to over TLS.
    fn certificates_for(&self, server: &ConnectionInfo) -> Option<TlsCertificates> {
        let ConnectionAddr::TcpTls { .. } = server.addr() else { return None };
        provide_cryptography();
        let root_cert = Some(self.ca_certificates.clone()?);
        Some(TlsCertificates { client_tls: None, root_cert })
    }
}

/// The client panics unless the process has a provider. One that the program chose before is left in place.
#[cfg(feature = "rustls")]
fn provide_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails only if another thread was faster, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}

#[cfg(not(feature = "rustls"))]
impl Trust {
    pub(super) fn client(&self, info: ConnectionInfo) -> RedisResult<Client> {
        Client::open(info)
    }

    pub(super) fn cluster(&self, nodes: Vec<ConnectionInfo>) -> ClusterClientBuilder {
        ClusterClientBuilder::new(nodes)
    }
}
