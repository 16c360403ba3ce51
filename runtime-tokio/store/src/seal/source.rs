//! Where the key of a store comes from.

use super::{MalformedKey, StoreKey};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The environment variable that the tools of this project read a key from.
pub const KEY_VARIABLE: &str = "WHATSIO_STORE_KEY";

type Fetch = Box<dyn Fn() -> Result<StoreKey, Box<dyn std::error::Error + Send + Sync>> + Send + Sync>;

/// Where the key of a store comes from. There is no variant for "no key": plain stores have calls of their own.
#[non_exhaustive]
pub enum KeySource {
    /// A text file that only its owner may read. Made when a store is new and there is no such file; for a store that is
    /// sealed already it must exist.
    File(PathBuf),
    /// An environment variable of this name, holding [`StoreKey::to_text`]'s form.
    Env(String),
    /// Called at each opening: for keychains and key services. Must give the same key for ever.
    Callback(Fetch),
}

/// Why there is no key. Nothing was created or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The store is sealed and its key file is not there. No new one is made, since it could not open anything.
    #[error("the store is sealed and its key file {} is missing: put it back, nothing else opens this store", .0.display())]
    Missing(PathBuf),
    /// Others may read the key file, so the key may be known to them.
    #[error("others may read the key file {0} (mode {mode:o}): run `chmod 600 {0}`", path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its access rights.
        mode: u32,
    },
    /// The key file cannot be read or made.
    #[error("the key file {}: {source}", path.display())]
    File {
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The environment variable is not set, or is no text.
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    /// What was found is not a key.
    #[error("{place}: {source}")]
    Malformed {
        /// The file or the variable.
        place: String,
        /// What a key looks like.
        source: MalformedKey,
    },
    /// The callback failed.
    #[error("the key was not given: {0}")]
    Callback(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The operating system offers no randomness for a new key.
    #[error("the operating system offers no randomness")]
    NoRandomness,
}

/// A key is 85 bytes of text; nothing that much longer is one.
const LONGEST_FILE: u64 = 1024;

impl KeySource {
    /// The key file that belongs to a database: its name with `.key` behind it.
    #[must_use]
    pub fn beside(database: &Path) -> Self {
        let mut name = database.as_os_str().to_owned();
        name.push(".key");
        Self::File(name.into())
    }

    /// The environment variable [`KEY_VARIABLE`].
    #[must_use]
    pub fn env() -> Self {
        Self::Env(KEY_VARIABLE.into())
    }

    /// Asks `fetch` at each opening.
    pub fn callback<E>(fetch: impl Fn() -> Result<StoreKey, E> + Send + Sync + 'static) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self::Callback(Box::new(move || fetch().map_err(Into::into)))
    }

    /// The key of what is sealed already. Never makes one.
    pub fn existing(&self) -> Result<StoreKey, KeyError> {
        match self {
            Self::File(path) => read(path)?.ok_or_else(|| KeyError::Missing(path.clone())),
            Self::Env(name) => {
                let text = std::env::var(name).map(Zeroizing::new).map_err(|_| KeyError::NotSet(name.clone()))?;
                let malformed = |source| KeyError::Malformed { place: format!("environment variable {name}"), source };
                StoreKey::parse(&text).map_err(malformed)
            }
            Self::Callback(fetch) => fetch().map_err(KeyError::Callback),
        }
    }

    /// The key for what is not sealed yet; makes the key file when there is none.
    pub fn for_new(&self) -> Result<StoreKey, KeyError> {
        let Self::File(path) = self else { return self.existing() };
        if let Some(key) = read(path)? {
            return Ok(key);
        }
        let key = StoreKey::generate().map_err(|_| KeyError::NoRandomness)?;
        match make(path, &key) {
            Ok(()) => Ok(key),
            // Another store that shares the file was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.existing(),
            Err(source) => Err(KeyError::File { path: path.clone(), source }),
        }
    }
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Env(name) => f.debug_tuple("Env").field(name).finish(),
            Self::Callback(_) => f.write_str("Callback(..)"),
        }
    }
}

