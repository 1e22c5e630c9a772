//! Which owners a run is about.

use super::{Owner, SocketOwner};

/// What the user asks to see; without a selector, everything.
///
/// Selectors of one kind widen the choice, those of different kinds narrow it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Package names.
    pub packages: Vec<String>,
    /// Linux user ids.
    pub uids: Vec<u32>,
    /// Process ids.
    pub pids: Vec<u32>,
    /// Process names: the path, or its last part.
    pub processes: Vec<String>,
    /// A cgroup, by the inode number of its directory: a command that runs under observation, and its children.
    pub cgroup: Option<u64>,
}

impl Selection {
    /// Whether it selects anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether traffic of this owner was asked for. `sockets` are those that say so, if the system runs.
    ///
    /// `None` where that cannot be told: nobody is known to own it, or what is known does not say what is asked.
    #[must_use]
    pub fn wants<'a>(
        &self,
        owner: Option<&Owner>,
        sockets: impl IntoIterator<Item = &'a SocketOwner>,
    ) -> Option<bool> {
        if self.is_empty() {
            return Some(true);
        }
        let owner = owner?;
        let package =
            |asked: &String| owner.package.as_ref() == Some(asked) || owner.packages.contains(asked);
        let process = |asked: &String| {
            owner.process.as_deref().map(|process| {
                process == asked || process.rsplit('/').next().is_some_and(|name| name == asked)
            })
        };
        let cgroup = sockets.into_iter().find_map(|socket| socket.cgroup);
        // An owner without a package is known not to be of the package that is asked for; an owner without a pid is not known
        // to be another process.
        let answers = [
            of_any(&self.packages, |asked| Some(package(asked))),
            of_any(&self.uids, |asked| owner.uid.map(|uid| uid == *asked)),
            of_any(&self.pids, |asked| owner.pid.map(|pid| pid == *asked)),
            of_any(&self.processes, process),
            self.cgroup.map_or(Some(true), |asked| cgroup.map(|cgroup| cgroup == asked)),
        ];
        if answers.contains(&Some(false)) {
            return Some(false);
        }
        answers.into_iter().collect::<Option<Vec<_>>>().map(|_| true)
    }
}

fn of_any<T>(asked: &[T], answer: impl Fn(&T) -> Option<bool>) -> Option<bool> {
    if asked.is_empty() {
        return Some(true);
    }
    asked.iter().map(answer).collect::<Option<Vec<_>>>().map(|answers| answers.contains(&true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::{Confidence, Method};

    fn owner(uid: u32, package: Option<&str>, process: Option<&str>) -> Owner {
        Owner {
            uid: Some(uid),
            user: None,
            package: package.map(str::to_owned),
            packages: Vec::new(),
            label: None,
            pid: None,
            process: process.map(str::to_owned),
            method: Method::Ebpf,
            confidence: Confidence::Exact,
            platform: false,
        }
    }

    #[test]
    fn kinds_narrow_and_values_widen() {
        let shop = owner(10_123, Some("com.shop"), Some("/system/bin/app_process64"));
        let wants = |selection: &Selection, owner: Option<&Owner>| selection.wants(owner, []);
        assert_eq!(wants(&Selection::default(), None), Some(true));
        let packages =
            Selection { packages: vec!["com.bank".into(), "com.shop".into()], ..Selection::default() };
        assert_eq!(wants(&packages, Some(&shop)), Some(true));
        assert_eq!(wants(&packages, Some(&owner(10_124, None, None))), Some(false));
        assert_eq!(wants(&packages, None), None);
        let other_uid = Selection { uids: vec![10_999], ..packages.clone() };
        assert_eq!(wants(&other_uid, Some(&shop)), Some(false));
        let process = Selection { processes: vec!["app_process64".into()], ..Selection::default() };
        assert_eq!(wants(&process, Some(&shop)), Some(true));
        assert_eq!(wants(&process, Some(&owner(1, None, None))), None);
        let pid = Selection { pids: vec![7], ..Selection::default() };
        assert_eq!(wants(&pid, Some(&shop)), None, "its pid is not known");
    }

    #[test]
    fn a_command_is_known_by_its_cgroup() {
        let command = Selection { cgroup: Some(5), ..Selection::default() };
        let shop = owner(10_123, None, None);
        let socket = |cgroup| SocketOwner { cgroup, ..SocketOwner::new(Method::Ebpf, Confidence::Exact) };
        assert_eq!(command.wants(Some(&shop), [&socket(Some(5))]), Some(true));
        assert_eq!(command.wants(Some(&shop), [&socket(Some(6))]), Some(false));
        assert_eq!(command.wants(Some(&shop), [&socket(None)]), None);
    }
}
