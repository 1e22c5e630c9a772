//! What a device says of itself.

use serde::Serialize;

use crate::report::plain::plain;

/// Bytes of an answer that are kept.
const MAX_VALUE: usize = 200;
/// Processors' interfaces that are kept.
const MAX_ABIS: usize = 8;

/// All facts, one `name=value` a line. It runs in the shell of any release.
///
/// `date` and `uname` are toybox's from Android 6 on; what is missing leaves its line empty.
pub(super) const QUESTION: &str = r#"
for name in ro.build.version.sdk ro.build.version.release ro.build.type ro.debuggable ro.product.manufacturer ro.product.model ro.product.cpu.abilist ro.product.cpu.abi ro.kernel.qemu ro.boot.qemu ro.hardware sys.boot_completed
do echo "$name=$(getprop $name)"
done
echo "id=$(id 2>/dev/null)"
echo "kernel=$(uname -r 2>/dev/null)"
echo "page_size=$(getconf PAGESIZE 2>/dev/null || getconf PAGE_SIZE 2>/dev/null)"
echo "selinux=$(getenforce 2>/dev/null)"
echo "time=$(date +%s 2>/dev/null)"
echo "su=$(command -v su 2>/dev/null)"
[ -w /data/local/tmp ] && echo writable=yes
[ -r /sys/kernel/btf/vmlinux ] && echo btf=yes
true
"#;

/// What kind of build the device runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildType {
    /// For customers.
    User,
    /// For developers: `adb root` is there.
    Userdebug,
    /// For engineers: as userdebug, and adbd runs as root from the start.
    Eng,
    /// It did not say.
    Unknown,
}

impl BuildType {
    /// Its name, as the property has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Userdebug => "userdebug",
            Self::Eng => "eng",
            Self::Unknown => "unknown",
        }
    }
}

/// What a device says of itself; what it did not say is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// API level, e.g. 34.
    pub api_level: Option<u32>,
    /// Release, e.g. `14`.
    pub release: Option<String>,
    /// Kind of build.
    pub build_type: BuildType,
    /// `ro.debuggable`: adbd may become root.
    pub debuggable: bool,
    /// Maker and model.
    pub model: Option<String>,
    /// Processors' interfaces, the preferred one first, e.g. `arm64-v8a`.
    pub abis: Vec<String>,
    /// Whether it is an emulator.
    pub emulator: bool,
    /// Whether Android has started.
    pub booted: bool,
    /// Release of the kernel.
    pub kernel: Option<String>,
    /// Bytes of a page.
    pub page_size: Option<u32>,
    /// `Enforcing`, `Permissive` or `Disabled`.
    pub selinux: Option<String>,
    /// SELinux's context of the shell.
    pub context: Option<String>,
    /// Uid of adbd's commands: 2000, or 0 for root.
    pub uid: Option<u32>,
    /// Seconds since the Unix epoch, by the device's clock.
    pub time: Option<i64>,
    /// Whether there is a program `su`.
    pub su: bool,
    /// Whether the shell may write to `/data/local/tmp`.
    pub writable: bool,
    /// Whether the kernel tells its types (BTF).
    pub btf: bool,
    /// Whether adbd tells outputs and exit codes apart.
    pub shell_v2: bool,
}

impl Facts {
    /// Reads what [`QUESTION`] printed. Whatever it is, it gives facts: those that are in it.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let value = |name: &str| {
            let value =
                text.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix('='))?;
            let value = plain(value.trim()).chars().take(MAX_VALUE).collect::<String>();
            Some(value).filter(|value| !value.is_empty())
        };
        let is = |name: &str, wanted: &str| value(name).as_deref() == Some(wanted);
        let number = |name: &str| value(name).and_then(|value| value.parse::<u32>().ok());
        let id = value("id").unwrap_or_default();
        let abis =
            value("ro.product.cpu.abilist").or_else(|| value("ro.product.cpu.abi")).unwrap_or_default();
        let (maker, model) = (value("ro.product.manufacturer"), value("ro.product.model"));
        let model = match (maker, model) {
            (Some(maker), Some(model)) if !model.starts_with(&maker) => Some(format!("{maker} {model}")),
            (maker, model) => model.or(maker),
        };
        let hardware = value("ro.hardware").unwrap_or_default();
        Self {
            api_level: number("ro.build.version.sdk"),
            release: value("ro.build.version.release"),
            build_type: match value("ro.build.type").as_deref() {
                Some("user") => BuildType::User,
                Some("userdebug") => BuildType::Userdebug,
                Some("eng") => BuildType::Eng,
                _ => BuildType::Unknown,
            },
            debuggable: is("ro.debuggable", "1"),
            model,
            abis: abis
                .split(',')
                .map(|abi| abi.trim().to_owned())
                .filter(|abi| !abi.is_empty())
                .take(MAX_ABIS)
                .collect(),
            emulator: is("ro.kernel.qemu", "1")
                || is("ro.boot.qemu", "1")
                || ["goldfish", "ranchu"].contains(&hardware.as_str()),
            booted: is("sys.boot_completed", "1"),
            kernel: value("kernel"),
            page_size: number("page_size"),
            selinux: value("selinux"),
            context: id.split_whitespace().find_map(|word| word.strip_prefix("context=")).map(str::to_owned),
            uid: uid(&id),
            time: value("time").and_then(|seconds| seconds.parse().ok()),
            su: value("su").is_some(),
            writable: is("writable", "yes"),
            btf: is("btf", "yes"),
            shell_v2: false,
        }
    }

    /// The architecture whose agent runs here, in the words of [`super::Agent`]: of its interfaces the first 64-bit one.
    #[must_use]
    pub fn architecture(&self) -> Option<&'static str> {
        self.abis.iter().find_map(|abi| match abi.as_str() {
            "arm64-v8a" => Some("aarch64"),
            "x86_64" => Some("x86_64"),
            _ => None,
        })
    }
}

