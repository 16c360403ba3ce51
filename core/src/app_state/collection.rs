//! The five collections and what is kept of each.

use super::LtHash;

/// A collection of settings: a versioned, encrypted map that the server keeps in order but cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Collection {
    /// Push name and locale; needed before anything is shown.
    CriticalBlock,
    /// Contacts.
    CriticalUnblockLow,
    /// Mutes, stars, deletions.
    RegularHigh,
    /// Labels, quick replies, features.
    Regular,
    /// Pins, archive, read marks, settings.
    RegularLow,
}

impl Collection {
    /// All of them, in the order of a first synchronisation.
    pub const ALL: [Self; 5] =
        [Self::CriticalBlock, Self::CriticalUnblockLow, Self::RegularHigh, Self::Regular, Self::RegularLow];

    /// The name on the wire and in authentication codes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CriticalBlock => "critical_block",
            Self::CriticalUnblockLow => "critical_unblock_low",
            Self::RegularHigh => "regular_high",
            Self::Regular => "regular",
            Self::RegularLow => "regular_low",
        }
    }

    /// The collection called `name`; `None` for one that this version does not know.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|collection| collection.name() == name)
    }
}

/// How far a collection is known here. To be stored in one commit with the [`ValueMac`]s that lead to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Head {
    /// The version; 0 when never synchronised.
    pub version: u64,
    /// The sum over all values of the collection.
    pub hash: LtHash,
}

/// Names an entry of a collection without telling its index: one per entry and key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexMac(pub [u8; 32]);

/// Stands for an entry's value in the collection's sum; kept so that an overwritten value can be subtracted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueMac(pub [u8; 32]);

impl std::fmt::Debug for IndexMac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, ..] = self.0;
        write!(f, "IndexMac({a:02x}{b:02x}..)")
    }
}

impl std::fmt::Debug for ValueMac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, ..] = self.0;
        write!(f, "ValueMac({a:02x}{b:02x}..)")
    }
}
