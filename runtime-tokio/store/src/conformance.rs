//! What every store must do, as one function that any backend's tests call.

use crate::{AccountId, Administer, CreateError, LoadError, MAX_ID_BYTES, MAX_RECORD_BYTES, Store};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use whatsio_core::api::{Commit, CommitError, CommitId, Epoch, Key, Record, Space};

/// Checks all that [`Store`] and [`Administer`] promise; panics with the broken promise.
///
/// `make` gives an empty store; `reopen` ends the process's use of a store and opens the same content again.
pub fn store_conformance<S: Administer>(make: impl Fn() -> S, reopen: impl Fn(S) -> S) {
    absent_keys_read_as_none(&make());
    writes_are_read_back(&make());
    deletes_remove_one_record(&make());
    later_commits_of_a_batch_win(&make());
    greatest_epoch_fences_smaller_ones(&make());
    fenced_account_fails_alone(&make());
    refused_commit_leaves_nothing(&make());
    any_id_and_body_are_kept(&make());
    accounts_are_apart(&make());
    erasing_takes_one_account(&make());
    standing_tells_epoch_and_counts(&make());
    contents_show_every_record_once(&make());
    account_is_created_whole_or_not_at_all(&make());
    account_that_was_moved_away_neither_reads_nor_writes(&make());
    reclaimed_account_is_open_to_its_next_life_only(&make());
    readers_see_whole_commits(&make());
    reopening_keeps_everything(make(), reopen);
}

fn account(name: &str) -> AccountId {
    #[expect(clippy::expect_used, reason = "all names in this file are valid")]
    AccountId::new(name).expect("a valid name")
}

fn key(id: &'static [u8]) -> Key {
    Key::new(Space::Session, id)
}

fn commit(epoch: u64, writes: Vec<(Key, Option<&[u8]>)>) -> Commit {
    let writes = writes.into_iter().map(|(key, body)| (key, body.map(|body| Record(Bytes::copy_from_slice(body)))));
    Commit { id: CommitId(1), epoch: Epoch(epoch), writes: writes.collect() }
}

fn put(epoch: u64, id: &'static [u8], body: &[u8]) -> Commit {
    commit(epoch, vec![(key(id), Some(body))])
}

/// Commits for account `a` and says how it went.
fn apply(store: &impl Store, commit: Commit) -> Result<(), CommitError> {
    let answers = store.commit(&[(account("a"), commit)]);
    assert_eq!(answers.len(), 1, "one answer per commit");
    answers.first().copied().unwrap_or(Err(CommitError::Fatal))
}

fn read(store: &impl Store, name: &str, key: Key) -> Option<Vec<u8>> {
    let answer = store.load(&account(name), &[key]);
    assert!(matches!(&answer, Ok(records) if records.len() == 1), "one record per key: {answer:?}");
    answer.into_iter().flatten().flatten().next().map(|record| record.0.to_vec())
}

fn absent_keys_read_as_none(store: &impl Store) {
    assert_eq!(store.load(&account("a"), &[]), Ok(vec![]), "no keys, no records");
    assert_eq!(store.load(&account("a"), &[key(b"x"), key(b"y")]), Ok(vec![None, None]), "unknown account");
    assert_eq!(store.commit(&[]), vec![], "an empty batch has no answers");
    assert_eq!(apply(store, put(1, b"x", b"1")), Ok(()));
    assert_eq!(read(store, "a", key(b"y")), None, "unknown key");
}

fn writes_are_read_back(store: &impl Store) {
    assert_eq!(apply(store, commit(1, vec![(key(b"x"), Some(b"1")), (key(b"y"), Some(b"2"))])), Ok(()));
    assert_eq!(apply(store, put(1, b"x", b"3")), Ok(()), "an equal epoch is accepted");
    let answer = store.load(&account("a"), &[key(b"y"), key(b"none"), key(b"x"), key(b"y")]);
    let expected = [Some("2"), None, Some("3"), Some("2")].map(|body| body.map(|body| Record(Bytes::from(body))));
    assert_eq!(answer, Ok(expected.to_vec()), "records come in the order of the keys");
}

fn deletes_remove_one_record(store: &impl Store) {
    assert_eq!(apply(store, commit(1, vec![(key(b"x"), Some(b"1")), (key(b"y"), Some(b"2"))])), Ok(()));
    assert_eq!(apply(store, commit(1, vec![(key(b"x"), None), (key(b"never"), None)])), Ok(()));
    assert_eq!(read(store, "a", key(b"x")), None, "deleted");
    assert_eq!(read(store, "a", key(b"y")).as_deref(), Some(&b"2"[..]), "a delete takes one record");
    assert_eq!(apply(store, put(1, b"x", b"3")), Ok(()));
    assert_eq!(read(store, "a", key(b"x")).as_deref(), Some(&b"3"[..]), "a deleted key can be put again");
}

