//! What a request's path means. Pure.

/// A resource of the one repository that a receiver has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// The protocol's root.
    Base,
    /// Where uploads are opened.
    Uploads,
    /// An open upload, by its id.
    Upload(&'a str),
    /// A blob, by what may be a digest.
    Blob(&'a str),
    /// A manifest, by what may be a digest.
    Manifest(&'a str),
    /// Nothing that is here.
    Nothing,
}

/// What `path` means in `repository`.
pub(super) fn route<'a>(path: &'a str, repository: &str) -> Route<'a> {
    if matches!(path, "/v2" | "/v2/") {
        return Route::Base;
    }
    let Some(rest) = path
        .strip_prefix("/v2/")
        .and_then(|rest| rest.strip_prefix(repository))
        .and_then(|rest| rest.strip_prefix('/'))
    else {
        return Route::Nothing;
    };
    match rest.split('/').collect::<Vec<_>>()[..] {
        ["blobs", "uploads"] | ["blobs", "uploads", ""] => Route::Uploads,
        ["blobs", "uploads", id] => Route::Upload(id),
        ["blobs", digest] => Route::Blob(digest),
        ["manifests", digest] => Route::Manifest(digest),
        _ => Route::Nothing,
    }
}

/// The digest that a commit names: of the query's values the one called `digest`.
pub(super) fn digest_of_query(query: Option<&str>) -> Option<String> {
    let value = query?
        .split('&')
        .find_map(|pair| pair.strip_prefix("digest="))?;
    // The colon is the only character of a digest that a client may escape.
    Some(value.replace("%3A", ":").replace("%3a", ":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_is_there_and_nothing_else() {
        let at = |path| route(path, "ms2m/m-1");
        assert_eq!(at("/v2/"), Route::Base);
        assert_eq!(at("/v2/ms2m/m-1/blobs/uploads/"), Route::Uploads);
        assert_eq!(at("/v2/ms2m/m-1/blobs/uploads/7"), Route::Upload("7"));
        assert_eq!(at("/v2/ms2m/m-1/blobs/sha256:a"), Route::Blob("sha256:a"));
        assert_eq!(
            at("/v2/ms2m/m-1/manifests/sha256:a"),
            Route::Manifest("sha256:a")
        );
        for path in [
            "/",
            "/v2/_catalog",
            "/v2/ms2m/m-1/tags/list",
            "/v2/ms2m/m-10/manifests/sha256:a",
            "/v2/ms2m/m-2/manifests/sha256:a",
            "/v2/ms2m/m-1/manifests/a/b",
            "/v2/ms2m/m-1",
        ] {
            assert_eq!(at(path), Route::Nothing, "{path}");
        }
    }

    #[test]
    fn a_digest_may_be_escaped() {
        for query in ["digest=sha256:ab", "_state=x&digest=sha256%3Aab"] {
            assert_eq!(digest_of_query(Some(query)).as_deref(), Some("sha256:ab"));
        }
        assert_eq!(digest_of_query(Some("digested=x")), None);
        assert_eq!(digest_of_query(None), None);
    }
}
