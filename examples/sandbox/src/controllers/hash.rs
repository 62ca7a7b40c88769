//! Short names for templates: the same template has the same name, whoever asks. Pure.

use serde_json::Value;

/// A hash of a template in letters that make no words. `collisions` tells apart what would
/// otherwise be called the same.
pub(super) fn of(template: &Value, collisions: Option<i32>) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut hash = Fnv::new();
    hash.write_value(template);
    if let Some(collisions) = collisions {
        hash.write(collisions.to_string().as_bytes());
    }
    let letter = |byte: u8| char::from(LETTERS[usize::from(byte) % LETTERS.len()]);
    hash.0.to_string().bytes().map(letter).collect()
}

/// FNV-1a of 32 bits, as Kubernetes has it.
struct Fnv(u32);

impl Fnv {
    fn new() -> Self {
        Self(0x811c_9dc5)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }

    /// Members in the order of their names, however the value was made.
    fn write_value(&mut self, value: &Value) {
        match value {
            Value::Object(map) => {
                let mut members: Vec<_> = map.iter().collect();
                members.sort_by_key(|(name, _)| *name);
                self.write(b"{");
                for (name, member) in members {
                    self.write(name.as_bytes());
                    self.write(b":");
                    self.write_value(member);
                }
                self.write(b"}");
            }
            Value::Array(items) => {
                self.write(b"[");
                for item in items {
                    self.write_value(item);
                    self.write(b",");
                }
                self.write(b"]");
            }
            scalar => self.write(scalar.to_string().as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_template_has_the_same_hash() {
        let one = json!({ "a": [1, { "b": "c", "d": null }] });
        assert_eq!(of(&one, Some(0)), of(&one.clone(), Some(0)));
        assert_ne!(of(&one, Some(0)), of(&one, Some(1)));
        assert_ne!(of(&one, Some(0)), of(&json!({ "a": [1] }), Some(0)));
        assert!(
            of(&one, None)
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric())
        );
    }
}
