//! The endpoints of services: EndpointSlices, and the older Endpoints beside them. Not here:
//! anybody who sends packets to them.

mod membership;
mod mirror;
mod slices;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{Endpoints, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::reflector::Store;
use kube::{Api, Client, Resource, ResourceExt as _};

use super::{RETRY, observe};
use membership::Member;

/// The longest list of endpoints in one slice.
const LIMIT: usize = 100;

/// Runs until the task is dropped.
pub(super) async fn run(client: Client) {
    let (services, service_changes) = observe::<Service>(Api::all(client.clone()));
    let (pods, pod_changes) = observe::<Pod>(Api::all(client.clone()));
    let (nodes, node_changes) = observe::<Node>(Api::all(client.clone()));
    let (slices, slice_changes) = observe::<EndpointSlice>(Api::all(client.clone()));
    let (mirrors, mirror_changes) = observe::<Endpoints>(Api::all(client.clone()));
    let mut changes = futures_util::stream::select_all([
        service_changes.boxed(),
        pod_changes.boxed(),
        node_changes.boxed(),
        slice_changes.boxed(),
        mirror_changes.boxed(),
    ]);
    // What is not known yet is not the same as what is not there.
    let known = async {
        let all = (
            services.wait_until_ready(),
            pods.wait_until_ready(),
            nodes.wait_until_ready(),
        );
        let _ = tokio::join!(all.0, all.1, all.2);
    };
    tokio::select! {
        () = known => {}
        () = async { while changes.next().await.is_some() {} } => return,
    }
    let controller = Controller {
        client,
        pods,
        nodes,
        slices,
        mirrors,
    };
    let mut again = true;
    loop {
        tokio::select! {
            change = changes.next() => if change.is_none() { return },
            () = tokio::time::sleep(RETRY), if again => {}
        }
        let services = services.state();
        again = false;
        for service in &services {
            if let Err(error) = controller.service(service).await {
                tracing::debug!(service = service.name_any(), %error, "endpoints not written");
                again = true;
            }
        }
        again |= controller.forget_all_but(&services).await.is_err();
    }
}

struct Controller {
    client: Client,
    pods: Store<Pod>,
    nodes: Store<Node>,
    slices: Store<EndpointSlice>,
    mirrors: Store<Endpoints>,
}

impl Controller {
    /// Makes a service's endpoints as its pods say. Those of one without a selector are
    /// somebody else's.
    async fn service(&self, service: &Service) -> kube::Result<()> {
        let selector = service
            .spec
            .as_ref()
            .and_then(|spec| spec.selector.as_ref());
        if selector.is_none_or(BTreeMap::is_empty) || service.metadata.deletion_timestamp.is_some()
        {
            return Ok(());
        }
        let nodes = self.nodes.state();
        let pods = self.pods.state();
        let members = membership::members(service, &pods, &nodes);
        self.write_slices(service, &members).await?;
        self.write_mirror(service, &members).await
    }

    async fn write_slices(&self, service: &Service, members: &[Member]) -> kube::Result<()> {
        let wanted = slices::wanted(service, members, LIMIT);
        let of_service = |slice: &&Arc<EndpointSlice>| slices::is_of(slice, service);
        let seen = self.slices.state();
        let seen: Vec<_> = seen
            .iter()
            .filter(of_service)
            .map(|one| one.as_ref().clone())
            .collect();
        if slices::changes(&seen, &wanted).is_nothing() {
            return Ok(());
        }
        // What was seen may be older than what was written last.
        let namespace = service.namespace().unwrap_or_default();
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &namespace);
        let selector = format!("{}={}", slices::SERVICE, service.name_any());
        let listed = api
            .list(&ListParams::default().labels(&selector))
            .await?
            .items;
        let current: Vec<_> = listed
            .into_iter()
            .filter(|slice| slices::is_of(slice, service))
            .collect();
        let changes = slices::changes(&current, &wanted);
        for slice in changes.create {
            api.create(&PostParams::default(), &slice).await?;
        }
        for slice in changes.update {
            api.replace(&slice.name_any(), &PostParams::default(), &slice)
                .await?;
        }
        for name in changes.delete {
            delete(&api, &name).await?;
        }
        Ok(())
    }

    async fn write_mirror(&self, service: &Service, members: &[Member]) -> kube::Result<()> {
        let mut wanted = mirror::wanted(service, members);
        let name = service.name_any();
        let namespace = service.namespace().unwrap_or_default();
        let seen = self.mirrors.state();
        let same = seen.iter().any(|one| {
            one.metadata.name == service.metadata.name
                && one.metadata.namespace == service.metadata.namespace
                && mirror::same(one, &wanted)
        });
        if same {
            return Ok(());
        }
        let api: Api<Endpoints> = Api::namespaced(self.client.clone(), &namespace);
        match api.get_opt(&name).await? {
            Some(current) if mirror::same(&current, &wanted) => Ok(()),
            Some(current) => {
                wanted.metadata.resource_version = current.metadata.resource_version;
                api.replace(&name, &PostParams::default(), &wanted)
                    .await
                    .map(drop)
            }
            None => api.create(&PostParams::default(), &wanted).await.map(drop),
        }
    }

    /// Slices go with their services by garbage collection; Endpoints have no owner.
    async fn forget_all_but(&self, services: &[Arc<Service>]) -> kube::Result<()> {
        for mirror in self
            .mirrors
            .state()
            .iter()
            .filter(|one| mirror::is_ours(one))
        {
            let is_named_so = |service: &Arc<Service>| {
                service.metadata.name == mirror.metadata.name
                    && service.metadata.namespace == mirror.metadata.namespace
            };
            if !services.iter().any(is_named_so) {
                let namespace = mirror.namespace().unwrap_or_default();
                let api: Api<Endpoints> = Api::namespaced(self.client.clone(), &namespace);
                delete(&api, &mirror.name_any()).await?;
            }
        }
        Ok(())
    }
}

async fn delete<K>(api: &Api<K>, name: &str) -> kube::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    match api.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
        deleted => deleted.map(drop),
    }
}
