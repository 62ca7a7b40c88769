//! The programs of this workspace as images, for tests that run them in pods or name them as an operator
//! would.

use std::path::PathBuf;

use ms2m_sandbox::image::{PackOptions, client, pack, push};
use oci_client::secrets::RegistryAuth;

use super::world::{World, binary};

/// Authorities that are there on every machine which has the sandbox's packages. The client of
/// registries wants some, even to speak plain HTTP.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The image of this `ms2m`, in the world's registry.
pub(crate) async fn of_ms2m(world: &World) -> String {
    of(world, "ms2m", "dev").await
}

/// The image of a program in the world's registry, under its own name and this tag.
pub(crate) async fn of(world: &World, name: &str, tag: &str) -> String {
    // As `examples/build-images.sh` makes them.
    let (user, files): (_, Vec<PathBuf>) = match name {
        "ms2m-transfer" => ("0:0", Vec::new()),
        _ => ("65532:65532", vec![AUTHORITIES.into()]),
    };
    let registry = world.places.registry.clone();
    let reference = format!("{registry}/{name}:{tag}");
    let options = PackOptions {
        binary: binary(name),
        entrypoint: format!("/{name}"),
        reference: reference.clone(),
        user: user.to_owned(),
        files,
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
