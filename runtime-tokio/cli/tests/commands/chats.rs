//! The list of chats.

use crate::support::{Place, succeed, whatsio};
use serde_json::Value;

#[test]
fn chats_say_who_wrote_and_how_much_is_unread_and_count_nothing_twice() {
    let place = Place::new();
    let (ann, bob) = (place.link("ann"), place.link("bob"));
    for text in ["one", "two"] {
        succeed(place.as_("ann").args(["send", &bob, text]));
    }
    // Peeking leaves the events for later, so they are counted then, once.
    succeed(place.as_("bob").args(["watch", "--peek", "--timeout", "3"]));
    assert_eq!(succeed(place.as_("bob").args(["chats", "--json"])), "", "nothing was handled yet");
    succeed(place.as_("bob").args(["watch", "--timeout", "3"]));
    let of_bob: Value = serde_json::from_str(&succeed(place.as_("bob").args(["chats", "--json"]))).unwrap();
    assert_eq!((&of_bob["unread"], &of_bob["pn"]), (&2.into(), &format!("{ann}@s.whatsapp.net").into()), "{of_bob}");
    let of_ann = succeed(place.as_("ann").arg("chats"));
    assert!(of_ann.starts_with(&bob) && of_ann.contains("ago"), "{of_ann}");

    // The list is no account, and goes with its account.
    let listed = succeed(whatsio(place.folder.path()).args(["session", "list"]));
    assert_eq!(listed.lines().count(), 2, "{listed}");
    succeed(place.as_("bob").args(["session", "remove", "--yes"]));
    assert_eq!(succeed(place.as_("bob").args(["chats", "--json"])), "");
}
