//! What a client says about itself inside the handshake: a registration with fresh keys, or the login of a linked
//! device. Written for the client, read for the server. Knows nothing of the handshake around it.

use crate::api::{Platform, ProtocolProfile};
use crate::crypto::symmetric::md5;
use crate::crypto::{CurveError, PublicKey, Signature};
use bytes::Bytes;
use prost::Message;
use thiserror::Error;
use whatsio_proto::companion_reg::DeviceProps;
use whatsio_proto::companion_reg::device_props::{self, HistorySyncConfig, PlatformType};
use whatsio_proto::wa6::ClientPayload;
use whatsio_proto::wa6::client_payload::user_agent::{self, AppVersion, ReleaseChannel};
use whatsio_proto::wa6::client_payload::web_info::WebSubPlatform;
use whatsio_proto::wa6::client_payload::{
    ConnectReason, ConnectType, DevicePairingRegistrationData, UserAgent, WebInfo,
};

/// Type byte of Curve25519 keys.
const KEY_TYPE: u8 = 0x05;

/// Version of the companion itself, shown nowhere; what peers send.
const COMPANION_VERSION: [u32; 3] = [0, 1, 0];

/// Storage that the phone may assume for history, in megabytes: what peers send.
const STORAGE_QUOTA_MB: u32 = 10_240;

/// Days for which the phone sends thumbnails with the history.
const THUMBNAIL_DAYS: u32 = 60;

/// Public keys of a device that registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Signal registration id, not 0.
    pub registration_id: u32,
    /// Identity key.
    pub identity: PublicKey,
    /// Id of the signed pre-key, 24 bits, not 0.
    pub signed_prekey_id: u32,
    /// The signed pre-key.
    pub signed_prekey: PublicKey,
    /// Signature of the identity key over the serialised pre-key.
    pub signature: Signature,
}

/// What a client wants of a connection. Its `Debug` form shows no phone number.
#[derive(Clone, PartialEq, Eq)]
pub enum Intent {
    /// To be linked.
    Register {
        /// Its keys.
        keys: Registration,
        /// `DeviceProps` as sent: what it is and how much history it wants.
        device_props: Bytes,
    },
    /// To log in as a linked device.
    LogIn {
        /// Phone number of the account.
        user: u64,
        /// Device number; 0 when the client did not say.
        device: u32,
        /// Whether the offline queue is held back until the client is active.
        passive: bool,
    },
}

/// A client payload as a server reads it. Its `Debug` form shows no phone number and no name.
#[derive(Clone, PartialEq, Eq)]
pub struct Announcement {
    /// What the client wants.
    pub intent: Intent,
    /// Version of the web client it speaks for: primary, secondary, tertiary.
    pub version: [u32; 3],
    /// Whether the build hash of a registration fits the version; peers only warn.
    pub build_hash_fits: bool,
    /// Name the user gave to themselves, if sent.
    pub push_name: Option<String>,
}

/// Why a server cannot read a client payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// Not protobuf, or a part is missing or has the wrong length: answer 400.
    #[error("malformed client payload")]
    Malformed,
    /// The signature over the signed pre-key does not verify: sessions with this device could not start.
    #[error("signed pre-key does not verify: {0}")]
    SignedPreKey(#[from] CurveError),
}

/// The payload of a device that wants to be linked.
#[must_use]
pub fn registration_payload(profile: &ProtocolProfile, keys: &Registration) -> Bytes {
    let [_, id @ ..] = keys.signed_prekey_id.to_be_bytes();
    let registration = DevicePairingRegistrationData {
        e_regid: Some(Bytes::copy_from_slice(&keys.registration_id.to_be_bytes())),
        e_keytype: Some(Bytes::from_static(&[KEY_TYPE])),
        e_ident: Some(Bytes::copy_from_slice(keys.identity.as_bytes())),
        e_skey_id: Some(Bytes::copy_from_slice(&id)),
        e_skey_val: Some(Bytes::copy_from_slice(keys.signed_prekey.as_bytes())),
        e_skey_sig: Some(Bytes::copy_from_slice(keys.signature.as_bytes())),
        build_hash: Some(Bytes::copy_from_slice(&build_hash(profile.version))),
        device_props: Some(device_props(profile).encode_to_vec().into()),
    };
    let payload = ClientPayload {
        passive: Some(false),
        pull: Some(false),
        device_pairing_data: Some(Box::new(registration)),
        ..common(profile)
    };
    payload.encode_to_vec().into()
}

