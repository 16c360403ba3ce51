//! `wire-malformed.json`.

use crate::suite::{Outcome, Suite};
use crate::wire::same;
use bytes::Bytes;
use whatsio_core::binary::{DecodeLimits, Role, Tape};
use whatsio_fixtures::wire::{MalformedFile, MalformedVector};

const NAME: &str = "wire-malformed.json";

pub(crate) fn run(suite: &mut Suite) {
    suite.file(NAME, &["about"], |file| {
        let vectors: MalformedFile = match whatsio_fixtures::load(NAME) {
            Ok(vectors) => vectors,
            Err(error) => return file.section("vectors", &[()], |()| NAME.into(), |()| Err(error.to_string())),
        };
        let (announced, counted) = (vectors.count, vectors.vectors.len());
        file.section("count", &[announced], usize::to_string, |announced| same("count", &counted, announced));
        file.section("vectors", &vectors.vectors, |vector| vector.name.clone(), check);
    });
}

fn check(vector: &MalformedVector) -> Outcome {
    if vector.hex.is_none() && vector.recipe.is_none() {
        return Err("neither bytes nor a recipe".into());
    }
    let decode = |role| Tape::decode(&Bytes::from(vector.frame()), role, &DecodeLimits::DEFAULT);
    // The file describes what a client refuses. A server reads `interop` addresses by another rule; it must not panic.
    drop(decode(Role::Server));
    let found = match decode(Role::Client) {
        Ok(tape) => format!("accepted: {:?}", tape.root()),
        Err(error) => format!("reject:{}", error.reason()),
    };
    same("decoded", &found, &vector.expect)
}
