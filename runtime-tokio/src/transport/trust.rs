//! Which certificates a TLS connection may lead to.

use std::sync::Arc;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The certificates that are trusted: the public web's roots, and any that the application adds.
///
/// There is deliberately no way to switch verification off: add the relay's own certificate instead.
#[derive(Clone)]
pub struct Trust {
    config: Arc<ClientConfig>,
}

/// Why certificates could not be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The text is not PEM.
    #[error("the text is not PEM: {0}")]
    NotPem(String),
    /// The PEM text holds no certificate.
    #[error("the PEM text holds no certificate")]
    Empty,
    /// A certificate cannot serve as a root.
    #[error("a certificate cannot be trusted: {0}")]
    Unusable(String),
    /// The TLS library refused its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Library(String),
}

impl Trust {
    /// Trusts the public web's roots and every certificate in `pems`.
    ///
    /// # Errors
    /// [`TrustError`] says what is wrong with a text of `pems`.
    pub fn with_pems<'a>(pems: impl IntoIterator<Item = &'a str>) -> Result<Self, TrustError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for pem in pems {
            let mut found = false;
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|error| TrustError::NotPem(error.to_string()))?;
                roots.add(certificate).map_err(|error| TrustError::Unusable(error.to_string()))?;
                found = true;
            }
            if !found {
                return Err(TrustError::Empty);
            }
        }
        // The provider is named, so that another crate's choice of a process-wide default cannot break ours.
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TrustError::Library(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config) })
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trust(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_a_certificate_is_refused() {
        assert_eq!(Trust::with_pems(["hello"]).unwrap_err(), TrustError::Empty);
        let cut = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
        assert!(matches!(Trust::with_pems([cut]).unwrap_err(), TrustError::NotPem(_)));
        let no_certificate = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        assert!(matches!(Trust::with_pems([no_certificate]).unwrap_err(), TrustError::Unusable(_)));
    }

    #[test]
    fn public_roots_alone_are_enough() {
        assert!(Trust::with_pems([]).is_ok());
    }
}
