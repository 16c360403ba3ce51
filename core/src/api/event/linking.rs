//! Where linking stands.

/// Where linking failed and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkFailure {
    /// How far it had come.
    pub step: LinkStep,
    /// Why, as a short fixed phrase.
    pub reason: &'static str,
}

/// The steps of linking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkStep {
    /// Before the server offered codes.
    Registration,
    /// While a code was shown.
    Scan,
    /// While the phone's answer was checked.
    Verification,
}
