//! Remote objects against a small HTTP server in this process: requests are counted, objects change, answers fail.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What a server gives away, and how it misbehaves.
#[derive(Default)]
struct Served {
    /// Bytes and tag, by path.
    objects: Mutex<BTreeMap<String, (Vec<u8>, String)>>,
    /// Statuses of the next answers to a path; the object after these.
    failures: Mutex<HashMap<String, Vec<&'static str>>>,
    /// Answers whole objects whatever the range asked for.
    no_ranges: std::sync::atomic::AtomicBool,
    requests: AtomicU64,
}

impl Served {
    fn put(&self, path: &str, bytes: &[u8], tag: &str) {
        self.objects.lock().insert(path.into(), (bytes.to_vec(), tag.into()));
    }

    fn fail(&self, path: &str, statuses: &[&'static str]) {
        self.failures.lock().insert(path.into(), statuses.iter().rev().copied().collect());
    }

    fn take_requests(&self) -> u64 {
        self.requests.swap(0, Ordering::Relaxed)
    }

    fn answer(&self, head: &str) -> Vec<u8> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut words = head.split_whitespace();
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let plain = |status: &str, body: &str| format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes();
        if let Some(status) = self.failures.lock().get_mut(path).and_then(Vec::pop) {
            return plain(status, "<Error><Code>Odd</Code><Message>Not today.</Message></Error>");
        }
        let objects = self.objects.lock();
        let Some((bytes, tag)) = objects.get(path) else { return plain("404 Not Found", "") };
        let asked = head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
        let asked = asked.filter(|_| !self.no_ranges.load(Ordering::Relaxed));
        let (status, range, more) = match asked.as_deref().and_then(|r| r.split_once('-')) {
            Some((start, end)) => {
                let (start, end): (usize, usize) = (start.parse().unwrap(), end.trim().parse::<usize>().unwrap() + 1);
                if start >= bytes.len() {
                    return plain("416 Range Not Satisfiable", "");
                }
                let end = end.min(bytes.len());
                ("206 Partial Content", start..end, format!("content-range: bytes {start}-{}/{}\r\n", end - 1, bytes.len()))
            }
            None => ("200 OK", 0..bytes.len(), String::new()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\netag: \"{tag}\"\r\nlast-modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n{more}\r\n",
            range.len()
        );
        let body = if method == "HEAD" { &[][..] } else { &bytes[range] };
        [head.as_bytes(), body].concat()
    }
}

async fn connection(mut stream: TcpStream, served: Arc<Served>) {
    let mut buffer = Vec::new();
    loop {
        while let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            buffer.drain(..end + 4);
            if stream.write_all(&served.answer(&head)).await.is_err() {
                return;
            }
        }
        match stream.read_buf(&mut buffer).await {
            Ok(n) if n > 0 => {}
            _ => return,
        }
    }
}

/// The server and the URL that all its paths begin with.
async fn serve() -> (Arc<Served>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = Arc::new(Served::default());
    let shared = served.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, shared.clone()));
        }
    });
    (served, url)
}

fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i % 251) as u8).collect()
}

#[tokio::test]
async fn headers_take_few_requests() {
    let (served, url) = serve().await;
    let (small, large) = (bytes(700_000), bytes(20_000_000));
    served.put("/small.nc", &small, "s");
    served.put("/large%20one.nc", &large, "l");
    served.put("/empty.nc", b"", "e");
    let objects = Objects::anywhere();
    let reader = objects.open(&format!("{url}/small.nc")).await.unwrap();
    assert_eq!((reader.size(), reader.requests(), reader.bytes(), served.take_requests()), (700_000, 1, 65_536, 1));
    assert_eq!(reader.read(0..512).await.unwrap(), small[..512]);
    assert_eq!(reader.read(600_000..600_100).await.unwrap(), small[600_000..600_100]);
    assert_eq!(reader.read(100_000..200_000).await.unwrap(), small[100_000..200_000]);
    // The rest of a small object came at once, from where it was asked for and then the whole.
    assert!(served.take_requests() <= 2 && reader.bytes() <= 700_000 + 65_536, "{}", reader.bytes());

    let reader = objects.open(&format!("{url}/large one.nc")).await.unwrap();
    assert_eq!(reader.location(), format!("{url}/large%20one.nc"));
    for at in (0..2_000_000).step_by(10_000) {
        assert_eq!(reader.read(at as u64..at as u64 + 100).await.unwrap(), large[at..at + 100]);
    }
    // 64 KiB, 256 KiB, 512 KiB, 1 MiB, 1 MiB.
    assert!(reader.requests() <= 5 && served.take_requests() == reader.requests(), "{}", reader.requests());
    assert_eq!(reader.read(19_999_990..20_000_000).await.unwrap(), large[19_999_990..]);
    assert_eq!(reader.read(19_200_000..19_200_010).await.unwrap(), large[19_200_000..19_200_010]);
    assert_eq!(served.take_requests(), 1);

    let empty = objects.open(&format!("{url}/empty.nc")).await.unwrap();
    assert_eq!((empty.size(), empty.read(0..0).await.unwrap().len()), (0, 0));
}

