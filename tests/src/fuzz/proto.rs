//! Protobuf from peers: every type that is decoded whole, and the readers that borrow single fields instead.

use super::script::Script;
use prost::Message;
use whatsio_core::message::{
    Classification, ScanError, Scanned, content_of, context_of, is_reportable, lid_mappings, mentions_of,
    placeholder_answer, quoted_id_of, reporting_extract, text_of, unwrap_device_sent, wrap_device_sent,
};
use whatsio_proto::fields::Fields;
use whatsio_proto::{
    adv, cert, companion_reg, device_capabilities, e2e, history_sync, lid_migration, mms_retry, server_sync, signal,
    sync_action, syncd_snapshot_recovery, vname_cert, wa6, web,
};

/// A byte that chooses the reader, then the message.
pub fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let choice = usize::from(script.byte());
    let message = script.rest();
    match TYPES.get(choice % (TYPES.len() + 1)) {
        Some(decode) => decode(message),
        None => borrowed(message),
    }
}

/// The types, in an order that corpora rely on: add at the end.
const TYPES: &[fn(&[u8])] = &[
    content,
    whole::<history_sync::HistorySync>,
    whole::<adv::AdvSignedDeviceIdentityHmac>,
    whole::<adv::AdvSignedDeviceIdentity>,
    whole::<adv::AdvDeviceIdentity>,
    whole::<adv::AdvSignedKeyIndexList>,
    whole::<adv::AdvKeyIndexList>,
    whole::<wa6::HandshakeMessage>,
    whole::<wa6::ClientPayload>,
    whole::<cert::CertChain>,
    whole::<companion_reg::DeviceProps>,
    whole::<companion_reg::CompanionEphemeralIdentity>,
    whole::<companion_reg::ProloguePayload>,
    whole::<companion_reg::PrimaryEphemeralIdentity>,
    whole::<companion_reg::PairingRequest>,
    whole::<companion_reg::EncryptedPairingRequest>,
    whole::<lid_migration::LidMigrationMappingSyncPayload>,
    whole::<mms_retry::MediaRetryNotification>,
    whole::<mms_retry::ServerErrorReceipt>,
    whole::<server_sync::SyncdPatch>,
    whole::<server_sync::SyncdSnapshot>,
    whole::<server_sync::SyncdMutations>,
    whole::<sync_action::SyncActionData>,
    whole::<syncd_snapshot_recovery::SyncdSnapshotRecovery>,
    whole::<vname_cert::VerifiedNameCertificate>,
    whole::<web::WebMessageInfo>,
    whole::<signal::PreKeySignalMessage>,
    whole::<signal::SenderKeyDistributionMessage>,
    whole::<device_capabilities::DeviceCapabilities>,
];

/// What decodes is written in a form that decodes to the same. Numbers that are not a number differ from themselves, so
/// bytes are compared.
fn whole<M: Message + Default>(bytes: &[u8]) {
    let Ok(message) = M::decode(bytes) else { return };
    let written = message.encode_to_vec();
    assert_eq!(written.len(), message.encoded_len());
    let again = M::decode(written.as_slice()).expect("what was written is read");
    assert_eq!(again.encode_to_vec(), written, "there is one written form");
}

/// Content of a message, as applications read it and as the core does.
fn content(bytes: &[u8]) {
    whole::<e2e::Message>(bytes);
    borrowed(bytes);
    let Ok(message) = e2e::Message::decode(bytes) else { return };
    let inner = content_of(&message);
    let _ = (text_of(inner), context_of(inner), quoted_id_of(inner), mentions_of(inner).count());

    // Written by us there is nothing unusual in it: the scan must see what decoding sees.
    let written = message.encode_to_vec();
    borrowed(&written);
    match Scanned::of(&written) {
        Ok(scanned) => {
            let wanted = message.sender_key_distribution_message.as_deref();
            if message.device_sent_message.is_none() {
                assert_eq!(scanned.group_key.is_some(), wanted.is_some(), "a sender key is overlooked");
            }
            assert!(
                message.protocol_message.is_none() || scanned.protocol.is_some(),
                "a protocol message is overlooked"
            );
        }
        Err(ScanError::TooDeep) => {}
        Err(error) => {
            // A sender key without a key, and a copy of nothing, are refused, also inside a wrapper.
            let is_plain = std::ptr::eq(inner, &raw const message)
                && message.sender_key_distribution_message.is_none()
                && message.device_sent_message.is_none();
            assert!(!is_plain, "decoded, but not scanned: {error}");
        }
    }
}

/// The readers that look at a few fields of an encoded message.
fn borrowed(bytes: &[u8]) {
    let mut raw = Vec::new();
    let mut is_sound = true;
    for field in Fields::of(bytes) {
        match field {
            Ok(field) => raw.extend_from_slice(field.raw),
            Err(_) => is_sound = false,
        }
    }
    assert!(bytes.starts_with(&raw) && (!is_sound || raw.len() == bytes.len()), "fields are not what was read");

    let scanned = Scanned::of(bytes);
    let classified = Classification::of(bytes);
    assert!(scanned.is_ok() || classified.is_err(), "what cannot be scanned is classified");
    assert!(is_sound || scanned.is_err(), "half a message is taken for one");
    if let Ok(extract) = reporting_extract(bytes) {
        assert!(extract.len() <= bytes.len(), "an extract is a part");
    }
    if let Ok(Some(inner)) = unwrap_device_sent(bytes) {
        let _ = Scanned::of(&inner);
    }
    let _ = lid_mappings(bytes);
    let _ = placeholder_answer(bytes);
    let Ok(scanned) = scanned else { return };
    let _ = is_reportable(&scanned);
    if let Some(protocol) = scanned.protocol {
        let _ = (lid_mappings(protocol.bytes), placeholder_answer(protocol.bytes));
    }
    if let Ok(wrapped) = wrap_device_sent(bytes, "1@s.whatsapp.net", None) {
        let rescanned = Scanned::of(&wrapped);
        if let Ok(rescanned) = rescanned {
            assert!(rescanned.device_sent.is_some_and(|sent| sent.destination == "1@s.whatsapp.net"));
            assert!(unwrap_device_sent(&wrapped).expect("wrapped by us").is_some());
        }
    }
}
