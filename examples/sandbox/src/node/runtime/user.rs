//! Which user a container runs as: the pod's word, then the image's.

use std::fs;
use std::path::Path;

use super::config::{ContainerConfig, User};

/// The user of a new container.
///
/// # Errors
/// When the image names a user or group that it does not have.
pub(super) fn user(config: &ContainerConfig) -> Result<User, String> {
    let image = &config.image;
    let (name, group) = match image.config.config.user.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (image.config.config.user.as_str(), None),
    };
    let (uid, default_gid) = match config.run_as_user {
        Some(uid) => (uid, 0),
        None => look_up(&image.rootfs.join("etc/passwd"), name).ok_or_else(|| {
            format!("unable to find user {name}: no matching entries in passwd file")
        })?,
    };
    let gid = match (config.run_as_group, group) {
        (Some(gid), _) => gid,
        (None, Some(group)) if config.run_as_user.is_none() => {
            look_up(&image.rootfs.join("etc/group"), group)
                .map(|(gid, _)| gid)
                .ok_or_else(|| format!("unable to find group {group}"))?
        }
        (None, _) => default_gid,
    };
    Ok(User {
        uid,
        gid,
        additional_gids: config.supplemental_groups.clone(),
    })
}

/// The number of a name, and the number in the next column, which in the user table is the
/// group. A number needs no entry.
fn look_up(table: &Path, name: &str) -> Option<(u32, u32)> {
    let entries = fs::read_to_string(table).unwrap_or_default();
    let columns = entries
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let number = name.parse::<u32>().ok();
    for entry in columns {
        let (Some(id), next) = (entry.get(2).and_then(|id| id.parse().ok()), entry.get(3)) else {
            continue;
        };
        if entry[0] == name || Some(id) == number {
            return Some((id, next.and_then(|gid| gid.parse().ok()).unwrap_or(0)));
        }
    }
    match number {
        Some(id) => Some((id, 0)),
        None => (name.is_empty() || name == "root").then_some((0, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_looked_up() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let table = directory.path().join("passwd");
        fs::write(&table, "root:x:0:0::/:\napp:x:1000:1001::/:\n").expect("can be written");
        assert_eq!(look_up(&table, "app"), Some((1000, 1001)));
        assert_eq!(look_up(&table, "1000"), Some((1000, 1001)));
        assert_eq!(look_up(&table, "65532"), Some((65532, 0)));
        assert_eq!(look_up(&table, ""), Some((0, 0)));
        assert_eq!(look_up(&table, "nobody"), None);
        assert_eq!(
            look_up(&directory.path().join("none"), "root"),
            Some((0, 0))
        );
    }
}
