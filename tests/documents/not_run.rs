//! The commands of the documents that are not run, each with the reason. The list may only shrink.

/// What a node's own administrator does.
const NODE: &str = "is for a real node, as root";
/// What compiles for minutes.
const BUILD: &str = "builds for minutes what the tests have built already";

/// Document, command, reason.
pub(crate) const NOT_RUN: &[(&str, &str, &str)] = &[
    ("README.md", "tests/run.sh", "would run this test again"),
    (
        "README.md",
        "cargo build --release --locked --bin ms2m",
        BUILD,
    ),
    (
        "README.md",
        "install -D target/*/release/ms2m ~/.local/bin/ms2m",
        "takes the build of the line before",
    ),
    (
        "README.md",
        "ms2m migrate wor<Tab> --to node-<Tab>",
        "is keys, not a command; tests/commands presses them",
    ),
    ("docs/operator.md", "apt-get install criu", NODE),
    ("docs/operator.md", "criu check", NODE),
    ("docs/operator.md", "install -d /etc/criu", NODE),
    (
        "docs/operator.md",
        r"printf 'tcp-close\nskip-in-flight\n' > /etc/criu/runc.conf",
        NODE,
    ),
    (
        "docs/operator.md",
        "cat > /etc/crio/crio.conf.d/10-criu.conf <<'END'",
        NODE,
    ),
    ("docs/operator.md", "systemctl restart crio", NODE),
    ("docs/operator.md", "examples/build-images.sh", BUILD),
    (
        "docs/operator.md",
        "skopeo copy oci-archive:images/ms2m-transfer.tar docker://registry.example.com/ms2m-transfer:0.1.0",
        "takes skopeo, which the project does not, and the images of the line before",
    ),
    (
        "examples/evaluate/README.md",
        "cargo build --release --workspace --bins",
        BUILD,
    ),
    (
        "examples/evaluate/README.md",
        "MS2M_BROKER_URL=amqp://USER:PASSWORD@broker.example.com ms2m-evaluate run --kubeconfig ~/.kube/config --nodes node-a,node-b --registry registry.example.com --worker-image registry.example.com/ms2m-worker:0.1.0",
        "takes hours on a real cluster, whose registry has TLS",
    ),
    (
        "examples/worker/README.md",
        "cargo build --release -p ms2m-worker -p ms2m-sandbox",
        BUILD,
    ),
    (
        "fuzz/README.md",
        "cargo install cargo-fuzz",
        "installs from the network; transfer/tests/fuzz has a short run",
    ),
    (
        "fuzz/README.md",
        "cargo +nightly fuzz run archive -- -max_total_time=600",
        "takes ten minutes and the nightly toolchain",
    ),
    (
        "fuzz/README.md",
        "cargo fuzz run --sanitizer none archive",
        "runs until it finds something",
    ),
    (
        "tests/bench/transfer/README.md",
        "tests/bench/transfer/run.sh",
        "measures for an hour, and installs what it compares with",
    ),
    (
        "tests/bench/transfer/README.md",
        "tests/bench/transfer/run.sh 1024",
        "measures for minutes, and installs what it compares with",
    ),
    (
        "tests/bench/transfer/README.md",
        "MS2M_BENCH_ONLY=zstd MS2M_BENCH_REPEATS=5 tests/bench/transfer/run.sh 64",
        "measures for minutes, and installs what it compares with",
    ),
];
