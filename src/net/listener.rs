//! A listening socket, and what to do when descriptors run out.
//!
//! A process at its limit of descriptors cannot accept, nor can it refuse: the connection stays in
//! the queue, and a loop that is told of it would spin or, edge-triggered, never be told again. So
//! each listener holds one descriptor in reserve. It is given up, the connection accepted in its
//! place and closed at once, and the reserve taken again.
//!
//! The poll is edge-triggered: the caller accepts until [`Accept::Drained`], or comes back by
//! himself.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::stream::{Peer, Stream};

/// A socket that connections arrive at. Dropped, it closes; a Unix socket's file goes too.
#[derive(Debug)]
pub struct Listener {
    socket: Listening,
    /// The descriptor in reserve; `None` after it could not be had again.
    reserve: Option<OwnedFd>,
}

#[derive(Debug)]
enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// How to listen on TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Connections that may wait to be accepted. Default: 4096; the system may cap it
    /// (`net.core.somaxconn`).
    pub backlog: i32,
    /// Whether other sockets, of other processes of the same user too, may listen on the same
    /// address and share the connections. Default: no.
    pub reuse_port: bool,
    /// Whether an IPv6 address, such as `::`, refuses IPv4. Default: no.
    pub ipv6_only: bool,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: BACKLOG,
            reuse_port: false,
            ipv6_only: false,
        }
    }
}

/// What came of accepting once.
#[derive(Debug)]
pub enum Accept {
    /// A conn, with Nagle's algorithm off.
    Conn(Stream, Peer),
    /// Nobody waits any more; the poll will tell.
    Drained,
    /// One was accepted and closed at once, for want of descriptors. Others may wait.
    Refused,
    /// There is not even a descriptor to refuse with, or no memory. Others may wait, and the poll
    /// will not tell: pause for 100 ms and accept again.
    Exhausted,
}

/// Where a [`Listener`] listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalAddr {
    /// An address and the port, the real one where 0 was asked for.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl LocalAddr {
    /// The address, if it is one of TCP.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(addr) => Some(*addr),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for LocalAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Listener {
    /// Listens on an address; port 0: any that is free. The address of a server that has just ended
    /// may be used again at once.
    ///
    /// # Errors
    ///
    /// Those of the system: the address is in use, not ours, or not for us.
    pub fn bind(addr: SocketAddr, options: &ListenOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if options.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if addr.is_ipv6() {
            socket.set_only_v6(options.ipv6_only)?;
        }
        socket.bind(&addr.into())?;
        socket.listen(options.backlog)?;
        Self::from_std(socket.into())
    }

    /// Takes over a socket that listens already: from systemd, or from the process before.
    ///
    /// # Errors
    ///
    /// Those of the system, when there is no descriptor left for the reserve.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        // What it accepts inherits this: a system call less for each conn.
        SockRef::from(&listener).set_tcp_nodelay(true)?;
        Self::with_reserve(Listening::Tcp(TcpListener::from_std(listener)))
    }

    /// Listens on a Unix socket at `path`, with the permissions `mode`; 0o600: this user only.
    ///
    /// A socket file that nobody listens on any more is replaced.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if somebody listens there (or it cannot be found out), `AlreadyExists` if it is a
    /// file of another kind, both left alone; those of the system.
    pub fn bind_unix(path: impl AsRef<Path>, mode: u32) -> io::Result<Self> {
        let path = path.as_ref();
        let addr = SockAddr::unix(path)?;
        remove_stale(path, &addr)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr)?;
        let file = SocketFile::new(path)?;
        // Nobody can connect before it listens, so nobody sees it with other permissions.
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        socket.listen(BACKLOG)?;
        let socket = UnixListener::from_std(OwnedFd::from(socket).into());
        Self::with_reserve(Listening::Unix(socket, file))
    }

    fn with_reserve(socket: Listening) -> io::Result<Self> {
        let reserve = Some(socket.reserve()?);
        Ok(Self { socket, reserve })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// Those of the system; none is known.
    pub fn local_addr(&self) -> io::Result<LocalAddr> {
        match &self.socket {
            Listening::Tcp(socket) => socket.local_addr().map(LocalAddr::Tcp),
            Listening::Unix(_, file) => Ok(LocalAddr::Unix(file.path.clone())),
        }
    }

    /// Accepts one conn. Connections that ended while they waited are passed over.
    ///
    /// # Errors
    ///
    /// What the system says and is none of [`Accept`]: a fault of this socket, not of a peer. Treat
    /// it as [`Accept::Exhausted`], and log it.
    pub fn accept(&mut self) -> io::Result<Accept> {
        accept_with(&mut self.socket, &mut self.reserve)
    }
}

/// What accepting asks of the system, so that a test can run out of descriptors at will.
trait System {
    type Reserve;
    fn accept(&mut self) -> io::Result<(Stream, Peer)>;
    fn reserve(&self) -> io::Result<Self::Reserve>;
}

impl System for Listening {
    type Reserve = OwnedFd;

