//! Roots, patterns, versions and ranges, on real files.

#![allow(clippy::single_range_in_vec_init)] // lists of one range are meant

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;

fn file(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path.canonicalize().unwrap().to_str().unwrap().to_string()
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_string()
}

#[tokio::test]
async fn lists_files_folders_and_patterns() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let (a, b, c) = (file(&root, "a.nc", b"a"), file(&root, "b.tif", b"b"), file(&root, "deep/er/c.nc", b"c"));
    file(&root, ".hidden.nc", b"h");
    file(&root, ".git/config.nc", b"h");
    let odd = file(&root, "odd[1].nc", b"o");
    let objects = Objects::new(&[text(&root)]).unwrap();
    assert_eq!(objects.list(&a).await.unwrap(), vec![a.clone()]);
    assert_eq!(objects.list(&format!("file://{a}")).await.unwrap(), vec![a.clone()]);
    assert_eq!(objects.list(&text(&root)).await.unwrap(), vec![a.clone(), b.clone(), c.clone(), odd.clone()]);
    assert_eq!(objects.list(&text(&root.join("a*.nc"))).await.unwrap(), vec![a.clone()]);
    assert_eq!(objects.list(&text(&root.join("**/*.nc"))).await.unwrap(), vec![a.clone(), c.clone(), odd.clone()]);
    assert_eq!(objects.list(&odd).await.unwrap(), vec![odd.clone()]);
    assert_eq!(objects.list(&text(&root.join("deep/../a.nc"))).await.unwrap(), vec![a]);
    let none = objects.list(&text(&root.join("*.zarr"))).await.unwrap_err();
    assert!(matches!(&none, Error::NotFound(m) if m.contains("*.zarr")), "{none}");
    let folders = objects.list(&text(&root.join("de*"))).await.unwrap_err();
    assert!(matches!(&folders, Error::NotFound(m) if m.contains("/**")), "{folders}");
    assert!(matches!(objects.list(&text(&root.join("x.nc"))).await, Err(Error::NotFound(_))));
    assert!(matches!(objects.list("").await, Err(Error::User(_))));
    let ftp = objects.list("ftp://server/a.nc").await.unwrap_err();
    assert!(matches!(&ftp, Error::Unsupported { .. }) && ftp.to_string().contains("s3://"), "{ftp}");
}

#[tokio::test]
async fn outside_the_roots_is_forbidden() {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().canonicalize().unwrap();
    let inside = file(&top, "in/a.nc", b"a");
    let outside = file(&top, "out/b.nc", b"b");
    file(&top, "inner/c.nc", b"c");
    symlink(&outside, top.join("in/link.nc")).unwrap();
    symlink(top.join("out"), top.join("in/linked")).unwrap();
    let objects = Objects::new(&[text(&top.join("in"))]).unwrap();
    assert!(objects.open(&inside).await.is_ok());
    let paths = [
        outside.clone(),
        text(&top.join("in/link.nc")),
        text(&top.join("in/../out/b.nc")),
        text(&top.join("in/linked/b.nc")),
        text(&top.join("in/linked/absent.nc")),
        text(&top.join("out/absent.nc")),
        text(&top.join("inner/c.nc")),
        text(&top.join("out/*.nc")),
        text(&top.join("in/*.nc")),
        text(&top.join("**/*.nc")),
        text(&top.join("in")),
        text(&top),
    ];
    for path in &paths {
        let e = objects.list(path).await.unwrap_err();
        assert!(matches!(&e, Error::Forbidden { reason, .. } if reason.contains("--root") && reason.contains("/in ")), "{path}: {e}");
    }
    for path in &paths[..7] {
        assert!(matches!(objects.open(path).await, Err(Error::Forbidden { .. })), "{path}");
        assert!(matches!(objects.version(path).await, Err(Error::Forbidden { .. })), "{path}");
    }
    let version = Objects::anywhere().version(&outside).await.unwrap();
    assert!(matches!(objects.read_ranges(&outside, &version, &[0..1]).await, Err(Error::Forbidden { .. })));
    objects.clone().allow(&text(&top.join("out"))).unwrap();
    assert_eq!(objects.list(&text(&top.join("in"))).await.unwrap(), vec![inside, outside]);
    assert!(matches!(Objects::new(&[]).unwrap().open("/etc/hostname").await, Err(Error::Forbidden { .. })));
}

#[tokio::test]
async fn urls_outside_the_roots_are_forbidden() {
    let objects = Objects::new(&["s3://bucket/a/*.nc".into(), "https://server/data".into()]).unwrap();
    for outside in
        ["s3://bucket/b.nc", "s3://bucket/ab/x.nc", "s3://other/a/x.nc", "http://server/data/x.nc", "https://server/data/../x.nc"]
    {
        for error in [objects.list(outside).await.unwrap_err(), objects.version(outside).await.unwrap_err()] {
            assert!(
                matches!(&error, Error::Forbidden { reason, .. } if reason.contains("--root") && reason.contains("s3://bucket/a,")),
                "{error}"
            );
        }
    }
    assert!(matches!(objects.list("s3://bucket/*.nc").await, Err(Error::Forbidden { .. })));
    // HTTP servers tell nothing: a URL names itself.
    assert_eq!(objects.list("https://server/data/a%20b.nc").await.unwrap(), ["https://server/data/a%20b.nc"]);
    let listing = objects.list("https://server/data/*.nc").await.unwrap_err();
    assert!(matches!(&listing, Error::Unsupported { .. }) && listing.to_string().contains("one by one"), "{listing}");
}

