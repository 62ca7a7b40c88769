//! Measuring: wall time, processor time and peak memory of a command with all that it starts, of the
//! registry beside it, and of a function.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// The kernel counts processor time for user space in hundredths of a second on every platform.
const TICKS_PER_SECOND: f64 = 100.0;

/// One measurement. What was not measured is 0.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    /// Seconds.
    pub(crate) wall: f64,
    /// Seconds of processor time, user and system.
    pub(crate) cpu: f64,
    /// Peak memory of the largest process, bytes.
    pub(crate) peak: u64,
    /// Bytes of the layer as sent.
    pub(crate) sent: u64,
    /// Seconds of the registry's processor time.
    pub(crate) registry: f64,
}

/// What the machine is doing besides, as the kernel puts it.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").expect("Linux has it");
    let (first, _) = text.split_once(' ').expect("several numbers");
    first.to_owned()
}

pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Lets the disk finish what others have written, so that nobody pays for them.
pub(crate) fn settle() {
    rustix::fs::sync();
}

/// Runs a command to its end; it has to succeed. GNU time counts for all processes that it waits
/// for, its peak is the largest of them.
pub(crate) fn command(command: &Command, directory: &Path) -> Figures {
    let counts = directory.join("counts");
    let log = directory.join("log");
    let output = std::fs::File::create(&log).expect("creates");
    let errors = output.try_clone().expect("clones");
    let mut timed = Command::new("/usr/bin/time");
    timed
        .args(["-q", "-f", "%U %S %M", "-o"])
        .arg(&counts)
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        timed.env(name, value.expect("nothing is unset"));
    }
    timed.stdin(Stdio::null()).stdout(output).stderr(errors);
    let start = Instant::now();
    let status = timed.status().expect("run.sh installs GNU time");
    let wall = start.elapsed().as_secs_f64();
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    assert!(status.success(), "{command:?}: {status}\n{said}");
    let counts = std::fs::read_to_string(&counts).expect("it was written");
    let numbers: Vec<f64> = counts
        .split_whitespace()
        .map(|number| number.parse().expect("a number"))
        .collect();
    let &[user, system, kibibytes] = numbers.as_slice() else {
        panic!("three numbers are not {counts:?}");
    };
    Figures {
        wall,
        cpu: user + system,
        peak: kibibytes as u64 * 1024,
        ..Figures::default()
    }
}

/// Runs a function in this process.
pub(crate) fn function(work: impl FnOnce()) -> Figures {
    let (start, cpu) = (Instant::now(), processor_seconds("self"));
    work();
    Figures {
        wall: start.elapsed().as_secs_f64(),
        cpu: processor_seconds("self") - cpu,
        ..Figures::default()
    }
}

/// User and system time of a process, all of its threads together.
pub(crate) fn processor_seconds(pid: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is there");
    // The second field, the name in parentheses, may hold blanks.
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    let ticks: f64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(|field| field.parse::<f64>().expect("a number"))
        .sum();
    ticks / TICKS_PER_SECOND
}
