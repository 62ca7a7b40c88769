//! What a container finds in its environment, as its pod's spec, Secrets and ConfigMaps have it.
//!
//! Read only for whoever asks for it: Secrets are read here, each by its name. What the image sets by
//! itself is in no API.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, EnvVarSource, Pod, Secret};
use kube::api::Api;

use super::KubeCluster;
use crate::migration::error::PortError;
use crate::migration::ports::PortResult;

/// A variable with its value, which may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value. `Debug` leaves it out.
    pub value: String,
    /// Where the value stands: `the pod's spec`, `Secret broker (key url)`.
    pub place: String,
}

impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Variable({} from {})", self.name, self.place)
    }
}

/// A container and what it finds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surrounding {
    /// The container's name.
    pub container: String,
    /// The pod's addresses.
    pub addresses: Vec<String>,
    /// The variables, each once.
    pub variables: Vec<Variable>,
    /// What could not be read, and why.
    pub unread: Vec<String>,
}

/// Contents of Secrets or ConfigMaps by name: what is not there or may not be read is missing.
#[derive(Default)]
struct Sources {
    secrets: BTreeMap<String, BTreeMap<String, String>>,
    config_maps: BTreeMap<String, BTreeMap<String, String>>,
}

impl KubeCluster {
    /// What `container` of `pod` finds, the first one if none is named; `None` without the pod or that
    /// container. Its variables, and the Secrets for them, are read for `with_variables` alone.
    ///
    /// # Errors
    /// The pod cannot be read. What else cannot be read is in the answer.
    pub async fn surrounding(
        &self,
        pod: &str,
        container: Option<&str>,
        with_variables: bool,
    ) -> PortResult<Option<Surrounding>> {
        let Some(pod) = self.known_pod(pod).await? else {
            return Ok(None);
        };
        let Some(container) = container_of(&pod, container) else {
            return Ok(None);
        };
        let (secrets, config_maps) = if with_variables {
            named(container)
        } else {
            Default::default()
        };
        let mut sources = Sources::default();
        let mut unread = Vec::new();
        for name in secrets {
            match self.secret(&name).await {
                Ok(found) => drop(sources.secrets.insert(name, found)),
                Err(error) => unread.push(error.to_string()),
            }
        }
        for name in config_maps {
            match self.config_map(&name).await {
                Ok(found) => drop(sources.config_maps.insert(name, found)),
                Err(error) => unread.push(error.to_string()),
            }
        }
        let ips = pod.status.as_ref().and_then(|it| it.pod_ips.as_ref());
        Ok(Some(Surrounding {
            container: container.name.clone(),
            addresses: ips.into_iter().flatten().map(|it| it.ip.clone()).collect(),
            variables: variables(container, &sources),
            unread,
        }))
    }

    async fn secret(&self, name: &str) -> PortResult<BTreeMap<String, String>> {
        let api: Api<Secret> = Api::namespaced(self.client(), &self.inner.namespace);
        let what = format!("read Secret {name}");
        let found = self.inner.retry.run(&what, || api.get_opt(name)).await?;
        let found =
            found.ok_or_else(|| PortError::NotFound(format!("there is no Secret {name}")))?;
        let data = found.data.unwrap_or_default().into_iter();
        // What is not UTF-8 is no part of an environment.
        Ok(data
            .filter_map(|(key, value)| Some((key, String::from_utf8(value.0).ok()?)))
            .collect())
    }

    async fn config_map(&self, name: &str) -> PortResult<BTreeMap<String, String>> {
        let api: Api<ConfigMap> = Api::namespaced(self.client(), &self.inner.namespace);
        let what = format!("read ConfigMap {name}");
        let found = self.inner.retry.run(&what, || api.get_opt(name)).await?;
        let none = || PortError::NotFound(format!("there is no ConfigMap {name}"));
        Ok(found.ok_or_else(none)?.data.unwrap_or_default())
    }
}

fn container_of<'a>(pod: &'a Pod, name: Option<&str>) -> Option<&'a Container> {
    let mut all = pod.spec.as_ref()?.containers.iter();
    all.find(|it| name.is_none_or(|name| it.name == name))
}

/// The Secrets and ConfigMaps that the container's environment is taken from.
fn named(container: &Container) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut secrets, mut config_maps) = (BTreeSet::new(), BTreeSet::new());
    for from in container.env_from.iter().flatten() {
        secrets.extend(from.secret_ref.iter().map(|it| it.name.clone()));
        config_maps.extend(from.config_map_ref.iter().map(|it| it.name.clone()));
    }
    for source in container
        .env
        .iter()
        .flatten()
        .filter_map(|it| it.value_from.as_ref())
    {
        secrets.extend(source.secret_key_ref.iter().map(|it| it.name.clone()));
        config_maps.extend(source.config_map_key_ref.iter().map(|it| it.name.clone()));
    }
    (secrets, config_maps)
}

