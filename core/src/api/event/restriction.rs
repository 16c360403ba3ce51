//! What the server does not let the account do.

/// The account may begin no new chats: a send to somebody whom it has not talked to is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Restriction {
    /// The server's word for its kind; may be empty.
    pub kind: String,
    /// Until when, in seconds since 1970, if the server says so.
    pub until: Option<u64>,
}

impl Restriction {
    /// Whether it is in force at `now`, in seconds since 1970. One without an end is until the server says otherwise.
    #[must_use]
    pub fn holds_at(&self, now: u64) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}