fn later_commits_of_a_batch_win(store: &impl Store) {
    let batch: Vec<_> = [put(1, b"x", b"1"), commit(1, vec![(key(b"x"), None)]), put(2, b"x", b"2")]
        .into_iter()
        .map(|commit| (account("a"), commit))
        .collect();
    assert_eq!(store.commit(&batch), vec![Ok(()); 3]);
    assert_eq!(read(store, "a", key(b"x")).as_deref(), Some(&b"2"[..]), "a batch is applied in order");
}

fn greatest_epoch_fences_smaller_ones(store: &impl Store) {
    assert_eq!(apply(store, put(5, b"x", b"1")), Ok(()));
    assert_eq!(apply(store, put(4, b"x", b"2")), Err(CommitError::Fenced), "a smaller epoch");
    assert_eq!(apply(store, commit(4, vec![])), Err(CommitError::Fenced), "even without writes");
    assert_eq!(read(store, "a", key(b"x")).as_deref(), Some(&b"1"[..]), "a fenced commit changes nothing");
    assert_eq!(apply(store, commit(6, vec![])), Ok(()));
    assert_eq!(apply(store, put(5, b"x", b"3")), Err(CommitError::Fenced), "a commit without writes raises the epoch");
    assert_eq!(apply(store, put(u64::MAX, b"x", b"4")), Ok(()), "epochs have 64 bits without a sign");
    assert_eq!(apply(store, put(u64::MAX >> 1, b"x", b"5")), Err(CommitError::Fenced));
    assert_eq!(read(store, "a", key(b"x")).as_deref(), Some(&b"4"[..]));
}

fn fenced_account_fails_alone(store: &impl Store) {
    assert_eq!(apply(store, put(9, b"x", b"1")), Ok(()));
    let batch = [
        (account("b"), put(1, b"x", b"b")),
        (account("a"), put(8, b"x", b"old")),
        (account("c"), put(1, b"x", b"c")),
        (account("c"), put(3, b"y", b"c")),
        (account("c"), put(2, b"x", b"old")),
    ];
    let fenced = Err(CommitError::Fenced);
    assert_eq!(store.commit(&batch), vec![Ok(()), fenced, Ok(()), Ok(()), fenced]);
    for (name, body) in [("a", b"1"), ("b", b"b"), ("c", b"c")] {
        assert_eq!(read(store, name, key(b"x")).as_deref(), Some(&body[..]), "account {name}");
    }
}

fn refused_commit_leaves_nothing(store: &impl Store) {
    let long = Key::new(Space::Session, vec![1; MAX_ID_BYTES + 1]);
    let batch = [
        (account("a"), commit(7, vec![(key(b"x"), Some(b"1")), (long, Some(b"2"))])),
        (account("b"), put(1, b"x", b"1")),
        (account("a"), commit(7, vec![(key(b"x"), Some(b"1")), (key(b"y"), Some(&vec![0; MAX_RECORD_BYTES + 1]))])),
    ];
    assert_eq!(store.commit(&batch), vec![Err(CommitError::Fatal), Ok(()), Err(CommitError::Fatal)]);
    assert_eq!(read(store, "a", key(b"x")), None, "a refused commit writes nothing");
    assert_eq!(apply(store, put(1, b"x", b"1")), Ok(()), "a refused commit raises no epoch");
}

fn any_id_and_body_are_kept(store: &impl Store) {
    let big: Vec<u8> = (0..3_000_000_u32).map(|at| at.to_le_bytes()[1] ^ 0x5a).collect();
    let ids: [Bytes; 4] = [Bytes::new(), Bytes::from_static(&[0]), Bytes::from_static(&[0, 0]), vec![255; 255].into()];
    let bodies: [&[u8]; 3] = [b"", &[0, 255, 0], &big];
    for space in [Space::Account, Space::SessionArchive, Space::Quarantine] {
        for (id, body) in ids.iter().zip(bodies.iter().cycle()) {
            assert_eq!(apply(store, commit(1, vec![(Key::new(space, id.clone()), Some(body))])), Ok(()));
        }
        for (id, body) in ids.iter().zip(bodies.iter().cycle()) {
            let found = read(store, "a", Key::new(space, id.clone()));
            assert!(found.as_deref() == Some(*body), "{space:?}, id of {} bytes", id.len());
        }
    }
    let elsewhere = Key::new(Space::PreKey, Bytes::new());
    assert_eq!(read(store, "a", elsewhere), None, "spaces are apart");
}

