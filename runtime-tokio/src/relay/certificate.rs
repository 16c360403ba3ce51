//! The relay's own TLS certificate: made at start, never stored, exported as PEM so that clients can trust it.

use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A fresh certificate and what serves it.
pub(super) struct OwnCertificate {
    pub(super) pem: String,
    pub(super) acceptor: TlsAcceptor,
}

/// Makes a self-signed certificate for the loopback names, the production service's name (so that clients with a fixed
/// name can be pointed here by a hosts entry) and `bound`.
///
/// Fails with the TLS library's words.
pub(super) fn make(bound: IpAddr) -> Result<OwnCertificate, String> {
    let names = ["localhost", "web.whatsapp.com"].map(str::to_owned).to_vec();
    let mut params = CertificateParams::new(names).map_err(|error| error.to_string())?;
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    if !bound.is_unspecified() && !addresses.contains(&bound) {
        addresses.push(bound);
    }
    params.subject_alt_names.extend(addresses.into_iter().map(SanType::IpAddress));
    params.distinguished_name.push(DnType::CommonName, "whatsio relay");
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    let certificate = params.self_signed(&key).map_err(|error| error.to_string())?;

    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(OwnCertificate { pem: certificate.pem(), acceptor: TlsAcceptor::from(Arc::new(config)) })
}
