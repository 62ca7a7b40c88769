//! JSON merge patch, RFC 7386.

use serde_json::Value;

use crate::apiserver::errors::{ApiError, ApiResult};

/// Merges maps, replaces everything else, and takes out what is null.
///
/// # Errors
/// 400 for a patch that is no object.
pub(crate) fn apply(old: &Value, patch: &Value) -> ApiResult<Value> {
    if !patch.is_object() {
        return Err(ApiError::bad_request(
            "json: cannot unmarshal the merge patch into Go value of type map[string]interface {}",
        ));
    }
    let mut new = old.clone();
    json_patch::merge(&mut new, patch);
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nulls_take_out() {
        let old = json!({"a": {"b": 1, "c": 2}, "l": [1, 2]});
        let new = apply(&old, &json!({"a": {"b": null}, "l": [3]})).expect("applies");
        assert_eq!(new, json!({"a": {"c": 2}, "l": [3]}));
    }
}