    fn accept(&mut self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(socket) => {
                let (stream, addr) = socket.accept()?;
                if cfg!(not(target_os = "linux")) {
                    // Not inherited everywhere. Without it, answers would only be late.
                    let _ = stream.set_nodelay(true);
                }
                Ok((stream.into(), Peer::Tcp(addr)))
            }
            Self::Unix(socket, _) => Ok((socket.accept()?.0.into(), Peer::Unix)),
        }
    }

    /// A second descriptor of the socket itself: there is always one to copy.
    fn reserve(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(socket) => socket.as_fd().try_clone_to_owned(),
            Self::Unix(socket, _) => socket.as_fd().try_clone_to_owned(),
        }
    }
}

fn accept_with<S: System>(system: &mut S, reserve: &mut Option<S::Reserve>) -> io::Result<Accept> {
    if reserve.is_none() {
        *reserve = system.reserve().ok();
    }
    loop {
        let error = match system.accept() {
            Ok((stream, peer)) => return Ok(Accept::Conn(stream, peer)),
            Err(error) => error,
        };
        match fault(&error) {
            Fault::Peer => {}
            Fault::Nobody => return Ok(Accept::Drained),
            Fault::Memory => return Ok(Accept::Exhausted),
            Fault::Descriptors => break,
            Fault::Socket => return Err(error),
        }
    }
    if reserve.take().is_none() {
        return Ok(Accept::Exhausted);
    }
    let answer = loop {
        let error = match system.accept() {
            // Closed here, and its descriptor with it, before the reserve is taken again.
            Ok(_) => break Accept::Refused,
            Err(error) => error,
        };
        match fault(&error) {
            Fault::Peer => {}
            // The limit is checked before the queue: there was nobody.
            Fault::Nobody => break Accept::Drained,
            Fault::Memory | Fault::Descriptors | Fault::Socket => break Accept::Exhausted,
        }
    };
    *reserve = system.reserve().ok();
    Ok(answer)
}

/// Whose fault an error of `accept` is.
enum Fault {
    /// Nobody is waiting.
    Nobody,
    /// The first in the queue is gone, or the network between; or it was a signal. Try the next.
    Peer,
    Descriptors,
    Memory,
    Socket,
}

fn fault(error: &io::Error) -> Fault {
    // The numbers are the same on Linux, macOS and the BSDs, but for the last.
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOBUFS: i32 = if cfg!(target_os = "linux") { 105 } else { 55 };
    match error.kind() {
        ErrorKind::WouldBlock => Fault::Nobody,
        ErrorKind::ConnectionAborted
        | ErrorKind::Interrupted
        | ErrorKind::NetworkDown
        | ErrorKind::NetworkUnreachable
        | ErrorKind::HostUnreachable => Fault::Peer,
        ErrorKind::OutOfMemory => Fault::Memory,
        _ => match error.raw_os_error() {
            Some(EMFILE | ENFILE) => Fault::Descriptors,
            Some(ENOBUFS) => Fault::Memory,
            _ => Fault::Socket,
        },
    }
}

/// Removes a socket file that nobody listens on.
fn remove_stale(path: &Path, addr: &SockAddr) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    if !kind.is_socket() {
        let text = format!("{} is not a socket", path.display());
        return Err(io::Error::new(ErrorKind::AlreadyExists, text));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A full backlog must not hold us up. It means that there is a listener.
    probe.set_nonblocking(true)?;
    match probe.connect(addr) {
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        _ => {
            let text = format!("somebody listens on {}", path.display());
            Err(io::Error::new(ErrorKind::AddrInUse, text))
        }
    }
}

/// The file of a Unix socket of ours, removed on drop.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode: a successor that has taken the path keeps its file.
    id: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            id: (found.dev(), found.ino()),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|f| (f.dev(), f.ino()) == self.id);
        if ours {
            if let Err(error) = fs::remove_file(&self.path) {
                log::warn!("{} stays behind: {error}", self.path.display());
            }
        }
    }
}

impl Source for Listener {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        match &mut self.socket {
            Listening::Tcp(socket) => socket.register(registry, token, interest),
            Listening::Unix(socket, _) => socket.register(registry, token, interest),
        }
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        match &mut self.socket {
            Listening::Tcp(socket) => socket.reregister(registry, token, interest),
            Listening::Unix(socket, _) => socket.reregister(registry, token, interest),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match &mut self.socket {
            Listening::Tcp(socket) => socket.deregister(registry),
            Listening::Unix(socket, _) => socket.deregister(registry),
        }
    }
}

