//! Results sealed to whom the manifest does not name.
