//! The merging writer over scripted stores.
#![allow(clippy::unwrap_used, reason = "test code")]

use bytes::Bytes;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use whatsio_core::api::{Commit, CommitError, CommitId, Epoch, Key, Record, Space};
use whatsio_store::{AccountId, LoadError, MemoryStore, Store, Writer};

fn account(number: u64) -> AccountId {
    AccountId::new(&format!("a{number}")).unwrap()
}

fn commit(number: u64, bytes: usize) -> Commit {
    let record = Record(Bytes::from(vec![number.to_le_bytes()[0]; bytes]));
    Commit { id: CommitId(number), epoch: Epoch(1), writes: vec![(Key::new(Space::Account, &b"x"[..]), Some(record))] }
}

/// A store that says when a batch has come and waits to be told to go on.
struct Gated {
    inner: MemoryStore,
    came: Mutex<Sender<usize>>,
    go: Mutex<Receiver<()>>,
}

impl Gated {
    fn new() -> (Arc<Self>, Receiver<usize>, Sender<()>) {
        let ((came, comes), (go, goes)) = (channel(), channel());
        let store = Self { inner: MemoryStore::new(), came: Mutex::new(came), go: Mutex::new(goes) };
        (Arc::new(store), comes, go)
    }
}

impl Store for Gated {
    fn load(&self, account: &AccountId, keys: &[Key]) -> Result<Vec<Option<Record>>, LoadError> {
        self.inner.load(account, keys)
    }

    fn commit(&self, batch: &[(AccountId, Commit)]) -> Vec<Result<(), CommitError>> {
        self.came.lock().unwrap().send(batch.len()).unwrap();
        let _ = self.go.lock().unwrap().recv();
        self.inner.commit(batch)
    }
}

#[test]
fn commits_that_come_during_a_transaction_share_the_next() {
    let (store, came, go) = Gated::new();
    let writer = Writer::start(store).unwrap();
    let (done, answers) = channel();
    let submit = |number: u64| {
        let done = done.clone();
        writer.submit(account(number), commit(number, 10), move |answer| done.send((number, answer)).unwrap());
    };
    submit(0);
    assert_eq!(came.recv(), Ok(1));
    (1..=50).for_each(submit);
    go.send(()).unwrap();
    assert_eq!(came.recv(), Ok(50));
    go.send(()).unwrap();
    let answered: Vec<_> = answers.iter().take(51).collect();
    assert_eq!(answered, (0..=50).map(|number| (number, Ok(()))).collect::<Vec<_>>());
}

#[test]
fn batches_are_bounded_by_bytes_and_keep_the_order() {
    let (store, came, go) = Gated::new();
    let memory = store.inner.clone();
    let writer = Writer::start(store).unwrap();
    writer.submit(account(0), commit(0, 1), |_| ());
    assert_eq!(came.recv(), Ok(1));
    for number in 1..=6 {
        writer.submit(account(0), commit(number, 3 * 1024 * 1024), |_| ());
    }
    drop(go);
    assert_eq!(came.iter().take(3).collect::<Vec<_>>(), [2, 2, 2]);
    writer.close();
    let read = memory.load(&account(0), &[Key::new(Space::Account, &b"x"[..])]).unwrap();
    assert_eq!(read[0].as_ref().unwrap().0[0], 6);
}

#[test]
fn full_queue_pushes_back() {
    let (store, came, go) = Gated::new();
    let writer = Writer::start(store).unwrap();
    writer.submit(account(0), commit(0, 1), |_| ());
    assert_eq!(came.recv(), Ok(1));
    writer.submit(account(1), commit(1, 64 * 1024 * 1024), |_| ());
    let (done, answers) = channel();
    let (refused, waiting) = (done.clone(), done);
    writer.try_submit(account(2), commit(2, 1), move |answer| refused.send(answer).unwrap());
    assert_eq!(answers.recv(), Ok(Err(CommitError::Retry)));
    std::thread::scope(|scope| {
        scope.spawn(|| writer.submit(account(3), commit(3, 1), move |answer| waiting.send(answer).unwrap()));
        assert!(answers.try_recv().is_err());
        drop(go);
    });
    assert_eq!(answers.recv(), Ok(Ok(())));
}

#[test]
fn closing_answers_everything_and_refuses_what_follows() {
    let writer = Writer::start(Arc::new(MemoryStore::new())).unwrap();
    let (done, answers) = channel();
    for number in 0..500 {
        let done = done.clone();
        writer.submit(account(number % 7), commit(number, 10), move |answer| done.send(answer).unwrap());
    }
    writer.close();
    assert_eq!(answers.try_iter().collect::<Vec<_>>(), vec![Ok(()); 500]);
    writer.submit(account(0), commit(1, 1), move |answer| done.send(answer).unwrap());
    assert_eq!(answers.recv(), Ok(Err(CommitError::Fatal)));
}

#[test]
fn dropping_the_last_handle_flushes() {
    let writer = Writer::start(Arc::new(MemoryStore::new())).unwrap();
    let (done, answers) = channel();
    for number in 0..100 {
        let done = done.clone();
        writer.clone().submit(account(number), commit(number, 10), move |answer| done.send(answer).unwrap());
    }
    drop(writer);
    assert_eq!(answers.try_iter().count(), 100);
}

#[test]
fn panics_of_store_and_callback_leave_the_thread_alive() {
    struct Panicking(MemoryStore);
    impl Store for Panicking {
        fn load(&self, account: &AccountId, keys: &[Key]) -> Result<Vec<Option<Record>>, LoadError> {
            self.0.load(account, keys)
        }

        fn commit(&self, batch: &[(AccountId, Commit)]) -> Vec<Result<(), CommitError>> {
            assert!(batch.iter().all(|(_, commit)| commit.id.0 != 13), "scripted");
            self.0.commit(batch)
        }
    }
    let writer = Writer::start(Arc::new(Panicking(MemoryStore::new()))).unwrap();
    let ask = |number| {
        let (done, answer) = channel();
        writer.submit(account(0), commit(number, 1), move |answer| done.send(answer).unwrap());
        answer.recv().unwrap()
    };
    assert_eq!(ask(13), Err(CommitError::Fatal));
    writer.submit(account(0), commit(1, 1), |_| panic!("scripted"));
    assert_eq!(ask(2), Ok(()));
}
