//! Devices through Debian's own adb: what the way to them gives, and what it says when they fail.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use observer::android::adb::{Adb, AdbError, RootAnswer, SpawnedAdb, State, find_adb};
use observer::android::device::{
    Agent, BuildType, Device, Extent, Root, ensure_agent, extent, leftovers, verdicts,
};
use observer_tests::adbd::{AdbServer, Instrumentation, Profile, StandIn, Su, Test};
use serde_json::Value;

use crate::capture::OBSERVER;

/// How long a command may take that takes no time.
const SOON: Duration = Duration::from_secs(30);

/// A device with a server of its own, and the way through it.
struct Bench {
    device: StandIn,
    server: AdbServer,
    adb: SpawnedAdb,
    serial: String,
}

impl Bench {
    fn or_skip(test: &str, profile: Profile) -> Option<Self> {
        let device = StandIn::or_skip(test, profile, None)?;
        let server = AdbServer::start().expect("adb's server");
        server.connect(&device).expect("a connection");
        let adb = way(&server);
        let serial = device.serial();
        Some(Self { device, server, adb, serial })
    }

    fn shell(&self, command: &str) -> String {
        let output = self.adb.shell(&self.serial, command, SOON).expect("an answer");
        assert!(output.succeeded(), "{command}: {output:?}");
        output.text().trim().to_owned()
    }
}

fn way(server: &AdbServer) -> SpawnedAdb {
    let program: PathBuf = find_adb(None).expect("adb");
    server
        .variables()
        .into_iter()
        .fold(SpawnedAdb::new(program), |adb, (name, value)| adb.with_variable(name, value))
}

#[test]
fn commands_have_outputs_and_an_exit_code() {
    for profile in [Profile::emulator(), Profile::old_phone()] {
        let Some(bench) = Bench::or_skip("commands_have_outputs_and_an_exit_code", profile) else { return };
        let has_v2 = bench.adb.has_shell_v2(&bench.serial).unwrap();
        let output = bench.adb.shell(&bench.serial, "echo out; echo err >&2; exit 7", SOON).unwrap();
        assert_eq!(output.code, 7);
        if has_v2 {
            assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
        } else {
            assert_eq!(output.stdout, b"out\nerr\n");
        }
        assert_eq!(bench.shell("/usr/bin/id -u"), "2000");
        assert_eq!(bench.shell("grep CapEff /proc/self/status | tr -d '\\t'"), "CapEff:0000000000000000");
    }
}

#[test]
fn a_stream_is_clean_both_ways() {
    let Some(bench) = Bench::or_skip("a_stream_is_clean_both_ways", Profile::emulator()) else { return };
    let bytes: Vec<u8> = (0..8_u32 << 20)
        .map(|index| u8::try_from(index.wrapping_mul(2_654_435_761) >> 24).unwrap())
        .collect();
    let mut stream = bench.adb.stream(&bench.serial, "cat; echo done >&2; exit 9").unwrap();
    let (mut input, mut output) = (stream.take_stdin().unwrap(), stream.take_stdout().unwrap());
    let sent = bytes.clone();
    let writer = thread::spawn(move || input.write_all(&sent));
    let mut received = Vec::new();
    output.read_to_end(&mut received).unwrap();
    writer.join().unwrap().unwrap();
    assert!(received == bytes, "{} of {} bytes", received.len(), bytes.len());
    let ended = stream.finish(SOON).unwrap();
    assert_eq!((ended.code, ended.errors.as_str()), (9, "done\n"));

    // A device that goes away ends the stream, and nobody takes that for the command's end.
    let mut stream = bench.adb.stream(&bench.serial, "echo ready; exec cat").unwrap();
    let mut output = stream.take_stdout().unwrap();
    output.read_exact(&mut [0; 6]).unwrap();
    bench.device.kill();
    assert_eq!(output.read_to_end(&mut Vec::new()).unwrap(), 0);
    let error = stream.finish(SOON).unwrap_err();
    assert!(matches!(error, AdbError::Gone { .. }), "{error}");
    assert_eq!(bench.device.processes(), Vec::<String>::new());
}

#[test]
fn root_is_given_where_the_build_allows_it() {
    let Some(bench) = Bench::or_skip("root_is_given_where_the_build_allows_it", Profile::emulator()) else {
        return;
    };
    assert_eq!(bench.adb.root(&bench.serial).unwrap(), RootAnswer::Restarted);
    assert_eq!(bench.shell("/usr/bin/id -u"), "0");
    assert_eq!(bench.adb.root(&bench.serial).unwrap(), RootAnswer::Already);

    let Some(bench) = Bench::or_skip("root_is_given_where_the_build_allows_it", Profile::play_image()) else {
        return;
    };
    let refused = RootAnswer::Refused("adbd cannot run as root in production builds".to_owned());
    assert_eq!(bench.adb.root(&bench.serial).unwrap(), refused);
}

