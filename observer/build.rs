//! Lays agents for devices into the program, where `OBSERVER_EMBED_AGENTS` names the folder that `cargo xtask dist` fills.
//!
//! Without that variable nothing is embedded, and the build depends on nothing but the sources.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The variable.
const FOLDER: &str = "OBSERVER_EMBED_AGENTS";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={FOLDER}");
    let mut list = String::new();
    if let Some(folder) = env::var_os(FOLDER).filter(|folder| !folder.is_empty()) {
        let version = env::var("CARGO_PKG_VERSION")?;
        let mut found = false;
        for architecture in ["aarch64", "x86_64"] {
            let path = Path::new(&folder).join(format!("observer-{version}-{architecture}-linux"));
            println!("cargo::rerun-if-changed={}", path.display());
            if path.is_file() {
                let path = fs::canonicalize(&path)?;
                writeln!(
                    list,
                    "    (\"{architecture}\", include_bytes!({:?})),",
                    path.display().to_string()
                )?;
                found = true;
            }
        }
        if !found {
            return Err(format!(
                "{FOLDER}: no observer-{version}-ARCHITECTURE-linux in {}",
                folder.display()
            )
            .into());
        }
    }
    let text = format!("&[\n{list}]\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("agents.rs"), text)?;
    Ok(())
}
