//! What SockJS needs beside answers: polls, sends and streams.

pub(crate) use crate::answers::*;
pub(crate) use crate::websocket::*;

use dustdevil::{Routes, Settings, SockJs, SockJsSettings};
use std::rc::Rc;

/// A server with one class at `/s`.
pub(crate) fn sockjs(script: Script) -> (Rig<World>, Rc<Script>) {
    sockjs_with(script, Settings::default(), SockJs::default())
}

pub(crate) fn sockjs_with(
    script: Script,
    settings: Settings,
    of: SockJs,
) -> (Rig<World>, Rc<Script>) {
    let script = Rc::new(script);
    let routes = Routes::new().sockjs("/s", &router(&script), of);
    (Rig::new(World::new(), settings, routes), script)
}

pub(crate) fn mount(settings: SockJsSettings) -> SockJs {
    SockJs {
        settings,
        ..SockJs::default()
    }
}

impl Rig<World> {
    /// The body of a poll that is answered.
    pub(crate) fn poll(&mut self, id: &str) -> String {
        let answer = self.ask("POST", &format!("/s/0/{id}/xhr"), "", b"");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text()
    }

    /// A poll that waits.
    pub(crate) fn wait(&mut self, id: &str) -> Client {
        let mut client = self.start("POST", &format!("/s/0/{id}/xhr"), "", b"");
        client.silent(self);
        client
    }

    /// The status of a send.
    pub(crate) fn post(&mut self, id: &str, body: &str) -> u16 {
        let path = format!("/s/0/{id}/xhr_send");
        self.ask("POST", &path, "", body.as_bytes()).status
    }

    /// A stream, behind its prelude.
    pub(crate) fn stream(&mut self, id: &str) -> Client {
        let mut client = self.start("POST", &format!("/s/0/{id}/xhr_streaming"), "", b"");
        let head = client.head(self);
        assert!(head.contains("Transfer-Encoding: chunked"), "{head}");
        let prelude = client.chunk(self).unwrap();
        assert_eq!(prelude, "h".repeat(2048) + "\n");
        client
    }

    /// What is there to be counted is gone, at the latest after a while: all its clients are.
    pub(crate) fn over<T>(&mut self, script: &Script, clients: T) {
        self.over_after(secs(6), script, clients);
    }
}

impl Answer {
    /// The header lines in the order of the alphabet, without those of the framing.
    pub(crate) fn lines(&self) -> Vec<&str> {
        let framing = ["Date", "Content-Length", "Transfer-Encoding", "Connection"];
        let lines = self.head.lines().skip(1).filter(|line| {
            let name = line.split(':').next().unwrap_or_default();
            !line.is_empty() && !framing.contains(&name)
        });
        let mut lines: Vec<&str> = lines.collect();
        lines.sort_unstable();
        lines
    }
}