#[test]
fn a_device_that_goes_away_is_said_to() {
    let Some(bench) = Bench::or_skip("a_device_that_goes_away_is_said_to", Profile::emulator()) else {
        return;
    };
    let (device, serial) = (&bench.device, bench.serial.as_str());
    thread::scope(|scope| {
        let running = scope.spawn(|| bench.adb.shell(serial, "sleep 600", SOON));
        while !device.processes().iter().any(|line| line == "sleep 600") {
            thread::sleep(Duration::from_millis(20));
        }
        device.cut_link();
        let error = running.join().unwrap().unwrap_err();
        assert!(matches!(&error, AdbError::Gone { .. }), "{error}");
    });
    assert!(device.processes().iter().any(|line| line == "sleep 600"), "only the link was cut");
    let error = bench.adb.shell(serial, "true", SOON).unwrap_err();
    assert!(matches!(error, AdbError::Offline { .. } | AdbError::NotAttached { .. }), "{error}");
    device.restore_link().unwrap();
    // adb tries again by itself, every ten seconds.
    bench.adb.wait(serial, Duration::from_secs(60)).unwrap();
    assert_eq!(bench.shell("echo back"), "back");
    assert_eq!(bench.adb.devices().unwrap()[0].state, State::Device);
}

/// Every kind of device, with how root is had on it and what can be observed.
fn profiles() -> Vec<(Profile, Root, Extent)> {
    let none = |reason: &str| Root::None { reason: reason.to_owned() };
    let declined = Profile { su: Su::Declined, ..Profile::rooted_phone() };
    vec![
        (Profile::emulator(), Root::AdbRoot, Extent::Full),
        (Profile::play_image(), none("it is a user build, and there is no su"), Extent::Degraded),
        (Profile::rooted_phone(), Root::SuCommand, Extent::Full),
        (declined, none("su refuses it (Permission denied)"), Extent::None),
        (Profile::old_phone(), none("it is a user build, and there is no su"), Extent::None),
    ]
}

#[test]
fn a_device_is_what_it_says() {
    for (profile, root, observed) in profiles() {
        let Some(bench) = Bench::or_skip("a_device_is_what_it_says", profile.clone()) else { return };
        let device = Device::ask(&bench.adb, &bench.serial).unwrap();
        let facts = &device.facts;
        assert_eq!(
            (facts.api_level, facts.release.as_deref()),
            (Some(profile.api), Some(profile.release.as_str()))
        );
        let userdebug = profile.su == Su::Aosp;
        assert_eq!(facts.build_type, if userdebug { BuildType::Userdebug } else { BuildType::User });
        assert_eq!(facts.abis.join(","), profile.abis);
        assert_eq!(
            (facts.emulator, facts.booted, facts.shell_v2),
            (profile.emulator, true, profile.shell_v2)
        );
        assert_eq!((facts.uid, facts.writable), (Some(2000), true));
        assert_eq!(facts.selinux.as_deref(), Some("Enforcing"));
        assert_eq!(facts.context.as_deref(), Some("u:r:shell:s0"));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        assert_eq!(facts.kernel.as_deref(), Some(kernel.trim()));
        assert!(facts.time.is_some_and(|time| time > 1_700_000_000) && facts.page_size.is_some());
        assert_eq!(device.root, root, "{profile:?}");
        assert_eq!(extent(&verdicts(&device)), observed, "{:#?}", verdicts(&device));
        let apps = device.packages(&bench.adb).unwrap();
        assert_eq!(apps.apps(10_123), [("com.example.shop".to_owned(), String::new())]);
        assert_eq!(apps.apps(10_199), []);
    }
}

#[test]
fn root_reads_what_the_shell_may_not() {
    for profile in [Profile::emulator(), Profile::rooted_phone()] {
        let Some(bench) = Bench::or_skip("root_reads_what_the_shell_may_not", profile) else { return };
        let mut device = Device::ask(&bench.adb, &bench.serial).unwrap();
        let list = "cat /data/system/packages.list";
        assert!(!bench.adb.shell(&bench.serial, list, SOON).unwrap().succeeded());
        device.become_root(&bench.adb).unwrap();
        let list = bench.shell(&device.root.command(list).unwrap());
        assert!(list.starts_with("android 1000 0 "), "{list}");
    }
}

