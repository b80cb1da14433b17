//! Limits of processes that this machine can reach. An engine refuses to start a container above them.

use xedge_model::compose::Ulimit;

/// Where Linux says what this process may ask for, and so, without further rights, any container.
const LIMITS: &str = "/proc/self/limits";

/// Compose's names and Linux's.
const NAMES: [(&str, &str); 15] = [
    ("core", "Max core file size"),
    ("cpu", "Max cpu time"),
    ("data", "Max data size"),
    ("fsize", "Max file size"),
    ("locks", "Max file locks"),
    ("memlock", "Max locked memory"),
    ("msgqueue", "Max msgqueue size"),
    ("nice", "Max nice priority"),
    ("nofile", "Max open files"),
    ("nproc", "Max processes"),
    ("rss", "Max resident set"),
    ("rtprio", "Max realtime priority"),
    ("rttime", "Max realtime timeout"),
    ("sigpending", "Max pending signals"),
    ("stack", "Max stack size"),
];

/// This limit, or what of it this machine can reach.
pub(super) fn clamped(name: &str, wanted: Ulimit) -> Ulimit {
    // Elsewhere than on Linux the engine runs in a machine of its own, about which nothing is known here.
    std::fs::read_to_string(LIMITS).map_or(wanted, |text| clamp(wanted, reach(&text, name)))
}

/// The hard limit of this name; -1 is none.
fn reach(text: &str, name: &str) -> i64 {
    let hard = || {
        let (_, title) = NAMES.iter().find(|(known, _)| *known == name)?;
        let line = text.lines().find_map(|line| line.strip_prefix(title))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    hard().unwrap_or(-1)
}

fn clamp(wanted: Ulimit, reach: i64) -> Ulimit {
    let down = |value: i64| if reach != -1 && (value == -1 || value > reach) { reach } else { value };
    Ulimit { soft: down(wanted.soft), hard: down(wanted.hard) }
}

#[cfg(test)]
mod tests {
    use xedge_model::compose::Ulimit;

    use super::{NAMES, clamp, reach};

    const TEXT: &str = "\
Limit                     Soft Limit           Hard Limit           Units
Max processes             4096                 unlimited            processes
Max open files            1024                 20000                files
Max nice priority         0                    0
";

    #[test]
    fn what_is_out_of_reach_comes_down_to_it() {
        assert_eq!((reach(TEXT, "nofile"), reach(TEXT, "nproc"), reach(TEXT, "nice")), (20_000, -1, 0));
        assert_eq!(reach(TEXT, "core"), -1);
        let limit = |soft, hard| Ulimit { soft, hard };
        for (wanted, want) in [
            (limit(1_024, 4_096), limit(1_024, 4_096)),
            (limit(1_024, 65_536), limit(1_024, 20_000)),
            (limit(65_536, 65_536), limit(20_000, 20_000)),
            (limit(-1, -1), limit(20_000, 20_000)),
        ] {
            assert_eq!(clamp(wanted, 20_000), want);
            assert_eq!(clamp(wanted, -1), wanted);
        }
    }

    #[test]
    fn this_machine_names_its_limits_in_the_same_words() {
        let text = std::fs::read_to_string(super::LIMITS).unwrap();
        for (_, title) in NAMES {
            assert!(text.contains(title), "{title} is not in\n{text}");
        }
    }
}
