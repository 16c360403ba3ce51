//! Every input that fuzzing kept goes through its target again, as an ordinary test.

use std::path::{Path, PathBuf};
use whatsio_tests::fuzz::TARGETS;

#[test]
fn every_kept_input_passes_its_target() {
    for (name, run) in TARGETS {
        let inputs = inputs_of(name);
        assert!(!inputs.is_empty(), "the target {name} has no corpus in {}", folder().display());
        for input in inputs {
            let bytes = std::fs::read(&input).unwrap();
            let caught = std::panic::catch_unwind(|| run(&bytes));
            assert!(caught.is_ok(), "{name} fails for {}", input.display());
        }
    }
}

#[test]
fn every_corpus_has_its_target() {
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            TARGETS.iter().any(|(target, _)| *target == name) || ALONE.contains(&name.as_str()),
            "nobody runs the inputs of {name}"
        );
    }
}

#[test]
fn every_target_is_built_for_fuzzing() {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "tests/fuzz does not build {name}");
    }
}

/// Targets outside of this workspace: they compare with another implementation.
const ALONE: &[&str] = &["node_codecs"];

fn inputs_of(target: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder().join(target)) else { return Vec::new() };
    let mut inputs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    inputs.sort();
    inputs
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/corpora")
}
