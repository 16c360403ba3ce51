//! The harness: files, sections, entries, and the table that it prints.

use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use whatsio_fixtures::LoadError;

/// How one entry went: `Err` says what differed.
pub(crate) type Outcome = Result<(), String>;

/// Collects the results of all files.
#[derive(Default)]
pub(crate) struct Suite {
    passed: usize,
    failed: usize,
    absent: usize,
}

/// One vector file while it is being run. Sections that nobody ran are failures.
pub(crate) struct File<'s> {
    suite: &'s mut Suite,
    name: &'static str,
    unclaimed: Vec<String>,
}

impl Suite {
    /// Opens the file `name`. `prose` names the top-level members that hold no entries. A file that is not there is
    /// reported and skipped; it never fails the run, since a folder of other values may hold only some files.
    pub(crate) fn file(&mut self, name: &'static str, prose: &[&str], run: impl FnOnce(&mut File<'_>)) {
        match whatsio_fixtures::load::<serde_json::Map<String, Value>>(name) {
            Ok(members) => {
                // Only lists and objects can hold entries; a word or a number beside them is prose.
                let sections = members.iter().filter(|(_, value)| value.is_array() || value.is_object());
                let sections = sections.map(|(name, _)| name).filter(|name| !prose.contains(&name.as_str()));
                let unclaimed = sections.cloned().collect();
                let mut file = File { suite: self, name, unclaimed };
                run(&mut file);
                file.close();
            }
            Err(error @ LoadError::Absent(_)) => {
                self.absent += 1;
                println!("{name:<22} not there: {error}");
            }
            Err(error) => {
                self.failed += 1;
                println!("{name:<22} FAILED to load: {error}");
            }
        }
    }

    /// Prints the closing line and says whether all was well.
    pub(crate) fn finish(self) -> ExitCode {
        println!("\nvectors: {} files not there", self.absent);
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 && self.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl File<'_> {
    /// Runs `check` on every entry of `section`. `label` names an entry in a failure.
    pub(crate) fn section<T>(
        &mut self,
        section: &str,
        entries: &[T],
        label: impl Fn(&T) -> String,
        check: impl Fn(&T) -> Outcome,
    ) {
        self.unclaimed.retain(|name| name != section);
        let mut failures = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let outcome = catch_unwind(AssertUnwindSafe(|| check(entry))).unwrap_or_else(|_| Err("panicked".into()));
            if let Err(why) = outcome {
                failures.push(format!("    #{index} {}: {why}", label(entry)));
            }
        }
        let passed = entries.len() - failures.len();
        self.suite.passed += passed;
        self.suite.failed += failures.len();
        let verdict = if failures.is_empty() { "ok" } else { "FAILED" };
        println!("{:<22} {section:<24} {passed:>4} of {:>4} {verdict}", self.name, entries.len());
        for failure in failures {
            println!("{failure}");
        }
    }

    fn close(self) {
        for section in self.unclaimed {
            self.suite.failed += 1;
            println!("{:<22} {section:<24} FAILED: no runner claims this section", self.name);
        }
    }
}
