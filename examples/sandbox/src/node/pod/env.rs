//! The environment of a container, with everything that it refers to.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, Endpoints, EnvVarSource, ObjectFieldSelector, Pod, ResourceFieldSelector,
    Secret,
};
use kube::{Api, Client};

/// What the fields of a pod's status are while its containers are started.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    /// The node's address.
    pub(crate) host: String,
    /// The pod's address.
    pub(crate) pod: String,
}

/// The environment of `container`. The error is for a container that waits with
/// `CreateContainerConfigError`.
pub(crate) async fn environment(
    client: &Client,
    pod: &Pod,
    container: &Container,
    addresses: &Addresses,
) -> Result<Vec<(String, String)>, String> {
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let sources = Sources { client, namespace };
    let mut env: Vec<(String, String)> = Vec::new();
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.clone().unwrap_or_default();
        let mut pairs = BTreeMap::new();
        if let Some(source) = &from.config_map_ref {
            let optional = source.optional == Some(true);
            pairs.extend(sources.config_map(&source.name, optional).await?);
        }
        if let Some(source) = &from.secret_ref {
            let optional = source.optional == Some(true);
            pairs.extend(sources.secret(&source.name, optional).await?);
        }
        env.extend(
            pairs
                .into_iter()
                .map(|(key, value)| (prefix.clone() + &key, value)),
        );
    }
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) => Some(expand(value, &env)),
            (None, Some(source)) => sources.value(source, pod, container, addresses).await?,
            (None, None) => Some(String::new()),
        };
        if let Some(value) = value {
            env.push((variable.name.clone(), value));
        }
    }
    for (name, value) in sources.api_server().await? {
        if !env.iter().any(|(known, _)| *known == name) {
            env.push((name, value));
        }
    }
    Ok(env)
}

/// Replaces `$(NAME)` by the variable's value; `$$` stands for `$`, and a name that is not there
/// stays as it is.
pub(crate) fn expand(text: &str, env: &[(String, String)]) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        let reference = after
            .strip_prefix('(')
            .and_then(|after| after.split_once(')'));
        if let Some(after) = after.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some((name, after)) = reference {
            match env.iter().rev().find(|(known, _)| known == name) {
                Some((_, value)) => result.push_str(value),
                None => result.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            result.push('$');
            rest = after;
        }
    }
    result + rest
}

/// A field of the pod by its path, or nothing if there is no such field.
pub(crate) fn field(
    pod: &Pod,
    selector: &ObjectFieldSelector,
    addresses: &Addresses,
) -> Option<String> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    let keyed = |path: &str, map: &Option<BTreeMap<String, String>>| {
        let key = path.split_once("['")?.1.strip_suffix("']")?;
        Some(map.as_ref()?.get(key).cloned().unwrap_or_default())
    };
    let all = |map: &Option<BTreeMap<String, String>>| {
        let lines = map
            .iter()
            .flatten()
            .map(|(key, value)| format!("{key}={value:?}"));
        lines.collect::<Vec<_>>().join("\n")
    };
    match selector.field_path.as_str() {
        "metadata.name" => meta.name.clone(),
        "metadata.namespace" => meta.namespace.clone(),
        "metadata.uid" => meta.uid.clone(),
        "metadata.labels" => Some(all(&meta.labels)),
        "metadata.annotations" => Some(all(&meta.annotations)),
        "spec.nodeName" => spec?.node_name.clone(),
        "spec.serviceAccountName" => spec?.service_account_name.clone(),
        "status.hostIP" | "status.hostIPs" => Some(addresses.host.clone()),
        "status.podIP" | "status.podIPs" => Some(addresses.pod.clone()),
        path if path.starts_with("metadata.labels['") => keyed(path, &meta.labels),
        path if path.starts_with("metadata.annotations['") => keyed(path, &meta.annotations),
        _ => None,
    }
}

/// A resource request or limit of a container, as it is written. Divisors are not applied.
pub(crate) fn resource(container: &Container, selector: &ResourceFieldSelector) -> Option<String> {
    let resources = container.resources.as_ref()?;
    let (kind, name) = selector.resource.split_once('.')?;
    let map = match kind {
        "limits" => resources.limits.as_ref(),
        "requests" => resources.requests.as_ref(),
        _ => None,
    };
    map?.get(name).map(|quantity| quantity.0.clone())
}

/// Where values come from.
struct Sources<'a> {
    client: &'a Client,
    namespace: String,
}

