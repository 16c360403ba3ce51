//! The server's certificates: an intermediate signed by a root, a leaf signed by the intermediate, the leaf holding the
//! server's static key. Checks strictly, which the peers do not all do. Knows neither the clock nor which root is right.

use crate::crypto::{KeyPair, PublicKey, Rng, Signature};
use bytes::Bytes;
use prost::Message;
use thiserror::Error;
use whatsio_proto::cert::CertChain;
use whatsio_proto::cert::cert_chain::NoiseCertificate;
use whatsio_proto::cert::cert_chain::noise_certificate::Details;

/// The key every chain must lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootOfTrust {
    /// Public key that signs intermediates.
    pub key: PublicKey,
    /// Serial that intermediates name as their issuer.
    pub serial: u32,
}

/// A server whose chain was checked: what is worth remembering for the next connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerCertificate {
    /// The server's static key.
    pub key: PublicKey,
    /// When both certificates are valid.
    pub validity: Validity,
}

/// A span of Unix seconds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First second.
    pub not_before: u64,
    /// Last second.
    pub not_after: u64,
}

/// Why a chain is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CertError {
    /// A certificate is missing, or a part of it is missing, does not parse or has the wrong length.
    #[error("chain is malformed: {0}")]
    Malformed(&'static str),
    /// A certificate names another issuer than the one above it.
    #[error("issuer serial does not match")]
    Issuer,
    /// A signature does not verify.
    #[error("signature does not verify")]
    Signature,
    /// The leaf is for another key than the one the server used.
    #[error("leaf is for another key")]
    Key,
    /// The date is outside of the chain's validity. More often than an expired chain this is a wrong local clock, so it
    /// is told apart from everything else.
    #[error("not valid at this date; is the clock right?")]
    Clock(Validity),
}

impl Validity {
    /// Whether `seconds` lies within.
    #[must_use]
    pub const fn contains(&self, seconds: u64) -> bool {
        self.not_before <= seconds && seconds <= self.not_after
    }

    fn intersection(self, other: Self) -> Self {
        Self { not_before: self.not_before.max(other.not_before), not_after: self.not_after.min(other.not_after) }
    }
}

struct Certificate {
    details: Bytes,
    signature: Signature,
    serial: u32,
    issuer: u32,
    key: PublicKey,
    validity: Validity,
}

/// Checks `chain` for a server that used `server_key`, at `unix_seconds`. Fails with the first reason that applies, the
/// date last: whoever sees `Clock` knows that everything else was right.
pub fn check(
    chain: &[u8],
    root: &RootOfTrust,
    server_key: &PublicKey,
    unix_seconds: u64,
) -> Result<ServerCertificate, CertError> {
    let chain = CertChain::decode(chain).map_err(|_| CertError::Malformed("chain"))?;
    let leaf = Certificate::read(chain.leaf, "leaf")?;
    let intermediate = Certificate::read(chain.intermediate, "intermediate")?;
    if intermediate.issuer != root.serial || leaf.issuer != intermediate.serial {
        return Err(CertError::Issuer);
    }
    intermediate.verify(&root.key)?;
    leaf.verify(&intermediate.key)?;
    if leaf.key != *server_key {
        return Err(CertError::Key);
    }
    let validity = leaf.validity.intersection(intermediate.validity);
    if !validity.contains(unix_seconds) {
        return Err(CertError::Clock(validity));
    }
    Ok(ServerCertificate { key: leaf.key, validity })
}

impl Certificate {
    fn read(certificate: Option<NoiseCertificate>, which: &'static str) -> Result<Self, CertError> {
        let malformed = CertError::Malformed(which);
        let certificate = certificate.ok_or(malformed)?;
        let details = certificate.details.ok_or(malformed)?;
        let signature = certificate.signature.ok_or(malformed)?;
        let fields = Details::decode(details.as_ref()).map_err(|_| malformed)?;
        Ok(Self {
            signature: Signature::from_slice(&signature).map_err(|_| malformed)?,
            serial: fields.serial.unwrap_or_default(),
            issuer: fields.issuer_serial.unwrap_or_default(),
            key: PublicKey::from_slice(&fields.key.ok_or(malformed)?).map_err(|_| malformed)?,
            validity: Validity {
                not_before: fields.not_before.unwrap_or_default(),
                not_after: fields.not_after.unwrap_or_default(),
            },
            details,
        })
    }

