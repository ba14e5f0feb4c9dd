//! The metadata section: JSON about an image, which no PCR covers.

use serde::{Deserialize, Serialize};

/// What an image says of itself. Not measured: never decide anything by it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Metadata {
    /// Name.
    pub image_name: String,
    /// Version.
    pub image_version: String,
    /// How it was built.
    pub build_metadata: BuildMetadata,
    /// `docker image inspect`, of images that came from one; else null.
    pub docker_info: serde_json::Value,
    /// Whatever its maker wants to say; else null.
    #[serde(default)]
    pub custom_metadata: serde_json::Value,
}

/// How an image was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BuildMetadata {
    /// When, RFC 3339. A constant, where the same parts shall give the same file.
    pub build_time: String,
    /// The program that built it.
    pub build_tool: String,
    /// Its version.
    pub build_tool_version: String,
    /// Operating system inside.
    pub operating_system: String,
    /// Version of the kernel.
    pub kernel_version: String,
}

impl Metadata {
    /// Reads a metadata section.
    ///
    /// # Errors
    /// What is wrong with the JSON.
    pub fn read(section: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(section)
    }
}
