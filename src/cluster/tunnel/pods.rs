//! Which pods a connection to a Service can go to, from its EndpointSlices. Pure.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use super::name::ServiceName;

/// A pod that serves, and the port that it listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) pod: String,
    pub(super) port: u16,
}

/// Why there is no such pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Nowhere {
    /// The Service has other ports.
    NoSuchPort(Vec<i32>),
    /// None is ready.
    NoneReady,
}

/// The ready pods behind `port` of the Service, in the order of the slices. They name the port that
/// the pod listens on, a named `targetPort` too, so no pod has to be read for it.
pub(super) fn places(
    wanted: &ServiceName,
    service: &Service,
    slices: &[EndpointSlice],
    port: u16,
) -> Result<Vec<Place>, Nowhere> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref());
    let ports = ports.unwrap_or_default();
    let of_service = ports.iter().find(|it| it.port == i32::from(port));
    let Some(of_service) = of_service else {
        return Err(Nowhere::NoSuchPort(
            ports.iter().map(|it| it.port).collect(),
        ));
    };
    let name = of_service.name.as_deref().unwrap_or_default();
    let mut found: Vec<Place> = Vec::new();
    for slice in slices {
        let ports = slice.ports.iter().flatten();
        let mut named = ports.filter(|it| it.name.as_deref().unwrap_or_default() == name);
        let Some(port) = named.find_map(|it| u16::try_from(it.port?).ok()) else {
            continue;
        };
        for endpoint in slice.endpoints.iter().flatten() {
            // With two families of addresses each pod is there twice.
            if let Some(pod) = ready_pod(endpoint, wanted)
                && !found.iter().any(|it| it.pod == pod)
            {
                found.push(Place { pod, port });
            }
        }
    }
    if found.is_empty() {
        Err(Nowhere::NoneReady)
    } else {
        Ok(found)
    }
}

fn ready_pod(endpoint: &Endpoint, wanted: &ServiceName) -> Option<String> {
    let conditions = endpoint.conditions.as_ref();
    // Not to know is to be ready, as the API has it.
    let ready = conditions.and_then(|it| it.ready).unwrap_or(true);
    let target = endpoint.target_ref.as_ref()?;
    let is_pod = target.kind.as_deref() == Some("Pod");
    let meant = match &wanted.pod {
        Some(host) => {
            endpoint.hostname.as_ref() == Some(host) || target.name.as_ref() == Some(host)
        }
        None => true,
    };
    (ready && is_pod && meant).then(|| target.name.clone())?
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn wanted(pod: Option<&str>) -> ServiceName {
        ServiceName {
            namespace: "messaging".to_owned(),
            name: "rabbit".to_owned(),
            pod: pod.map(str::to_owned),
        }
    }

    fn service() -> Service {
        serde_json::from_value(json!({"spec": {"ports": [
            {"name": "amqp", "port": 5672, "targetPort": "amqp"},
            {"name": "http", "port": 15672, "targetPort": 15672},
        ]}}))
        .expect("a Service")
    }

    fn slice(endpoints: &Value) -> EndpointSlice {
        serde_json::from_value(json!({
            "addressType": "IPv4", "endpoints": endpoints,
            "ports": [{"name": "http", "port": 15672}, {"name": "amqp", "port": 5673}],
        }))
        .expect("a slice")
    }

    fn endpoint(pod: &str, ready: Option<bool>) -> Value {
        json!({
            "addresses": ["10.0.0.7"], "conditions": {"ready": ready},
            "targetRef": {"kind": "Pod", "name": pod, "namespace": "messaging"},
        })
    }

    fn of(port: u16, pod: Option<&str>, endpoints: &[Value]) -> Result<Vec<String>, Nowhere> {
        let slices = [slice(&json!(endpoints)), slice(&json!(endpoints))];
        let found = places(&wanted(pod), &service(), &slices, port)?;
        let words = found.iter().map(|it| format!("{}:{}", it.pod, it.port));
        Ok(words.collect())
    }

    #[test]
    fn the_pods_that_are_ready_serve_once_each_at_the_port_behind_the_name() {
        let endpoints = [
            endpoint("rabbit-0", Some(true)),
            endpoint("rabbit-1", Some(false)),
            endpoint("rabbit-2", None),
            json!({"addresses": ["192.0.2.1"], "conditions": {"ready": true}}),
        ];
        let all = of(5672, None, &endpoints).expect("some are ready");
        assert_eq!(all, ["rabbit-0:5673", "rabbit-2:5673"]);
        let one = of(15672, Some("rabbit-2"), &endpoints).expect("it is ready");
        assert_eq!(one, ["rabbit-2:15672"]);
        assert_eq!(
            of(5672, Some("rabbit-1"), &endpoints),
            Err(Nowhere::NoneReady)
        );
    }

    #[test]
    fn a_port_that_the_service_has_not_is_told_from_no_pod() {
        assert_eq!(
            of(5671, None, &[endpoint("rabbit-0", Some(true))]),
            Err(Nowhere::NoSuchPort(vec![5672, 15672]))
        );
        assert_eq!(of(5672, None, &[]), Err(Nowhere::NoneReady));
    }
}
