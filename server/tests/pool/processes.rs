//! The program's processes, and a large file that takes no room.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;

/// Cells along time, y and x.
pub const SHAPE: [u32; 3] = [400, 512, 512];

/// Something that runs until dropped.
pub struct Process {
    pub child: Child,
    /// Its first line, or why there is none.
    pub said: String,
    log: Arc<Mutex<String>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal("CONT");
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts the program and waits for its first line.
    pub fn start(arguments: &[&str]) -> Process {
        Process::start_with(&[], arguments)
    }

    fn start_with(environment: &[(&str, &str)], arguments: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_graticule"));
        let mut child =
            command.args(arguments).envs(environment.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (written, errors) = (log.clone(), BufReader::new(child.stderr.take().unwrap()));
        let reading = std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                written.lock().push_str(&(line + "\n"));
            }
        });
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        if said.is_empty() {
            reading.join().unwrap();
            said = log.lock().clone();
        }
        Process { child, said, log }
    }

    /// What it has written to its standard error.
    pub fn log(&self) -> String {
        self.log.lock().clone()
    }

    pub fn server(more: &[&str]) -> Process {
        Process::server_with(&[], more)
    }

    /// The same with variables in its environment.
    pub fn server_with(environment: &[(&str, &str)], more: &[&str]) -> Process {
        let always = ["serve", "--listen", "127.0.0.1:0", "--data-dir", ":memory:", "--threads", "1", "--cache", "64MiB", "--root", "/"];
        Process::start_with(environment, &[&always, more].concat())
    }

    pub fn node(server: &Process, more: &[&str]) -> Process {
        Process::node_with(server, &[], more)
    }

    /// The same with variables in its environment.
    pub fn node_with(server: &Process, environment: &[(&str, &str)], more: &[&str]) -> Process {
        let url = server.url();
        Process::start_with(environment, &[&["node", "--join", &url, "--threads", "1", "--cache", "1KiB"], more].concat())
    }

    pub fn url(&self) -> String {
        self.said.split_whitespace().last().unwrap_or_default().to_owned()
    }

    /// Where a node takes work, as `SHOW NODES` has it.
    pub fn address(&self) -> String {
        self.url().trim_start_matches("http://").trim_end_matches('/').to_owned()
    }

    pub fn signal(&self, name: &str) {
        let _ = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
    }
}

/// A netCDF classic file of one float variable; what is not written is 0.
pub fn sparse(folder: &Path) -> PathBuf {
    classic(folder.join("large.nc"), SHAPE, None)
}

/// A netCDF classic file of one float variable that has one value everywhere.
pub fn constant(path: PathBuf, value: f32) -> PathBuf {
    classic(path, [160, 256, 256], Some(value))
}

fn classic(path: PathBuf, shape: [u32; 3], value: Option<f32>) -> PathBuf {
    let mut head: Vec<u8> = b"CDF\x02".to_vec();
    let word = |head: &mut Vec<u8>, n: u32| head.extend(n.to_be_bytes());
    let name = |head: &mut Vec<u8>, name: &str| {
        head.extend((name.len() as u32).to_be_bytes());
        head.extend(name.as_bytes());
        head.extend(std::iter::repeat_n(0, name.len().next_multiple_of(4) - name.len()));
    };
    word(&mut head, 0);
    word(&mut head, 10);
    word(&mut head, 3);
    for (axis, length) in ["time", "y", "x"].into_iter().zip(shape) {
        name(&mut head, axis);
        word(&mut head, length);
    }
    [0, 0, 11, 1].into_iter().for_each(|n| word(&mut head, n));
    name(&mut head, "v");
    word(&mut head, 3);
    (0..3).for_each(|axis| word(&mut head, axis));
    let bytes = shape.iter().map(|&n| u64::from(n)).product::<u64>() * 4;
    [0, 0, 5, u32::try_from(bytes).unwrap()].into_iter().for_each(|n| word(&mut head, n));
    let begin = head.len() as u64 + 8;
    head.extend(begin.to_be_bytes());
    if let Some(value) = value {
        head.extend(std::iter::repeat_n(value.to_be_bytes(), bytes as usize / 4).flatten());
    }
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(&head).unwrap();
    file.set_len(begin + bytes).unwrap();
    path
}
