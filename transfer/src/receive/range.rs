//! Ranges of bytes: which part of a blob a puller wants, and where an upload's piece belongs. Pure.

use std::ops::Range;

/// Which part of a blob is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// These bytes.
    Bytes(Range<u64>),
    /// None that it has.
    Nowhere,
}

/// What the header `Range` asks for of `size` bytes. What is not understood, several ranges among
/// it, counts as not said (RFC 9110, 14.2).
pub(super) fn part(header: Option<&str>, size: u64) -> Part {
    let Some((first, last)) = header
        .and_then(|text| text.strip_prefix("bytes="))
        .and_then(|range| range.split_once('-'))
    else {
        return Part::Whole;
    };
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(last)) if first.is_empty() => size.saturating_sub(last)..size,
        _ => return Part::Whole,
    };
    if range.start >= range.end {
        return Part::Nowhere;
    }
    Part::Bytes(range)
}

/// Where a piece says that it begins: the header `Content-Range`, as `0-99`.
pub(super) fn begins_at(header: &str) -> Option<u64> {
    let (first, _) = header.trim_start_matches("bytes ").split_once('-')?;
    first.trim().parse().ok()
}

/// What an upload of `bytes` acknowledges, in the header `Range`. Of none it can only say what is
/// meant as one (the specification has no other way).
pub(super) fn acknowledged(bytes: u64) -> String {
    format!("0-{}", bytes.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_what_is_there_of_what_is_asked_for() {
        let asked = |header| part(Some(header), 100);
        assert_eq!(part(None, 100), Part::Whole);
        assert_eq!(asked("bytes=0-9"), Part::Bytes(0..10));
        assert_eq!(asked("bytes=90-"), Part::Bytes(90..100));
        assert_eq!(asked("bytes=90-1000"), Part::Bytes(90..100));
        assert_eq!(asked("bytes=-10"), Part::Bytes(90..100));
        assert_eq!(asked("bytes=-1000"), Part::Bytes(0..100));
        assert_eq!(asked("bytes=100-"), Part::Nowhere);
        assert_eq!(asked("bytes=-0"), Part::Nowhere);
        for strange in ["bytes=9-1", "bytes=0-1,5-6", "lines=0-1", "bytes=a-b", ""] {
            assert_eq!(asked(strange), Part::Whole, "{strange}");
        }
        assert_eq!(part(Some("bytes=0-"), 0), Part::Nowhere);
    }

    #[test]
    fn a_piece_says_where_it_belongs() {
        assert_eq!(begins_at("4096-8191"), Some(4096));
        assert_eq!(begins_at("bytes 0-9"), Some(0));
        assert_eq!(begins_at("x"), None);
        assert_eq!(acknowledged(4096), "0-4095");
        assert_eq!(acknowledged(0), "0-0");
    }
}
