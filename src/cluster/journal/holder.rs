//! Who holds a lock: a name that no other process has, and that tells whether its process is
//! dead to whoever runs beside it.

use std::fs;

/// Between the parts of an identity. No host name has it.
const SEPARATOR: char = '/';

/// An identity of this process, another one each time:
/// `host/boot id/pid namespace/pid/start time/random`.
pub(super) fn identity() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|it| it.trim().to_owned())
        .ok()
        .filter(|it| !it.is_empty())
        .unwrap_or_else(|| "unknown-host".to_owned());
    let pid = std::process::id();
    let (boot, namespace) = here().unwrap_or_default();
    let start = start_time(pid).unwrap_or_default();
    let random = rand::random::<u64>();
    [
        host,
        boot,
        namespace,
        pid.to_string(),
        start,
        format!("{random:016x}"),
    ]
    .join(&SEPARATOR.to_string())
}

/// Whether the process of `identity` is certainly dead. It can be known only of a process of the
/// same boot and the same pid namespace; of all others the answer is no.
pub(super) fn is_dead(identity: &str) -> bool {
    let parts: Vec<&str> = identity.split(SEPARATOR).collect();
    let [_, boot, namespace, pid, start, _] = parts.as_slice() else {
        return false;
    };
    let Some((our_boot, our_namespace)) = here() else {
        return false;
    };
    if *boot != our_boot || *namespace != our_namespace {
        return false;
    }
    let Ok(pid) = pid.parse() else {
        return false;
    };
    // A pid is given to another process in time, which has another start time.
    start_time(pid).is_none_or(|now| now != *start)
}

/// Whether two identities are of one process.
pub(super) fn is_same_process(one: &str, other: &str) -> bool {
    let process = |identity: &str| {
        identity
            .rsplit_once(SEPARATOR)
            .map(|(process, _)| process.to_owned())
    };
    one == other || process(one).is_some_and(|one| Some(one) == process(other))
}

/// The identity as a person reads it.
pub(super) fn for_people(identity: &str) -> String {
    let parts: Vec<&str> = identity.split(SEPARATOR).collect();
    match parts.as_slice() {
        [host, _, _, pid, _, _] => format!("process {pid} on {host}"),
        _ => identity.to_owned(),
    }
}

/// This boot of this machine, and the pid namespace; none where there is no `/proc`.
fn here() -> Option<(String, String)> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some((
        boot.trim().to_owned(),
        namespace.to_string_lossy().into_owned(),
    ))
}

/// When the process started, in ticks since the boot: field 22 of its `stat`, counted after the
/// name in brackets, which may hold anything. None for one that has ended, even if nobody has
/// waited for it yet.
fn start_time(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(18).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn each_identity_is_its_own_and_alive() {
        let (one, two) = (identity(), identity());
        assert_ne!(one, two);
        assert!(is_same_process(&one, &two));
        assert!(!is_same_process(&one, "somebody-else"));
        assert!(!is_dead(&one));
        let pid = std::process::id();
        assert!(for_people(&one).starts_with(&format!("process {pid} on ")));
    }

    #[test]
    fn a_process_that_ended_here_is_dead_and_one_elsewhere_is_not_known() {
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .spawn()
            .expect("a child");
        let pid = child.id();
        let start = start_time(pid).expect("it runs");
        let mine = identity();
        let parts: Vec<&str> = mine.split(SEPARATOR).collect();
        let of =
            |boot: &str, pid: u32| format!("{}/{boot}/{}/{pid}/{start}/ff", parts[0], parts[2]);
        assert!(!is_dead(&of(parts[1], pid)));
        drop(child.stdin.take());
        // Nobody has waited for it: it is in the table of processes still.
        let until = Instant::now() + Duration::from_secs(60);
        while !is_dead(&of(parts[1], pid)) {
            assert!(Instant::now() < until, "it ends without its input");
            std::thread::sleep(Duration::from_millis(5));
        }
        child.wait().expect("it has ended");
        assert!(is_dead(&of(parts[1], pid)));
        assert!(!is_dead(&of("another-boot", pid)));
        assert!(!is_dead("somebody-else"));
    }

    #[test]
    fn a_pid_given_away_again_is_another_process() {
        let mine = identity();
        let mut parts: Vec<&str> = mine.split(SEPARATOR).collect();
        parts[4] = "1";
        assert!(is_dead(&parts.join("/")));
    }
}
