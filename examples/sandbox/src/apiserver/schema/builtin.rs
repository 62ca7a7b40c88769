//! The schemas of the built-in types, from k8s-openapi, with their merge keys.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Resolve, Schema, Type, compile as compile_node, merge_keys};
use crate::apiserver::resource::SchemaSource;

/// Compiles the schema of one built-in type.
pub(crate) fn compile(source: SchemaSource) -> Arc<Schema> {
    let mut generator = schemars::generate::SchemaSettings::openapi3().into_generator();
    let root = source(&mut generator);
    let definitions: HashMap<String, Value> =
        generator.take_definitions(true).into_iter().collect();
    let mut resolver = Definitions {
        definitions,
        done: HashMap::new(),
        open: Vec::new(),
    };
    let reference = root.get("$ref").and_then(Value::as_str).unwrap_or_default();
    resolver.resolve(reference)
}

/// The OpenAPI definitions of one built-in type and all that it refers to.
pub(crate) fn definitions(source: SchemaSource) -> (String, serde_json::Map<String, Value>) {
    let mut generator = schemars::generate::SchemaSettings::openapi3().into_generator();
    let root = source(&mut generator);
    let reference = root.get("$ref").and_then(Value::as_str).unwrap_or_default();
    (
        type_name(reference).to_owned(),
        generator.take_definitions(true),
    )
}

fn type_name(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or_default()
}

struct Definitions {
    definitions: HashMap<String, Value>,
    done: HashMap<String, Arc<Schema>>,
    open: Vec<String>,
}

impl Resolve for Definitions {
    fn resolve(&mut self, reference: &str) -> Arc<Schema> {
        let name = type_name(reference).to_owned();
        if let Some(done) = self.done.get(&name) {
            return done.clone();
        }
        let definition = self.definitions.get(&name).cloned();
        let (Some(definition), false) = (definition, self.open.contains(&name)) else {
            // JSONSchemaProps contains itself; below the first level it is kept as it comes.
            return Arc::new(Schema {
                preserve_unknown: true,
                ..Schema::default()
            });
        };
        self.open.push(name.clone());
        let mut schema = compile_node(&definition, self);
        self.open.pop();
        // A Go struct without fields here (RawExtension, JSON) takes anything.
        if schema.kind == Type::Object
            && schema.properties.is_empty()
            && schema.additional.is_none()
        {
            schema.preserve_unknown = true;
        }
        merge_keys::apply(&name, &mut schema);
        let schema = Arc::new(schema);
        self.done.insert(name, schema.clone());
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apiserver::schema::ListKind;
    use k8s_openapi::api::core::v1::Pod;

    #[test]
    fn a_pod_has_its_fields_and_merge_keys() {
        let pod = compile(|generator| generator.subschema_for::<Pod>());
        let spec = &pod.properties["spec"];
        let containers = &spec.properties["containers"];
        assert_eq!(containers.list, ListKind::Map(vec!["name".into()]));
        assert_eq!(containers.patch_key.as_deref(), Some("name"));
        let mounts = &containers.items.as_ref().expect("a list").properties["volumeMounts"];
        assert_eq!(mounts.list, ListKind::Map(vec!["mountPath".into()]));
        assert_eq!(spec.properties["tolerations"].list, ListKind::Atomic);
        assert!(pod.properties["metadata"].properties.contains_key("labels"));
        assert_eq!(
            containers.items.as_ref().expect("a list").properties["args"].kind,
            Type::Array
        );
    }
}
