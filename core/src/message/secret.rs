//! A message's secret, and what others encrypt under it: votes, reactions, comments, edits, bot answers. Knows neither
//! the contents nor where secrets are kept.

use crate::crypto::symmetric::{self, CipherError};
use crate::crypto::{Rng, Secret};
use crate::types::Jid;

/// The 32 bytes that a message gives to those who react to it in secret.
#[derive(Clone, PartialEq, Eq)]
pub struct MessageSecret(Secret<32>);

/// What is encrypted under a message's secret. Keys of different uses are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum UseCase {
    /// A vote in a poll.
    PollVote,
    /// A reaction where reactions are secret.
    EncReaction,
    /// A comment.
    EncComment,
    /// A reporting token's key.
    ReportToken,
    /// An answer to an event.
    EventResponse,
    /// An event's new content.
    EventEdit,
    /// A message's new content.
    MessageEdit,
    /// A poll's new content.
    PollEdit,
    /// An option added to a poll.
    PollAddOption,
    /// A bot's answer.
    BotMessage,
}

/// An add-on to a message: what its key and its ciphertext are bound to. Addresses count without their device.
#[derive(Clone, Copy)]
pub struct AddOn<'a> {
    /// What it is.
    pub use_case: UseCase,
    /// The id of the message it adds to.
    pub parent_id: &'a str,
    /// Who wrote that message, as addressed in the chat.
    pub parent_sender: &'a Jid,
    /// Who adds, as addressed in the chat.
    pub sender: &'a Jid,
}

/// A bot's answer to a prompt: what its key and its ciphertext are bound to. Addresses count without their device.
#[derive(Clone, Copy)]
pub struct BotAnswer<'a> {
    /// The answer's id; of a streamed answer, that of its first part.
    pub message_id: &'a str,
    /// Who wrote the prompt.
    pub target_sender: &'a Jid,
    /// The bot.
    pub bot: &'a Jid,
}

/// A ciphertext and its nonce, as the carrying message has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// 12 random bytes.
    pub iv: [u8; 12],
    /// The ciphertext with its tag.
    pub payload: Vec<u8>,
}

impl MessageSecret {
    /// A new one.
    pub fn generate(rng: &mut Rng) -> Self {
        Self(Secret::new(rng.bytes()))
    }

    /// Copies a secret from a message. `None` unless it has 32 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Secret::from_slice(bytes).map(Self)
    }

    /// The bytes, for a record or a message of our own.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// The secret that a bot gets instead of this one.
    #[must_use]
    pub fn for_bot(&self) -> Self {
        Self(symmetric::hkdf_sha256(None, self.expose(), UseCase::BotMessage.as_str().as_bytes()))
    }
}

impl UseCase {
    /// The words that keys are bound to.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PollVote => "Poll Vote",
            Self::EncReaction => "Enc Reaction",
            Self::EncComment => "Enc Comment",
            Self::ReportToken => "Report Token",
            Self::EventResponse => "Event Response",
            Self::EventEdit => "Event Edit",
            Self::MessageEdit => "Message Edit",
            Self::PollEdit => "Poll Edit",
            Self::PollAddOption => "Poll Add Option",
            Self::BotMessage => "Bot Message",
        }
    }
}

impl AddOn<'_> {
    /// What the key is bound to.
    #[must_use]
    pub fn info(&self) -> Vec<u8> {
        bound_to(self.parent_id, self.parent_sender, self.sender, self.use_case.as_str())
    }

    /// The key under `secret`.
    #[must_use]
    pub fn key(&self, secret: &MessageSecret) -> Secret<32> {
        symmetric::hkdf_sha256(None, secret.expose(), &self.info())
    }

    /// What the ciphertext is bound to besides: the voter, where one must not be able to pass on another's vote.
    #[must_use]
    pub fn associated_data(&self) -> Vec<u8> {
        match self.use_case {
            UseCase::PollVote | UseCase::EventResponse => associated(self.parent_id, self.sender),
            _ => Vec::new(),
        }
    }

    /// Encrypts the add-on's content. Fails with `TooLong` beyond 64 GiB.
    pub fn seal(&self, secret: &MessageSecret, plaintext: &[u8], rng: &mut Rng) -> Result<Sealed, CipherError> {
        self.seal_with(secret, plaintext, rng.bytes())
    }

    /// Like [`Self::seal`] with a given nonce, for replaying recorded ones: it may be used once only.
    pub fn seal_with(&self, secret: &MessageSecret, plaintext: &[u8], iv: [u8; 12]) -> Result<Sealed, CipherError> {
        let key = self.key(secret);
        let payload = symmetric::aes256_gcm_seal(key.expose(), &iv, &self.associated_data(), plaintext)?;
        Ok(Sealed { iv, payload })
    }

    /// Decrypts the add-on's content. Fails with `Length` or `Tag`.
    pub fn open(&self, secret: &MessageSecret, iv: &[u8], payload: &[u8]) -> Result<Vec<u8>, CipherError> {
        let iv = iv.try_into().map_err(|_| CipherError::Length)?;
        symmetric::aes256_gcm_open(self.key(secret).expose(), iv, &self.associated_data(), payload)
    }

    /// Like [`Self::open`], trying other addresses of the same people when the tag does not match: whether the phone
    /// number or the LID was hashed depends on how each side addressed the chat. Both are exchanged first, then each.
    pub fn open_with_aliases(
        &self,
        secret: &MessageSecret,
        iv: &[u8],
        payload: &[u8],
        parent_alias: Option<&Jid>,
        sender_alias: Option<&Jid>,
    ) -> Result<Vec<u8>, CipherError> {
        let first = self.open(secret, iv, payload);
        if first != Err(CipherError::Tag) {
            return first;
        }
        let attempts = [
            parent_alias.zip(sender_alias),
            parent_alias.map(|parent| (parent, self.sender)),
            sender_alias.map(|sender| (self.parent_sender, sender)),
        ];
        for (parent_sender, sender) in attempts.into_iter().flatten() {
            if let Ok(plaintext) = (AddOn { parent_sender, sender, ..*self }).open(secret, iv, payload) {
                return Ok(plaintext);
            }
        }
        first
    }
}

