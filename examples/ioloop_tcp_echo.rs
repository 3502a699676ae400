//! A TCP echo server on the bare event loop: a first lesson in the reactor, and the floor that
//! everything built on it is measured against.
//!
//! ```text
//! cargo run --release --example ioloop_tcp_echo -- --port 7777
//! ```
//!
//! What to look for:
//! - One function handles all events, so the state is a plain struct; the loop's message says whom an
//!   event is about.
//! - One receive buffer for all conns. The usual echo goes from there straight back into the socket;
//!   a conn has memory of its own only while its peer does not take what it gets.
//! - Interest in writing only while there is something to write.
//! - Bounded memory: while a peer does not take its echo, we read nothing from it. So at most one
//!   receive buffer waits for each.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use dustdevil::net::{Accept, ListenOptions, Listener, Stream};
use dustdevil::reactor::{Event, Handler, IoLoop, Readiness};
use dustdevil::storage::arena::{Arena, Key};
use dustdevil::storage::pool::Pool;
use dustdevil::storage::write_queue::{Flush, WriteQueue};
use mio::Interest;

/// What an event can be about.
#[derive(Clone, Copy)]
enum About {
    /// Somebody wants to connect, or might by now.
    Listener,
    Conn(Key<Conn>),
}

struct Conn {
    stream: Stream,
    handler: Handler,
    out: WriteQueue,
    /// The peer sends no more, and has all of its echo.
    ended: bool,
}

struct Echo {
    listener: Listener,
    conns: Arena<Conn>,
    /// What any conn is read into. Nothing stays here from one read to the next.
    buffer: Box<[u8]>,
    pool: Pool,
}

/// A conn that has filled this has had its share of the turn.
const BUFFER_BYTES: usize = 256 << 10;
/// When there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

fn main() -> Result<(), Box<dyn Error>> {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port()?));
    let mut listener = Listener::bind(addr, &ListenOptions::default())?;
    let mut io = IoLoop::new()?;
    io.add_handler(&mut listener, Interest::READABLE, About::Listener)?;
    println!("listening on {}", listener.local_addr()?);
    let mut echo = Echo {
        listener,
        conns: Arena::new(),
        buffer: vec![0; BUFFER_BYTES].into(),
        pool: Pool::default(),
    };
    io.run(|io, event| match event {
        Event::Ready(About::Conn(key), readiness) => echo.on_ready(io, key, readiness),
        Event::Ready(About::Listener, _) | Event::Timeout(_) => echo.accept(io),
        Event::Callback(_) | Event::BeforeSleep => {}
    })?;
    Ok(())
}

fn port() -> Result<u16, lexopt::Error> {
    use lexopt::prelude::*;
    let mut port = 7777;
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("port") => port = args.value()?.parse()?,
            _ => return Err(arg.unexpected()),
        }
    }
    Ok(port)
}

impl Echo {
    /// Accepts until nobody waits: the poll tells of a newcomer once.
    fn accept(&mut self, io: &mut IoLoop<About>) {
        loop {
            match self.listener.accept() {
                Ok(Accept::Conn(stream, _)) => {
                    if let Err(error) = self.welcome(io, stream) {
                        eprintln!("cannot watch a conn: {error}");
                    }
                }
                Ok(Accept::Drained) => return,
                Ok(Accept::Refused) => {}
                Ok(Accept::Exhausted) | Err(_) => {
                    io.call_later(ACCEPT_PAUSE, About::Listener);
                    return;
                }
            }
        }
    }

    fn welcome(&mut self, io: &mut IoLoop<About>, mut stream: Stream) -> io::Result<()> {
        let about = About::Conn(self.conns.vacant_key());
        let handler = io.add_handler(&mut stream, Interest::READABLE, about)?;
        self.conns.insert(Conn {
            stream,
            handler,
            out: WriteQueue::new(),
            ended: false,
        });
        Ok(())
    }

    fn on_ready(&mut self, io: &mut IoLoop<About>, key: Key<Conn>, readiness: Readiness) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        let alive = conn.on_ready(io, readiness, &mut self.buffer, &mut self.pool);
        if let Ok(true) = alive {
            return;
        }
        // Over, or failed, which an echo server has nobody to tell of.
        if let Some(mut conn) = self.conns.remove(key) {
            let _ = io.remove_handler(&mut conn.stream, conn.handler);
            conn.out.clear(&mut self.pool);
        }
    }
}

impl Conn {
    /// Writes what waits, then echoes what has come. Answers whether the conn goes on.
    fn on_ready(
        &mut self,
        io: &mut IoLoop<About>,
        readiness: Readiness,
        buffer: &mut [u8],
        pool: &mut Pool,
    ) -> io::Result<bool> {
        if !self.out.is_empty() {
            // The peer did not take all, so it is not read from until it has.
            if !readiness.is_writable()
                || self.out.write_to(&mut self.stream, pool)? == Flush::Blocked
            {
                return Ok(true);
            }
            // This asks the poll anew: it tells in the next turn if bytes have been left unread.
            io.update_handler(&mut self.stream, self.handler, Interest::READABLE)?;
        } else if readiness.is_readable() {
            self.echo(io, readiness, buffer, pool)?;
        }
        Ok(!self.ended)
    }

    fn echo(
        &mut self,
        io: &mut IoLoop<About>,
        readiness: Readiness,
        buffer: &mut [u8],
        pool: &mut Pool,
    ) -> io::Result<()> {
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(());
                }
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            let written = match self.stream.write(&buffer[..read]) {
                Ok(n) => n,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
                Err(e) => return Err(e),
            };
            if written < read {
                self.out.append(&buffer[written..read], pool);
                let both = Interest::READABLE | Interest::WRITABLE;
                return io.update_handler(&mut self.stream, self.handler, both);
            }
            if read == buffer.len() {
                // There may be more, but others have waited.
                io.again(self.handler, readiness);
                return Ok(());
            }
            // A short read means that there is no more; except that the end, if it has come, may lie
            // behind these bytes, and no other event will tell of it.
            if !readiness.is_closed() {
                return Ok(());
            }
        }
    }
}
