//! A cold request, whose data key is new, and a warm one, through the service.
//!
//! `cargo bench --bench cold_request [-- REQUESTS]` sends so many requests (300)
//! over a Unix socket, each under a data key that the service has not seen, and
//! then as many under one that it has. A cold request is exactly one call of KMS
//! and one of the module: that is asserted. The time inside the two is measured
//! at a forwarder on the road to KMS and in the module; what is left is ours,
//! client and sockets included. Service, client and simulated KMS share a process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    unreachable_pub,
    missing_docs
)]

#[path = "../tests/service/house.rs"]
mod house;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use house::{ACME, CUSTOMERS, Foundation, House, MASKED, Plan, mask, on_the_wire, roots, seal};
use rustix::time::{ClockId, clock_gettime};
use strongroom::keys::road::Road;
use strongroom::manifest::{JobName, KeyArn, Manifest};
use strongroom::server::{Service, serve};
use strongroom::transport::{Endpoint, Listener};
use strongroom_attestation::nsm::{AttestationRequest, Nsm, NsmDescription, NsmError, PcrState};
use strongroom_client::Address;
use strongroom_envelope::esdk::{EncryptedDataKey, EncryptionContext};
use strongroom_sim::SimNsm;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn main() {
    // cargo passes `--bench`.
    let requests = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(300);
    tokio::runtime::Runtime::new().unwrap().block_on(run(requests));
}

/// A stage on which each part of a request's time is told apart.
struct Stage {
    house: House,
    service: Arc<Service>,
    nsm: Arc<TimedNsm>,
    road: Arc<Spent>,
}

async fn run(requests: usize) {
    let stage = Stage::new().await;
    let mut messages = Vec::new();
    for _ in 0..=requests {
        messages.push(one_kib(&stage.house).await);
    }
    // The first one makes the connection to KMS.
    let (warm, encrypted) = messages.pop().unwrap();
    stage.request(&warm).await;
    let _ = (stage.road.take(), stage.nsm.spent.take());
    let mut parts = [const { Vec::new() }; 4];
    for (message, _) in &messages {
        let total = stage.request(message).await;
        let (kms, nsm) = (stage.road.take(), stage.nsm.spent.take());
        assert_eq!((kms.1, nsm.1), (1, 1), "calls of KMS, calls of the module");
        let ours = total.saturating_sub(kms.0).saturating_sub(nsm.0);
        for (part, time) in parts.iter_mut().zip([total, kms.0, nsm.0, ours]) {
            part.push(time);
        }
    }
    let [total, kms, nsm, ours] = parts.map(median);
    println!("cold request, median of {requests}: {total:?}");
    println!("  {kms:?} in KMS, {nsm:?} in the module, {ours:?} ours");
    let mut times = Vec::new();
    for _ in 0..requests {
        times.push(stage.request(&warm).await);
        assert_eq!((stage.road.take().1, stage.nsm.spent.take().1), (0, 0));
    }
    println!("warm request, median of {requests}: {:?}", median(times));
    let each = stage.lookup(&encrypted).await;
    println!("  of it the look for its data key: {each:?} of processor time");
}

impl Stage {
    async fn new() -> Self {
        let found = Foundation::laid(Plan::default()).await;
        let manifest = Manifest::parse(&found.manifest).unwrap();
        let road = Arc::new(Spent::default());
        let forwarder = forward(found.nitro.kms.addr(), road.clone()).await;
        let nsm = Arc::new(TimedNsm { nsm: found.nitro.nsm.clone(), spent: Spent::default() });
        let way = Road::new(Endpoint::Tcp(forwarder), roots(&found.nitro.kms));
        let started = Instant::now();
        let service = Service::boot(manifest, nsm.clone(), way).await.unwrap();
        println!("ready to listen after {:?}", started.elapsed());
        service.keys().attest(None, None).await.unwrap();
        println!("the recipient key pair is there after {:?}", started.elapsed());
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("service.sock");
        let listener = Listener::Unix(tokio::net::UnixListener::bind(&socket).unwrap());
        tokio::spawn(serve(service.clone(), listener, std::future::pending()));
        let pcr0 = found.nitro.nsm.pcr_hex(0).unwrap();
        let house = House::around(found, Address::Unix(socket), pcr0, Box::new(dir));
        house.client().await.put_credentials(on_the_wire(&house.parent)).await.unwrap();
        nsm.spent.take();
        Self { house, service, nsm, road }
    }

