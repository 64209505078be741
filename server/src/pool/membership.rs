//! Who is in the pool: nodes say hello again and again; one that falls silent or fails a query gets no work for a while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tonic::Status;

use super::protocol::{self, Hello};

/// When a node is to say hello again.
pub const AGAIN: Duration = Duration::from_secs(1);
/// A node that was not heard of for so long gets no work.
const SILENT: Duration = Duration::from_millis(3500);
/// A node that was not heard of for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(300);
/// In this time half of what was held against a node is forgiven. One failure keeps it out for that long.
const FORGIVING: Duration = Duration::from_secs(10);
/// Most nodes, silent ones included.
const MOST: usize = 4096;
/// Most that is held against a node: it is out for some minutes, not for good.
const WORST: f64 = 16.0;

/// Whether a node gets work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It does.
    Ready,
    /// It is about to leave.
    Draining,
    /// It failed queries lately.
    Quarantined,
    /// It was not heard of lately.
    Silent,
}

impl State {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            State::Ready => "ready",
            State::Draining => "draining",
            State::Quarantined => "quarantined",
            State::Silent => "silent",
        }
    }
}

/// A node.
#[derive(Debug, Clone)]
pub struct Member {
    /// What it said last.
    pub hello: Hello,
    /// When.
    pub seen: Instant,
    /// When it had read something more last.
    moved: Instant,
    /// What is held against it, and since when.
    failures: f64,
    since: Instant,
    /// Why it failed last.
    pub reason: String,
}

impl Member {
    fn held_against(&self, now: Instant) -> f64 {
        self.failures * 0.5f64.powf(now.saturating_duration_since(self.since).as_secs_f64() / FORGIVING.as_secs_f64())
    }

    /// Whether it gets work.
    pub fn state(&self, now: Instant) -> State {
        if now.saturating_duration_since(self.seen) > SILENT {
            State::Silent
        } else if self.hello.draining {
            State::Draining
        } else if self.held_against(now) > 0.5 {
            State::Quarantined
        } else {
            State::Ready
        }
    }
}

/// All nodes that were heard of, by URL.
#[derive(Debug, Default)]
pub struct Members(BTreeMap<String, Member>);

impl Members {
    /// A node says hello: at first, and again and again. Errors say why it is not taken.
    pub fn hello(&mut self, hello: Hello, now: Instant) -> Result<(), Status> {
        if hello.protocol != protocol::PROTOCOL || hello.build != protocol::build() {
            return Err(Status::failed_precondition(format!(
                "the node is of build {} (protocol {}), the server of build {} (protocol {}); plans of different builds differ, so a pool has one: \
                 install the same program on both",
                hello.build,
                hello.protocol,
                protocol::build(),
                protocol::PROTOCOL
            )));
        }
        self.0.retain(|_, member| now.saturating_duration_since(member.seen) <= FORGOTTEN);
        if let Some(known) = self.0.get_mut(&hello.url) {
            if known.hello.instance != hello.instance && known.state(now) != State::Silent {
                return Err(Status::already_exists(format!(
                    "another node of this pool has the address {} and is alive; give this one another --listen",
                    hello.url
                )));
            }
            let again = known.hello.instance != hello.instance;
            let read = |hello: &Hello| (hello.chunks_read, hello.chunks_cached);
            if again || read(&known.hello) != read(&hello) {
                known.moved = now;
            }
            known.hello = hello;
            known.seen = now;
            if again {
                known.failures = 0.0;
            }
            return Ok(());
        }
        if self.0.len() >= MOST {
            return Err(Status::resource_exhausted(format!("this pool has {MOST} nodes, the most that it takes")));
        }
        self.0.insert(hello.url.clone(), Member { hello, seen: now, moved: now, failures: 0.0, since: now, reason: String::new() });
        Ok(())
    }

    /// A node leaves.
    pub fn goodbye(&mut self, hello: &Hello) {
        if self.0.get(&hello.url).is_some_and(|known| known.hello.instance == hello.instance) {
            self.0.remove(&hello.url);
        }
    }