#[tokio::test]
async fn ranges_are_exact_joined_and_in_parts() {
    let (served, url) = serve().await;
    let all = bytes(20_000_000);
    served.put("/a.nc", &all, "1");
    let (objects, a) = (Objects::anywhere(), format!("{url}/a.nc"));
    let version = objects.version(&a).await.unwrap();
    assert_eq!((version.size, version.etag.as_deref(), version.modified_micros), (20_000_000, Some("1"), 1_445_412_480_000_000));
    served.take_requests();
    let ranges = [5_000_000..5_000_100, 0..100, 5_200_000..5_200_100, 100..200];
    let read = objects.read_ranges(&a, &version, &ranges).await.unwrap();
    for (range, got) in ranges.iter().zip(&read) {
        assert_eq!(got[..], all[range.start as usize..range.end as usize]);
    }
    assert_eq!(served.take_requests(), 2);
    // A large range comes in parts.
    let whole = objects.read_ranges(&a, &version, &[0..20_000_000]).await.unwrap();
    assert!(whole[0] == all && served.take_requests() == 3);
    // What was told a moment ago is not asked again.
    objects.read_ranges(&a, &version, &[]).await.unwrap();
    assert_eq!(served.take_requests(), 0);
}

#[tokio::test]
async fn objects_that_change_or_vanish_are_errors() {
    let (served, url) = serve().await;
    served.put("/a.nc", &bytes(300_000), "1");
    let (objects, a) = (Objects::anywhere(), format!("{url}/a.nc"));
    let reader = objects.open(&a).await.unwrap();
    let version = reader.version().clone();
    served.put("/a.nc", &bytes(300_000), "2");
    for error in [
        objects.read_ranges(&a, &version, &[0..10]).await.unwrap_err(),
        reader.read(100_000..100_010).await.unwrap_err(),
        Objects::anywhere().read_ranges(&a, &version, &[]).await.unwrap_err(),
    ] {
        assert!(matches!(&error, Error::Changed { what, .. } if what.contains("tag was 1 and is 2")), "{error}");
    }
    // Shorter: the range is not there any more, and the error says why.
    served.put("/a.nc", &bytes(1000), "1");
    let error = objects.read_ranges(&a, &version, &[200_000..200_010]).await.unwrap_err();
    assert!(matches!(&error, Error::Changed { what, .. } if what.contains("300000") && what.contains("1000")), "{error}");
    served.objects.lock().clear();
    let error = objects.read_ranges(&a, &version, &[0..10]).await.unwrap_err();
    assert!(matches!(&error, Error::NotFound(m) if m.contains(&a)), "{error}");
    assert!(matches!(objects.open(&a).await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn failures_of_the_server_are_tried_again() {
    let (served, url) = serve().await;
    served.put("/a.nc", &bytes(1000), "1");
    let (objects, a) = (Objects::anywhere(), format!("{url}/a.nc"));
    served.fail("/a.nc", &["500 Internal Server Error", "503 Slow Down"]);
    let reader = objects.open(&a).await.unwrap();
    assert_eq!((reader.read(0..1000).await.unwrap().len(), served.take_requests()), (1000, 3));
    served.fail("/a.nc", &["500 Internal Server Error"; 100]);
    let error = objects.read_ranges(&a, reader.version(), &[0..10]).await.unwrap_err().to_string();
    assert!(error.contains(&a) && error.contains("500") && error.contains("retries") && !error.contains('\n'), "{error}");
    served.fail("/a.nc", &["403 Forbidden"; 3]);
    let error = objects.open(&a).await.unwrap_err();
    assert!(matches!(&error, Error::Forbidden { object, reason } if *object == a && reason.contains("Odd: Not today")), "{error}");
}

#[tokio::test]
async fn a_server_without_ranges_and_one_that_is_not_there() {
    let (served, url) = serve().await;
    served.put("/a.nc", &bytes(1000), "1");
    served.no_ranges.store(true, Ordering::Relaxed);
    let error = Objects::anywhere().open(&format!("{url}/a.nc")).await.unwrap_err();
    assert!(matches!(&error, Error::Unsupported { .. }) && error.to_string().contains("range of bytes"), "{error}");
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let nobody = format!("http://127.0.0.1:{port}/a.nc");
    let error = Objects::anywhere().open(&nobody).await.unwrap_err();
    assert!(matches!(&error, Error::Io { object, .. } if *object == nobody) && error.to_string().contains("refused"), "{error}");
}

#[test]
fn failed_listings_say_why() {
    let listing = |status: &str| object_store::Error::Generic {
        store: "S3",
        source: format!(
            "Error performing list request: Server returned non-2xx status code: {status}: <Error>\n<Code>Odd</Code><Message>No.</Message>"
        )
        .into(),
    };
    let refused = remote::failed("s3://b/*.nc", listing("403 Forbidden"));
    let expected = "the store refuses access (Odd: No); credentials are read from AWS_ACCESS_KEY_ID";
    assert!(
        matches!(&refused, Error::Forbidden { object, reason } if object == "s3://b/*.nc" && reason.starts_with(expected)),
        "{refused}"
    );
    let absent = remote::failed("s3://b/*.nc", listing("404 Not Found"));
    assert!(matches!(&absent, Error::NotFound(what) if what == "s3://b/*.nc: no such bucket or container (Odd: No)"), "{absent}");
}
