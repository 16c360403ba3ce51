//! `jid.json`.

use crate::suite::{Outcome, Suite};
use crate::wire::same;
use whatsio_core::types::Jid;
use whatsio_fixtures::jid::{JidExpectation, JidFile, JidVector};

const NAME: &str = "jid.json";

pub(crate) fn run(suite: &mut Suite) {
    suite.file(NAME, &["about"], |file| {
        let vectors: JidFile = match whatsio_fixtures::load(NAME) {
            Ok(vectors) => vectors,
            Err(error) => return file.section("vectors", &[()], |()| NAME.into(), |()| Err(error.to_string())),
        };
        let (announced, counted) = (vectors.count, vectors.vectors.len());
        file.section("count", &[announced], usize::to_string, |announced| same("count", &counted, announced));
        file.section("vectors", &vectors.vectors, |vector| format!("{:?}", vector.text), check);
    });
}

fn check(vector: &JidVector) -> Outcome {
    let parsed = Jid::parse(&vector.text);
    let parts = match &vector.expect {
        JidExpectation::Refused(word) => {
            same("expectation", &word.as_str(), &"reject")?;
            return match parsed {
                Ok(jid) => Err(format!("accepted as {jid}")),
                Err(_) => Ok(()),
            };
        }
        JidExpectation::Parts(parts) => parts,
    };
    let jid = parsed.map_err(|error| error.to_string())?;
    same("user", &jid.user(), &parts.user.as_str())?;
    same("server", &jid.server().as_str(), &parts.server.as_str())?;
    same("device", &jid.device(), &parts.device)?;
    same("integrator", &jid.integrator(), &parts.integrator)?;
    same("canonical", &jid.to_string(), &parts.canonical)?;
    same("canonical, parsed again", &Jid::parse(&parts.canonical), &Ok(jid))
}
