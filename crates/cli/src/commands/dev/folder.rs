//! The folder of a `dev` run: its own, and for one run at a time.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use strongroom_client::RecipientSecretKey;
use strongroom_sim::kms::SimCredentials;

use super::sample;
use crate::command_line::quoted;
use crate::commands::keygen;
use crate::error::CliError;
use crate::files;
use crate::stage::Stage;

/// A folder of mode 0700, held until this is dropped.
pub(super) struct Folder {
    /// Absolute.
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder, or takes one that is empty or of an earlier run, and
    /// closes it to others.
    pub(super) fn open(path: &Path) -> Result<Self, CliError> {
        let failed = |source| CliError::file("create", path, source);
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => take(path)?,
            made => made.map_err(failed)?,
        }
        let folder = Self { path: path.canonicalize().map_err(failed)?, _lock: lock(path)? };
        // Whose it was runs no more.
        folder.remove_socket();
        Ok(folder)
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.file("service.sock")
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The data owner's key pair: that of the last run, or a new one.
    pub(super) fn owner_key(&self) -> Result<RecipientSecretKey, CliError> {
        let path = self.file("owner.key");
        if path.exists() {
            return keygen::read_secret(&path);
        }
        let (secret, _) = RecipientSecretKey::generate()
            .map_err(|_| CliError::Internal("the system gives no random bytes"))?;
        keygen::write_pair(&path, &secret)?;
        Ok(secret)
    }

    /// The public key, in hex, of a caller's key pair: that of the last run, or of a new one.
    pub(super) fn caller_key(&self, name: &str) -> Result<String, CliError> {
        let path = self.file(&caller_key_name(name));
        if !path.exists() {
            return keygen::write_caller(&path).map(|(public, _)| public);
        }
        let public = keygen::read_caller(&path)?.public_key();
        let public = public.map_err(|_| CliError::Internal("a caller's key has no public key"))?;
        Ok(hex::encode(public.as_bytes()))
    }

    /// Writes what one needs to call the stage.
    pub(super) fn write(&self, stage: &Stage) -> Result<(), CliError> {
        files::write_whole(&self.file("kms-ca.pem"), stage.kms.ca_pem().as_bytes())?;
        files::write_whole(&self.file("nitro-root.der"), &stage.nsm.trust_root_der())?;
        files::write_whole(&self.file("enclave.eif.toml"), stage.manifest_text.as_bytes())?;
        files::write_whole(&self.file("customers.csv"), &sample::customers(&stage.manifest()?))?;
        for (name, credentials) in [
            ("producer.env", &stage.producer),
            ("parent.env", &stage.parent),
            ("reader.env", &stage.reader),
        ] {
            let text = self.environment(stage, credentials);
            files::write_whole(&self.file(name), text.as_bytes())?;
        }
        Ok(())
    }

    fn remove_socket(&self) {
        let path = self.socket();
        let is_socket = path.symlink_metadata().is_ok_and(|data| data.file_type().is_socket());
        if is_socket {
            // If it stays, listening there says so.
            let _ = std::fs::remove_file(path);
        }
    }

    /// Of the variables that AWS's SDKs and the AWS CLI read, those without secrets.
    pub(super) fn variables(&self, stage: &Stage) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL_KMS", stage.kms.endpoint_url()),
            ("AWS_CA_BUNDLE", self.file("kms-ca.pem").display().to_string()),
            ("AWS_REGION", stage.region.clone()),
            ("AWS_DEFAULT_REGION", stage.region.clone()),
        ]
    }

    fn environment(&self, stage: &Stage, credentials: &SimCredentials) -> String {
        let secret = [
            ("AWS_ACCESS_KEY_ID", credentials.access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key.clone()),
            ("AWS_SESSION_TOKEN", credentials.session_token.clone().unwrap_or_default()),
        ];
        let all = self.variables(stage).into_iter().chain(secret);
        all.map(|(name, value)| format!("export {name}={}\n", quoted(&value))).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.remove_socket();
    }
}

/// Name of the file with a caller's secret key. The names of callers are plain.
pub(super) fn caller_key_name(caller: &str) -> String {
    format!("caller-{caller}.key")
}

/// Takes a folder that is there, if it holds nothing of anybody else's.
fn take(path: &Path) -> Result<(), CliError> {
    let failed = |source| CliError::file("read", path, source);
    let is_empty = path.read_dir().map_err(failed)?.next().is_none();
    if !is_empty && !path.join(MARKER).exists() {
        return Err(CliError::FolderTaken { path: path.to_owned() });
    }
    let closed = std::fs::set_permissions(path, Permissions::from_mode(0o700));
    closed.map_err(|source| CliError::file("close to others", path, source))
}

/// Marks the folder as a `dev` run's, and this run as the one in it.
fn lock(path: &Path) -> Result<File, CliError> {
    let marker = path.join(MARKER);
    let failed = |source| CliError::file("create", &marker, source);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&marker).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(CliError::FolderInUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// A file in every folder that `dev` made; locked while a run is on.
const MARKER: &str = ".strongroom-dev";