/// The environment as the kubelet makes it: what comes later counts, `env` after `envFrom`, and
/// `$(NAME)` stands for what was said before.
fn variables(container: &Container, sources: &Sources) -> Vec<Variable> {
    let mut all: Vec<Variable> = Vec::new();
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let secret = from
            .secret_ref
            .as_ref()
            .map(|it| ("Secret", &it.name, &sources.secrets));
        let config = from.config_map_ref.as_ref();
        let config = config.map(|it| ("ConfigMap", &it.name, &sources.config_maps));
        for (kind, name, contents) in secret.into_iter().chain(config) {
            for (key, value) in contents.get(name).into_iter().flatten() {
                let variable = Variable {
                    name: format!("{prefix}{key}"),
                    value: value.clone(),
                    place: format!("{kind} {name} (key {key})"),
                };
                say(&mut all, variable);
            }
        }
    }
    for entry in container.env.iter().flatten() {
        let found = match &entry.value_from {
            Some(source) => elsewhere(entry, source, sources),
            None => Some(Variable {
                name: entry.name.clone(),
                value: entry.value.clone().unwrap_or_default(),
                place: "the pod's spec".to_owned(),
            }),
        };
        if let Some(mut variable) = found {
            if entry.value_from.is_none() {
                variable.value = expand(&variable.value, &all);
            }
            say(&mut all, variable);
        }
    }
    all
}

fn say(all: &mut Vec<Variable>, variable: Variable) {
    match all.iter_mut().find(|it| it.name == variable.name) {
        Some(before) => *before = variable,
        None => all.push(variable),
    }
}

fn elsewhere(entry: &EnvVar, source: &EnvVarSource, sources: &Sources) -> Option<Variable> {
    let secret = source.secret_key_ref.as_ref();
    let secret = secret.map(|it| ("Secret", &it.name, &it.key, &sources.secrets));
    let config = source.config_map_key_ref.as_ref();
    let config = config.map(|it| ("ConfigMap", &it.name, &it.key, &sources.config_maps));
    let (kind, name, key, contents) = secret.or(config)?;
    Some(Variable {
        name: entry.name.clone(),
        value: contents.get(name)?.get(key)?.clone(),
        place: format!("{kind} {name} (key {key})"),
    })
}

/// `$(NAME)` is what that variable has, `$$` a dollar, and what is not known stays as it stands.
fn expand(text: &str, known: &[Variable]) -> String {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        done.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let name = rest.strip_prefix('(').and_then(|it| it.split_once(')'));
        if let Some(after) = rest.strip_prefix('$') {
            done.push('$');
            rest = after;
        } else if let Some((name, after)) = name {
            match known.iter().find(|it| it.name == name) {
                Some(variable) => done.push_str(&variable.value),
                None => done.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            done.push('$');
        }
    }
    done.push_str(rest);
    done
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sources() -> Sources {
        let map = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        Sources {
            secrets: [(
                "broker".to_owned(),
                map(&[("user", "jane"), ("password", "hunter2")]),
            )]
            .into(),
            config_maps: [(
                "settings".to_owned(),
                map(&[("HOST", "rabbit"), ("PORT", "5672")]),
            )]
            .into(),
        }
    }

    #[test]
    fn it_is_made_as_the_kubelet_makes_it() {
        let container: Container = serde_json::from_value(json!({
            "name": "worker",
            "envFrom": [
                {"prefix": "MQ_", "configMapRef": {"name": "settings"}},
                {"secretRef": {"name": "missing", "optional": true}},
            ],
            "env": [
                {"name": "MQ_PORT", "value": "5673"},
                {"name": "USER", "valueFrom": {"secretKeyRef": {"name": "broker", "key": "user"}}},
                {"name": "PASS", "valueFrom": {"secretKeyRef": {"name": "broker", "key": "password"}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "URL", "value": "amqp://$(USER):$(PASS)@$(MQ_HOST):$(MQ_PORT)/$$x$(LATER)"},
                {"name": "LATER", "value": "$"},
            ],
        }))
        .expect("a container");
        let all = variables(&container, &sources());
        let told: Vec<String> = all
            .iter()
            .map(|it| format!("{}={} ({})", it.name, it.value, it.place))
            .collect();
        assert_eq!(
            told,
            [
                "MQ_HOST=rabbit (ConfigMap settings (key HOST))",
                "MQ_PORT=5673 (the pod's spec)",
                "USER=jane (Secret broker (key user))",
                "PASS=hunter2 (Secret broker (key password))",
                "URL=amqp://jane:hunter2@rabbit:5673/$x$(LATER) (the pod's spec)",
                "LATER=$ (the pod's spec)",
            ]
        );
        assert!(!format!("{all:?}").contains("hunter2"));
        let (secrets, config_maps) = named(&container);
        assert_eq!(
            secrets.into_iter().collect::<Vec<_>>(),
            ["broker", "missing"]
        );
        assert_eq!(config_maps.into_iter().collect::<Vec<_>>(), ["settings"]);
    }
}
