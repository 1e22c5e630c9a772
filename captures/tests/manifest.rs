//! Holds MANIFEST.toml, the index and the files on the disk together.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use observer_captures as captures;

/// More than this, and a clone of the repository starts to feel it.
const FOLDER_LIMIT: u64 = 6 << 20;

fn manifest() -> toml::Table {
    let text = fs::read_to_string(captures::path("MANIFEST.toml")).unwrap();
    text.parse().unwrap()
}

fn entries(manifest: &toml::Table) -> Vec<&toml::Table> {
    manifest["capture"].as_array().unwrap().iter().map(|entry| entry.as_table().unwrap()).collect()
}

fn strings(value: &toml::Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

fn sha256(path: &Path) -> String {
    let data = fs::read(path).unwrap();
    Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn files_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            let name = path.strip_prefix(captures::root()).unwrap();
            found.insert(name.to_str().unwrap().replace('\\', "/"));
        }
    }
}

#[test]
fn the_index_equals_the_manifest() {
    let manifest = manifest();
    let listed = entries(&manifest);
    assert_eq!(listed.len(), captures::all().len());
    for (entry, capture) in listed.into_iter().zip(captures::all()) {
        assert_eq!(entry["file"].as_str(), Some(capture.name));
        assert_eq!(entry["frames"].as_integer(), Some(i64::from(capture.frames)), "{}", capture.name);
        assert_eq!(entry["link_type"].as_str(), Some(capture.link_type), "{}", capture.name);
        assert_eq!(entry["shows"].as_str(), Some(capture.shows), "{}", capture.name);
        assert_eq!(strings(&entry["fires"]), capture.fires, "{}", capture.name);
        assert_eq!(strings(&entry["silent"]), capture.silent, "{}", capture.name);
        let runs = entry.get("judged").and_then(toml::Value::as_array).cloned().unwrap_or_default();
        assert_eq!(runs.len(), capture.judged.len(), "{}", capture.name);
        for (run, judged) in runs.iter().zip(capture.judged) {
            assert_eq!(run["policy"].as_str(), Some(judged.policy), "{}", capture.name);
            assert_eq!(run["test_ca"].as_bool(), Some(judged.test_ca), "{}", capture.name);
            assert_eq!(
                run["baseline"].as_str(),
                Some(judged.baseline.unwrap_or_default()),
                "{}",
                capture.name
            );
            assert_eq!(strings(&run["fires"]), judged.fires, "{}", capture.name);
            assert_eq!(strings(&run["silent"]), judged.silent, "{}", capture.name);
        }
    }
}

#[test]
fn every_file_has_the_listed_hash() {
    let manifest = manifest();
    for entry in entries(&manifest).into_iter().chain(manifest["roots"].as_table()) {
        let name = entry["file"].as_str().unwrap();
        assert_eq!(
            Some(sha256(&captures::path(name)).as_str()),
            entry["sha256"].as_str(),
            "{name} differs from MANIFEST.toml: record it again with `cargo xtask captures {name}`",
        );
    }
}

#[test]
fn no_capture_is_unlisted() {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(captures::root()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // What tools leave behind, and what git hides.
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() && !matches!(name.as_str(), "src" | "tests" | "recipes" | "target") {
            files_below(&path, &mut found);
        } else if path.is_file() && !matches!(name.as_str(), "Cargo.toml" | "MANIFEST.toml" | "README.md") {
            found.insert(name);
        }
    }
    let mut listed: BTreeSet<String> =
        captures::all().iter().map(|capture| capture.name.to_owned()).collect();
    listed.insert("certificates/lab-root.pem".to_owned());
    listed.insert(captures::POLICY.to_owned());
    listed.extend(captures::all().iter().flat_map(|capture| capture.judged).map(|run| run.policy.to_owned()));
    assert_eq!(found, listed);
}

#[test]
fn the_folder_stays_small() {
    let total: u64 = captures::all().iter().map(|capture| fs::metadata(capture.path()).unwrap().len()).sum();
    assert!(total < FOLDER_LIMIT, "{total} bytes of captures");
}

#[test]
fn no_rule_both_fires_and_is_silent() {
    for capture in captures::all() {
        let runs = capture.judged.iter().map(|run| (run.fires, run.silent));
        for (fires, silent) in runs.chain([(capture.fires, capture.silent)]) {
            let both: Vec<_> = fires.iter().filter(|rule| silent.contains(rule)).collect();
            assert!(both.is_empty(), "{}: {both:?}", capture.name);
        }
    }
}