/// A static program for this machine's processor, which stands in for the agent: `cleanup` finds nothing, all else waits.
fn static_program(folder: &Path, word: &str) -> PathBuf {
    let source = format!(
        "#include <stdio.h>\n#include <string.h>\nstatic const char filling[3 << 20] = \"{word}\";\n\
         int main(int count, char **words) {{\n\
         if (count > 1 && !strcmp(words[1], \"cleanup\")) {{ puts(\"nothing to clean up\"); return 0; }}\n\
         fputs(filling, stdout); fflush(stdout); while (getchar() != EOF) {{}} return 0; }}\n"
    );
    let (code, program) = (folder.join(format!("{word}.c")), folder.join(word));
    fs::write(&code, source).expect("a writable folder");
    let mut cc = Command::new("cc");
    cc.args(["-static", "-Wl,-z,max-page-size=16384", "-o"]).arg(&program).arg(&code);
    assert!(cc.status().expect("cc runs").success());
    program
}

#[test]
fn the_agent_is_copied_once() {
    let Some(bench) = Bench::or_skip("the_agent_is_copied_once", Profile::rooted_phone()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let device = Device::ask(&bench.adb, &bench.serial).unwrap();
    let architecture = device.facts.architecture().unwrap();
    let [old, new] =
        ["old", "new"].map(|word| Agent::open(&static_program(folder.path(), word), architecture).unwrap());
    let place = |agent: &Agent| {
        let mut told = Vec::new();
        let placed =
            ensure_agent(&bench.adb, &device, agent, &mut |done, total| told.push((done, total))).unwrap();
        (placed, told)
    };
    let (first, told) = place(&old);
    assert!(first.copied && first.path.as_str().starts_with("/data/local/tmp/observer-"), "{first:?}");
    assert!(told.last().is_some_and(|(done, total)| done == total && *total > 3 << 20), "{told:?}");
    assert_eq!(
        place(&old),
        (observer::android::device::Placed { copied: false, ..first.clone() }, Vec::new())
    );
    assert_eq!(leftovers(&bench.adb, &device, Some(&first.path)).unwrap(), Vec::<String>::new());

    // A copy that broke off, or a file that somebody changed, is not taken for the agent.
    fs::write(bench.device.path(&format!("{}.part", first.path)), "half").unwrap();
    fs::write(bench.device.path(first.path.as_str()), "changed").unwrap();
    assert!(place(&old).0.copied);

    // Of two versions one stays.
    let (second, _) = place(&new);
    assert!(second.copied);
    assert_eq!(bench.shell("ls /data/local/tmp"), second.path.name());

    let mut running = bench.adb.stream(&bench.serial, second.path.as_str()).unwrap();
    running.take_stdout().unwrap().read_exact(&mut [0; 3]).unwrap();
    fs::write(bench.device.path("/data/local/tmp/.observer-spool"), "").unwrap();
    let left = leftovers(&bench.adb, &device, Some(&second.path)).unwrap();
    assert!(left[0].contains("still runs"), "{left:?}");
    assert_eq!(left[1..], ["/data/local/tmp/.observer-spool is left on the device"], "{left:?}");
    // The end of the input reaches the program, which then ends.
    assert_eq!(running.finish(SOON).unwrap().code, 0);
    fs::remove_file(bench.device.path("/data/local/tmp/.observer-spool")).unwrap();
    assert_eq!(leftovers(&bench.adb, &device, Some(&second.path)).unwrap(), Vec::<String>::new());
}

#[test]
fn a_file_arrives_or_the_reason_is_told() {
    let Some(bench) = Bench::or_skip("a_file_arrives_or_the_reason_is_told", Profile::emulator()) else {
        return;
    };
    let (adb, serial) = (&bench.adb, bench.serial.as_str());
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("here");
    let bytes: Vec<u8> = (0..300_000_u32).map(|index| index.to_le_bytes()[index as usize % 3]).collect();
    fs::write(&here, &bytes).unwrap();
    adb.push(serial, &here, "/data/local/tmp/a file", &mut |_, _| {}).unwrap();
    assert!(fs::read(bench.device.path("/data/local/tmp/a file")).unwrap() == bytes);
    let error = adb.push(serial, &here, "/system/file", &mut |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("Permission denied"), "{error}");
    assert!(matches!(
        adb.push(serial, Path::new("/nowhere"), "/x", &mut |_, _| {}),
        Err(AdbError::File { .. })
    ));
}

#[test]
fn tests_run_under_the_apps_uid_and_are_logged() {
    let component = "com.example.shop.test/androidx.test.runner.AndroidJUnitRunner";
    let one = |method: &str, script: &str| Test {
        class: "com.example.shop.CheckoutTest".to_owned(),
        method: method.to_owned(),
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
    };
    let tests = vec![one("pays", "[ $(id -u) = 10123 ]"), one("fails", "echo why; exit 3")];
    let instrumentation = Instrumentation { component: component.to_owned(), uid: 10_123, tests };
    let profile = Profile { instrumentations: vec![instrumentation], ..Profile::emulator() };
    let Some(bench) = Bench::or_skip("tests_run_under_the_apps_uid_and_are_logged", profile) else { return };
    let mut log = bench.adb.stream(&bench.serial, "logcat -v epoch -v usec -T 1 -s TestRunner").unwrap();
    let mut lines = BufReader::new(log.take_stdout().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "--------- beginning of main");
    bench.device.log('I', "Other", "not asked for").unwrap();

    let said = bench.shell(&format!("am instrument -w -r {component}"));
    let codes: Vec<_> =
        said.lines().filter_map(|line| line.strip_prefix("INSTRUMENTATION_STATUS_CODE: ")).collect();
    assert_eq!(codes, ["1", "0", "1", "-2"], "{said}");
    assert!(
        said.contains("INSTRUMENTATION_STATUS: test=pays\n") && said.ends_with("INSTRUMENTATION_CODE: -1")
    );

    let logged: Vec<_> = lines.by_ref().take_while(|line| !line.contains("run finished")).collect();
    let messages: Vec<_> = logged.iter().map(|line| line.split_once("TestRunner: ").unwrap().1).collect();
    assert_eq!(
        messages[..4],
        [
            "run started: 2 tests",
            "started: pays(com.example.shop.CheckoutTest)",
            "finished: pays(com.example.shop.CheckoutTest)",
            "started: fails(com.example.shop.CheckoutTest)"
        ]
    );
    let seconds = logged[0].split_whitespace().next().unwrap();
    assert!(
        seconds.split_once('.').is_some_and(|(whole, micros)| whole.len() == 10 && micros.len() == 6),
        "{seconds}"
    );
}

#[test]
fn observer_lists_devices_with_what_each_can_do() {
    let test = "observer_lists_devices_with_what_each_can_do";
    let strange = Profile { authorized: false, ..Profile::emulator() };
    let Some(first) = Bench::or_skip(test, strange) else { return };
    let list = |format: &str| {
        let mut command = Command::new(OBSERVER);
        command.args(["devices", "--format", format]).envs(first.server.variables());
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, text, _) = list("text");
    assert_eq!(code, Some(3));
    assert!(text.contains("does not trust this machine yet"), "{text}");

    let mut devices = Vec::new();
    for (profile, _, observed) in profiles().into_iter().rev() {
        let device = StandIn::or_skip(test, profile, None).unwrap();
        first.server.connect(&device).unwrap();
        devices.push((device, observed));
        let (code, json, _) = list("json");
        let best =
            devices.iter().map(|(_, observed)| *observed).min_by_key(|observed| *observed as u8).unwrap();
        assert_eq!(
            code,
            Some(match best {
                Extent::Full => 0,
                Extent::Degraded => 4,
                Extent::None => 3,
            }),
            "{json}"
        );
    }
    let (_, json, _) = list("json");
    let answer: Value = serde_json::from_str(&json).unwrap();
    let of = |serial: &str| {
        answer["devices"].as_array().unwrap().iter().find(|one| one["serial"] == serial).unwrap()
    };
    for (device, observed) in &devices {
        assert_eq!(of(&device.serial())["extent"], serde_json::to_value(observed).unwrap());
    }
    assert_eq!(of(&first.serial)["state"], "unauthorized");
    let (_, text, _) = list("text");
    for sentence in
        ["by `adb root`, which starts adbd anew", "by `su -c`", "there is no agent for", "su refuses it"]
    {
        assert!(text.contains(sentence), "{sentence}: {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn without_a_device_the_remedy_is_said() {
    let test = "without_a_device_the_remedy_is_said";
    if StandIn::or_skip(test, Profile::emulator(), None).is_none() {
        return;
    }
    let server = AdbServer::start().unwrap();
    let said = |command: &mut Command| {
        let output = command.envs(server.variables()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, stderr) = said(Command::new(OBSERVER).arg("devices"));
    assert_eq!(code, Some(3));
    assert!(stderr.contains("no device is attached: start an emulator"), "{stderr}");
    let (code, stderr) = said(Command::new(OBSERVER).args(["devices", "--adb", "/nowhere/adb"]));
    assert_eq!(code, Some(3));
    assert!(stderr.contains("/nowhere/adb is no program") && stderr.contains("platform-tools"), "{stderr}");
    let (code, stderr) = said(Command::new(OBSERVER).args(["devices", "--adb", "/bin/false"]));
    assert_eq!(code, Some(3));
    assert!(stderr.contains("adb failed while listing devices"), "{stderr}");
}
