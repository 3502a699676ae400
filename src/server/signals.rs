//! SIGTERM and SIGINT, as an event source on the server's own loop (feature `signals`).

use super::SocketServer;
use super::core::io_error;
use super::engine::Next;
use crate::error::Error;
use mio::Interest;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Drains on either signal; a second one cuts at once.
pub(super) fn install<S: 'static>(
    server: &mut SocketServer<S>,
    deadline: Duration,
) -> Result<(), Error> {
    let signals = Signals::new([SIGTERM, SIGINT])
        .map_err(|error| io_error("setting signal handlers", error))?;
    // The handler reads what the loop watches, so both hold it.
    let signals = Rc::new(RefCell::new(signals));
    let read = Rc::clone(&signals);
    let mut io = server.io_loop()?;
    io.add_handler(
        &mut *signals.borrow_mut(),
        Interest::READABLE,
        move |app, _| {
            for signal in read.borrow_mut().pending() {
                log::info!("signal {signal}: shutting down");
                app.shared()
                    .engine
                    .borrow_mut()
                    .next
                    .push_back(Next::Drain(deadline));
            }
        },
    )
    .map_err(|error| io_error("watching signals", error))?;
    Ok(())
}
