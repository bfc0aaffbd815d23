use std::net::SocketAddr;

use super::*;
use crate::fleet::Fleet;

#[tokio::test]
async fn a_very_long_name_of_a_tool_makes_no_long_page() {
    let site = Site::empty(SocketAddr::from(([127, 0, 0, 1], 1)));
    let fleet = Fleet::loaded_with(&["weather"], false);
    site.fleets.add(1, &fleet);
    let long = "x".repeat(4 << 20);
    let tools = [&*long, "forecast"].map(|name| (ListKind::Tools, name));
    fleet.list("weather", &tools);
    // The first tool is chosen.
    let url = Url::parse("http://page/try").unwrap();
    let page = content(&site, &url).into_string();
    assert!(page.len() < 100_000, "{}", page.len());
    let key = tool_key(&long);
    assert!(page.contains(&format!(r#"name="tool" value="{key}""#)));
    let forms = [("tool", &*key), ("tool", "forecast"), ("tool", "…")];
    let chosen = forms.map(|form| {
        let url = Url::parse_with_params("http://page/try", [form]).unwrap();
        let chosen = Selection::of(&site, &url).and_then(|it| it.tool);
        chosen.map(|it| it.name)
    });
    assert!(chosen[0].as_ref() == Some(&long));
    assert_eq!(chosen[1].as_deref(), Some("forecast"));
    let form = [("at", "1/weather"), ("tool", &*key), ("arguments", "{}")];
    let form = Url::parse_with_params("http://page/try", form).unwrap();
    let filled_in = actions::filled_in(&site, &form).unwrap();
    assert!(filled_in.tool == long);
    // The tool leaves the list while its form is open; a name stays one.
    fleet.list("weather", &tools[1..]);
    let filled_in = actions::filled_in(&site, &form).map(|it| it.tool);
    assert!(filled_in.is_err_and(|it| it.contains("does not have this tool now")));
    let form = [("at", "1/weather"), ("tool", "gone")];
    let form = Url::parse_with_params("http://page/try", form).unwrap();
    assert_eq!(actions::filled_in(&site, &form).unwrap().tool, "gone");
}
