//! The `x-kubernetes-validations` rules of a custom resource, evaluated by kube-cel.

use std::fmt;

use kube_cel::{CompiledSchema, RootContext, Validator, compile_schema};
use serde_json::Value;

use super::Schema;
use crate::apiserver::errors::{FieldError, FieldFault};

/// The compiled rules of one version of a custom resource.
pub(crate) struct Rules {
    compiled: CompiledSchema,
    context: RootContext,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

thread_local! {
    // Registering the functions takes longer than evaluating a rule, and a validator stays on
    // its thread.
    static VALIDATOR: Validator = Validator::new();
}

impl Rules {
    pub(crate) fn compile(open_api: &Value, group: &str, version: &str, kind: &str) -> Self {
        let context = RootContext {
            api_version: format!("{group}/{version}"),
            api_group: group.to_owned(),
            kind: kind.to_owned(),
        };
        Self {
            compiled: compile_schema(open_api),
            context,
        }
    }

    /// Rules that do not compile, in words.
    pub(crate) fn errors(&self) -> Vec<String> {
        let mut words = Vec::new();
        collect_errors(&self.compiled, &mut words);
        words
    }

    /// Every rule that `object` breaks; `old` is what transition rules compare with.
    pub(crate) fn check(
        &self,
        schema: &Schema,
        object: &Value,
        old: Option<&Value>,
    ) -> Vec<FieldError> {
        let result = VALIDATOR.with(|validator| {
            validator.validate_compiled_with_context(
                &self.compiled,
                object,
                old,
                Some(&self.context),
            )
        });
        let Err(errors) = result else {
            return Vec::new();
        };
        errors
            .into_iter()
            .map(|error| {
                let kind = match error.reason.as_deref() {
                    Some("FieldValueRequired") => FieldFault::Required,
                    Some("FieldValueForbidden") => FieldFault::Forbidden,
                    Some("FieldValueDuplicate") => FieldFault::Duplicate,
                    _ => FieldFault::Invalid,
                };
                let value = type_at(schema, &error.field_path);
                let field = if error.field_path.is_empty() {
                    "<nil>".to_owned()
                } else {
                    error.field_path
                };
                FieldError::new(field, kind, value, error.message)
            })
            .collect()
    }
}

fn collect_errors(node: &CompiledSchema, words: &mut Vec<String>) {
    words.extend(node.compilation_errors().iter().map(ToString::to_string));
    let nested = node
        .items
        .iter()
        .chain(&node.additional_properties)
        .map(AsRef::as_ref);
    let branches = node.all_of.iter().chain(&node.any_of).chain(&node.one_of);
    for child in node.properties.values().chain(nested).chain(branches) {
        collect_errors(child, words);
    }
}

/// The type's name stands for the value in these errors.
fn type_at(schema: &Schema, path: &str) -> &'static str {
    let mut at = schema;
    for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
        let next = match step.strip_suffix(']') {
            Some(_) => at.items.as_ref().or(at.additional.as_ref()),
            None => at.member(step),
        };
        let Some(next) = next else { return "object" };
        at = next;
    }
    match at.kind {
        super::Type::Any => "object",
        kind => kind.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apiserver::schema::{NoReferences, compile};
    use serde_json::json;

    #[test]
    fn transition_rules_compare_with_the_old_object() {
        let open_api = json!({"type": "object", "properties": {"spec": {
            "type": "object",
            "properties": {"pod": {"type": "string"}, "abort": {"type": "boolean"}},
            "x-kubernetes-validations": [{"rule": "self.pod == oldSelf.pod", "message": "pod is immutable"}],
        }}});
        let rules = Rules::compile(&open_api, "g", "v1", "K");
        assert!(rules.errors().is_empty());
        let schema = compile(&open_api, &mut NoReferences);
        let (a, b) = (json!({"spec": {"pod": "a"}}), json!({"spec": {"pod": "b"}}));
        assert!(rules.check(&schema, &a, None).is_empty());
        assert!(rules.check(&schema, &a, Some(&a)).is_empty());
        let errors = rules.check(&schema, &b, Some(&a));
        assert_eq!(
            errors[0].to_string(),
            "spec: Invalid value: \"object\": pod is immutable"
        );
    }
}
