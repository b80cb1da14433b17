//! What an operation must not touch, and where it must not stop: cases of people and machines that do the unexpected.

use std::collections::BTreeMap;

use xedge_model::{Class, Failure as _};

use super::bench::{Bench, STACK, folder};
use crate::engine::{Engine as _, NetworkSpec, VolumeSpec};

/// What somebody made by hand under the stack's names is neither used nor removed.
#[test]
fn a_foreign_volume_is_refused_and_never_purged() {
    let (_keep, path) = folder();
    let bench = Bench::at(&path);
    let volume = VolumeSpec { name: "edge_data".to_owned(), folder: None };
    bench.engine.ensure_volume(&volume, &BTreeMap::new()).unwrap();
    let error = bench.install(1).unwrap_err();
    assert!(error.to_string().contains("edge_data"), "{error}");
    assert!(error.hint().unwrap().contains("--adopt"), "{error}");
    assert_eq!(error.class(), Class::Input);
    assert_eq!(bench.runs(), None);
    assert_eq!(bench.engine.volumes().unwrap(), ["edge_data"]);
    assert!(!bench.engine.purge_volume("edge_data", STACK).unwrap());
    assert_eq!(bench.engine.volumes().unwrap(), ["edge_data"]);
}

#[test]
fn a_foreign_network_is_refused_and_stays() {
    let (_keep, path) = folder();
    let bench = Bench::at(&path);
    let network = NetworkSpec { name: "edge_default".to_owned(), driver: None, internal: false };
    bench.engine.ensure_network(&network, &BTreeMap::new()).unwrap();
    let error = bench.install(1).unwrap_err();
    assert!(error.hint().unwrap().contains("docker network rm edge_default"), "{error}");
    assert_eq!(bench.engine.networks().unwrap(), ["edge_default"], "also after it was taken back");
}