impl BotAnswer<'_> {
    /// The key under the prompt's `secret`.
    #[must_use]
    pub fn key(&self, secret: &MessageSecret) -> Secret<32> {
        let info = bound_to(self.message_id, self.target_sender, self.bot, "");
        symmetric::hkdf_sha256(None, secret.for_bot().expose(), &info)
    }

    /// Decrypts the answer: an unpadded message. Fails with `Length` or `Tag`.
    pub fn open(&self, secret: &MessageSecret, iv: &[u8], payload: &[u8]) -> Result<Vec<u8>, CipherError> {
        let iv = iv.try_into().map_err(|_| CipherError::Length)?;
        let associated = associated(self.message_id, self.bot);
        symmetric::aes256_gcm_open(self.key(secret).expose(), iv, &associated, payload)
    }

    /// Encrypts an answer, as a bot does. Fails with `TooLong` beyond 64 GiB.
    pub fn seal_with(&self, secret: &MessageSecret, plaintext: &[u8], iv: [u8; 12]) -> Result<Sealed, CipherError> {
        let associated = associated(self.message_id, self.bot);
        let payload = symmetric::aes256_gcm_seal(self.key(secret).expose(), &iv, &associated, plaintext)?;
        Ok(Sealed { iv, payload })
    }
}

/// How a vote names an option.
#[must_use]
pub fn poll_option_hash(name: &str) -> [u8; 32] {
    symmetric::sha256(&[name.as_bytes()])
}

pub(super) fn bound_to(id: &str, first: &Jid, second: &Jid, use_case: &str) -> Vec<u8> {
    format!("{id}{}{}{use_case}", first.to_user(), second.to_user()).into_bytes()
}

fn associated(id: &str, sender: &Jid) -> Vec<u8> {
    format!("{id}\0{}", sender.to_user()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Seed;

    #[test]
    fn add_on_opens_under_the_other_address_of_the_same_people() {
        let mut rng = Rng::new(&Seed::new([2; 32]));
        let secret = MessageSecret::generate(&mut rng);
        let (pn, lid, voter_pn, voter_lid) = (Jid::pn("1"), Jid::lid("10"), Jid::pn("2"), Jid::lid("20"));
        let add_on =
            |parent_sender, sender| AddOn { use_case: UseCase::PollVote, parent_id: "ID", parent_sender, sender };
        for (parent, voter) in [(&pn, &voter_pn), (&lid, &voter_lid), (&lid, &voter_pn), (&pn, &voter_lid)] {
            let sealed = add_on(parent, voter).seal(&secret, b"vote", &mut rng).unwrap();
            let opened = add_on(&pn, &voter_pn).open_with_aliases(
                &secret,
                &sealed.iv,
                &sealed.payload,
                Some(&lid),
                Some(&voter_lid),
            );
            assert_eq!(opened, Ok(b"vote".to_vec()));
        }
        let stranger = Jid::pn("3");
        let sealed = add_on(&stranger, &voter_pn).seal(&secret, b"vote", &mut rng).unwrap();
        let opened = add_on(&pn, &voter_pn).open_with_aliases(&secret, &sealed.iv, &sealed.payload, Some(&lid), None);
        assert_eq!(opened, Err(CipherError::Tag));
        assert_eq!(add_on(&pn, &voter_pn).open(&secret, &[0; 11], &sealed.payload), Err(CipherError::Length));
    }
}
