//! The credentials with which a pod's images are pulled.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{Api, Client};
use oci_client::secrets::RegistryAuth;
use serde_json::Value;

/// What the pod's pull secrets say for the registry of `image`. A secret that is not there is
/// passed over, as kubelets do.
pub(crate) async fn credentials(client: &Client, pod: &Pod, image: &str) -> RegistryAuth {
    let Ok(reference) = image.parse::<oci_client::Reference>() else {
        return RegistryAuth::Anonymous;
    };
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let names = pod
        .spec
        .iter()
        .flat_map(|spec| spec.image_pull_secrets.iter().flatten());
    for name in names {
        let Ok(Some(secret)) = secrets.get_opt(&name.name).await else {
            continue;
        };
        if let Some(auth) = in_secret(&secret, reference.resolve_registry()) {
            return auth;
        }
    }
    RegistryAuth::Anonymous
}

fn in_secret(secret: &Secret, registry: &str) -> Option<RegistryAuth> {
    let data = secret.data.as_ref()?;
    let config: Value = match (data.get(".dockerconfigjson"), data.get(".dockercfg")) {
        (Some(config), _) => serde_json::from_slice(&config.0).ok()?,
        (None, Some(auths)) => {
            let auths: Value = serde_json::from_slice(&auths.0).ok()?;
            serde_json::json!({ "auths": auths })
        }
        (None, None) => return None,
    };
    let entry = config["auths"].as_object()?.iter().find(|(host, _)| {
        let host = host
            .trim_start_matches("https://")
            .trim_start_matches("http://");
        host.split('/').next() == Some(registry)
    })?;
    let text = |name: &str| entry.1[name].as_str().map(str::to_owned);
    if let (Some(user), Some(password)) = (text("username"), text("password")) {
        return Some(RegistryAuth::Basic(user, password));
    }
    let decoded = String::from_utf8(STANDARD.decode(text("auth")?).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(RegistryAuth::Basic(user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    #[test]
    fn both_forms_of_a_password_are_read() {
        for entry in [
            serde_json::json!({ "username": "u", "password": "p" }),
            serde_json::json!({ "auth": "dTpw" }),
        ] {
            let config = serde_json::json!({ "auths": { "https://127.0.0.1:5000/v2/": entry } });
            let secret = Secret {
                data: Some(
                    [(
                        ".dockerconfigjson".to_owned(),
                        ByteString(config.to_string().into_bytes()),
                    )]
                    .into(),
                ),
                ..Secret::default()
            };
            let found = in_secret(&secret, "127.0.0.1:5000");
            assert!(
                matches!(found, Some(RegistryAuth::Basic(user, password)) if user == "u" && password == "p")
            );
            assert!(in_secret(&secret, "127.0.0.1:5001").is_none());
        }
    }
}
