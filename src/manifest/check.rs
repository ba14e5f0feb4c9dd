//! From a manifest as it is written to one that can be relied on.
//!
//! Whatever would let data out by oversight is refused here, each with what
//! would be right instead.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use strongroom_envelope::esdk::FrameLen;

use super::raw::{
    AnyWord, Manifest, RawInput, RawJob, RawLimits, RawOutput, RawRecipients, Shape, Verb,
};
use super::types::is_name;
use super::{
    ByteCount, Input, Job, JobName, KeyArn, Kms, Limits, ManifestError, MaskRule, OperationSpec,
    OutputSpec, Recipients, Region, Template, UnknownColumns,
};

impl TryFrom<Manifest> for super::Manifest {
    type Error = ManifestError;

    fn try_from(raw: Manifest) -> Result<Self, ManifestError> {
        let limits = raw.limits.check()?;
        // Ports below are for privileged processes, which the service is not; the
        // highest number means any port.
        if !(1024..u32::MAX).contains(&raw.listen.vsock_port) {
            return Err(ManifestError::value("listen.vsock_port", "must be 1024 to 4294967294"));
        }
        let region = Region::parse(&raw.kms.region).map_err(at("kms.region"))?;
        let mut jobs = BTreeMap::new();
        for job in raw.job {
            let place = format!("job {:?}", job.name);
            let job = job.check(&region).map_err(|error| error.within(&place))?;
            if jobs.insert(job.name.clone(), job).is_some() {
                return Err(ManifestError::value(place, "another job has the same name"));
            }
        }
        if jobs.is_empty() {
            return Err(ManifestError::value(
                "job",
                "a manifest without jobs can do nothing; add a [[job]]",
            ));
        }
        Ok(Self {
            memory_mib: raw.enclave.memory_mib,
            allow_debug: raw.enclave.allow_debug,
            vsock_port: raw.listen.vsock_port,
            limits,
            kms: Kms { region, proxy_cid: raw.kms.proxy.cid, proxy_port: raw.kms.proxy.port },
            jobs,
        })
    }
}

impl RawLimits {
    fn check(self) -> Result<Limits, ManifestError> {
        let secs = |key: &str, secs: u64| match secs {
            1..=86_400 => Ok(Duration::from_secs(secs)),
            _ => Err(ManifestError::value(format!("limits.{key}"), "must be 1 to 86400 seconds")),
        };
        let bytes = |key: &str, count: ByteCount, max: usize| match count.0 {
            n if (1..=max).contains(&n) => Ok(count),
            _ => Err(ManifestError::value(
                format!("limits.{key}"),
                format!("must be 1 to {max} bytes"),
            )),
        };
        let number = |key: &str, n: usize, max: usize| match n {
            n if (1..=max).contains(&n) => Ok(n),
            _ => Err(ManifestError::value(format!("limits.{key}"), format!("must be 1 to {max}"))),
        };
        let limits = Limits {
            max_in_flight_bytes: self.max_in_flight_bytes,
            max_connections: number("max_connections", self.max_connections, 1 << 20)?,
            request_deadline: secs("request_deadline_secs", self.request_deadline_secs)?,
            idle_timeout: secs("idle_timeout_secs", self.idle_timeout_secs)?,
            max_header: bytes("max_header", self.max_header, 1 << 20)?,
            max_frame: bytes("max_frame", self.max_frame, 64 << 20)?,
            max_encrypted_data_keys: number(
                "max_encrypted_data_keys",
                self.max_encrypted_data_keys,
                1000,
            )?,
            max_record: bytes("max_record", self.max_record, 64 << 20)?,
        };
        // The longest frame, as ciphertext and plaintext and in buffers that
        // grow by doubling, has to fit: else a job would be busy for ever.
        let least = limits
            .max_frame
            .0
            .saturating_mul(6)
            .saturating_add(limits.max_record.0.saturating_mul(4));
        if limits.max_in_flight_bytes.0 < least {
            let problem =
                format!("must be at least {least} bytes for this max_frame and max_record");
            return Err(ManifestError::value("limits.max_in_flight_bytes", problem));
        }
        Ok(limits)
    }
}

impl RawJob {
    fn check(self, region: &Region) -> Result<Job, ManifestError> {
        let name = JobName::parse(&self.name).map_err(at("name"))?;
        let args = check_args(&self.args)?;
        let operation =
            check_operation(self.operation, self.input.format, self.fields, self.unknown_fields)?;
        let input = self.input.check(&args, region)?;
        let output = self.output.check(&args, region)?;
        if matches!((&operation, &output), (OperationSpec::Reencrypt, OutputSpec::None)) {
            return Err(ManifestError::value(
                "output",
                "reencrypt with protect = \"none\" would hand the parent the plaintext; use \"kms\" or \"seal\"",
            ));
        }
        if matches!(&operation, OperationSpec::Mask { fields, unknown: UnknownColumns::Keep }
            if matches!(output, OutputSpec::None) && fields.values().all(|rule| *rule == MaskRule::Keep))
        {
            return Err(ManifestError::value(
                "fields",
                "nothing would be masked, and protect = \"none\" would hand the parent the plaintext",
            ));
        }
        let job = Job { name, args: self.args, input, operation, output };
        job.every_arg_is_pinned()?;
        Ok(job)
    }
}

