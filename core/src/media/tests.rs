//! Properties of the streaming transformers against plain definitions.

use super::*;
use hmac::Mac as _;
use proptest::prelude::*;

fn keys() -> MediaKeys {
    MediaKeys::derive(&MediaKey::new([7; 32]), &MediaKind::Video)
}

fn file(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251).to_le_bytes()[0]).collect()
}

/// Cuts `bytes` at pseudo-random places, some pieces being empty.
fn cut<'b>(bytes: &'b [u8], sizes: &'b [usize]) -> impl Iterator<Item = &'b [u8]> {
    let mut rest = bytes;
    sizes.iter().cycle().map_while(move |&size| {
        let (now, later) = rest.split_at(size.min(rest.len()));
        let ended = rest.is_empty();
        rest = later;
        (!ended).then_some(now)
    })
}

fn whole(length: usize, sidecars: Sidecars) -> (Vec<u8>, Encrypted) {
    encrypt(&MediaKey::new([7; 32]), &MediaKind::Video, sidecars, &file(length))
}

fn both() -> Sidecars {
    Sidecars { streaming: true, first_frame_length: Some(33) }
}

/// The sidecar by its definition, with everything in memory.
fn plain_sidecar(keys: &MediaKeys, body: &[u8]) -> Vec<u8> {
    let stream = [&keys.iv[..], body].concat();
    let window = |start: usize| {
        let mut mac = keys.fresh_mac();
        mac.update(&stream[start..stream.len().min(start + 65_552)]);
        tag(mac)
    };
    (0..stream.len()).step_by(65_536).flat_map(window).collect()
}

fn run(body: &[u8], sizes: &[usize], expected: Expected) -> Result<Vec<u8>, MediaError> {
    let (mut decryptor, mut out) = (Decryptor::new(&keys(), expected), Vec::new());
    for chunk in cut(body, sizes) {
        decryptor.push(chunk, &mut out)?;
    }
    decryptor.finish(&mut out)?;
    Ok(out)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn chunking_never_changes_the_body(length in 0_usize..9_000, sizes in prop::collection::vec(0_usize..5_000, 1..6)) {
        prop_assume!(sizes.iter().any(|&size| size > 0));
        let expected = whole(length, both());
        let (mut encryptor, mut body) = (Encryptor::new(&keys(), both()), Vec::new());
        let file = file(length);
        for chunk in cut(&file, &sizes) {
            encryptor.push(chunk, &mut body);
        }
        let encrypted = encryptor.finish(&mut body);
        prop_assert_eq!(body.len() as u64, encrypted_length(length as u64));
        prop_assert_eq!(&(body, encrypted), &expected);
    }

    #[test]
    fn chunking_never_changes_the_file(length in 0_usize..9_000, sizes in prop::collection::vec(0_usize..5_000, 1..6)) {
        prop_assume!(sizes.iter().any(|&size| size > 0));
        let (body, encrypted) = whole(length, both());
        let expected = Expected {
            file_sha256: Some(encrypted.file_sha256),
            file_enc_sha256: Some(encrypted.file_enc_sha256),
            streaming_sidecar: encrypted.streaming_sidecar,
        };
        prop_assert_eq!(run(&body, &sizes, expected), Ok(file(length)));
    }

    #[test]
    fn any_change_of_a_body_is_refused(length in 0_usize..300, at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let (mut body, _) = whole(length, Sidecars::default());
        let at = at.index(body.len());
        body[at] ^= 1 << bit;
        prop_assert_eq!(run(&body, &[17], Expected::default()), Err(MediaError::Mac));
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..200), size in 1_usize..50) {
        let error = run(&body, &[size], Expected::default()).unwrap_err();
        let whole_blocks = body.len() >= 26 && body.len() % 16 == 10;
        prop_assert_eq!(error, if whole_blocks { MediaError::Mac } else { MediaError::Length });
    }

    #[test]
    fn ranges_read_what_the_file_holds(length in 1_usize..200, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let (start, end) = (a.index(length), b.index(length) + 1);
        prop_assume!(start < end);
        let (body, _) = whole(length, Sidecars::default());
        let plan = RangePlan::new(start as u64..end as u64, length as u64).unwrap();
        let fetch = usize::try_from(plan.fetch().start).unwrap()..usize::try_from(plan.fetch().end).unwrap();
        prop_assert_eq!(plan.decrypt(&keys(), body[fetch].to_vec()).unwrap(), &file(length)[start..end]);
    }
}

