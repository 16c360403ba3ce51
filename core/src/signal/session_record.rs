//! The record of a session: version 1, fixed layout, the rare parts last. Knows nothing of when it is written.

use super::chain::{ChainKey, RootKey};
use super::record::{Reader, put_key_pair};
use super::session::{Pending, RECEIVING_LIMIT, ReceivingChain, Sending, SendingChain, Session};
use super::{RecordError, RegistrationId};

impl Session {
    /// The record: 281 bytes with one receiving chain and 70 more with each older one; 100 less while our half of a turn is
    /// due, 8 more until the peer answers. Holds private keys.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_len());
        self.encode_onto(&mut out);
        out
    }

    /// Reads a record of any version written so far. Fails with `UnknownVersion` or `Damaged`.
    pub fn decode(record: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::open(record, VERSION)?;
        let session = Self::read(&mut reader)?;
        reader.close().map(|()| session)
    }

    /// The length of the record.
    pub(super) fn encoded_len(&self) -> usize {
        let sending = if self.is_turn_due() { 0 } else { SENDING_LEN };
        let pending = if self.pending.is_some() { PENDING_LEN } else { 0 };
        FIXED_LEN + sending + pending + RECEIVING_LEN * self.receiving.len()
    }

    /// Appends the record.
    pub(super) fn encode_onto(&self, out: &mut Vec<u8>) {
        let (sending, pending) = (!self.is_turn_due(), self.pending.is_some());
        out.push(VERSION);
        out.push(if sending { HAS_SENDING } else { 0 } | if pending { HAS_PENDING } else { 0 });
        out.extend_from_slice(self.remote_identity.as_bytes());
        out.extend_from_slice(self.base_key.as_bytes());
        out.extend_from_slice(self.root.expose());
        out.extend_from_slice(&self.own_registration_id.0.to_le_bytes());
        out.extend_from_slice(&self.remote_registration_id.0.to_le_bytes());
        out.extend_from_slice(&self.previous_counter.to_le_bytes());
        if let Sending::Chain(chain) = &self.sending {
            put_key_pair(out, &chain.ratchet);
            out.extend_from_slice(chain.key.expose());
            out.extend_from_slice(&chain.index.to_le_bytes());
        }
        if let Some(pending) = self.pending {
            out.extend_from_slice(&pending.signed_prekey.number().to_le_bytes());
            // 0 is no prekey's number.
            out.extend_from_slice(&pending.prekey.map_or(0, |id| id.number()).to_le_bytes());
        }
        out.push(u8::try_from(self.receiving.len()).unwrap_or(u8::MAX));
        for chain in &self.receiving {
            out.extend_from_slice(chain.ratchet.as_bytes());
            out.extend_from_slice(chain.key.expose());
            out.extend_from_slice(&chain.index.to_le_bytes());
            out.extend_from_slice(&chain.skipped.to_le_bytes());
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, RecordError> {
        let flags = reader.u8()?;
        if flags & !(HAS_SENDING | HAS_PENDING) != 0 {
            return Err(RecordError::Damaged);
        }
        let remote_identity = reader.public_key()?;
        let base_key = reader.public_key()?;
        let root = RootKey::new(reader.array()?);
        let own_registration_id = RegistrationId(reader.u32()?);
        let remote_registration_id = RegistrationId(reader.u32()?);
        let previous_counter = reader.u32()?;
        let sending = if flags & HAS_SENDING == 0 {
            Sending::Due
        } else {
            let ratchet = reader.key_pair()?;
            Sending::Chain(SendingChain { ratchet, key: ChainKey::new(reader.array()?), index: reader.u32()? })
        };
        let pending = if flags & HAS_PENDING == 0 { None } else { Some(read_pending(reader)?) };
        let count = usize::from(reader.u8()?);
        if count > RECEIVING_LIMIT || (count == 0 && sending == Sending::Due) {
            return Err(RecordError::Damaged);
        }
        let mut receiving = Vec::with_capacity(count);
        for _ in 0..count {
            receiving.push(ReceivingChain {
                ratchet: reader.public_key()?,
                key: ChainKey::new(reader.array()?),
                index: reader.u32()?,
                skipped: reader.u16()?,
            });
        }
        Ok(Self {
            remote_identity,
            base_key,
            root,
            own_registration_id,
            remote_registration_id,
            previous_counter,
            sending,
            receiving,
            pending,
        })
    }
}

fn read_pending(reader: &mut Reader<'_>) -> Result<Pending, RecordError> {
    let signed_prekey = reader.signed_prekey_id()?;
    let prekey = match reader.u32()? {
        0 => None,
        number => Some(super::PreKeyId::new(number).ok_or(RecordError::Damaged)?),
    };
    Ok(Pending { signed_prekey, prekey })
}

const VERSION: u8 = 1;
const HAS_SENDING: u8 = 1;
const HAS_PENDING: u8 = 2;
/// Version, flags, three keys, two ids, a counter, the number of receiving chains.
const FIXED_LEN: usize = 2 + 3 * 32 + 3 * 4 + 1;
const SENDING_LEN: usize = 3 * 32 + 4;
const PENDING_LEN: usize = 2 * 4;
const RECEIVING_LEN: usize = 2 * 32 + 4 + 2;
