//! What a device does not take: each with its code, and with nothing changed on it.

use std::fs;
use std::path::Path;

use super::Device;
use super::pair::Shelf;
use super::stand::Board;

#[test]
fn bad_bundles_are_refused_by_code_and_change_nothing() {
    let shelf = Shelf::get();
    let device = Device::with_first(&Board::default());
    let second = device.bring(&shelf.second);
    device.run(&format!("xedge-agent apply {second}"));
    let before = device.picture();

    let good = fs::read(&shelf.last).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bad = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        let file = folder.path().join(format!("{name}.xedge"));
        fs::write(&file, bytes).unwrap();
        refusal(&device, &file)
    };
    let at = |text: &str| good.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
    let config = at("max_connections 60");
    let layer = good.len() - (1 << 20);
    assert_eq!(bad("config", &|bytes| bytes[config + 17] = b'1'), "digest");
    assert_eq!(bad("layer", &|bytes| bytes[layer] ^= 1), "digest");
    assert_eq!(bad("cut", &|bytes| bytes.truncate(layer)), "truncated");
    assert_eq!(bad("longer", &|bytes| bytes.extend([0; 512])), "trailing-bytes");
    assert_eq!(refusal(&device, &shelf.first), "rollback", "the release before was installed over this one");
    assert_eq!(device.picture(), before, "a refusal changed something");

    // It was only ever the bundle.
    device.deploy(&shelf.last, &[]).expect(0);
    assert_eq!(device.runs_wholly(), 6);
}

/// The code of the refusal; `why` must know it.
#[track_caller]
fn refusal(device: &Device, bundle: &Path) -> String {
    let file = device.bring(bundle);
    let error = device.agent_fails(&format!("apply {file}"), 6);
    let code = error["code"].as_str().unwrap_or_else(|| panic!("{error}")).to_owned();
    assert!(error["hint"].is_string(), "{error}");
    device.run(&format!("xedge-agent why {code}"));
    code
}
