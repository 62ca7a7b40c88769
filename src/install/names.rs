//! What things are called, and the labels by which Service, budget and Deployment find the pods.

use std::collections::BTreeMap;

use super::Options;

/// Where the controller goes unless somebody says otherwise.
pub const NAMESPACE: &str = "ms2m-system";

/// Name of the Deployment and of what belongs to it.
pub const CONTROLLER: &str = "ms2m-controller";

/// The port of the Service.
pub(super) const PORT: u16 = 8080;

/// Where metrics and probes are unless somebody says otherwise: at every address of the pod, that of
/// a port-forward included.
pub const LISTEN: &str = "0.0.0.0:8080";

/// Name and value of the variable by which the C library's allocator is told to keep little: one heap
/// for all threads, of which the AMQP client starts one a connection; a block of its own for what is
/// large, such as that client's buffers, so that only what is touched counts; and what is free at the
/// end goes back. With 50 migrations under way that is a quarter of the memory (`benches/README.md`).
pub const ALLOCATOR: (&str, &str) = (
    "GLIBC_TUNABLES",
    "glibc.malloc.arena_max=1:glibc.malloc.mmap_threshold=65536:glibc.malloc.trim_threshold=65536:\
     glibc.malloc.top_pad=65536",
);

/// The labels of the controller's pods.
pub(super) fn selector() -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name".to_owned(), "ms2m".to_owned()),
        (
            "app.kubernetes.io/component".to_owned(),
            "controller".to_owned(),
        ),
    ]
    .into()
}

/// The name of something that is in no namespace: that of a controller elsewhere than usual says
/// where.
pub(super) fn in_cluster(name: &str, options: &Options) -> String {
    if options.namespace == NAMESPACE {
        name.to_owned()
    } else {
        format!("{name}-{}", options.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::CONTROLLER_LABEL;

    /// By it `ms2m logs` finds the controller, and people do by the hints that quote it.
    #[test]
    fn the_controllers_pods_are_looked_for_by_their_labels() {
        let wanted: BTreeMap<_, _> = CONTROLLER_LABEL
            .split(',')
            .filter_map(|label| label.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        assert_eq!(wanted, selector());
    }
}
