# The enclave's image, for `nitro-cli build-enclave --docker-uri …`: one static
# binary and the manifest, nothing else.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
COPY . .
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
    && RUSTFLAGS="-C target-feature=+crt-static" \
       cargo build --release --locked --target "$target" --package strongroom \
    && cp "target/$target/release/strongroom" /strongroom

FROM scratch
COPY --from=build /strongroom /strongroom
COPY enclave.eif.toml /enclave.eif.toml
ENTRYPOINT ["/strongroom"]