    fn verify(&self, issuer: &PublicKey) -> Result<(), CertError> {
        issuer.verify(&[&self.details], &self.signature).map_err(|_| CertError::Signature)
    }
}

/// What a server needs to issue a chain for its static key.
pub struct Issuer<'k> {
    /// Root key pair; its public half is what clients are configured with.
    pub root: &'k KeyPair,
    /// Serial of the root, 0 in production.
    pub root_serial: u32,
    /// Intermediate key pair.
    pub intermediate: &'k KeyPair,
    /// Serial of the intermediate; not 0.
    pub intermediate_serial: u32,
    /// Serial of the leaf.
    pub leaf_serial: u32,
    /// Validity of both certificates.
    pub validity: Validity,
}

impl Issuer<'_> {
    /// The chain for `server_key`, encoded as the handshake carries it.
    #[must_use]
    pub fn issue(&self, server_key: &PublicKey, rng: &mut Rng) -> Bytes {
        let intermediate = (self.intermediate_serial, self.root_serial, &self.intermediate.public);
        let leaf = (self.leaf_serial, self.intermediate_serial, server_key);
        let chain = CertChain {
            leaf: Some(self.sign(leaf, self.intermediate, rng)),
            intermediate: Some(self.sign(intermediate, self.root, rng)),
        };
        chain.encode_to_vec().into()
    }

    fn sign(&self, subject: (u32, u32, &PublicKey), issuer: &KeyPair, rng: &mut Rng) -> NoiseCertificate {
        let (serial, issuer_serial, key) = subject;
        let details = Details {
            serial: Some(serial),
            issuer_serial: Some(issuer_serial),
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            not_before: Some(self.validity.not_before),
            not_after: Some(self.validity.not_after),
        };
        let details = details.encode_to_vec();
        let signature = issuer.sign(&[&details], &rng.bytes());
        NoiseCertificate {
            details: Some(details.into()),
            signature: Some(Bytes::copy_from_slice(signature.as_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Seed;

    #[test]
    fn issued_chain_passes_the_strict_check_within_its_validity_only() {
        let mut rng = Rng::new(&Seed::new([1; 32]));
        let (root, intermediate) = (KeyPair::generate(&mut rng), KeyPair::generate(&mut rng));
        let server = KeyPair::generate(&mut rng).public;
        let validity = Validity { not_before: 1000, not_after: 2000 };
        let issuer = Issuer {
            root: &root,
            root_serial: 0,
            intermediate: &intermediate,
            intermediate_serial: 7,
            leaf_serial: 9,
            validity,
        };
        let chain = issuer.issue(&server, &mut rng);
        let trust = RootOfTrust { key: root.public, serial: 0 };
        for seconds in [1000, 1500, 2000] {
            assert_eq!(check(&chain, &trust, &server, seconds), Ok(ServerCertificate { key: server, validity }));
        }
        for seconds in [0, 999, 2001] {
            assert_eq!(check(&chain, &trust, &server, seconds), Err(CertError::Clock(validity)));
        }
        assert_eq!(check(&chain, &trust, &root.public, 1500), Err(CertError::Key));
        let other_root = RootOfTrust { key: intermediate.public, serial: 0 };
        assert_eq!(check(&chain, &other_root, &server, 1500), Err(CertError::Signature));
        let other_serial = RootOfTrust { key: root.public, serial: 1 };
        assert_eq!(check(&chain, &other_serial, &server, 1500), Err(CertError::Issuer));
    }
}
