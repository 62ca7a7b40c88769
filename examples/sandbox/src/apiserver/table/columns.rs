//! The columns of each resource, after `k8s.io/kubernetes/pkg/printers/internalversion`.

use serde_json::{Value, json};

use super::{human, json_path};
use crate::apiserver::meta;
use crate::apiserver::resource::ResourceDef;

/// One column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    name: String,
    kind: String,
    format: String,
    description: String,
    /// Above 0 it is shown with `-o wide` only.
    priority: i64,
}

impl Column {
    pub(crate) fn definition(&self) -> Value {
        json!({
            "name": self.name, "type": self.kind, "format": self.format, "description": self.description,
            "priority": self.priority,
        })
    }
}

/// An additional printer column of a custom resource.
#[derive(Debug, Clone)]
pub(crate) struct CustomColumn {
    column: Column,
    path: String,
}

impl CustomColumn {
    pub(crate) fn read(spec: &Value) -> Self {
        let text = |field: &str| {
            meta::text(spec, &format!("/{field}"))
                .unwrap_or_default()
                .to_owned()
        };
        let column = Column {
            name: text("name"),
            kind: text("type"),
            format: text("format"),
            description: text("description"),
            priority: meta::int(spec, "/priority").unwrap_or(0),
        };
        Self {
            column,
            path: text("jsonPath"),
        }
    }

    /// What stands in the column for that object; null where there is nothing.
    pub(crate) fn cell(&self, object: &Value) -> Value {
        let found = json_path::find(object, &self.path);
        let Some(first) = found.first() else {
            return Value::Null;
        };
        match self.column.kind.as_str() {
            "date" => match first.as_str() {
                Some(time) => human::since(time).into(),
                None => "<invalid>".into(),
            },
            "integer" => first.as_i64().map_or(Value::Null, Value::from),
            "number" => first.as_f64().map_or(Value::Null, Value::from),
            "boolean" => first.as_bool().map_or(Value::Null, Value::from),
            _ if found.len() > 1 => Value::Array(found.into_iter().cloned().collect())
                .to_string()
                .into(),
            _ => match first {
                Value::String(text) => text.clone().into(),
                Value::Null => Value::Null,
                other => other.to_string().into(),
            },
        }
    }
}

/// Name, type (`s`tring or `i`nteger) and priority of the built-in columns after `NAME`.
type Columns = &'static [(&'static str, char, i64)];

/// The columns of a resource.
pub(crate) fn of(def: &ResourceDef) -> Vec<Column> {
    let name = Column {
        name: "Name".into(),
        kind: "string".into(),
        format: "name".into(),
        description: "Name must be unique within a namespace.".into(),
        priority: 0,
    };
    if let Some(custom) = &def.custom {
        let mut columns = vec![name];
        if custom.columns.is_empty() {
            columns.push(plain("Age", 'd', 0));
        }
        columns.extend(custom.columns.iter().map(|column| column.column.clone()));
        return columns;
    }
    let rest = builtin(&def.key)
        .iter()
        .map(|(name, kind, priority)| plain(name, *kind, *priority));
    if def.is("events") {
        return rest.collect();
    }
    std::iter::once(name).chain(rest).collect()
}

fn plain(name: &str, kind: char, priority: i64) -> Column {
    let kind = match kind {
        'i' => "integer",
        'b' => "boolean",
        'd' => "date",
        _ => "string",
    };
    Column {
        name: name.into(),
        kind: kind.into(),
        format: String::new(),
        description: String::new(),
        priority,
    }
}