#[tokio::test]
async fn a_loop_of_links_ends() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let a = file(&root, "sub/a.nc", b"a");
    symlink(&root, root.join("sub/up")).unwrap();
    let objects = Objects::new(&[text(&root)]).unwrap();
    assert_eq!(objects.list(&text(&root)).await.unwrap(), vec![a.clone()]);
    assert_eq!(objects.list(&text(&root.join("**/*.nc"))).await.unwrap(), vec![a]);
}

#[tokio::test]
async fn what_is_no_regular_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let objects = Objects::anywhere();
    assert!(matches!(objects.open(&text(&root)).await, Err(Error::User(m)) if m.contains("folder")));
    assert!(matches!(objects.open("/dev/zero").await, Err(Error::Unsupported { .. })));
    let pipe = root.join("pipe.nc");
    if std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|s| s.success()) {
        assert!(matches!(objects.open(&text(&pipe)).await, Err(Error::Unsupported { .. })));
        assert!(matches!(objects.list(&text(&root)).await, Err(Error::NotFound(_))));
    }
    assert!(matches!(objects.open(&text(&root.join("absent"))).await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn permission_denied_is_told_apart() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let a = file(folder.path(), "a.nc", b"a");
    fs::set_permissions(&a, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(&a).is_ok() {
        return; // root may read anything
    }
    let e = Objects::anywhere().open(&a).await.unwrap_err();
    assert!(matches!(&e, Error::Forbidden { reason, .. } if reason.contains("permission denied")), "{e}");
}

#[tokio::test]
async fn a_changed_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
    let a = file(folder.path(), "a.nc", &bytes);
    let objects = Objects::anywhere();
    let version = objects.version(&a).await.unwrap();
    let reader = objects.open(&a).await.unwrap();
    assert_eq!(objects.read_ranges(&a, &version, &[5..9]).await.unwrap()[0], bytes[5..9]);
    fs::write(&a, &bytes[..100_000]).unwrap(); // truncated
    let e = objects.read_ranges(&a, &version, &[150_000..150_010]).await.unwrap_err();
    assert!(matches!(&e, Error::Changed { what, .. } if what.contains("200000") && what.contains("100000")), "{e}");
    assert!(matches!(reader.read(70_000..70_010).await, Err(Error::Changed { .. })));
    fs::write(&a, &bytes).unwrap(); // same size, later
    let e = objects.read_ranges(&a, &version, &[0..1]).await.unwrap_err();
    assert!(matches!(&e, Error::Changed { what, .. } if what.contains("modification time")), "{e}");
    // Another file of the same size and time.
    let now = objects.version(&a).await.unwrap();
    let time = fs::metadata(&a).unwrap().modified().unwrap();
    let b = file(folder.path(), "b.nc", &bytes);
    fs::File::options().write(true).open(&b).unwrap().set_modified(time).unwrap();
    fs::rename(&b, &a).unwrap();
    assert!(matches!(objects.read_ranges(&a, &now, &[0..1]).await, Err(Error::Changed { what, .. }) if what.contains("tag")));
    fs::remove_file(&a).unwrap();
    assert!(matches!(objects.read_ranges(&a, &now, &[0..1]).await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn reads_exact_ranges_through_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..500_000u32).map(|i| (i % 253) as u8).collect();
    let a = file(folder.path(), "a.nc", &bytes);
    let reader = Objects::anywhere().open(&a).await.unwrap();
    assert_eq!((reader.size(), reader.requests()), (500_000, 1));
    assert_eq!(reader.read(0..8).await.unwrap(), bytes[0..8]);
    assert_eq!(reader.read(100..60_000).await.unwrap(), bytes[100..60_000]);
    assert_eq!(reader.requests(), 1);
    assert_eq!(reader.read(499_000..500_000).await.unwrap(), bytes[499_000..]);
    assert_eq!(reader.requests(), 2);
    assert_eq!(reader.read(0..500_000).await.unwrap(), bytes[..]); // blocks 1..=6 in one request
    assert_eq!(reader.requests(), 3);
    assert_eq!(reader.read(65_530..131_080).await.unwrap(), bytes[65_530..131_080]);
    assert_eq!((reader.read(7..7).await.unwrap().len(), reader.requests()), (0, 3));
    let e = reader.read(499_999..500_001).await.unwrap_err();
    assert!(matches!(&e, Error::Data { range: Some(r), .. } if *r == (499_999..500_001)), "{e}");
    assert!(reader.read(u64::MAX - 1..u64::MAX).await.is_err());
    let objects = Objects::anywhere();
    let ranges = [400_000..400_007, 0..3, 3..10, 9..9, 2..5, 300_000..499_999];
    let read = objects.read_ranges(&a, reader.version(), &ranges).await.unwrap();
    for (range, got) in ranges.iter().zip(&read) {
        assert_eq!(got[..], bytes[range.start as usize..range.end as usize]);
    }
    assert!(matches!(objects.read_ranges(&a, reader.version(), &[0..500_001]).await, Err(Error::Data { .. })));
}
