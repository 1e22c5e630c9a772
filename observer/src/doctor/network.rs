//! What packets go through.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{AddressFamily, SockaddrLike as _};

use super::{Answer, Item};

/// An interface with what a capture on it depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Interface {
    name: String,
    flags: InterfaceFlags,
    /// `ARPHRD_…` (include/uapi/linux/if_arp.h).
    hardware: Option<u16>,
    ipv4: usize,
    ipv6: usize,
}

/// Interfaces with their state, link type and number of addresses.
pub(super) fn interfaces() -> (Answer, Vec<Item>) {
    match list() {
        Ok(interfaces) if interfaces.is_empty() => {
            Answer::no("there are none", "nothing can be captured").alone()
        }
        Ok(interfaces) => {
            let up = interfaces.iter().filter(|interface| interface.is_up()).count();
            let items = interfaces.iter().map(Interface::describe).collect();
            (Answer::yes(format!("{up} of {} up", interfaces.len())), items)
        }
        Err(error) => Answer::unknown(format!("they cannot be listed: {}", error.desc())).alone(),
    }
}

fn list() -> nix::Result<Vec<Interface>> {
    let mut found: BTreeMap<String, Interface> = BTreeMap::new();
    for entry in getifaddrs()? {
        let interface = found.entry(entry.interface_name.clone()).or_insert_with(|| Interface {
            name: entry.interface_name,
            flags: entry.flags,
            hardware: None,
            ipv4: 0,
            ipv6: 0,
        });
        let Some(address) = entry.address else { continue };
        match address.family() {
            Some(AddressFamily::Inet) => interface.ipv4 = interface.ipv4.saturating_add(1),
            Some(AddressFamily::Inet6) => interface.ipv6 = interface.ipv6.saturating_add(1),
            _ => interface.hardware = address.as_link_addr().map(|link| link.hatype()),
        }
    }
    Ok(found.into_values().collect())
}

impl Interface {
    fn is_up(&self) -> bool {
        self.flags.contains(InterfaceFlags::IFF_UP)
    }

    fn describe(&self) -> Item {
        let state = match (self.is_up(), self.flags.contains(InterfaceFlags::IFF_RUNNING)) {
            (true, true) => "up",
            (true, false) => "up, no carrier",
            (false, _) => "down",
        };
        let link = match self.hardware {
            Some(hardware) => link_type(hardware).map_or(format!("hardware type {hardware}"), str::to_owned),
            None => "unknown link type".to_owned(),
        };
        let addresses = format!("{} IPv4, {} IPv6", self.ipv4, self.ipv6);
        Item { name: self.name.clone(), value: format!("{state}, {link}, {addresses}") }
    }
}

/// What libpcap makes of a hardware type (`map_arphrd_to_dlt` in pcap-linux.c).
fn link_type(hardware: u16) -> Option<&'static str> {
    Some(match hardware {
        // Ethernet, and the loopback, which looks the same.
        1 | 772 => "Ethernet",
        // PPP, SLIP, IPIP, IP6IP6, SIT, GRE, raw IP of modems, and interfaces without a link layer.
        512 | 256 | 768 | 769 | 776 | 778 | 823 | 519 | 65534 => "raw IP",
        32 => "InfiniBand",
        280 => "CAN",
        801 => "802.11",
        803 => "802.11 with radiotap",
        824 => "netlink",
        _ => return None,
    })
}

/// 464XLAT: an app's IPv4 packets leave as IPv6, and are seen on both interfaces.
pub(super) fn clat() -> (Answer, Vec<Item>) {
    let found: Vec<_> =
        list().unwrap_or_default().into_iter().filter(|interface| is_clat(&interface.name)).collect();
    if found.is_empty() {
        return Answer::fact("none").alone();
    }
    let items = found.iter().map(Interface::describe).collect();
    (Answer::fact("IPv4 is translated: capture on the interface below, too"), items)
}

/// Android names it after the interface below; clatd on desktops is called what it is.
fn is_clat(name: &str) -> bool {
    name.starts_with("v4-") || name.starts_with("clat")
}

/// Interfaces of VPNs: packets in them belong to apps, those that carry them to the VPN's own app.
pub(super) fn vpn() -> (Answer, Vec<Item>) {
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let found: Vec<Item> = list()
        .unwrap_or_default()
        .into_iter()
        .filter(Interface::is_up)
        .filter_map(|interface| {
            let kind = tunnel_kind(&interface.name)?;
            let rest =
                if has_default_route(&routes, &interface.name) { ", with the default route" } else { "" };
            Some(Item { name: interface.name, value: format!("{kind}{rest}") })
        })
        .collect();
    if found.is_empty() {
        return Answer::fact("none").alone();
    }
    (Answer::fact("packets are seen twice: capture on the VPN's interface for the apps'"), found)
}

/// What kind of a VPN's interface it is, by what its driver leaves in sysfs.
fn tunnel_kind(name: &str) -> Option<&'static str> {
    let directory = Path::new("/sys/class/net").join(name);
    let driver = fs::read_to_string(directory.join("uevent")).unwrap_or_default();
    if driver.lines().any(|line| line == "DEVTYPE=wireguard") {
        return Some("WireGuard");
    }
    // IFF_TUN and IFF_TAP (include/uapi/linux/if_tun.h): machines that are virtual hang on the latter.
    let flags = fs::read_to_string(directory.join("tun_flags")).ok()?;
    let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).ok()?;
    (flags & 1 == 1).then_some("tun")
}

/// Whether the main table sends what it knows no better place for to `name`: as one route, or as the two halves that
/// many VPNs set so that the former one stays.
fn has_default_route(routes: &str, name: &str) -> bool {
    routes.lines().any(|line| {
        let mut columns = line.split_ascii_whitespace();
        let (interface, destination, mask) = (columns.next(), columns.next(), columns.nth(5));
        interface == Some(name)
            && matches!((destination, mask), (Some("00000000"), Some("00000000" | "00000080")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_always_there() {
        let interfaces = list().unwrap();
        let lo = interfaces.iter().find(|interface| interface.name == "lo").unwrap();
        assert_eq!(lo.hardware, Some(772));
        assert!(lo.describe().value.contains("Ethernet"));
    }

    #[test]
    fn state_link_type_and_addresses_are_told() {
        let mut interface = Interface {
            name: "rmnet0".to_owned(),
            flags: InterfaceFlags::IFF_UP,
            hardware: Some(519),
            ipv4: 0,
            ipv6: 2,
        };
        assert_eq!(interface.describe().value, "up, no carrier, raw IP, 0 IPv4, 2 IPv6");
        interface.hardware = Some(9999);
        interface.flags = InterfaceFlags::empty();
        assert_eq!(interface.describe().value, "down, hardware type 9999, 0 IPv4, 2 IPv6");
    }

    #[test]
    fn a_default_route_may_come_in_halves() {
        let routes = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n\
            tun1\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n";
        assert!(has_default_route(routes, "eth0") && has_default_route(routes, "tun0"));
        assert!(!has_default_route(routes, "tun1") && !has_default_route(routes, "wlan0"));
        assert!(!has_default_route("", "eth0"));
    }

    #[test]
    fn clat_has_its_names() {
        assert!(is_clat("v4-wlan0") && is_clat("v4-rmnet_data1") && is_clat("clat"));
        assert!(!is_clat("veth0") && !is_clat("wlan0"));
    }
}
