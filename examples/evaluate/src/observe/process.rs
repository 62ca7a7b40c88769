//! What a process takes, as `/proc` shows it: proc_pid_stat(5) and proc_pid_status(5).

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How often it is looked at. What a process takes between the last look and its end is not seen.
const INTERVAL: Duration = Duration::from_millis(20);

/// What a process has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Used {
    /// Seconds of CPU while it was watched, in steps of the kernel's clock (10 ms).
    pub cpu: f64,
    /// The most memory that was resident at any time since it began, in bytes.
    pub memory: u64,
}

/// Watches a process until it has ended or this is stopped; none if it was never seen.
pub async fn use_of(id: u32, stop: CancellationToken) -> Option<Used> {
    let before = cpu(id).unwrap_or(0.0);
    let mut used = None;
    loop {
        let last = stop.is_cancelled();
        if let (Some(cpu), Some(memory)) = (cpu(id), memory(id)) {
            used = Some(Used {
                cpu: cpu - before,
                memory,
            });
        }
        if last {
            return used;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

fn cpu(id: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name is in brackets and may hold anything; user and system time are the 14th and 15th field.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    Some(ticks / rustix::param::clock_ticks_per_second() as f64)
}

fn memory(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes: u64 = line?.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    //! A test of this very process.

    use super::*;

    #[tokio::test]
    async fn a_process_takes_memory() {
        let stop = CancellationToken::new();
        stop.cancel();
        let used = use_of(std::process::id(), stop).await.expect("it is there");
        assert!(used.memory > 1024 * 1024, "{used:?}");
    }
}
