//! The hooks that tell which process uses a socket: a tracepoint, and the cgroup's where nobody is disturbed.
//!
//! Android's netd holds the cgroup hooks of the root exclusively: another program beside it is refused, and attaching
//! without flags takes netd's away. Hence never on Android, never before links (Linux 5.7), and only where the kernel
//! says that the hook is free or shared.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::programs::links::CgroupAttachMode;
use aya::programs::{CgroupSock, CgroupSockAddr, Program, ProgramError, TracePoint};
use aya::util::KernelVersion;
use observer_ebpf_common::program;
use observer_ebpf_common::user::{CgroupHook, holders};

use super::object::chain;

/// The programs of the cgroup's hooks. The socket's maker is noted first, so that a user of it overwrites him.
const CGROUP: [(CgroupHook, &str); 7] = [
    (CgroupHook::SockCreate, program::SOCK_CREATE),
    (CgroupHook::PostBind4, program::POST_BIND4),
    (CgroupHook::PostBind6, program::POST_BIND6),
    (CgroupHook::Connect4, program::CONNECT4),
    (CgroupHook::Connect6, program::CONNECT6),
    (CgroupHook::Sendmsg4, program::SENDMSG4),
    (CgroupHook::Sendmsg6, program::SENDMSG6),
];

/// Where tracefs may be mounted.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
/// The tracepoint.
const TRACEPOINT: (&str, &str) = ("sock", "inet_sock_set_state");

/// A field of a tracepoint's record: name, offset, size.
type Field = (&'static str, usize, usize);

/// The record since Linux 5.6.
const WORD_LAYOUT: [Field; 8] = [
    ("skaddr", 8, 8),
    ("oldstate", 16, 4),
    ("newstate", 20, 4),
    ("sport", 24, 2),
    ("dport", 26, 2),
    ("protocol", 30, 2),
    ("saddr_v6", 40, 16),
    ("daddr_v6", 56, 16),
];

/// The record before Linux 5.6.
const BYTE_LAYOUT: [Field; 8] = [
    ("skaddr", 8, 8),
    ("oldstate", 16, 4),
    ("newstate", 20, 4),
    ("sport", 24, 2),
    ("dport", 26, 2),
    ("protocol", 30, 1),
    ("saddr_v6", 39, 16),
    ("daddr_v6", 55, 16),
];

/// Attaches what may be attached; what was not, and why. The links live as long as the programs.
pub(super) fn attach(programs: &mut Ebpf, ring_buffer: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if let Err(reason) = tracepoint(programs, ring_buffer) {
        notes.push(format!("no tracepoint sock:inet_sock_set_state: {reason}"));
    }
    match cgroup_allowed(ring_buffer) {
        Ok(cgroup) => {
            for (hook, name) in CGROUP {
                if let Err(reason) = attach_to_cgroup(programs, &cgroup, hook, name) {
                    notes.push(format!("no cgroup hook {hook:?}: {reason}"));
                }
            }
        }
        Err(reason) => notes.push(format!("no cgroup hooks: {reason}")),
    }
    notes
}

fn tracepoint(programs: &mut Ebpf, ring_buffer: bool) -> Result<(), String> {
    let (category, event) = TRACEPOINT;
    let formats =
        TRACEFS.map(|tracefs| Path::new(tracefs).join("events").join(category).join(event).join("format"));
    let Some(format) = formats.iter().find_map(|path| fs::read_to_string(path).ok()) else {
        return Err("tracefs is not mounted at /sys/kernel/tracing, or may not be read".to_owned());
    };
    let name = tracepoint_program(&format, ring_buffer)?;
    let mut attach = || -> Result<(), ProgramError> {
        let program: &mut TracePoint =
            programs.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()?;
        program.load()?;
        program.attach(category, event).map(|_link| ())
    };
    attach().map_err(|error| chain(&error))
}

/// The program for a record of this format.
fn tracepoint_program(format: &str, ring_buffer: bool) -> Result<&'static str, String> {
    let has =
        |layout: &[Field]| layout.iter().all(|wanted| field(format, wanted.0) == Some((wanted.1, wanted.2)));
    match (has(&WORD_LAYOUT), has(&BYTE_LAYOUT), ring_buffer) {
        (true, _, true) => Ok(program::STATE),
        (true, _, false) => Ok(program::STATE_LEGACY),
        // Kernels with this record have no ring buffer; the events go to the perf buffer, which nobody reads with one.
        (_, true, false) => Ok(program::STATE_BYTE_LEGACY),
        _ => Err("the kernel lays its record out in a way that no program knows".to_owned()),
    }
}

/// Offset and size of a field, from lines such as `field:__u16 sport;\toffset:24;\tsize:2;\tsigned:0;`.
fn field(format: &str, name: &str) -> Option<(usize, usize)> {
    let declared = |declaration: &str| {
        let (declaration, _) = declaration.split_once('[').unwrap_or((declaration, ""));
        declaration.split_whitespace().next_back() == Some(name)
    };
    let number = |part: &str, key: &str| part.trim().strip_prefix(key)?.parse().ok();
    format.lines().find_map(|line| {
        let mut parts = line.trim().strip_prefix("field:")?.split(';');
        declared(parts.next()?).then_some(())?;
        Some((number(parts.next()?, "offset:")?, number(parts.next()?, "size:")?))
    })
}

