//! Listening where anybody may connect: no error of one connection ends the others, and those that say nothing cannot keep
//! out those that speak.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// How long to wait when no file can be opened for a new connection.
const PAUSE: Duration = Duration::from_millis(50);

/// Open files that this asks the system for; what is there by default (often 1,024) is few for connections and data together.
const FILES_WANTED: u64 = 1 << 16;

/// Open files where the system does not say how many there may be.
const FILES_USUAL: u64 = 1024;

/// Raises the number of files that this process may open as far as it may be raised without more rights; the number.
pub fn raise_open_files() -> u64 {
    rlimit::increase_nofile_limit(FILES_WANTED).unwrap_or(FILES_USUAL)
}

/// How many connections may be open beside the files of the data.
pub fn most_connections() -> usize {
    let files = rlimit::Resource::NOFILE.get_soft().unwrap_or(FILES_USUAL).min(FILES_WANTED);
    usize::try_from(files / 2).unwrap_or(usize::MAX)
}

/// The next connection. An error of one (it was reset already) is passed over, and a lack of files waited for.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(e) => {
                let of_one = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::Interrupted];
                if !of_one.contains(&e.kind()) {
                    tracing::warn!("a connection could not be accepted: {e}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Why an address could not be listened on, and what would help. `flag` is the one that chooses it.
pub fn not_bound(flag: &str, address: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!("{address} is in use by another program (another graticule?); choose another with {flag}"),
        io::ErrorKind::PermissionDenied => format!("{address}: this user may not listen there; ports below 1024 need more rights"),
        io::ErrorKind::AddrNotAvailable => format!("{address} is not an address of this machine"),
        io::ErrorKind::InvalidInput => format!("{flag} {address}: write it like 127.0.0.1:8815"),
        _ => format!("cannot listen on {address}: {error}"),
    }
}

/// Tasks of connections of which only the newest are kept: where there are too many, the oldest one is ended.
#[derive(Debug)]
pub struct Newest {
    tasks: VecDeque<AbortHandle>,
    most: usize,
    /// How many there may be before those that have ended are forgotten.
    tidy_at: usize,
}

/// Tasks that are kept, ended or not, before the first look at them.
const TIDY_AT_LEAST: usize = 64;

impl Newest {
    /// Keeps `most` tasks.
    pub fn new(most: usize) -> Newest {
        Newest { tasks: VecDeque::new(), most: most.max(1), tidy_at: most.clamp(1, TIDY_AT_LEAST) }
    }

    /// Starts a task.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        if self.tasks.len() >= self.tidy_at {
            self.tasks.retain(|task| !task.is_finished());
            self.tidy_at = (2 * self.tasks.len()).max(TIDY_AT_LEAST).min(self.most);
        }
        if self.tasks.len() >= self.most
            && let Some(oldest) = self.tasks.pop_front()
        {
            oldest.abort();
        }
        self.tasks.push_back(tokio::spawn(task).abort_handle());
    }
}

impl Drop for Newest {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Counts something for as long as it lives.
#[derive(Debug)]
pub struct Counted(Arc<AtomicUsize>);

impl Counted {
    /// One more, unless there are `most` already.
    pub fn new(count: &Arc<AtomicUsize>, most: usize) -> Option<Counted> {
        let one_more = |n: usize| (n < most).then(|| n + 1);
        count.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        Some(Counted(count.clone()))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_of_too_many_is_ended() {
        let (told, mut ends) = tokio::sync::mpsc::unbounded_channel();
        let mut newest = Newest::new(2);
        struct Ends(usize, tokio::sync::mpsc::UnboundedSender<usize>);
        impl Drop for Ends {
            fn drop(&mut self) {
                let _ = self.1.send(self.0);
            }
        }
        for n in 0..3 {
            let ends = Ends(n, told.clone());
            newest.spawn(async move {
                let _ends = ends;
                std::future::pending::<()>().await;
            });
        }
        assert_eq!(ends.recv().await, Some(0));
        assert_eq!(newest.tasks.len(), 2);
        drop(newest);
        assert_eq!(ends.recv().await.map(|n| n > 0), Some(true));
    }

    #[test]
    fn what_is_counted_has_a_limit_and_an_end() {
        let count = Arc::default();
        let first = Counted::new(&count, 1);
        assert!(first.is_some() && Counted::new(&count, 1).is_none());
        drop(first);
        assert!(Counted::new(&count, 1).is_some());
    }
}
