//! Linking by a code that the user types on the phone.

use super::{Request, StanzaError, iq, read, word as w};
use crate::binary::{NodeRef, Writer};
use crate::types::Jid;
use bytes::Bytes;
use smol_str::SmolStr;

/// Asks to link by code. The server answers with a reference, which the phone repeats.
#[derive(Clone, PartialEq, Eq)]
pub struct CompanionHello {
    /// The account to link with, by phone number.
    pub jid: Jid,
    /// Whether the phone shows a notification.
    pub notify_phone: bool,
    /// Salt, initial counter and this side's ephemeral key, enciphered with the code.
    pub wrapped_ephemeral: [u8; 80],
    /// This device's Noise key.
    pub noise_key: [u8; 32],
    /// What kind of companion this is; as in the QR text.
    pub platform_id: SmolStr,
    /// What the phone shows: `Browser (OS)`.
    pub platform_display: SmolStr,
}

impl Request for CompanionHello {
    /// The reference.
    type Reply = Bytes;

    fn write(&self, id: &str, out: &mut Writer) {
        iq::open(out, id, w::SET, w::MD);
        out.open(w::LINK_CODE_COMPANION_REG);
        out.jid(w::JID, &self.jid);
        out.word(w::STAGE, w::COMPANION_HELLO);
        out.word(w::SHOULD_SHOW_PUSH_NOTIFICATION, if self.notify_phone { w::TRUE } else { w::FALSE });
        out.leaf(w::LINK_CODE_PAIRING_WRAPPED_COMPANION_EPHEMERAL_PUB, &self.wrapped_ephemeral);
        out.leaf(w::COMPANION_SERVER_AUTH_KEY_PUB, &self.noise_key);
        out.leaf(w::COMPANION_PLATFORM_ID, self.platform_id.as_bytes());
        out.leaf(w::COMPANION_PLATFORM_DISPLAY, self.platform_display.as_bytes());
        // The web client sends one zero byte; the server does not look at it.
        out.leaf(w::LINK_CODE_PAIRING_NONCE, &[0]);
        out.close();
        out.close();
    }

    fn parse(answer: NodeRef<'_>) -> Result<Bytes, StanzaError> {
        let registration = read::need_child(answer, w::LINK_CODE_COMPANION_REG)?;
        read::need_child_bytes(registration, w::LINK_CODE_PAIRING_REF)
    }
}

/// Hands the keys to the phone. The secret derived from them must be durable before.
#[derive(Clone, PartialEq, Eq)]
pub struct CompanionFinish {
    /// The account to link with, by phone number.
    pub jid: Jid,
    /// Both identity keys and a random number, enciphered for the phone.
    pub wrapped_bundle: Bytes,
    /// This device's identity key.
    pub identity: [u8; 32],
    /// The reference from the server.
    pub reference: Bytes,
}

impl Request for CompanionFinish {
    type Reply = ();

    fn write(&self, id: &str, out: &mut Writer) {
        iq::open(out, id, w::SET, w::MD);
        out.open(w::LINK_CODE_COMPANION_REG);
        out.jid(w::JID, &self.jid);
        out.word(w::STAGE, w::COMPANION_FINISH);
        out.leaf(w::LINK_CODE_PAIRING_WRAPPED_KEY_BUNDLE, &self.wrapped_bundle);
        out.leaf(w::COMPANION_IDENTITY_PUBLIC, &self.identity);
        out.leaf(w::LINK_CODE_PAIRING_REF, &self.reference);
        out.close();
        out.close();
    }

    fn parse(_: NodeRef<'_>) -> Result<(), StanzaError> {
        Ok(())
    }
}

/// What the server forwards from the phone, or wants, while a code is shown.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkCodeNotice {
    /// The user has typed a code; whether the right one shows only later.
    PrimaryHello {
        /// Salt, initial counter and the phone's ephemeral key, enciphered with the code.
        wrapped_ephemeral: [u8; 80],
        /// The phone's identity key.
        identity: [u8; 32],
        /// The reference from the server.
        reference: Bytes,
    },
    /// The code is spent; make another.
    RefreshCode {
        /// Whether the user has to ask for it.
        by_hand: bool,
        /// The reference from the server.
        reference: Bytes,
    },
    /// A stage this version does not know, or a word of the phone without a key.
    Other {
        /// The server's word.
        stage: SmolStr,
    },
}

impl LinkCodeNotice {
    /// Reads the child of a notification of that type.
    pub(super) fn parse(notification: NodeRef<'_>) -> Result<Self, StanzaError> {
        let node = read::need_child(notification, w::LINK_CODE_COMPANION_REG)?;
        // Without a key it only announces that a passkey will be asked for.
        let has_key = node.child(w::LINK_CODE_PAIRING_WRAPPED_PRIMARY_EPHEMERAL_PUB).is_some();
        if node.has(w::STAGE, w::PRIMARY_HELLO) && has_key {
            return Ok(Self::PrimaryHello {
                wrapped_ephemeral: read::need_child_array(node, w::LINK_CODE_PAIRING_WRAPPED_PRIMARY_EPHEMERAL_PUB)?,
                identity: read::need_child_array(node, w::PRIMARY_IDENTITY_PUB)?,
                reference: read::need_child_bytes(node, w::LINK_CODE_PAIRING_REF)?,
            });
        }
        if node.has(w::STAGE, w::REFRESH_CODE) {
            let reference = read::need_child_bytes(node, w::LINK_CODE_PAIRING_REF)?;
            return Ok(Self::RefreshCode { by_hand: node.has(w::FORCE_MANUAL_REFRESH, w::TRUE), reference });
        }
        Ok(Self::Other { stage: read::text(node, w::STAGE).unwrap_or_default() })
    }
}

super::opaque_debug!(CompanionHello, CompanionFinish, LinkCodeNotice);
