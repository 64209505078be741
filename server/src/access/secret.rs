//! Secrets: compared in constant time, never printed, read from files that others should not read.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use subtle::ConstantTimeEq;

/// Fewest characters of a secret: 16 random letters are beyond guessing.
pub const SHORTEST: usize = 16;

/// Largest file of secrets, bytes.
const LARGEST_FILE: u64 = 1 << 20;

/// Others may read the file.
const READABLE_BY_OTHERS: u32 = 0o004;

/// A secret text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// A secret of visible characters without spaces, at least [`SHORTEST`] of them. The error says what is wrong, not what it was.
    pub fn new(text: &str) -> Result<Secret, String> {
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("a secret is made of letters, digits and signs of ASCII, without spaces".into());
        }
        if text.len() < SHORTEST {
            return Err(format!("a secret has at least {SHORTEST} characters; `openssl rand -hex 32` makes a good one"));
        }
        Ok(Secret(text.into()))
    }

    /// The secret that is all there is in a file, white space around it aside.
    pub fn read(file: &Path) -> Result<Secret, String> {
        Secret::new(read_private(file)?.trim()).map_err(|e| format!("{}: {e}", file.display()))
    }

    /// Its text, for who must show it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether this was shown. Takes the same time wherever they differ; only the length can be learnt.
    pub fn matches(&self, shown: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(shown).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The text of a file with secrets. Warns when everybody on this machine may read it.
pub fn read_private(file: &Path) -> Result<String, String> {
    let named = |e: std::io::Error| format!("{}: {e}", file.display());
    let metadata = std::fs::metadata(file).map_err(named)?;
    if metadata.permissions().mode() & READABLE_BY_OTHERS != 0 && metadata.is_file() {
        tracing::warn!("{} holds secrets and everybody on this machine may read it: chmod 600 {}", file.display(), file.display());
    }
    if metadata.len() > LARGEST_FILE {
        return Err(format!("{}: {} bytes are too many for a file of secrets", file.display(), metadata.len()));
    }
    std::fs::read_to_string(file).map_err(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_compared_and_not_printed() {
        let secret = Secret::new("correct-horse-battery").unwrap();
        assert!(secret.matches(b"correct-horse-battery"));
        assert!(!secret.matches(b"correct-horse-batterx") && !secret.matches(b"correct") && !secret.matches(b""));
        assert!(!format!("{secret:?}").contains("horse"));
    }

    #[test]
    fn what_is_no_secret_is_refused_without_being_repeated() {
        for wrong in ["short", "", "with a space in between", "grüße-und-küsse-und-mehr"] {
            let error = Secret::new(wrong).unwrap_err();
            assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
        }
        assert!(Secret::read(Path::new("/nowhere/secret")).unwrap_err().contains("/nowhere/secret"));
    }
}
