//! What the examples share: the command line and saying where they listen.

use dustdevil::{Error, SocketServer};

/// Begins an example: shows what is logged, and gives the port of `--port`, the only option of most of them.
#[allow(dead_code)]
pub(crate) fn begin(default: u16) -> u16 {
    log();
    let mut port = default;
    let mut options = lexopt::Parser::from_env();
    while let Some(option) = options.next().unwrap_or_else(|error| usage(&error)) {
        match option {
            lexopt::Arg::Long("port") => {
                port = number(&mut options).unwrap_or_else(|error| usage(&error));
            }
            other => usage(&other.unexpected()),
        }
    }
    port
}

fn number(options: &mut lexopt::Parser) -> Result<u16, lexopt::Error> {
    use lexopt::ValueExt;
    options.value()?.parse()
}

/// Says what was wrong and ends.
pub(crate) fn usage(error: &lexopt::Error) -> ! {
    eprintln!("{error}");
    std::process::exit(2)
}

/// Shows what is logged, warnings where nothing else is asked for. Comes first: to bind can warn, too.
pub(crate) fn log() {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
}

/// Says where the server listens, and serves.
pub(crate) fn run<S: 'static>(mut server: SocketServer<S>) -> Result<(), Error> {
    for address in server.local_addrs() {
        println!("listening on {address}");
    }
    server.run()
}
