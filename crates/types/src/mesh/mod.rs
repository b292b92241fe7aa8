//! Messages between the processes of a mesh, and the one codec that writes them.

pub mod backbone;
pub mod codec;
pub mod control;
pub mod version;
