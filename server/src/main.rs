//! The `graticule` program: everything is in the library beside it.

use std::process::ExitCode;

/// Many threads allocate and free large buffers here; mimalloc gives them back sooner and contends less.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    graticule_server::cli::run()
}
