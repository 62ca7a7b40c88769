//! Resources for the controller: made of settings, placed in a namespace, refused by the API server.
//! Shared by the commands that make any.

use color_eyre::eyre::WrapErr;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::api::{BrokerCredentials, GROUP, SecretKeyRef, SecretSource, StatefulMigration};
use crate::cli::args::GlobalArgs;
use crate::cli::failure::Outcome;
use crate::cli::manifest::Manifest;
use crate::cli::manifest::validate;
use crate::cli::output::Output;
use crate::cli::settings::Layers;
use crate::cli::settings::flags::{ControllerArgs, SettingArgs};
use crate::cli::settings::migration::{Settings, Typed, Wanted};
use crate::cli::settings::{table, value};
use crate::cli::ui::Ui;
use crate::cli::view::created as view;
use crate::cli::wire::Reached;
use crate::cluster::migrations::Entry;
use crate::explain;
use crate::migration::error::{Error, PortError};
use crate::migration::ports::Cluster;

/// What became of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The CRD's rules have nothing against it.
    Valid,
    /// So many fields are wrong.
    Invalid(usize),
    /// The API server would take it.
    Accepted,
    /// The API server would not.
    Refused,
    /// It is made.
    Created,
}

/// What is wanted of a pod, and all that was typed.
pub(super) struct Order<'a> {
    /// The pod to move.
    pub(super) pod: &'a str,
    /// The node to move it to.
    pub(super) to: Option<&'a str>,
    /// Name of the migration.
    pub(super) name: Option<&'a str>,
    /// The settings.
    pub(super) settings: &'a SettingArgs,
    /// Where the controller has credentials from.
    pub(super) controller: &'a ControllerArgs,
}

/// The resource that `order` comes to. The pod's annotations have a say where it can be looked at;
/// with `offline` it need not be.
///
/// # Errors
/// [`crate::migration::error::ErrorKind::Usage`]: something cannot be read, or is missing;
/// [`crate::migration::error::ErrorKind::Refused`]: there is no such pod.
pub(super) async fn resource(
    ui: &Ui,
    reached: Option<&Reached>,
    offline: bool,
    order: &Order<'_>,
    layers: &mut Layers<'_>,
    typed: Typed,
) -> Result<StatefulMigration, Error> {
    if let Some(reached) = reached {
        layers.context.clone_from(&reached.context);
        match reached.cluster.pod(order.pod).await {
            Ok(Some(pod)) => layers.annotations = pod.annotations,
            Ok(None) if !offline => return Err(reached.no_such_pod(order.pod).await),
            // Its annotations only help.
            Ok(None) | Err(PortError::Denied(_)) => {}
            Err(error) if offline => {
                ui.words(&format!(
                    "the annotations of pod {} are not known: {error}",
                    order.pod
                ));
            }
            Err(error) => {
                let what = format!("failed to look at pod {}", order.pod);
                return Err(crate::cli::failure::refused(what, &error));
            }
        }
    }
    let Some(settings) = Settings::resolve(order.settings, typed, layers)? else {
        return Err(layers.incomplete());
    };
    let credentials = layers.pick(
        &table::BROKER_CREDENTIALS,
        order.controller.broker_credentials.clone(),
        value::name,
        Clone::clone,
    )?;
    if credentials.is_none() && settings.has_password() {
        ui.words(&format!(
            "warning: the password in the broker's URL is left out of the resource, since everybody who may read \
             the resource could read it; keep it in a Secret: kubectl create secret generic NAME \
             --from-literal=username=USER --from-literal=password=…, then {} NAME",
            table::BROKER_CREDENTIALS.flag()
        ));
    }
    let wanted = Wanted {
        pod: order.pod,
        to: order.to,
        name: order.name,
    };
    let namespace = reached.map(|reached| reached.namespace.as_str());
    let request = settings.request(wanted, namespace.unwrap_or_default());
    let mut resource = StatefulMigration::new(&request.name, request.spec);
    resource.metadata.namespace = namespace.map(str::to_owned);
    resource.spec.message_queue_config.credentials = credentials.as_deref().map(from_secret);
    Ok(resource)
}

