//! The hash chained over applied messages: two workers have the same one only if they applied
//! the same messages in the same order.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};

/// `h' = SHA-256(h ‖ publisher ‖ seq)`, beginning with 32 zero bytes; the publisher's name as
/// UTF-8, the number as eight bytes, most significant first. Shown as lower-case hex.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Chain([u8; 32]);

impl Chain {
    /// Adds a message to the chain.
    pub fn add(&mut self, publisher: &str, seq: u64) {
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        hasher.update(publisher.as_bytes());
        hasher.update(seq.to_be_bytes());
        self.0 = hasher.finalize().into();
    }

    /// The chain over the messages 1 to `last` of one publisher, each once and in order.
    pub fn of(publisher: &str, last: u64) -> Self {
        Self::over(publisher, 1..=last)
    }

    /// The chain over messages of one publisher, in the order given.
    pub fn over(publisher: &str, numbers: impl IntoIterator<Item = u64>) -> Self {
        let mut chain = Self::default();
        for seq in numbers {
            chain.add(publisher, seq);
        }
        chain
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Chain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Chain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(D::Error::custom("a hash has 64 hexadecimal digits"));
        }
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(D::Error::custom)?;
        }
        Ok(Self(bytes))
    }
}
