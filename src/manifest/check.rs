//! From a manifest as it is written to one that can be relied on.
//!
//! Whatever would let data out by oversight is refused here, each with what
//! would be right instead. What may leave at all is in [`leave`].

mod args;
mod cache;
mod crossing;
mod input;
mod leave;
mod limits;
mod operation;
mod output;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::operations::{MatchForm, MatchSpec, OperationSpec};
use super::raw::{RawArgs, RawCaller, RawJob, RawSecret};
use super::types::is_name;
use super::{
    ArgSpec, CallerSpec, Job, JobName, KeyArn, Kms, Manifest, ManifestError, Pattern, Region,
    SecretSpec, Template, raw,
};

/// What the jobs of a manifest refer to.
struct Names<'a> {
    region: &'a Region,
    secrets: &'a BTreeMap<String, SecretSpec>,
    callers: &'a BTreeMap<String, CallerSpec>,
}

/// The manifest whose text has this SHA-256.
pub(super) fn manifest(raw: raw::Manifest, digest: [u8; 32]) -> Result<Manifest, ManifestError> {
    let limits = raw.limits.check()?;
    let cache = raw.cache.check()?;
    // Ports below are for privileged processes, which the service is not; the
    // highest number means any port.
    if !(1024..u32::MAX).contains(&raw.listen.vsock_port) {
        return Err(ManifestError::value("listen.vsock_port", "must be 1024 to 4294967294"));
    }
    let region = Region::parse(&raw.kms.region).map_err(at("kms.region"))?;
    let secrets = each(
        raw.secret,
        "secret",
        |secret: &RawSecret| &secret.name,
        |secret| secret.check(&region),
    )?;
    let callers = each(raw.caller, "caller", |caller: &RawCaller| &caller.name, RawCaller::check)?;
    let names = Names { region: &region, secrets: &secrets, callers: &callers };
    let jobs = each(raw.job, "job", |job: &RawJob| &job.name, |job| job.check(&names))?;
    if jobs.is_empty() {
        return Err(ManifestError::value(
            "job",
            "a manifest without jobs can do nothing; add a [[job]]",
        ));
    }
    let jobs = jobs.into_values().map(|job| (job.name.clone(), job)).collect();
    crossing::check(&jobs)?;
    cache::check_reuse(&cache, &jobs)?;
    Ok(Manifest {
        memory_mib: raw.enclave.memory_mib,
        allow_debug: raw.enclave.allow_debug,
        vsock_port: raw.listen.vsock_port,
        limits,
        cache,
        kms: Kms { region, proxy_cid: raw.kms.proxy.cid, proxy_port: raw.kms.proxy.port },
        secrets,
        callers,
        jobs,
        digest,
    })
}

/// Checks each of a list of named tables.
fn each<R, T>(
    list: Vec<R>,
    what: &str,
    name: impl Fn(&R) -> &String,
    check: impl Fn(R) -> Result<T, ManifestError>,
) -> Result<BTreeMap<String, T>, ManifestError> {
    let mut checked = BTreeMap::new();
    for raw in list {
        let name = name(&raw).clone();
        let place = format!("{what} {name:?}");
        if !is_name(&name) {
            let problem = "is not a name: 1 to 64 of a-z, 0-9, - and _";
            return Err(ManifestError::value(place, problem));
        }
        let item = check(raw).map_err(|error| error.within(&place))?;
        if checked.insert(name, item).is_some() {
            return Err(ManifestError::value(place, format!("another {what} has the same name")));
        }
    }
    Ok(checked)
}

impl RawJob {
    fn check(mut self, names: &Names<'_>) -> Result<Job, ManifestError> {
        let name = JobName::parse(&self.name).map_err(at("name"))?;
        let mut args = std::mem::take(&mut self.args).check()?;
        let arg_names: BTreeSet<&str> = args.keys().map(String::as_str).collect();
        let callers: BTreeSet<String> = self.callers.iter().cloned().collect();
        if let Some(unknown) = callers.iter().find(|caller| !names.callers.contains_key(*caller)) {
            let problem = format!("{unknown:?} is not the name of a [[caller]]");
            return Err(ManifestError::value("callers", problem));
        }
        let inputs = self.inputs(&arg_names, names.region)?;
        let (operation, output) = self.operation(&inputs, &arg_names, names)?;
        let output = output.check(&inputs, &arg_names, names.region)?;
        if let OperationSpec::Match(MatchSpec { arg, form: MatchForm::Encrypted, .. }) = &operation
            && let Some(spec) = args.get_mut(arg)
            && spec.max_len == ArgSpec::MAX_LEN
        {
            // What an encrypted value needs.
            spec.max_len = MAX_ARG_LEN;
        }
        let job = Job { name, args, callers, inputs, operation, output };
        job.check_args()?;
        job.check_leaving()?;
        Ok(job)
    }
}

