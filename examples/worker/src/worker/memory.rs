//! All the memory of a worker in one place, and its image.
//!
//! One lock guards it, and whoever works holds the lock: applying a message, acknowledging
//! one, answering a request. So a checkpoint, which holds the lock until the process may go
//! on, sees no message half applied and freezes everything else.

use serde::{Deserialize, Serialize};

use super::settings::Settings;
use super::times::Times;
use super::{ballast, identity};
use crate::state::State;

/// Begins every image, so that bytes from elsewhere are refused.
const MAGIC: &[u8; 8] = b"ms2mimg1";

/// Magic bytes and the length of the JSON part.
const PREFIX: usize = 16;

/// The memory of a worker. What the broker has handed out and the worker has not applied yet
/// is no part of it, no more than a connection is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Memory {
    pub(super) settings: Settings,
    pub(super) state: State,
    /// The pod name that the process believes in.
    pub(super) pod: String,
    /// `$HOSTNAME`: like all of the environment it stays what it was at the start.
    pub(super) hostname_variable: String,
    /// The queue that is consumed, or was last.
    pub(super) queue: String,
    /// Whether a consumer is on that queue.
    pub(super) consuming: bool,
    /// How many times the process was restored from an image.
    pub(super) restores: u32,
    /// When the latest messages were applied, as far as that is kept.
    #[serde(default)]
    pub(super) times: Times,
    #[serde(skip)]
    pub(super) ballast: Vec<u8>,
    pub(super) ballast_checksum: String,
}

/// Why an image is none of this worker.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It does not begin as one.
    #[error("the image is none of a worker")]
    Foreign,
    /// The part that describes the memory is unreadable.
    #[error("the image is unreadable")]
    Unreadable(#[from] serde_json::Error),
    /// The bytes that the worker held are not the ones it holds now.
    #[error("the image is damaged: the memory's checksum is {found}, not {expected}")]
    Damaged {
        /// As computed from the image.
        found: String,
        /// As noted in the image.
        expected: String,
    },
}

impl Memory {
    /// The memory of a new process.
    pub(super) fn new(settings: Settings) -> Self {
        let ballast = ballast::fill(settings.state_bytes);
        let hostname_variable = identity::name_in_environment();
        Self {
            state: State::default(),
            pod: identity::pod_name(&settings.hostname_file, &hostname_variable),
            hostname_variable,
            queue: settings.queue.clone(),
            consuming: false,
            restores: 0,
            times: Times::default(),
            ballast_checksum: ballast::checksum(&ballast),
            ballast,
            settings,
        }
    }

    /// The part of the image before the ballast. Followed by the ballast it is the image.
    pub(super) fn image_head(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut head = MAGIC.to_vec();
        head.extend([0; PREFIX - MAGIC.len()]);
        serde_json::to_writer(&mut head, self)?;
        let len = (head.len() - PREFIX) as u64;
        head[MAGIC.len()..PREFIX].copy_from_slice(&len.to_be_bytes());
        Ok(head)
    }

    /// The memory that an image was taken of, as it is for the restored process.
    pub(super) fn restore(mut image: Vec<u8>) -> Result<Self, ImageError> {
        let (prefix, rest) = image.split_at_checked(PREFIX).ok_or(ImageError::Foreign)?;
        let (magic, len) = prefix.split_at(MAGIC.len());
        let len = len
            .iter()
            .fold(0_u64, |len, &byte| len << 8 | u64::from(byte));
        let len = usize::try_from(len).map_err(|_| ImageError::Foreign)?;
        let json = rest
            .get(..len)
            .filter(|_| magic == MAGIC)
            .ok_or(ImageError::Foreign)?;
        let mut memory: Self = serde_json::from_slice(json)?;
        memory.ballast = image.split_off(PREFIX + len);
        let found = ballast::checksum(&memory.ballast);
        if found != memory.ballast_checksum {
            return Err(ImageError::Damaged {
                found,
                expected: memory.ballast_checksum,
            });
        }
        memory.restores += 1;
        memory.consuming = false;
        Ok(memory)
    }
}

#[cfg(test)]
mod tests {
    //! Tests of the image.

    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn settings(more: &[&str]) -> Settings {
        let command = Settings::augment_args(clap::Command::new("worker"));
        let args = ["worker", "--amqp-url", "amqp://x", "--queue", "q"];
        let matches = command.get_matches_from(args.iter().chain(more));
        Settings::from_arg_matches(&matches).expect("are complete")
    }

    fn image(memory: &Memory) -> Vec<u8> {
        let mut image = memory.image_head().expect("serialises");
        image.extend(&memory.ballast);
        image
    }

    #[test]
    fn everything_is_in_the_image() {
        let mut memory = Memory::new(settings(&["--state-bytes", "100001"]));
        memory.state.apply("p0", 1, false, jiff::Timestamp::now());
        memory.pod = "worker-0".to_owned();
        memory.consuming = true;
        let restored = Memory::restore(image(&memory)).expect("restores");
        assert_eq!(restored.state, memory.state);
        assert_eq!(restored.pod, "worker-0");
        assert_eq!(restored.ballast.len(), 100_001);
        assert!(restored.ballast == memory.ballast);
        assert_eq!((restored.restores, restored.consuming), (1, false));
    }

    #[test]
    fn a_damaged_image_is_refused() {
        let whole = image(&Memory::new(settings(&["--state-bytes", "1000"])));
        for len in 0..whole.len() {
            Memory::restore(whole[..len].to_vec()).expect_err("is cut short");
        }
        let mut flipped = whole.clone();
        *flipped.last_mut().expect("is not empty") ^= 1;
        let error = Memory::restore(flipped).expect_err("has a flipped bit");
        assert!(matches!(error, ImageError::Damaged { .. }), "{error}");
        Memory::restore(whole).expect("is whole");
    }
}
