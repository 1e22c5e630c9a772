//! What `adb devices -l` lists, and which of them is meant.

use std::fmt;

use serde::Serialize;

use super::AdbError;

/// Devices that are read of a list; a laboratory's rack has some dozens.
const MAX_DEVICES: usize = 256;

/// How a device stands to adb.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It runs Android and answers.
    Device,
    /// It is known and does not answer.
    Offline,
    /// It does not trust this machine, or has not decided yet.
    Unauthorized,
    /// This user may not open it.
    NoPermissions,
    /// Another of adb's words, e.g. `recovery`.
    Other(String),
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Device => "device",
            Self::Offline => "offline",
            Self::Unauthorized => "unauthorized",
            Self::NoPermissions => "no permissions",
            Self::Other(word) => word,
        })
    }
}

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// What adb calls it.
    pub serial: String,
    /// How it stands.
    pub state: State,
    /// Its model, with underscores in place of blanks; only of devices that answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// adb's number of this connection: another one after the device was away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport_id: Option<u64>,
}

impl Listed {
    /// Why it cannot be used, if so.
    ///
    /// # Errors
    /// The state, as a sentence.
    pub fn ready(&self) -> Result<(), AdbError> {
        let serial = self.serial.clone();
        Err(match &self.state {
            State::Device => return Ok(()),
            State::Offline => AdbError::Offline { serial },
            State::Unauthorized => AdbError::Unauthorized { serial },
            State::NoPermissions => AdbError::NoPermissions { serial },
            State::Other(state) => AdbError::NotReady { serial, state: state.clone() },
        })
    }
}

/// Reads what `adb devices -l` prints. Lines that are none of the list are left out.
pub(super) fn parse(text: &str) -> Vec<Listed> {
    let after_heading = text.split_once("List of devices attached").map_or("", |(_, list)| list);
    // Messages of the server's start may stand among them.
    let lines =
        after_heading.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('*'));
    lines.filter_map(line).take(MAX_DEVICES).collect()
}

fn line(line: &str) -> Option<Listed> {
    let (serial, rest) = line.split_once([' ', '\t'])?;
    let rest = rest.trim_start();
    let state = if rest.starts_with("no permissions") {
        State::NoPermissions
    } else {
        match rest.split_whitespace().next()? {
            "device" => State::Device,
            "offline" => State::Offline,
            "unauthorized" | "authorizing" => State::Unauthorized,
            other => State::Other(other.to_owned()),
        }
    };
    let field = |name: &str| rest.split_whitespace().find_map(|word| word.strip_prefix(name));
    Some(Listed {
        serial: serial.to_owned(),
        state,
        model: field("model:").map(str::to_owned),
        transport_id: field("transport_id:").and_then(|number| number.parse().ok()),
    })
}

/// The device that is meant: the one named by `wanted` (`--serial`, else `ANDROID_SERIAL`), or the only one that is ready.
///
/// # Errors
/// When there is none, or more than one to choose from, or the one that is meant is not ready.
pub fn choose<'a>(devices: &'a [Listed], wanted: Option<&str>) -> Result<&'a Listed, AdbError> {
    let serials = |devices: &[&Listed]| devices.iter().map(|device| device.serial.clone()).collect();
    let all: Vec<&'a Listed> = devices.iter().collect();
    let ready: Vec<&'a Listed> = devices.iter().filter(|device| device.state == State::Device).collect();
    let chosen = if let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) {
        let present = || AdbError::NotAttached { serial: wanted.to_owned(), present: serials(&all) };
        devices.iter().find(|device| device.serial == wanted).ok_or_else(present)?
    } else {
        match (ready.as_slice(), all.as_slice()) {
            (&[only], _) | (&[], &[only]) => only,
            ([], []) => return Err(AdbError::NoDevice),
            ([], several) | (several, _) => return Err(AdbError::Several { serials: serials(several) }),
        }
    };
    chosen.ready()?;
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
* daemon not running; starting now at tcp:5037
* daemon started successfully
List of devices attached
emulator-5554          device product:sdk_gphone64_x86_64 model:sdk_gphone64_x86_64 device:emu64xa transport_id:1
0A041FDD4003BM         unauthorized usb:1-2 transport_id:3
R58M12                 no permissions (user in plugdev group; are your udev rules wrong?); see [http://developer.android.com/tools/device.html] usb:1-4
127.0.0.1:6001         offline transport_id:9
adb-recovery\trecovery
half

";

    #[test]
    fn every_state_is_read() {
        let list = parse(LIST);
        let states: Vec<_> =
            list.iter().map(|device| (device.serial.as_str(), device.state.to_string())).collect();
        assert_eq!(
            states.iter().map(|(serial, state)| (*serial, state.as_str())).collect::<Vec<_>>(),
            [
                ("emulator-5554", "device"),
                ("0A041FDD4003BM", "unauthorized"),
                ("R58M12", "no permissions"),
                ("127.0.0.1:6001", "offline"),
                ("adb-recovery", "recovery"),
            ]
        );
        assert_eq!(list[0].model.as_deref(), Some("sdk_gphone64_x86_64"));
        assert_eq!((list[0].transport_id, list[4].transport_id), (Some(1), None));
        assert!(parse("").is_empty());
        assert!(parse("garbage\nemulator-5554 device\n").is_empty());
    }

    #[test]
    fn a_list_is_bounded() {
        let many: String = (0..1000).map(|number| format!("serial-{number}\tdevice\n")).collect();
        assert_eq!(parse(&format!("List of devices attached\n{many}")).len(), MAX_DEVICES);
    }

    #[test]
    fn the_one_that_is_meant() {
        let list = parse(LIST);
        assert_eq!(choose(&list, None).unwrap().serial, "emulator-5554");
        assert_eq!(choose(&list, Some("")).unwrap().serial, "emulator-5554");
        let said = |wanted: &str| choose(&list, Some(wanted)).unwrap_err().to_string();
        assert!(said("R58M12").contains("udev"), "{}", said("R58M12"));
        assert!(said("127.0.0.1:6001").contains("offline"));
        assert!(said("0A041FDD4003BM").contains("dialogue"));
        assert!(said("adb-recovery").contains("recovery"));
        assert!(said("nobody").contains("there is emulator-5554, 0A041FDD4003BM"), "{}", said("nobody"));

        assert!(matches!(choose(&[], None), Err(AdbError::NoDevice)));
        let two = parse("List of devices attached\na device\nb device\nc offline\n");
        let error = choose(&two, None).unwrap_err();
        assert!(matches!(&error, AdbError::Several { serials } if *serials == ["a", "b"]), "{error}");
        assert!(matches!(choose(&two[2..], None), Err(AdbError::Offline { .. })));
    }
}