/// The payload of a linked device: `user` is the phone number of its PN address. Passive, so that the server holds the
/// offline queue back until the client says that it is active.
#[must_use]
pub fn login_payload(profile: &ProtocolProfile, user: u64, device: u16) -> Bytes {
    let payload = ClientPayload {
        username: Some(user),
        device: Some(device.into()),
        passive: Some(true),
        pull: Some(true),
        lid_db_migrated: Some(true),
        ..common(profile)
    };
    payload.encode_to_vec().into()
}

/// Reads a client payload. A registration is recognised by its pairing data, never by `passive`. Fails with `Malformed` or
/// `SignedPreKey`.
pub fn read(payload: &[u8]) -> Result<Announcement, PayloadError> {
    let payload = ClientPayload::decode(payload).map_err(|_| PayloadError::Malformed)?;
    let version = payload.user_agent.and_then(|agent| agent.app_version).unwrap_or_default();
    let version = [version.primary, version.secondary, version.tertiary].map(Option::unwrap_or_default);
    let mut build_hash_fits = true;
    let intent = match payload.device_pairing_data {
        Some(data) => {
            build_hash_fits = data.build_hash.as_deref() == Some(&build_hash(version)[..]);
            Intent::Register { keys: Registration::read(&data)?, device_props: data.device_props.unwrap_or_default() }
        }
        None => Intent::LogIn {
            user: payload.username.ok_or(PayloadError::Malformed)?,
            device: payload.device.unwrap_or_default(),
            passive: payload.passive.unwrap_or_default(),
        },
    };
    Ok(Announcement { intent, version, build_hash_fits, push_name: payload.push_name })
}

impl Registration {
    fn read(data: &DevicePairingRegistrationData) -> Result<Self, PayloadError> {
        let malformed = PayloadError::Malformed;
        if data.e_keytype.as_deref() != Some(&[KEY_TYPE]) {
            return Err(malformed);
        }
        let key = |bytes: &Option<Bytes>| PublicKey::from_slice(bytes.as_deref().unwrap_or_default());
        let registration_id = data.e_regid.as_deref().unwrap_or_default();
        let id = data.e_skey_id.as_deref().unwrap_or_default();
        let keys = Self {
            registration_id: u32::from_be_bytes(registration_id.try_into().map_err(|_| malformed)?),
            identity: key(&data.e_ident).map_err(|_| malformed)?,
            signed_prekey_id: match *id {
                [high, middle, low] => u32::from_be_bytes([0, high, middle, low]),
                _ => return Err(malformed),
            },
            signed_prekey: key(&data.e_skey_val).map_err(|_| malformed)?,
            signature: Signature::from_slice(data.e_skey_sig.as_deref().unwrap_or_default()).map_err(|_| malformed)?,
        };
        keys.identity.verify(&[&keys.signed_prekey.serialize()], &keys.signature)?;
        Ok(keys)
    }
}

/// MD5 over the text of the version; what the server compares with its known builds.
fn build_hash([primary, secondary, tertiary]: [u32; 3]) -> [u8; 16] {
    md5(&[format!("{primary}.{secondary}.{tertiary}").as_bytes()])
}

fn common(profile: &ProtocolProfile) -> ClientPayload {
    let [primary, secondary, tertiary] = profile.version;
    let [language, country] = profile.locale.clone();
    let version = AppVersion {
        primary: Some(primary),
        secondary: Some(secondary),
        tertiary: Some(tertiary),
        ..AppVersion::default()
    };
    let agent = UserAgent {
        platform: Some(user_agent::Platform::Web as i32),
        app_version: Some(version),
        mcc: Some("000".into()),
        mnc: Some("000".into()),
        os_version: Some("0.1".into()),
        manufacturer: Some(String::new()),
        device: Some("Desktop".into()),
        os_build_number: Some("0.1".into()),
        release_channel: Some(ReleaseChannel::Release as i32),
        locale_language_iso6391: Some(language),
        locale_country_iso31661_alpha2: Some(country),
        ..UserAgent::default()
    };
    let web = WebInfo { web_sub_platform: Some(WebSubPlatform::WebBrowser as i32), ..WebInfo::default() };
    ClientPayload {
        user_agent: Some(Box::new(agent)),
        web_info: Some(Box::new(web)),
        connect_type: Some(ConnectType::WifiUnknown as i32),
        connect_reason: Some(ConnectReason::UserActivated as i32),
        ..ClientPayload::default()
    }
}

