"""Records captures, and keeps MANIFEST.toml and src/index.rs in step with them.

    python3 -m recipes record [NAME …]   record the named captures (a file, a folder or a prefix), or all
    python3 -m recipes index             write the manifest and the index again, without recording
    python3 -m recipes check             say what is out of step; exit code 1 if anything is
    python3 -m recipes list              name every capture

Run in `captures/`. Recording needs root, and the tools that `cargo xtask captures` installs.
"""

import hashlib
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

from . import (  # noqa: F401  each module declares its captures when imported
    amqp,
    bittorrent,
    capfile,
    certificates,
    chats,
    client_flight,
    consistency,
    containers,
    databases,
    decryption,
    demo,
    dns,
    dtls,
    encrypted_dns,
    ftp,
    headers,
    http,
    http2,
    infrastructure,
    interception,
    ip,
    link_types,
    malformed,
    mqtt,
    mutual_tls,
    neighbours,
    offline,
    opaque,
    others,
    owners,
    pinning,
    proxies,
    quic,
    refusal,
    rtmp,
    starttls,
    tcp,
    telegram,
    telephony,
    telnet,
    tls,
    tls_shapes,
    tls_stacks,
    tunnels,
    unknown,
    upgrades,
    vpn,
    webrtc,
)
from .catalogue import CAPTURES

HERE = Path(__file__).resolve().parent.parent
WORK = Path(os.environ.get("RECORDER_DIR", HERE.parent / "target" / "recorder"))
MANIFEST = HERE / "MANIFEST.toml"
INDEX = HERE / "src" / "index.rs"
ROOTS = HERE / "certificates" / "lab-root.pem"


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def toml_list(values):
    return "[" + ", ".join(json.dumps(value) for value in values) + "]"


def recorded():
    """The declared captures that have a file, in the manifest's order."""
    return [entry for _, entry in sorted(CAPTURES.items()) if (HERE / entry.file).exists()]


def manifest():
    """The text of MANIFEST.toml."""
    lines = [
        "# The captures of this folder, and what each one shows.",
        "# Written by `cargo xtask captures` from the recipes: change the recipe, then run `cargo xtask captures --index`.",
        "#",
        '# how: "recorded" from real clients and servers; "converted" from a recording into another file format;',
        '# "made" by the recipe, because nothing on the recording machine sends such frames.',
        "# fires: rules with a finding in this capture. silent: rules for which it is a near miss. Both hold under",
        "# policies/lab.toml. judged: the same with another policy, with the roots as the tester's authority (--test-ca), or",
        "# after a run over another capture (--db), for rules that speak only then.",
        "",
        "# The roots that the lab's own servers chain to, one for each time that the lab's authority was made anew.",
        "[roots]",
        f'file = "{ROOTS.relative_to(HERE).as_posix()}"',
        f'sha256 = "{digest(ROOTS)}"',
    ]
    for entry in recorded():
        frames, link = capfile.summary(HERE / entry.file)
        lines += [
            "",
            "[[capture]]",
            f"file = {json.dumps(entry.file)}",
            f'sha256 = "{digest(HERE / entry.file)}"',
            f"frames = {frames}",
            f'link_type = "{link}"',
            f"shows = {json.dumps(entry.shows)}",
            f"how = {json.dumps(entry.how)}",
            f"recipe = {json.dumps(entry.recipe)}",
            f"tools = {toml_list(entry.tools)}",
            f"fires = {toml_list(entry.fires)}",
            f"silent = {toml_list(entry.silent)}",
        ]
        for run in entry.judged:
            lines += [
                "",
                "[[capture.judged]]",
                f"policy = {json.dumps(run.policy)}",
                f"test_ca = {json.dumps(run.test_ca)}",
                f"baseline = {json.dumps(run.baseline)}",
                f"fires = {toml_list(run.fires)}",
                f"silent = {toml_list(run.silent)}",
            ]
    return "\n".join(lines) + "\n"


def index():
    """The text of src/index.rs."""
    lines = [
        "//! The manifest as a table.",
        "//!",
        "//! Written by `cargo xtask captures`; a test holds it equal to MANIFEST.toml.",
        "",
        "use crate::{Capture, Judged};",
        "",
        "/// Every capture, in the order of its name.",
        "pub(crate) const CAPTURES: &[Capture] = &[",
    ]
    for entry in recorded():
        frames, link = capfile.summary(HERE / entry.file)
        lines += [
            "    Capture {",
            f"        name: {json.dumps(entry.file)},",
            f"        frames: {frames},",
            f'        link_type: "{link}",',
            f"        shows: {json.dumps(entry.shows)},",
            f"        fires: &{toml_list(entry.fires)},",
            f"        silent: &{toml_list(entry.silent)},",
        ]
        if not entry.judged:
            lines += ["        judged: &[],", "    },"]
            continue
        lines.append("        judged: &[")
        for run in entry.judged:
            lines += [
                "            Judged {",
                f"                policy: {json.dumps(run.policy)},",
                f"                test_ca: {json.dumps(run.test_ca)},",
                f"                baseline: {f'Some({json.dumps(run.baseline)})' if run.baseline else 'None'},",
                f"                fires: &{toml_list(run.fires)},",
                f"                silent: &{toml_list(run.silent)},",
                "            },",
            ]
        lines += ["        ],", "    },"]
    return "\n".join(lines + ["];"]) + "\n"


