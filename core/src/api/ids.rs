//! Newtypes for every id that crosses the boundary.

macro_rules! numbered {
    ($(#[$doc:meta] $name:ident),* $(,)?) => {$(
        #[$doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    )*};
}

numbered! {
    /// Names one load request of one client value.
    LoadId,
    /// Names one commit of one client value; counts up from 1.
    CommitId,
    /// Names an event. Durable events keep their id over restarts, so an application may de-duplicate by it.
    EventId,
    /// Names one accepted verb; its end arrives as an event that carries the same id.
    OpId,
}
