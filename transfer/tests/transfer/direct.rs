//! From the sender to the receiver, and from there to a runtime on loopback, without a registry.

use std::io::{Read, Write};
use std::net::TcpStream;

use ms2m_transfer::direct::{AUTHORITY, CLIENT_CERTIFICATE, CLIENT_KEY, SERVER_NAME, TOKEN};
use ms2m_transfer::{Event, FailureCode};
use reqwest::{Certificate, Identity, Method};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::archive;
use crate::support::proxy::{Faults, Proxy};
use crate::support::receiver::{REPOSITORY, Receiver, command, copy_of, secrets};
use crate::support::{block_on, high_water_mark, wait_for};

const MIB: u64 = 1024 * 1024;

/// What is promised at any size.
const LIMIT: u64 = 32 * MIB;

fn an_archive(memory: u64) -> (TempDir, std::path::PathBuf, Vec<u8>) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), memory);
    let bytes = std::fs::read(&path).expect("the archive is there");
    (directory, path, bytes)
}

#[test]
fn a_runtime_gets_what_was_sent_and_nothing_is_left_to_read() {
    let receiver = Receiver::start();
    let (_directory, path, bytes) = an_archive(9 * MIB);
    let pushed = receiver.push(&path).run().pushed();
    let port = receiver.registry.port();
    let digest = &pushed.digest;
    assert_eq!(
        pushed.image,
        format!("localhost:{port}/{REPOSITORY}@{digest}")
    );

    assert_eq!(receiver.ask(Method::GET, "", None).status, 200);
    let manifest = receiver.get(&format!("manifests/{digest}"));
    assert_eq!(manifest.status, 200);
    assert_eq!(
        manifest.headers["content-type"],
        "application/vnd.oci.image.manifest.v1+json"
    );
    assert_eq!(manifest.headers["docker-content-digest"], digest.as_str());
    let manifest: Value = serde_json::from_slice(&manifest.body).expect("it is JSON");
    let layer = format!(
        "blobs/{}",
        manifest["layers"][0]["digest"].as_str().expect("a layer")
    );
    let config = format!(
        "blobs/{}",
        manifest["config"]["digest"].as_str().expect("one")
    );
    assert!(receiver.get(&layer).body == bytes);
    let config: Value = serde_json::from_slice(&receiver.get(&config).body).expect("JSON");
    assert_eq!(config["os"], "linux");

    let path_of = format!("{REPOSITORY}/{layer}");
    let head = receiver.ask(Method::HEAD, &path_of, None);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.headers["content-length"], bytes.len().to_string());
    let part = receiver.ask(Method::GET, &path_of, Some("bytes=262000-900000"));
    assert_eq!(part.status, 206);
    assert!(part.body == bytes[262_000..=900_000]);
    let size = bytes.len();
    assert_eq!(
        part.headers["content-range"],
        format!("bytes 262000-900000/{size}")
    );
    let nowhere = receiver.ask(Method::GET, &path_of, Some("bytes=99999999-"));
    assert_eq!(nowhere.status, 416);

    let names = std::fs::read_dir(receiver.data.path())
        .expect("reads")
        .count();
    assert_eq!(names, 0, "its files have no names");
    let (code, said) = receiver.stop();
    assert_eq!(code, Some(0), "{said}");
}

/// Whoever does not know the digest gets nothing, and nobody writes.
#[test]
fn loopback_only_hands_out_what_is_asked_for_by_its_digest() {
    let receiver = Receiver::start();
    let (_directory, path, _) = an_archive(MIB);
    receiver.push(&path).run().pushed();
    for path in [
        "manifests/m1",
        "manifests/latest",
        "tags/list",
        "blobs/",
        "blobs/uploads/",
    ] {
        assert_eq!(receiver.get(path).status, 404, "{path}");
    }
    assert_eq!(receiver.ask(Method::GET, "_catalog", None).status, 404);
    let uploads = format!("{REPOSITORY}/blobs/uploads/");
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let answered = receiver.ask(method.clone(), &uploads, None);
        assert_eq!(answered.status, 404, "{method}");
    }
}