fn accounts_are_apart(store: &impl Administer) {
    let names: Vec<_> = (0..200).map(|number| account(&format!("account-{number:03}"))).collect();
    let batch: Vec<_> = names.iter().map(|name| (name.clone(), put(1, b"x", name.as_str().as_bytes()))).collect();
    assert_eq!(store.commit(&batch), vec![Ok(()); names.len()]);
    for name in &names {
        assert_eq!(read(store, name.as_str(), key(b"x")).as_deref(), Some(name.as_str().as_bytes()));
    }
    assert_eq!(store.accounts(), Ok(names), "accounts are listed in order");
}

fn erasing_takes_one_account(store: &impl Administer) {
    assert_eq!(apply(store, put(9, b"x", b"1")), Ok(()));
    assert_eq!(store.commit(&[(account("b"), put(1, b"x", b"2"))]), vec![Ok(())]);
    assert_eq!(store.erase(&account("a")), Ok(()));
    assert_eq!(store.erase(&account("never")), Ok(()), "nothing to erase is no error");
    assert_eq!(read(store, "a", key(b"x")), None);
    assert_eq!(read(store, "b", key(b"x")).as_deref(), Some(&b"2"[..]));
    assert_eq!(store.accounts(), Ok(vec![account("b")]));
    assert_eq!(apply(store, put(1, b"y", b"3")), Ok(()), "an erased account begins again at any epoch");
    assert_eq!(read(store, "a", key(b"x")), None);
}

fn standing_tells_epoch_and_counts(store: &impl Administer) {
    assert_eq!(store.standing(&account("a")), Ok(None));
    let peer = Key::new(Space::Peer, &b"x"[..]);
    assert_eq!(
        apply(store, commit(3, vec![(key(b"x"), Some(b"1")), (key(b"y"), Some(b"2")), (peer, Some(b"3"))])),
        Ok(())
    );
    let standing = store.standing(&account("a"));
    let counts = vec![(Space::Session, 2), (Space::Peer, 1)];
    let expected = crate::Standing { epoch: Epoch(3), moved_unix_ms: None, records: counts };
    assert_eq!(standing, Ok(Some(expected)));
}

fn contents_of(store: &impl Administer, name: &str) -> (Option<Epoch>, BTreeMap<Key, Vec<u8>>) {
    let mut found = BTreeMap::new();
    let epoch = store.contents(&account(name), &mut |key, record| {
        assert!(found.insert(key, record.0.to_vec()).is_none(), "a record is shown once");
        ControlFlow::Continue(())
    });
    assert!(epoch.is_ok(), "contents can be read: {epoch:?}");
    (epoch.ok().flatten(), found)
}

fn contents_show_every_record_once(store: &impl Administer) {
    assert_eq!(contents_of(store, "a"), (None, BTreeMap::new()), "no such account");
    let ids: Vec<Bytes> = vec![Bytes::new(), Bytes::from_static(&[0]), vec![255; 255].into()];
    let mut expected = BTreeMap::new();
    for space in [Space::Account, Space::Quarantine] {
        for id in &ids {
            expected.insert(Key::new(space, id.clone()), id.to_vec());
        }
    }
    let writes = expected.iter().map(|(key, body)| (key.clone(), Some(body.as_slice()))).collect();
    assert_eq!(store.commit(&[(account("a"), commit(7, writes)), (account("b"), put(1, b"x", b"b"))]), vec![Ok(()); 2]);
    assert_eq!(contents_of(store, "a"), (Some(Epoch(7)), expected), "all of one account");
    let mut seen = 0;
    let broken = store.contents(&account("a"), &mut |_, _| {
        seen += 1;
        ControlFlow::Break(())
    });
    assert_eq!((seen, broken), (1, Ok(Some(Epoch(7)))), "a break ends it");
}

/// Creates account `a`; the error of a source is the text `stop`.
fn create(store: &impl Administer, records: &[Option<(Key, &[u8])>]) -> Result<u64, CreateError> {
    let mut records = records.iter().map(|next| match next {
        Some((key, body)) => Ok((key.clone(), Record(Bytes::copy_from_slice(body)))),
        None => Err("stop".into()),
    });
    store.create(&account("a"), Epoch(5 << 32 | 9), &mut records)
}

fn account_is_created_whole_or_not_at_all(store: &impl Administer) {
    let one: (Key, &[u8]) = (key(b"x"), b"1");
    let long = Key::new(Space::Session, vec![1; MAX_ID_BYTES + 1]);
    assert!(matches!(create(store, &[Some(one.clone()), None]), Err(CreateError::Source(_))));
    assert!(matches!(create(store, &[Some(one.clone()), Some((key(b"x"), b"2"))]), Err(CreateError::Twice)));
    assert!(matches!(create(store, &[Some(one.clone()), Some((long, b"2"))]), Err(CreateError::TooLarge)));
    assert_eq!(store.accounts(), Ok(vec![]), "a failed creation leaves nothing");
    assert_eq!(create(store, &[Some(one.clone()), Some((key(b"y"), b"2"))]).ok(), Some(2));
    assert!(matches!(create(store, &[Some((key(b"z"), b"9"))]), Err(CreateError::Exists)), "never overwritten");
    assert_eq!(read(store, "a", key(b"x")).as_deref(), Some(&b"1"[..]));
    assert_eq!(read(store, "a", key(b"z")), None);
    assert_eq!(apply(store, put(5 << 32, b"x", b"old")), Err(CommitError::Fenced), "its epoch counts");
    assert_eq!(apply(store, put(5 << 32 | 9, b"x", b"new")), Ok(()));
}

