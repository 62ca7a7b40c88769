//! Who makes a request: bearer tokens and impersonation. Not here: what they may do (`rbac`).

use http::{HeaderMap, header};
use serde_json::{Map, Value, json};

use super::errors::{ApiError, ApiResult};
use super::meta;
use super::store::Store;

/// An authenticated identity.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
}

impl User {
    fn new(name: impl Into<String>, groups: &[&str]) -> Self {
        Self {
            name: name.into(),
            uid: String::new(),
            groups: groups.iter().map(|&g| g.to_owned()).collect(),
        }
    }

    pub(crate) fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == "system:masters")
    }

    /// As `authentication.k8s.io/v1 UserInfo`.
    pub(crate) fn info(&self) -> Value {
        let mut info = Map::new();
        info.insert("username".into(), self.name.clone().into());
        if !self.uid.is_empty() {
            info.insert("uid".into(), self.uid.clone().into());
        }
        info.insert("groups".into(), json!(self.groups));
        Value::Object(info)
    }
}

/// The token of a service account, as the sandbox makes them.
pub(crate) fn service_account_token(namespace: &str, name: &str) -> String {
    format!("sa/{namespace}/{name}")
}

/// Finds out who sends a request.
///
/// # Errors
/// 401 for a token that is nobody's.
pub(crate) fn authenticate(
    store: &Store,
    admin_token: &str,
    headers: &HeaderMap,
) -> ApiResult<User> {
    let Some(header) = headers.get(header::AUTHORIZATION) else {
        return Ok(User::new("system:anonymous", &["system:unauthenticated"]));
    };
    let token = header
        .to_str()
        .ok()
        .and_then(|text| text.strip_prefix("Bearer "))
        .map(str::trim);
    token
        .and_then(|token| user_of_token(store, admin_token, token))
        .ok_or_else(ApiError::unauthorized)
}

/// The user behind a token, if it is anybody's.
pub(crate) fn user_of_token(store: &Store, admin_token: &str, token: &str) -> Option<User> {
    if token == admin_token {
        return Some(User::new(
            "admin",
            &["system:masters", "system:authenticated"],
        ));
    }
    let (kind, rest) = token.split_once('/')?;
    if rest.is_empty() {
        return None;
    }
    match kind {
        "node" => Some(User::new(
            format!("system:node:{rest}"),
            &["system:nodes", "system:masters", "system:authenticated"],
        )),
        "controller" => Some(User::new(
            format!("system:serviceaccount:kube-system:{rest}"),
            &["system:masters", "system:authenticated"],
        )),
        "user" => Some(User::new(rest, &["system:authenticated"])),
        "sa" => {
            let (namespace, name) = rest.split_once('/')?;
            let account = store.get("serviceaccounts", namespace, name)?;
            let of_namespace = format!("system:serviceaccounts:{namespace}");
            let groups = [
                "system:serviceaccounts",
                of_namespace.as_str(),
                "system:authenticated",
            ];
            let mut user = User::new(format!("system:serviceaccount:{namespace}:{name}"), &groups);
            user.uid = meta::uid(&account).to_owned();
            Some(user)
        }
        _ => None,
    }
}

/// Whom the request wants to act as (`kubectl --as`), if anybody.
pub(crate) fn impersonated(headers: &HeaderMap) -> Option<User> {
    let text = |value: &http::HeaderValue| value.to_str().ok().map(str::to_owned);
    let name = headers.get("impersonate-user").and_then(text)?;
    let mut groups: Vec<String> = headers
        .get_all("impersonate-group")
        .iter()
        .filter_map(text)
        .collect();
    if groups.is_empty()
        && let Some(account) = name.strip_prefix("system:serviceaccount:")
        && let Some((namespace, _)) = account.split_once(':')
    {
        groups = vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
        ];
    }
    let all = if name == "system:anonymous" {
        "system:unauthenticated"
    } else {
        "system:authenticated"
    };
    if !groups.iter().any(|group| group == all) {
        groups.push(all.to_owned());
    }
    let uid = headers
        .get("impersonate-uid")
        .and_then(text)
        .unwrap_or_default();
    Some(User { name, uid, groups })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(header: Option<&str>) -> ApiResult<User> {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(header::AUTHORIZATION, header.parse().expect("a header"));
        }
        authenticate(&Store::new(10), "secret", &headers)
    }

    #[test]
    fn tokens_name_their_users() {
        assert!(user(Some("Bearer secret")).expect("admin").is_master());
        assert_eq!(
            user(Some("Bearer node/node-a")).expect("a node").name,
            "system:node:node-a"
        );
        let plain = user(Some("Bearer user/jane")).expect("a user");
        assert_eq!((plain.name.as_str(), plain.is_master()), ("jane", false));
        assert_eq!(user(None).expect("anonymous").name, "system:anonymous");
    }

    #[test]
    fn unknown_tokens_are_refused() {
        for token in [
            "Bearer wrong",
            "Bearer user/",
            "Bearer sa/ns/gone",
            "Basic secret",
            "Bearer ",
        ] {
            assert_eq!(user(Some(token)).expect_err(token).code, 401);
        }
    }
}