fn check_args(args: &[String]) -> Result<BTreeSet<&str>, ManifestError> {
    let set: BTreeSet<&str> = args.iter().map(String::as_str).collect();
    match args.iter().find(|arg| !is_name(arg)) {
        Some(bad) => Err(ManifestError::value(
            "args",
            format!("{bad:?} is not a name: 1 to 64 of a-z, 0-9, - and _"),
        )),
        None if set.len() < args.len() => {
            Err(ManifestError::value("args", "an argument is named twice"))
        }
        None if set.len() > strongroom_wire::message::MAX_ARGS => {
            Err(ManifestError::value("args", "too many arguments"))
        }
        None => Ok(set),
    }
}

fn check_operation(
    verb: Verb,
    shape: Option<Shape>,
    fields: Option<BTreeMap<String, MaskRule>>,
    unknown: Option<UnknownColumns>,
) -> Result<OperationSpec, ManifestError> {
    match (verb, shape, fields) {
        (Verb::Mask, Some(Shape::Csv), Some(fields)) => {
            let unknown = unknown.unwrap_or(UnknownColumns::Drop);
            let dropped = fields.values().all(|rule| *rule == MaskRule::Drop);
            if dropped && unknown == UnknownColumns::Drop {
                return Err(ManifestError::value(
                    "fields",
                    "no column would be left; give one a rule other than drop",
                ));
            }
            Ok(OperationSpec::Mask { fields, unknown })
        }
        (Verb::Mask, Some(Shape::Csv), None) => Err(ManifestError::value(
            "fields",
            "mask needs a rule per column: fields = { pan = \"last4\" }",
        )),
        (Verb::Mask, _, _) => {
            Err(ManifestError::value("input.format", "mask reads format = \"csv\""))
        }
        (Verb::Reencrypt, None | Some(Shape::Bytes), None) if unknown.is_none() => {
            Ok(OperationSpec::Reencrypt)
        }
        (Verb::Reencrypt, Some(Shape::Csv), _) => Err(ManifestError::value(
            "input.format",
            "reencrypt does not look inside; leave format out",
        )),
        (Verb::Reencrypt, _, _) => Err(ManifestError::value(
            "fields",
            "reencrypt does not look inside; leave fields and unknown_fields out",
        )),
    }
}

impl RawInput {
    fn check(self, args: &BTreeSet<&str>, region: &Region) -> Result<Input, ManifestError> {
        let key = check_key("input.key", &self.key, region)?;
        let context = check_context("input.context", self.context, args)?;
        // A context that the caller could choose whole would pin nothing.
        if context.values().all(|value| value.arg().is_some()) {
            return Err(ManifestError::value(
                "input.context",
                "at least one value must be fixed here, not an argument: it says what the data may be used for",
            ));
        }
        Ok(Input { key, context })
    }
}

impl RawOutput {
    fn check(self, args: &BTreeSet<&str>, region: &Region) -> Result<OutputSpec, ManifestError> {
        match self {
            Self::None {} => Ok(OutputSpec::None),
            Self::Kms { key, context, frame } => {
                let Some(frame) = FrameLen::new(frame.0) else {
                    return Err(ManifestError::value("output.frame", "must be 1 byte to 8MiB"));
                };
                let key = check_key("output.key", &key, region)?;
                let context = check_context("output.context", context, args)?;
                Ok(OutputSpec::Kms { key, context, frame })
            }
            Self::Seal { to: RawRecipients::Word(AnyWord::Any) } => {
                Ok(OutputSpec::Seal(Recipients::Any))
            }
            Self::Seal { to: RawRecipients::Listed(keys) } => {
                let keys: Result<Vec<_>, _> = keys.iter().map(|key| public_key(key)).collect();
                match keys {
                    Ok(keys) if !keys.is_empty() => Ok(OutputSpec::Seal(Recipients::Listed(keys))),
                    _ => Err(ManifestError::value(
                        "output.to",
                        "must be \"any\" or a list of X25519 public keys of 64 hex digits each",
                    )),
                }
            }
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
        // The Encryption SDK keeps this prefix for itself.
        if name.is_empty() || name.starts_with("aws-crypto-") {
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

fn public_key(text: &str) -> Result<[u8; 32], hex::FromHexError> {
    let mut key = [0; 32];
    hex::decode_to_slice(text, &mut key).map(|()| key)
}

impl Job {
    /// An argument that only the result's context used would let a caller label
    /// one tenant's data as another's.
    fn every_arg_is_pinned(&self) -> Result<(), ManifestError> {
        let pinned: BTreeSet<&str> =
            self.input.context.values().filter_map(Template::arg).collect();
        match self.args.iter().find(|arg| !pinned.contains(arg.as_str())) {
            Some(arg) => Err(ManifestError::value(
                "args",
                format!(
                    "{arg:?} is not used in input.context: what a caller says must be checked against the message"
                ),
            )),
            None => Ok(()),
        }
    }
}

impl ManifestError {
    fn within(self, outer: &str) -> Self {
        match self {
            Self::Value { place, problem } => Self::value(format!("{outer}: {place}"), problem),
            Self::Toml(error) => Self::Toml(error),
        }
    }
}

fn at(place: &str) -> impl FnOnce(String) -> ManifestError + '_ {
    move |problem| ManifestError::value(place, problem)
}
