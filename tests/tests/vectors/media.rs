//! `media.json`: encrypted objects, ranged reads, sidecars, retry notices.

use crate::suite::{Outcome, Suite};
use std::collections::BTreeMap;
use whatsio_core::crypto::symmetric::aes256_gcm_open;
use whatsio_core::media::{
    Decryptor, Encryptor, Expected, MediaError, MediaKey, MediaKeys, MediaKind, RangePlan, RetryError, RetryKey,
    RetryReply, RetryResult, Sidecars, decrypt, encrypt, encrypted_length, parse_upload_token, upload_token,
};
use whatsio_fixtures::media::{MediaNegative, MediaVector, MediaVectors, RetryNegative, RetryVector};

pub(crate) fn run(suite: &mut Suite) {
    suite.file("media.json", &["about"], |file| {
        let vectors: MediaVectors = match whatsio_fixtures::load("media.json") {
            Ok(vectors) => vectors,
            Err(error) => {
                file.section("(shape)", &[error], |_| String::new(), |error| Err(error.to_string()));
                return;
            }
        };
        file.section("media", &vectors.media, |entry| entry.name.clone(), object);
        file.section("media_negative", &vectors.media_negative, |entry| entry.name.clone(), refused_object);
        file.section("media_retry", &vectors.media_retry, |entry| entry.name.clone(), retry);
        file.section("media_retry_negative", &vectors.media_retry_negative, |entry| entry.name.clone(), refused_retry);
    });
}

fn same(what: &str, ours: impl AsRef<[u8]>, theirs: impl AsRef<[u8]>) -> Outcome {
    let (ours, theirs) = (ours.as_ref(), theirs.as_ref());
    if ours == theirs {
        return Ok(());
    }
    Err(format!("{what}: {} instead of {}", hex::encode(ours), hex::encode(theirs)))
}

