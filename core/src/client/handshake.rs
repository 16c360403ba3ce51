//! From an open socket to an encrypted one.

use super::socket::{HANDSHAKE_MS, Phase};
use super::{Client, Job};
use crate::api::{DisconnectReason, Misuse, Output};
use crate::crypto::curve::{KeyPair, PublicKey};
use crate::noise::{self, AwaitingServerHello, Preamble, RootOfTrust};
use crate::state::account::ServerKey;

impl Client {
    pub(super) fn opened(&mut self) -> Result<(), Misuse> {
        if matches!(self.socket.phase, Phase::Closing) {
            // The caller changed its mind while the connection was being made.
            return Ok(());
        }
        if !matches!(self.socket.phase, Phase::Opening) {
            return Err(Misuse::WrongState("no connection was asked for"));
        }
        let Some(opening) = self.opening.take() else { return Err(Misuse::WrongState("no connection was asked for")) };
        self.announced = opening.version;
        self.clocks.socket = None;
        let ephemeral = KeyPair::generate(&mut self.rng);
        let resumed = opening.server_key.is_some();
        let started = match &opening.server_key {
            Some(known) => AwaitingServerHello::start_ik(opening.noise, ephemeral, *known, &opening.payload),
            None => Ok(AwaitingServerHello::start_xx(opening.noise, ephemeral)),
        };
        let Ok((handshake, hello)) = started else {
            self.end(DisconnectReason::Handshake);
            return Ok(());
        };
        let preamble = Preamble { routing: Some(opening.routing_info) };
        let (Ok(mut first), Ok(hello)) = (preamble.write(), noise::frame::framed(&hello)) else {
            self.end(DisconnectReason::Handshake);
            return Ok(());
        };
        first.extend_from_slice(&hello);
        self.outputs.push_back(Output::Frame(first.freeze()));
        let deadline = self.now.mono.saturating_add(HANDSHAKE_MS);
        self.socket.phase =
            Phase::AwaitingServerHello { handshake: Box::new(handshake), payload: opening.payload, resumed, deadline };
        Ok(())
    }

    /// Takes the server's handshake message.
    pub(super) fn server_hello(&mut self, frame: &[u8]) {
        let deadline = self.now.mono.saturating_add(HANDSHAKE_MS);
        let phase = std::mem::replace(&mut self.socket.phase, Phase::AwaitingVerdict { deadline });
        let Phase::AwaitingServerHello { handshake, payload, resumed, .. } = phase else { return };
        let root = RootOfTrust {
            key: PublicKey::from_bytes(self.config.profile.root_key),
            serial: self.config.profile.root_serial,
        };
        match handshake.receive(frame, &root, self.now.unix_seconds(), &payload) {
            Ok(established) => {
                if let Some(finish) = &established.reply {
                    let Ok(framed) = noise::frame::framed(finish) else { return self.end(DisconnectReason::Handshake) };
                    self.outputs.push_back(Output::Frame(framed));
                }
                if let Some(server) = established.server {
                    self.enqueue(Job::Remember(Some(ServerKey {
                        key: *server.key.as_bytes(),
                        not_before: server.validity.not_before,
                        not_after: server.validity.not_after,
                    })));
                }
                self.socket.secure(established.transport);
                self.timers.heard(self.now.mono, &mut self.rng);
            }
            Err(error) => {
                if resumed {
                    self.enqueue(Job::Remember(None));
                }
                self.end(match error {
                    noise::NoiseError::Certificate(_) => DisconnectReason::CertificateNotTrusted,
                    _ => DisconnectReason::Handshake,
                });
            }
        }
    }
}
