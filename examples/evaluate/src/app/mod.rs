//! The application of one run: a worker in a namespace of its own, its Service, its queue and its
//! producers.

mod manifest;

use std::time::Duration;

use color_eyre::eyre::{Result, WrapErr as _, bail};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Secret, Service};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::{Connection, ConnectionProperties};
use ms2m_worker::message::control_queue;
use ms2m_worker::producer::{self, ExchangeType, Record, Topology};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::matrix::{Case, Configuration};
use crate::world::{PATIENCE, World};

/// Publishers of the load, each on a connection of its own.
const PUBLISHERS: u16 = 3;

/// The worker and what belongs to it.
pub struct App<'a> {
    world: &'a World,
    case: Case,
    /// Its namespace.
    pub namespace: String,
    /// The Deployment's or StatefulSet's name, or the pod's; also that of its Service.
    pub name: String,
    /// The pod that is to be moved.
    pub pod: String,
    /// The node that it is on.
    pub from: String,
    /// The node that it is to be on.
    pub to: String,
    /// Its queue.
    pub queue: String,
    /// The exchange that producers publish to.
    pub exchange: String,
    cordoned: bool,
}

/// Publishers at work. Dropped, they stop.
pub struct Producers {
    stop: DropGuard,
    run: JoinHandle<Result<Record, producer::Error>>,
}

impl Producers {
    /// Stops them, and gives the record of what was confirmed.
    ///
    /// # Errors
    /// When the broker could not be reached.
    pub async fn stop(self) -> Result<Record> {
        drop(self.stop);
        Ok(self.run.await??)
    }
}

impl<'a> App<'a> {
    /// Names for everything; nothing is made yet. `number` is told apart from all that are there.
    pub fn named(world: &'a World, case: Case, number: &str) -> Self {
        let namespace = format!("ms2m-evaluate-{number}");
        let node = |at: usize| world.places.nodes.get(at).cloned().unwrap_or_default();
        Self {
            world,
            case,
            name: format!("worker-{number}"),
            pod: String::new(),
            from: node(0),
            to: node(1),
            queue: format!("{namespace}.orders"),
            exchange: format!("{namespace}.events"),
            namespace,
            cordoned: false,
        }
    }

    /// Makes everything, and waits until the worker consumes.
    ///
    /// # Errors
    /// When cluster or broker refuse, or the worker is not ready in time.
    pub async fn start(&mut self) -> Result<()> {
        producer::declare(&Topology {
            amqp_url: self.world.places.broker_url.clone(),
            exchange: self.exchange.clone(),
            exchange_type: ExchangeType::Topic,
            queue: self.queue.clone(),
            routing_key: "orders".to_owned(),
            quorum: false,
        })
        .await?;
        let namespace = json!({"metadata": {"name": self.namespace, "labels": {
            "pod-security.kubernetes.io/enforce": "privileged"}}});
        let namespaces = Api::<Namespace>::all(self.world.client.clone());
        create(&namespaces, namespace).await?;
        create(&self.api::<Service>(), self.service()).await?;
        create(&self.api::<Secret>(), self.secret()?).await?;
        let spec = self.pod_spec(&self.from);
        match self.case.configuration {
            Configuration::Pod => create(&self.api::<Pod>(), self.bare_pod(spec)).await?,
            Configuration::Deployment => {
                create(&self.api::<Deployment>(), self.workload(&spec)).await?;
            }
            Configuration::StatefulsetSequential | Configuration::StatefulsetShadow => {
                create(&self.api::<StatefulSet>(), self.workload(&spec)).await?;
            }
        }
        let pod = self.await_ready(|_| true).await?;
        self.pod = name_of(&pod);
        let node = pod.spec.and_then(|spec| spec.node_name).unwrap_or_default();
        // Nothing binds the pod of a set to where it begins.
        if node == self.to {
            std::mem::swap(&mut self.from, &mut self.to);
        }
        Ok(())
    }

