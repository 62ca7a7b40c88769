//! Reading objects in protobuf, which newer kubectls send for the built-in types.
//!
//! A body is the magic `k8s\0` and a `runtime.Unknown` with the object's type and bytes; what the
//! bytes mean is in a table of field numbers (`messages`). A message or field that the table does
//! not have is refused, never dropped. Answers are JSON, which every client takes.

mod messages;
mod wire;

use bytes::Bytes;
use serde_json::Value;

use super::errors::{ApiError, ApiResult};
use super::meta;
use wire::{Field, fields};

/// The content type of such bodies.
pub(crate) const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";

const MAGIC: &[u8] = b"k8s\0";

/// Reads an object with its envelope.
///
/// # Errors
/// 400 for what is no such envelope, 415 for a type or field that the table lacks.
pub(crate) fn decode(body: &Bytes) -> ApiResult<Value> {
    let envelope = body.strip_prefix(MAGIC).ok_or_else(|| {
        ApiError::bad_request("the body is not a Kubernetes protobuf object: bad prefix")
    })?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), Vec::new());
    for (number, field) in fields(envelope).map_err(unreadable)? {
        match (number, field) {
            (1, Field::Bytes(type_meta)) => {
                for (number, field) in fields(type_meta).map_err(unreadable)? {
                    match (number, field) {
                        (1, Field::Bytes(text)) => {
                            api_version = String::from_utf8_lossy(text).into_owned()
                        }
                        (2, Field::Bytes(text)) => {
                            kind = String::from_utf8_lossy(text).into_owned()
                        }
                        _ => {}
                    }
                }
            }
            (2, Field::Bytes(bytes)) => raw = bytes.to_vec(),
            _ => {}
        }
    }
    let message = message_of(&api_version, &kind);
    let mut object = messages::read(&message, &raw).map_err(unreadable)?;
    meta::set_type(&mut object, &api_version, &kind);
    Ok(object)
}

/// `rbac.authorization.k8s.io/v1 Role` is `rbac.v1.Role`, `v1 Secret` is `core.v1.Secret`.
fn message_of(api_version: &str, kind: &str) -> String {
    let (group, version) = api_version.split_once('/').unwrap_or(("core", api_version));
    let package = group.split('.').next().unwrap_or(group);
    // Options have the version of what they are for, and live with the metadata.
    if kind == "DeleteOptions" {
        return "meta.v1.DeleteOptions".to_owned();
    }
    format!("{package}.{version}.{kind}")
}

fn unreadable(why: String) -> ApiError {
    ApiError::new(
        415,
        "UnsupportedMediaType",
        format!("cannot read the protobuf body: {why}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A field with bytes.
    fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).expect("a short field");
        [&[number << 3 | 2, length], content].concat()
    }

    fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Bytes {
        let type_meta = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
        [
            MAGIC,
            &bytes(1, &type_meta),
            &bytes(2, raw),
            &bytes(3, b""),
            &bytes(4, b""),
        ]
        .concat()
        .into()
    }

    #[test]
    fn a_secret_is_read() {
        let metadata = [
            bytes(1, b"s"),
            bytes(2, b""),
            bytes(3, b"default"),
            vec![7 << 3, 0],
            bytes(8, b""),
        ]
        .concat();
        let entry = [bytes(1, b"key"), bytes(2, b"value")].concat();
        let raw = [bytes(1, &metadata), bytes(2, &entry), bytes(3, b"Opaque")].concat();
        assert_eq!(
            decode(&envelope("v1", "Secret", &raw)).expect("readable"),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"},
                   "data": {"key": "dmFsdWU="}, "type": "Opaque"})
        );
    }

    #[test]
    fn inlined_and_special_messages() {
        // spec.template.spec.containers[0].env[0].valueFrom.secretKeyRef, and a zero of a pointer.
        let selector = [bytes(1, &bytes(1, b"s")), bytes(2, b"k")].concat();
        let env = [bytes(1, b"E"), bytes(3, &bytes(4, &selector))].concat();
        let container = [bytes(1, b"c"), bytes(7, &env)].concat();
        let pod = bytes(2, &container);
        let template = bytes(2, &pod);
        let spec = [vec![1 << 3, 0], bytes(3, &template)].concat();
        let object =
            decode(&envelope("apps/v1", "Deployment", &bytes(2, &spec))).expect("readable");
        assert_eq!(object["spec"]["replicas"], 0);
        assert_eq!(
            object["spec"]["template"]["spec"]["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"],
            json!({"name": "s", "key": "k"})
        );
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert_eq!(
            decode(&Bytes::from_static(b"{}")).expect_err("JSON").code,
            400
        );
        assert_eq!(
            decode(&envelope("v1", "Nonsense", b""))
                .expect_err("unknown")
                .code,
            415
        );
        let unknown = bytes(15, b"x");
        assert_eq!(
            decode(&envelope("v1", "ConfigMap", &unknown))
                .expect_err("unknown")
                .code,
            415
        );
        assert_eq!(
            decode(&envelope("v1", "ConfigMap", &[0xff]))
                .expect_err("cut off")
                .code,
            415
        );
    }
}
