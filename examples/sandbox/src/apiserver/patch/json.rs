//! JSON patch, RFC 6902.

use serde_json::Value;

use crate::apiserver::errors::{ApiError, ApiResult};

/// Applies every operation or none.
///
/// # Errors
/// 400 for what is no patch, 422 when an operation fails.
pub(crate) fn apply(old: &Value, patch: &Value) -> ApiResult<Value> {
    let operations: json_patch::Patch = serde_json::from_value(patch.clone())
        .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
    let mut new = old.clone();
    json_patch::patch(&mut new, &operations).map_err(|error| {
        // The real server says no more than the first half.
        ApiError::new(
            422,
            "Invalid",
            format!("the server rejected our request due to an error in our request: {error}"),
        )
    })?;
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn operations_apply_and_tests_hold() {
        let old = json!({"metadata": {"labels": {"a": "1"}}});
        let patch = json!([{"op": "test", "path": "/metadata/labels/a", "value": "1"},
                           {"op": "add", "path": "/metadata/labels/b~1c", "value": "2"}]);
        assert_eq!(
            apply(&old, &patch).expect("applies")["metadata"]["labels"]["b/c"],
            "2"
        );
        let wrong = json!([{"op": "test", "path": "/metadata/labels/a", "value": "2"}]);
        assert_eq!(apply(&old, &wrong).expect_err("fails").code, 422);
        assert_eq!(
            apply(&old, &json!({"a": 1})).expect_err("no patch").code,
            400
        );
    }
}
