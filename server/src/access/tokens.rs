//! The file of tokens: who may read, and who may also change what the server serves.

use std::path::Path;

use super::secret::{Secret, read_private};

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Queries.
    Reader,
    /// Also statements with an effect: CREATE, DROP, REFRESH, ANALYZE, SET.
    Admin,
}

/// Tokens by role.
#[derive(Debug)]
pub struct Tokens(Vec<(Secret, Role)>);

impl Tokens {
    /// Reads a file of one `ROLE TOKEN` a line, the role `reader` or `admin`. Empty lines, and what follows a `#` at the
    /// beginning of a line or after a space, are left out. Errors name the line and never its text.
    pub fn read(file: &Path) -> Result<Tokens, String> {
        Tokens::parse(&read_private(file)?).map_err(|e| format!("{}: {e}", file.display()))
    }

    fn parse(text: &str) -> Result<Tokens, String> {
        let mut tokens: Vec<(Secret, Role)> = vec![];
        for (number, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
            let wrong = |what: &str| format!("line {}: {what}", number + 1);
            let (role, token) = match words.as_slice() {
                [] => continue,
                [role, token] => (*role, *token),
                _ => return Err(wrong("write `reader TOKEN` or `admin TOKEN`, and # before a comment")),
            };
            let role = match role {
                "reader" => Role::Reader,
                "admin" => Role::Admin,
                _ => return Err(wrong("the first word is the role: `reader` or `admin`")),
            };
            let secret = Secret::new(token).map_err(|e| wrong(&e))?;
            if tokens.iter().any(|(known, _)| *known == secret) {
                return Err(wrong("this token stands in the file twice"));
            }
            tokens.push((secret, role));
        }
        if tokens.is_empty() {
            return Err("no token is in it; write `admin TOKEN`, with a token as `openssl rand -hex 32` makes one".into());
        }
        Ok(Tokens(tokens))
    }

    /// The role of a token; `None` when it is not known. Every token is compared, whichever it is.
    pub fn role(&self, shown: &[u8]) -> Option<Role> {
        self.0.iter().fold(None, |found, (secret, role)| if secret.matches(shown) { Some(*role) } else { found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# the group\nreader aaaaaaaaaaaaaaaaaaaa   # notebooks\n\n  admin\tbbbbbbbbbbbbbbbbbb#b\n";

    #[test]
    fn tokens_have_roles() {
        let tokens = Tokens::parse(FILE).unwrap();
        assert_eq!(tokens.role(b"aaaaaaaaaaaaaaaaaaaa"), Some(Role::Reader));
        assert_eq!(tokens.role(b"bbbbbbbbbbbbbbbbbb#b"), Some(Role::Admin));
        assert_eq!(tokens.role(b"bbbbbbbbbbbbbbbbbb"), None);
        assert_eq!(tokens.role(b""), None);
        assert!(!format!("{tokens:?}").contains("aaaa"));
    }

    #[test]
    fn mistakes_name_the_line_and_not_the_token() {
        for (text, expected) in [
            ("admin aaaaaaaaaaaaaaaaaaaa\nwriter bbbbbbbbbbbbbbbbbbbb", "line 2"),
            ("admin short", "line 1"),
            ("bbbbbbbbbbbbbbbbbbbb", "line 1"),
            ("admin bbbbbbbbbbbbbbbbbbbb too much", "line 1"),
            ("admin bbbbbbbbbbbbbbbbbbbb\nreader bbbbbbbbbbbbbbbbbbbb", "twice"),
            ("# nothing\n", "no token"),
        ] {
            let error = Tokens::parse(text).unwrap_err();
            assert!(error.contains(expected) && !error.contains("bbbb"), "{error}");
        }
    }
}
