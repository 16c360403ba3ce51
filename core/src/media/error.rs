//! Why a media object is refused.

/// An encrypted object is not what its message says. Whatever was emitted of its plaintext is to be thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// The media key is not 32 bytes long.
    #[error("the media key is not 32 bytes long")]
    KeyLength,
    /// The body is not 10 plus a positive multiple of 16 bytes long: cut short, or no encrypted object at all.
    #[error("the length is not 10 plus a positive multiple of 16")]
    Length,
    /// The body is not the one the message names; another host may have the right one.
    #[error("the hash of the encrypted body differs")]
    EncryptedHash,
    /// The authentication code differs: wrong key, wrong kind, or changed on the way.
    #[error("the authentication code differs")]
    Mac,
    /// The authentication code is right but the padding is not: the sender's fault.
    #[error("the padding is wrong")]
    Padding,
    /// The plaintext is not the one the message names: the sender's fault.
    #[error("the hash of the plaintext differs")]
    PlaintextHash,
    /// A window of the body does not match the streaming sidecar.
    #[error("a window differs from the streaming sidecar")]
    Sidecar,
    /// The range is empty or reaches past the end of the file.
    #[error("the range is empty or reaches past the end")]
    Range,
}

/// A media retry notice cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RetryError {
    /// The authentication failed: another media key, another message id, or changed on the way.
    #[error("the notice is not authentic for this media key and message id")]
    Authentication,
    /// The decrypted notice is not a protobuf of the expected shape.
    #[error("the notice is malformed")]
    Malformed,
    /// The notice is longer than the cipher can take.
    #[error("the notice is too long")]
    TooLong,
    /// The decrypted notice speaks of another message.
    #[error("the notice names another message")]
    OtherMessage,
}