#[test]
fn sidecars_follow_their_definition_around_window_edges() {
    let keys = keys();
    for length in [65_472, 65_488, 65_504, 65_519, 65_520, 65_521, 65_536, 65_552, 131_000, 131_056, 131_072, 200_000] {
        let (body, encrypted) = whole(length, both());
        let sidecar = encrypted.streaming_sidecar.unwrap();
        assert_eq!(sidecar, plain_sidecar(&keys, &body), "length {length}");
        let check = |tags: Vec<u8>| {
            run(&body, &[1_000, 7], Expected { streaming_sidecar: Some(tags), ..Expected::default() }).map(drop)
        };
        assert_eq!(check(sidecar.clone()), Ok(()));
        let shorter = check(sidecar[..sidecar.len() - 10].to_vec());
        // Only where the last window adds nothing may its tag be absent.
        let optional = (body.len() + 16) % 65_536 == 10;
        assert_eq!(shorter.is_ok(), optional, "length {length}: {shorter:?}");
        let mut changed = sidecar.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(check(changed), Err(MediaError::Sidecar));
        assert_eq!(check([&sidecar[..], &[0; 10]].concat()), Err(MediaError::Sidecar));
    }
}

#[test]
fn sidecar_stops_a_changed_body_at_the_next_window() {
    let (mut body, encrypted) = whole(300_000, both());
    body[100] ^= 1;
    let expected = Expected { streaming_sidecar: encrypted.streaming_sidecar, ..Expected::default() };
    let (mut decryptor, mut out) = (Decryptor::new(&keys(), expected), Vec::new());
    let outcome = cut(&body, &[1_000]).try_for_each(|chunk| decryptor.push(chunk, &mut out));
    assert_eq!(outcome, Err(MediaError::Sidecar));
    assert!(out.len() < 70_000);
}

#[test]
fn first_frame_tag_covers_whole_blocks_and_needs_the_frame_to_be_there() {
    let keys = keys();
    let (body, _) = whole(100, Sidecars::default());
    for (length, covered) in [(1, Some(16)), (16, Some(16)), (17, Some(32)), (100, Some(112)), (101, None)] {
        let wanted = Sidecars { streaming: false, first_frame_length: Some(length) };
        let expected = covered.map(|covered: usize| {
            let mut mac = keys.fresh_mac();
            mac.update(&keys.iv);
            mac.update(&body[..covered]);
            tag(mac)
        });
        assert_eq!(whole(100, wanted).1.first_frame_sidecar, expected, "frame of {length} bytes");
    }
}

#[test]
fn hashes_of_the_message_are_compared() {
    let (body, encrypted) = whole(50, Sidecars::default());
    let right = Expected {
        file_sha256: Some(encrypted.file_sha256),
        file_enc_sha256: Some(encrypted.file_enc_sha256),
        streaming_sidecar: None,
    };
    assert!(run(&body, &[9], right.clone()).is_ok());
    let other = Expected { file_sha256: Some([0; 32]), ..right.clone() };
    assert_eq!(run(&body, &[9], other), Err(MediaError::PlaintextHash));
    let other = Expected { file_enc_sha256: Some([0; 32]), ..right };
    assert_eq!(run(&body, &[9], other), Err(MediaError::EncryptedHash));
}

#[test]
fn ranges_past_the_end_are_refused() {
    for wanted in [0..0, 5..5, 0..11, 11..12] {
        assert_eq!(RangePlan::new(wanted, 10), Err(MediaError::Range));
    }
    let plan = RangePlan::new(0..10, 10).unwrap();
    assert_eq!(plan.decrypt(&keys(), vec![0; 15]), Err(MediaError::Length));
    assert_eq!(plan.decrypt(&keys(), vec![0; 16]), Err(MediaError::Padding));
}

#[test]
fn tokens_are_read_with_and_without_padding() {
    let token = upload_token(&[0xfb; 32]);
    assert!(token.ends_with('=') && token.contains('-') || token.contains('_'));
    assert_eq!(parse_upload_token(&token), Some([0xfb; 32]));
    assert_eq!(parse_upload_token(token.trim_end_matches('=')), Some([0xfb; 32]));
    assert_eq!(parse_upload_token("AAAA"), None);
    assert_eq!(parse_upload_token("not a token"), None);
}

#[test]
fn retry_notices_are_bound_to_key_and_message() {
    let key = RetryKey::derive(&MediaKey::new([7; 32]));
    let sealed = key.seal_request("ID", [1; 12]).unwrap();
    assert_eq!(key.open_request("ID", [1; 12], &sealed), Ok(()));
    assert_eq!(key.open_request("ID2", [1; 12], &sealed), Err(RetryError::Authentication));
    let other = RetryKey::derive(&MediaKey::new([8; 32]));
    assert_eq!(other.open_request("ID", [1; 12], &sealed), Err(RetryError::Authentication));
    let reply = RetryReply { result: RetryResult::Success, direct_path: Some("/p".into()), message_secret: None };
    let sealed = key.seal_reply("ID", [2; 12], &reply).unwrap();
    assert_eq!(key.open_reply("ID", [2; 12], &sealed), Ok(reply));
    assert_eq!(key.open_reply("ID", [2; 12], b""), Err(RetryError::Authentication));
}
