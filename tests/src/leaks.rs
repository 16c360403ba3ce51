//! Finds secrets where they do not belong: in logs, panic texts and error messages; raw, as hex digits, as base64, and in
//! the forms in which Rust prints bytes (`[7, 81]`, `[07, 51]`, `b"\x07Q"`).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::collections::{HashMap, HashSet};

/// So many bytes of a secret in a row are a leak.
const WINDOW: usize = 16;

/// With fewer different bytes a window says nothing: padding looks the same everywhere.
const DIFFERENT: usize = 6;

/// The shortest text that is searched for.
const LEAD: usize = 5;

/// What must not be found.
#[derive(Default)]
pub struct Secrets {
    /// Every run of 16 bytes of every secret.
    windows: HashSet<[u8; WINDOW]>,
    /// Texts and numbers, shorter than a window perhaps, in every form that is searched for.
    texts: Vec<(String, Vec<u8>)>,
}

impl Secrets {
    /// Adds bytes that must not be found, not even 16 of them in a row. Readable text among them does not
    /// count: half of an address is the name of a server.
    pub fn add_bytes(&mut self, secret: &[u8]) {
        let is_readable = |window: &&[u8]| window.iter().all(|byte| matches!(byte, b' '..=b'~'));
        self.windows.extend(secret.windows(WINDOW).filter(|window| !is_readable(window)).filter_map(telling));
    }

    /// Adds a text that must not be found: a message, a name, a number, a code. At least five bytes.
    pub fn add_text(&mut self, text: &str) {
        assert!(text.len() >= LEAD, "a text this short is found by chance");
        let mut forms = vec![text.as_bytes().to_vec(), hex::encode(text).into(), hex::encode_upper(text).into()];
        for shift in 0..3 {
            // What stands before a text moves its bits; what the neighbours share is cut off.
            let mut shifted = vec![0; shift];
            shifted.extend_from_slice(text.as_bytes());
            for encoded in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
                let (first, end) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
                forms.push(encoded.as_bytes()[first..end].to_vec());
            }
        }
        forms.retain(|form| form.len() >= LEAD);
        self.texts.extend(forms.into_iter().map(|form| (text.to_owned(), form)));
    }

    /// How much there is to be found.
    #[must_use]
    pub fn len(&self) -> usize {
        self.windows.len() + self.texts.len()
    }

    /// Whether there is nothing to be found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every leak in `output`, each with the place where it was found and what stands around it.
    #[must_use]
    pub fn found_in(&self, output: &[u8]) -> Vec<String> {
        let mut leaks = Vec::new();
        let mut by_lead: HashMap<&[u8], Vec<(&str, &[u8])>> = HashMap::new();
        for (text, form) in &self.texts {
            by_lead.entry(&form[..LEAD]).or_default().push((text, form));
        }
        for (at, lead) in output.windows(LEAD).enumerate() {
            for (text, form) in by_lead.get(lead).into_iter().flatten() {
                if output[at..].starts_with(form) {
                    leaks.push(format!("{text:?} in {:?}", around(output, at)));
                }
            }
        }
        self.search(output, |at| at, output, "raw", &mut leaks);
        for (start, run) in runs(output, |byte| byte.is_ascii_hexdigit(), 2 * WINDOW) {
            for shift in 0..2 {
                let digits = &run[shift..];
                let bytes = hex::decode(&digits[..digits.len() / 2 * 2]).expect("hex digits");
                self.search(&bytes, |at| start + shift + 2 * at, output, "hex", &mut leaks);
            }
        }
        for (start, run) in runs(output, is_base64, WINDOW * 4 / 3) {
            let standard: Vec<u8> = run.iter().map(|byte| standard(*byte)).collect();
            for shift in 0..4.min(standard.len()) {
                let digits = &standard[shift..];
                let bytes = STANDARD_NO_PAD.decode(&digits[..digits.len() / 4 * 4]).expect("base64 digits");
                self.search(&bytes, |at| start + shift + at * 4 / 3, output, "base64", &mut leaks);
            }
        }
        self.search(&unescaped(output), |at| at, output, "escaped", &mut leaks);
        let decimal = |token: &str| token.parse().ok();
        let two_digits = |token: &str| {
            let digits = token.strip_prefix("0x").unwrap_or(token);
            u8::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 2)
        };
        for bytes in lists(output, decimal).into_iter().chain(lists(output, two_digits)) {
            self.search(&bytes, |_| 0, output, "as a list", &mut leaks);
            let text =
                self.texts.iter().find(|(_, form)| bytes.windows(form.len()).any(|found| found == form.as_slice()));
            leaks.extend(text.map(|(text, _)| format!("{text:?} as a list of bytes")));
        }
        leaks
    }

    fn search(&self, bytes: &[u8], place: impl Fn(usize) -> usize, output: &[u8], form: &str, leaks: &mut Vec<String>) {
        let is_secret = |window: &[u8]| self.windows.contains(window);
        if let Some(at) = bytes.windows(WINDOW).position(is_secret) {
            leaks.push(format!("bytes of a secret, {form}, in {:?}", around(output, place(at))));
        }
    }
}

