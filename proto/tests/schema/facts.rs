//! A compiled schema as rows of the table of facts.

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// The columns of the table.
pub(crate) const HEADER: &str = "path\tkind\tname\tnumber\tlabel\ttype\toneof\tpacked";

/// Every message, field, oneof, enum and value of the schema, one row each.
pub(crate) fn of(schema: &FileDescriptorSet) -> Vec<String> {
    let mut rows = Vec::new();
    for file in &schema.file {
        let package = strip(&format!(".{}", file.package()));
        let syntax = Syntax { implicit: file.syntax() == "proto3" };
        for message in &file.message_type {
            syntax.message(&package, message, &mut rows);
        }
        for item in &file.enum_type {
            enumeration(&package, item, &mut rows);
        }
    }
    rows
}

struct Syntax {
    /// Whether singular fields have no presence.
    implicit: bool,
}

impl Syntax {
    fn message(&self, scope: &str, message: &DescriptorProto, rows: &mut Vec<String>) {
        let path = format!("{scope}.{}", message.name());
        rows.push(format!("{path}\tmessage\t-\t-\t-\t-\t-\t-"));
        for oneof in &message.oneof_decl {
            rows.push(format!("{path}\toneof\t{}\t-\t-\t-\t-\t-", oneof.name()));
        }
        for field in &message.field {
            rows.push(self.field(&path, message, field));
        }
        for nested in message.nested_type.iter().filter(|nested| !is_map_entry(nested)) {
            self.message(&path, nested, rows);
        }
        for item in &message.enum_type {
            enumeration(&path, item, rows);
        }
    }

    fn field(&self, path: &str, message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
        assert!(field.default_value.is_none(), "{path}.{} has a default", field.name());
        let entry = message.nested_type.iter().filter(|nested| is_map_entry(nested)).find(|nested| {
            field.type_name.as_deref().is_some_and(|name| name.ends_with(&format!(".{}", nested.name())))
        });
        let (label, kind) = match (entry, field.label()) {
            (Some(entry), _) => ("map", format!("map<{},{}>", type_of(&entry.field[0]), type_of(&entry.field[1]))),
            (None, Label::Repeated) => ("repeated", type_of(field)),
            (None, Label::Required) => ("required", type_of(field)),
            (None, Label::Optional) if self.implicit => ("implicit", type_of(field)),
            (None, Label::Optional) => ("optional", type_of(field)),
        };
        let oneof = field.oneof_index.map_or("-", |index| message.oneof_decl[index as usize].name());
        let packed = if field.options.as_ref().is_some_and(|options| options.packed()) { "packed" } else { "-" };
        format!("{path}\tfield\t{}\t{}\t{label}\t{kind}\t{oneof}\t{packed}", field.name(), field.number())
    }
}

fn enumeration(scope: &str, item: &EnumDescriptorProto, rows: &mut Vec<String>) {
    let path = format!("{scope}.{}", item.name());
    rows.push(format!("{path}\tenum\t-\t-\t-\t-\t-\t-"));
    for value in &item.value {
        rows.push(format!("{path}\tvalue\t{}\t{}\t-\t-\t-\t-", value.name(), value.number()));
    }
}

fn type_of(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum | Type::Group => strip(field.type_name()),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    }
}

/// A full name without the prefix that all packages share.
fn strip(name: &str) -> String {
    name.strip_prefix(".whatsio.").unwrap_or_else(|| panic!("{name} is outside of our packages")).to_owned()
}

fn is_map_entry(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(|options| options.map_entry())
}
