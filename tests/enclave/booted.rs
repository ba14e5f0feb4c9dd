//! An enclave for a test: the image is built by `strongroomctl`, booted in an
//! emulated machine, and stands in a [`House`] whose KMS trusts that machine.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use strongroom_client::{Address, Client};
use strongroom_emulator::{Machine, MachineError};

use crate::forwarder::Forwarder;
use crate::house::{Foundation, House, Plan};
use crate::parts::Parts;

/// What a test wants otherwise than usual.
pub struct Wish {
    pub plan: Plan,
    /// The product's binary instead of the laboratory's.
    pub product: bool,
    pub debug: bool,
    pub memory_mib: u32,
    pub cpus: u32,
    /// Whether the image gets the simulated KMS's roots.
    pub own_roots: bool,
    /// More for the manifest, in which `$customers` stands for the KMS key and
    /// `$wrapped` for a key that it wraps for `tokens`.
    pub jobs: &'static str,
    /// More files for the image.
    pub extra: Vec<(&'static str, Vec<u8>)>,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            plan: Plan::default(),
            product: false,
            debug: false,
            memory_mib: 128,
            cpus: 1,
            own_roots: true,
            jobs: "",
            extra: Vec::new(),
        }
    }
}

/// An image, and what it was made for.
pub struct Image {
    pub found: Foundation,
    pub eif: PathBuf,
    /// What `strongroomctl image build --json` printed.
    pub built: serde_json::Value,
    dir: tempfile::TempDir,
    wish: Wish,
}

/// A booted enclave, with everything around it.
pub struct Booted {
    pub house: House,
    pub machine: Machine,
    pub forwarder: Option<Forwarder>,
    pub built: serde_json::Value,
    /// When its machine was started.
    pub started: Instant,
    _dir: tempfile::TempDir,
}

impl Image {
    pub async fn build(parts: &Parts, mut wish: Wish) -> Self {
        let plan = std::mem::take(&mut wish.plan);
        wish.plan.kms = plan.kms;
        wish.plan.credentials = plan.credentials;
        let mut found = Foundation::laid(plan).await;
        let context = [("purpose".to_owned(), "tokens".to_owned())].into();
        let wrapped = found.nitro.kms.wrap(&found.customers, &context, &[7; 64]).unwrap();
        let jobs = wish.jobs.replace("$customers", &found.customers);
        found.manifest += &jobs.replace("$wrapped", &STANDARD.encode(wrapped));
        let dir = tempfile::Builder::new().prefix("eif").tempdir().unwrap();
        let file = |name: &str, content: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let manifest = file("enclave.eif.toml", found.manifest.as_bytes());
        let eif = dir.path().join("enclave.eif");
        let binary = if wish.product { &parts.product } else { &parts.lab };
        let mut args: Vec<std::ffi::OsString> = ["image", "build", "--json"].map(Into::into).into();
        for (name, value) in [
            ("--binary", binary),
            ("--manifest", &manifest),
            ("--kernel", &parts.kernel),
            ("--output", &eif),
        ] {
            args.extend([name.into(), value.into()]);
        }
        let roots = found.nitro.kms.ca_pem().as_bytes().to_vec();
        let mut extra = wish.extra.clone();
        if !wish.product && wish.own_roots {
            extra.push(("/kms-roots.pem", roots));
        }
        for (index, (path, content)) in extra.iter().enumerate() {
            let from = file(&format!("extra{index}"), content);
            args.extend(["--extra".into(), format!("{path}={}", from.display()).into()]);
        }
        let built = serde_json::from_str(&parts.strongroomctl(&args)).unwrap();
        Self { found, eif, built, dir, wish }
    }

    /// A PCR as `image build` printed it.
    pub fn pcr(&self, index: u8) -> String {
        pcr(&self.built, index)
    }

    /// Starts the machine; nothing is waited for.
    pub fn start(&self, parts: &Parts) -> Machine {
        Machine::builder(&self.eif)
            .qemu(&parts.qemu)
            .memory_mib(self.wish.memory_mib)
            .cpus(self.wish.cpus)
            .debug(self.wish.debug)
            .ca(&self.found.nitro.nsm.ca())
            .start()
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Boots it, gives it its way to KMS and the parent's credentials.
    pub async fn boot(self, parts: &Parts) -> Booted {
        let started = Instant::now();
        let machine = self.start(parts);
        heartbeat(&machine).unwrap();
        let pcr0 = self.pcr(0);
        let Self { found, built, dir, wish, .. } = self;
        let kms = wish.plan.kms.unwrap_or(found.nitro.kms.addr());
        let forwarder = Some(Forwarder::start(&machine.host_port_path(8000), kms));
        let address = Address::Vm { socket: machine.socket().to_owned(), port: 5005 };
        let house = House::around(found, address, pcr0, Box::new(()));
        let booted = Booted { house, machine, forwarder, built, started, _dir: dir };
        booted.answers().await;
        if wish.plan.credentials {
            booted.house.hand_in(&booted.house.parent).await;
        }
        booted
    }
}

impl Booted {
    /// A booted enclave as usual, or nothing where the parts are missing.
    pub async fn usual() -> Option<Self> {
        Self::wished(Wish::default()).await
    }

    pub async fn wished(wish: Wish) -> Option<Self> {
        let parts = crate::parts::parts()?;
        Some(Image::build(&parts, wish).await.boot(&parts).await)
    }

    pub fn pcr(&self, index: u8) -> String {
        pcr(&self.built, index)
    }

    /// Waits for the service to listen.
    async fn answers(&self) {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            match Client::connect(&self.house.address).await {
                Ok(mut client) => match client.status().await {
                    Ok(_) => return,
                    Err(error) => eprintln!("not yet: {error}"),
                },
                Err(_) if Instant::now() < until => {}
                Err(error) => panic!("{error}; console:\n{}", self.machine.console()),
            }
            assert!(Instant::now() < until, "console:\n{}", self.machine.console());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub fn heartbeat(machine: &Machine) -> Result<Duration, MachineError> {
    machine.wait_for_heartbeat(Duration::from_secs(60))
}

fn pcr(built: &serde_json::Value, index: u8) -> String {
    let name = format!("PCR{index}");
    built["Measurements"][&name].as_str().unwrap_or_else(|| panic!("{built}")).to_owned()
}
