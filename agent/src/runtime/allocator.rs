//! Settings of the C library's allocator, which reads them once, when a process starts.
//!
//! In: nothing. Out: this process, begun anew with the settings, where they are missing. glibc keeps an arena
//! per thread, up to eight per core, each with free memory of its own, and raises the size from which a block
//! goes straight back to the system with every large block that is freed: beside a `limits.memory` of 64 MiB
//! that was another 40 MiB, more on machines with more cores (`make memory`). Two arenas and a fixed size end
//! both. There is no way to say so without unsafe code but the environment. Other C libraries ignore it.
//!
//! Failure: the process goes on without the settings, and takes more memory.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The settings, by their names in glibc's manual ("Malloc Tunable Parameters").
const SETTINGS: [(&str, &str); 2] = [
    // One for each of two busy threads; more lower the contention, which nothing here is held up by.
    ("MALLOC_ARENA_MAX", "2"),
    // Chunks and tables are larger and go back to the system when they are freed. At 128 KiB a little more would,
    // at an eighth more CPU time for a large object.
    ("MALLOC_MMAP_THRESHOLD_", "1048576"),
];

/// Begins a process that is to `run` anew (same process id, same arguments) unless the first setting is there
/// already, from us or from whoever knows better; other commands are short and stay as they are. Call it before
/// anything else is begun.
pub fn settle(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) {
    let arguments: Vec<_> = arguments.into_iter().collect();
    if !arguments.iter().skip(1).any(|argument| argument.as_ref() == "run") {
        return;
    }
    if !cfg!(all(target_os = "linux", target_env = "gnu")) || std::env::var_os(SETTINGS[0].0).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = arguments.into_iter();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    // Comes back only with an error; then the process is as it was.
    let _ = command.args(arguments).envs(SETTINGS).exec();
}
