//! A program for containers in tests, which does what its arguments say, one after the other:
//! `print TEXT`, `env NAME`, `cat FILE`, `ls DIRECTORY`, `hostname`, `write FILE TEXT`,
//! `sleep MILLISECONDS`, `listen PORT`, `wait` (until SIGTERM), `ignore` (SIGTERM) and
//! `exit CODE`. It has no part in checkpoints.

use std::io::Write as _;
use std::net::{IpAddr, TcpListener};
use std::time::Duration;
use std::{env, fs, io, process, thread};

use tokio::signal::unix::{SignalKind, signal};

fn main() -> io::Result<()> {
    let mut words = env::args().skip(1);
    while let Some(action) = words.next() {
        let mut word = || words.next().unwrap_or_default();
        match action.as_str() {
            "print" => say(&word())?,
            "env" => say(&env::var(word()).unwrap_or_else(|_| "-".to_owned()))?,
            "cat" => say(fs::read_to_string(word())?.trim_end())?,
            "ls" => say(&list(&word())?)?,
            "hostname" => say(&rustix::system::uname().nodename().to_string_lossy())?,
            "write" => fs::write(word(), word())?,
            "sleep" => thread::sleep(Duration::from_millis(number(&word())?)),
            "listen" => listen(number(&word())?)?,
            "wait" => wait(true)?,
            "ignore" => wait(false)?,
            "exit" => process::exit(number(&word())?),
            other => return Err(io::Error::other(format!("{other:?} is nothing to do"))),
        }
    }
    Ok(())
}

fn say(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

fn number<T: std::str::FromStr>(text: &str) -> io::Result<T> {
    text.parse()
        .map_err(|_| io::Error::other(format!("{text:?} is no number")))
}

fn list(directory: &str) -> io::Result<String> {
    let mut names: Vec<_> = fs::read_dir(directory)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()?;
    names.sort();
    Ok(names.join(" "))
}

/// Accepts and drops connections at the pod's own address.
fn listen(port: u16) -> io::Result<()> {
    let name = fs::read_to_string("/etc/hostname")?;
    let hosts = fs::read_to_string("/etc/hosts")?;
    let address = hosts
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .find(|(_, host)| *host == name.trim())
        .and_then(|(address, _)| address.parse::<IpAddr>().ok())
        .ok_or_else(|| io::Error::other("the pod has no address"))?;
    let listener = TcpListener::bind((address, port))?;
    thread::spawn(move || listener.incoming().for_each(drop));
    Ok(())
}

fn wait(ends: bool) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        loop {
            terminate.recv().await;
            if ends {
                return Ok(());
            }
        }
    })
}
