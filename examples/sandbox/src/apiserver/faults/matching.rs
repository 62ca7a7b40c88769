//! Which requests an order is for.

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::apiserver::request::RequestInfo;

/// Which requests are meant; what is left out matches all.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultMatch {
    /// An RBAC verb, or `connect` for the proxies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verb: Option<String>,
    /// A regular expression that finds something in the path, with or without its query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The name of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What the client's `User-Agent` begins with: `ms2m/`, `kubectl/`, `kubelet`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

/// What a request asks for and who asks, as far as orders go by it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) info: RequestInfo,
    /// The path with its query.
    pub(crate) target: String,
    /// The name of the user; empty if it is not known.
    pub(crate) user: String,
    /// `User-Agent`; empty if there is none.
    pub(crate) agent: String,
}

/// A match whose regular expression has been read.
#[derive(Debug)]
pub(crate) struct Matcher {
    wanted: FaultMatch,
    path: Option<Regex>,
}

impl Matcher {
    /// # Errors
    /// If the path is no regular expression.
    pub(crate) fn new(wanted: FaultMatch) -> Result<Self, regex::Error> {
        let path = wanted.path.as_deref().map(Regex::new).transpose()?;
        Ok(Self { wanted, path })
    }

    pub(crate) fn is_for(&self, asked: &Asked) -> bool {
        let Asked {
            info,
            target,
            user,
            agent,
        } = asked;
        let wanted = &self.wanted;
        let verb = wanted.verb.as_deref().is_none_or(|verb| {
            verb == info.verb
                || (verb == "connect" && info.connects())
                || (verb == "delete" && info.verb == "deletecollection")
        });
        let agent = wanted
            .user_agent
            .as_deref()
            .is_none_or(|prefix| agent.starts_with(prefix));
        let path = self
            .path
            .as_ref()
            .is_none_or(|path| path.is_match(&info.path) || path.is_match(target));
        verb && agent && path && wanted.user.as_deref().is_none_or(|wanted| wanted == user)
    }
}

#[cfg(test)]
impl Asked {
    /// A request of nobody in particular.
    pub(crate) fn example(verb: &str, path: &str) -> Self {
        Self {
            info: RequestInfo {
                verb: verb.into(),
                path: path.into(),
                ..RequestInfo::default()
            },
            target: path.into(),
            user: String::new(),
            agent: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(text: &str) -> Matcher {
        let wanted = serde_json::from_str(text).expect("readable");
        Matcher::new(wanted).expect("a regular expression")
    }

    #[test]
    fn connect_is_any_proxy() {
        let matcher = matcher(r#"{"verb":"connect"}"#);
        let mut asked = Asked::example("create", "/x");
        asked.info.subresource = "status".into();
        assert!(!matcher.is_for(&asked));
        asked.info.subresource = "proxy".into();
        assert!(matcher.is_for(&asked));
    }

    #[test]
    fn a_program_is_known_by_the_beginning_of_its_agent() {
        let matcher = matcher(r#"{"userAgent":"ms2m/","path":"pods\\?watch=1"}"#);
        let mut asked = Asked::example("watch", "/api/v1/pods");
        asked.target = "/api/v1/pods?watch=1".into();
        for (agent, meant) in [("ms2m/0.1.0", true), ("kubelet", false), ("", false)] {
            asked.agent = agent.into();
            assert_eq!(matcher.is_for(&asked), meant, "{agent}");
        }
    }

    #[test]
    fn the_user_is_matched_whole() {
        let matcher = matcher(r#"{"user":"admin"}"#);
        let mut asked = Asked::example("get", "/x");
        assert!(!matcher.is_for(&asked));
        asked.user = "admin".into();
        assert!(matcher.is_for(&asked));
    }
}
