//! Reporting tokens: a code over the reportable parts of a message, by which a recipient can prove what was sent. Knows
//! no stanzas.

use super::MessageSecret;
use super::field;
use super::scan::{DEPTH_LIMIT, ScanError, Scanned};
use super::secret::{UseCase, bound_to};
use crate::crypto::{Secret, symmetric};
use crate::types::Jid;
use whatsio_proto::fields::{FieldValue, Fields, put_bytes};

/// The token of an encoded message. `sender` is the own address, `remote` the chat. `None` for messages without
/// reportable parts. Fails with `Malformed` or `TooDeep`.
pub fn reporting_token(
    message: &[u8],
    secret: &MessageSecret,
    stanza_id: &str,
    sender: &Jid,
    remote: &Jid,
) -> Result<Option<[u8; 16]>, ScanError> {
    let extracted = reporting_extract(message)?;
    if extracted.is_empty() {
        return Ok(None);
    }
    let code = symmetric::hmac_sha256(reporting_key(secret, stanza_id, sender, remote).expose(), &[&extracted]);
    Ok(code.first_chunk().copied())
}

/// The key of a message's token.
#[must_use]
pub fn reporting_key(secret: &MessageSecret, stanza_id: &str, sender: &Jid, remote: &Jid) -> Secret<32> {
    let info = bound_to(stanza_id, sender, remote, UseCase::ReportToken.as_str());
    symmetric::hkdf_sha256(None, secret.expose(), &info)
}

/// The parts of an encoded message that the token covers: listed fields as they are, ascending. Fails with `Malformed`,
/// or with `TooDeep` when listed wrappers are nested too often.
pub fn reporting_extract(message: &[u8]) -> Result<Vec<u8>, ScanError> {
    extract(message, MESSAGE, DEPTH_LIMIT)
}

/// Whether a message gets a token at all: not reactions, votes, answers to events and kept messages.
#[must_use]
pub fn is_reportable(scanned: &Scanned<'_>) -> bool {
    !matches!(
        scanned.content.map(|content| content.number),
        None | Some(
            field::REACTION | field::ENC_REACTION | field::POLL_UPDATE | field::ENC_EVENT_RESPONSE | field::KEEP
        )
    )
}

fn extract(message: &[u8], list: &[(u32, Part)], depth: usize) -> Result<Vec<u8>, ScanError> {
    let mut parts: Vec<(u32, Vec<u8>)> = Vec::new();
    for found in Fields::of(message) {
        let found = found?;
        let Some((_, part)) = list.iter().find(|(number, _)| *number == found.number) else { continue };
        let sub_list = match part {
            Whole => {
                parts.push((found.number, found.raw.to_vec()));
                continue;
            }
            Of(sub_list) => sub_list,
            Message => MESSAGE,
        };
        let FieldValue::Bytes(content) = found.value else { continue };
        let depth = depth.checked_sub(1).ok_or(ScanError::TooDeep)?;
        let inner = extract(content, sub_list, depth)?;
        if !inner.is_empty() {
            let mut framed = Vec::new();
            put_bytes(&mut framed, found.number, &inner);
            parts.push((found.number, framed));
        }
    }
    parts.sort_by_key(|(number, _)| *number);
    Ok(parts.into_iter().flat_map(|(_, bytes)| bytes).collect())
}

/// How much of a listed field is covered.
enum Part {
    Whole,
    Of(&'static [(u32, Self)]),
    /// The field holds a message, to which the whole list applies.
    Message,
}

use Part::{Message, Of, Whole};

/// Whether and how often a message was forwarded, from its context.
const CONTEXT: Part = Of(&[(21, Whole), (22, Whole)]);
const OPTION: Part = Of(&[(1, Whole), (2, Whole)]);
const WRAPPER: Part = Of(&[(1, Message)]);
const VIDEO: Part = Of(&[(2, Whole), (6, Whole), (7, Whole), (13, Whole), (17, CONTEXT), (20, Whole)]);
const POLL: Part = Of(&[(2, Whole), (3, OPTION), (5, CONTEXT), (8, OPTION)]);

/// Which fields of a message tokens of version 2 cover.
const MESSAGE: &[(u32, Part)] = &[
    (1, Whole),
    (3, Of(&[(2, Whole), (3, Whole), (8, Whole), (11, Whole), (17, CONTEXT), (25, Whole)])),
    (4, Of(&[(1, Whole), (16, Whole), (17, CONTEXT)])),
    (5, Of(&[(3, Whole), (4, Whole), (5, Whole), (16, Whole), (17, CONTEXT)])),
    (6, Of(&[(1, Whole), (17, CONTEXT), (30, Whole)])),
    (7, Of(&[(2, Whole), (7, Whole), (10, Whole), (17, CONTEXT), (20, Whole)])),
    (8, Of(&[(2, Whole), (7, Whole), (9, Whole), (17, CONTEXT), (21, Whole)])),
    (9, VIDEO),
    (12, Of(&[(1, Whole), (2, Whole), (14, Message), (15, Whole)])),
    (18, Of(&[(6, Whole), (16, Whole), (17, CONTEXT)])),
    (26, Of(&[(4, Whole), (5, Whole), (8, Whole), (13, Whole), (17, CONTEXT)])),
    (28, Of(&[(1, Whole), (2, Whole), (4, Whole), (5, Whole), (6, Whole), (7, CONTEXT)])),
    (37, WRAPPER),
    (49, POLL),
    (53, WRAPPER),
    (55, WRAPPER),
    (58, WRAPPER),
    (59, WRAPPER),
    (60, POLL),
    (64, POLL),
    (66, VIDEO),
    (74, WRAPPER),
    (87, WRAPPER),
    (88, Of(&[(1, Whole), (2, Of(&[(1, Whole)])), (3, CONTEXT)])),
    (92, WRAPPER),
    (93, WRAPPER),
    (94, WRAPPER),
];
