//! What the command says of itself: help, manual pages, completions.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::cli::{file, observer};
use super::program::run;

/// The commands, as the help lists them.
fn commands() -> Vec<String> {
    let (_, help, _) = run(observer().arg("--help"));
    let listed = help.split("Commands:\n").nth(1).expect("commands are listed");
    let names = listed.lines().take_while(|line| !line.is_empty());
    // What continues a line is indented further.
    let names =
        names.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

#[test]
fn help_fits_into_80_columns_and_has_examples() {
    let commands = commands();
    assert!(commands.len() > 5, "{commands:?}");
    let mut pages = vec![(vec!["--help"], "Exit codes:"), (vec!["query", "-h"], "Examples:")];
    let own = commands.iter().filter(|name| *name != "help");
    pages.extend(own.map(|name| (vec![name.as_str(), "--help"], "Examples:")));
    for (words, expected) in pages {
        let (code, stdout, stderr) = run(observer().args(&words).env("COLUMNS", "80"));
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        let longest = stdout.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        assert!(longest <= 80, "{longest} columns in {words:?}:\n{stdout}");
        assert!(!stdout.contains("under-test"), "{stdout}");
        assert!(stdout.contains(expected), "{words:?} have no {expected}\n{stdout}");
    }
    assert!(run(observer().arg("--version")).1.starts_with("observer "));
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = TempDir::new().expect("a folder");
    let (code, stdout, stderr) = run(observer().args(["man", "--output"]).arg(folder.path().join("man1")));
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), "", ""));
    for name in commands().iter().filter(|name| *name != "help") {
        let page = folder.path().join(format!("man1/observer-{name}.1"));
        let page = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        assert!(page.contains(&format!(".TH observer-{name} 1")), "{page}");
        assert!(page.contains("Examples:"), "{page}");
        assert_eq!(run(observer().args(["man", name])).1, page);
    }
    assert_eq!(run(observer().args(["man", "no-such-command"])).0, Some(2));
}

#[test]
fn shells_understand_the_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (code, script, stderr) = run(observer().args(["completions", shell]));
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        assert!(commands().iter().all(|name| script.contains(name.as_str())), "{shell}:\n{script}");
        if shell == "bash" {
            let folder = TempDir::new().expect("a folder");
            let script = file(&folder, "observer.bash", script.as_bytes());
            let ask = format!(
                "source {script} && COMP_WORDS=(observer ana) COMP_CWORD=1 && \
                 _observer observer ana observer && echo \"${{COMPREPLY[@]}}\""
            );
            match Command::new("bash").args(["-c", &ask]).output() {
                Ok(answer) => assert_eq!(String::from_utf8_lossy(&answer.stdout), "analyze\n", "{answer:?}"),
                Err(error) => observer_tests::skip("shells_understand_the_completions", &error.to_string()),
            }
        }
    }
}
