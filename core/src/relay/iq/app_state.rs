//! `w:sync:app:state`: fetching and storing patches of the account's collections.

use super::{Answer, Request, done, error, one};
use crate::binary::Node;
use crate::relay::Relay;
use crate::relay::app_state::{NAMES, Page, PatchError};
use crate::relay::wire::Look;
use crate::types::{Jid, Now};

impl Relay {
    pub(super) fn answer_app_state(&mut self, now: Now, request: &Request<'_>) -> Answer {
        let own = request.origin.device;
        if request.child("delete_all_data").is_some() {
            self.directory.account_mut(own.account).ok_or(401_u16)?.collections.clear();
            return done();
        }
        let sync = request.child("sync").ok_or(400_u16)?;
        let asked: Vec<&Node> =
            sync.children().iter().filter(|node| node.is("collection")).take(MOST_COLLECTIONS).collect();
        let mut answer = Node::new("sync");
        let mut changed = Vec::new();
        for collection in asked {
            let (node, version) = self.synced(own.account, collection)?;
            if let Some(version) = version {
                changed.push((collection.owned("name").unwrap_or_default(), version));
            }
            answer = answer.with_child(node);
        }
        if !changed.is_empty() {
            for device in self.directory.companions(own.account).into_iter().filter(|device| *device != own) {
                self.notify(now, device, "server_sync", Jid::server_itself(), |mut node| {
                    for (name, version) in &changed {
                        node = node.with_child(
                            Node::new("collection").with("name", name.as_str()).with("version", version.to_string()),
                        );
                    }
                    node
                });
            }
        }
        one(answer)
    }

    /// One collection's answer, and its new version if a patch was stored.
    fn synced(&mut self, own: crate::relay::directory::AccountId, asked: &Node) -> Result<(Node, Option<u64>), u16> {
        let limits = self.config.limits.clone();
        let name = asked.owned("name").ok_or(400_u16)?;
        let known = asked.owned("version").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let collections = &mut self.directory.account_mut(own).ok_or(401_u16)?.collections;
        let node = Node::new("collection").with("name", name.as_str());
        let Some(name) = NAMES.into_iter().find(|other| *other == name) else {
            return Ok((node.with("type", "error").with_child(error(404)), None));
        };
        let Some(patch) = asked.child("patch") else {
            return Ok((with_page(node, collections.behind(name, known)), None));
        };
        let bytes = patch.bytes().unwrap_or_default();
        if bytes.len() > limits.enc_bytes {
            return Ok((node.with("type", "error").with_child(error(406)), None));
        }
        match collections.apply(name, known, &bytes, limits.patches) {
            Ok(version) => Ok((node.with("version", version.to_string()), Some(version))),
            Err(PatchError::Conflict) => {
                let page = collections.behind(name, known);
                Ok((with_page(node.with("type", "error"), page).with_child(error(409)), None))
            }
            Err(PatchError::Full) => Ok((node.with("type", "error").with_child(error(406)), None)),
        }
    }
}

fn with_page(node: Node, page: Page) -> Node {
    let node = node
        .with("version", page.version.to_string())
        .with("has_more_patches", if page.more { "true" } else { "false" });
    if page.patches.is_empty() {
        return node;
    }
    let mut patches = Node::new("patches");
    for patch in page.patches {
        patches = patches.with_child(Node::new("patch").with_bytes(patch.to_vec()));
    }
    node.with_child(patches)
}

/// Collections in one request; there are five kinds.
const MOST_COLLECTIONS: usize = 20;