impl RawArgs {
    fn check(self) -> Result<BTreeMap<String, ArgSpec>, ManifestError> {
        let mut args = BTreeMap::new();
        let list: Vec<(String, ArgSpec)> = match self {
            Self::Listed(names) => {
                names.into_iter().map(|name| (name, ArgSpec::default())).collect()
            }
            Self::Typed(table) => {
                let typed = table.into_iter().map(|(name, raw)| {
                    let place = format!("args.{name}");
                    let pattern = raw.pattern.map(|text| Pattern::parse(&text)).transpose();
                    let pattern = pattern.map_err(at(&place))?;
                    let max_len = raw.max_length.unwrap_or(ArgSpec::MAX_LEN);
                    if !(1..=MAX_ARG_LEN).contains(&max_len) {
                        let problem = format!("max_length must be 1 to {MAX_ARG_LEN} bytes");
                        return Err(ManifestError::value(place, problem));
                    }
                    Ok((name, ArgSpec { max_len, pattern }))
                });
                typed.collect::<Result<_, _>>()?
            }
        };
        for (name, spec) in list {
            if !is_name(&name) {
                let problem = format!("{name:?} is not a name: 1 to 64 of a-z, 0-9, - and _");
                return Err(ManifestError::value("args", problem));
            }
            if args.insert(name, spec).is_some() {
                return Err(ManifestError::value("args", "an argument is named twice"));
            }
        }
        if args.len() > strongroom_wire::message::MAX_ARGS {
            return Err(ManifestError::value("args", "too many arguments"));
        }
        Ok(args)
    }
}

impl RawSecret {
    fn check(self, region: &Region) -> Result<SecretSpec, ManifestError> {
        let key = check_key("key", &self.key, region)?;
        let context = check_context("context", self.context, &BTreeSet::new())?;
        if context.is_empty() {
            let problem = "must say what the key is for: it keeps other ciphertexts of the same KMS key from standing in for it";
            return Err(ManifestError::value("context", problem));
        }
        let none = BTreeMap::new();
        let context = context.into_iter().map(|(name, value)| (name, value.fill(&none))).collect();
        match STANDARD.decode(&self.wrapped) {
            // KMS API, Decrypt: CiphertextBlob.
            Ok(wrapped) if (1..=6144).contains(&wrapped.len()) => {
                Ok(SecretSpec { key, context, wrapped })
            }
            _ => Err(ManifestError::value(
                "wrapped",
                "must be a KMS CiphertextBlob of 1 to 6144 bytes in base64",
            )),
        }
    }
}

impl RawCaller {
    fn check(self) -> Result<CallerSpec, ManifestError> {
        let mut ed25519 = [0; 32];
        let mut p256 = [0; 65];
        if hex::decode_to_slice(&self.public_key, &mut ed25519).is_ok() {
            Ok(CallerSpec::Ed25519(ed25519))
        } else if hex::decode_to_slice(&self.public_key, &mut p256).is_ok()
            && p256.starts_with(&[4])
        {
            Ok(CallerSpec::P256(p256))
        } else {
            Err(ManifestError::value(
                "public_key",
                "must be an Ed25519 public key (64 hex digits) or an uncompressed P-256 point (130 hex digits)",
            ))
        }
    }
}

fn check_key(place: &str, text: &str, region: &Region) -> Result<KeyArn, ManifestError> {
    let key = KeyArn::parse(text).map_err(at(place))?;
    if key.region() != region.as_str() {
        let problem =
            format!("the key is in {}, but kms.region is {}", key.region(), region.as_str());
        return Err(ManifestError::value(place, problem));
    }
    Ok(key)
}

fn check_context(
    place: &str,
    raw: BTreeMap<String, String>,
    args: &BTreeSet<&str>,
) -> Result<BTreeMap<String, Template>, ManifestError> {
    let entry = |(name, value): (String, String)| {
        // The Encryption SDK keeps the first prefix for itself, and we the second.
        if name.is_empty() || name.starts_with("aws-crypto-") || name.starts_with("strongroom-") {
            return Err(ManifestError::value(
                place,
                format!("{name:?} cannot be a key of an encryption context"),
            ));
        }
        let value = Template::parse(&value, args).map_err(at(&format!("{place}.{name}")))?;
        Ok((name, value))
    };
    raw.into_iter().map(entry).collect()
}

fn at(place: &str) -> impl FnOnce(String) -> ManifestError + '_ {
    move |problem| ManifestError::value(place, problem)
}

/// Longest value that an argument can be allowed, in bytes.
const MAX_ARG_LEN: usize = 4096;
