//! The services that test suites and clients of SockJS ask for.

use dustdevil::{
    Connection, Cx, Keep, Message, Reject, Request, Router, Routes, SockJs, SockJsSettings,
};
use std::time::Duration;

use super::{Broadcast, Echo};

/// Closes every session at once.
#[derive(Default)]
struct Close;

impl Connection for Close {
    type State = ();

    fn on_open(&mut self, cx: &mut Cx<Self>, _: &Request) -> Result<(), Reject> {
        cx.close_with(3000, "Go away!");
        Ok(())
    }
}

/// Answers a number with a message of that many doublings.
#[derive(Default)]
struct Amplify;

impl Connection for Amplify {
    type State = ();

    fn on_message(&mut self, cx: &mut Cx<Self>, message: Message) {
        let number = message.text().and_then(|text| text.trim().parse().ok());
        let doublings = number.filter(|n| (1..=18).contains(n)).unwrap_or(1_u32);
        cx.send("x".repeat(1 << doublings));
    }
}

/// Says something each second.
#[derive(Default)]
struct Ticker;

impl Connection for Ticker {
    type State = ();

    fn on_open(&mut self, cx: &mut Cx<Self>, _: &Request) -> Result<(), Reject> {
        cx.every(Duration::from_secs(1), |_, cx| {
            cx.send("tick!");
            Keep::Going
        });
        Ok(())
    }
}

/// Refuses everybody.
#[derive(Default)]
struct Refuse;

impl Connection for Refuse {
    type State = ();

    fn on_open(&mut self, _: &mut Cx<Self>, _: &Request) -> Result<(), Reject> {
        Err("not you".into())
    }
}

/// What benchmarks need, with the settings of production.
pub(crate) fn bench() -> Routes<()> {
    Routes::new()
        .sockjs("/echo", &Router::<Echo>::new(), SockJs::default())
        .sockjs("/broadcast", &Router::<Broadcast>::new(), SockJs::default())
}

/// All services; `of` is what they have in common.
pub(crate) fn services(of: &SockJs) -> Routes<()> {
    let with = |change: fn(&mut SockJsSettings)| {
        let mut of = of.clone();
        change(&mut of.settings);
        of
    };
    let echo = Router::<Echo>::new();
    Routes::new()
        .sockjs(
            "/echo",
            &echo,
            with(|set| {
                set.response_limit = 4096;
                set.chunking_test = true;
            }),
        )
        .sockjs(
            "/disabled_websocket_echo",
            &echo,
            with(|set| set.websocket = false),
        )
        .sockjs(
            "/cookie_needed_echo",
            &echo,
            with(|set| set.jsessionid = true),
        )
        .sockjs(
            "/fast_echo",
            &echo,
            with(|set| {
                set.heartbeat_delay = Duration::from_millis(300);
                set.disconnect_delay = Duration::from_millis(500);
            }),
        )
        .sockjs("/close", &Router::<Close>::new(), of.clone())
        .sockjs("/refuse", &Router::<Refuse>::new(), of.clone())
        .sockjs("/amplify", &Router::<Amplify>::new(), of.clone())
        .sockjs("/ticker", &Router::<Ticker>::new(), of.clone())
        .sockjs("/broadcast", &Router::<Broadcast>::new(), of.clone())
}
