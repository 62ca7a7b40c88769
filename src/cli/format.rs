//! Numbers as people read them.

use jiff::Timestamp;

/// Seconds: three digits below ten, fewer above, minutes from two minutes on.
pub(crate) fn seconds(seconds: f64) -> String {
    if seconds < 10.0 {
        format!("{seconds:.3}s")
    } else if seconds < 120.0 {
        format!("{seconds:.1}s")
    } else {
        let whole = whole_seconds(seconds);
        format!("{}m{:02}s", whole / 60, whole % 60)
    }
}

/// A count that came as a float and is not negative.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole_seconds(seconds: f64) -> u64 {
    seconds.max(0.0).round() as u64
}

/// Bytes with a binary unit; a negative count is nothing.
pub(crate) fn bytes(bytes: impl TryInto<u64>) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let bytes: u64 = bytes.try_into().unwrap_or(0);
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Exact enough for two digits behind the point.
    #[allow(clippy::cast_precision_loss)]
    let mut size = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while size >= 1024.0
        && let Some(next) = units.next()
    {
        size /= 1024.0;
        unit = Some(next);
    }
    format!("{size:.2} {}", unit.unwrap_or(&""))
}

/// `part` of `whole` in percent; nothing of nothing is 0.
pub(crate) fn percent(part: f64, whole: f64) -> String {
    let share = if whole > 0.0 { part / whole } else { 0.0 };
    format!("{:.0}%", share * 100.0)
}

/// Age as kubectl shows it: the one or two largest units.
pub(crate) fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        _ => format!("{days}d"),
    }
}

fn two(large: i64, large_unit: &str, small: i64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large}{large_unit}")
    } else {
        format!("{large}{large_unit}{small}{small_unit}")
    }
}

/// `count` of `thing`, with an `s` unless it is one.
pub(crate) fn counted(count: impl TryInto<u64>, thing: &str) -> String {
    let count = count.try_into().unwrap_or(0);
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(seconds(0.0421), "0.042s");
        assert_eq!(seconds(61.26), "61.3s");
        assert_eq!(seconds(125.4), "2m05s");
        assert_eq!(bytes(35_651_584_u64), "34.00 MiB");
        assert_eq!(bytes(-1_i64), "0 B");
        assert_eq!(percent(1.0, 3.0), "33%");
        assert_eq!(percent(0.0, 0.0), "0%");
        assert_eq!(counted(1_u64, "message"), "1 message");
        assert_eq!(counted(0_i64, "message"), "0 messages");
    }

    #[test]
    fn ages_are_kubectl_s() {
        let now = Timestamp::from_second(2_000_000_000).expect("it is in range");
        for (seconds, text) in [
            (-5, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (600, "10m"),
            (10_800, "3h"),
            (11_000, "3h3m"),
            (90_000, "25h"),
            (180_000, "2d2h"),
            (864_000, "10d"),
        ] {
            let since = now - jiff::SignedDuration::from_secs(seconds);
            assert_eq!(age(since, now), text);
        }
    }
}
