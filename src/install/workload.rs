//! The CRD, the namespace, and what runs in it.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction, Namespace,
    ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements,
    SeccompProfile, SecurityContext, Service, ServiceAccount, ServicePort, ServiceSpec,
    TopologySpreadConstraint,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::names::{self, CONTROLLER, selector};
use super::{Document, MANAGED_BY_LABEL, MANAGER, Options, labels};
use crate::api;

/// Name of the port, in pods and Service.
const PORT: &str = "http";

/// The user that the image runs as.
const USER: i64 = 65_532;

/// The image of an export for which nobody named one.
const PLACEHOLDER: &str = concat!("registry.example.com/ms2m:", env!("CARGO_PKG_VERSION"));

pub(super) fn crd() -> Document {
    let mut crd = api::crd();
    // Of no instance: it may serve several, and outlives them.
    crd.metadata.labels = Some([(MANAGED_BY_LABEL.to_owned(), MANAGER.to_owned())].into());
    Document::of(&crd, "")
}

pub(super) fn namespace(options: &Options) -> Document {
    let mut labels = labels(options);
    for mode in ["enforce", "warn"] {
        let label = format!("pod-security.kubernetes.io/{mode}");
        labels.insert(label, "restricted".to_owned());
    }
    let metadata = ObjectMeta {
        name: Some(options.namespace.clone()),
        labels: Some(labels),
        ..ObjectMeta::default()
    };
    let namespace = Namespace {
        metadata,
        ..Namespace::default()
    };
    Document::of(&namespace, NAMESPACE_COMMENT)
}

const NAMESPACE_COMMENT: &str = "\
# The controller's own namespace, as strict as can be. The namespaces of the pods that move need the
# level `privileged`: the transfer reads the checkpoint from the node, as root.
";

pub(super) fn service_account(options: &Options) -> Document {
    let account = ServiceAccount {
        metadata: metadata(options),
        ..ServiceAccount::default()
    };
    Document::of(&account, "")
}

pub(super) fn service(options: &Options) -> Document {
    let port = ServicePort {
        name: Some(PORT.to_owned()),
        port: names::PORT.into(),
        target_port: Some(IntOrString::String(PORT.to_owned())),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    };
    let service = Service {
        metadata: metadata(options),
        spec: Some(ServiceSpec {
            selector: Some(selector()),
            ports: Some(vec![port]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    };
    Document::of(&service, "# For Prometheus: /metrics of each replica.\n")
}

pub(super) fn budget(options: &Options) -> Document {
    let budget = PodDisruptionBudget {
        metadata: metadata(options),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(selected()),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    };
    Document::of(&budget, BUDGET_COMMENT)
}

const BUDGET_COMMENT: &str = "\
# One replica at a time: the other takes over meanwhile. One that does not run anyway is in nobody's
# way.
";

pub(super) fn deployment(options: &Options) -> Document {
    let template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(selector()),
            ..ObjectMeta::default()
        }),
        spec: Some(pod(options)),
    };
    let deployment = Deployment {
        metadata: metadata(options),
        spec: DeploymentSpec {
            replicas: Some(options.replicas),
            selector: selected(),
            template,
            ..DeploymentSpec::default()
        },
        ..Deployment::default()
    };
    let mut comment = DEPLOYMENT_COMMENT.to_owned();
    if options.image.is_none() {
        comment.push_str(PLACEHOLDER_COMMENT);
    }
    Document::of(&deployment, &comment)
}

const DEPLOYMENT_COMMENT: &str = "\
# One replica works, the others wait to take over. No limit of CPU: a leader that is throttled renews
# its lease too late. The grace period is for what is under way to come to a point from which the
# next leader goes on.
";

const PLACEHOLDER_COMMENT: &str = "\
# No image is published: put the name of yours below, or export with --image. Dockerfile and
# examples/build-images.sh make it.
";

fn pod(options: &Options) -> PodSpec {
    PodSpec {
        service_account_name: Some(CONTROLLER.to_owned()),
        termination_grace_period_seconds: Some(60),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        // Where there is but one node they share it.
        topology_spread_constraints: Some(vec![TopologySpreadConstraint {
            max_skew: 1,
            topology_key: "kubernetes.io/hostname".to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(selected()),
            ..TopologySpreadConstraint::default()
        }]),
        containers: vec![container(options)],
        ..PodSpec::default()
    }
}

fn container(options: &Options) -> Container {
    let quantities = |pairs: &[(&str, &str)]| -> BTreeMap<String, Quantity> {
        let owned =
            |(name, value): &(&str, &str)| ((*name).to_owned(), Quantity((*value).to_owned()));
        pairs.iter().map(owned).collect()
    };
    let image = options.image.clone();
    Container {
        name: "controller".to_owned(),
        image: Some(image.unwrap_or_else(|| PLACEHOLDER.to_owned())),
        args: Some(arguments(options)),
        env: Some(vec![
            field("POD_NAME", "metadata.name"),
            field("POD_NAMESPACE", "metadata.namespace"),
            field("POD_IP", "status.podIP"),
            EnvVar {
                name: names::ALLOCATOR.0.to_owned(),
                value: Some(names::ALLOCATOR.1.to_owned()),
                ..EnvVar::default()
            },
        ]),
        ports: Some(vec![ContainerPort {
            name: Some(PORT.to_owned()),
            container_port: options.port().unwrap_or(names::PORT).into(),
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        liveness_probe: Some(probe("/healthz", 10)),
        readiness_probe: Some(probe("/readyz", 2)),
        resources: Some(ResourceRequirements {
            requests: Some(quantities(&[("cpu", "20m"), ("memory", "64Mi")])),
            limits: Some(quantities(&[("memory", "256Mi")])),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Capabilities::default()
            }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

/// The command line; the image's entrypoint is `ms2m` itself.
fn arguments(options: &Options) -> Vec<String> {
    let mut arguments = vec![
        "controller".to_owned(),
        format!("--max-at-once={}", options.max_at_once),
        format!("--max-per-node={}", options.max_per_node),
        format!("--listen={}", options.listen),
        "--log-format=json".to_owned(),
    ];
    if let Some(watched) = &options.watch {
        arguments.push(format!("--namespace={watched}"));
    }
    arguments
}

fn field(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                // The default, which would else be another value to the next who applies it.
                api_version: Some("v1".to_owned()),
                field_path: path.to_owned(),
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

fn probe(path: &str, period: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(PORT.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}

fn metadata(options: &Options) -> ObjectMeta {
    ObjectMeta {
        name: Some(CONTROLLER.to_owned()),
        namespace: Some(options.namespace.clone()),
        labels: Some(labels(options)),
        ..ObjectMeta::default()
    }
}

fn selected() -> LabelSelector {
    LabelSelector {
        match_labels: Some(selector()),
        ..LabelSelector::default()
    }
}
