//! What a session's file is sealed under, as the user gives it.

use super::LockArgs;
use crate::failure::Failure;
use std::io::Read as _;
use whatsio_store::KeySource;
use whatsio_store::transfer::Lock;
use zeroize::Zeroizing;

const VARIABLE: &str = "WHATSIO_PASSPHRASE";
/// No passphrase is longer; a file that is was given by mistake.
const LONGEST: usize = 4096;
/// So much of the file is read: enough to see that its first line is too long.
const READ: usize = LONGEST + 2;

/// The lock for a new file, or for one that exists.
pub(super) fn lock(args: &LockArgs, new: bool) -> Result<Lock, Failure> {
    if let Some(path) = &args.session_key {
        let source = KeySource::File(path.clone());
        return Ok(Lock::Key(if new { source.for_new() } else { source.existing() }?));
    }
    if let Some(path) = &args.passphrase_file {
        let failed = |source| Failure::Read { path: path.clone(), source };
        let mut text = Zeroizing::new(Vec::with_capacity(READ));
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(u64::try_from(READ).unwrap_or_default()).read_to_end(&mut text).map_err(failed)?;
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if line.len() > LONGEST {
            return Err(Failure::EndlessPassphrase(path.clone()));
        }
        let is_no_text = |source| failed(std::io::Error::new(std::io::ErrorKind::InvalidData, source));
        let line = std::str::from_utf8(line).map_err(is_no_text)?;
        return Ok(passphrase(line.strip_suffix('\r').unwrap_or(line)));
    }
    if let Ok(text) = std::env::var(VARIABLE) {
        return Ok(passphrase(&Zeroizing::new(text)));
    }
    let first = ask("Passphrase: ")?;
    if new && *first != *ask("The same again: ")? {
        return Err(Failure::Other("the two passphrases differ".into()));
    }
    Ok(passphrase(&first))
}

fn passphrase(text: &str) -> Lock {
    Lock::Passphrase(Zeroizing::new(text.to_owned()))
}

fn ask(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(|_| Failure::NoPassphrase)
}
