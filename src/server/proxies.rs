//! Which peers are proxies whose word is believed.

use crate::config::ConfigError;
use std::net::IpAddr;

/// Networks of trusted proxies; empty by default.
#[derive(Debug, Default)]
pub(crate) struct Proxies(Vec<(u128, u32)>);

impl Proxies {
    pub(crate) fn parse<'n>(
        networks: impl IntoIterator<Item = &'n str>,
    ) -> Result<Self, ConfigError> {
        networks
            .into_iter()
            .map(network)
            .collect::<Result<Vec<_>, _>>()
            .map(Self)
    }

    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        let ip = bits(ip);
        self.0.iter().any(|(net, shift)| {
            net.checked_shr(*shift).unwrap_or(0) == ip.checked_shr(*shift).unwrap_or(0)
        })
    }
}

/// Address and number of bits that do not matter.
fn network(text: &str) -> Result<(u128, u32), ConfigError> {
    let wrong = || ConfigError {
        field: "trust_proxies",
        value: format!("{text:?}"),
        allowed: "addresses, and networks like 10.0.0.0/8".to_owned(),
    };
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let ip: IpAddr = address.parse().map_err(|_| wrong())?;
    let whole = if ip.is_ipv4() { 32 } else { 128 };
    let length: u32 = length.map_or(Ok(whole), str::parse).map_err(|_| wrong())?;
    let shift = whole.checked_sub(length).ok_or_else(wrong)?;
    Ok((bits(ip), shift))
}

/// An IPv4 address counts as its IPv6-mapped form, so that both spellings match.
fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_addresses() {
        let proxies = Proxies::parse(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]).unwrap();
        #[rustfmt::skip]
        let cases = [
            ("10.1.2.3", true), ("11.0.0.1", false), ("192.0.2.7", true), ("192.0.2.8", false),
            ("2001:db8::1", true), ("2001:db9::1", false), ("::ffff:10.0.0.1", true),
        ];
        for (ip, want) in cases {
            assert_eq!(proxies.contains(ip.parse().unwrap()), want, "{ip}");
        }
        assert!(!Proxies::default().contains("127.0.0.1".parse().unwrap()));
        assert!(
            Proxies::parse(["0.0.0.0/0"])
                .unwrap()
                .contains("8.8.8.8".parse().unwrap())
        );
        for bad in ["10.0.0.0/33", "localhost", "10.0.0.0/x", ""] {
            assert!(Proxies::parse([bad]).is_err(), "{bad}");
        }
    }
}
