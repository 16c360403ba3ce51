//! `ids.json`.

use crate::suite::Suite;
use crate::wire::same;
use whatsio_core::types::MessageId;
use whatsio_fixtures::ids::IdsFile;

const NAME: &str = "ids.json";

pub(crate) fn run(suite: &mut Suite) {
    suite.file(NAME, &["about"], |file| {
        let ids: IdsFile = match whatsio_fixtures::load(NAME) {
            Ok(ids) => ids,
            Err(error) => return file.section("ids", &[()], |()| NAME.into(), |()| Err(error.to_string())),
        };
        file.section(
            "web_message_ids",
            &ids.web_message_ids,
            |entry| entry.unix_seconds.to_string(),
            |entry| {
                let random = entry.random_hex.as_ref().try_into().map_err(|_| "not 16 random bytes")?;
                let user = Some(entry.own_user.as_str()).filter(|user| !user.is_empty());
                let id = MessageId::for_web(entry.unix_seconds, user, random);
                same("id", &id.as_str(), &entry.whatsmeow_and_whatsapp_rust.as_str())
            },
        );
        file.section(
            "messenger_ids",
            &ids.messenger_ids,
            |entry| entry.unix_millis.to_string(),
            |entry| {
                let id = MessageId::for_messenger(entry.unix_millis, entry.random_u32);
                same("id", &id.as_str(), &entry.id.as_str())
            },
        );
    });
}
