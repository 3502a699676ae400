//! The policy that a Flash film asks for before it opens a socket.

use super::core::{Core, io_error};
use super::loud::loud;
use super::{Msg, SocketServer};
use crate::conn::http1::Http1;
use crate::conn::{Asking, ConnKey, Protocol};
use crate::error::Error;
use crate::net::{ListenOptions, Listener};
use crate::proto::flash::{self, Sniff};
use crate::reactor::IoLoop;
use crate::routes::Routes;
use crate::storage::input::Input;
use crate::time::Instant;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// The policy of Flash, for `flashsocket`: what a film is told about where it may connect to. It asks with
/// `<policy-file-request/>` instead of an HTTP request.
///
/// A server that has one ([`SocketServer::flash_policy`]) answers on all its ports, to whoever asks with the
/// first bytes of a connection; and on a port that is for nothing else, if there is one. The question has 3 s.
///
/// ```
/// use dustdevil::{FlashPolicy, SocketServer};
///
/// let server = SocketServer::new(())?.flash_policy(FlashPolicy::default());
/// # Ok::<(), dustdevil::Error>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "FlashPolicyServer")]
pub struct FlashPolicy {
    /// A port for policies alone. Flash asks at 843 first, which needs privileges. One that cannot be bound is
    /// logged, and the server runs without it. Default: none.
    #[doc(alias = "flash_policy_port")]
    pub port: Option<u16>,
    /// The address of that port. Default: `0.0.0.0`.
    pub address: IpAddr,
    /// A file with the policy; it is read once. Default: none, and films from everywhere may connect to all
    /// ports. Who may open a session is for the mount's origins to say.
    #[doc(alias = "flash_policy_file")]
    pub file: Option<PathBuf>,
}

impl Default for FlashPolicy {
    fn default() -> Self {
        Self {
            port: None,
            address: Ipv4Addr::UNSPECIFIED.into(),
            file: None,
        }
    }
}

impl FlashPolicy {
    /// A server for nothing else, on the port, or on 843 if none is named.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the port not be bound.
    pub fn server(self) -> Result<SocketServer<()>, Error> {
        let at = (self.address, self.port.unwrap_or(FLASH_PORT));
        let policy = Self { port: None, ..self };
        let mut server = SocketServer::new(())?.flash_policy(policy);
        server.listen_for_policies(at.into())?;
        Ok(server)
    }

    /// The bytes that it is told by.
    fn answer(&self) -> Result<Rc<[u8]>, Error> {
        let Some(path) = &self.file else {
            return Ok(flash::answer(flash::PERMISSIVE).into());
        };
        let policy = std::fs::read(path)
            .map_err(|error| io_error(&format!("reading {}", path.display()), error))?;
        Ok(flash::answer(&policy).into())
    }
}

impl<S: 'static> SocketServer<S> {
    /// Answers films that ask for a policy; see [`FlashPolicy`].
    #[must_use]
    pub fn flash_policy(self, policy: FlashPolicy) -> Self {
        self.build(|building| building.flash = Some(policy))
    }

    /// The settings are fixed now: the policy is read, and its port bound.
    pub(super) fn start_flash(&mut self, policy: &FlashPolicy) -> Result<(), Error> {
        let answer = policy.answer()?;
        self.core()?.policy = Some(answer);
        if let Some(port) = policy.port {
            if let Err(error) = self.listen_for_policies((policy.address, port).into()) {
                loud!(warn, "no policies of Flash on port {port}: {error}");
            }
        }
        Ok(())
    }

    fn listen_for_policies(&mut self, at: SocketAddr) -> Result<(), Error> {
        let site = self.core()?.add_site(Routes::new())?;
        let listener = Listener::bind(at, &ListenOptions::default())
            .map_err(|error| io_error(&format!("listening on {at}"), error))?;
        self.add_listener(listener, site)?;
        if let Some(listening) = self.core()?.listeners.last_mut() {
            listening.for_policies = true;
        }
        Ok(())
    }
}

impl Asking {
    pub(crate) fn new(now: Instant, alone: bool) -> Self {
        Self {
            asked: Vec::new(),
            until: now + QUESTION_TIMEOUT,
            alone,
        }
    }
}

impl<S: 'static> Core<S> {
    /// Input of a conn that asks for the policy, or began as if it did.
    pub(super) fn policy_input(
        &mut self,
        io: &mut IoLoop<Msg>,
        key: ConnKey,
        input: &mut Input<'_>,
    ) {
        let linger = self.settings.linger_timeout;
        let policy = self.policy.clone().unwrap_or_default();
        let conns = &mut self.engine().conns;
        let Some(conn) = conns.arena.get_mut(key) else {
            return;
        };
        let Protocol::Policy(asking) = &mut conn.protocol else {
            return;
        };
        let room = flash::REQUEST_BYTES_MAX - asking.asked.len();
        let more = &input.rest()[..room.min(input.len())];
        asking.asked.extend_from_slice(more);
        input.take(input.len());
        match flash::sniff(&asking.asked) {
            Sniff::Incomplete => {}
            Sniff::Yes => {
                conn.out.append(&policy, &mut conns.pool);
                conns.queued += policy.len();
                conn.close(linger);
                self.settle(io, key);
            }
            Sniff::No if asking.alone => {
                conns.stats.bad_requests += 1;
                self.remove(io, key);
            }
            Sniff::No => {
                conn.protocol = Protocol::Http(Http1::new(io.now()));
                self.refuse(io, key, crate::proto::http::Error::Syntax("method"));
            }
        }
    }
}

/// How long the whole question may take.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(3);

/// Where Flash asks first.
const FLASH_PORT: u16 = 843;
