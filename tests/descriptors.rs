//! A process that has run out of descriptors, for real: in children, with a low limit.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use dustdevil::net::{Accept, ListenOptions, Listener, open_files_limit};
use dustdevil::{Response, Settings, SocketServer};

/// Runs an ignored test in a process of its own.
fn in_a_child(test: &str) {
    let this = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        .args([
            "-c",
            r#"ulimit -n 64 && exec "$0" --ignored --exact --nocapture "$1""#,
        ])
        .arg(this)
        .arg(test)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{output:?}"
    );
}

fn use_up() -> Vec<File> {
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    files
}

fn is_closed(client: &mut TcpStream) -> bool {
    match client.read(&mut [0]) {
        Ok(n) => n == 0,
        Err(e) => e.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_listener() {
    in_a_child("listener_in_a_child");
}

#[test]
#[ignore = "uses up the descriptors of its process; a_listener runs it in one of its own"]
fn listener_in_a_child() {
    assert_eq!(open_files_limit(), 64);
    let any = (Ipv4Addr::LOCALHOST, 0).into();
    let mut listener = Listener::bind(any, &ListenOptions::default()).unwrap();
    let addr = listener.local_addr().unwrap().tcp().unwrap();
    // The system connects them; it is we who cannot accept.
    let clients: Vec<_> = (0..3).map(|_| TcpStream::connect(addr).unwrap()).collect();
    let mut files = use_up();
    for _ in &clients {
        assert!(matches!(listener.accept().unwrap(), Accept::Refused));
    }
    assert!(matches!(listener.accept().unwrap(), Accept::Drained));
    for mut client in clients {
        assert!(is_closed(&mut client));
    }
    files.clear();
    let _client = TcpStream::connect(addr).unwrap();
    assert!(matches!(listener.accept().unwrap(), Accept::Conn(..)));
}

#[test]
fn a_server() {
    in_a_child("server_in_a_child");
}

/// Who is there is served on, who comes is turned away, and the loop sleeps; when descriptors are
/// free again, all is as before.
#[test]
#[ignore = "uses up the descriptors of its process; a_server runs it in one of its own"]
fn server_in_a_child() {
    let settings = Settings {
        connections_max: 1000,
        ..Settings::default()
    };
    let mut server = SocketServer::new(())
        .unwrap()
        .settings(settings)
        .get("/", |_, _, reply| reply.send(Response::text("here")))
        .bind("127.0.0.1:0")
        .unwrap();
    let addr = server.local_addrs()[0].tcp().unwrap();
    let mut old = connect(addr);
    assert!(is_served(&mut server, &mut old));
    let late: Vec<_> = (0..3).map(|_| connect(addr)).collect();
    let files = use_up();
    turns(&mut server, 20);
    for mut client in late {
        assert!(is_closed(&mut client));
    }
    assert!(is_served(&mut server, &mut old));
    assert_eq!(server.stats().unwrap().refused, 3);
    // Nothing is left to do, so nothing is done.
    let before = server.stats().unwrap().turns;
    server.poll_once(Some(Duration::from_millis(300))).unwrap();
    assert!(server.stats().unwrap().turns - before <= 1);
    drop(files);
    let mut new = connect(addr);
    assert!(is_served(&mut server, &mut new));
}

fn connect(addr: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(addr).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    client
}

fn turns(server: &mut SocketServer<()>, count: usize) {
    for _ in 0..count {
        server.poll_once(Some(Duration::from_millis(10))).unwrap();
    }
}

fn is_served(server: &mut SocketServer<()>, client: &mut TcpStream) -> bool {
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    turns(server, 5);
    let mut answer = [0; 1024];
    let n = client.read(&mut answer).unwrap();
    answer[..n].ends_with(b"\r\n\r\nhere")
}