fn read(path: &Path) -> Result<Option<StoreKey>, KeyError> {
    let failed = |source| KeyError::File { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
    }
    let mut text = Zeroizing::new(String::with_capacity(128));
    file.take(LONGEST_FILE).read_to_string(&mut text).map_err(failed)?;
    let malformed = |source| KeyError::Malformed { place: format!("key file {}", path.display()), source };
    StoreKey::parse(&text).map(Some).map_err(malformed)
}

/// Makes the file whole or not at all, durable before this returns: a sealed store without its key is lost.
fn make(path: &Path, key: &StoreKey) -> io::Result<()> {
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(|_| io::Error::other("no randomness"))?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", hex::encode(suffix)));
    let beside = PathBuf::from(name);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    let text = Zeroizing::new(format!("{}\n", key.to_text().as_str()));
    let made = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| place(&options, path, text.as_bytes(), || fs::hard_link(&beside, path)));
    drop(fs::remove_file(&beside));
    made?;
    Folder::of(path)?.sync()
}

/// Gives the whole file its name by a link, which never replaces a file that appeared meanwhile. Some file systems have
/// none; there the file is made in its place, which replaces nothing either: at worst a crash leaves a piece of a key that
/// was never used, and that is refused.
fn place(new: &fs::OpenOptions, path: &Path, text: &[u8], link: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    match link() {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            let mut file = new.open(path)?;
            file.write_all(text).and_then(|()| file.sync_all())
        }
        linked => linked,
    }
}

/// The folder of a file, open, to make the file's name durable. Windows does so by itself and cannot open folders.
pub(crate) struct Folder(Option<File>);

impl Folder {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        if cfg!(windows) {
            return Ok(Self(None));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).map(|folder| Self(Some(folder)))
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), File::sync_all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_file_is_made_once_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let source = KeySource::beside(&folder.path().join("x.db"));
        assert!(matches!(source.existing(), Err(KeyError::Missing(_))));
        let key = source.for_new().unwrap();
        assert_eq!(source.for_new().unwrap(), key);
        assert_eq!(source.existing().unwrap(), key);
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["x.db.key"]);
    }

    #[test]
    fn without_links_a_key_that_appeared_meanwhile_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let mut new = fs::OpenOptions::new();
        new.write(true).create_new(true);
        let none = || Err(io::Error::from(io::ErrorKind::Unsupported));
        place(&new, &path, b"first", none).unwrap();
        let second = place(&new, &path, b"second", none).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
    }

    #[cfg(unix)]
    #[test]
    fn key_file_that_others_may_read_is_refused_with_the_remedy() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let source = KeySource::File(path.clone());
        source.for_new().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            for result in [source.for_new(), source.existing()] {
                let error = result.unwrap_err();
                assert!(
                    matches!(&error, KeyError::Exposed { .. }) && error.to_string().contains("chmod 600"),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn file_that_holds_no_key_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        make(&path, &StoreKey::from_bytes([1; 32])).unwrap();
        fs::write(&path, "whatsio-store-key-v1:12").unwrap();
        let error = KeySource::File(path.clone()).for_new().unwrap_err();
        assert!(matches!(error, KeyError::Malformed { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"whatsio-store-key-v1:12");
        let again = make(&path, &StoreKey::from_bytes([2; 32])).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists, "a key is never replaced");
    }

    #[test]
    fn callback_that_fails_is_an_error_with_its_cause() {
        let source = KeySource::callback(|| Err("the keychain is locked"));
        assert!(source.for_new().unwrap_err().to_string().contains("the keychain is locked"));
        let given = KeySource::callback(|| Ok::<_, String>(StoreKey::from_bytes([3; 32])));
        assert_eq!(given.existing().unwrap(), StoreKey::from_bytes([3; 32]));
    }
}