    /// The worker's pods, by the container that ms2m moves.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn pods(&self) -> Result<Vec<Pod>> {
        let pods = self.api::<Pod>().list(&ListParams::default()).await?;
        Ok(pods.items.into_iter().filter(is_worker).collect())
    }

    /// Waits for a pod that is ready and of which `is` holds.
    async fn await_ready(&self, is: impl Fn(&Pod) -> bool) -> Result<Pod> {
        let until = Instant::now() + PATIENCE;
        loop {
            let pods = self.pods().await?;
            if let Some(pod) = pods.into_iter().find(|pod| is_ready(pod) && is(pod)) {
                return Ok(pod);
            }
            if Instant::now() > until {
                bail!("no pod of the worker is ready within {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Deletes the pod and waits until another one is ready on the other node: by its owner, or by us.
    ///
    /// # Errors
    /// When that does not happen.
    pub async fn recreate(&mut self) -> Result<()> {
        let pods = self.api::<Pod>();
        let uid = pods.get(&self.pod).await?.metadata.uid;
        if self.case.configuration == Configuration::Pod {
            pods.delete(&self.pod, &DeleteParams::default()).await?;
            let until = Instant::now() + PATIENCE;
            while pods.get_opt(&self.pod).await?.is_some() {
                if Instant::now() > until {
                    bail!("pod {} does not go", self.pod);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            create(&pods, self.bare_pod(self.pod_spec(&self.to))).await?;
        } else {
            self.cordon(true).await?;
            pods.delete(&self.pod, &DeleteParams::default()).await?;
        }
        self.await_ready(|pod| pod.metadata.uid != uid).await?;
        Ok(())
    }

    async fn cordon(&mut self, unschedulable: bool) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": {"unschedulable": unschedulable}}));
        let nodes = Api::<Node>::all(self.world.client.clone());
        self.cordoned |= unschedulable;
        nodes
            .patch(&self.from, &PatchParams::default(), &patch)
            .await
            .wrap_err_with(|| format!("failed to cordon or uncordon node {}", self.from))?;
        self.cordoned = unschedulable;
        Ok(())
    }

    /// Publishes messages as fast as they are confirmed.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn publish(&self, count: u64) -> Result<Record> {
        let options = producer::Options {
            count: Some(count),
            prefix: "backlog".to_owned(),
            ..self.producer(0.0, 1)
        };
        Ok(producer::run(&options, None, CancellationToken::new()).await?)
    }

    /// Sets publishers to work at the case's rate.
    pub fn produce(&self) -> Producers {
        let options = self.producer(f64::from(self.case.rate), PUBLISHERS);
        let stop = CancellationToken::new();
        let token = stop.clone();
        let run = tokio::spawn(async move { producer::run(&options, None, token).await });
        Producers {
            stop: stop.drop_guard(),
            run,
        }
    }

    fn producer(&self, rate: f64, publishers: u16) -> producer::Options {
        producer::Options {
            amqp_url: self.world.places.broker_url.clone(),
            exchange: self.exchange.clone(),
            routing_key: "orders".to_owned(),
            publishers,
            prefix: "p".to_owned(),
            rate,
            duration: None,
            count: None,
            window: 500,
        }
    }

    /// Takes everything away again, at the broker as well, and waits until the namespace is gone, so
    /// that the next run has the machine for itself.
    ///
    /// # Errors
    /// When something stays; everything else is taken away all the same.
    pub async fn end(&mut self) -> Result<()> {
        let uncordoned = match self.cordoned {
            true => self.cordon(false).await,
            false => Ok(()),
        };
        let pods = self.pods().await.unwrap_or_default();
        let names: Vec<String> = pods.iter().map(name_of).chain([self.pod.clone()]).collect();
        let namespaces = Api::<Namespace>::all(self.world.client.clone());
        let deleted = namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await;
        let until = Instant::now() + PATIENCE;
        while namespaces.get_opt(&self.namespace).await?.is_some() {
            if Instant::now() > until {
                bail!("namespace {} does not go", self.namespace);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.clear_broker(&names).await?;
        deleted.wrap_err_with(|| format!("failed to delete namespace {}", self.namespace))?;
        uncordoned
    }

    async fn clear_broker(&self, pods: &[String]) -> Result<()> {
        let connection = self.connect().await?;
        let channel = connection.create_channel().await?;
        let control = pods.iter().map(|pod| control_queue(pod));
        for queue in control.chain([self.queue.clone()]) {
            let options = QueueDeleteOptions::default();
            channel.queue_delete(queue.as_str().into(), options).await?;
        }
        let options = ExchangeDeleteOptions::default();
        let exchange = self.exchange.as_str().into();
        channel.exchange_delete(exchange, options).await?;
        Ok(connection.close(200, "done".into()).await?)
    }

    /// A connection of the harness's own to the broker.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn connect(&self) -> Result<Connection> {
        let url = &self.world.places.broker_url;
        let properties = ConnectionProperties::default();
        let connected = Connection::connect(url, properties).await;
        connected.wrap_err("failed to reach the broker")
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.world.client.clone(), &self.namespace)
    }
}

/// Name of the worker's container.
const WORKER: &str = "worker";

/// Whether this is a pod of the worker, and not of a Job of ms2m's.
pub fn is_worker(pod: &Pod) -> bool {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.into_iter().any(|it| it.name == WORKER)
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions);
    pod.metadata.deletion_timestamp.is_none()
        && conditions
            .flatten()
            .any(|it| it.type_ == "Ready" && it.status == "True")
}

/// The pod's name.
pub fn name_of(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

async fn create<K>(api: &Api<K>, object: Value) -> Result<()>
where
    K: kube::Resource + DeserializeOwned + serde::Serialize + Clone + std::fmt::Debug,
{
    let object: K = serde_json::from_value(object)?;
    let what = object.meta().name.clone().unwrap_or_default();
    let made = api.create(&PostParams::default(), &object).await;
    made.wrap_err_with(|| format!("failed to create {what}"))?;
    Ok(())
}
