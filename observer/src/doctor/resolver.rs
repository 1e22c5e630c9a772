//! Whether names are asked for in the open.

use std::fs;
use std::path::Path;

use super::{Answer, Item, android};

/// What is lost where names are not asked for in the open.
const COST: &str = "names come from the apps' handshakes alone: DNS is encrypted or made by another process";

/// The mode of private DNS on Android; on a desktop, whom programs ask.
pub(super) fn private_dns() -> (Answer, Vec<Item>) {
    if android::is_here() {
        let mode = android::setting("private_dns_mode");
        return android_mode(mode.as_deref(), android::setting("private_dns_specifier").as_deref()).alone();
    }
    let text = match fs::read_to_string("/etc/resolv.conf") {
        Ok(text) => text,
        Err(error) => return Answer::unknown(format!("/etc/resolv.conf: {error}")).alone(),
    };
    let servers = name_servers(&text);
    // systemd-resolved answers there, and asks others in its own name.
    if !servers.contains(&"127.0.0.53") {
        let shown = if servers.is_empty() { "none".to_owned() } else { servers.join(", ") };
        return Answer::fact(format!("programs ask {shown}")).alone();
    }
    let settings: Vec<_> = resolved_files().iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    match dns_over_tls(&settings) {
        Some(mode) if mode != "no" => {
            Answer::no(format!("systemd-resolved asks over TLS ({mode})"), COST).alone()
        }
        _ => Answer::fact("programs ask systemd-resolved, which asks others in its own name").alone(),
    }
}

/// Android asks over TLS where the network's resolver can, unless it is told otherwise.
fn android_mode(mode: Option<&str>, host: Option<&str>) -> Answer {
    let turn_off = "settings put global private_dns_mode off shows the apps' queries";
    match mode {
        Some("off") => Answer::fact("off"),
        Some("hostname") => {
            Answer::no(format!("queries go to {} over TLS; {turn_off}", host.unwrap_or("a host")), COST)
        }
        Some("opportunistic") | None => {
            Answer::no(format!("opportunistic: queries go over TLS where the network can; {turn_off}"), COST)
        }
        Some(other) => Answer::unknown(format!("private_dns_mode is {other:?}")),
    }
}

/// The name servers of a `resolv.conf` (resolv.conf(5)).
fn name_servers(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next()).flatten()
        })
        .collect()
}

/// The files that systemd-resolved reads, the weakest first.
fn resolved_files() -> Vec<std::path::PathBuf> {
    let mut files = vec![Path::new("/etc/systemd/resolved.conf").to_owned()];
    for directory in
        ["/usr/lib/systemd/resolved.conf.d", "/run/systemd/resolved.conf.d", "/etc/systemd/resolved.conf.d"]
    {
        let mut found: Vec<_> =
            fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        found.sort();
        files.extend(found);
    }
    files
}

/// The last `DNSOverTLS=` of the texts.
fn dns_over_tls(texts: &[String]) -> Option<&str> {
    let lines = texts.iter().flat_map(|text| text.lines());
    lines.filter_map(|line| line.trim().strip_prefix("DNSOverTLS=")).map(str::trim).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn android_is_opportunistic_unless_told_otherwise() {
        assert_eq!(android_mode(Some("off"), None), Answer::fact("off"));
        let Answer::No { reason, .. } = android_mode(None, None) else { panic!() };
        assert!(reason.starts_with("opportunistic"), "{reason}");
        let Answer::No { reason, .. } = android_mode(Some("hostname"), Some("dns.example")) else { panic!() };
        assert!(reason.starts_with("queries go to dns.example over TLS"), "{reason}");
        assert_eq!(android_mode(Some("x"), None), Answer::unknown("private_dns_mode is \"x\""));
    }

    #[test]
    fn name_servers_are_words_after_the_keyword() {
        let text = "# nameserver 192.0.2.9\nnameserver 192.0.2.1\n nameserver\t2001:db8::1 \nnameserver\nsearch a b\n";
        assert_eq!(name_servers(text), ["192.0.2.1", "2001:db8::1"]);
    }

    #[test]
    fn the_last_setting_counts() {
        let texts = [
            "[Resolve]\n#DNSOverTLS=yes\nDNSOverTLS=no\n".to_owned(),
            "DNSOverTLS=opportunistic\n".to_owned(),
        ];
        assert_eq!(dns_over_tls(&texts), Some("opportunistic"));
        assert_eq!(dns_over_tls(&texts[..1]), Some("no"));
        assert_eq!(dns_over_tls(&[]), None);
    }
}