const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::net::Ipv4Addr;

    /// Answers of a system that is in trouble: an error number, or 0 for a conn.
    struct Script {
        accepts: VecDeque<i32>,
        reserves: std::cell::RefCell<VecDeque<bool>>,
    }

    impl System for Script {
        type Reserve = ();

        fn accept(&mut self) -> io::Result<(Stream, Peer)> {
            match self.accepts.pop_front().expect("asked too often") {
                0 => Ok((mio::net::UnixStream::pair()?.0.into(), Peer::Unix)),
                number => Err(io::Error::from_raw_os_error(number)),
            }
        }

        fn reserve(&self) -> io::Result<()> {
            match self.reserves.borrow_mut().pop_front() {
                Some(true) => Ok(()),
                _ => Err(io::Error::from_raw_os_error(24)),
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn trouble() {
        let (nobody, aborted, interrupted, mfile, nfile) = (11, 103, 4, 24, 23);
        // Whether there is a reserve, what accept says, whether a reserve can be had; what comes of
        // it, and whether there is a reserve then.
        #[rustfmt::skip]
        #[allow(clippy::type_complexity)]
        let cases: &[(&str, bool, &[i32], &[bool], &str, bool)] = &[
            ("a conn",                 true,  &[0],                      &[],            "Conn",      true),
            ("nobody",                 true,  &[nobody],                 &[],            "Drained",   true),
            ("gone, then a conn",      true,  &[aborted, interrupted, 0], &[],           "Conn",      true),
            ("at the limit",           true,  &[mfile, 0],               &[true],        "Refused",   true),
            ("at the system's limit",  true,  &[nfile, aborted, 0],      &[true],        "Refused",   true),
            ("at the limit, nobody",   true,  &[mfile, nobody],          &[true],        "Drained",   true),
            ("reserve snatched",       true,  &[mfile, mfile],           &[false],       "Exhausted", false),
            ("reserve not had again",  true,  &[mfile, 0],               &[false],       "Refused",   false),
            ("no reserve",             false, &[mfile],                  &[false],       "Exhausted", false),
            ("reserve had again",      false, &[0],                      &[true],        "Conn",      true),
            ("had again, then used",   false, &[mfile, 0],               &[true, true],  "Refused",   true),
            ("no memory",              true,  &[12],                     &[],            "Exhausted", true),
            ("no buffers",             true,  &[105],                    &[],            "Exhausted", true),
            ("no socket",              true,  &[88],                     &[],            "error",     true),
        ];
        for &(name, held, accepts, reserves, want, holds) in cases {
            let mut system = Script {
                accepts: accepts.iter().copied().collect(),
                reserves: reserves.iter().copied().collect::<VecDeque<_>>().into(),
            };
            let mut reserve = held.then_some(());
            let answer = match accept_with(&mut system, &mut reserve) {
                Ok(Accept::Conn(..)) => "Conn",
                Ok(Accept::Drained) => "Drained",
                Ok(Accept::Refused) => "Refused",
                Ok(Accept::Exhausted) => "Exhausted",
                Err(_) => "error",
            };
            assert_eq!((answer, reserve.is_some()), (want, holds), "{name}");
            assert!(system.accepts.is_empty(), "{name}: asked too seldom");
        }
    }

    fn tcp() -> Listener {
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        Listener::bind(any, &ListenOptions::default()).unwrap()
    }

    #[test]
    fn accepts_over_tcp() {
        let mut listener = tcp();
        let addr = listener.local_addr().unwrap().tcp().unwrap();
        assert!(matches!(listener.accept().unwrap(), Accept::Drained));
        let client = std::net::TcpStream::connect(addr).unwrap();
        let Accept::Conn(Stream::Tcp(stream), peer) = listener.accept().unwrap() else {
            panic!("no conn");
        };
        assert_eq!(peer, Peer::Tcp(client.local_addr().unwrap()));
        assert!(stream.nodelay().unwrap());
        assert!(matches!(listener.accept().unwrap(), Accept::Drained));
        let adopted = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = adopted.local_addr().unwrap();
        let adopted = Listener::from_std(adopted).unwrap();
        assert_eq!(adopted.local_addr().unwrap(), LocalAddr::Tcp(addr));
    }

    #[test]
    fn ports_are_shared_only_on_request() {
        for reuse_port in [false, true] {
            let options = ListenOptions {
                reuse_port,
                ..ListenOptions::default()
            };
            let first = Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), &options).unwrap();
            let addr = first.local_addr().unwrap().tcp().unwrap();
            assert_eq!(Listener::bind(addr, &options).is_ok(), reuse_port);
        }
    }

    #[test]
    fn unix_sockets() {
        let dir = std::env::temp_dir().join(format!("dustdevil-listener-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("s");
        let kind = |r: io::Result<Listener>| r.err().map(|e| e.kind());

        let mut listener = Listener::bind_unix(&path, 0o600).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            listener.local_addr().unwrap(),
            LocalAddr::Unix(path.clone())
        );
        assert_eq!(
            kind(Listener::bind_unix(&path, 0o600)),
            Some(ErrorKind::AddrInUse)
        );
        // The probe has connected; it is the first in the queue.
        let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        for _ in 0..2 {
            let accepted = listener.accept().unwrap();
            assert!(matches!(
                accepted,
                Accept::Conn(Stream::Unix(_), Peer::Unix)
            ));
        }
        assert!(matches!(listener.accept().unwrap(), Accept::Drained));
        drop(listener);
        assert!(!path.exists(), "removed on drop");

        // Left behind by a process that died.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let stale = Listener::bind_unix(&path, 0o660).unwrap();
        // Replaced by somebody else meanwhile: not ours to remove.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        drop(stale);
        assert_eq!(
            kind(Listener::bind_unix(&path, 0o600)),
            Some(ErrorKind::AlreadyExists)
        );
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        fs::remove_dir_all(&dir).unwrap();
    }
}