/// The uid in what `id` prints.
pub(super) fn uid(id: &str) -> Option<u32> {
    let digits = id.trim_start().strip_prefix("uid=")?;
    digits.split(|other: char| !other.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMULATOR: &str = "\
ro.build.version.sdk=34
ro.build.version.release=14
ro.build.type=userdebug
ro.debuggable=1
ro.product.manufacturer=Google
ro.product.model=sdk_gphone64_x86_64
ro.product.cpu.abilist=x86_64,arm64-v8a
ro.product.cpu.abi=x86_64
ro.kernel.qemu=
ro.boot.qemu=1
ro.hardware=ranchu
sys.boot_completed=1
id=uid=2000(shell) gid=2000(shell) groups=2000(shell),1004(input),3003(inet) context=u:r:shell:s0
kernel=6.1.23-android14-4-00257-g7e35917775b8-ab9964412
page_size=4096
selinux=Enforcing
time=1764190000
su=/system/xbin/su
writable=yes
btf=yes
";

    #[test]
    fn an_emulator() {
        let facts = Facts::read(EMULATOR);
        assert_eq!((facts.api_level, facts.release.as_deref()), (Some(34), Some("14")));
        assert_eq!((facts.build_type, facts.debuggable, facts.emulator), (BuildType::Userdebug, true, true));
        assert_eq!(facts.model.as_deref(), Some("Google sdk_gphone64_x86_64"));
        assert_eq!((facts.abis.len(), facts.architecture()), (2, Some("x86_64")));
        assert_eq!((facts.uid, facts.context.as_deref()), (Some(2000), Some("u:r:shell:s0")));
        assert_eq!((facts.page_size, facts.time), (Some(4096), Some(1_764_190_000)));
        assert!(facts.booted && facts.su && facts.writable && facts.btf);
    }

    #[test]
    fn an_old_phone_says_less() {
        // Android 6: no abilist in some builds, no getconf, an id without a context, lines with a carriage return.
        let facts = Facts::read(
            "ro.build.version.sdk=23\r\nro.build.version.release=6.0.1\r\nro.build.type=user\r\nro.product.cpu.abilist=\r\n\
             ro.product.cpu.abi=armeabi-v7a\r\nid=uid=2000(shell) gid=2000(shell)\r\npage_size=\r\nsu=\r\n",
        );
        assert_eq!((facts.api_level, facts.release.as_deref()), (Some(23), Some("6.0.1")));
        assert_eq!((facts.abis.as_slice(), facts.architecture()), (&["armeabi-v7a".to_owned()][..], None));
        assert_eq!((facts.uid, facts.context, facts.page_size, facts.su), (Some(2000), None, None, false));
        assert!(!facts.booted && !facts.emulator);
    }

    #[test]
    fn noise_gives_no_facts_and_stays_in_bounds() {
        for noise in [
            "",
            "=",
            "id=",
            "id=uid=",
            "id=uid=99999999999999999999",
            "ro.build.version.sdk=many",
            "\0\n\u{1b}[2J",
        ] {
            let facts = Facts::read(noise);
            assert_eq!(
                (facts.api_level, facts.uid, facts.build_type),
                (None, None, BuildType::Unknown),
                "{noise:?}"
            );
        }
        let long = Facts::read(&format!(
            "kernel=\u{1b}[31m{}\nro.product.cpu.abilist={}",
            "k".repeat(10_000),
            "a,".repeat(5000)
        ));
        assert_eq!(long.kernel.as_ref().map(|kernel| kernel.chars().count()), Some(MAX_VALUE));
        assert!(!long.kernel.unwrap_or_default().contains('\u{1b}'));
        assert_eq!(long.abis.len(), MAX_ABIS);
    }
}