impl Sources<'_> {
    async fn value(
        &self,
        source: &EnvVarSource,
        pod: &Pod,
        container: &Container,
        addresses: &Addresses,
    ) -> Result<Option<String>, String> {
        if let Some(selector) = &source.field_ref {
            return field(pod, selector, addresses)
                .map(Some)
                .ok_or_else(|| format!("unsupported fieldPath: {}", selector.field_path));
        }
        if let Some(selector) = &source.resource_field_ref {
            return Ok(Some(
                resource(container, selector).unwrap_or_else(|| "0".to_owned()),
            ));
        }
        let (kind, name, key, optional, data) = if let Some(from) = &source.secret_key_ref {
            let optional = from.optional == Some(true);
            (
                "Secret",
                &from.name,
                &from.key,
                optional,
                self.secret(&from.name, optional).await?,
            )
        } else if let Some(from) = &source.config_map_key_ref {
            let optional = from.optional == Some(true);
            (
                "ConfigMap",
                &from.name,
                &from.key,
                optional,
                self.config_map(&from.name, optional).await?,
            )
        } else {
            return Ok(None);
        };
        match data.get(key) {
            Some(value) => Ok(Some(value.clone())),
            None if optional => Ok(None),
            None => Err(format!(
                "couldn't find key {key} in {kind} {}/{name}",
                self.namespace
            )),
        }
    }

    /// What every container is told of the API server. A real kubelet tells the address of the service
    /// `kubernetes`; here nobody forwards from that, so it is the endpoint behind it.
    async fn api_server(&self) -> Result<Vec<(String, String)>, String> {
        let endpoints: Api<Endpoints> = Api::namespaced(self.client.clone(), "default");
        let found = endpoints.get_opt("kubernetes").await;
        let found = found.map_err(|error| error.to_string())?;
        let subset = found.and_then(|it| it.subsets?.into_iter().next());
        let Some((addresses, ports)) = subset.and_then(|it| it.addresses.zip(it.ports)) else {
            return Ok(Vec::new());
        };
        let (Some(address), Some(port)) = (addresses.first(), ports.first()) else {
            return Ok(Vec::new());
        };
        let port = port.port.to_string();
        Ok([
            ("KUBERNETES_SERVICE_HOST", address.ip.clone()),
            ("KUBERNETES_SERVICE_PORT", port.clone()),
            ("KUBERNETES_SERVICE_PORT_HTTPS", port),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into())
    }

    async fn secret(&self, name: &str, optional: bool) -> Result<BTreeMap<String, String>, String> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        match secrets
            .get_opt(name)
            .await
            .map_err(|error| error.to_string())?
        {
            Some(secret) => Ok(secret
                .data
                .unwrap_or_default()
                .into_iter()
                .map(|(key, value)| (key, String::from_utf8_lossy(&value.0).into_owned()))
                .collect()),
            None if optional => Ok(BTreeMap::new()),
            None => Err(format!("secret {name:?} not found")),
        }
    }

    async fn config_map(
        &self,
        name: &str,
        optional: bool,
    ) -> Result<BTreeMap<String, String>, String> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        match maps
            .get_opt(name)
            .await
            .map_err(|error| error.to_string())?
        {
            Some(map) => Ok(map.data.unwrap_or_default()),
            None if optional => Ok(BTreeMap::new()),
            None => Err(format!("configmap {name:?} not found")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_expanded() {
        let env = [("A".to_owned(), "1".to_owned())];
        for (text, expected) in [
            ("x$(A)y", "x1y"),
            ("$(B)", "$(B)"),
            ("$$(A)", "$(A)"),
            ("$A $", "$A $"),
            ("$(A", "$(A"),
        ] {
            assert_eq!(expand(text, &env), expected, "{text}");
        }
    }

    #[test]
    fn fields_are_found_by_path() {
        let pod = Pod {
            metadata: kube::api::ObjectMeta {
                name: Some("p".to_owned()),
                labels: Some([("app/x".to_owned(), "y".to_owned())].into()),
                ..Default::default()
            },
            ..Pod::default()
        };
        let addresses = Addresses {
            host: "127.1.1.1".to_owned(),
            pod: "127.1.1.2".to_owned(),
        };
        let found = |path: &str| {
            let selector = ObjectFieldSelector {
                api_version: None,
                field_path: path.to_owned(),
            };
            field(&pod, &selector, &addresses)
        };
        assert_eq!(found("metadata.name").as_deref(), Some("p"));
        assert_eq!(found("metadata.labels['app/x']").as_deref(), Some("y"));
        assert_eq!(found("metadata.labels").as_deref(), Some("app/x=\"y\""));
        assert_eq!(found("status.podIP").as_deref(), Some("127.1.1.2"));
        assert_eq!(found("spec.nothing"), None);
    }
}
