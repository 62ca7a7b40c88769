//! Has the linker pack the relocations of `ms2m`: they are 1.8 MB of the released program otherwise. Only
//! where the C library that is linked in can unpack them, which glibc does from 2.36 on; with an older one
//! the program would crash at its start.

use std::env;
use std::process::Command;

/// The first glibc that unpacks them in a static program (its NEWS for 2.36: `DT_RELR`).
const UNPACKS: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Of another machine's library nothing is known here.
    let own = env::var("HOST").is_ok_and(|host| env::var("TARGET").is_ok_and(|it| it == host));
    if own && glibc().is_some_and(|version| version >= UNPACKS) {
        println!("cargo::rustc-link-arg-bin=ms2m=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this machine's glibc, as in `glibc 2.36`.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf")
        .arg("GNU_LIBC_VERSION")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
