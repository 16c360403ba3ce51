//! The hash over a set of devices by which server and sender see whether they mean the same ones. Knows no groups.

use crate::crypto::symmetric;
use crate::types::Jid;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The participant hash over `devices` in any order, as `2:` and eight characters. Costs a sort of their text forms.
#[must_use]
pub fn phash<'a>(devices: impl IntoIterator<Item = &'a Jid>) -> String {
    let mut forms: Vec<String> = devices.into_iter().map(Jid::full_form).collect();
    forms.sort_unstable();
    phash_of_sorted(&forms)
}

/// Like [`phash`] over the devices' full forms, sorted bytewise already: who keeps a list in that order saves the sort.
#[must_use]
pub fn phash_of_sorted(full_forms: &[String]) -> String {
    let parts: Vec<&[u8]> = full_forms.iter().map(String::as_bytes).collect();
    let hash = symmetric::sha256(&parts);
    let head = hash.first_chunk::<6>().map_or(&[][..], |head| head);
    format!("2:{}", STANDARD_NO_PAD.encode(head))
}
