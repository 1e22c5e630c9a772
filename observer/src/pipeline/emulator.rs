//! The trap of `emulator -tcpdump`: it records `eth0`, and apps use the emulated Wi-Fi.
//!
//! QEMU gives every emulator the same addresses: 10.0.2.15 to `eth0`, 10.0.2.16 to `wlan0`, which is the apps' default network
//! (developer.android.com, "Set up Android Emulator networking"). VirtualBox gives 10.0.2.15 to its guests, too, so that this is
//! said with an "if".

use std::net::{IpAddr, Ipv4Addr};

use crate::decode::FiveTuple;

const ETHERNET: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 15));
const WIFI: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 16));

/// Which of an emulator's interfaces flows were seen of.
#[derive(Debug, Default)]
pub(super) struct EmulatorInterfaces {
    ethernet: bool,
    wifi: bool,
    others: bool,
}

impl EmulatorInterfaces {
    /// A flow of the capture.
    pub(super) fn see(&mut self, flow: &FiveTuple) {
        let is_end = |ip: IpAddr| flow.source.ip == ip || flow.destination.ip == ip;
        match (is_end(ETHERNET), is_end(WIFI)) {
            (_, true) => self.wifi = true,
            (true, false) => self.ethernet = true,
            (false, false) => self.others |= flow.source.ip.is_ipv4() && !flow.source.ip.is_loopback(),
        }
    }

    /// What is to be said of it.
    pub(super) fn note(&self) -> Option<String> {
        (self.ethernet && !self.wifi && !self.others).then(|| {
            "all flows are of 10.0.2.15; if `emulator -tcpdump` recorded this, it is `eth0` alone: apps use the emulated Wi-Fi \
             (10.0.2.16), and that traffic is not in this file"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Endpoint, Transport};

    fn note(sources: &[[u8; 4]]) -> bool {
        let mut interfaces = EmulatorInterfaces::default();
        for source in sources {
            let end = |ip: [u8; 4]| Endpoint { ip: ip.into(), port: 443 };
            let (source, destination) = (end(*source), end([192, 0, 2, 9]));
            interfaces.see(&FiveTuple { transport: Transport::Tcp, source, destination });
        }
        interfaces.note().is_some()
    }

    #[test]
    fn a_file_of_one_interface_is_told() {
        assert!(note(&[[10, 0, 2, 15], [10, 0, 2, 15]]));
        assert!(!note(&[[10, 0, 2, 15], [10, 0, 2, 16]]));
        assert!(!note(&[[10, 0, 2, 16]]));
        assert!(!note(&[[10, 0, 2, 15], [192, 168, 1, 7]]), "no emulator: others are on its network");
        assert!(!note(&[]));
    }
}