/// containerd tries HTTPS first, and falls back when it sees that the answer is HTTP.
#[test]
fn a_tls_greeting_on_loopback_is_answered_in_http() {
    let receiver = Receiver::start();
    let mut stream = TcpStream::connect(receiver.registry).expect("it listens");
    // The beginning of a ClientHello.
    let hello = [
        0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, 0x0d, 0x0a,
    ];
    stream.write_all(&hello).expect("writes");
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).expect("it answers");
    assert_eq!(&answer, b"HTTP/");
}

#[test]
fn a_sender_without_the_right_secrets_is_turned_away() {
    let receiver = Receiver::start();
    let (_directory, path, _) = an_archive(MIB);
    let keep = ("MS2M_KEEP_ARCHIVE", "true");
    let with = |directory: &TempDir| {
        let by = receiver.push_by(&path, receiver.address, directory.path());
        by.env(keep.0, keep.1).run()
    };

    let wrong_token = copy_of(receiver.secrets.path());
    std::fs::write(wrong_token.path().join(TOKEN), "another").expect("writes");
    let outcome = with(&wrong_token);
    assert_eq!(outcome.failed().code, FailureCode::RegistryDenied);

    // Certificates of another migration: either side sees that.
    let stranger = secrets();
    let outcome = with(&stranger);
    assert_eq!(outcome.failed().code, FailureCode::RegistryFailed);
    let half = copy_of(receiver.secrets.path());
    for file in [CLIENT_CERTIFICATE, CLIENT_KEY] {
        std::fs::copy(stranger.path().join(file), half.path().join(file)).expect("copies");
    }
    let outcome = with(&half);
    assert_eq!(outcome.failed().code, FailureCode::RegistryFailed);

    // The receiver's own certificate is not good for a sender.
    let mirrored = copy_of(receiver.secrets.path());
    for (from, to) in [
        ("server.crt", CLIENT_CERTIFICATE),
        ("server.key", CLIENT_KEY),
    ] {
        std::fs::copy(mirrored.path().join(from), mirrored.path().join(to)).expect("copies");
    }
    let outcome = with(&mirrored);
    assert_eq!(outcome.failed().code, FailureCode::RegistryFailed);

    // And without any certificate there is no conversation, however right the token.
    let bare = client(&receiver, false);
    let asked = block_on(async { bare.get(url(&receiver, "")).send().await });
    assert!(asked.is_err(), "{asked:?}");
    with(&copy_of(receiver.secrets.path())).pushed();
}

#[test]
fn a_blob_that_is_not_what_its_digest_says_is_refused() {
    let receiver = Receiver::start();
    let client = client(&receiver, true);
    let token = std::fs::read_to_string(receiver.secrets.path().join(TOKEN)).expect("reads");
    let uploads = url(&receiver, &format!("{REPOSITORY}/blobs/uploads/"));
    block_on(async {
        let open = client.post(&uploads).bearer_auth(&token).send().await;
        let open = open.expect("it answers");
        assert_eq!(open.status(), 202);
        let place = open.headers()["location"]
            .to_str()
            .expect("text")
            .to_owned();
        let place = url(&receiver, place.trim_start_matches("/v2/"));
        let digest = format!("sha256:{}", "0".repeat(64));
        let commit = client
            .put(format!("{place}?digest={digest}"))
            .bearer_auth(&token)
            .body("something else");
        let answer = commit.send().await.expect("it answers");
        assert_eq!(answer.status(), 400);
        let words = answer.text().await.expect("text");
        assert!(words.contains("DIGEST_INVALID"), "{words}");
        assert!(words.contains(&digest), "{words}");
        let again = client.get(&place).bearer_auth(&token).send().await;
        assert_eq!(again.expect("it answers").status(), 404, "it is given up");
    });
}

