//! A device before it is enrolled, a well one, and one with several troubles at once.

use camino::Utf8Path;

use super::*;
use crate::engine::Fake;
use crate::forge::{Forge, NOW};
use crate::trust::{Enrolment, enrol};

struct At(i64);

impl Clock for At {
    fn unix(&self) -> i64 {
        self.0
    }

    fn monotonic(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }

    fn sleep(&self, _time: std::time::Duration) {}
}

fn states(findings: &[Finding], subject: &str) -> Vec<State> {
    findings.iter().filter(|finding| finding.subject == subject).map(|finding| finding.state).collect()
}

#[test]
fn a_device_is_looked_over_whatever_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(folder.path()).unwrap();
    let file = |path: &str, text: &str| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    file("proc/meminfo", "MemTotal: 944264 kB\nMemAvailable: 512000 kB\n");
    file("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0");
    file("sys/class/thermal/thermal_zone0/temp", "48312\n");
    let (home, machine) = (Home::new(root.join("home")), Machine::at(root));
    let engine = Fake::open(root.join("engine"), || 1);
    let look = |clock: i64| look_over(&home, &machine, &At(clock), Ok(&engine as &dyn Engine));

    let before = look(NOW);
    assert_eq!(states(&before, "trust"), [State::Problem], "nobody is trusted yet");
    assert!(
        before.iter().all(|finding| finding.state != State::Problem || !finding.fix.is_empty()),
        "{before:?}"
    );

    let device = Device { class: "pi-sd".into(), ..Device::new(None, &[1; 16]) };
    let mut forge = Forge::new();
    forge.roots[0].expires = NOW + 2 * SOON;
    enrol(&home, &forge.trusted(), &device, Enrolment::First).unwrap();
    let well = look(NOW);
    assert!(well.iter().all(|finding| finding.state == State::Well), "{well:?}");
    let board = well.iter().find(|finding| finding.subject == "board").unwrap();
    assert!(board.found.contains("raspberry-pi-4-model-b"), "{board:?}");
    assert!(well.iter().any(|finding| finding.found == "48 °C"));
    assert_eq!(states(&look(NOW + SOON + 1), "trust"), [State::Note], "its root ends soon");
    assert_eq!(states(&look(NOW + 2 * SOON), "trust"), [State::Problem], "its root has ended");
    assert_eq!(states(&look(0), "clock"), [State::Note], "a board without a clock");
    assert_eq!(states(&look(i64::from(u32::MAX)), "clock"), [State::Problem]);

    file("proc/cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t0\t64\t0\n");
    file("proc/meminfo", "MemTotal: 944264 kB\nMemAvailable: 20000 kB\n");
    file("sys/class/thermal/thermal_zone1/temp", "84000\n");
    std::fs::create_dir_all(home.stack("edge").root()).unwrap();
    std::fs::write(home.stack("edge").state(), b"torn").unwrap();
    std::fs::write(home.trust(), b"torn").unwrap();
    let gone = Error::Engine { what: "reach an Engine".into(), reason: "no such file".into() };
    let findings = look_over(&home, &machine, &At(NOW), Err(&gone));
    for subject in ["trust", "engine", "memory", "temperature", "stack"] {
        assert_eq!(states(&findings, subject), [State::Problem], "{subject}");
    }
    let limits = look(NOW).into_iter().find(|finding| finding.subject == "memory limits").unwrap();
    assert_eq!((limits.state, limits.code), (State::Problem, Some("memory-limits")));
    assert!(limits.fix.contains("cgroup_enable=memory"), "{limits:?}");
}
