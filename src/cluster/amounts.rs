//! What the pods that ms2m makes ask for and may take, in Kubernetes' notation. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// An amount of both, as `100m` and `64Mi`.
pub(super) fn amounts(cpu: &str, memory: &str) -> Option<BTreeMap<String, Quantity>> {
    let both = [("cpu", cpu), ("memory", memory)];
    let named = both.map(|(name, value)| (name.to_owned(), Quantity(value.to_owned())));
    Some(named.into())
}
