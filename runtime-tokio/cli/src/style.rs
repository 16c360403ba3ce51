//! Colours, for people who look at a terminal and want them.

use std::fmt::{Display, Formatter, Result};
use std::io::IsTerminal as _;

/// Whether to colour one stream. `NO_COLOR` (any non-empty value), `TERM=dumb` and pipes switch it off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    on: bool,
}

/// Text with the escape codes around it, if any.
pub(crate) struct Painted<T> {
    text: T,
    code: Option<&'static str>,
}

impl Style {
    pub(crate) fn of_stdout() -> Self {
        Self { on: std::io::stdout().is_terminal() && wanted() }
    }

    pub(crate) fn of_stderr() -> Self {
        Self { on: std::io::stderr().is_terminal() && wanted() }
    }

    pub(crate) const fn is_on(self) -> bool {
        self.on
    }

    pub(crate) const fn good<T>(self, text: T) -> Painted<T> {
        self.paint(text, "32")
    }

    pub(crate) const fn bad<T>(self, text: T) -> Painted<T> {
        self.paint(text, "1;31")
    }

    pub(crate) const fn dim<T>(self, text: T) -> Painted<T> {
        self.paint(text, "2")
    }

    pub(crate) const fn name<T>(self, text: T) -> Painted<T> {
        self.paint(text, "36")
    }

    const fn paint<T>(self, text: T, code: &'static str) -> Painted<T> {
        Painted { text, code: if self.on { Some(code) } else { None } }
    }
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.code {
            // `pad` on the outside would count the codes, so widths go to the text.
            Some(code) => {
                write!(f, "\x1b[{code}m")?;
                self.text.fmt(f)?;
                f.write_str("\x1b[0m")
            }
            None => self.text.fmt(f),
        }
    }
}

fn wanted() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}
