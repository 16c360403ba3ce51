//! The transport after the handshake: one key and one counter per direction, everything in place. Order is the cipher:
//! frames must be sent in the order they were sealed and opened in the order they came.

use crate::crypto::symmetric::{GCM_TAG, Gcm};
use crate::noise::NoiseError;
use crate::noise::frame::{FRAME_LIMIT, LENGTH, length_of};
use bytes::{Bytes, BytesMut};

/// Both directions of an established connection.
pub struct Transport {
    /// Our direction.
    pub sender: Sender,
    /// The other side's direction.
    pub receiver: Receiver,
}

/// Seals frames.
pub struct Sender(Direction);

/// Opens frames.
pub struct Receiver(Direction);

struct Direction {
    cipher: Gcm,
    counter: Option<u32>,
}

impl Transport {
    /// A transport with fresh counters.
    #[must_use]
    pub fn new(send_key: &[u8; 32], receive_key: &[u8; 32]) -> Self {
        Self { sender: Sender::new(send_key), receiver: Receiver::new(receive_key) }
    }

    /// See [`Sender::seal`].
    pub fn seal(&mut self, frame: BytesMut) -> Result<Bytes, NoiseError> {
        self.sender.seal(frame)
    }

    /// See [`Receiver::open`].
    pub fn open(&mut self, payload: BytesMut) -> Result<Bytes, NoiseError> {
        self.receiver.open(payload)
    }
}

impl Sender {
    /// A direction with a fresh counter.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self::at(key, 0)
    }

    /// A direction whose next frame has number `counter`: for replaying recordings, since a live connection always
    /// counts from 0.
    #[must_use]
    pub fn at(key: &[u8; 32], counter: u32) -> Self {
        Self(Direction { cipher: Gcm::new(key), counter: Some(counter) })
    }

    /// Enciphers `frame`, which is [`LENGTH`] bytes of room and then the plaintext, and fills in the length: the result
    /// goes to the socket. No copy if 16 bytes of capacity are free. Takes a counter only on success; fails with
    /// `NoRoomForLength`, `TooLong` or `CounterExhausted`.
    pub fn seal(&mut self, mut frame: BytesMut) -> Result<Bytes, NoiseError> {
        let plain = frame.len().checked_sub(LENGTH).ok_or(NoiseError::NoRoomForLength)?;
        let sealed = plain.saturating_add(GCM_TAG);
        let length = length_of(sealed).map_err(|_| NoiseError::TooLong(sealed))?;
        let nonce = self.0.nonce()?;
        frame.reserve(GCM_TAG);
        let Some((prefix, body)) = frame.split_first_chunk_mut::<LENGTH>() else {
            return Err(NoiseError::NoRoomForLength);
        };
        *prefix = length;
        let tag = self.0.cipher.seal_detached(&nonce, &[], body).map_err(|_| NoiseError::TooLong(sealed))?;
        frame.extend_from_slice(&tag);
        self.0.advance();
        Ok(frame.freeze())
    }
}

impl Receiver {
    /// A direction with a fresh counter.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self::at(key, 0)
    }

    /// A direction whose next frame has number `counter`: for replaying recordings, since a live connection always
    /// counts from 0.
    #[must_use]
    pub fn at(key: &[u8; 32], counter: u32) -> Self {
        Self(Direction { cipher: Gcm::new(key), counter: Some(counter) })
    }

    /// Deciphers a frame without its length, in place. Fails with `Transport`, `TooLong` or `CounterExhausted`; then the
    /// stream cannot be repaired, since nobody can say whether a frame was changed, lost or inserted.
    pub fn open(&mut self, mut payload: BytesMut) -> Result<Bytes, NoiseError> {
        if payload.len() > FRAME_LIMIT {
            return Err(NoiseError::TooLong(payload.len()));
        }
        let nonce = self.0.nonce()?;
        self.0.cipher.open_in_place(&nonce, &[], &mut payload).map_err(|_| NoiseError::Transport)?;
        self.0.advance();
        Ok(payload.freeze())
    }
}

impl Direction {
    fn nonce(&self) -> Result<[u8; 12], NoiseError> {
        self.counter.map(nonce).ok_or(NoiseError::CounterExhausted)
    }

    const fn advance(&mut self) {
        self.counter = match self.counter {
            Some(counter) => counter.checked_add(1),
            None => None,
        };
    }
}

/// Eight zero bytes and the counter, big-endian. (The Noise book counts in the last eight bytes, little-endian only for
/// ChaCha; the difference shows after 2^32 messages.)
pub(super) const fn nonce(counter: u32) -> [u8; 12] {
    let [a, b, c, d] = counter.to_be_bytes();
    [0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Sender, Receiver) {
        (Sender::new(&[7; 32]), Receiver::new(&[7; 32]))
    }

    fn seal(sender: &mut Sender, plain: &[u8]) -> BytesMut {
        let mut frame = BytesMut::zeroed(LENGTH);
        frame.extend_from_slice(plain);
        let mut sealed = BytesMut::from(sender.seal(frame).unwrap().as_ref());
        assert_eq!(sealed.split_to(LENGTH)[..], length_of(sealed.len()).unwrap());
        sealed
    }

    #[test]
    fn frames_open_in_order_and_only_once() {
        let (mut sender, mut receiver) = pair();
        let (first, second) = (seal(&mut sender, b"first"), seal(&mut sender, b"second"));
        assert_eq!(receiver.open(second.clone()), Err(NoiseError::Transport));
        assert_eq!(receiver.open(first.clone()).unwrap(), b"first"[..]);
        assert_eq!(receiver.open(first), Err(NoiseError::Transport));
        assert_eq!(receiver.open(second).unwrap(), b"second"[..]);
    }

    #[test]
    fn last_counter_is_used_and_then_no_other() {
        let (mut sender, mut receiver) = (Sender::at(&[7; 32], u32::MAX), Receiver::at(&[7; 32], u32::MAX));
        let last = seal(&mut sender, b"last");
        assert_eq!(receiver.open(last.clone()).unwrap(), b"last"[..]);
        assert_eq!(sender.seal(BytesMut::zeroed(9)), Err(NoiseError::CounterExhausted));
        assert_eq!(receiver.open(last), Err(NoiseError::CounterExhausted));
    }

    #[test]
    fn refused_frame_takes_no_counter() {
        let (mut sender, mut receiver) = pair();
        assert_eq!(sender.seal(BytesMut::zeroed(2)), Err(NoiseError::NoRoomForLength));
        assert!(matches!(sender.seal(BytesMut::zeroed(FRAME_LIMIT)), Err(NoiseError::TooLong(_))));
        assert_eq!(receiver.open(seal(&mut sender, b"x")).unwrap(), b"x"[..]);
        assert_eq!(receiver.open(BytesMut::zeroed(15)), Err(NoiseError::Transport));
    }
}