#[expect(clippy::needless_pass_by_value, reason = "called with values made on the spot")]
fn equal<T: PartialEq + std::fmt::Debug>(what: &str, ours: T, theirs: T) -> Outcome {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: {ours:?} instead of {theirs:?}")) }
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], String> {
    bytes.try_into().map_err(|_| format!("{} bytes where {N} belong", bytes.len()))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn kind(name: &str) -> Result<MediaKind, String> {
    MediaKind::from_name(name).ok_or_else(|| format!("unknown kind {name}"))
}

fn object(entry: &MediaVector) -> Outcome {
    let (kind, key) = (kind(&entry.media_type)?, MediaKey::from_slice(&entry.media_key).map_err(text)?);
    same("info", kind.info(), &entry.hkdf_info)?;
    let keys = MediaKeys::derive(&key, &kind);
    let expanded = [&keys.iv()[..], keys.cipher_key(), keys.mac_key(), keys.reference_key()].concat();
    same("expansion", expanded, &*entry.expanded_112)?;
    same("vector", keys.iv(), &*entry.iv)?;
    same("cipher key", keys.cipher_key(), &*entry.cipher_key)?;
    same("authentication key", keys.mac_key(), &*entry.mac_key)?;
    same("reference key", keys.reference_key(), &*entry.ref_key)?;

    let file = match (&entry.plaintext, entry.plaintext_pattern) {
        (Some(plaintext), _) => plaintext.to_vec(),
        (None, Some(pattern)) => pattern.bytes(),
        (None, None) => return Err("no plaintext".into()),
    };
    let sidecars = Sidecars { streaming: true, first_frame_length: entry.first_frame_length };
    let (body, encrypted) = encrypt(&key, &kind, sidecars, &file);
    equal("file length", encrypted.file_length, entry.file_length)?;
    equal("body length", body.len() as u64, entry.enc_length)?;
    equal("predicted length", encrypted_length(entry.file_length), entry.enc_length)?;
    same("file hash", encrypted.file_sha256, &*entry.file_sha256)?;
    same("body hash", encrypted.file_enc_sha256, &*entry.file_enc_sha256)?;
    same("code", encrypted.mac, &*entry.mac10)?;
    same("sidecar", encrypted.streaming_sidecar.as_deref().unwrap_or_default(), &*entry.streaming_sidecar)?;
    if let Some(tag) = &entry.first_frame_sidecar {
        same("first frame", encrypted.first_frame_sidecar.unwrap_or_default(), &**tag)?;
    }
    if let Some(expected) = &entry.ciphertext_and_mac {
        same("body", &body, &**expected)?;
    }
    let (ciphertext, _) = body.split_last_chunk::<10>().ok_or("no code")?;
    if let Some(start) = &entry.ciphertext_first_64 {
        same("start", ciphertext.get(..64).unwrap_or_default(), &**start)?;
    }
    if let Some(end) = &entry.ciphertext_last_64_before_mac {
        same("end", ciphertext.last_chunk::<64>().ok_or("short")?, &**end)?;
    }
    same("token", upload_token(&encrypted.file_enc_sha256), &entry.upload_token_padded)?;
    for token in [&entry.upload_token_padded, &entry.upload_token_unpadded] {
        equal("hash of a token", parse_upload_token(token), Some(encrypted.file_enc_sha256))?;
    }
    streamed(entry, &keys, sidecars, &file, &body)?;

    for read in &entry.ranged_reads {
        let plan = RangePlan::new(read.start..read.end_exclusive, entry.file_length).map_err(text)?;
        equal("fetch", plan.fetch(), read.fetch_first_byte..read.fetch_end_exclusive)?;
        equal("first block", plan.first_block_is_vector(), read.first_block_is_iv)?;
        let fetched = usize::try_from(read.fetch_first_byte).map_err(text)?
            ..usize::try_from(read.fetch_end_exclusive).map_err(text)?;
        same(
            "range",
            plan.decrypt(&keys, body.get(fetched).unwrap_or_default().to_vec()).map_err(text)?,
            &*read.plaintext,
        )?;
    }
    Ok(())
}

/// The same object in chunks of several sizes, both ways.
fn streamed(entry: &MediaVector, keys: &MediaKeys, sidecars: Sidecars, file: &[u8], body: &[u8]) -> Outcome {
    let expected = Expected {
        file_sha256: Some(array(&entry.file_sha256)?),
        file_enc_sha256: Some(array(&entry.file_enc_sha256)?),
        streaming_sidecar: Some(entry.streaming_sidecar.to_vec()),
    };
    for size in [1, 15, 16, 4_096, 65_537] {
        let (mut encryptor, mut out) = (Encryptor::new(keys, sidecars), Vec::new());
        file.chunks(size).for_each(|chunk| encryptor.push(chunk, &mut out));
        let encrypted = encryptor.finish(&mut out);
        equal("streamed body", out == body, true)?;
        same("streamed hash", encrypted.file_enc_sha256, &*entry.file_enc_sha256)?;

        let (mut decryptor, mut out) = (Decryptor::new(keys, expected.clone()), Vec::new());
        body.chunks(size).try_for_each(|chunk| decryptor.push(chunk, &mut out)).map_err(text)?;
        let decrypted = decryptor.finish(&mut out).map_err(text)?;
        equal("streamed file", out == file, true)?;
        equal("streamed length", decrypted.file_length, entry.file_length)?;
        same("streamed file hash", decrypted.file_sha256, &*entry.file_sha256)?;
    }
    Ok(())
}

fn refused_object(entry: &MediaNegative) -> Outcome {
    let hash = |hash: &Option<whatsio_fixtures::Hex>| hash.as_ref().map(|hash| array(hash)).transpose();
    let expected = Expected {
        file_sha256: hash(&entry.expected_file_sha256)?,
        file_enc_sha256: hash(&entry.expected_file_enc_sha256)?,
        streaming_sidecar: None,
    };
    let why = entry.must_fail_with.to_lowercase();
    let verdict = match () {
        () if why.starts_with("encrypted hash") => MediaError::EncryptedHash,
        () if why.starts_with("mac") => MediaError::Mac,
        () if why.starts_with("length") => MediaError::Length,
        () if why.contains("padding") => MediaError::Padding,
        () if why.contains("hash") => MediaError::PlaintextHash,
        () => return Err(format!("no error for: {}", entry.must_fail_with)),
    };
    let (kind, key) = (kind(&entry.media_type)?, MediaKey::from_slice(&entry.media_key).map_err(text)?);
    equal("verdict", decrypt(&key, &kind, &entry.ciphertext_and_mac, expected.clone()).map(drop), Err(verdict))?;
    let (mut decryptor, mut out) = (Decryptor::new(&MediaKeys::derive(&key, &kind), expected), Vec::new());
    entry.ciphertext_and_mac.chunks(7).try_for_each(|chunk| decryptor.push(chunk, &mut out)).map_err(text)?;
    equal("streamed verdict", decryptor.finish(&mut out).map(drop), Err(verdict))
}

fn retry(entry: &RetryVector) -> Outcome {
    let key = RetryKey::derive(&MediaKey::from_slice(&entry.media_key).map_err(text)?);
    same("info", RetryKey::INFO, &entry.hkdf_info)?;
    same("key", key.expose(), &*entry.retry_key)?;
    let (id, request, reply) = (entry.message_id.as_str(), &entry.request, &entry.reply);

    let iv = array(&request.iv)?;
    same("request", key.seal_request(id, iv).map_err(text)?, &*request.enc_p)?;
    key.open_request(id, iv, &request.enc_p).map_err(text)?;
    let plain = aes256_gcm_open(key.expose(), &iv, request.aad_utf8.as_bytes(), &request.enc_p).map_err(text)?;
    same("request content", plain, &*request.plaintext_server_error_receipt)?;
    addressed(entry)?;

    let iv = array(&reply.iv)?;
    let plain = aes256_gcm_open(key.expose(), &iv, reply.aad_utf8.as_bytes(), &reply.enc_p).map_err(text)?;
    same("reply content", plain, &*reply.plaintext_media_retry_notification)?;
    let opened = key.open_reply(id, iv, &reply.enc_p).map_err(text)?;
    let decoded = &reply.decoded;
    let expected = RetryReply {
        result: match decoded.result.as_str() {
            "GENERAL_ERROR" => RetryResult::GeneralError,
            "SUCCESS" => RetryResult::Success,
            "NOT_FOUND" => RetryResult::NotFound,
            "DECRYPTION_ERROR" => RetryResult::DecryptionError,
            other => return Err(format!("result {other}")),
        },
        direct_path: decoded.direct_path.clone(),
        message_secret: decoded.message_secret.as_ref().map(|secret| secret.to_vec()),
    };
    same("id", &decoded.stanza_id, id)?;
    equal("result", opened.result.code(), decoded.result_number)?;
    equal("path", &opened.direct_path, &expected.direct_path)?;
    equal("reply", opened == expected, true)?;
    same("sealed reply", key.seal_reply(id, iv, &opened).map_err(text)?, &*reply.enc_p)
}

/// What the stanza says about the message agrees with the entry.
fn addressed(entry: &RetryVector) -> Outcome {
    let receipt = [("id", entry.message_id.as_str()), ("to", &entry.own_user_jid), ("type", "server-error")];
    let from_me = entry.from_me.to_string();
    let mut rmr = vec![("jid", entry.chat_jid.as_str()), ("from_me", &from_me)];
    rmr.extend(entry.participant.as_deref().map(|participant| ("participant", participant)));
    let map = |attrs: &[(&str, &str)]| -> BTreeMap<String, String> {
        attrs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    };
    equal("receipt", &map(&receipt), &entry.request.receipt_attrs)?;
    equal("message named", &map(&rmr), &entry.request.rmr_attrs)
}

fn refused_retry(entry: &RetryNegative) -> Outcome {
    let key = RetryKey::derive(&MediaKey::from_slice(&entry.media_key).map_err(text)?);
    if !entry.must_fail_with.to_lowercase().contains("authentication") {
        return Err(format!("no error for: {}", entry.must_fail_with));
    }
    let verdict = key.open_reply(&entry.message_id, array(&entry.iv)?, &entry.enc_p);
    equal("verdict", verdict.map(drop), Err(RetryError::Authentication))
}