def write_index():
    MANIFEST.write_text(manifest())
    INDEX.write_text(index())


def check():
    """What is out of step, one line each."""
    if MANIFEST.read_text() != manifest():
        yield "MANIFEST.toml differs from the recipes and the files"
    if INDEX.read_text() != index():
        yield "src/index.rs differs from the manifest"
    for entry in CAPTURES.values():
        if not (HERE / entry.file).exists():
            yield f"{entry.file} is declared by {entry.recipe} but is not recorded"
    policies = {"policies/lab.toml"}
    for entry in CAPTURES.values():
        policies |= {run.policy for run in entry.judged}
        for run in entry.judged:
            if run.baseline and run.baseline not in CAPTURES:
                yield f"{entry.file} is judged after {run.baseline}, which nothing records"
    for policy in sorted(policies):
        if not (HERE / policy).exists():
            yield f"{policy} is not there"
    listed = {HERE / name for name in [*CAPTURES, *policies]} | {ROOTS}
    ours = {"recipes", "src", "tests"}
    for path in sorted(HERE.rglob("*")):
        top = path.relative_to(HERE).parts[0]
        if (
            path.is_file()
            and top not in ours
            and not top.startswith(".")
            and path not in listed
            and path.parent != HERE
        ):
            yield f"{path.relative_to(HERE)} is not in the manifest"


def matches(path, display_filter):
    """Whether tshark selects any frame of a file."""
    result = subprocess.run(
        ["tshark", "-o", "tcp.reassemble_out_of_order:TRUE", "-r", path, "-Y", display_filter],
        capture_output=True,
        text=True,
    )
    # A file that is cut on purpose makes tshark complain after it has read what there is.
    return bool(result.stdout.strip())


def verify(entry, path):
    """Holds a fresh recording against its declaration, with tshark as the judge."""
    for wanted in entry.expect:
        if not matches(path, wanted):
            raise RuntimeError(f"no frame matches {wanted}")
    clean = [] if entry.lossy else ["tcp.analysis.retransmission"]
    for unwanted in entry.forbid + clean:
        if matches(path, unwanted):
            raise RuntimeError(f"a frame matches {unwanted}")


def record(names):
    if os.geteuid() != 0:
        sys.exit("recording makes network namespaces and needs root: run it with sudo")
    from .lab import Lab

    chosen = [
        entry
        for _, entry in sorted(CAPTURES.items(), key=lambda item: (item[1].derived, item[0]))
        if not names or any(entry.file.startswith(name) for name in names)
    ]
    if not chosen:
        sys.exit(f"no capture is called {' '.join(names)}")
    failed = []
    with Lab(WORK) as lab:
        lab.captures = HERE
        for entry in chosen:
            lab.out = lab.temporary("out" + "".join(Path(entry.file).suffixes))
            lab.out.unlink(missing_ok=True)
            try:
                entry.record(lab)
                verify(entry, lab.out)
            except Exception as error:
                failed.append(entry.file)
                print(f"FAILED    {entry.file}: {str(error)[-600:]}", flush=True)
                if os.environ.get("LAB_DEBUG"):
                    traceback.print_exc()
                    (WORK / "failed").mkdir(exist_ok=True)
                    if lab.out.exists():
                        (WORK / "failed" / entry.file.replace("/", "_")).write_bytes(lab.out.read_bytes())
                continue
            finally:
                lab.stop_servers()
            target = HERE / entry.file
            change = "replaced" if target.exists() else "new     "
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(lab.out.read_bytes())
            frames, link = capfile.summary(target)
            print(
                f"{change}  {entry.file}: {frames} frames, {target.stat().st_size} bytes, {link}", flush=True
            )
        lab.pki.publish_root(ROOTS)
    write_index()
    if failed:
        sys.exit(f"{len(failed)} of {len(chosen)} captures could not be recorded: {', '.join(failed)}")


def main():
    command, *names = sys.argv[1:] or ["help"]
    if command == "record":
        record(names)
    elif command == "index":
        write_index()
    elif command == "list":
        for name, entry in sorted(CAPTURES.items()):
            print(f"{name}: {entry.shows}")
    elif command == "check":
        problems = list(check())
        print("\n".join(problems) or f"{len(CAPTURES)} captures, all in step")
        sys.exit(1 if problems else 0)
    else:
        sys.exit(__doc__)


main()