/// The root of the cgroups, if programs may be attached to it at all.
fn cgroup_allowed(ring_buffer: bool) -> Result<File, String> {
    if Path::new("/system/build.prop").exists() {
        return Err("this is Android, whose netd holds them".to_owned());
    }
    // Before links, aya attaches without flags: that takes away whoever is there. The programs need a ring buffer besides.
    if !ring_buffer || !KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(5, 7, 0)) {
        return Err("Linux 5.8 and later take programs that leave with their process".to_owned());
    }
    let root = fs::read_to_string("/proc/self/mountinfo").ok().as_deref().and_then(cgroup_root);
    let root = root.ok_or("no cgroup v2 is mounted")?;
    File::open(&root).map_err(|error| format!("{}: {error}", root.display()))
}

/// Where the root of cgroup v2 is mounted, from `/proc/self/mountinfo` (proc(5)).
fn cgroup_root(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        (system.split(' ').next() == Some("cgroup2")).then_some(())?;
        let mut fields = mount.split(' ').skip(3);
        (fields.next() == Some("/")).then_some(())?;
        fields.next().map(PathBuf::from)
    })
}

fn attach_to_cgroup(programs: &mut Ebpf, cgroup: &File, hook: CgroupHook, name: &str) -> Result<(), String> {
    let held = holders(cgroup.as_fd(), hook).map_err(|error| error.to_string())?;
    if !held.admits() {
        return Err(format!("programs {:?} hold it for themselves (flags {})", held.programs, held.flags));
    }
    let program = programs.program_mut(name).ok_or("no such program")?;
    attach_link(program, cgroup).map_err(|error| chain(&error))
}

/// Attaches with a link, which shares the hook; a mode other than `Single` older kernels refuse for links.
fn attach_link(program: &mut Program, cgroup: &File) -> Result<(), ProgramError> {
    match program {
        Program::CgroupSock(program) => {
            CgroupSock::load(program)?;
            program.attach(cgroup, CgroupAttachMode::Single).map(|_link| ())
        }
        Program::CgroupSockAddr(program) => {
            CgroupSockAddr::load(program)?;
            program.attach(cgroup, CgroupAttachMode::Single).map(|_link| ())
        }
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: &str = "name: inet_sock_set_state
ID: 1403
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:const void * skaddr;\toffset:8;\tsize:8;\tsigned:0;
\tfield:int oldstate;\toffset:16;\tsize:4;\tsigned:1;
\tfield:int newstate;\toffset:20;\tsize:4;\tsigned:1;
\tfield:__u16 sport;\toffset:24;\tsize:2;\tsigned:0;
\tfield:__u16 dport;\toffset:26;\tsize:2;\tsigned:0;
\tfield:__u16 family;\toffset:28;\tsize:2;\tsigned:0;
\tfield:__u16 protocol;\toffset:30;\tsize:2;\tsigned:0;
\tfield:__u8 saddr[4];\toffset:32;\tsize:4;\tsigned:0;
\tfield:__u8 daddr[4];\toffset:36;\tsize:4;\tsigned:0;
\tfield:__u8 saddr_v6[16];\toffset:40;\tsize:16;\tsigned:0;
\tfield:__u8 daddr_v6[16];\toffset:56;\tsize:16;\tsigned:0;

print fmt: \"family=%s\"
";

    #[test]
    fn the_program_fits_the_record() {
        assert_eq!(tracepoint_program(FORMAT, true), Ok(program::STATE));
        assert_eq!(tracepoint_program(FORMAT, false), Ok(program::STATE_LEGACY));
        let old = FORMAT
            .replace("__u16 protocol;\toffset:30;\tsize:2", "__u8 protocol;\toffset:30;\tsize:1")
            .replace("offset:40", "offset:39")
            .replace("offset:56", "offset:55");
        assert_eq!(tracepoint_program(&old, false), Ok(program::STATE_BYTE_LEGACY));
        assert!(tracepoint_program(&old, true).is_err());
        assert!(tracepoint_program(&FORMAT.replace("offset:24", "offset:32"), true).is_err());
        assert!(tracepoint_program("", true).is_err());
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        assert_eq!(field(FORMAT, "saddr"), Some((32, 4)));
        assert_eq!(field(FORMAT, "saddr_v6"), Some((40, 16)));
        assert_eq!(field(FORMAT, "addr"), None);
    }

    #[test]
    fn the_root_of_cgroup_v2_is_found_beside_version_1() {
        let mounts = "25 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      26 25 0:23 / /sys/fs/cgroup/cpu rw,relatime shared:7 - cgroup cgroup rw,cpu\n\
                      27 25 0:24 /user.slice /mnt rw - cgroup2 cgroup2 rw\n\
                      28 25 0:24 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        assert_eq!(cgroup_root(mounts), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(cgroup_root("28 25 0:24 / /sys/fs/cgroup rw - tmpfs x rw"), None);
    }
}
