//! Requests to send something again that could not be granted.

/// Why a message was not sent again to a device that asked for it. The session with that device was repaired all the
/// same, as far as the request allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnanswerableReason {
    /// The message was sent, but its plaintext is no longer kept.
    Expired,
    /// No message was ever sent under this id, or it never reached the server.
    NeverSent,
    /// The device or the chat has asked too often.
    OverBudget,
    /// The message was not for this device.
    NotAddressed,
}
