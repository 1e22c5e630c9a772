//! What proxies are asked for: the destination that a flow really has. Words that HTTP `CONNECT`, of any version, and SOCKS share.

use std::net::IpAddr;

/// What client and proxy say to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The client asks for a way to this destination.
    Asked(Target),
    /// The proxy answers.
    Answered {
        /// Whether the way is open.
        granted: bool,
    },
}

/// Where a proxy is to lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The proxy's protocol: `http`, `http2`, `socks4`, `socks5`.
    pub protocol: &'static str,
    /// A name in lower case, or an address, without brackets.
    pub host: String,
    /// The port; 0 where none was given.
    pub port: u16,
}

impl Target {
    /// A destination.
    #[must_use]
    pub fn new(protocol: &'static str, host: &str, port: u16) -> Self {
        let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        Self { protocol, host: host.to_lowercase(), port }
    }

    /// The destination that `host:port` names; the port is 0 where there is none.
    #[must_use]
    pub fn of_authority(protocol: &'static str, authority: &str) -> Self {
        let after = authority.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
        let port = after.and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = port.unwrap_or((authority, 0));
        Self::new(protocol, host, port)
    }

    /// The address, where the client gave one in place of a name.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The name, where the client gave one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.address().is_none().then_some(self.host.as_str()).filter(|host| !host.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_taken_apart() {
        let target = |authority| {
            let Target { host, port, .. } = Target::of_authority("http", authority);
            (host, port)
        };
        assert_eq!(target("Bank.test:443"), ("bank.test".to_owned(), 443));
        assert_eq!(target("[2001:db8::1]:8443"), ("2001:db8::1".to_owned(), 8443));
        assert_eq!(target("2001:db8::1"), ("2001:db8::1".to_owned(), 0));
        assert_eq!(target("bank.test:x"), ("bank.test:x".to_owned(), 0));
        assert_eq!(target("bank.test"), ("bank.test".to_owned(), 0));
    }

    #[test]
    fn an_address_is_no_name() {
        let target = Target::new("socks5", "192.0.2.1", 443);
        assert_eq!((target.address(), target.name()), (Some([192, 0, 2, 1].into()), None));
        assert_eq!(Target::new("socks5", "bank.test.", 443).name(), Some("bank.test"));
    }
}
