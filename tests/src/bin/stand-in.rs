//! A stand-in device to try adb and the observer with by hand: `stand-in [emulator|play-image|rooted-phone|old-phone] [NETWORK]`.
//!
//! It says its serial, obeys lines on its input (`cut`, `restore`, `kill`, `boot`), and ends with the input.

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use observer_tests::adbd::{Profile, StandIn};
    use std::io::{BufRead as _, Write as _};

    let words: Vec<String> = std::env::args().skip(1).collect();
    let profile = match words.first().map(String::as_str) {
        None | Some("emulator") => Profile::emulator(),
        Some("play-image") => Profile::play_image(),
        Some("rooted-phone") => Profile::rooted_phone(),
        Some("old-phone") => Profile::old_phone(),
        Some(other) => return Err(format!("no profile is called {other}").into()),
    };
    let device = StandIn::start(profile, words.get(1).map(String::as_str))?;
    let mut out = std::io::stdout();
    writeln!(out, "adb connect {}", device.serial())?;
    for line in std::io::stdin().lock().lines() {
        match line?.trim() {
            "cut" => device.cut_link(),
            "restore" => device.restore_link()?,
            "kill" => device.kill(),
            "boot" => device.boot()?,
            _ => writeln!(out, "cut, restore, kill or boot")?,
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {}
