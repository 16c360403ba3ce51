//! Addresses inside a frame: four layouts, read in place.

use super::{DecodeError, Role, decode::Cursor, string::Str, tag};
use crate::types::{Jid, Server};

/// A checked address of a frame.
pub(super) struct RawJid<'t> {
    user: Option<Str<'t>>,
    server: RawServer<'t>,
    device: u16,
    integrator: u16,
}

enum RawServer<'t> {
    Known(Server),
    Text(Str<'t>),
}

impl<'t> RawJid<'t> {
    /// Reads the address behind the tag byte `layout`.
    pub(super) fn read(layout: u8, cursor: &mut Cursor<'t>, role: Role) -> Result<Self, DecodeError> {
        match layout {
            tag::JID_PAIR => Self::read_pair(cursor),
            tag::AD_JID => {
                let server = server_of_domain(cursor.byte()?)?;
                let device = u16::from(cursor.byte()?);
                let user = Some(required(cursor)?);
                Ok(Self { user, server: RawServer::Known(server), device, integrator: 0 })
            }
            tag::FB_JID => {
                let user = Some(required(cursor)?);
                let device = cursor.short()?;
                expect_server(cursor, &Server::Messenger)?;
                Ok(Self { user, server: RawServer::Known(Server::Messenger), device, integrator: 0 })
            }
            tag::INTEROP_JID => {
                let user = Some(required(cursor)?);
                let device = cursor.short()?;
                let integrator = cursor.short()?;
                // The web client reads four parts and writes three.
                if role == Role::Client {
                    expect_server(cursor, &Server::Interop)?;
                }
                Ok(Self { user, server: RawServer::Known(Server::Interop), device, integrator })
            }
            _ => Err(DecodeError::BadTag),
        }
    }

    fn read_pair(cursor: &mut Cursor<'t>) -> Result<Self, DecodeError> {
        let user = match cursor.byte()? {
            tag::LIST_EMPTY => None,
            first => Some(cursor.string(first)?),
        };
        let server = required(cursor)?;
        Ok(Self { user, server: RawServer::Text(server), device: 0, integrator: 0 })
    }

    pub(super) fn to_jid(&self) -> Jid {
        let server = match &self.server {
            RawServer::Known(server) => server.clone(),
            RawServer::Text(text) => text.with_text(Server::of),
        };
        let jid = match self.user {
            Some(user) => user.with_text(|text| Jid::new(text, server)),
            None => Jid::new("", server),
        };
        jid.with_device(self.device).with_integrator(self.integrator)
    }
}

fn required<'t>(cursor: &mut Cursor<'t>) -> Result<Str<'t>, DecodeError> {
    let first = cursor.byte()?;
    let string = cursor.string(first)?;
    if string.is_empty() { Err(DecodeError::MissingString) } else { Ok(string) }
}

fn expect_server(cursor: &mut Cursor<'_>, server: &Server) -> Result<(), DecodeError> {
    if required(cursor)?.is_text(server.as_str()) { Ok(()) } else { Err(DecodeError::JidServer) }
}

/// The web client takes every even domain above 128 for `hosted` and refuses the rest; older peers read
/// `s.whatsapp.net` there.
fn server_of_domain(domain: u8) -> Result<Server, DecodeError> {
    match domain {
        0 => Ok(Server::Whatsapp),
        1 => Ok(Server::Lid),
        129 => Ok(Server::HostedLid),
        128.. if domain.is_multiple_of(2) => Ok(Server::Hosted),
        _ => Err(DecodeError::JidDomain),
    }
}
