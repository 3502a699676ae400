//! The policy file of Flash: what a Flash client asks before it may open a socket of its own.
//!
//! ```text
//! client: <policy-file-request/> NUL
//! server: the policy, an XML text, NUL; then it closes
//! ```
//!
//! It asks at port 843 first and then at the port it means to connect to, on which HTTP is spoken
//! too. [`sniff`] tells the two apart by as few bytes as can be: no request of HTTP begins with `<`.
//!
//! Not here: how long to wait for the rest of the question, and the end of the connection.

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniff {
    /// Nothing yet, or the beginning of a question: the next byte may decide.
    Incomplete,
    /// No question.
    No,
    /// The question, whatever stands behind it.
    Yes,
}

/// Whether a connection that begins with `bytes` asks for the policy.
///
/// The NUL at the end is not waited for: some clients leave it out.
pub fn sniff(bytes: &[u8]) -> Sniff {
    if bytes.starts_with(REQUEST) {
        Sniff::Yes
    } else if REQUEST.starts_with(bytes) {
        Sniff::Incomplete
    } else {
        Sniff::No
    }
}

/// The answer that holds `policy`, the content of a policy file, and the NUL that ends it.
///
/// A NUL in the policy would end it for the client, so nothing behind one is sent.
pub fn answer(policy: &[u8]) -> Vec<u8> {
    let end = memchr::memchr(0, policy).unwrap_or(policy.len());
    let mut answer = Vec::with_capacity(end + 1);
    answer.extend_from_slice(&policy[..end]);
    answer.push(0);
    answer
}

/// The question, without the NUL.
pub const REQUEST: &[u8] = b"<policy-file-request/>";

/// The bytes of the question and its NUL: more need not be read.
pub const REQUEST_BYTES_MAX: usize = REQUEST.len() + 1;

/// A policy that lets Flash from anywhere connect to any port.
///
/// Who may open a session is a question for the origin; raw sockets it opens to other programs.
pub const PERMISSIVE: &[u8] = b"<?xml version=\"1.0\"?>\n\
    <!DOCTYPE cross-domain-policy SYSTEM \"/xml/dtds/cross-domain-policy.dtd\">\n\
    <cross-domain-policy>\n\
    <allow-access-from domain=\"*\" to-ports=\"*\"/>\n\
    </cross-domain-policy>\n";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The first bytes of connections, and from which byte on it is known what they are.
    #[test]
    fn first_bytes() {
        #[rustfmt::skip]
        let cases: &[(&str, &[u8], usize, Sniff)] = &[
            ("question",             b"<policy-file-request/>\0",    22, Sniff::Yes),
            ("without NUL",          b"<policy-file-request/>",      22, Sniff::Yes),
            ("more behind it",       b"<policy-file-request/>\r\n",  22, Sniff::Yes),
            ("HTTP",                 b"GET / HTTP/1.1\r\n\r\n",       1, Sniff::No),
            ("TLS",                  b"\x16\x03\x01\x02\0",           1, Sniff::No),
            ("empty line",           b"\r\nGET /",                    1, Sniff::No),
            ("NUL",                  b"\0",                           1, Sniff::No),
            ("blank before it",      b" <policy-file-request/>\0",    1, Sniff::No),
            ("other element",        b"<html>",                       2, Sniff::No),
            ("capitals",             b"<Policy-File-Request/>\0",     2, Sniff::No),
            ("blank before the end", b"<policy-file-request />\0",   21, Sniff::No),
            ("no end",               b"<policy-file-request>\0",     21, Sniff::No),
            ("NUL too early",        b"<policy-file-request/\0",     22, Sniff::No),
        ];
        for &(name, bytes, known, want) in cases {
            for cut in 0..=bytes.len() {
                let want = if cut < known { Sniff::Incomplete } else { want };
                assert_eq!(sniff(&bytes[..cut]), want, "{name}, cut after {cut}");
            }
        }
        assert_eq!(REQUEST_BYTES_MAX, 23);
    }

    #[test]
    fn answers() {
        #[rustfmt::skip]
        let cases: &[(&[u8], &[u8])] = &[
            (b"",                    b"\0"),
            (b"<policy/>",           b"<policy/>\0"),
            (b"<policy/>\n",         b"<policy/>\n\0"),
            (b"<policy/>\0",         b"<policy/>\0"),
            (b"<policy/>\0\0",       b"<policy/>\0"),
            (b"<policy/>\0<more/>",  b"<policy/>\0"),
            (b"\0<policy/>",         b"\0"),
        ];
        for &(policy, want) in cases {
            assert_eq!(answer(policy), want);
            assert_eq!(answer(&answer(policy)), want);
        }
    }

    #[test]
    fn built_in_policy() {
        let text = std::str::from_utf8(PERMISSIVE).unwrap();
        assert!(text.starts_with("<?xml version=\"1.0\"?>\n<!DOCTYPE cross-domain-policy "));
        assert!(text.contains("<allow-access-from domain=\"*\" to-ports=\"*\"/>"));
        assert!(text.ends_with("</cross-domain-policy>\n"));
        assert_eq!(answer(PERMISSIVE).len(), PERMISSIVE.len() + 1);
    }

    proptest! {
        /// Once known, more bytes change nothing; only a beginning of the question leaves it open.
        #[test]
        fn more_bytes_change_nothing(kept in 0..=22_usize, tail: Vec<u8>) {
            let bytes = [&REQUEST[..kept], &tail].concat();
            let mut known = None;
            for cut in 0..=bytes.len() {
                let got = sniff(&bytes[..cut]);
                match known {
                    Some(known) => prop_assert_eq!(got, known),
                    None if got != Sniff::Incomplete => known = Some(got),
                    None => prop_assert!(cut < REQUEST.len() && bytes[..cut] == REQUEST[..cut]),
                }
            }
        }
    }
}
