//! A listener whose process has run out of descriptors, for real: in a child, with a low limit.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;

use dustdevil::net::{Accept, ListenOptions, Listener, open_files_limit};

#[test]
fn out_of_descriptors() {
    let this = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        .args([
            "-c",
            r#"ulimit -n 64 && exec "$0" --ignored --exact --nocapture child"#,
        ])
        .arg(this)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{output:?}"
    );
}

#[test]
#[ignore = "uses up the descriptors of its process; out_of_descriptors runs it in one of its own"]
fn child() {
    assert_eq!(open_files_limit(), 64);
    let any = (Ipv4Addr::LOCALHOST, 0).into();
    let mut listener = Listener::bind(any, &ListenOptions::default()).unwrap();
    let addr = listener.local_addr().unwrap().tcp().unwrap();
    // The system connects them; it is we who cannot accept.
    let clients: Vec<_> = (0..3).map(|_| TcpStream::connect(addr).unwrap()).collect();
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    for _ in &clients {
        assert!(matches!(listener.accept().unwrap(), Accept::Refused));
    }
    assert!(matches!(listener.accept().unwrap(), Accept::Drained));
    for mut client in clients {
        match client.read(&mut [0]) {
            Ok(0) => {}
            Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("not closed: {other:?}"),
        }
    }
    files.clear();
    let _client = TcpStream::connect(addr).unwrap();
    assert!(matches!(listener.accept().unwrap(), Accept::Conn(..)));
}
