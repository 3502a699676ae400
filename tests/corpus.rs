//! The bodies of the fuzz targets, run over the committed seeds and over mutations of them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

#[path = "fuzz/targets/connection.rs"]
mod connection;
#[path = "fuzz/targets/cuts.rs"]
mod cuts;
#[path = "fuzz/targets/hixie.rs"]
mod hixie;
#[path = "fuzz/targets/http_body.rs"]
mod http_body;
#[path = "fuzz/targets/http_head.rs"]
mod http_head;
#[path = "fuzz/targets/http_reader.rs"]
mod http_reader;
#[path = "fuzz/targets/ops.rs"]
mod ops;
#[path = "fuzz/targets/sio06.rs"]
mod sio06;
#[path = "fuzz/targets/sio09.rs"]
mod sio09;
#[path = "fuzz/targets/small_parsers.rs"]
mod small_parsers;
#[path = "fuzz/targets/sockjs.rs"]
mod sockjs;
#[path = "fuzz/targets/ws_machine.rs"]
mod ws_machine;

const MUTATIONS: usize = 4000;

#[test]
fn http_head() {
    replay("http_head", http_head::run, MUTATIONS);
}

#[test]
fn http_body() {
    replay("http_body", http_body::run, MUTATIONS);
}

#[test]
fn http_reader() {
    replay("http_reader", http_reader::run, MUTATIONS);
}

#[test]
fn ws_machine() {
    replay("ws_machine", ws_machine::run, MUTATIONS);
}

#[test]
fn hixie() {
    replay("hixie", hixie::run, MUTATIONS);
}

#[test]
fn small_parsers() {
    replay("small_parsers", small_parsers::run, MUTATIONS);
}

#[test]
fn sio06() {
    replay("sio06", sio06::run, MUTATIONS);
}

#[test]
fn sio09() {
    replay("sio09", sio09::run, MUTATIONS);
}

#[test]
fn sockjs() {
    replay("sockjs", sockjs::run, MUTATIONS);
}

/// Fewer, as each is two runs of a server.
#[test]
fn connection() {
    replay("connection", connection::run, MUTATIONS / 10);
}

fn replay(target: &str, run: fn(&[u8]), mutations: usize) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut seeds: Vec<_> = fs::read_dir(directory.join(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    seeds.sort();
    let seeds: Vec<(String, Vec<u8>)> = seeds
        .iter()
        .map(|path| (path.display().to_string(), fs::read(path).unwrap()))
        .collect();
    assert!(!seeds.is_empty(), "no seeds of {target}");
    for (name, seed) in &seeds {
        let told = Told(name, seed);
        run(seed);
        std::mem::forget(told);
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for n in 0..mutations {
        let (name, seed) = &seeds[n % seeds.len()];
        let other = &seeds[random.below(seeds.len())].1;
        let mutated = random.mutate(seed, other);
        let told = Told(name, &mutated);
        run(&mutated);
        std::mem::forget(told);
    }
}

/// Tells the input if the target panics.
struct Told<'a>(&'a str, &'a [u8]);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        eprintln!("from {}: b\"{}\"", self.0, self.1.escape_ascii());
    }
}

/// Xorshift: the same inputs in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % n.max(1)
    }

    fn mutate(&mut self, seed: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(8)).min(bytes.len());
            match self.below(5) {
                0 => bytes.insert(at, self.below(256) as u8),
                1 => drop(bytes.drain(at..end)),
                2 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                3 if at < bytes.len() => bytes[at] = self.below(256) as u8,
                _ => {
                    let from = self.below(other.len());
                    let to = (from + self.below(24)).min(other.len());
                    bytes.splice(at..end, other[from..to].iter().copied());
                }
            }
        }
        bytes
    }
}
