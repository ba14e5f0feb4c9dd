//! The folder of a `dev` run.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use strongroom_client::RecipientSecretKey;
use strongroom_sim::kms::SimCredentials;

use crate::commands::demo::small_customers;
use crate::commands::keygen;
use crate::error::CliError;
use crate::files;
use crate::stage::Stage;

/// An absolute path to a folder of mode 0700.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes the folder, or takes one that is there and closes it to others. The
    /// socket of an earlier run is removed.
    pub(super) fn open(path: &Path) -> Result<Self, CliError> {
        let failed = |source| CliError::file("create", path, source);
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed)?;
            }
            made => made.map_err(failed)?,
        }
        let folder = Self(path.canonicalize().map_err(failed)?);
        folder.remove_socket();
        Ok(folder)
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.file("service.sock")
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
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

    /// Writes what one needs to call the stage.
    pub(super) fn write(&self, stage: &Stage) -> Result<(), CliError> {
        files::write_whole(&self.file("kms-ca.pem"), stage.kms.ca_pem().as_bytes())?;
        files::write_whole(&self.file("nitro-root.der"), &stage.nsm.trust_root_der())?;
        files::write_whole(&self.file("enclave.eif.toml"), stage.manifest_text.as_bytes())?;
        files::write_whole(&self.file("customers.csv"), &small_customers())?;
        for (name, credentials) in
            [("producer.env", &stage.producer), ("reader.env", &stage.reader)]
        {
            let text = self.environment(stage, credentials);
            files::write_whole(&self.file(name), text.as_bytes())?;
        }
        Ok(())
    }

    pub(super) fn remove_socket(&self) {
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

/// As one word for a POSIX shell.
pub(super) fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
