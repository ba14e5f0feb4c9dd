//! What is left in the process's memory, and in its core files.
