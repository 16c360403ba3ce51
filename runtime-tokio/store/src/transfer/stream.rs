//! The sealed chunks between the head and the end of a session's file.

use super::{ReadError, head};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use std::io::{self, Read, Write};
use zeroize::Zeroizing;

pub(super) const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;

fn nonce(number: u64, last: bool) -> XNonce {
    let mut nonce = [0; 24];
    for (place, byte) in nonce.iter_mut().skip(15).zip(number.to_be_bytes().into_iter().chain([u8::from(last)])) {
        *place = byte;
    }
    XNonce::from(nonce)
}

/// Seals what is written to it. Nothing opens before [`finish`](Self::finish).
pub(super) struct Sealing<W> {
    out: W,
    head: head::Bytes,
    cipher: XChaCha20Poly1305,
    number: u64,
    plain: Zeroizing<Vec<u8>>,
}

impl<W: Write> Sealing<W> {
    pub(super) fn new(mut out: W, head: head::Bytes, cipher: XChaCha20Poly1305) -> io::Result<Self> {
        out.write_all(&head)?;
        Ok(Self { out, head, cipher, number: 0, plain: Zeroizing::new(Vec::with_capacity(CHUNK)) })
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            // A full chunk waits until there is more: the last one is marked.
            if self.plain.len() == CHUNK {
                self.seal(false)?;
            }
            let (now, later) = bytes.split_at_checked(CHUNK - self.plain.len()).unwrap_or((bytes, &[]));
            self.plain.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn seal(&mut self, last: bool) -> io::Result<()> {
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce(self.number, last), &self.head, self.plain.as_mut_slice().into())
            .map_err(|_| io::Error::other("a chunk cannot be sealed"))?;
        self.out.write_all(&self.plain)?;
        self.out.write_all(&tag)?;
        self.plain.clear();
        self.number += 1;
        Ok(())
    }
}

/// Opens what [`Sealing`] wrote, chunk by chunk.
pub(super) struct Opening<R> {
    input: R,
    head: head::Bytes,
    cipher: XChaCha20Poly1305,
    number: u64,
    /// Sealed bytes that were read ahead, to know which chunk is the last.
    ahead: Vec<u8>,
    plain: Zeroizing<Vec<u8>>,
    at: usize,
    last: bool,
}

impl<R: Read> Opening<R> {
    pub(super) fn new(input: R, head: head::Bytes, cipher: XChaCha20Poly1305) -> Self {
        let (ahead, plain) = (Vec::new(), Zeroizing::new(Vec::new()));
        Self { input, head, cipher, number: 0, ahead, plain, at: 0, last: false }
    }

    /// Exactly `length` bytes. What is claimed is not believed: memory grows with what is really there.
    pub(super) fn take(&mut self, length: usize) -> Result<Vec<u8>, ReadError> {
        let mut taken = Vec::with_capacity(length.min(CHUNK));
        while taken.len() < length {
            let ready = self.ready()?;
            if ready.is_empty() {
                return Err(ReadError::Malformed("it ends in the middle"));
            }
            let wanted = length - taken.len();
            let (now, _) = ready.split_at_checked(wanted).unwrap_or((ready, &[]));
            taken.extend_from_slice(now);
            self.at += now.len();
        }
        Ok(taken)
    }

    /// Whether everything was taken.
    pub(super) fn is_at_end(&mut self) -> Result<bool, ReadError> {
        Ok(self.ready()?.is_empty())
    }

    /// What is open and not taken; empty at the end only.
    fn ready(&mut self) -> Result<&[u8], ReadError> {
        while self.at == self.plain.len() && !self.last {
            self.open()?;
        }
        Ok(self.plain.get(self.at..).unwrap_or_default())
    }

    fn open(&mut self) -> Result<(), ReadError> {
        let wanted = CHUNK + TAG + 1 - self.ahead.len();
        self.input.by_ref().take(wanted as u64).read_to_end(&mut self.ahead).map_err(ReadError::Io)?;
        let last = self.ahead.len() <= CHUNK + TAG;
        let later = if last { Vec::new() } else { self.ahead.split_off(CHUNK + TAG) };
        let chunk = Zeroizing::new(std::mem::replace(&mut self.ahead, later));
        match self.try_open(&chunk, last) {
            Some(plain) => self.plain = plain,
            // A whole chunk that opens as one in the middle was once followed by others.
            None if last && self.try_open(&chunk, false).is_some() => return Err(ReadError::Truncated),
            None => return Err(ReadError::Altered),
        }
        self.at = 0;
        self.number += 1;
        self.last = last;
        Ok(())
    }

    fn try_open(&self, chunk: &[u8], last: bool) -> Option<Zeroizing<Vec<u8>>> {
        let (sealed, tag) = chunk.split_last_chunk::<TAG>()?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        self.cipher
            .decrypt_inout_detached(
                &nonce(self.number, last),
                &self.head,
                plain.as_mut_slice().into(),
                &Tag::from(*tag),
            )
            .ok()?;
        Some(plain)
    }
}
