//! Live handshakes of unmodified peers, replayed by our responder.

use super::handshakes::{check_keys, pattern};
use super::{bytes, hex, pair, public, root, secret, text};
use crate::suite::Outcome;
use crate::wire::same;
use whatsio_core::crypto::symmetric::Gcm;
use whatsio_core::noise::cert;
use whatsio_core::noise::pattern::Pattern;
use whatsio_core::noise::responder::{Accepted, Answer, Responder, Resumption};
use whatsio_core::pairing::payload;
use whatsio_fixtures::noise::{Recorded, TransportFrame};

pub(super) fn check(vector: &Recorded) -> Outcome {
    let mut accepted = replay(vector)?;
    same("pattern", &accepted.pattern, &pattern(&vector.pattern)?)?;
    same("client's key", &accepted.client, &public(&vector.client_static_pub)?)?;
    same("payload", &hex(&accepted.payload), &vector.client_payload)?;
    same("handshake hash", &hex(&accepted.hash), &vector.handshake_hash)?;
    check_keys(&mut accepted.transport, &vector.client_to_server_key, &vector.server_to_client_key)?;
    check_chain(vector)?;
    payload::read(&accepted.payload).map_err(|error| format!("payload: {error}"))?;
    vector.frames.iter().try_for_each(|frame| check_frame(vector, frame))
}

fn replay(vector: &Recorded) -> Result<Accepted, String> {
    let server = pair(&vector.server_static_priv)?;
    let ephemeral = pair(&vector.server_ephemeral_priv)?;
    let resumption = match pattern(&vector.pattern)? {
        Pattern::XxFallback => Resumption::Refuse,
        Pattern::Xx | Pattern::Ik => Resumption::Accept,
    };
    let responder = Responder::new(server, ephemeral, bytes(&vector.cert_chain));
    match (responder.receive(&vector.client_hello, resumption).map_err(text)?, &vector.client_finish) {
        (Answer::Done { reply, accepted }, None) => {
            same("ServerHello", &hex(&reply), &vector.server_hello)?;
            Ok(*accepted)
        }
        (Answer::Continue { reply, next }, Some(finish)) => {
            same("ServerHello", &hex(&reply), &vector.server_hello)?;
            next.receive(finish).map_err(text)
        }
        _ => Err("another answer than the recorded one".into()),
    }
}

/// The recordings do not say when they were made, so the date is taken from the chain itself.
fn check_chain(vector: &Recorded) -> Outcome {
    let key = pair(&vector.server_static_priv)?.public;
    let trust = root(public(&vector.root_pub)?);
    let validity = match cert::check(&vector.cert_chain, &trust, &key, 0) {
        Ok(certificate) => certificate.validity,
        Err(cert::CertError::Clock(validity)) => validity,
        Err(error) => return Err(format!("chain: {error}")),
    };
    let certificate = cert::check(&vector.cert_chain, &trust, &key, validity.not_after);
    same("certified key", &certificate.map(|certificate| certificate.key), &Ok(key))
}

/// Some frames are left out of a recording, so each is opened by its own counter.
fn check_frame(vector: &Recorded, frame: &TransportFrame) -> Outcome {
    let key = match frame.direction.as_str() {
        "client_to_server" => secret(&vector.client_to_server_key)?,
        "server_to_client" => secret(&vector.server_to_client_key)?,
        other => return Err(format!("unknown direction {other}")),
    };
    let mut nonce = [0; 12];
    for (to, from) in nonce.iter_mut().skip(8).zip(frame.counter.to_be_bytes()) {
        *to = from;
    }
    let cipher = Gcm::new(key.expose());
    let opened = cipher.open(&nonce, &[], &frame.ciphertext).map_err(|error| error.to_string())?;
    same("plaintext", &hex(&opened), &frame.plaintext)?;
    let sealed = cipher.seal(&nonce, &[], &frame.plaintext).map_err(|error| error.to_string())?;
    same("ciphertext", &hex(&sealed), &frame.ciphertext)
}
