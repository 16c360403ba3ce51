//! `linking.json`.

mod code;
mod passkey;
mod qr;
mod recorded;

use crate::suite::{Outcome, Suite};
use crate::wire::{same, same_secret};
use whatsio_core::crypto::{KeyPair, PublicKey, Secret};
use whatsio_core::pairing::{Code, KeyIndexList};
use whatsio_fixtures::Hex;
use whatsio_fixtures::linking::{CodeTextVector, KeyIndexVector, LinkingFile};

const NAME: &str = "linking.json";

pub(crate) fn run(suite: &mut Suite) {
    suite.file(NAME, &["about", "validation"], |file| {
        let vectors: LinkingFile = match whatsio_fixtures::load(NAME) {
            Ok(vectors) => vectors,
            Err(error) => return file.section("qr", &[()], |()| NAME.into(), |()| Err(error.to_string())),
        };
        file.section("qr", &vectors.qr, |entry| entry.name.clone(), qr::check);
        file.section("code", &vectors.code, |entry| entry.name.clone(), code::check);
        file.section("qr_text", &vectors.qr_text, |entry| entry.text.clone(), qr::check_text);
        file.section("crockford", &vectors.crockford, |entry| entry.code.clone(), check_code_text);
        file.section("key_index_list", &vectors.key_index_list, |entry| entry.name.clone(), check_key_index_list);
        file.section("passkey", &vectors.passkey, |entry| entry.name.clone(), passkey::check);
        file.section("recorded", &vectors.recorded, |entry| format!("{} {}", entry.peer, entry.name), recorded::check);
    });
}

fn check_code_text(vector: &CodeTextVector) -> Outcome {
    let code = Code::from_bytes(array(&vector.bytes)?);
    same("code", &code.as_str(), &vector.code.as_str())?;
    same_secret("read again", &Code::parse(&vector.code), &Ok(code))
}

fn check_key_index_list(vector: &KeyIndexVector) -> Outcome {
    let account = pair(&vector.primary_identity_priv)?;
    same("account key", &account.public, &public(&vector.primary_identity_pub)?)?;
    let list = KeyIndexList {
        raw_id: vector.raw_id,
        timestamp: vector.timestamp,
        current_index: vector.current_index,
        valid_indexes: vector.valid_indexes.clone(),
        hosted: vector.account_type == 1,
    };
    same("details", &hex(&list.details()), &vector.details)?;
    let random = array(&vector.random64)?;
    let stranger = pair(&Hex(vec![1; 32]))?.public;
    for (with_key, expected) in [(false, &vector.signed), (true, &vector.signed_with_key)] {
        same("signed", &hex(&list.sign(&account, with_key, &random)), expected)?;
        same("verified", &KeyIndexList::verify(expected, &account.public), &Ok(list.clone()))?;
        same("read", &KeyIndexList::read_unverified(expected), &Ok(list.clone()))?;
        same("verified by a stranger", &KeyIndexList::verify(expected, &stranger).is_ok(), &false)?;
    }
    let signature = whatsio_core::crypto::Signature::from_slice(&vector.account_signature);
    let signature = signature.map_err(|error| error.to_string())?;
    let verdict = account.public.verify(&[&[0x06, 0x02], &vector.details], &signature);
    same("signature", &verdict, &Ok(()))?;
    for index in &vector.valid_indexes {
        same("admits", &list.admits(*index), &true)?;
    }
    Ok(())
}

fn pair(hex: &Hex) -> Result<KeyPair, String> {
    Ok(KeyPair::from_private(array(hex)?))
}

fn public(hex: &Hex) -> Result<PublicKey, String> {
    array(hex).map(PublicKey::from_bytes)
}

fn secret(hex: &Hex) -> Result<Secret<32>, String> {
    array(hex).map(Secret::new)
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], String> {
    bytes.try_into().map_err(|_| format!("{} bytes instead of {N}", bytes.len()))
}

fn hex(bytes: &[u8]) -> Hex {
    Hex(bytes.to_vec())
}

fn some<'o, T>(what: &str, value: &'o Option<T>) -> Result<&'o T, String> {
    value.as_ref().ok_or_else(|| format!("the entry has no {what}"))
}
