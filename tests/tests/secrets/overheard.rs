//! Everything that is logged, at the finest level, and every panic text.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
pub(crate) struct Overheard(Arc<Mutex<Vec<u8>>>);

impl Overheard {
    /// Listens to the whole process from now on.
    pub(crate) fn everything() -> Self {
        let overheard = Self::default();
        tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(overheard.clone())
            .init();
        let panics = overheard.clone();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            before(info);
            let _ = writeln!(panics.clone(), "{info}");
        }));
        overheard
    }

    /// What was said.
    pub(crate) fn said(&self) -> Vec<u8> {
        self.0.lock().expect("nobody panics with it").clone()
    }
}

impl Write for Overheard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics with it").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Overheard {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
