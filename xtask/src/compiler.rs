//! What compilers and rustup say about themselves.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The release that a compiler says it is, such as `1.85.1`.
pub fn release(compiler: &OsStr) -> Option<String> {
    about(compiler, "release: ")
}

/// The platform that a compiler runs on and builds for.
pub fn host(compiler: &OsStr) -> Option<String> {
    about(compiler, "host: ")
}

fn about(compiler: &OsStr, label: &str) -> Option<String> {
    let text = quiet(Command::new(compiler).arg("-vV"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(label))?;
    Some(value.trim().to_owned())
}

/// The directory of a compiler's own libraries.
pub fn sysroot(compiler: &OsStr) -> Option<PathBuf> {
    let path = quiet(Command::new(compiler).args(["--print", "sysroot"]))?;
    Some(path.trim().into())
}

/// The names of the toolchains that rustup has; none if there is no rustup.
pub fn toolchains() -> Vec<String> {
    let list = quiet(Command::new("rustup").args(["toolchain", "list"]));
    names(&list.unwrap_or_default())
}

/// The compiler of one of rustup's toolchains.
pub fn of_toolchain(toolchain: &str) -> Option<PathBuf> {
    let which = ["which", "--toolchain", toolchain, "rustc"];
    let path = quiet(Command::new("rustup").args(which))?;
    Some(path.trim().into())
}

/// The first words of a `rustup toolchain list`.
fn names(list: &str) -> Vec<String> {
    list.lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(ToOwned::to_owned)
        .collect()
}

/// What a command answers, if it is there and succeeds.
fn quiet(command: &mut Command) -> Option<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toolchains_are_the_first_words_of_the_list() {
        let list = "stable-x86_64-unknown-linux-gnu (active, default)\nnightly-aarch64\n";
        assert_eq!(
            names(list),
            ["stable-x86_64-unknown-linux-gnu", "nightly-aarch64"]
        );
    }

    #[test]
    fn running_compiler_tells_about_itself() {
        let running = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        assert!(release(&running).is_some_and(|release| release.starts_with("1.")));
        assert!(host(&running).is_some_and(|host| host.contains('-')));
        assert!(sysroot(&running).is_some_and(|path| path.join("lib").is_dir()));
    }

    #[test]
    fn compiler_that_does_not_run_tells_nothing() {
        let missing = OsStr::new("no-such-compiler-here");
        assert_eq!((release(missing), host(missing)), (None, None));
    }
}
