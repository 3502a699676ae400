//! The servers under load: processes of their own, started here or elsewhere, and what the kernel
//! has on their account.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What a server offers at its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Echoes bytes.
    Tcp,
    /// Echoes messages at a path; `/broadcast` and `/hello` as `testbed --bench` has them, and
    /// perhaps SockJS at `/echo` and `/broadcast`, and Socket.IO at `/socket.io`.
    WebSocket,
}

pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) addr: SocketAddr,
    pub(crate) path: String,
    /// The process whose CPU time and memory are read.
    pid: u32,
    /// Ours, to be ended.
    child: Option<Child>,
}

impl Server {
    /// Starts a program that prints `listening on ADDR` as its first line.
    pub(crate) fn start(
        name: &str,
        kind: Kind,
        program: &Path,
        args: &[&str],
        core: Option<usize>,
    ) -> Result<Self, String> {
        let mut command = match core {
            Some(core) => {
                // taskset becomes the program: the process id stays.
                let mut command = Command::new("taskset");
                command.arg("-c").arg(core.to_string()).arg(program);
                command
            }
            None => Command::new(program),
        };
        let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", program.display());
        let mut child = command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(&error))?;
        let pid = child.id();
        let mut first = String::new();
        let read = match child.stdout.as_mut() {
            Some(stdout) => BufReader::new(stdout).read_line(&mut first),
            None => Ok(0),
        };
        let mut server = Self {
            name: name.to_owned(),
            kind,
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            path: "/ws".to_owned(),
            pid,
            child: Some(child),
        };
        read.map_err(|error| failed(&error))?;
        server.addr = first
            .trim()
            .strip_prefix("listening on ")
            .and_then(|addr| addr.parse().ok())
            .ok_or_else(|| failed(&format!("said {first:?}, not where it listens")))?;
        Ok(server)
    }

    /// A server that runs already: `tcp://ADDR` or `ws://ADDR/PATH`.
    pub(crate) fn running(url: &str, pid: u32) -> Result<Self, String> {
        let (kind, rest) = if let Some(rest) = url.strip_prefix("tcp://") {
            (Kind::Tcp, rest)
        } else if let Some(rest) = url.strip_prefix("ws://") {
            (Kind::WebSocket, rest)
        } else {
            return Err(format!("{url}: neither tcp:// nor ws://"));
        };
        let (addr, path) = rest.split_once('/').unwrap_or((rest, "ws"));
        let addr: SocketAddr = addr
            .replace("localhost", "127.0.0.1")
            .parse()
            .map_err(|_| format!("{url}: the host must be a loopback address, with a port"))?;
        if !addr.ip().is_loopback() {
            return Err(format!("{url}: not a loopback address"));
        }
        let server = Self {
            name: fs::read_to_string(format!("/proc/{pid}/comm"))
                .map_err(|error| format!("process {pid}: {error}"))?
                .trim()
                .to_owned(),
            kind,
            addr,
            path: format!("/{path}"),
            pid,
            child: None,
        };
        server.cpu_ns()?;
        Ok(server)
    }

    /// CPU time of all threads so far, in nanoseconds.
    pub(crate) fn cpu_ns(&self) -> Result<u64, String> {
        let gone = |error: std::io::Error| format!("{} ({}): {error}", self.name, self.pid);
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid)).map_err(gone)? {
            let path = task.map_err(gone)?.path().join("schedstat");
            // A thread may end between the two calls.
            let text = fs::read_to_string(path).unwrap_or_default();
            sum += text
                .split(' ')
                .next()
                .and_then(|ns| ns.parse::<u64>().ok())
                .unwrap_or(0);
        }
        if sum > 0 {
            return Ok(sum);
        }
        // A kernel without schedstat: user and system time in ticks of 10 ms.
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).map_err(gone)?;
        let fields = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace();
        Ok(fields
            .skip(11)
            .take(2)
            .filter_map(|ticks| ticks.parse::<u64>().ok())
            .sum::<u64>()
            * 10_000_000)
    }

    /// Resident memory in bytes.
    pub(crate) fn rss(&self) -> Result<u64, String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))
            .map_err(|error| format!("{} ({}): {error}", self.name, self.pid))?;
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .and_then(|kib| kib.trim().parse::<u64>().ok())
            .map(|kib| kib * 1024)
            .ok_or_else(|| format!("{}: no VmRSS", self.name))
    }

    /// Whether it was started here.
    pub(crate) fn is_own(&self) -> bool {
        self.child.is_some()
    }

    /// Open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid)).map_or(0, Iterator::count)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Either fails only if the process is gone, which is what we want.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The folder of the examples that were built beside this program (`target/release/deps/..`).
pub(crate) fn examples_dir() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    Some(program.parent()?.parent()?.join("examples"))
}

/// Builds the two servers, so that what is measured is what the sources say.
pub(crate) fn build_examples() -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--release",
            "--example",
            "ioloop_tcp_echo",
            "--example",
            "testbed",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("building the examples: {status}")),
        Err(error) => Err(format!("cargo: {error}")),
    }
}

/// Lets this process, and those it starts, open as many files as the hard limit allows. Answers
/// how many that are.
pub(crate) fn raise_file_limit() -> usize {
    let me = std::process::id().to_string();
    let limits = || {
        let text = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"))?
            .to_owned();
        let mut words = line
            .split_whitespace()
            .map(|word| word.parse::<usize>().unwrap_or(usize::MAX));
        Some((words.next()?, words.next()?))
    };
    let (soft, hard) = limits().unwrap_or((1024, 1024));
    if soft < hard {
        // Without unsafe code there is no call for it; util-linux has a program.
        let value = format!("--nofile={}:{}", hard.min(1 << 20), hard.min(1 << 20));
        let _ = Command::new("prlimit")
            .args(["--pid", &me, &value])
            .status();
    }
    limits().map_or(soft, |(soft, _)| soft)
}

/// Moves this process to the second core, so that the servers can have the first for themselves.
/// Answers the servers' core, or `None` where that cannot be done.
pub(crate) fn part_cores() -> Option<usize> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let me = std::process::id().to_string();
    let moved = cores >= 2
        && Command::new("taskset")
            .args(["-cp", "1", &me])
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
    moved.then_some(0)
}