/// Makes one resource, of which nothing is known that the CRD's rules are against.
///
/// # Errors
/// [`crate::migration::error::ErrorKind::Usage`]: the CRD's rules are against it;
/// [`crate::migration::error::ErrorKind::Refused`]: the API server is.
pub(super) async fn make(reached: &Reached, resource: &StatefulMigration) -> Result<Entry, Error> {
    let faults = validate::faults(&Manifest::of_flags(resource).value);
    if !faults.is_empty() {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        return Err(Error::usage("the resource is not valid")
            .code(&explain::RESOURCE_INVALID)
            .because(lines.join("\n")));
    }
    let made = reached
        .cluster
        .migrations(false)
        .create(resource, false)
        .await;
    made.map_err(|error| not_made(1, &[&error]))
}

fn from_secret(secret: &str) -> BrokerCredentials {
    let key = |key: &str| SecretSource {
        secret_key_ref: SecretKeyRef {
            name: secret.to_owned(),
            key: key.to_owned(),
        },
    };
    BrokerCredentials {
        username: key("username"),
        password: key("password"),
    }
}

/// Tells what became of them, in the format that is wanted.
pub(super) fn tell(
    ui: &Ui,
    output: Output,
    manifests: &[Manifest],
    verdicts: &[Verdict],
) -> Outcome {
    let values: Vec<&Value> = manifests.iter().map(|it| &it.value).collect();
    match output {
        Output::Table | Output::Wide => ui.data(&view::table(manifests, verdicts))?,
        Output::Name => {
            let names: Vec<String> = manifests.iter().map(Manifest::name).collect();
            ui.data(&names.join("\n"))?;
        }
        Output::Json => match values.as_slice() {
            [one] => ui.json(one)?,
            // As kubectl shows several.
            many => ui.json(&json!({"apiVersion": "v1", "kind": "List", "items": many}))?,
        },
        Output::Yaml => {
            let documents: Result<Vec<String>, _> =
                values.iter().map(serde_yaml::to_string).collect();
            let documents = documents.wrap_err("failed to write YAML")?;
            ui.data(&documents.join("---\n"))?;
        }
    }
    Ok(())
}

/// The resources, each in its namespace.
///
/// # Errors
/// [`crate::migration::error::ErrorKind::Usage`]: one names another namespace than was typed.
pub(super) fn placed(
    global: &GlobalArgs,
    namespace: &str,
    manifests: &[Manifest],
) -> Result<Vec<StatefulMigration>, Error> {
    let place = |manifest: &Manifest| {
        let mut resource = manifest.resource()?;
        resource.status = None;
        match resource.namespace() {
            Some(own) if global.namespace.is_some() && own != namespace => {
                return Err(Error::usage(format!(
                    "{} ({}) is of namespace {own}, and not of {namespace}",
                    manifest.place,
                    manifest.name()
                ))
                .hint("leave --namespace out, or the namespace in the manifest"));
            }
            Some(_) => {}
            None => resource.metadata.namespace = Some(namespace.to_owned()),
        }
        Ok(resource)
    };
    manifests.iter().map(place).collect()
}

/// The refusal of `count` resources, for these reasons.
pub(super) fn not_made(count: usize, reasons: &[&PortError]) -> Error {
    let lines: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    let what = match count {
        1 => "the migration was not made".to_owned(),
        _ => format!("{} of {count} migrations would be refused", reasons.len()),
    };
    let error = Error::refused(what).because(lines.join("\n"));
    match reasons.first() {
        Some(PortError::NotFound(words)) if !words.contains("namespaces \"") => error
            .because(format!(
                "the CRD statefulmigrations.{GROUP} is not installed in the cluster"
            ))
            .code(&explain::CRD_MISSING)
            .hint("install it: ms2m crd | kubectl apply -f -")
            .hint("and the controller, which carries such resources out: ms2m install"),
        Some(PortError::Denied(_)) => error
            .hint("the rights that ms2m's commands take are in examples/manifests/rbac-cli.yaml"),
        _ => error,
    }
}
