//! `wire.json` and `wire-extra.json`.

use crate::suite::{Outcome, Suite};
use bytes::Bytes;
use whatsio_core::binary::{Content, DecodeLimits, Node, Role, Tape, Value};
use whatsio_core::types::{Jid, Server};
use whatsio_fixtures::wire::{WireContent, WireFile, WireJid, WireNode, WireValue, WireVector};

pub(crate) fn run(suite: &mut Suite) {
    for name in ["wire.json", "wire-extra.json"] {
        suite.file(name, &["about"], |file| {
            let vectors: WireFile = match whatsio_fixtures::load(name) {
                Ok(vectors) => vectors,
                Err(error) => return file.section("vectors", &[()], |()| name.into(), |()| Err(error.to_string())),
            };
            let (announced, counted) = (vectors.count, vectors.vectors.len());
            file.section("count", &[announced], usize::to_string, |announced| same("count", &counted, announced));
            file.section("vectors", &vectors.vectors, |vector| vector.name.clone(), check);
        });
    }
}

fn check(vector: &WireVector) -> Outcome {
    let writer = match vector.encode_role.as_deref() {
        None | Some("client") => Role::Client,
        Some("server") => Role::Server,
        Some(other) => return Err(format!("unknown role {other}")),
    };
    // What one side writes the other reads; frames that need not be written are as a client gets them.
    let reader = if vector.encode && writer == Role::Client { Role::Server } else { Role::Client };
    let expected = node(&vector.node)?;
    let decoded = decode(&vector.hex, reader)?;
    if decoded != expected {
        return Err(format!("decoded {}\n    expected {}", decoded.revealed(), expected.revealed()));
    }
    same("compressed", &vector.hex.first().is_some_and(|flags| flags & 2 != 0), &vector.compressed)?;
    let encoded = expected.encode(writer).map_err(|error| error.to_string())?;
    if vector.encode {
        return same("encoded", &hex::encode(&encoded), &hex::encode(&*vector.hex));
    }
    if encoded == *vector.hex {
        return Err("encodes to these bytes, though another form is canonical".into());
    }
    let reader = if writer == Role::Client { Role::Server } else { Role::Client };
    same("decoded again", &decode(&encoded, reader)?, &expected)
}

fn decode(frame: &[u8], role: Role) -> Result<Node, String> {
    let tape = Tape::decode(&Bytes::copy_from_slice(frame), role, &DecodeLimits::DEFAULT);
    Ok(tape.map_err(|error| error.to_string())?.root().to_node())
}

fn node(from: &WireNode) -> Result<Node, String> {
    let mut attrs = Vec::new();
    for (key, value) in &from.attrs {
        let value = match value {
            WireValue::Text(text) => Value::from(text.as_str()),
            WireValue::Jid(parts) => Value::Jid(jid(parts)?),
        };
        attrs.push((key.into(), value));
    }
    let content = match &from.content {
        None => Content::Absent,
        Some(WireContent::Empty { .. }) => Content::Nodes(Vec::new()),
        Some(WireContent::Nodes { nodes }) => Content::Nodes(nodes.iter().map(node).collect::<Result<_, _>>()?),
        Some(WireContent::Bytes { bytes }) => Content::Bytes(bytes.to_vec().into()),
        Some(WireContent::Fill { fill, count }) => Content::Bytes(fill.repeat(*count).into()),
        Some(WireContent::Text { text }) => Content::Text(text.into()),
        Some(WireContent::Jid { jid: parts }) => Content::Jid(jid(parts)?),
    };
    Ok(Node { tag: from.tag.as_str().into(), attrs, content })
}

fn jid(parts: &WireJid) -> Result<Jid, String> {
    let jid = Jid::new(parts.user.as_str(), Server::of(&parts.server))
        .with_device(parts.device)
        .with_integrator(parts.integrator);
    same("canonical text", &jid.to_string(), &parts.jid)?;
    Ok(jid)
}

pub(crate) fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?} instead of {expected:?}")) }
}

/// As [`same`], for values that cannot be printed.
pub(crate) fn same_secret<T: PartialEq>(what: &str, found: &T, expected: &T) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("{what}: not the same")) }
}