fn builtin(key: &str) -> Columns {
    match key {
        "pods" => &[
            ("Ready", 's', 0),
            ("Status", 's', 0),
            ("Restarts", 's', 0),
            ("Age", 's', 0),
            ("IP", 's', 1),
            ("Node", 's', 1),
            ("Nominated Node", 's', 1),
            ("Readiness Gates", 's', 1),
        ],
        "nodes" => &[
            ("Status", 's', 0),
            ("Roles", 's', 0),
            ("Age", 's', 0),
            ("Version", 's', 0),
            ("Internal-IP", 's', 1),
            ("External-IP", 's', 1),
            ("OS-Image", 's', 1),
            ("Kernel-Version", 's', 1),
            ("Container-Runtime", 's', 1),
        ],
        "namespaces" => &[("Status", 's', 0), ("Age", 's', 0)],
        "services" => &[
            ("Type", 's', 0),
            ("Cluster-IP", 's', 0),
            ("External-IP", 's', 0),
            ("Port(s)", 's', 0),
            ("Age", 's', 0),
            ("Selector", 's', 1),
        ],
        "endpoints" => &[("Endpoints", 's', 0), ("Age", 's', 0)],
        "endpointslices.discovery.k8s.io" => &[
            ("AddressType", 's', 0),
            ("Ports", 's', 0),
            ("Endpoints", 's', 0),
            ("Age", 's', 0),
        ],
        "configmaps" => &[("Data", 's', 0), ("Age", 's', 0)],
        "secrets" => &[("Type", 's', 0), ("Data", 'i', 0), ("Age", 's', 0)],
        "serviceaccounts" => &[("Secrets", 's', 0), ("Age", 's', 0)],
        "events" => &[
            ("Last Seen", 's', 0),
            ("Type", 's', 0),
            ("Reason", 's', 0),
            ("Object", 's', 0),
            ("Subobject", 's', 1),
            ("Source", 's', 1),
            ("Message", 's', 0),
            ("First Seen", 's', 1),
            ("Count", 's', 1),
            ("Name", 's', 1),
        ],
        "leases.coordination.k8s.io" => &[("Holder", 's', 0), ("Age", 's', 0)],
        "persistentvolumeclaims" => &[
            ("Status", 's', 0),
            ("Volume", 's', 0),
            ("Capacity", 's', 0),
            ("Access Modes", 's', 0),
            ("StorageClass", 's', 0),
            ("Age", 's', 0),
            ("VolumeMode", 's', 1),
        ],
        "persistentvolumes" => &[
            ("Capacity", 's', 0),
            ("Access Modes", 's', 0),
            ("Reclaim Policy", 's', 0),
            ("Status", 's', 0),
            ("Claim", 's', 0),
            ("StorageClass", 's', 0),
            ("Reason", 's', 0),
            ("Age", 's', 0),
            ("VolumeMode", 's', 1),
        ],
        "volumeattachments.storage.k8s.io" => &[
            ("Attacher", 's', 0),
            ("PV", 's', 0),
            ("Node", 's', 0),
            ("Attached", 'b', 0),
            ("Age", 's', 0),
        ],
        "storageclasses.storage.k8s.io" => &[
            ("Provisioner", 's', 0),
            ("ReclaimPolicy", 's', 0),
            ("VolumeBindingMode", 's', 0),
            ("AllowVolumeExpansion", 's', 0),
            ("Age", 's', 0),
        ],
        "deployments.apps" => &[
            ("Ready", 's', 0),
            ("Up-to-date", 's', 0),
            ("Available", 's', 0),
            ("Age", 's', 0),
            ("Containers", 's', 1),
            ("Images", 's', 1),
            ("Selector", 's', 1),
        ],
        "replicasets.apps" | "replicationcontrollers" => &[
            ("Desired", 'i', 0),
            ("Current", 'i', 0),
            ("Ready", 'i', 0),
            ("Age", 's', 0),
            ("Containers", 's', 1),
            ("Images", 's', 1),
            ("Selector", 's', 1),
        ],
        "statefulsets.apps" => &[
            ("Ready", 's', 0),
            ("Age", 's', 0),
            ("Containers", 's', 1),
            ("Images", 's', 1),
        ],
        "daemonsets.apps" => &[
            ("Desired", 'i', 0),
            ("Current", 'i', 0),
            ("Ready", 'i', 0),
            ("Up-to-date", 'i', 0),
            ("Available", 'i', 0),
            ("Node Selector", 's', 0),
            ("Age", 's', 0),
            ("Containers", 's', 1),
            ("Images", 's', 1),
            ("Selector", 's', 1),
        ],
        "controllerrevisions.apps" => &[
            ("Controller", 's', 0),
            ("Revision", 'i', 0),
            ("Age", 's', 0),
        ],
        "jobs.batch" => &[
            ("Status", 's', 0),
            ("Completions", 's', 0),
            ("Duration", 's', 0),
            ("Age", 's', 0),
            ("Containers", 's', 1),
            ("Images", 's', 1),
            ("Selector", 's', 1),
        ],
        "cronjobs.batch" => &[
            ("Schedule", 's', 0),
            ("Timezone", 's', 0),
            ("Suspend", 's', 0),
            ("Active", 'i', 0),
            ("Last Schedule", 's', 0),
            ("Age", 's', 0),
            ("Containers", 's', 1),
            ("Images", 's', 1),
            ("Selector", 's', 1),
        ],
        "poddisruptionbudgets.policy" => &[
            ("Min Available", 's', 0),
            ("Max Unavailable", 's', 0),
            ("Allowed Disruptions", 'i', 0),
            ("Age", 's', 0),
        ],
        "priorityclasses.scheduling.k8s.io" => &[
            ("Value", 'i', 0),
            ("Global-Default", 's', 0),
            ("Age", 's', 0),
            ("PreemptionPolicy", 's', 0),
        ],
        "roles.rbac.authorization.k8s.io"
        | "clusterroles.rbac.authorization.k8s.io"
        | "customresourcedefinitions.apiextensions.k8s.io"
        | "limitranges" => &[("Created At", 'd', 0)],
        "rolebindings.rbac.authorization.k8s.io"
        | "clusterrolebindings.rbac.authorization.k8s.io" => &[
            ("Role", 's', 0),
            ("Age", 's', 0),
            ("Users", 's', 1),
            ("Groups", 's', 1),
            ("ServiceAccounts", 's', 1),
        ],
        _ => &[("Age", 's', 0)],
    }
}