/// The platform type of the registration; other numbers than in a linking code.
#[must_use]
pub const fn platform_type(platform: Platform) -> PlatformType {
    match platform {
        Platform::Chrome => PlatformType::Chrome,
        Platform::Firefox => PlatformType::Firefox,
        Platform::Safari => PlatformType::Safari,
        Platform::Edge => PlatformType::Edge,
        Platform::Desktop => PlatformType::Desktop,
        Platform::Other => PlatformType::Unknown,
    }
}

fn device_props(profile: &ProtocolProfile) -> DeviceProps {
    let [primary, secondary, tertiary] = COMPANION_VERSION.map(Some);
    let yes = Some(true);
    DeviceProps {
        os: Some(profile.os.clone()),
        version: Some(device_props::AppVersion { primary, secondary, tertiary, ..device_props::AppVersion::default() }),
        platform_type: Some(platform_type(profile.platform) as i32),
        require_full_sync: Some(false),
        history_sync_config: Some(HistorySyncConfig {
            storage_quota_mb: Some(STORAGE_QUOTA_MB),
            inline_initial_payload_in_e2ee_msg: yes,
            support_call_log_history: yes,
            support_bot_user_agent_chat_history: yes,
            support_cag_reactions_and_polls: yes,
            support_biz_hosted_msg: yes,
            support_recent_sync_chunk_message_count_tuning: yes,
            support_hosted_group_msg: yes,
            support_fbid_bot_chat_history: yes,
            support_message_association: yes,
            support_group_history: yes,
            thumbnail_sync_days_limit: Some(THUMBNAIL_DAYS),
            ..HistorySyncConfig::default()
        }),
    }
}

impl std::fmt::Debug for Intent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Register { keys, .. } => f.debug_struct("Register").field("keys", keys).finish_non_exhaustive(),
            Self::LogIn { device, passive, .. } => {
                f.debug_struct("LogIn").field("device", device).field("passive", passive).finish_non_exhaustive()
            }
        }
    }
}

impl std::fmt::Debug for Announcement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut form = f.debug_struct("Announcement");
        form.field("intent", &self.intent).field("version", &self.version).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::KeyPair;

    fn keys() -> Registration {
        let (identity, prekey) = (KeyPair::from_private([1; 32]), KeyPair::from_private([2; 32]));
        Registration {
            registration_id: 0x0102_0304,
            identity: identity.public,
            signed_prekey_id: 0xABCDEF,
            signed_prekey: prekey.public,
            signature: identity.sign(&[&prekey.public.serialize()], &[3; 64]),
        }
    }

    #[test]
    fn registration_reads_back() {
        let profile = ProtocolProfile::default();
        let read = read(&registration_payload(&profile, &keys())).unwrap();
        assert_eq!((read.version, read.build_hash_fits), (profile.version, true));
        let Intent::Register { keys: seen, device_props } = read.intent else { panic!("a login") };
        assert_eq!(seen, keys());
        let props = DeviceProps::decode(device_props).unwrap();
        assert_eq!(props.os.as_deref(), Some("whatsio"));
        assert!(props.platform_type() == PlatformType::Chrome);
    }

    #[test]
    fn registration_with_an_unsigned_prekey_is_refused() {
        let broken = Registration { signed_prekey: keys().identity, ..keys() };
        let payload = registration_payload(&ProtocolProfile::default(), &broken);
        assert_eq!(read(&payload), Err(PayloadError::SignedPreKey(CurveError::SignatureMismatch)));
    }

    #[test]
    fn login_reads_back() {
        let read = read(&login_payload(&ProtocolProfile::default(), 15_551_230_001, 7)).unwrap();
        assert_eq!(read.intent, Intent::LogIn { user: 15_551_230_001, device: 7, passive: true });
        assert!(!format!("{read:?}").contains("15551230001"));
    }

    #[test]
    fn payload_that_is_neither_is_refused() {
        assert_eq!(read(&[]), Err(PayloadError::Malformed));
        assert_eq!(read(&[0xFF]), Err(PayloadError::Malformed));
    }
}
