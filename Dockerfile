# Static image of the controller, `ms2m controller`. From the root of the repository:
#   docker build -t registry.example.com/ms2m:dev .
#   buildah build -t registry.example.com/ms2m:dev .
# Then: ms2m install --image registry.example.com/ms2m:dev
# Without a container engine: examples/build-images.sh.
FROM docker.io/library/rust:1-slim-trixie AS build
# The authorities that registries and brokers are checked against.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# .cargo/config.toml links every binary statically, and names the target for that.
RUN cargo build --locked --release -p ms2m --bin ms2m \
 && install -D target/*/release/ms2m /out/ms2m

FROM scratch
# One more authority: mount its certificate and let SSL_CERT_FILE name it.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/ms2m /ms2m
# Nobody: the controller writes no file and needs no right on the node.
USER 65532:65532
ENTRYPOINT ["/ms2m"]
