//! Synchronised settings: hashes, keys, patches. Pure values; fetching and storing is the flows' business.
