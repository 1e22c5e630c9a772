//! What a stand-in answers: releases, builds, packages, and who gets root.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// Who built it, which decides over `adb root`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// For customers: no `adb root`.
    User,
    /// For developers: `adb root` starts adbd anew as root.
    Userdebug,
}

/// How `su` behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Su {
    /// There is none.
    Missing,
    /// That of userdebug builds: `su 0 COMMAND WORD…` (AOSP, system/extras/su/su.cpp).
    Aosp,
    /// That of Magisk: `su -c 'COMMAND'`, and `su 0 -c 'COMMAND'`.
    Magisk,
    /// That of Magisk, whose user declines.
    Declined,
}

/// An app.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its uid for the device's first user.
    pub uid: u32,
    /// What `am start` runs under that uid.
    pub command: Vec<String>,
}

/// Tests that `am instrument` runs.
#[derive(Clone, Debug)]
pub struct Instrumentation {
    /// E.g. `com.example.shop.test/androidx.test.runner.AndroidJUnitRunner`.
    pub component: String,
    /// What the tests run as: the uid of the app under test.
    pub uid: u32,
    /// In the order in which they run.
    pub tests: Vec<Test>,
}

/// One test; it passes when its command ends well.
#[derive(Clone, Debug)]
pub struct Test {
    /// Fully qualified.
    pub class: String,
    /// Its method.
    pub method: String,
    /// What the app does.
    pub command: Vec<String>,
}

/// A kind of device.
#[derive(Clone, Debug)]
pub struct Profile {
    /// API level.
    pub api: u32,
    /// Release, e.g. `14`.
    pub release: String,
    /// Kind of build.
    pub build: Build,
    /// Processors' interfaces, the preferred one first.
    pub abis: String,
    /// Model.
    pub model: String,
    /// Whether it says that it is an emulator.
    pub emulator: bool,
    /// What `getenforce` says.
    pub selinux: String,
    /// How `su` behaves.
    pub su: Su,
    /// Whether adbd has shell v2.
    pub shell_v2: bool,
    /// Whether it trusts this machine.
    pub authorized: bool,
    /// Users, by number.
    pub users: Vec<u32>,
    /// Its apps.
    pub packages: Vec<Package>,
    /// Its tests.
    pub instrumentations: Vec<Instrumentation>,
}

impl Profile {
    /// A `google_apis` image of API 34: userdebug, x86_64, `adb root` works.
    #[must_use]
    pub fn emulator() -> Self {
        let package = |name: &str, uid| Package { name: name.to_owned(), uid, command: Vec::new() };
        Self {
            api: 34,
            release: "14".to_owned(),
            build: Build::Userdebug,
            abis: format!("{},arm64-v8a", host_abi()),
            model: "sdk_gphone64_x86_64".to_owned(),
            emulator: true,
            selinux: "Enforcing".to_owned(),
            su: Su::Aosp,
            shell_v2: true,
            authorized: true,
            users: vec![0],
            packages: vec![
                package("android", 1000),
                package("com.android.networkstack", 1073),
                package("com.example.shop", 10_123),
                package("com.example.weather", 10_124),
            ],
            instrumentations: Vec::new(),
        }
    }

    /// A `google_apis_playstore` image of API 30: a user build, no root at all.
    #[must_use]
    pub fn play_image() -> Self {
        Self {
            api: 30,
            release: "11".to_owned(),
            build: Build::User,
            model: "sdk_gphone_x86".to_owned(),
            su: Su::Missing,
            ..Self::emulator()
        }
    }

    /// A phone with a user build and Magisk.
    #[must_use]
    pub fn rooted_phone() -> Self {
        Self {
            api: 33,
            release: "13".to_owned(),
            build: Build::User,
            model: "Pixel 6".to_owned(),
            emulator: false,
            su: Su::Magisk,
            users: vec![0, 10],
            ..Self::emulator()
        }
    }

    /// An old phone, whose adbd knows neither exit codes nor raw streams.
    #[must_use]
    pub fn old_phone() -> Self {
        Self {
            api: 23,
            release: "6.0.1".to_owned(),
            build: Build::User,
            abis: "armeabi-v7a,armeabi".to_owned(),
            model: "Nexus 7".to_owned(),
            emulator: false,
            su: Su::Missing,
            shell_v2: false,
            ..Self::emulator()
        }
    }

    /// The banner that adbd introduces itself with.
    pub(super) fn banner(&self) -> String {
        let features = if self.shell_v2 { "shell_v2,cmd,stat_v2,ls_v2,fixed_push_mkdir" } else { "cmd" };
        let name = self.model.replace(' ', "_");
        format!(
            "device::ro.product.name={name};ro.product.model={};ro.product.device={name};features={features}",
            self.model
        )
    }

    /// The system properties, one `NAME=VALUE` a line.
    pub(super) fn properties(&self) -> String {
        let mut text = String::new();
        let kind = if self.build == Build::User { "user" } else { "userdebug" };
        let qemu = if self.emulator { "1" } else { "" };
        for (name, value) in [
            ("ro.build.version.sdk", self.api.to_string().as_str()),
            ("ro.build.version.release", &self.release),
            ("ro.build.type", kind),
            (
                "ro.build.fingerprint",
                &format!("google/stand_in/stand_in:{}/TEST/1:{kind}/dev-keys", self.release),
            ),
            ("ro.debuggable", if self.build == Build::User { "0" } else { "1" }),
            ("ro.product.manufacturer", "Google"),
            ("ro.product.model", &self.model),
            ("ro.product.cpu.abilist", &self.abis),
            ("ro.product.cpu.abi", self.abis.split(',').next().unwrap_or_default()),
            ("ro.kernel.qemu", qemu),
            ("ro.boot.qemu", qemu),
            ("ro.hardware", if self.emulator { "ranchu" } else { "oriole" }),
            ("sys.boot_completed", "1"),
        ] {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name}={value}");
        }
        text
    }

    /// `packages.list`, with the columns of its release.
    pub(super) fn packages_list(&self) -> String {
        let mut text = String::new();
        for package in &self.packages {
            let (name, uid) = (&package.name, package.uid);
            let ten = if self.api >= 29 { " 0 1" } else { "" };
            let eleven = if self.api >= 30 { " 1 @system" } else { "" };
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{name} {uid} 0 /data/user/0/{name} default:targetSdkVersion={} 3003{ten}{eleven}",
                self.api
            );
        }
        text
    }

    /// What the stand-in's own programs read.
    pub(super) fn settings(&self) -> Value {
        let packages: Vec<_> = (self.packages.iter())
            .map(|package| json!({"name": package.name, "uid": package.uid, "command": package.command}))
            .collect();
        let instrumentations = self.instrumentations.iter().map(|one| {
            let tests: Vec<_> = (one.tests.iter())
                .map(|test| json!({"class": test.class, "method": test.method, "command": test.command}))
                .collect();
            (one.component.clone(), json!({"uid": one.uid, "tests": tests}))
        });
        let instrumentations: serde_json::Map<_, _> = instrumentations.collect();
        json!({"api": self.api, "users": self.users, "packages": packages, "instrumentations": instrumentations})
    }
}

/// Android's name for this machine's processor.
fn host_abi() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64-v8a" } else { "x86_64" }
}
