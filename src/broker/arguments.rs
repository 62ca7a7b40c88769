//! Arguments of bindings, between the journal's text and AMQP's typed values.
//!
//! Types matter: a headers exchange takes 5 and "5" for two values, and a binding is removed only
//! by the very arguments that it was made with: a 5 of 64 bits does not name one of 32.

use std::collections::BTreeMap;
use std::str::FromStr;

use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;

use crate::api::{ArgumentType as Type, BindingArgument};
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// The types that a whole number may have, the usual ones first.
const WHOLE: [Type; 8] = [
    Type::Int,
    Type::Long,
    Type::Short,
    Type::Byte,
    Type::UnsignedInt,
    Type::UnsignedShort,
    Type::UnsignedByte,
    Type::Timestamp,
];

/// The arguments as AMQP has them.
///
/// # Errors
/// [`PortError::Invalid`] for a value that its type cannot have: somebody has edited it.
pub(super) fn table(arguments: &BTreeMap<String, BindingArgument>) -> PortResult<FieldTable> {
    let mut table = FieldTable::default();
    for (name, argument) in arguments {
        let value = amqp(argument).ok_or_else(|| {
            PortError::Invalid(format!(
                "argument {name} of a binding has the value {}, which is no {:?}",
                argument.value, argument.kind
            ))
        })?;
        table.insert(name.as_str().into(), value);
    }
    Ok(table)
}

fn amqp(argument: &BindingArgument) -> Option<AMQPValue> {
    let text = argument.value.as_str();
    Some(match argument.kind {
        Type::String => AMQPValue::LongString(text.into()),
        Type::Boolean => AMQPValue::Boolean(parsed(text)?),
        Type::Byte => AMQPValue::ShortShortInt(parsed(text)?),
        Type::UnsignedByte => AMQPValue::ShortShortUInt(parsed(text)?),
        Type::Short => AMQPValue::ShortInt(parsed(text)?),
        Type::UnsignedShort => AMQPValue::ShortUInt(parsed(text)?),
        Type::Int => AMQPValue::LongInt(parsed(text)?),
        Type::UnsignedInt => AMQPValue::LongUInt(parsed(text)?),
        Type::Long => AMQPValue::LongLongInt(parsed(text)?),
        Type::Timestamp => AMQPValue::Timestamp(parsed(text)?),
        Type::Float => AMQPValue::Float(parsed(text)?),
        Type::Double => AMQPValue::Double(parsed(text)?),
        Type::Void => AMQPValue::Void,
    })
}

fn parsed<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// What a value that is told without its type may be, the likeliest first. Nothing for tables and
/// arrays, which ms2m does not take over.
pub(super) fn candidates(told: &Value) -> Vec<BindingArgument> {
    let (value, kinds): (String, &[Type]) = match told {
        // No value is told as the word that Erlang has for it.
        Value::String(text) if text == "undefined" => (text.clone(), &[Type::Void, Type::String]),
        Value::String(text) => (text.clone(), &[Type::String]),
        Value::Bool(flag) => (flag.to_string(), &[Type::Boolean]),
        Value::Number(number) if number.is_f64() => {
            (number.to_string(), &[Type::Double, Type::Float])
        }
        Value::Number(number) => (number.to_string(), &WHOLE),
        Value::Null | Value::Array(_) | Value::Object(_) => (String::new(), &[]),
    };
    kinds
        .iter()
        .map(|kind| BindingArgument {
            kind: *kind,
            value: value.clone(),
        })
        .filter(|argument| amqp(argument).is_some())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_of_any_type_that_it_fits() {
        let kinds = |told: Value| -> Vec<Type> {
            candidates(&told).iter().map(|found| found.kind).collect()
        };
        assert_eq!(kinds(5.into()), WHOLE);
        assert_eq!(kinds((1_i64 << 40).into()), [Type::Long, Type::Timestamp]);
        assert_eq!(kinds((-300).into()), [Type::Int, Type::Long, Type::Short]);
        assert_eq!(kinds(1.5.into()), [Type::Double, Type::Float]);
        assert_eq!(kinds(Value::Array(vec![])), []);
    }

    #[test]
    fn a_value_that_its_type_cannot_have_is_told() {
        let argument = BindingArgument {
            kind: Type::Int,
            value: "many".to_owned(),
        };
        let error = table(&[("size".to_owned(), argument)].into()).expect_err("no number");
        assert!(error.to_string().contains("size"), "{error}");
    }
}
