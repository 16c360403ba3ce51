//! The schema, the table of facts it was made from and the checked-in code agree.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "all of it is test code")]

mod facts;
mod generate;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

#[test]
fn generated_code_is_current() {
    let files = generate::rust_files(&schema());
    let folder = crate_folder().join("src/generated");
    if std::env::var_os("WHATSIO_BLESS").is_some() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        for (name, code) in &files {
            fs::write(folder.join(name), code).unwrap();
        }
    }
    let present: BTreeSet<String> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let expected: BTreeSet<String> = files.keys().cloned().collect();
    assert_eq!(present, expected, "src/generated has other files; run with WHATSIO_BLESS=1");
    for (name, code) in &files {
        let checked_in = fs::read_to_string(folder.join(name)).unwrap();
        assert!(checked_in == *code, "src/generated/{name} is not what the schema gives; run with WHATSIO_BLESS=1");
    }
}

#[test]
fn descriptors_match_the_table_of_facts_field_for_field() {
    let table = fs::read_to_string(crate_folder().join("schema/facts.tsv")).unwrap();
    let mut rows = table.lines();
    assert_eq!(rows.next(), Some(facts::HEADER));
    let stated: Vec<String> = rows.map(str::to_owned).collect();
    let found = facts::of(&schema());

    let stated_set: BTreeSet<&String> = stated.iter().collect();
    let found_set: BTreeSet<&String> = found.iter().collect();
    assert_eq!(stated.len(), stated_set.len(), "the table states a fact twice");
    assert_eq!(found.len(), found_set.len(), "the schema yields a fact twice");
    let missing: Vec<_> = stated_set.difference(&found_set).collect();
    let extra: Vec<_> = found_set.difference(&stated_set).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing: {missing:#?}\nnot in the table: {extra:#?}");

    let count = |kind: &str| found.iter().filter(|row| row.split('\t').nth(1) == Some(kind)).count();
    let packages: BTreeSet<_> = found.iter().filter_map(|row| row.split('.').next()).collect();
    println!(
        "{} packages, {} messages, {} fields, {} oneofs, {} enums, {} values: no difference",
        packages.len(),
        count("message"),
        count("field"),
        count("oneof"),
        count("enum"),
        count("value")
    );
}

/// Every file of the schema, compiled.
fn schema() -> prost_types::FileDescriptorSet {
    let root = crate_folder().join("schema");
    let mut files: Vec<PathBuf> = Vec::new();
    for domain in fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        files.extend(fs::read_dir(domain).unwrap().map(|entry| entry.unwrap().path()));
    }
    files.sort();
    protox::compile(files, [root]).unwrap_or_else(|error| panic!("{error:?}"))
}

fn crate_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
