//! Where linking stands: one vocabulary for all its ways.

/// What a code that is shown is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CodePurpose {
    /// The user types it on the phone, under "link with phone number".
    EnterOnPhone,
    /// The phone shows one as well: the user compares the two.
    CompareWithPhone,
}

/// Where one way of linking failed and why. Ways that were begun beside it go on unless a disconnect follows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LinkFailure {
    /// How far it had come.
    pub step: LinkStep,
    /// Why.
    pub reason: LinkFailureReason,
}

/// The steps of linking, of all its ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkStep {
    /// Before the server offered codes.
    Registration,
    /// While a QR code was shown.
    Scan,
    /// While the server was asked to take a linking code.
    CodeHello,
    /// While a linking code was shown, or after it was typed and before the phone had said more.
    CodeShown,
    /// While the answer to a code that was typed was handed to the server.
    CodeFinish,
    /// While the server's request for a passkey was read.
    PasskeyRequest,
    /// While the application was asked for an assertion.
    Assertion,
    /// While the assertion was handed to the server.
    Prologue,
    /// While the phone's part of the comparison was awaited, or read.
    Continuation,
    /// While a code was compared with the phone's.
    Comparison,
    /// While the keys were handed to the phone.
    PairingRequest,
    /// While the phone's final answer was checked.
    Verification,
}

/// Why linking failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum LinkFailureReason {
    /// Nobody did the next step in time, or the server declared the code spent.
    #[error("nobody did the next step in time")]
    Expired,
    /// The server refused, with this code (0: it did not say).
    #[error("the server refuses with code {0}")]
    Refused(u32),
    /// What the server or the phone answered does not say what it must.
    #[error("an answer does not say what it must")]
    BadAnswer,
    /// One code was typed too often.
    #[error("the code was typed too often")]
    TooManyTries,
    /// The server wanted too many new codes.
    #[error("too many codes were spent")]
    TooManyCodes,
    /// The connection was lost at a step that cannot be done again.
    #[error("the connection was lost")]
    ConnectionLost,
    /// The phone's answer does not parse.
    #[error("the phone's answer does not parse")]
    Malformed,
    /// The phone's answer was not made with our secret: by somebody who did not see our code, or saw an older one.
    #[error("the phone's answer was not made with our secret")]
    WrongSecret,
    /// The phone's signature does not verify.
    #[error("the phone's signature does not verify")]
    WrongSignature,
    /// The application declined.
    #[error("the application declined")]
    Declined,
}
