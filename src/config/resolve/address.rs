//! Address and headers of a server over HTTP.

use std::path::Path;

use reqwest::header::HeaderMap;

use super::super::expand::expand;
use super::super::fault::Fault;
use super::super::hidden_values::{self, HiddenValues};
use super::super::location::FileSpan;
use super::super::process_address::ProcessAddress;
use super::super::remote::{self, Remote, RemoteError};
use super::super::secrets::{guarded, names_secret, redacted};
use super::Resolver;

impl Resolver<'_> {
    /// Resolves the `url` of a remote server; `None` if it has a fault.
    pub(super) fn remote(&mut self, address: &str, at: &FileSpan) -> Option<Remote> {
        for name in ["args", "env", "env_file", "build"] {
            let setting = self.section.get(name);
            if let Some(setting) = setting.filter(|it| !it.value.is_empty()) {
                let message = format!("`{name}` is for a server with `command`, not with `url`");
                self.fault(Fault::new(&setting.at, message));
            }
        }
        let is_sse_2024 = self.is_sse_2024();
        self.address(address, at, |text, headers, shown| {
            Ok(Remote {
                url: remote::url(text)?,
                headers,
                is_sse_2024,
                shown,
            })
        })
    }

    /// Resolves the `url` on which the command serves HTTP; `None` if it has a fault.
    pub(super) fn process_address(
        &mut self,
        address: &str,
        at: &FileSpan,
    ) -> Option<ProcessAddress> {
        let is_sse_2024 = self.is_sse_2024();
        self.address(address, at, |text, headers, shown| {
            ProcessAddress::parse(text, headers, is_sse_2024, shown)
        })
    }

    fn is_sse_2024(&self) -> bool {
        let kind = self.section.choice("type");
        kind.is_some_and(|(kind, _)| *kind == "sse")
    }

    /// Resolves `address` and the headers, and passes them to `make` with the address as it may be shown.
    fn address<T>(
        &mut self,
        address: &str,
        at: &FileSpan,
        make: impl FnOnce(&str, HeaderMap, String) -> Result<T, RemoteError>,
    ) -> Option<T> {
        let expanded = self.expanded(address, at);
        let mut headers = HeaderMap::new();
        let section = self.section;
        for (name, value) in section.map("headers").map_or(&[][..], |(map, _)| map) {
            if remote::is_redundant(&name.value) {
                self.notes.push(format!(
                    "server `{}`: the proxy sets the header `{}` itself and leaves out the configured one",
                    self.name.value, name.value
                ));
                continue;
            }
            let expanded = self.expanded(&value.value, &value.at);
            let checked = (
                remote::name(&name.value),
                remote::value(&expanded.to_string_lossy()),
            );
            match checked {
                (Ok(name), Ok(value)) => drop(headers.append(name, value)),
                (Err(error), _) => self.fault(Fault::new(&name.at, error.to_string())),
                (_, Err(error)) => self.fault(Fault::new(&value.at, error.to_string())),
            }
        }
        // Such a fault, for example an unset variable, already explains a bad address.
        if self.faults.iter().any(|fault| fault.is_in(at)) {
            return None;
        }
        let made = make(&expanded.to_string_lossy(), headers, guarded(address));
        made.map_err(|error| self.fault(Fault::new(at, error.to_string())))
            .ok()
    }

    /// Returns the secrets of the address and the headers: a server may repeat those of a request.
    pub(super) fn hidden_in_requests(&self, folder: &Path) -> HiddenValues {
        let variables = &self.around.variables;
        let variables_in = |text| HiddenValues::of(std::iter::once(text), variables, folder);
        let mut hidden = HiddenValues::default();
        if let Some((address, at)) = self.section.text("url") {
            let base = at.source.base();
            let expanded = expand(address, &|name| self.around.variable(name, base));
            // A missing variable is a fault of its own.
            let expanded = expanded.unwrap_or_else(|_| address.clone());
            let host = hidden_values::host(&expanded);
            hidden.add(&variables_in(address).without_settings(host));
            hidden.add_words([&**address].into_iter(), &[guarded(address)], folder);
            hidden.add_address(&expanded, folder);
        }
        let headers = self.section.map("headers");
        let headers = headers.map_or(&[][..], |(headers, _)| headers);
        for (name, value) in headers {
            let variables = variables_in(&value.value);
            hidden.add(&if names_secret(&name.value) {
                variables
            } else {
                variables.without_settings("")
            });
            let line = |value: &str| format!("{}={value}", name.value);
            let shown = line(&redacted(&value.value));
            hidden.add_words([&*line(&value.value)].into_iter(), &[shown], folder);
        }
        hidden
    }

    pub(super) fn reject_headers(&mut self) {
        let headers = self.section.map("headers");
        if let Some((_, at)) = headers.filter(|(map, _)| !map.is_empty()) {
            self.fault(Fault::new(at, "`headers` are for a server with `url`"));
        }
    }
}
