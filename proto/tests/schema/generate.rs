//! A compiled schema as Rust code: prost's output with our choices of representation.

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorSet};
use std::collections::{BTreeMap, BTreeSet};

/// Messages larger than this inside of another are put into a box.
const INLINE_LIMIT: usize = 128;

/// Messages whose content is boxed whatever its size, since almost all of their many fields are empty.
const SPARSE: [&str; 2] = [".whatsio.e2e.Message", ".whatsio.sync_action.SyncActionValue"];

/// File names and code, one file per package.
pub(crate) fn rust_files(schema: &FileDescriptorSet) -> BTreeMap<String, String> {
    let messages = messages(schema);
    let mut config = prost_build::Config::new();
    config.bytes(["."]).btree_map(["."]).skip_debug(messages.keys());
    for path in boxed_fields(&messages) {
        config.boxed(path);
    }
    let modules = schema
        .file
        .iter()
        .map(|file| (prost_build::Module::from_protobuf_package_name(file.package()), file.clone()))
        .collect();
    let code = config.generate(modules).unwrap();
    code.into_iter()
        .map(|(module, code)| (format!("{}.rs", module.parts().last().unwrap()), with_redacted_debug(&code)))
        .collect()
}

type Messages<'a> = BTreeMap<String, &'a DescriptorProto>;

fn messages(schema: &FileDescriptorSet) -> Messages<'_> {
    fn add<'a>(scope: &str, message: &'a DescriptorProto, all: &mut Messages<'a>) {
        let path = format!("{scope}.{}", message.name());
        for nested in &message.nested_type {
            add(&path, nested, all);
        }
        all.insert(path, message);
    }
    let mut all = Messages::new();
    for file in &schema.file {
        for message in &file.message_type {
            add(&format!(".{}", file.package()), message, &mut all);
        }
    }
    all
}

/// Paths of the fields to box, as prost-build wants them: a member of a oneof goes by the oneof's name too.
fn boxed_fields(messages: &Messages<'_>) -> Vec<String> {
    let mut sizes = Sizes { messages, known: BTreeMap::new(), open: BTreeSet::new() };
    let mut paths = Vec::new();
    for (path, message) in messages {
        for field in &message.field {
            if field.r#type() != Type::Message || field.label() == Label::Repeated {
                continue;
            }
            if !SPARSE.contains(&path.as_str()) && sizes.inline(field.type_name()).is_some() {
                continue;
            }
            let oneof = field.oneof_index.map(|index| format!("{}.", message.oneof_decl[index as usize].name()));
            paths.push(format!("{path}.{}{}", oneof.unwrap_or_default(), field.name()));
        }
    }
    paths
}

/// Estimated sizes of the Rust structs: no more than a measure for boxing.
struct Sizes<'a> {
    messages: &'a Messages<'a>,
    known: BTreeMap<String, usize>,
    open: BTreeSet<String>,
}

impl Sizes<'_> {
    /// The size of a message that is small enough to stand inside of another.
    fn inline(&mut self, path: &str) -> Option<usize> {
        if self.open.contains(path) {
            return None;
        }
        Some(self.size(path)).filter(|size| *size <= INLINE_LIMIT)
    }

    fn size(&mut self, path: &str) -> usize {
        if let Some(size) = self.known.get(path) {
            return *size;
        }
        self.open.insert(path.to_owned());
        let mut size = 0;
        let mut oneofs: BTreeMap<i32, usize> = BTreeMap::new();
        for field in &self.messages[path].field {
            let own = match (field.label(), field.r#type()) {
                (Label::Repeated, _) | (_, Type::String) => 24,
                (_, Type::Bytes) => 32,
                (_, Type::Message) => self.inline(field.type_name()).unwrap_or(8),
                (_, Type::Bool) => 1,
                (_, Type::Int64 | Type::Uint64 | Type::Fixed64 | Type::Sfixed64 | Type::Sint64 | Type::Double) => 16,
                _ => 8,
            };
            match field.oneof_index {
                Some(index) => {
                    let largest = oneofs.entry(index).or_default();
                    *largest = own.max(*largest);
                }
                None => size += own,
            }
        }
        size += oneofs.values().map(|largest| largest + 8).sum::<usize>();
        self.open.remove(path);
        self.known.insert(path.to_owned(), size);
        size
    }
}

/// Adds a `Debug` that shows no content to every type that prost was told to leave without one.
fn with_redacted_debug(code: &str) -> String {
    let mut out = String::new();
    let mut skipped = false;
    let mut open: Option<(String, String)> = None;
    for line in code.lines() {
        out.push_str(line);
        out.push('\n');
        let item = line.trim_start();
        let indent = &line[..line.len() - item.len()];
        skipped |= item == "#[prost(skip_debug)]";
        let declared = item.strip_prefix("pub struct ").or_else(|| item.strip_prefix("pub enum "));
        if let Some(declared) = declared.filter(|_| skipped) {
            let name = declared.split([' ', '{']).next().unwrap();
            open = Some((indent.to_owned(), name.to_owned()));
            skipped = false;
        }
        if let Some((at, name)) = open.take() {
            if item.ends_with('}') && indent == at {
                out.push_str(&format!("{at}redacted_debug!({name}, \"{name}\");\n"));
            } else {
                open = Some((at, name));
            }
        }
    }
    out
}
