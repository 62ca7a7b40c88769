//! `ms2m` itself as an image, for tests that run it in a pod.

use ms2m_sandbox::image::{PackOptions, client, pack, push};
use oci_client::secrets::RegistryAuth;

use super::world::{World, binary};

/// Authorities that are there on every machine which has the sandbox's packages. The client of
/// registries wants some, even to speak plain HTTP.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The image of this `ms2m`, in the world's registry.
pub(crate) async fn of_ms2m(world: &World) -> String {
    let registry = world.places.registry.clone();
    let reference = format!("{registry}/ms2m:dev");
    let options = PackOptions {
        binary: binary("ms2m"),
        entrypoint: "/ms2m".to_owned(),
        reference: reference.clone(),
        user: "65532:65532".to_owned(),
        files: vec![AUTHORITIES.into()],
    };
    let image = tokio::task::spawn_blocking(move || pack(&options))
        .await
        .expect("packing does not panic")
        .expect("it is packed");
    let client = client(&[registry]);
    push(&client, &image, &reference, &RegistryAuth::Anonymous)
        .await
        .expect("it is pushed");
    reference
}
