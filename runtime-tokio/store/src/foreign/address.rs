//! How engines of libsignal name a device: the user, the kind of address as a number, the device.

use whatsio_core::types::{Jid, Server};

/// Reads `USER:DEVICE` or `USER_KIND:DEVICE`, with `separator` before the device.
pub(super) fn device(text: &str, separator: char) -> Option<Jid> {
    let (name, device) = text.rsplit_once(separator)?;
    let device = device.parse().ok()?;
    let (user, server) = match name.split_once('_') {
        None | Some((_, "0")) => (name.split('_').next()?, Server::Whatsapp),
        Some((user, "1")) => (user, Server::Lid),
        Some((user, "128")) => (user, Server::Hosted),
        Some((user, "129")) => (user, Server::HostedLid),
        Some(_) => return None,
    };
    let is_number = !user.is_empty() && user.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Jid::new(user, server).with_device(device))
}

/// Reads a number (`PN` or `LID` alone) as a user.
pub(super) fn user(number: &str, server: Server) -> Option<Jid> {
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Jid::new(number, server))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_address_is_read() {
        let read = |text| device(text, ':').map(|jid| jid.to_string());
        assert_eq!(read("15550100001:2").as_deref(), Some("15550100001:2@s.whatsapp.net"));
        assert_eq!(read("15550100001:0").as_deref(), Some("15550100001@s.whatsapp.net"));
        assert_eq!(read("100000000000001_1:7").as_deref(), Some("100000000000001:7@lid"));
        assert_eq!(read("15550100001_128:99").as_deref(), Some("15550100001:99@hosted"));
        assert_eq!(read("100000000000001_129:99").as_deref(), Some("100000000000001:99@hosted.lid"));
        for wrong in ["", "15550100001", "x:1", ":1", "1_7:1", "1:70000", "1:-1", "_1:1"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
