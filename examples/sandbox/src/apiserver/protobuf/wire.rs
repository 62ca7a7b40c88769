//! The wire format of protobuf: a message as a sequence of numbered fields.

use prost::encoding::{WireType, decode_key, decode_varint};

/// One field's content.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Field<'a> {
    /// A whole number or a truth value.
    Number(u64),
    /// Text, bytes or a message.
    Bytes(&'a [u8]),
    /// Eight bytes, a floating-point number.
    Fixed(u64),
}

/// The fields of a message, in their order.
///
/// # Errors
/// In words, for bytes that are no message.
pub(crate) fn fields(message: &[u8]) -> Result<Vec<(u32, Field<'_>)>, String> {
    let mut rest = message;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (number, wire) = decode_key(&mut rest).map_err(|error| error.to_string())?;
        let field = match wire {
            WireType::Varint => {
                Field::Number(decode_varint(&mut rest).map_err(|error| error.to_string())?)
            }
            WireType::LengthDelimited => {
                let length = decode_varint(&mut rest).map_err(|error| error.to_string())?;
                let length = usize::try_from(length).map_err(|error| error.to_string())?;
                let (content, tail) = rest.split_at_checked(length).ok_or("a field is cut off")?;
                rest = tail;
                Field::Bytes(content)
            }
            WireType::SixtyFourBit => {
                let (content, tail) = rest.split_first_chunk::<8>().ok_or("a field is cut off")?;
                rest = tail;
                Field::Fixed(u64::from_le_bytes(*content))
            }
            other => return Err(format!("field {number} has wire type {other:?}")),
        };
        found.push((number, field));
    }
    Ok(found)
}