    /// A node failed a query.
    pub fn failed(&mut self, url: &str, reason: &str, now: Instant) {
        if let Some(member) = self.0.get_mut(url) {
            member.failures = (member.held_against(now) + 1.0).min(WORST);
            member.since = now;
            reason.clone_into(&mut member.reason);
        }
    }

    /// For how long a node has read nothing; for ever, when it is not known any more.
    pub fn idle(&self, url: &str, now: Instant) -> Duration {
        self.0.get(url).map_or(Duration::MAX, |member| now.saturating_duration_since(member.moved))
    }

    /// Those that get work now.
    pub fn ready(&self, now: Instant) -> Vec<Hello> {
        self.0.values().filter(|member| member.state(now) == State::Ready).map(|member| member.hello.clone()).collect()
    }

    /// All.
    pub fn all(&self) -> impl Iterator<Item = &Member> {
        self.0.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(port: u16, instance: u64) -> Hello {
        let build = protocol::build().to_owned();
        Hello { url: format!("http://127.0.0.1:{port}/"), instance, build, protocol: protocol::PROTOCOL, ..Hello::default() }
    }

    fn ready(members: &Members, now: Instant) -> Vec<u64> {
        members.ready(now).iter().map(|hello| hello.instance).collect()
    }

    #[test]
    fn silence_draining_and_leaving() {
        let (mut members, start) = (Members::default(), Instant::now());
        members.hello(node(1, 1), start).unwrap();
        members.hello(node(2, 2), start).unwrap();
        assert_eq!(ready(&members, start), [1, 2]);
        let later = start + Duration::from_secs(4);
        members.hello(node(2, 2), later).unwrap();
        assert_eq!(ready(&members, later), [2]);
        members.hello(Hello { draining: true, ..node(2, 2) }, later).unwrap();
        assert!(ready(&members, later).is_empty());
        members.goodbye(&node(2, 7));
        assert_eq!(members.all().count(), 2);
        members.goodbye(&node(2, 2));
        assert_eq!(members.all().count(), 1);
        members.hello(node(3, 3), start + Duration::from_secs(400)).unwrap();
        assert_eq!(members.all().count(), 1);
    }

    #[test]
    fn failures_are_forgiven_in_time_and_sooner_when_few() {
        let (mut members, start) = (Members::default(), Instant::now());
        let out_for = |members: &mut Members, from: Instant| {
            (0..600).find(|&s| {
                let now = from + Duration::from_secs(s);
                members.hello(node(1, 1), now).unwrap();
                !members.ready(now).is_empty()
            })
        };
        members.hello(node(1, 1), start).unwrap();
        members.failed("http://127.0.0.1:1/", "it hung", start);
        assert_eq!(members.all().next().unwrap().reason, "it hung");
        assert_eq!(out_for(&mut members, start), Some(10));
        let again = start + Duration::from_secs(11);
        members.failed("http://127.0.0.1:1/", "it hung", again);
        members.failed("http://127.0.0.1:1/", "it hung", again);
        assert!(out_for(&mut members, again).unwrap() > 20);
        // Started anew it is as good as any.
        members.failed("http://127.0.0.1:1/", "it hung", again + Duration::from_secs(1000));
        members.hello(node(1, 9), again + Duration::from_secs(1010)).unwrap();
        assert_eq!(ready(&members, again + Duration::from_secs(1010)), [9]);
    }

    #[test]
    fn other_builds_and_taken_addresses_are_refused() {
        let (mut members, start) = (Members::default(), Instant::now());
        let refused = members.hello(Hello { build: "0.0.0-other".into(), ..node(1, 1) }, start).unwrap_err();
        assert!(refused.message().contains("0.0.0-other") && refused.message().contains(protocol::build()), "{refused}");
        assert!(members.hello(Hello { protocol: 99, ..node(1, 1) }, start).is_err());
        members.hello(node(1, 1), start).unwrap();
        assert!(members.hello(node(1, 2), start).unwrap_err().message().contains("127.0.0.1:1"));
        members.hello(node(1, 2), start + Duration::from_secs(5)).unwrap();
    }
}