fn telling(window: &[u8]) -> Option<[u8; WINDOW]> {
    let different: HashSet<u8> = window.iter().copied().collect();
    window.try_into().ok().filter(|_| different.len() >= DIFFERENT)
}

fn runs(output: &[u8], is_digit: impl Fn(u8) -> bool, least: usize) -> Vec<(usize, &[u8])> {
    let mut found = Vec::new();
    let mut start = 0;
    for run in output.split(|byte| !is_digit(*byte)) {
        if run.len() >= least {
            found.push((start, run));
        }
        start += run.len() + 1;
    }
    found
}

/// Lists of at least 5 bytes, each written as `read` reads it.
fn lists(output: &[u8], read: impl Fn(&str) -> Option<u8>) -> Vec<Vec<u8>> {
    let (mut found, mut list) = (Vec::new(), Vec::new());
    let mut end = |list: &mut Vec<u8>| {
        if list.len() >= LEAD {
            found.push(std::mem::take(list));
        }
        list.clear();
    };
    for token in output.split(|byte| !byte.is_ascii_alphanumeric()).filter(|token| !token.is_empty()) {
        match std::str::from_utf8(token).ok().and_then(&read) {
            Some(byte) => list.push(byte),
            None => end(&mut list),
        }
    }
    end(&mut list);
    found
}

/// With `\x07`, `\n` and the like replaced by what they stand for.
fn unescaped(output: &[u8]) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::with_capacity(output.len()), output);
    while let Some((first, after)) = rest.split_first() {
        let (byte, length) = match (first, after) {
            (b'\\', [b'x', high, low, ..]) => match hex::decode([*high, *low]) {
                Ok(byte) => (byte[0], 4),
                Err(_) => (b'\\', 1),
            },
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [b'0', ..]) => (0, 2),
            (b'\\', [same @ (b'\\' | b'"' | b'\''), ..]) => (*same, 2),
            _ => (*first, 1),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    bytes
}

const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

const fn standard(byte: u8) -> u8 {
    match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    }
}

fn around(output: &[u8], at: usize) -> String {
    let (from, to) = (at.saturating_sub(60), (at + 60).min(output.len()));
    String::from_utf8_lossy(&output[from..to]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [
        7, 81, 200, 13, 9, 255, 64, 31, 2, 90, 17, 66, 120, 5, 188, 240, 33, 71, 6, 19, 250, 101, 47, 83, 3, 12, 99,
        178, 45, 222, 61, 8,
    ];

    fn leaks(text: &[u8]) -> usize {
        let mut secrets = Secrets::default();
        secrets.add_bytes(&KEY);
        secrets.add_text("+49 151 12345678");
        secrets.add_text("Hello");
        secrets.found_in(text).len()
    }

    #[test]
    fn half_a_key_is_found_in_every_form_wherever_it_begins() {
        for half in [&KEY[..], &KEY[3..19], &KEY[16..]] {
            for lead in ["", "x", " key=", "0"] {
                let raw = [lead.as_bytes(), half].concat();
                assert!(leaks(&raw) > 0);
                for form in [hex::encode(half), hex::encode_upper(half)] {
                    assert!(leaks(format!("{lead}{form} rest").as_bytes()) > 0, "{lead}{form}");
                }
                // Encoded together with what stands before it.
                for form in [STANDARD_NO_PAD.encode(&raw), URL_SAFE_NO_PAD.encode(&raw)] {
                    let told = [&raw[..], &[1, 2]].concat();
                    assert!(leaks(format!("a {form}.").as_bytes()) > 0 || half.len() == WINDOW, "{form}");
                    assert!(leaks(format!("a {}.", STANDARD_NO_PAD.encode(told)).as_bytes()) > 0);
                }
            }
        }
    }

    #[test]
    fn a_key_is_found_as_rust_prints_it() {
        let bytes = bytes::Bytes::copy_from_slice(&KEY);
        for form in [format!("{KEY:?}"), format!("{KEY:#?}"), format!("{KEY:02x?}"), format!("{bytes:?}")] {
            assert!(leaks(format!("key={form}").as_bytes()) > 0, "{form}");
        }
    }

    #[test]
    fn a_text_is_found_in_every_form() {
        for text in ["Hello", "+49 151 12345678"] {
            for before in ["", "a", "ab", "abc"] {
                let whole = format!("{before}{text}!!");
                for form in
                    [whole.clone(), hex::encode(&whole), STANDARD_NO_PAD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)]
                {
                    assert!(leaks(format!("line: {form}\n").as_bytes()) > 0, "{form}");
                }
            }
        }
    }

    #[test]
    fn a_text_is_found_as_rust_prints_its_bytes() {
        for form in [format!("{:?}", b"say Hello"), format!("{:#x?}", b"Hello"), format!("{:02x?}", b"Hello!")] {
            assert!(leaks(form.as_bytes()) > 0, "{form}");
        }
    }

    #[test]
    fn what_is_no_secret_is_not_found() {
        let innocent = format!("{} 0000000000000000000000000000000000000000 {}", hex::encode([1; 64]), "A".repeat(90));
        assert_eq!(leaks(innocent.as_bytes()), 0);
    }
}