    async fn request(&self, message: &[u8]) -> Duration {
        let mut client = self.house.client().await;
        let mut output = Vec::new();
        let started = Instant::now();
        client.run(&mask("acme"), message, &mut output).await.unwrap();
        let took = started.elapsed();
        assert!(output.starts_with(MASKED.as_bytes()));
        took
    }

    /// Processor time of this thread for one look at the cache.
    async fn lookup(&self, encrypted: &EncryptedDataKey) -> Duration {
        const LOOKS: u32 = 100_000;
        let job = JobName::parse("mask").unwrap();
        let key = KeyArn::parse(&self.house.customers).unwrap();
        let context = EncryptionContext::new(ACME).unwrap();
        let mut times = Vec::new();
        for _ in 0..5 {
            let before = cpu();
            for _ in 0..LOOKS {
                let keys = self.service.keys();
                keys.decrypt(&job, &key, &context, &encrypted.ciphertext).await.unwrap();
            }
            times.push((cpu() - before) / LOOKS);
        }
        assert_eq!(self.road.take().1, 0);
        median(times)
    }
}

/// A message with 1 KiB of CSV, and its encrypted data key.
async fn one_kib(house: &House) -> (Vec<u8>, EncryptedDataKey) {
    let row = "Grace Hopper,4111111111111111,grace@canary.example,\"Arlington, VA\"\n";
    let csv = format!("{CUSTOMERS}{}", row.repeat((1024 - CUSTOMERS.len()) / row.len()));
    let (key, encrypted) = house.data_key(&house.customers, &ACME).await;
    (seal(&key, std::slice::from_ref(&encrypted), &ACME, csv.as_bytes(), 4096), encrypted)
}

/// Time, and how often.
#[derive(Default)]
struct Spent {
    nanos: AtomicU64,
    times: AtomicU64,
}

impl Spent {
    fn add(&self, time: Duration) {
        self.nanos.fetch_add(time.as_nanos() as u64, SeqCst);
        self.times.fetch_add(1, SeqCst);
    }

    fn take(&self) -> (Duration, u64) {
        (Duration::from_nanos(self.nanos.swap(0, SeqCst)), self.times.swap(0, SeqCst))
    }
}

struct TimedNsm {
    nsm: Arc<SimNsm>,
    spent: Spent,
}

impl Nsm for TimedNsm {
    fn attest(&self, request: &AttestationRequest<'_>) -> Result<Vec<u8>, NsmError> {
        let started = Instant::now();
        let document = self.nsm.attest(request);
        self.spent.add(started.elapsed());
        document
    }

    fn describe_pcr(&self, index: u8) -> Result<PcrState, NsmError> {
        self.nsm.describe_pcr(index)
    }

    fn describe(&self) -> Result<NsmDescription, NsmError> {
        self.nsm.describe()
    }

    fn random(&self, out: &mut [u8]) -> Result<(), NsmError> {
        self.nsm.random(out)
    }
}

/// Forwards to KMS, and notes the time from the first byte of a request to the
/// first of its answer, which comes in one piece.
async fn forward(kms: SocketAddr, spent: Arc<Spent>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(pass(stream, kms, spent.clone()));
        }
    });
    address
}

async fn pass(mut service: TcpStream, kms: SocketAddr, spent: Arc<Spent>) {
    let mut kms = TcpStream::connect(kms).await.unwrap();
    service.set_nodelay(true).unwrap();
    kms.set_nodelay(true).unwrap();
    let (mut asked, mut answer) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    // When the request at hand began.
    let mut began: Option<Instant> = None;
    let mut answered = true;
    loop {
        tokio::select! {
            read = service.read(&mut asked) => {
                let Ok(read @ 1..) = read else { return };
                if answered {
                    (began, answered) = (Some(Instant::now()), false);
                }
                kms.write_all(&asked[..read]).await.unwrap();
            }
            read = kms.read(&mut answer) => {
                let Ok(read @ 1..) = read else { return };
                // KMS sends its answer in one piece.
                if let Some(began) = began.take() {
                    spent.add(began.elapsed());
                }
                answered = true;
                let _ = service.write_all(&answer[..read]).await;
            }
        }
    }
}

fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