fn account_that_was_moved_away_neither_reads_nor_writes(store: &impl Administer) {
    assert_eq!(store.depart(&account("a"), 7), Ok(false), "no such account");
    assert_eq!(store.commit(&[(account("a"), put(1, b"x", b"1")), (account("b"), put(1, b"x", b"b"))]), [Ok(()); 2]);
    assert_eq!(store.depart(&account("a"), 7), Ok(true));
    assert_eq!(store.load(&account("a"), &[key(b"x")]), Err(LoadError::MovedAway));
    assert_eq!(store.load(&account("a"), &[]), Err(LoadError::MovedAway));
    for epoch in [1, u64::MAX] {
        assert_eq!(apply(store, put(epoch, b"x", b"2")), Err(CommitError::Fenced), "whatever its epoch");
    }
    assert_eq!(store.depart(&account("a"), 8), Ok(true));
    let standing = store.standing(&account("a")).ok().flatten();
    assert_eq!(standing.map(|standing| (standing.epoch, standing.moved_unix_ms)), Some((Epoch(1), Some(7))));
    assert_eq!(contents_of(store, "a").1.len(), 1, "its contents can still be shown");
    assert!(matches!(create(store, &[]), Err(CreateError::Exists)), "nor is its name free");
    assert_eq!(read(store, "b", key(b"x")).as_deref(), Some(&b"b"[..]), "others stay");
}

fn reclaimed_account_is_open_to_its_next_life_only(store: &impl Administer) {
    let life = |count: u64, random: u64| count << 32 | random;
    assert_eq!(apply(store, put(life(1, 5), b"x", b"1")), Ok(()));
    assert_eq!(store.reclaim(&account("a")), Ok(false), "it is here");
    // However often it leaves and comes back, the next life is not locked out.
    for _ in 0..3 {
        assert_eq!(store.depart(&account("a"), 7), Ok(true));
        assert_eq!(store.reclaim(&account("a")), Ok(true));
    }
    assert_eq!(apply(store, put(life(1, 5), b"x", b"2")), Err(CommitError::Fenced), "who ran before is stopped");
    assert_eq!(read(store, "a", key(b"x")).as_deref(), Some(&b"1"[..]));
    assert_eq!(apply(store, put(life(2, 0), b"x", b"3")), Ok(()), "the next life may go on");
    assert_eq!(store.reclaim(&account("never")), Ok(false));
}

fn readers_see_whole_commits(store: &impl Store) {
    let both = |body: &[u8]| commit(1, vec![(key(b"x"), Some(body)), (key(b"y"), Some(body))]);
    assert_eq!(apply(store, both(&0_u32.to_le_bytes())), Ok(()));
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for round in 1..200_u32 {
                assert_eq!(apply(store, both(&round.to_le_bytes())), Ok(()));
            }
        });
        while !writing.is_finished() {
            let records = store.load(&account("a"), &[key(b"x"), key(b"y")]).unwrap_or_default();
            assert!(records.len() == 2 && records.first() == records.last(), "half a commit was seen");
        }
    });
    assert_eq!(read(store, "a", key(b"y")), Some(199_u32.to_le_bytes().to_vec()), "reads follow writes");
}

fn reopening_keeps_everything<S: Administer>(store: S, reopen: impl Fn(S) -> S) {
    assert_eq!(apply(&store, commit(5, vec![(key(b"x"), Some(b"1")), (key(b""), Some(b"2"))])), Ok(()));
    let store = reopen(store);
    assert_eq!(read(&store, "a", key(b"x")).as_deref(), Some(&b"1"[..]));
    assert_eq!(read(&store, "a", key(b"")).as_deref(), Some(&b"2"[..]));
    assert_eq!(apply(&store, put(4, b"x", b"old")), Err(CommitError::Fenced), "the epoch is kept too");
    assert_eq!(apply(&store, put(5, b"x", b"3")), Ok(()));
    let store = reopen(store);
    assert_eq!(read(&store, "a", key(b"x")).as_deref(), Some(&b"3"[..]));
    assert_eq!(store.accounts(), Ok(vec![account("a")]));
}
