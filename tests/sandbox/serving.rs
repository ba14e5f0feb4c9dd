//! The service itself in the sandbox, over a Unix socket that was made before.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom::keys::road::Road;
use strongroom::manifest::Manifest;
use strongroom::server::{self, Service};
use strongroom::transport::{Endpoint, Listener};
use strongroom_client::{Address, Client};
use strongroom_sim::SimNsm;
use strongroom_sim::kms::SimCredentials;

use crate::house;

/// The KMS key of all that is served.
pub const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// Where the serving process makes its socket.
const SOCKET: &str = "STRONGROOM_TEST_SOCKET";

/// The service and its listener, where the deed is to serve.
pub async fn listener(deed: &str) -> Option<(Arc<Service>, Listener)> {
    if deed != "serve" {
        return None;
    }
    let manifest = Manifest::parse(&house::manifest(KEY, KEY)).unwrap();
    let nsm = Arc::new(SimNsm::builder().build().unwrap());
    // The parent's proxy, as in the enclave. Nobody answers there.
    let proxy = Endpoint::Vsock { cid: 3, port: 8000 };
    let road = Road::new(proxy, rustls::RootCertStore::empty());
    let service = Service::boot(manifest, nsm, road).await.unwrap();
    let socket = PathBuf::from(std::env::var_os(SOCKET).unwrap());
    let listener = tokio::net::UnixListener::bind(socket).unwrap();
    Some((service, Listener::Unix(listener)))
}

pub async fn forever((service, listener): (Arc<Service>, Listener)) -> i32 {
    server::serve(service, listener, std::future::pending()).await;
    0
}

/// A confined process that serves; ended when it is dropped.
struct Serving {
    process: Child,
    address: Address,
    _dir: tempfile::TempDir,
}

impl Serving {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("service.sock");
        let mut command = crate::command("serve");
        command.env(SOCKET, &socket).stdout(Stdio::null());
        let process = command.spawn().unwrap();
        let serving = Self { process, address: Address::Unix(socket), _dir: dir };
        let until = Instant::now() + Duration::from_secs(60);
        while Client::connect(&serving.address).await.is_err() {
            assert!(Instant::now() < until, "it does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        serving
    }

    fn assert_alive(&mut self) {
        let ended = self.process.try_wait().unwrap();
        assert!(ended.is_none(), "the service has ended: {ended:?}");
        let mut workers = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.process.id())).unwrap() {
            let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_else(|| panic!("{status}")).trim().to_owned()
            };
            assert_eq!((field("Seccomp:"), field("NoNewPrivs:")), ("2".into(), "1".into()));
            // The test program's own main thread was there before.
            if field("Name:") != "tokio-rt-worker" {
                continue;
            }
            workers += 1;
            // Who is not root had none to give up, and keeps what is of no use.
            let bounding = rustix::process::getuid().is_root().then_some("CapBnd:");
            for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"].into_iter().chain(bounding) {
                assert_eq!(field(set), "0000000000000000", "{set}");
            }
        }
        assert!(workers >= 2);
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_confined_service_answers_fails_and_goes_on() {
    let mut serving = Serving::start().await;
    let mut clients = Vec::new();
    for _ in 0..32 {
        clients.push(Client::connect(&serving.address).await.unwrap());
    }
    for client in &mut clients {
        client.status().await.unwrap();
    }
    let credentials = SimCredentials::long_term(house::PARENT);
    clients[0].put_credentials(house::on_the_wire(&credentials)).await.unwrap();
    // Attests, goes to the proxy for KMS, finds nobody: an error, not an end.
    let (key, encrypted) = message_key();
    let message = house::seal(&key, &[encrypted], &house::ACME, house::CUSTOMERS.as_bytes(), 64);
    for client in clients.iter_mut().take(2) {
        let failed = client.run(&house::mask("acme"), &message[..], &mut Vec::new()).await;
        assert!(failed.unwrap_err().service().is_some(), "it answers with an error of its own");
    }
    drop(clients);
    // What is no protocol at all.
    if let Address::Unix(socket) = &serving.address {
        use std::io::Write;
        let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
        stream.write_all(&[0xff; 4096]).unwrap();
    }
    Client::connect(&serving.address).await.unwrap().status().await.unwrap();
    serving.assert_alive();
}

fn message_key() -> (strongroom_envelope::DataKey, strongroom_envelope::esdk::EncryptedDataKey) {
    let key = strongroom_envelope::DataKey::from_slice(&[7; 32]).unwrap();
    let encrypted = strongroom_envelope::esdk::EncryptedDataKey {
        provider_id: "aws-kms".into(),
        provider_info: KEY.as_bytes().to_vec(),
        ciphertext: vec![9; 180],
    };
    (key, encrypted)
}
