//! Broken copies of the corpus: bytes flipped, cut, overwritten by large counts, moved about. Whatever they are, inspecting
//! them with all their data ends soon, in values or in an error, never in a panic. Deterministic: a failure names its seed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use graticule_storage::inspect::{InspectOptions, inspect};
use graticule_storage::object::Objects;

use super::engine::root;

/// Copies of each file.
const COPIES: u64 = 24;
/// Files above this are left out, for time.
const LARGEST: usize = 200_000;
/// What one copy may take.
const LIMIT: Duration = Duration::from_secs(5);

/// A generator of numbers (xorshift64*), so that a seed says all.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// Counts that parsers stumble over.
const COUNTS: &[u64] = &[0, 1, u64::MAX, u64::MAX - 1, 1 << 63, (1 << 60) + 1, u32::MAX as u64, 1 << 31, 0x7FFF_FFFF, 0xFFFE];

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let whole = bytes.len();
        if whole == 0 {
            return;
        }
        // Headers are where structure is.
        let at = if random.below(2) == 0 { random.below(whole.min(2048)) } else { random.below(whole) };
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes.truncate(at),
            3 | 4 => {
                let count = COUNTS[random.below(COUNTS.len())];
                let encoded = if random.below(2) == 0 { count.to_le_bytes() } else { count.to_be_bytes() };
                let width = [1, 2, 4, 8][random.below(4)];
                let part = if random.below(2) == 0 { &encoded[..width] } else { &encoded[8 - width..] };
                bytes[at..].iter_mut().zip(part).for_each(|(b, c)| *b = *c);
            }
            _ => {
                let length = random.below(64).min(whole - at);
                let to = random.below(whole - length + 1);
                bytes.copy_within(at..at + length, to);
            }
        }
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        if path.is_dir() {
            files(&path, found);
        } else if !path.extension().is_some_and(|e| e == "py" || e == "json" || e == "md") {
            found.push(path);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_files_end_in_values_or_errors() {
    let mut corpus = Vec::new();
    files(&root().join("tests/corpus"), &mut corpus);
    corpus.sort();
    assert!(corpus.len() > 50, "{} files", corpus.len());
    let folder = tempfile::tempdir().unwrap();
    let mut errors = 0;
    for (number, path) in corpus.iter().enumerate() {
        let original = std::fs::read(path).unwrap();
        if original.len() > LARGEST {
            continue;
        }
        for copy in 0..COPIES {
            let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ ((number as u64 + 1) << 20) ^ copy);
            let mut bytes = original.clone();
            mutate(&mut bytes, &mut random);
            let broken = folder.path().join(path.file_name().unwrap());
            std::fs::write(&broken, bytes).unwrap();
            let name = broken.display().to_string();
            let options = InspectOptions { stats: true, ..InspectOptions::default() };
            let task = tokio::spawn(async move { inspect(&Objects::anywhere(), &name, options).await.map(|_| ()) });
            let what = || format!("{} copy {copy} (kept at {:?})", path.display(), keep(&broken));
            match tokio::time::timeout(LIMIT, task).await {
                Err(_) => panic!("{}: more than {LIMIT:?}", what()),
                Ok(Err(panic)) => panic!("{}: {panic}", what()),
                Ok(Ok(Err(e))) => {
                    errors += 1;
                    assert!(!e.to_string().trim().is_empty());
                }
                Ok(Ok(Ok(()))) => {}
            }
        }
    }
    // The copies are broken indeed.
    assert!(errors > corpus.len(), "{errors} errors of {} files", corpus.len());
}

/// Copies a file to where it outlives the test.
fn keep(broken: &Path) -> PathBuf {
    let kept = std::env::temp_dir().join(format!("graticule-broken-{}", broken.file_name().unwrap_or_default().display()));
    let _ = std::fs::copy(broken, &kept);
    kept
}
