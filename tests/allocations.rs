//! No message costs an allocation: on the echo path, and in a broadcast.
//!
//! The allocator counts for the whole process, so there is one test in here, and its client works
//! in buffers made beforehand.

// In a test a failed unwrap is a failed test.
#![allow(clippy::unwrap_used)]

use dustdevil::{Connection, Cx, Message, Router, SocketServer, WebSocket};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[derive(Default)]
struct Echo;

impl Connection for Echo {
    type State = ();
    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        cx.send(message);
    }
}

#[derive(Default)]
struct Broadcast;

impl Connection for Broadcast {
    type State = ();
    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        cx.all().send(message);
    }
}

fn connect(server: &mut SocketServer<()>, addr: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_nonblocking(true).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut got = Vec::new();
    let mut byte = [0];
    while !got.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(0) => panic!("closed"),
            Ok(_) => got.push(byte[0]),
            Err(_) => turn(server),
        }
    }
    assert!(got.starts_with(b"HTTP/1.1 101"));
    stream
}

fn turn(server: &mut SocketServer<()>) {
    server.poll_once(Some(Duration::from_millis(1))).unwrap();
}

/// Masked text frames of one size, one behind the other.
fn frames(payload: usize, count: usize) -> Vec<u8> {
    let mut one = vec![0x81];
    if payload < 126 {
        one.push(0x80 | payload as u8);
    } else {
        one.push(0xfe);
        one.extend_from_slice(&(payload as u16).to_be_bytes());
    }
    one.extend_from_slice(&[0; 4]);
    one.resize(one.len() + payload, b'x');
    one.repeat(count)
}

/// Sends `out` and reads `back` bytes from each, `rounds` times.
fn rounds(
    server: &mut SocketServer<()>,
    clients: &mut [TcpStream],
    out: &[u8],
    back: usize,
    rounds: usize,
) {
    let mut buffer = [0; 64 << 10];
    for _ in 0..rounds {
        clients[0].write_all(out).unwrap();
        for client in &mut *clients {
            let mut got = 0;
            while got < back {
                match client.read(&mut buffer) {
                    Ok(0) => panic!("closed"),
                    Ok(n) => got += n,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => turn(server),
                    Err(error) => panic!("{error}"),
                }
            }
            assert_eq!(got, back);
        }
    }
}

#[test]
fn messages_allocate_nothing() {
    let mut server = SocketServer::new(())
        .unwrap()
        .websocket("/echo", &Router::<Echo>::new(), WebSocket::default())
        .websocket("/all", &Router::<Broadcast>::new(), WebSocket::default())
        .bind("127.0.0.1:0")
        .unwrap();
    let addr = server.local_addrs()[0].tcp().unwrap();
    // A broadcast of 1 KiB is one shared copy, made once: that is its one allocation.
    #[rustfmt::skip]
    let cases = [
        ("/echo", 1,  20,   1,  2000, 0), ("/echo", 1,  20,   16, 500, 0),
        ("/echo", 1,  1024, 1,  2000, 0), ("/echo", 1,  1024, 16, 500, 0),
        ("/all",  20, 20,   1,  200,  0), ("/all",  20, 20,   16, 50,  0),
    ];
    for (path, conns, payload, depth, count, want) in cases {
        let mut clients: Vec<_> = (0..conns)
            .map(|_| connect(&mut server, addr, path))
            .collect();
        let out = frames(payload, depth);
        let back = out.len() - 4 * depth;
        rounds(&mut server, &mut clients, &out, back, 100);
        // The least of three: the test harness has a thread of its own that may allocate.
        let measure = || {
            let region = Region::new(GLOBAL);
            rounds(&mut server, &mut clients, &out, back, count);
            let change = region.change();
            change.allocations + change.reallocations
        };
        let made = std::iter::repeat_with(measure).take(3).min();
        let case = format!("{path}, {payload} bytes, {depth} in flight");
        assert_eq!(made, Some(want), "{case}: {} messages", depth * count);
        drop(clients);
        turn(&mut server);
    }
}
