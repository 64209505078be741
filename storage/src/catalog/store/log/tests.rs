//! What a killed process, a damaged disk or an earlier version leaves behind.

use super::*;

fn batch(entries: &[(&str, &[u8])]) -> Batch {
    let mut batch = Batch::default();
    entries.iter().for_each(|(key, value)| batch.put(*key, *value));
    batch
}

fn value(store: &LogStore, key: &str) -> Option<Vec<u8>> {
    store.get(key.as_bytes()).unwrap()
}

#[test]
fn a_file_cut_anywhere_holds_all_of_a_batch_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = LogStore::open(folder.path()).unwrap();
    store.commit(batch(&[("a", b"first"), ("b", b"")])).unwrap();
    let first = store.contents.read().end as usize;
    store.commit(batch(&[("a", b"second"), ("c", &[7; 100])])).unwrap();
    drop(store);
    let whole = std::fs::read(folder.path().join(RECORDS)).unwrap();
    for length in 0..=whole.len() {
        let cut = tempfile::tempdir().unwrap();
        std::fs::write(cut.path().join(RECORDS), &whole[..length]).unwrap();
        let store = LogStore::open(cut.path()).unwrap();
        let (a, b, c) = (value(&store, "a"), value(&store, "b"), value(&store, "c"));
        // A batch whose seal is lost is whole.
        let expected = match length {
            n if n >= whole.len() - SEAL as usize => (Some(b"second".to_vec()), Some(vec![]), Some(vec![7; 100])),
            n if n >= first - SEAL as usize => (Some(b"first".to_vec()), Some(vec![]), None),
            _ => (None, None, None),
        };
        assert_eq!((a, b, c), expected, "{length} of {}", whole.len());
        // It goes on from there.
        store.commit(batch(&[("d", b"more")])).unwrap();
        drop(store);
        let store = LogStore::open(cut.path()).unwrap();
        assert_eq!((value(&store, "d"), value(&store, "a")), (Some(b"more".to_vec()), expected.0));
    }
}

#[test]
fn a_batch_of_which_some_blocks_are_lost_is_unfinished_and_those_before_it_stay() {
    let folder = tempfile::tempdir().unwrap();
    let store = LogStore::open(folder.path()).unwrap();
    store.commit(batch(&[("a", b"first")])).unwrap();
    let first = store.contents.read().end as usize;
    store.commit(batch(&[("a", &[9; 50])])).unwrap();
    drop(store);
    let whole = std::fs::read(folder.path().join(RECORDS)).unwrap();
    // The values are zeros, the seal was never written; nor, before it, that of the first batch.
    let mut lost = whole[..whole.len() - SEAL as usize].to_vec();
    let end = lost.len();
    lost[end - 20..].fill(0);
    lost[first - SEAL as usize..first].fill(0);
    std::fs::write(folder.path().join(RECORDS), lost).unwrap();
    let store = LogStore::open(folder.path()).unwrap();
    assert_eq!(value(&store, "a"), Some(b"first".to_vec()));
    assert_eq!(store.contents.read().end as usize, first);
}

#[test]
fn damage_is_an_error_when_opened_or_read_and_never_another_value() {
    let folder = tempfile::tempdir().unwrap();
    let store = LogStore::open(folder.path()).unwrap();
    store.commit(batch(&[("a", b"first"), ("b", b"both")])).unwrap();
    store.commit(batch(&[("c", b"second")])).unwrap();
    drop(store);
    let whole = std::fs::read(folder.path().join(RECORDS)).unwrap();
    let mut refused = 0;
    for at in 0..whole.len() - SEAL as usize {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(folder.path().join(RECORDS), bytes).unwrap();
        match LogStore::open(folder.path()) {
            Err(Error::Data { .. }) => refused += 1,
            Err(other) => panic!("byte {at}: {other}"),
            Ok(store) => {
                for (key, expected) in [("a", "first"), ("b", "both"), ("c", "second")] {
                    match store.get(key.as_bytes()) {
                        Ok(found) => assert_eq!(found, Some(expected.as_bytes().to_vec()), "byte {at}"),
                        Err(error) => assert!(matches!(error, Error::Data { .. })),
                    }
                }
            }
        }
    }
    assert!(refused > 80, "{refused}");
}

#[test]
fn the_store_of_an_earlier_version_is_not_taken_for_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("db"), [0; 64]).unwrap();
    assert!(matches!(LogStore::open(folder.path()), Err(Error::Data { what, .. }) if what.contains("earlier version")));
}

#[test]
fn what_is_overwritten_again_and_again_does_not_fill_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = LogStore::open(folder.path()).unwrap();
    store.commit(batch(&[("kept", b"all along")])).unwrap();
    for round in 0..40u8 {
        store.commit(batch(&[("large", &vec![round; 1 << 20])])).unwrap();
        store.commit(batch(&[(&format!("small/{round:02}"), &[round])])).unwrap();
    }
    let file = || std::fs::metadata(folder.path().join(RECORDS)).unwrap().len();
    assert!(file() < 2 * WASTE + (2 << 20), "{} bytes", file());
    let check = |store: &LogStore| {
        assert_eq!((value(store, "kept"), value(store, "large")), (Some(b"all along".to_vec()), Some(vec![39; 1 << 20])));
        let mut seen = 0;
        store
            .scan(b"small/", &mut |_, value| {
                assert_eq!(value, [seen]);
                seen += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, 40);
    };
    check(&store);
    drop(store);
    check(&LogStore::open(folder.path()).unwrap());
}
