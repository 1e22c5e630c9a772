//! What Android's uids say by themselves: the user, the kind of process, the names of system ids.
//!
//! The numbers are those of `android_filesystem_config.h` and `android.os.Process`.

/// Uids of one Android user: `uid = user * USER + app id`.
const USER: u32 = 100_000;
/// From a sandbox's app id back to its app's.
const SANDBOX_OFFSET: u32 = 10_000;
/// `AID_SHELL`: what is typed into `adb shell` runs under it.
const SHELL: u32 = 2_000;

/// A uid of Android, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AndroidUid {
    /// 0 is the device's first user; a work profile is a user, too.
    pub(crate) user: u32,
    /// What runs under it.
    pub(crate) kind: Kind,
}

/// What runs under a uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A part of the system, by its id.
    System(u32),
    /// An app, by its id.
    App(u32),
    /// The sandbox for advertising SDKs (API 33) of the app with this id.
    SdkSandbox(u32),
    /// An isolated process: of which app, only the device knows.
    Isolated,
    /// A range that names groups, or none.
    Other,
}

impl AndroidUid {
    /// Takes a uid apart.
    pub(crate) fn new(uid: u32) -> Self {
        let (user, id) = (uid / USER, uid % USER);
        let kind = match id {
            0..10_000 => Kind::System(id),
            10_000..20_000 => Kind::App(id),
            20_000..30_000 => Kind::SdkSandbox(id.saturating_sub(SANDBOX_OFFSET)),
            90_000..100_000 => Kind::Isolated,
            _ => Kind::Other,
        };
        Self { user, kind }
    }

    /// Whether it belongs to an app that was installed, its SDK sandbox or one of its isolated processes.
    pub(crate) fn is_app(self) -> bool {
        matches!(self.kind, Kind::App(_) | Kind::SdkSandbox(_) | Kind::Isolated)
    }

    /// The id under which its packages are listed.
    pub(super) fn app_id(self) -> Option<u32> {
        match self.kind {
            Kind::System(id) | Kind::App(id) | Kind::SdkSandbox(id) => Some(id),
            Kind::Isolated | Kind::Other => None,
        }
    }

    /// The name of a system id or of a kind; secondary users with their number before it, as in `u10_system`. An app
    /// of the first user has none.
    pub(super) fn name(self) -> Option<String> {
        let name = match self.kind {
            Kind::System(id) => Some(system_name(id)),
            Kind::SdkSandbox(_) => Some("sdk_sandbox".to_owned()),
            Kind::Isolated => Some("isolated".to_owned()),
            Kind::App(_) | Kind::Other => None,
        };
        match (self.user, name) {
            (0, name) => name,
            (user, Some(name)) => Some(format!("u{user}_{name}")),
            (user, None) => Some(format!("u{user}")),
        }
    }

    /// Whether it is the system that sends, not an app that somebody installed, nor somebody at a shell.
    pub(crate) fn is_platform(self) -> bool {
        matches!(self.kind, Kind::System(id) if id != SHELL)
    }
}

fn system_name(id: u32) -> String {
    match NAMES.binary_search_by_key(&id, |(id, _)| *id) {
        Ok(place) => NAMES.get(place).map(|(_, name)| (*name).to_owned()).unwrap_or_default(),
        Err(_) if matches!(id, 2_900..3_000 | 5_000..6_000) => format!("oem_{id}"),
        Err(_) => format!("system_{id}"),
    }
}

/// System ids, ascending.
const NAMES: &[(u32, &str)] = &[
    (0, "root"),
    (1000, "system"),
    (1001, "radio"),
    (1002, "bluetooth"),
    (1007, "log"),
    (1010, "wifi"),
    (1011, "adb"),
    (1013, "media"),
    (1014, "dhcp"),
    (1016, "vpn"),
    (1017, "keystore"),
    (1019, "drm"),
    (1020, "mdnsr"),
    (1021, "gps"),
    (1027, "nfc"),
    (1029, "clat"),
    (1032, "package_info"),
    (1036, "logd"),
    (1040, "mediaex"),
    (1041, "audioserver"),
    (1046, "mediacodec"),
    (1047, "cameraserver"),
    (1051, "dns"),
    (1052, "dns_tether"),
    (1053, "webview_zygote"),
    (1058, "tombstoned"),
    (1061, "ota_update"),
    (1066, "statsd"),
    (1068, "secure_element"),
    (1072, "gpu_service"),
    (1073, "network_stack"),
    (1074, "gsid"),
    (1081, "virtualizationservice"),
    (1084, "thread_network"),
    (1090, "sdk_sandbox"),
    (1093, "uprobestats"),
    (2000, "shell"),
    (3003, "inet"),
    (3004, "net_raw"),
    (3005, "net_admin"),
    (9997, "everybody"),
    (9998, "misc"),
    (9999, "nobody"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_in_order() {
        assert!(NAMES.is_sorted_by(|one, other| one.0 < other.0));
    }

    #[test]
    fn uids_fall_into_user_and_kind() {
        for (uid, user, kind, name) in [
            (0, 0, Kind::System(0), Some("root")),
            (1051, 0, Kind::System(1051), Some("dns")),
            (1073, 0, Kind::System(1073), Some("network_stack")),
            (1099, 0, Kind::System(1099), Some("system_1099")),
            (2901, 0, Kind::System(2901), Some("oem_2901")),
            (5999, 0, Kind::System(5999), Some("oem_5999")),
            (10_123, 0, Kind::App(10_123), None),
            (20_123, 0, Kind::SdkSandbox(10_123), Some("sdk_sandbox")),
            (50_123, 0, Kind::Other, None),
            (90_000, 0, Kind::Isolated, Some("isolated")),
            (99_999, 0, Kind::Isolated, Some("isolated")),
            (1_010_123, 10, Kind::App(10_123), Some("u10")),
            (1_001_000, 10, Kind::System(1000), Some("u10_system")),
        ] {
            let android = AndroidUid::new(uid);
            assert_eq!(android, AndroidUid { user, kind }, "{uid}");
            assert_eq!(android.name().as_deref(), name, "{uid}");
        }
    }

    #[test]
    fn the_shell_is_somebody() {
        assert!(AndroidUid::new(1000).is_platform());
        assert!(!AndroidUid::new(2000).is_platform());
        assert!(!AndroidUid::new(10_001).is_platform());
        assert!(!AndroidUid::new(20_001).is_platform());
    }
}
