//! Log lines above `debug` that a peer can cause: ten in a second at most, or a flood of requests would
//! be a flood of lines, each written while everybody waits.

use std::cell::Cell;

thread_local! {
    /// Lines of this second: written and left out. A server has one thread.
    static LINES: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

/// Whether another line may be written in this second.
pub(crate) fn may_speak() -> bool {
    let (written, left_out) = LINES.get();
    let may = written < LINES_MAX;
    LINES.set(match may {
        true => (written + 1, left_out),
        false => (written, left_out + 1),
    });
    may
}

/// Another second has begun.
pub(crate) fn next_second() {
    let (_, left_out) = LINES.replace((0, 0));
    if left_out > 0 {
        log::warn!("{left_out} lines were left out of this log");
    }
}

/// Logs at a level, within the limit.
macro_rules! loud {
    ($level:ident, $($line:tt)+) => {
        if $crate::server::loud::may_speak() {
            log::$level!($($line)+);
        }
    };
}
pub(crate) use loud;

/// Lines in a second.
const LINES_MAX: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_lines_in_a_second() {
        for _ in 0..2 {
            assert_eq!((0..25).filter(|_| may_speak()).count(), 10);
            assert_eq!(LINES.get(), (10, 15));
            next_second();
        }
        assert_eq!(LINES.get(), (0, 0));
    }
}
