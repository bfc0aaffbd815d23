//! Cookies of one link. Load balancers set them, and route a later request without them to another instance of the
//! server, which does not know the session.

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};

/// Maximum number of cookies that are kept.
const MAX_COOKIES: usize = 16;
/// Maximum length of a cookie in bytes.
const MAX_COOKIE: usize = 4096;

/// Values of cookies by name. Attributes except `Max-Age` have no meaning here: a link sends requests to one origin only.
#[derive(Default)]
pub(super) struct Cookies(BTreeMap<String, String>);

impl Cookies {
    /// Stores the cookies that a response sets.
    pub(super) fn store(&mut self, response: &HeaderMap) {
        let set = response.get_all(SET_COOKIE).iter();
        for cookie in set.filter_map(|cookie| cookie.to_str().ok()) {
            let mut parts = cookie.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
                continue;
            };
            let is_expired = parts.any(|attribute| {
                let (attribute, age) = attribute.split_once('=').unwrap_or_default();
                attribute.eq_ignore_ascii_case("max-age")
                    && age.parse().is_ok_and(|age: i64| age <= 0)
            });
            let is_known = self.0.contains_key(name);
            if is_expired || value.is_empty() {
                self.0.remove(name);
            } else if cookie.len() <= MAX_COOKIE && (is_known || self.0.len() < MAX_COOKIES) {
                self.0.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// Adds the cookies to the headers of a request, after a configured `Cookie` header.
    pub(super) fn add_to(&self, request: &mut HeaderMap) {
        let configured = request.get(COOKIE).and_then(|value| value.to_str().ok());
        let mut pairs: Vec<String> = configured.map(ToOwned::to_owned).into_iter().collect();
        pairs.extend(self.0.iter().map(|(name, value)| format!("{name}={value}")));
        if self.0.is_empty() {
            return;
        }
        if let Ok(mut value) = HeaderValue::from_str(&pairs.join("; ")) {
            value.set_sensitive(true);
            request.insert(COOKIE, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(set: &[&str], configured: Option<&'static str>) -> Option<String> {
        let mut cookies = Cookies::default();
        for cookie in set {
            let value = HeaderValue::from_str(cookie).unwrap();
            cookies.store(&HeaderMap::from_iter([(SET_COOKIE, value)]));
        }
        let mut request = HeaderMap::new();
        request.extend(configured.map(|value| (COOKIE, HeaderValue::from_static(value))));
        cookies.add_to(&mut request);
        let value = request.get(COOKIE)?.to_str().unwrap();
        Some(value.to_owned())
    }

    #[test]
    fn the_newest_value_of_each_cookie_is_sent() {
        let two = ["a=1; Path=/; HttpOnly", "b==2", "a=3; Max-Age=60"];
        assert_eq!(sent(&two, None).as_deref(), Some("a=3; b==2"));
        let both = sent(&["a=1"], Some("own=0"));
        assert_eq!(both.as_deref(), Some("own=0; a=1"));
        assert_eq!(sent(&[], Some("own=0")).as_deref(), Some("own=0"));
        for end in ["a=; Path=/", "a=1; max-age=0", "a=1; Max-Age=-1"] {
            assert_eq!(sent(&["a=1", end], None), None, "{end}");
        }
        assert_eq!(sent(&["nothing", "; a=1"], None), None);
    }

    #[test]
    fn cookies_are_limited() {
        let mut set: Vec<String> = (0..99).map(|number| format!("c{number:02}=1")).collect();
        set.push("c00=2".to_owned());
        set.push(format!("c01={}", "x".repeat(MAX_COOKIE)));
        let set: Vec<&str> = set.iter().map(String::as_str).collect();
        let sent = sent(&set, None).unwrap();
        assert_eq!(sent.matches('=').count(), MAX_COOKIES);
        assert!(sent.starts_with("c00=2; c01=1; "), "{sent}");
    }
}