#[test]
fn an_upload_that_is_cut_goes_on_where_it_was() {
    let receiver = Receiver::start();
    let cuts = Faults {
        cuts: 4.into(),
        cut_after: (6 * MIB + 4321).into(),
        ..Faults::default()
    };
    let proxy = Proxy::start(&receiver.address.to_string(), cuts);
    let (_directory, path, bytes) = an_archive(30 * MIB);
    let by = proxy.address().parse().expect("an address");
    let outcome = receiver.push_by(&path, by, receiver.secrets.path()).run();
    let pushed = outcome.pushed();
    assert!(outcome.retries() >= 4, "{}", outcome.everything());
    let events = outcome.events();
    let reads = events.iter().filter_map(|event| match event {
        Event::Progress(progress) => Some(progress.read_bytes),
        _ => None,
    });
    assert!(
        reads.is_sorted(),
        "the archive is read once: {}",
        outcome.stdout
    );
    let blob = receiver.get(&format!("blobs/{}", pushed.layer_digest));
    assert!(blob.body == bytes);
}

#[test]
#[expect(
    clippy::print_stderr,
    reason = "the figure is for whoever runs the test"
)]
fn half_a_gibibyte_takes_less_than_32_mib() {
    let receiver = Receiver::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = archive::write(directory.path(), 512 * MIB);
    let pushed = receiver.push(&path).run().pushed();
    let url = format!(
        "http://{}/v2/{REPOSITORY}/blobs/{}",
        receiver.registry, pushed.layer_digest
    );
    let read = block_on(async {
        let client = reqwest::Client::builder().no_proxy().build();
        let get = client.expect("a client").get(url).send().await;
        let mut answer = get.expect("it answers");
        let mut read = 0;
        while let Some(piece) = answer.chunk().await.expect("all of it") {
            read += piece.len() as u64;
        }
        read
    });
    assert_eq!(read, pushed.archive_bytes);
    let peak = high_water_mark(receiver.pid()).expect("it is running");
    eprintln!(
        "peak memory of a receiver for 512 MiB: {:.1} MiB, pushed in {:.2} s",
        peak as f64 / MIB as f64,
        pushed.seconds
    );
    assert!(peak < LIMIT, "{peak} bytes");
}

#[test]
fn what_is_too_much_is_refused_with_the_reason() {
    let receiver = Receiver::start_with(&["--limit", "1000000"]);
    let (_directory, path, _) = an_archive(9 * MIB);
    let failed = receiver.push(&path).run().failed();
    assert_eq!(failed.code, FailureCode::RegistryFailed);
    assert!(failed.message.contains("takes no more bytes"), "{failed:?}");
}

#[test]
fn a_port_that_is_taken_is_said() {
    let first = Receiver::start();
    let mut second = command(first.secrets.path(), first.data.path())
        .args(["--port", &first.registry.port().to_string()])
        .spawn()
        .expect("the binary runs");
    let status = wait_for("its end", || second.try_wait().expect("it is our child"));
    assert_eq!(status.code(), Some(2));
    let mut said = String::new();
    let mut stderr = second.stderr.take().expect("stderr is piped");
    stderr.read_to_string(&mut said).expect("it is text");
    assert!(
        said.contains("in use") && said.contains("--direct-port"),
        "{said}"
    );
}

fn url(receiver: &Receiver, path: &str) -> String {
    format!(
        "https://{SERVER_NAME}:{}/v2/{path}",
        receiver.address.port()
    )
}

/// A client that trusts the receiver, with or without a certificate of its own.
fn client(receiver: &Receiver, identified: bool) -> reqwest::Client {
    let file = |name: &str| std::fs::read(receiver.secrets.path().join(name)).expect("reads");
    let authority = Certificate::from_pem(&file(AUTHORITY)).expect("a certificate");
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([authority])
        .resolve(SERVER_NAME, receiver.address);
    if identified {
        let pair = [file(CLIENT_CERTIFICATE), file(CLIENT_KEY)].concat();
        builder = builder.identity(Identity::from_pem(&pair).expect("both are there"));
    }
    block_on(async { builder.build().expect("a client") })
}
