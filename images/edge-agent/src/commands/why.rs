//! `why`: explains the codes of refusals.

use serde_json::json;
use xedge_agent::{Error, Result};
use xedge_bundle::Code;

use super::Context;

pub(super) fn run(cx: &Context, code: Option<&str>) -> Result<()> {
    let Some(code) = code else {
        let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        return cx.printer.data(&codes, || codes.iter().map(|code| (*code).to_owned()).collect());
    };
    let code: Code = code.parse().map_err(|_| Error::Given {
        what: format!("`{}`", code.escape_debug()),
        reason: "it is not the code of a refusal; `xedge-agent why` lists them".to_owned(),
    })?;
    let explained = json!({ "code": code.as_str(), "explanation": code.explain() });
    cx.printer.data(&explained, || vec![code.explain().to_owned()])
}
